//! What the driver needs of an editor: the open documents, and edits that are verified by the text
//! that comes back. The language server implements it, one per connection.

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
    /// Where the developer types.
    pub edited: Option<EditedLines>,
}

/// The lines that were edited last: they are the developer's until the typing moves on or stops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EditedLines {
    /// The lines as the document counts them now, from 0; half-open, empty where lines were only taken
    /// away.
    pub lines: Range<u32>,
    /// When.
    pub at: Instant,
}

/// A new text for one open document.
#[derive(Clone, Debug)]
pub struct DocumentEdit {
    /// The document, at the version the new text was computed from.
    pub document: OpenDocument,
    /// The whole text it should have.
    pub after: String,
    /// What the edit is, for the client's undo list.
    pub label: String,
}

/// An open document that is to go, with its file.
#[derive(Clone, Debug)]
pub struct DocumentDeletion {
    /// The document, at the version at which it was decided.
    pub document: OpenDocument,
    /// What the deletion is, for the client's undo list.
    pub label: String,
}

/// Why an edit did not happen, or cannot be known to have happened.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The document has changed since the edit was computed: compute it again.
    #[error("the document has changed in the meantime")]
    Stale,
    /// The client said no.
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

    /// A snapshot of one open document.
    fn document(&self, path: &Path) -> Option<OpenDocument>;

    /// Waits until it is known whether a document that was closed a moment ago stays closed: to load a file
    /// anew, some editors close it and open it again. `false` where there was nothing to wait for.
    async fn settled(&self, path: &Path) -> bool;

    /// Asks the client to make the edit and waits for the change that follows. Returns the document
    /// as observed after it: the caller checks whether the text is the one it wanted, for a client's
    /// word alone is not enough (one answers `applied` after dropping a stale edit).
    async fn edit(&self, edit: DocumentEdit) -> Result<OpenDocument, EditError>;

    /// Whether it deletes files where it is asked to.
    fn deletes(&self) -> bool;

    /// Asks the client to delete the file of an open document and waits until the document is closed: what
    /// it shows that was never saved goes with the file, and nothing but the client can close it. Returns
    /// the document as it was last: the caller checks whether its text is the one that was to go, and
    /// whether the file has gone.
    async fn delete(&self, deletion: DocumentDeletion) -> Result<OpenDocument, EditError>;

    /// Waits until the document has another version than `version`, at most for `wait`.
    async fn changed(&self, path: &Path, version: i32, wait: Span) -> Option<OpenDocument>;
}
