//! `textDocument/codeLens`: accept and reject above each pending hunk.

use claudecluster_protocol::{change::HunkView, editor::command};
use lsp_types::{CodeLens, CodeLensParams, Command};
use serde_json::json;

use crate::{hunks, session::Session};

pub(crate) async fn handle(session: &Session, params: &CodeLensParams) -> Vec<CodeLens> {
    let Some(document) = session.documents.get(&params.text_document.uri) else {
        return Vec::new();
    };
    let hunks = hunks::of(session, &document).await;
    let mut lenses = Vec::new();
    for hunk in &hunks {
        let mut range = hunks::range(&document, hunk, session.encoding());
        range.end = range.start;
        let mut push = |command| {
            lenses.push(CodeLens {
                range,
                command: Some(command),
                data: None,
            });
        };
        if hunks::is_conflict(hunk) {
            push(reject(
                hunk,
                format!("Conflict with {}: keep this text", hunks::maker(hunk)),
            ));
        } else {
            push(accept(
                hunk,
                format!("Accept {} from {}", hunks::what(hunk), hunks::maker(hunk)),
            ));
            push(reject(hunk, "Reject".to_owned()));
        }
    }
    lenses
}

/// Accepts a hunk: the server makes the edit.
pub(crate) fn accept(hunk: &HunkView, title: String) -> Command {
    command(command::HUNK_ACCEPT, title, json!({"hunkId": hunk.id}))
}

/// Rejects a hunk.
pub(crate) fn reject(hunk: &HunkView, title: String) -> Command {
    command(command::HUNK_REJECT, title, json!({"hunkId": hunk.id}))
}

/// A command with its one argument.
pub(crate) fn command(name: &str, title: String, argument: serde_json::Value) -> Command {
    Command {
        title,
        tooltip: None,
        command: name.to_owned(),
        arguments: Some(vec![argument]),
    }
}
