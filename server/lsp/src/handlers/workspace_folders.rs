//! `workspace/didChangeWorkspaceFolders`.

use lsp_types::{DidChangeWorkspaceFoldersParams, Uri, WorkspaceFolder};

use crate::session::EditorSession;

/// Updates the workspace folders of the session.
pub(crate) fn change_folders(session: &EditorSession, params: &DidChangeWorkspaceFoldersParams) {
    let uris = |folders: &[WorkspaceFolder]| -> Vec<Uri> {
        folders.iter().map(|folder| folder.uri.clone()).collect()
    };
    session.update_roots(&uris(&params.event.removed), &uris(&params.event.added));
}
