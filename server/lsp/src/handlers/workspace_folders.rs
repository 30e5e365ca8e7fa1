//! `workspace/didChangeWorkspaceFolders`.

use lsp_types::{DidChangeWorkspaceFoldersParams, Uri, WorkspaceFolder};

use crate::session::Session;

pub(crate) fn handle(session: &Session, params: &DidChangeWorkspaceFoldersParams) {
    let uris = |folders: &[WorkspaceFolder]| -> Vec<Uri> {
        folders.iter().map(|folder| folder.uri.clone()).collect()
    };
    session.change_roots(&uris(&params.event.removed), &uris(&params.event.added));
}
