//! `textDocument/completion` in plans.

use std::sync::Arc;

use lsp_types::{
    CompletionItem, CompletionOptions, CompletionParams, Documentation, InsertTextFormat,
    Registration, TextEdit,
};
use serde_json::json;

use super::{
    candidates::find_candidates,
    document::{WORKSPACE_ENDING, owning_goal, plan_context, plan_owner},
    files::GOAL_ENDING,
};
use crate::{
    blocking::run_blocking,
    documents::{
        DocumentSnapshot,
        lines::{to_byte_offset, to_lsp_range},
    },
    session::EditorSession,
};

/// Lists the completions at a position; `None` if the document is not a plan.
pub(crate) async fn complete_at(
    session: &EditorSession,
    document: &DocumentSnapshot,
    params: &CompletionParams,
) -> Option<Vec<CompletionItem>> {
    let owner = plan_owner(session, document)?;
    let at = params.text_document_position_params.position;
    let at = to_byte_offset(&document.text, at, session.encoding());
    let goal = owning_goal(session, &owner).await;
    let root = plan_context(session, document, goal.as_ref()).root;
    let text = String::from(&document.text);
    let snippets = session.capabilities().snippets;
    let (replaced, found) =
        run_blocking(move || Ok(find_candidates(&text, at, snippets, root.as_deref())))
            .await
            .ok()?;
    let replaced = to_lsp_range(&document.text, &replaced, session.encoding());
    let items = found.into_iter().enumerate().map(|(n, candidate)| {
        let edit = TextEdit {
            range: replaced,
            new_text: candidate.insert,
        };
        CompletionItem {
            label: candidate.label,
            kind: Some(candidate.kind),
            detail: candidate.detail,
            documentation: candidate.description.map(Documentation::String),
            filter_text: Some(candidate.filter),
            sort_text: Some(format!("{n:04}")),
            insert_text_format: candidate.is_snippet.then_some(InsertTextFormat::Snippet),
            text_edit: Some(edit.into()),
            ..CompletionItem::default()
        }
    });
    Some(items.collect())
}

/// The characters that trigger a completion.
const TRIGGERS: [&str; 2] = ["\"", "/"];

/// Returns the options for `initialize`; `None` for clients that [`register_completion`] serves.
pub(crate) fn completion_options(session: &EditorSession) -> Option<CompletionOptions> {
    let later = session.capabilities().registers_completion;
    (!later).then(|| CompletionOptions {
        trigger_characters: Some(TRIGGERS.map(str::to_owned).to_vec()),
        ..CompletionOptions::default()
    })
}

/// Registers completion for plan files only, so that clients do not request it for other files.
pub(crate) fn register_completion(session: &Arc<EditorSession>) {
    if !session.capabilities().registers_completion {
        return;
    }
    let endings = [GOAL_ENDING, WORKSPACE_ENDING];
    let selector = endings.map(|end| json!({"scheme": "file", "pattern": format!("**/*{end}")}));
    let registration = Registration {
        id: "claudecluster-completion".to_owned(),
        method: "textDocument/completion".to_owned(),
        register_options: Some(json!({
            "documentSelector": selector,
            "triggerCharacters": TRIGGERS,
        })),
    };
    let asking = session.clone();
    session.tasks.spawn(async move {
        let asked = asking.client.register_capability(vec![registration]);
        match tokio::time::timeout(asking.config.reply_timeout, asked).await {
            Ok(Ok(())) => {}
            refused => tracing::debug!(?refused, "cannot register completion for plans"),
        }
    });
}
