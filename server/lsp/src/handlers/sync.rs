//! `textDocument/didOpen`, `didChange`, `didSave`, `didClose`.
//!
//! All of it is synchronous. The parameters are types of ours: a position that a client got wrong
//! (negative, past the end) is clamped, where refusing it would leave the document wrong for good.

use claudecluster_core::text::{ContentChange, Position, PositionEncoding};
use lsp_types::Uri;
use serde::Deserialize;

use crate::{documents::Documents, session::Session, stale::Dirty, uri};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DidOpen {
    text_document: Opened,
}

#[derive(Deserialize)]
struct Opened {
    uri: Uri,
    #[serde(default)]
    version: i32,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DidChange {
    text_document: Versioned,
    content_changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Versioned {
    uri: Uri,
    version: Option<i32>,
}

#[derive(Deserialize)]
struct Change {
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DidSave {
    text_document: Identifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DidClose {
    text_document: Identifier,
}

#[derive(Deserialize)]
struct Identifier {
    uri: Uri,
}

impl From<WirePosition> for Position {
    fn from(position: WirePosition) -> Self {
        let clamp = |n: i64| u32::try_from(n.max(0)).unwrap_or(u32::MAX);
        Self {
            line: clamp(position.line),
            character: clamp(position.character),
        }
    }
}

impl From<Change> for ContentChange {
    fn from(change: Change) -> Self {
        Self {
            range: change
                .range
                .map(|range| range.start.into()..range.end.into()),
            text: change.text,
        }
    }
}

impl DidOpen {
    /// Makes it so. Returns which document it is.
    pub(crate) fn apply(self, documents: &Documents) -> Uri {
        let Opened { uri, version, text } = self.text_document;
        documents.open(uri.clone(), version, &text);
        uri
    }
}

impl DidChange {
    /// Makes it so. Returns which document it is, and whether it is open at all.
    pub(crate) fn apply(self, documents: &Documents, encoding: PositionEncoding) -> (Uri, bool) {
        let Versioned { uri, version } = self.text_document;
        // A client may send no number; then each change still has one of its own.
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

impl DidClose {
    /// Makes it so. Returns which document it is.
    pub(crate) fn apply(self, documents: &Documents) -> Uri {
        documents.close(&self.text_document.uri);
        self.text_document.uri
    }
}

pub(crate) fn did_open(session: &Session, params: DidOpen) {
    let uri = params.apply(&session.documents);
    if let Some(path) = uri::to_path(&uri) {
        session.leaving.back(&path);
    }
    session.refresh(Dirty::Document(uri));
}

pub(crate) fn did_change(session: &Session, params: DidChange) {
    let (uri, open) = params.apply(&session.documents, session.encoding());
    if open {
        session.refresh(Dirty::Document(uri));
    } else {
        tracing::warn!(%uri, "ignored a change to a document that is not open");
    }
}

/// Saving changes no text. What is pending against the file on disk may have changed with it.
pub(crate) fn did_save(session: &Session, params: &DidSave) {
    session.refresh(Dirty::Document(params.text_document.uri.clone()));
}

pub(crate) fn did_close(session: &Session, params: DidClose) {
    let left = &params.text_document.uri;
    // An editor that can be asked nothing means what it says.
    if let Some(path) = uri::to_path(left).filter(|_| session.capabilities().configuration) {
        session.leaving.begin(path);
    }
    let uri = params.apply(&session.documents);
    session.refresh(Dirty::Closed(uri));
}
