//! `textDocument/codeLens`: the commands for each pending hunk, above the hunk.

use std::collections::HashMap;

use claudecluster_protocol::{change::HunkView, resolution::Resolution};
use lsp_types::{CodeLens, CodeLensParams, Command};

use crate::{
    commands::{accept_hunk, accept_title, reject_hunk, resolve_conflict, show_diff, to_lenses},
    hunks, plan,
    session::EditorSession,
};

/// Lists the lenses of a document's pending hunks, and those of a plan.
pub(crate) async fn list_lenses(session: &EditorSession, params: &CodeLensParams) -> Vec<CodeLens> {
    let Some(document) = session.documents.get(&params.text_document.uri) else {
        return Vec::new();
    };
    let hunks = hunks::pending_hunks(session, &document).await;
    let repairable = hunks::repairable_conflicts(session, &hunks).await;
    let mut lenses = plan::plan_lenses(session, &document).await;
    let mut columns = HashMap::new();
    for hunk in &hunks {
        let line = hunks::hunk_range(&document, hunk, session.encoding())
            .start
            .line;
        let commands = if hunks::is_conflict(hunk) {
            conflict_commands(hunk, repairable.contains(&hunk.id))
        } else {
            clean_commands(hunk)
        };
        // The lenses of several hunks above one line have columns of their own.
        let next: &mut u32 = columns.entry(line).or_default();
        let before = lenses.len();
        lenses.extend(to_lenses(line, *next, commands));
        *next += u32::try_from(lenses.len() - before).unwrap_or_default();
    }
    lenses
}

/// Returns the commands for a clean hunk: `Accept change from Rename things | Reject | Diff`.
fn clean_commands(hunk: &HunkView) -> Vec<Command> {
    vec![
        accept_hunk(hunk, accept_title(hunk)),
        reject_hunk(hunk, "Reject".to_owned()),
        show_diff(hunk, "Diff".to_owned()),
    ]
}

/// Returns the commands for a conflict.
///
/// For example: `Conflict between you and Rename things | Merged | Mine | Theirs | Both | Diff | Repair`.
/// The title is a command as well, which shows both sides: some clients show no lens at all if one has
/// no command.
fn conflict_commands(hunk: &HunkView, can_repair: bool) -> Vec<Command> {
    let one = |resolution, title: &str| resolve_conflict(hunk, &resolution, title.to_owned());
    let mut commands = vec![show_diff(hunk, hunks::conflict_title(hunk))];
    if hunk.merged.is_some() {
        commands.push(one(Resolution::Merged, "Merged"));
    }
    commands.push(one(Resolution::Mine, "Mine"));
    commands.push(one(Resolution::Theirs, "Theirs"));
    if !hunk.whole {
        commands.push(one(Resolution::Both, "Both"));
    }
    commands.push(show_diff(hunk, "Diff".to_owned()));
    if can_repair {
        commands.push(one(Resolution::Repair, "Repair"));
    }
    commands
}
