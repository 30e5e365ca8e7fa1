//! Undo and redo: the moves that a decision takes back or makes again.

use std::cmp::Reverse;

use claudecluster_core::state::{FileEntry, Goal, LedgerRecord};
use claudecluster_protocol::{ErrorBody, HunkId, RelPath, api::Decision, event::Verdict};

use super::{
    EntryVerdicts,
    revert::{PastMove, RevertState},
    to_u32,
};
use crate::{
    review::{cache::ReviewCache, versions::FileVersions},
    workspace::content_store::ContentStore,
};

/// Hunks of a move to undo or redo.
struct RevertTarget<'a> {
    past: PastMove<'a>,
    /// For a redo, the index of the undo; for an undo, that of the move itself.
    undo: usize,
    hunks: Vec<HunkId>,
}

/// Works out an undo: the latest landing first, keeping text typed since.
///
/// The result covers all entries of the file, whichever entry is given: a landing of one can build
/// on a landing of another.
pub(crate) fn undo_moves(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
    decision: &Decision,
) -> Result<EntryVerdicts, ErrorBody> {
    let contents = reviews.contents();
    let mut state = RevertState::new(contents, versions.current.clone());
    let mut verdicts = EntryVerdicts::default();
    for target in to_undo(contents, goal, &entry.file.path, decision)? {
        let RevertTarget { past, hunks, .. } = target;
        let standing: Vec<HunkId> = past.ledger_move().hunks_in_effect().cloned().collect();
        let step = past.undo_step(&standing);
        let (change, left) =
            state.apply_step(past.entry, &step, &hunks, Verdict::Undo, past.index)?;
        verdicts.changes.extend(change);
        verdicts.conflicts += to_u32(left);
    }
    Ok(verdicts)
}

/// Works out a redo: the latest undo is taken back first.
pub(crate) fn redo_moves(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
    decision: &Decision,
) -> Result<EntryVerdicts, ErrorBody> {
    let contents = reviews.contents();
    let mut state = RevertState::new(contents, versions.current.clone());
    let mut verdicts = EntryVerdicts::default();
    for target in to_redo(contents, goal, &entry.file.path, decision)? {
        let RevertTarget { past, undo, hunks } = target;
        let step = past.redo_step(contents, goal, undo, &hunks)?;
        let (change, left) = state.apply_step(past.entry, &step, &hunks, Verdict::Redo, undo)?;
        verdicts.changes.extend(change);
        verdicts.conflicts += to_u32(left);
    }
    Ok(verdicts)
}

/// Returns the moves of a goal that `wanted` selects, the latest first.
fn moves_latest_first(
    goal: &Goal,
    wanted: impl Fn(&FileEntry, &LedgerRecord) -> bool,
) -> impl Iterator<Item = (&FileEntry, usize)> {
    let mut found = Vec::new();
    for entry in &goal.files {
        let moves = entry.ledger.iter().enumerate();
        let moves = moves.filter(|(_, made)| wanted(entry, made));
        found.extend(moves.map(|(index, made)| (made.order, entry, index)));
    }
    found.sort_by_key(|(order, ..)| Reverse(*order));
    found.into_iter().map(|(_, entry, index)| (entry, index))
}

/// Returns the moves of one file that a decision undoes, the latest first. Naming a hunk undoes the
/// last verdict about it, landing or rejection; naming anything else undoes landings.
fn to_undo<'a>(
    contents: &ContentStore,
    goal: &'a Goal,
    path: &RelPath,
    decision: &Decision,
) -> Result<Vec<RevertTarget<'a>>, ErrorBody> {
    let mut found = Vec::new();
    let here =
        |entry: &FileEntry, made: &LedgerRecord| entry.file.path == *path && made.of.is_none();
    for (entry, index) in moves_latest_first(goal, here) {
        let made = &entry.ledger[index];
        let mut hunks: Vec<HunkId> = made.hunks_in_effect().cloned().collect();
        match &decision.hunk_id {
            Some(named) => hunks.retain(|id| id == named),
            None if made.is_landing() => {}
            None => continue,
        }
        if hunks.is_empty() {
            continue;
        }
        let past = PastMove::load_move(contents, goal, entry, index)?;
        if let Some(task) = &decision.task_id {
            hunks.retain(|id| past.is_by(id, task));
        }
        if past.is_indivisible() && !hunks.is_empty() {
            hunks = made.hunks_in_effect().cloned().collect();
        }
        if !hunks.is_empty() {
            found.push(RevertTarget {
                past,
                undo: index,
                hunks,
            });
        }
        if decision.hunk_id.is_some() {
            break;
        }
    }
    Ok(found)
}

/// Returns the moves in one file that a redo concerns, the latest first: those undone by the latest
/// decision to undo that matches.
fn to_redo<'a>(
    contents: &ContentStore,
    goal: &'a Goal,
    path: &RelPath,
    decision: &Decision,
) -> Result<Vec<RevertTarget<'a>>, ErrorBody> {
    let mut found = Vec::new();
    let mut latest = None;
    let meant = |entry: &FileEntry, made: &LedgerRecord| {
        let path = decision.path.as_ref();
        made.verdict == Verdict::Undo && path.is_none_or(|only| *only == entry.file.path)
    };
    for (entry, index) in moves_latest_first(goal, meant) {
        let made = &entry.ledger[index];
        let here = entry.file.path == *path;
        match &latest {
            Some(latest) if *latest != made.decision_key() => break,
            // Which decision it is is known; what else it undid is for the other files to tell.
            Some(_) if !here => continue,
            _ => {}
        }
        let mut hunks = entry.undone_by(index);
        if let Some(named) = &decision.hunk_id {
            hunks.retain(|id| id == named);
        }
        let Some(of) = entry.takes_back(index).filter(|of| *of < index) else {
            continue;
        };
        if hunks.is_empty() {
            continue;
        }
        // The texts that a move was made from are read only where they tell something.
        if !here && decision.task_id.is_none() {
            latest = Some(made.decision_key());
            continue;
        }
        let past = PastMove::load_move(contents, goal, entry, of)?;
        if let Some(task) = &decision.task_id {
            hunks.retain(|id| past.is_by(id, task));
        }
        if hunks.is_empty() {
            continue;
        }
        if past.is_indivisible() {
            hunks = entry.undone_by(index);
        }
        latest = Some(made.decision_key());
        if here {
            found.push(RevertTarget {
                past,
                undo: index,
                hunks,
            });
        }
    }
    Ok(found)
}
