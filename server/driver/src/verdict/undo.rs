//! Undo and redo: which moves a decision takes back or makes again, and what that comes to.

use claudecluster_core::lifecycle::{FileEntry, Goal};
use claudecluster_protocol::{ErrorBody, HunkId, RelPath, api::Decision, event::Verdict};

use super::{
    Verdicts,
    back::{Desk, Past},
    count,
};
use crate::{pending::Versions, shared::Shared};

/// Hunks of a move that are to be taken back, or to be made again.
struct Target<'a> {
    past: Past<'a>,
    /// The undo that took them back; the move itself for those that are to be.
    undo: usize,
    hunks: Vec<HunkId>,
}

/// What taking back comes to: the latest landing first, keeping what was typed since. Whatever entry
/// of a file it is asked for, the answer is about all entries of that file, for a landing of one can
/// stand on a landing of another.
pub(crate) fn undo(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    versions: &Versions,
    decision: &Decision,
) -> Result<Verdicts, ErrorBody> {
    let mut desk = Desk::new(shared, versions.current.clone());
    let mut verdicts = Verdicts::default();
    for target in to_undo(shared, goal, &entry.file.path, decision)? {
        let Target { past, hunks, .. } = target;
        let standing: Vec<HunkId> = past.made().standing().cloned().collect();
        let step = past.undo(&standing);
        let (change, left) = desk.take(past.entry, &step, &hunks, Verdict::Undo, past.index)?;
        verdicts.changes.extend(change);
        verdicts.conflicts += count(left);
    }
    Ok(verdicts)
}

/// What making again comes to: the undo made last is taken back first.
pub(crate) fn redo(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    versions: &Versions,
    decision: &Decision,
) -> Result<Verdicts, ErrorBody> {
    let mut desk = Desk::new(shared, versions.current.clone());
    let mut verdicts = Verdicts::default();
    for target in to_redo(shared, goal, &entry.file.path, decision)? {
        let Target { past, undo, hunks } = target;
        let step = past.redo(shared, goal, undo, &hunks)?;
        let (change, left) = desk.take(past.entry, &step, &hunks, Verdict::Redo, undo)?;
        verdicts.changes.extend(change);
        verdicts.conflicts += count(left);
    }
    Ok(verdicts)
}

/// The move that an undo took back.
fn taken_back<'a>(
    shared: &Shared,
    goal: &Goal,
    entry: &'a FileEntry,
    undo: usize,
) -> Result<Option<Past<'a>>, ErrorBody> {
    let of = entry.takes_back(undo).filter(|of| *of < undo);
    of.map(|of| Past::of(shared, goal, entry, of)).transpose()
}

/// All moves of a goal, the latest first.
fn moves(goal: &Goal) -> Vec<(&FileEntry, usize)> {
    let entries = goal.files.iter();
    let all = entries.flat_map(|entry| (0..entry.moves.len()).map(move |index| (entry, index)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(entry, index)| std::cmp::Reverse(entry.moves[*index].order));
    all
}

/// The moves of one file that a decision takes back, the latest first. Naming a hunk takes back the
/// last word on it, be it a landing or a rejection; naming anything else takes back landings.
fn to_undo<'a>(
    shared: &Shared,
    goal: &'a Goal,
    path: &RelPath,
    decision: &Decision,
) -> Result<Vec<Target<'a>>, ErrorBody> {
    let mut found = Vec::new();
    for (entry, index) in moves(goal) {
        let made = &entry.moves[index];
        if entry.file.path != *path || made.of.is_some() {
            continue;
        }
        let mut hunks: Vec<HunkId> = made.standing().cloned().collect();
        match &decision.hunk_id {
            Some(named) => hunks.retain(|id| id == named),
            None if made.is_landing() => {}
            None => continue,
        }
        if hunks.is_empty() {
            continue;
        }
        let past = Past::of(shared, goal, entry, index)?;
        if let Some(task) = &decision.task_id {
            hunks.retain(|id| past.is_by(id, task));
        }
        if past.is_one() && !hunks.is_empty() {
            hunks = made.standing().cloned().collect();
        }
        if !hunks.is_empty() {
            found.push(Target {
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

/// The undos that the latest decision to undo made, as far as this decision is about them, the latest
/// first; of these, the ones in one file.
fn to_redo<'a>(
    shared: &Shared,
    goal: &'a Goal,
    path: &RelPath,
    decision: &Decision,
) -> Result<Vec<Target<'a>>, ErrorBody> {
    let mut found = Vec::new();
    let mut latest = None;
    for (entry, index) in moves(goal) {
        let made = &entry.moves[index];
        let elsewhere = decision
            .path
            .as_ref()
            .is_some_and(|only| *only != entry.file.path);
        let earlier = latest
            .as_ref()
            .is_some_and(|latest| *latest != made.decided());
        if made.verdict != Verdict::Undo || elsewhere || earlier {
            continue;
        }
        let mut hunks = entry.undone_by(index);
        if let Some(named) = &decision.hunk_id {
            hunks.retain(|id| id == named);
        }
        if hunks.is_empty() {
            continue;
        }
        let Some(past) = taken_back(shared, goal, entry, index)? else {
            continue;
        };
        if let Some(task) = &decision.task_id {
            hunks.retain(|id| past.is_by(id, task));
        }
        if hunks.is_empty() {
            continue;
        }
        if past.is_one() {
            hunks = entry.undone_by(index);
        }
        latest = Some(made.decided());
        if entry.file.path == *path {
            found.push(Target {
                past,
                undo: index,
                hunks,
            });
        }
    }
    Ok(found)
}
