//! `textDocument/didOpen`, `didChange`, `didSave`, `didClose`.
//!
//! All handlers are synchronous. The parameters have types of this crate, because a wrong position
//! (negative, past the end) is clamped: refusing it would leave the document wrong from then on.

use claudecluster_core::text::{ContentChange, PositionEncoding, TextPosition};
use lsp_types::Uri;
use serde::Deserialize;

use crate::{
    documents::OpenDocuments,
    session::{EditorSession, dirty_queue::DirtyMark},
    uri,
};

/// The parameters of `textDocument/didOpen`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DocumentOpened {
    text_document: OpenedDocumentText,
}

#[derive(Deserialize)]
struct OpenedDocumentText {
    uri: Uri,
    #[serde(default)]
    version: i32,
    text: String,
}

/// The parameters of `textDocument/didChange`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DocumentChanged {
    text_document: VersionedDocumentId,
    content_changes: Vec<WireContentChange>,
}

#[derive(Deserialize)]
struct VersionedDocumentId {
    uri: Uri,
    version: Option<i32>,
}

#[derive(Deserialize)]
struct WireContentChange {
    range: Option<WireRange>,
    text: String,
}

#[derive(Deserialize)]
struct WireRange {
    start: WirePosition,
    end: WirePosition,
}

#[derive(Deserialize)]
struct WirePosition {
    line: i64,
    character: i64,
}

/// The parameters of `textDocument/didSave`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DocumentSaved {
    text_document: TextDocumentId,
}

/// The parameters of `textDocument/didClose`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DocumentClosed {
    text_document: TextDocumentId,
}

#[derive(Deserialize)]
struct TextDocumentId {
    uri: Uri,
}

impl From<WirePosition> for TextPosition {
    fn from(position: WirePosition) -> Self {
        let clamp = |n: i64| u32::try_from(n.max(0)).unwrap_or(u32::MAX);
        Self {
            line: clamp(position.line),
            character: clamp(position.character),
        }
    }
}

impl From<WireContentChange> for ContentChange {
    fn from(change: WireContentChange) -> Self {
        Self {
            range: change
                .range
                .map(|range| range.start.into()..range.end.into()),
            text: change.text,
        }
    }
}

impl DocumentOpened {
    /// Opens the document and returns its address.
    pub(crate) fn apply(self, documents: &OpenDocuments) -> Uri {
        let OpenedDocumentText { uri, version, text } = self.text_document;
        documents.open(uri.clone(), version, &text);
        uri
    }
}

impl DocumentChanged {
    /// Changes the document. Returns its address, and whether it is open.
    pub(crate) fn apply(
        self,
        documents: &OpenDocuments,
        encoding: PositionEncoding,
    ) -> (Uri, bool) {
        let VersionedDocumentId { uri, version } = self.text_document;
        // A client may send no version; each change still gets a version of its own.
        let version = version.unwrap_or_else(|| {
            documents
                .get(&uri)
                .map_or(0, |document| document.version.wrapping_add(1))
        });
        let changes: Vec<ContentChange> =
            self.content_changes.into_iter().map(Into::into).collect();
        let open = documents.change(&uri, version, &changes, encoding);
        (uri, open)
    }
}

impl DocumentClosed {
    /// Closes the document and returns its address.
    pub(crate) fn apply(self, documents: &OpenDocuments) -> Uri {
        documents.close(&self.text_document.uri);
        self.text_document.uri
    }
}

/// Handles `textDocument/didOpen`.
pub(crate) fn did_open(session: &EditorSession, params: DocumentOpened) {
    let uri = params.apply(&session.documents);
    if let Some(path) = uri::to_path(&uri) {
        session.closing_documents.cancel_closing(&path);
    }
    session.mark_dirty(DirtyMark::Document(uri));
}

/// Handles `textDocument/didChange`.
pub(crate) fn did_change(session: &EditorSession, params: DocumentChanged) {
    let (uri, open) = params.apply(&session.documents, session.encoding());
    if open {
        session.mark_dirty(DirtyMark::Document(uri));
    } else {
        tracing::warn!(%uri, "ignored a change to a document that is not open");
    }
}

/// Handles `textDocument/didSave`.
///
/// Saving changes no text, but may change the hunks that are pending against the file on disk.
pub(crate) fn did_save(session: &EditorSession, params: &DocumentSaved) {
    session.mark_dirty(DirtyMark::Document(params.text_document.uri.clone()));
}

/// Handles `textDocument/didClose`.
pub(crate) fn did_close(session: &EditorSession, params: DocumentClosed) {
    let closed = &params.text_document.uri;
    // The closing is final at once if the editor answers no questions.
    if let Some(path) = uri::to_path(closed).filter(|_| session.capabilities().configuration) {
        session.closing_documents.begin_closing(path);
    }
    let uri = params.apply(&session.documents);
    session.mark_dirty(DirtyMark::Document(uri));
}
