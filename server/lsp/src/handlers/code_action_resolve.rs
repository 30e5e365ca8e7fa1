//! `codeAction/resolve`: the edit of an accept, computed against the text that is there now.

use claudecluster_protocol::{ErrorBody, ErrorKind, editor::command};
use lsp_types::CodeAction;
use serde_json::json;
use tower_lsp::jsonrpc::Result;

use super::{code_action::ActionData, code_lens};
use crate::{edit, failure, session::Session};

pub(crate) async fn handle(session: &Session, mut action: CodeAction) -> Result<CodeAction> {
    let Some(data) = &action.data else {
        // Complete as it is.
        return Ok(action);
    };
    let data: ActionData = serde_json::from_value(data.clone()).map_err(|e| {
        failure::bad_params(format!(
            "data: not what this server put into the action: {e}"
        ))
    })?;
    // Before the first wait: the text as the client has it at this point of the wire.
    let document = session.documents.get(&data.file);
    let capabilities = session.capabilities().clone();
    let hunk = data.hunk.clone();
    let edit = session.ask(move |backend| {
        let document = document
            .filter(|document| document.version == data.version && document.hash() == data.hash)
            .ok_or_else(changed)?;
        let stale = |error| ErrorBody {
            kind: ErrorKind::Stale,
            ..error
        };
        let text = String::from(&document.text);
        let after = backend.preview(&data.hunk, &text).map_err(stale)?;
        if let Some(reason) = edit::misplaced(&document, &after, &capabilities) {
            return Err(ErrorBody::user(reason));
        }
        Ok(edit::workspace_edit(&document, &after, &capabilities))
    });
    action.edit = Some(edit.await.map_err(|e| failure::reply(&e))?);
    // Runs after the edit, and after the change it makes has been told: the driver then looks
    // whether the text is there.
    let argument = json!({"hunkId": hunk, "applied": true});
    action.command = Some(code_lens::command(
        command::HUNK_ACCEPT,
        action.title.clone(),
        argument,
    ));
    Ok(action)
}

fn changed() -> ErrorBody {
    ErrorBody::stale("the text has changed since the action was offered")
        .hint("request code actions again")
}
