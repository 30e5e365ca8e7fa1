//! The editor as the driver uses it.
//!
//! An edit counts when its text has been observed in the document, not when the client reports it as
//! made.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use claudecluster_protocol::{Span, editor::EditChecksum};
use claudecluster_service::{DocumentDeletion, DocumentEdit, EditError, Editor, OpenDocument};
use lsp_types::{
    ApplyWorkspaceEditParams, ApplyWorkspaceEditRequest, DeleteFile, LspRequestMethod,
    MessageDirection, Request, Uri, WorkspaceEdit,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use crate::{
    documents::DocumentSnapshot,
    session::EditorSession,
    workspace_edit::{to_workspace_edit, unsupported_line_endings},
};

/// `workspace/applyEdit` with an extension for clients that compare the text themselves.
enum ApplyEditRequest {}

#[derive(Debug, Serialize, Deserialize)]
struct ApplyEditParams {
    #[serde(flatten)]
    edit: ApplyWorkspaceEditParams,
    /// The text that the edit is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    claudecluster: Option<EditChecksum>,
}

impl Request for ApplyEditRequest {
    type Params = ApplyEditParams;
    type Result = <ApplyWorkspaceEditRequest as Request>::Result;
    const METHOD: LspRequestMethod<'static> = ApplyWorkspaceEditRequest::METHOD;
    const MESSAGE_DIRECTION: MessageDirection = ApplyWorkspaceEditRequest::MESSAGE_DIRECTION;
}

#[async_trait]
impl Editor for EditorSession {
    fn name(&self) -> String {
        self.capabilities().name.clone()
    }

    fn roots(&self) -> Vec<PathBuf> {
        EditorSession::roots(self)
    }

    fn documents(&self) -> Vec<OpenDocument> {
        self.documents
            .all()
            .iter()
            .filter_map(DocumentSnapshot::to_open)
            .collect()
    }

    fn document(&self, path: &Path) -> Option<OpenDocument> {
        self.documents.get_by_path(path)?.to_open()
    }

    async fn settled(&self, path: &Path) -> bool {
        tokio::select! {
            // The editor is about to be detached.
            () = self.tasks.wait_closed() => false,
            waited = self.closing_documents.wait_resolved(path) => waited,
        }
    }

    async fn edit(&self, edit: DocumentEdit) -> Result<OpenDocument, EditError> {
        let closed = || EditError::Closed;
        let uri = self.uri_of(&edit.document)?;
        let edit_lock = self.documents.edit_lock(&uri).ok_or_else(closed)?;
        let _one_at_a_time = edit_lock.lock().await;
        let versions = self.documents.watch_versions(&uri).ok_or_else(closed)?;
        let before = self.require_unchanged(&uri, &edit.document)?;
        if before.text == *edit.after {
            return before.to_open().ok_or_else(closed);
        }
        if !self.capabilities().apply_edit {
            return Err(EditError::Refused(
                "it does not accept edits from a server".into(),
            ));
        }
        if let Some(reason) = unsupported_line_endings(&before, &edit.after, self.capabilities()) {
            return Err(EditError::Refused(reason.into()));
        }
        let in_flight = EditInFlight::new(self, &before, versions, &edit.after);
        tokio::select! {
            () = self.tasks.wait_closed() => Err(EditError::Closed),
            observed = self.send_edit(&edit, in_flight) => observed,
        }
    }

    fn deletes(&self) -> bool {
        self.capabilities().deletes_files
    }

    async fn delete(&self, deletion: DocumentDeletion) -> Result<OpenDocument, EditError> {
        let closed = || EditError::Closed;
        let uri = self.uri_of(&deletion.document)?;
        let edit_lock = self.documents.edit_lock(&uri).ok_or_else(closed)?;
        let _one_at_a_time = edit_lock.lock().await;
        let on_close = self.documents.on_close(&uri).ok_or_else(closed)?;
        self.require_unchanged(&uri, &deletion.document)?;
        tokio::select! {
            () = self.tasks.wait_closed() => Err(EditError::Closed),
            last = self.send_deletion(uri, deletion.label, on_close) => last,
        }
    }

    async fn changed(&self, path: &Path, version: i32, wait: Span) -> Option<OpenDocument> {
        let uri = self.documents.get_by_path(path)?.uri;
        let mut versions = self.documents.watch_versions(&uri)?;
        let changed = versions.wait_for(|now| *now != version);
        match tokio::time::timeout(wait.to_duration(), changed).await {
            Ok(Ok(_)) => self.documents.get(&uri)?.to_open(),
            // The document was closed, or did not change in time.
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

impl EditorSession {
    fn uri_of(&self, document: &OpenDocument) -> Result<Uri, EditError> {
        let now = self.documents.get_by_path(&document.path);
        now.map(|now| now.uri).ok_or(EditError::Closed)
    }

    /// Returns the document if it has not changed since the driver read it.
    ///
    /// The version alone is not enough: a document that is opened again may have an earlier number.
    fn require_unchanged(
        &self,
        uri: &Uri,
        seen: &OpenDocument,
    ) -> Result<DocumentSnapshot, EditError> {
        let now = self.documents.get(uri).ok_or(EditError::Closed)?;
        if now.version != seen.version || now.text != seen.text {
            return Err(EditError::Stale);
        }
        Ok(now)
    }

    /// Asks the client to delete a document's file. Returns the last state of the document.
    ///
    /// The reply is advisory; `didClose` is proof. All edits by the user precede it.
    async fn send_deletion(
        &self,
        uri: Uri,
        label: String,
        mut on_close: oneshot::Receiver<DocumentSnapshot>,
    ) -> Result<OpenDocument, EditError> {
        let deletion = DeleteFile {
            uri: uri.clone(),
            options: None,
            annotation_id: None,
        };
        let params = ApplyEditParams {
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
        let last = match self.request_edit(params).await {
            Ok(()) => match tokio::time::timeout(self.config.observe_timeout, on_close).await {
                Ok(last) => last.ok(),
                // Another view still shows the document, so its text can be read.
                Err(_) => self.documents.get(&uri),
            },
            Err(error) => match on_close.try_recv() {
                Ok(last) => Some(last),
                Err(_) => return Err(error),
            },
        };
        last.and_then(|last| last.to_open())
            .ok_or(EditError::Closed)
    }

    /// Asks the client to make an edit. Returns the document with the edit observed in it.
    async fn send_edit(
        &self,
        edit: &DocumentEdit,
        mut in_flight: EditInFlight<'_>,
    ) -> Result<OpenDocument, EditError> {
        let capabilities = self.capabilities();
        let client_compares = self.settings.current().edits == Some(true);
        let before = in_flight.before;
        let params = ApplyEditParams {
            edit: ApplyWorkspaceEditParams {
                label: Some(edit.label.clone()),
                edit: to_workspace_edit(before, &edit.after, capabilities),
                metadata: None,
            },
            claudecluster: client_compares.then(|| EditChecksum::new(before.text.chunks())),
        };
        match self.request_edit(params).await {
            Ok(()) => in_flight.wait_observed(self.config.observe_timeout).await,
            Err(refused @ EditError::Refused(_)) => match in_flight.observed() {
                Some(observed) => Ok(observed),
                None if in_flight.was_closed() => Err(EditError::Closed),
                None if in_flight.has_changed() => Err(EditError::Stale),
                None => Err(refused),
            },
            Err(error) => in_flight.observed().ok_or(error),
        }
    }

    /// Sends `workspace/applyEdit`. `Ok` means that the client reports the edit as made.
    async fn request_edit(&self, params: ApplyEditParams) -> Result<(), EditError> {
        let reply = self.client.send_request::<ApplyEditRequest>(params);
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

/// An edit whose text is expected to appear in a document, until dropped.
struct EditInFlight<'a> {
    session: &'a EditorSession,
    before: &'a DocumentSnapshot,
    uri: Uri,
    versions: watch::Receiver<i32>,
}

impl<'a> EditInFlight<'a> {
    fn new(
        session: &'a EditorSession,
        before: &'a DocumentSnapshot,
        versions: watch::Receiver<i32>,
        text: &str,
    ) -> Self {
        session.documents.expect_text(&before.uri, Some(text));
        Self {
            session,
            before,
            uri: before.uri.clone(),
            versions,
        }
    }

    /// Returns the document at the moment it had the text of the edit.
    fn observed(&self) -> Option<OpenDocument> {
        self.session.documents.observed_text(&self.uri)?.to_open()
    }

    /// Whether the document has another version than the edit is for.
    fn has_changed(&self) -> bool {
        *self.versions.borrow() != self.before.version
    }

    /// Whether the document was closed, even if it is open again.
    fn was_closed(&self) -> bool {
        self.versions.has_changed().is_err()
    }

    /// Waits until the text of the edit is observed, at most for `patience`.
    ///
    /// If another change arrives instead, the client has dropped the edit as stale. The changed
    /// document is then returned, and the caller compares its text.
    async fn wait_observed(&mut self, patience: Duration) -> Result<OpenDocument, EditError> {
        let deadline = Instant::now() + patience;
        loop {
            self.versions.mark_unchanged();
            if let Some(observed) = self.observed() {
                return Ok(observed);
            }
            let versioned = self.session.capabilities().versioned_edits;
            if versioned && self.has_changed() {
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

impl Drop for EditInFlight<'_> {
    fn drop(&mut self) {
        self.session.documents.expect_text(&self.uri, None);
    }
}
