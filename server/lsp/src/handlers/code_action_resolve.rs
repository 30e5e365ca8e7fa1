//! `codeAction/resolve`: the edit of an accept, computed for the current text.

use claudecluster_protocol::{ErrorBody, ErrorKind, editor::command};
use lsp_types::CodeAction;
use serde_json::json;
use tower_lsp::jsonrpc::Result;

use super::code_action::AcceptActionData;
use crate::{
    commands, failure,
    session::EditorSession,
    workspace_edit::{to_workspace_edit, unsupported_line_endings},
};

/// Adds the edit and the command to an accept that the user has chosen.
pub(crate) async fn resolve_action(
    session: &EditorSession,
    mut action: CodeAction,
) -> Result<CodeAction> {
    let Some(data) = &action.data else {
        // The action is complete already.
        return Ok(action);
    };
    let data: AcceptActionData = serde_json::from_value(data.clone()).map_err(|e| {
        failure::invalid_params(format!(
            "data: not what this server put into the action: {e}"
        ))
    })?;
    let span = tracing::Span::current();
    span.record("goal", data.goal.as_str());
    span.record("hunk", data.hunk.as_str());
    // Before the first await: the text as the client has it at this point of the wire.
    let document = session.documents.get(&data.file);
    let capabilities = session.capabilities().clone();
    let hunk = data.hunk.clone();
    let edit = session.query_texts(move |texts| {
        let document = document
            .filter(|document| {
                document.version == data.version && document.text_hash() == data.hash
            })
            .ok_or_else(text_changed)?;
        let stale = |error| ErrorBody {
            kind: ErrorKind::Stale,
            ..error
        };
        let text = String::from(&document.text);
        let after = texts.preview(&data.hunk, &text).map_err(stale)?;
        if let Some(reason) = unsupported_line_endings(&document, &after, &capabilities) {
            return Err(ErrorBody::user(reason));
        }
        Ok(to_workspace_edit(&document, &after, &capabilities))
    });
    action.edit = Some(edit.await.map_err(|e| failure::to_reply(&e))?);
    // The command runs after the edit and after the client has reported the change: the driver then
    // checks whether the text of the hunk is there.
    let argument = json!({"hunkId": hunk, "applied": true});
    action.command = Some(commands::new_command(
        command::HUNK_ACCEPT,
        action.title.clone(),
        argument,
    ));
    Ok(action)
}

fn text_changed() -> ErrorBody {
    ErrorBody::stale("the text has changed since the action was offered")
        .with_hint("request code actions again")
}
