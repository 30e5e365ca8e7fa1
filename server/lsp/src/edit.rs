//! The editor as the driver sees it. An edit counts when its text has been observed, not when the
//! client says that it has been made.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use claudecluster_core::text;
use claudecluster_driver::{DocumentDeletion, DocumentEdit, EditError, Editor, OpenDocument};
use claudecluster_protocol::{Span, editor::EditOf};
use lsp_types::{
    ApplyWorkspaceEditParams, ApplyWorkspaceEditRequest, DeleteFile, LspRequestMethod,
    MessageDirection, OptionalVersionedTextDocumentIdentifier, Position, Range, Request,
    TextDocumentEdit, TextDocumentIdentifier, TextEdit, Uri, WorkspaceEdit,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use crate::{client::Capabilities, documents::Snapshot, session::Session};

/// The edits that turn the document into `after`, for a client.
///
/// With a version where the client takes one. Never more than one document: some clients check the
/// version of the first one only.
pub(crate) fn workspace_edit(
    document: &Snapshot,
    after: &str,
    client: &Capabilities,
) -> WorkspaceEdit {
    let edits: Vec<_> = text::edits(&document.text.to_string(), after, client.encoding)
        .into_iter()
        .map(|edit| TextEdit {
            range: Range {
                start: position(edit.range.start),
                end: position(edit.range.end),
            },
            new_text: edit.new_text,
        })
        .collect();
    let Some(version) = client.version_of(document.version) else {
        return WorkspaceEdit {
            changes: Some([(document.uri.clone(), edits)].into()),
            ..WorkspaceEdit::default()
        };
    };
    let edit = TextDocumentEdit {
        text_document: OptionalVersionedTextDocumentIdentifier {
            version: Some(version),
            text_document_identifier: TextDocumentIdentifier {
                uri: document.uri.clone(),
            },
        },
        edits: edits.into_iter().map(Into::into).collect(),
    };
    WorkspaceEdit {
        document_changes: Some(vec![edit.into()]),
        ..WorkspaceEdit::default()
    }
}

/// `workspace/applyEdit`, and for clients that want it what the text is that the edit is for.
enum ApplyEdit {}

#[derive(Debug, Serialize, Deserialize)]
struct EditParams {
    #[serde(flatten)]
    edit: ApplyWorkspaceEditParams,
    #[serde(skip_serializing_if = "Option::is_none")]
    claudecluster: Option<EditOf>,
}

impl Request for ApplyEdit {
    type Params = EditParams;
    type Result = <ApplyWorkspaceEditRequest as Request>::Result;
    const METHOD: LspRequestMethod<'static> = ApplyWorkspaceEditRequest::METHOD;
    const MESSAGE_DIRECTION: MessageDirection = ApplyWorkspaceEditRequest::MESSAGE_DIRECTION;
}

/// Why an edit that leads to `after` would go to the wrong place in this client, if it would.
pub(crate) fn misplaced(
    document: &Snapshot,
    after: &str,
    capabilities: &Capabilities,
) -> Option<&'static str> {
    let has_return = || {
        let mut text = document.text.bytes().chain([b' ']).chain(after.bytes());
        let mut before = None;
        text.any(|byte| {
            let lone = before == Some(b'\r') && byte != b'\n';
            before = Some(byte);
            lone
        }) || before == Some(b'\r')
    };
    (capabilities.ignores_returns && has_return()).then_some(
        "the text has a carriage return without a line feed, which this editor counts \
         differently; close the file in the editor, then accept the change again",
    )
}

/// A position for a client.
pub(crate) fn position(position: text::Position) -> Position {
    Position {
        line: position.line,
        character: position.character,
    }
}

#[async_trait]
impl Editor for Session {
    fn name(&self) -> String {
        self.capabilities().name.clone()
    }

    fn roots(&self) -> Vec<PathBuf> {
        Session::roots(self)
    }

    fn documents(&self) -> Vec<OpenDocument> {
        self.documents
            .all()
            .iter()
            .filter_map(Snapshot::to_open)
            .collect()
    }

    fn document(&self, path: &Path) -> Option<OpenDocument> {
        self.documents.at(path)?.to_open()
    }

    async fn settled(&self, path: &Path) -> bool {
        tokio::select! {
            // It is about to be nobody's editor.
            () = self.closed() => false,
            waited = self.leaving.known(path) => waited,
        }
    }

    async fn edit(&self, edit: DocumentEdit) -> Result<OpenDocument, EditError> {
        let closed = || EditError::Closed;
        let uri = self.uri_of(&edit.document)?;
        let editing = self.documents.editing(&uri).ok_or_else(closed)?;
        let _one_at_a_time = editing.lock().await;
        let versions = self.documents.versions(&uri).ok_or_else(closed)?;
        let before = self.still(&uri, &edit.document)?;
        if before.text == *edit.after {
            return before.to_open().ok_or_else(closed);
        }
        if !self.capabilities().apply_edit {
            return Err(EditError::Refused(
                "it does not accept edits from a server".into(),
            ));
        }
        if let Some(reason) = misplaced(&before, &edit.after, self.capabilities()) {
            return Err(EditError::Refused(reason.into()));
        }
        let expectation = Expectation::new(self, &before, versions, &edit.after);
        tokio::select! {
            () = self.closed() => Err(EditError::Closed),
            observed = self.send_edit(&edit, expectation) => observed,
        }
    }

    fn deletes(&self) -> bool {
        self.capabilities().deletes_files
    }

    async fn delete(&self, deletion: DocumentDeletion) -> Result<OpenDocument, EditError> {
        let closed = || EditError::Closed;
        let uri = self.uri_of(&deletion.document)?;
        let editing = self.documents.editing(&uri).ok_or_else(closed)?;
        let _one_at_a_time = editing.lock().await;
        let end = self.documents.end(&uri).ok_or_else(closed)?;
        self.still(&uri, &deletion.document)?;
        tokio::select! {
            () = self.closed() => Err(EditError::Closed),
            last = self.send_deletion(uri, deletion.label, end) => last,
        }
    }

    async fn changed(&self, path: &Path, version: i32, wait: Span) -> Option<OpenDocument> {
        let uri = self.documents.at(path)?.uri;
        let mut versions = self.documents.versions(&uri)?;
        let moved = versions.wait_for(|now| *now != version);
        match tokio::time::timeout(wait.to_duration(), moved).await {
            Ok(Ok(_)) => self.documents.get(&uri)?.to_open(),
            // Too late, or closed.
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

impl Session {
    fn uri_of(&self, document: &OpenDocument) -> Result<Uri, EditError> {
        let now = self.documents.at(&document.path);
        now.map(|now| now.uri).ok_or(EditError::Closed)
    }

    /// The document, if it is the one that was looked at: one that is opened again may have the number it
    /// had before.
    fn still(&self, uri: &Uri, seen: &OpenDocument) -> Result<Snapshot, EditError> {
        let now = self.documents.get(uri).ok_or(EditError::Closed)?;
        if now.version != seen.version || now.text != seen.text {
            return Err(EditError::Stale);
        }
        Ok(now)
    }

    /// What it says is a hint: the client closes the document once it has deleted the file, and everything
    /// that was typed until then comes before that.
    async fn send_deletion(
        &self,
        uri: Uri,
        label: String,
        mut end: oneshot::Receiver<Snapshot>,
    ) -> Result<OpenDocument, EditError> {
        let deletion = DeleteFile {
            uri: uri.clone(),
            options: None,
            annotation_id: None,
        };
        let params = EditParams {
            edit: ApplyWorkspaceEditParams {
                label: Some(label),
                edit: WorkspaceEdit {
                    document_changes: Some(vec![deletion.into()]),
                    ..WorkspaceEdit::default()
                },
                metadata: None,
            },
            claudecluster: None,
        };
        let last = match self.apply(params).await {
            Ok(()) => match tokio::time::timeout(self.config.observe_timeout, end).await {
                Ok(last) => last.ok(),
                // Something else shows it still, so its text is there to be seen.
                Err(_) => self.documents.get(&uri),
            },
            Err(error) => match end.try_recv() {
                Ok(last) => Some(last),
                Err(_) => return Err(error),
            },
        };
        last.and_then(|last| last.to_open())
            .ok_or(EditError::Closed)
    }

    async fn send_edit(
        &self,
        edit: &DocumentEdit,
        mut expectation: Expectation<'_>,
    ) -> Result<OpenDocument, EditError> {
        let capabilities = self.capabilities();
        let checks = self.settings.now().edits == Some(true);
        let params = EditParams {
            edit: ApplyWorkspaceEditParams {
                label: Some(edit.label.clone()),
                edit: workspace_edit(expectation.before, &edit.after, capabilities),
                metadata: None,
            },
            claudecluster: checks.then(|| EditOf::new(expectation.before.text.chunks())),
        };
        match self.apply(params).await {
            Ok(()) => expectation.observe(self.config.observe_timeout).await,
            Err(refused @ EditError::Refused(_)) => match expectation.met() {
                Some(observed) => Ok(observed),
                None if expectation.closed() => Err(EditError::Closed),
                None if expectation.moved() => Err(EditError::Stale),
                None => Err(refused),
            },
            Err(error) => expectation.met().ok_or(error),
        }
    }

    /// Asks the client to make an edit; whether it did is what it says.
    async fn apply(&self, params: EditParams) -> Result<(), EditError> {
        let reply = self.client.send_request::<ApplyEdit>(params);
        match tokio::time::timeout(self.config.reply_timeout, reply).await {
            Ok(Ok(result)) if result.applied => Ok(()),
            Ok(Ok(result)) => Err(EditError::Refused(
                result
                    .failure_reason
                    .unwrap_or_else(|| "no reason given".into()),
            )),
            Ok(Err(error)) => Err(EditError::Refused(error.message.into_owned())),
            Err(_) => Err(EditError::Unconfirmed),
        }
    }
}

/// A text that is expected to appear in a document. Forgotten when dropped.
struct Expectation<'a> {
    session: &'a Session,
    before: &'a Snapshot,
    uri: Uri,
    versions: watch::Receiver<i32>,
}

impl<'a> Expectation<'a> {
    fn new(
        session: &'a Session,
        before: &'a Snapshot,
        versions: watch::Receiver<i32>,
        text: &str,
    ) -> Self {
        session.documents.expect(&before.uri, Some(text));
        Self {
            session,
            before,
            uri: before.uri.clone(),
            versions,
        }
    }

    fn met(&self) -> Option<OpenDocument> {
        self.session.documents.met(&self.uri)?.to_open()
    }

    fn moved(&self) -> bool {
        *self.versions.borrow() != self.before.version
    }

    /// Whether the document was closed, even if it is open again.
    fn closed(&self) -> bool {
        self.versions.has_changed().is_err()
    }

    /// Waits for the change that follows the client's word. Where another change came instead, the
    /// client dropped the edit as stale, and what came is returned for the caller to look at.
    async fn observe(&mut self, patience: Duration) -> Result<OpenDocument, EditError> {
        let deadline = Instant::now() + patience;
        loop {
            self.versions.mark_unchanged();
            if let Some(observed) = self.met() {
                return Ok(observed);
            }
            let versioned = self.session.capabilities().versioned_edits;
            if versioned && self.moved() {
                return self
                    .session
                    .documents
                    .get(&self.uri)
                    .and_then(|now| now.to_open())
                    .ok_or(EditError::Closed);
            }
            match tokio::time::timeout_at(deadline, self.versions.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(EditError::Closed),
                Err(_) => return Err(EditError::Unconfirmed),
            }
        }
    }
}

impl Drop for Expectation<'_> {
    fn drop(&mut self) {
        self.session.documents.expect(&self.uri, None);
    }
}

#[cfg(test)]
mod tests {
    use ropey::Rope;

    use super::*;

    #[test]
    fn a_lone_return_is_only_for_clients_that_see_a_line_end_there() {
        let check = |ignores_returns, text: &str, after, refused: bool| {
            let document = Snapshot {
                uri: Uri::parse("file:///w/a").unwrap(),
                path: None,
                version: 1,
                edited: None,
                text: Rope::from_str(text),
            };
            let capabilities = Capabilities {
                ignores_returns,
                ..Capabilities::default()
            };
            let found = misplaced(&document, after, &capabilities);
            assert_eq!(found.is_some(), refused, "{text:?} {after:?}");
        };
        check(true, "a\r\nb\r\n", "a\r\nc\r\n", false);
        check(true, "a\rb\n", "a\n", true);
        check(true, "a\n", "a\rb\n", true);
        check(true, "a\r", "a", true);
        check(true, "a", "a\r", true);
        check(false, "a\rb\n", "a\rc\n", false);
    }
}
