//! The commands of code actions and code lenses.

use std::borrow::Cow;

use claudecluster_core::display_text::line as plain_text;
use claudecluster_protocol::{change::HunkView, editor::command, resolution::Resolution};
use lsp_types::{CodeAction, CodeActionKind, CodeLens, Command, Position, Range};
use serde_json::json;

use crate::hunks;

/// The kind of code actions that start a goal or change a plan.
pub(crate) fn goal_action_kind() -> CodeActionKind {
    CodeActionKind::Custom(Cow::Borrowed("refactor.rewrite.claudecluster"))
}

/// The longest title, in characters. Titles hold words of goals and names of files.
pub(crate) const LONGEST_TITLE: usize = 300;

/// Creates a command with its one argument.
pub(crate) fn new_command(name: &str, title: String, argument: serde_json::Value) -> Command {
    let clean = plain_text::to_line(&title, LONGEST_TITLE);
    Command {
        title: if clean == title { title } else { clean },
        tooltip: None,
        command: name.to_owned(),
        arguments: Some(vec![argument]),
    }
}

/// Creates the command that accepts a hunk; the server makes the edit.
pub(crate) fn accept_hunk(hunk: &HunkView, title: String) -> Command {
    new_command(command::HUNK_ACCEPT, title, json!({"hunkId": hunk.id}))
}

/// Creates the command that rejects a hunk.
pub(crate) fn reject_hunk(hunk: &HunkView, title: String) -> Command {
    new_command(command::HUNK_REJECT, title, json!({"hunkId": hunk.id}))
}

/// Creates the command that shows a hunk as a diff.
pub(crate) fn show_diff(hunk: &HunkView, title: String) -> Command {
    new_command(command::HUNK_DIFF, title, json!({"hunkId": hunk.id}))
}

/// Creates the command that resolves a conflict.
pub(crate) fn resolve_conflict(hunk: &HunkView, resolution: &Resolution, title: String) -> Command {
    let argument = json!({"hunkId": hunk.id, "resolution": resolution});
    new_command(command::HUNK_RESOLVE, title, argument)
}

/// Returns the title of an accept: what is accepted, who made it, and whether its words are merged.
pub(crate) fn accept_title(hunk: &HunkView) -> String {
    let (what, maker) = (hunks::describe_change(hunk), hunks::maker_title(hunk));
    let merged = if hunk.merged.is_some() {
        ", merged word by word"
    } else {
        ""
    };
    format!("Accept {what} from {maker}{merged}")
}

/// Wraps a command in a quick fix of the same title.
pub(crate) fn to_quick_fix(command: Command) -> CodeAction {
    CodeAction {
        title: command.title.clone(),
        kind: Some(CodeActionKind::QuickFix),
        command: Some(command),
        ..CodeAction::default()
    }
}

/// Puts commands above a line, each lens in a column of its own, from `first_column` on.
///
/// Editors order the lenses of a line by their columns; Neovim does not order lenses of equal columns
/// at all.
pub(crate) fn to_lenses(
    line: u32,
    first_column: u32,
    commands: Vec<Command>,
) -> impl Iterator<Item = CodeLens> {
    let lens = move |(character, command)| {
        let at = Position { line, character };
        CodeLens {
            range: Range { start: at, end: at },
            command: Some(command),
            data: None,
        }
    };
    (first_column..).zip(commands).map(lens)
}
