//! The files of a decision, each with the decision as it is for that file.

use claudecluster_core::state::{FileEntry, Goal, LedgerRecord};
use claudecluster_protocol::{
    HunkId, RelPath, api::Decision, event::Verdict, resolution::Resolution,
};

use crate::review::renames::renamed_to;

/// One file of a decision.
pub(super) struct FileDecision<'a> {
    /// Entry of the proposal.
    pub(super) entry: &'a FileEntry,
    /// The decision, as it is for this file.
    pub(super) decision: Decision,
    /// Index of an earlier file without which this one must not change: the new path of a renamed
    /// file.
    pub(super) needs: Option<usize>,
}

/// Returns the files that a decision is about, each with the decision for that file.
pub(super) fn file_decisions<'a>(
    goal: &'a Goal,
    decision: &Decision,
    only: Option<&[RelPath]>,
) -> Vec<FileDecision<'a>> {
    let mut found: Vec<FileDecision<'a>> = Vec::new();
    for index in entries_of(goal, decision) {
        let entry = &goal.files[index];
        let Some(to) = moved_to(goal, entry, decision.verdict) else {
            if only.is_none_or(|only| only.contains(&entry.file.path)) {
                let decision = decision.clone();
                found.push(FileDecision {
                    entry,
                    decision,
                    needs: None,
                });
            }
            continue;
        };
        // The old place of a renamed file goes with the new one, and only with it.
        let Some(needs) = found.iter().position(|file| file.entry.file.path == *to) else {
            continue;
        };
        found.push(FileDecision {
            entry,
            decision: decision_for_old_path(entry, decision),
            needs: Some(needs),
        });
    }
    found
}

/// Returns the decision for the old path of a renamed file.
fn decision_for_old_path(entry: &FileEntry, decision: &Decision) -> Decision {
    let named = decision.hunk_id.is_some();
    Decision {
        // Whoever takes the side of the rename has not seen what was typed into the old file since.
        verdict: match (&decision.verdict, &decision.resolution) {
            (Verdict::Resolve, Some(Resolution::Mine)) => Verdict::Reject,
            (Verdict::Resolve, _) => Verdict::Accept,
            (verdict, _) => *verdict,
        },
        hunk_id: last_decided(entry).filter(|_| named && decision.verdict == Verdict::Undo),
        task_id: None,
        path: Some(entry.file.path.clone()),
        ..decision.clone()
    }
}

/// Returns the entries that a decision is about. The old path of a renamed file goes with the new
/// one. An undo or redo looks at a file as a whole, so one of its entries is enough.
fn entries_of(goal: &Goal, decision: &Decision) -> Vec<usize> {
    let back = matches!(decision.verdict, Verdict::Undo | Verdict::Redo);
    let old_place = |entry| moved_to(goal, entry, decision.verdict);
    let wanted = |index: usize| {
        let entry = &goal.files[index];
        let path = &entry.file.path;
        let mut before = goal.files[..index].iter();
        let named = |only: &RelPath| path == only || old_place(entry) == Some(only);
        decision.path.as_ref().is_none_or(named)
            && !(back && before.any(|other| other.file.path == *path))
    };
    let mut found: Vec<usize> = (0..goal.files.len())
        .filter(|&index| wanted(index))
        .collect();
    found.sort_by_key(|&index| old_place(&goal.files[index]).is_some());
    found
}

/// Returns the new path of a file that is proposed to move away. Undo and redo also concern
/// proposals that have been decided.
fn moved_to<'a>(goal: &'a Goal, entry: &FileEntry, verdict: Verdict) -> Option<&'a RelPath> {
    if !matches!(verdict, Verdict::Undo | Verdict::Redo) {
        return renamed_to(goal, entry);
    }
    let first = entry.ledger.first();
    let proposed = first.map_or(&entry.file.proposed, |first| &first.before.proposed);
    let mut others = goal.files.iter();
    let to = others.find(|other| other.file.from.as_ref() == Some(&entry.file.path));
    to.filter(|_| proposed.is_none()).map(|to| &to.file.path)
}

/// Returns a hunk of the last decision.
fn last_decided(entry: &FileEntry) -> Option<HunkId> {
    let decided = entry.ledger.iter().rev().filter(|made| made.of.is_none());
    decided
        .flat_map(LedgerRecord::hunks_in_effect)
        .next()
        .cloned()
}
