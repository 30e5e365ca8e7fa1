//! `textDocument/codeLens`: what can be done with each pending hunk, above it.

use std::collections::HashMap;

use claudecluster_protocol::{api::Resolution, change::HunkView, editor::command};
use lsp_types::{CodeLens, CodeLensParams, Command, Position, Range};
use serde_json::json;

use crate::{hunks, plan, session::Session};

pub(crate) async fn handle(session: &Session, params: &CodeLensParams) -> Vec<CodeLens> {
    let Some(document) = session.documents.get(&params.text_document.uri) else {
        return Vec::new();
    };
    let hunks = hunks::of(session, &document).await;
    let repairable = hunks::repairable(session, &hunks).await;
    let mut lenses = plan::lenses(session, &document).await;
    let mut columns = HashMap::new();
    for hunk in &hunks {
        let line = hunks::range(&document, hunk, session.encoding()).start.line;
        let commands = if hunks::is_conflict(hunk) {
            conflict(hunk, repairable.contains(&hunk.id))
        } else {
            clean(hunk)
        };
        // Each in a column of its own, past those of other hunks of the line: editors order those of a line
        // by their columns, and Neovim not at all where these are equal.
        let next: &mut u32 = columns.entry(line).or_default();
        lenses.extend(commands.into_iter().map(|command| {
            let at = Position {
                line,
                character: *next,
            };
            *next += 1;
            CodeLens {
                range: Range { start: at, end: at },
                command: Some(command),
                data: None,
            }
        }));
    }
    lenses
}

/// `Accept change from Rename things | Reject | Diff`
fn clean(hunk: &HunkView) -> Vec<Command> {
    vec![
        accept(hunk, accept_title(hunk)),
        reject(hunk, "Reject".to_owned()),
        diff(hunk, "Diff".to_owned()),
    ]
}

/// `Conflict between you and Rename things | Merged | Mine | Theirs | Both | Diff | Repair`. The first shows
/// both sides: every lens has a command, or some clients show none of them.
fn conflict(hunk: &HunkView, can_repair: bool) -> Vec<Command> {
    let one = |resolution, title: &str| resolve(hunk, &resolution, title.to_owned());
    let mut commands = vec![diff(hunk, between(hunk))];
    if hunk.merged.is_some() {
        commands.push(one(Resolution::Merged, "Merged"));
    }
    commands.push(one(Resolution::Mine, "Mine"));
    commands.push(one(Resolution::Theirs, "Theirs"));
    if !hunk.whole {
        commands.push(one(Resolution::Both, "Both"));
    }
    commands.push(diff(hunk, "Diff".to_owned()));
    if can_repair {
        commands.push(one(Resolution::Repair, "Repair"));
    }
    commands
}

/// Whose texts a conflict is between.
pub(crate) fn between(hunk: &HunkView) -> String {
    let other = hunks::other_maker(hunk).unwrap_or_else(|| "you".to_owned());
    format!("Conflict between {other} and {}", hunks::maker(hunk))
}

/// What is accepted, from whom, and that it is mixed with what is there.
pub(crate) fn accept_title(hunk: &HunkView) -> String {
    let (what, maker) = (hunks::what(hunk), hunks::maker(hunk));
    let merged = if hunk.merged.is_some() {
        ", merged word by word"
    } else {
        ""
    };
    format!("Accept {what} from {maker}{merged}")
}

/// Accepts a hunk: the server makes the edit.
pub(crate) fn accept(hunk: &HunkView, title: String) -> Command {
    command(command::HUNK_ACCEPT, title, json!({"hunkId": hunk.id}))
}

/// Rejects a hunk.
pub(crate) fn reject(hunk: &HunkView, title: String) -> Command {
    command(command::HUNK_REJECT, title, json!({"hunkId": hunk.id}))
}

/// Shows a hunk as a diff.
pub(crate) fn diff(hunk: &HunkView, title: String) -> Command {
    command(command::HUNK_DIFF, title, json!({"hunkId": hunk.id}))
}

/// Decides a conflict.
pub(crate) fn resolve(hunk: &HunkView, resolution: &Resolution, title: String) -> Command {
    let argument = json!({"hunkId": hunk.id, "resolution": resolution});
    command(command::HUNK_RESOLVE, title, argument)
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
