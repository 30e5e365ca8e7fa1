//! `textDocument/completion` in plans.

use std::sync::Arc;

use lsp_types::{
    CompletionItem, CompletionOptions, CompletionParams, Documentation, InsertTextFormat,
    Registration, TextEdit,
};
use serde_json::json;

use super::{
    KEPT, candidates,
    diagnostics::{offset, range},
    files, goal, of, surroundings,
};
use crate::{documents::Snapshot, session::Session};

/// What can be written at a place. `None` where the document is no plan.
pub(crate) async fn complete(
    session: &Session,
    document: &Snapshot,
    params: &CompletionParams,
) -> Option<Vec<CompletionItem>> {
    let whose = of(session, document)?;
    let at = params.text_document_position_params.position;
    let at = offset(document, at, session.encoding());
    let goal = goal(session, &whose).await;
    let root = surroundings(session, document, goal.as_ref()).root;
    let text = String::from(&document.text);
    let snippets = session.capabilities().snippets;
    let (replaced, found) = session
        .ask(move |_| Ok(candidates::at(&text, at, snippets, root.as_deref())))
        .await
        .ok()?;
    let replaced = range(document, &replaced, session.encoding());
    let items = found.into_iter().enumerate().map(|(n, candidate)| {
        let edit = TextEdit {
            range: replaced,
            new_text: candidate.insert,
        };
        CompletionItem {
            label: candidate.label,
            kind: Some(candidate.kind),
            detail: candidate.detail,
            documentation: candidate.words.map(Documentation::String),
            filter_text: Some(candidate.filter),
            sort_text: Some(format!("{n:04}")),
            insert_text_format: candidate.is_snippet.then_some(InsertTextFormat::Snippet),
            text_edit: Some(edit.into()),
            ..CompletionItem::default()
        }
    });
    Some(items.collect())
}

/// Characters that a completion begins with.
const TRIGGERS: [&str; 2] = ["\"", "/"];

/// What is said at `initialize` to clients that cannot be told later for which files it is.
pub(crate) fn options(session: &Session) -> Option<CompletionOptions> {
    let later = session.capabilities().registers_completion;
    (!later).then(|| CompletionOptions {
        trigger_characters: Some(TRIGGERS.map(str::to_owned).to_vec()),
        ..CompletionOptions::default()
    })
}

/// Tells the others: whoever writes something else is not to be asked about it.
pub(crate) fn register(session: &Arc<Session>) {
    if !session.capabilities().registers_completion {
        return;
    }
    let ends = [files::ENDING, KEPT];
    let selector = ends.map(|end| json!({"scheme": "file", "pattern": format!("**/*{end}")}));
    let registration = Registration {
        id: "claudecluster-completion".to_owned(),
        method: "textDocument/completion".to_owned(),
        register_options: Some(json!({
            "documentSelector": selector,
            "triggerCharacters": TRIGGERS,
        })),
    };
    let asking = session.clone();
    session.spawn(async move {
        let asked = asking.client.register_capability(vec![registration]);
        match tokio::time::timeout(asking.config.reply_timeout, asked).await {
            Ok(Ok(())) => {}
            refused => tracing::debug!(?refused, "cannot register completion for plans"),
        }
    });
}
