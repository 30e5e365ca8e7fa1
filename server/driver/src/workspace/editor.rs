//! The interface of an editor: open documents, and edits that are verified by the text that comes
//! back. The language server implements it, one per connection.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Instant,
};

use async_trait::async_trait;
use claudecluster_protocol::Span;
use ropey::Rope;

/// An open document at one moment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OpenDocument {
    /// Absolute path of the file it shows.
    pub path: PathBuf,
    /// The client's version number, as it came.
    pub version: i32,
    /// Its text, saved or not.
    pub text: Rope,
    /// Lines in which the developer types.
    pub edited: Option<EditedLines>,
}

/// The lines that were edited last: they are the developer's until the typing moves on or stops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EditedLines {
    /// The lines as the document counts them now, from 0; half-open, empty if lines were only taken
    /// away.
    pub lines: Range<u32>,
    /// Time of the last edit.
    pub at: Instant,
}

/// A new text for one open document.
#[derive(Clone, Debug)]
pub struct DocumentEdit {
    /// The document, at the version the new text was computed from.
    pub document: OpenDocument,
    /// The whole text it should have.
    pub after: String,
    /// Label of the edit in the client's undo list.
    pub label: String,
}

/// An open document that is to go, with its file.
#[derive(Clone, Debug)]
pub struct DocumentDeletion {
    /// The document, at the version at which it was decided.
    pub document: OpenDocument,
    /// Label of the deletion in the client's undo list.
    pub label: String,
}

/// Why an edit did not happen, or cannot be known to have happened.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The document has changed since the edit was computed: compute it again.
    #[error("the document has changed in the meantime")]
    Stale,
    /// The client refused the edit.
    #[error("the editor rejected the edit: {0}")]
    Refused(String),
    /// The client did not answer, or no change was observed, in time.
    #[error("the editor did not confirm the edit in time")]
    Unconfirmed,
    /// The document or the whole editor has been closed.
    #[error("the document is no longer open")]
    Closed,
}

/// One attached editor.
#[async_trait]
pub trait Editor: Send + Sync {
    /// Name and version, as the client gave them.
    fn name(&self) -> String;

    /// Absolute paths of the workspace folders.
    fn roots(&self) -> Vec<PathBuf>;

    /// Snapshots of all open documents that show files.
    fn documents(&self) -> Vec<OpenDocument>;

    /// Returns a snapshot of one open document.
    fn document(&self, path: &Path) -> Option<OpenDocument>;

    /// Waits until it is known whether a document that was just closed stays closed. Some editors
    /// reload a file by closing and opening it. Returns `false` if there was nothing to wait for.
    async fn settled(&self, path: &Path) -> bool;

    /// Asks the client to make an edit, and waits for the change that follows. Returns the observed
    /// document.
    ///
    /// The caller compares the text: a client's word alone is not enough (one answers `applied`
    /// after dropping a stale edit).
    async fn edit(&self, edit: DocumentEdit) -> Result<OpenDocument, EditError>;

    /// Returns whether the editor can delete files when asked.
    fn deletes(&self) -> bool;

    /// Asks the client to delete the file of an open document, and waits until the document is
    /// closed. Returns the document as it was last.
    ///
    /// Only the client can close the document; unsaved text goes with the file. The caller checks
    /// that the returned text is the one to delete, and that the file is gone.
    async fn delete(&self, deletion: DocumentDeletion) -> Result<OpenDocument, EditError>;

    /// Waits until the document has another version than `version`, at most for `wait`.
    async fn changed(&self, path: &Path, version: i32, wait: Span) -> Option<OpenDocument>;
}
