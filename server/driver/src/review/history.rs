//! Decisions about the hunks of a proposal, read off the ledger.

use std::collections::BTreeMap;

use claudecluster_core::state::{FileEntry, Goal, LedgerRecord, ReviewPair};
use claudecluster_protocol::{
    ErrorBody, HunkId, TaskId, Timestamp,
    change::Provenance,
    event::Verdict,
    goal::{DecidedHunk, HunkFate},
};
use indexmap::IndexMap;

use crate::review::{cache::ReviewCache, pending, versions::FileVersions};

/// Returns the decided hunks of a goal, in the order of files, oldest first. Reads the versions of files that
/// several tasks have changed.
pub(crate) fn decided_hunks(reviews: &ReviewCache, goal: &Goal) -> Vec<DecidedHunk> {
    let entries = goal.files.iter();
    entries
        .flat_map(|entry| of_entry(reviews, goal, entry))
        .collect()
}

/// Counts the hunks of an entry that landed and are undone.
pub(crate) fn count_undone(entry: &FileEntry) -> u32 {
    let undone = hunk_fates(entry)
        .into_values()
        .filter(|(fate, _)| *fate == HunkFate::Undone);
    u32::try_from(undone.count()).unwrap_or(u32::MAX)
}

fn of_entry(reviews: &ReviewCache, goal: &Goal, entry: &FileEntry) -> Vec<DecidedHunk> {
    let fates = hunk_fates(entry);
    let all = distinct_tasks(entry.file.versions.iter().map(|version| &version.by));
    let mut makers = BTreeMap::new();
    if all.len() > 1 && !fates.is_empty() {
        for made in &entry.ledger {
            // What cannot be read any more only makes the answer less exact.
            makers.extend(makers_at(reviews, goal, entry, &made.before).unwrap_or_default());
        }
    }
    fates
        .into_iter()
        .map(|(id, (fate, at))| DecidedHunk {
            id: id.clone(),
            path: entry.file.path.clone(),
            fate,
            tasks: makers.get(id).unwrap_or(&all).clone(),
            at,
        })
        .collect()
}

/// Returns the tasks of each hunk there was when the pair was this one.
fn makers_at(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    pair: &ReviewPair,
) -> Result<BTreeMap<HunkId, Vec<TaskId>>, ErrorBody> {
    let mut then = entry.clone();
    then.file.base.clone_from(&pair.base);
    then.file.proposed.clone_from(&pair.proposed);
    let mut versions = FileVersions::load(reviews.contents(), &then, None)?;
    versions.current.clone_from(&versions.base);
    let hunks = pending::pending_hunks(reviews, goal, &then, &versions)?;
    let makers = hunks
        .into_iter()
        .map(|hunk| (hunk.view.id, distinct_tasks(hunk.view.provenance.iter())));
    Ok(makers.collect())
}

fn distinct_tasks<'a>(by: impl Iterator<Item = &'a Provenance>) -> Vec<TaskId> {
    let mut tasks: Vec<TaskId> = Vec::new();
    for by in by {
        if !tasks.contains(&by.task) {
            tasks.push(by.task.clone());
        }
    }
    tasks
}

/// Returns the last word on each hunk. A hunk may have several moves: landed, undone, landed again.
fn hunk_fates(entry: &FileEntry) -> IndexMap<&HunkId, (HunkFate, Timestamp)> {
    let mut found = IndexMap::new();
    for one in &entry.ledger {
        for id in &one.hunks {
            match fate_in_move(one, id) {
                Some(fate) => {
                    found.insert(id, (fate, one.at));
                }
                // A rejection that was taken back leaves the hunk as if it had not been.
                None if one.verdict == Verdict::Reject => {
                    found.shift_remove(id);
                }
                None => {}
            }
        }
    }
    found
}

fn fate_in_move(one: &LedgerRecord, id: &HunkId) -> Option<HunkFate> {
    let stands = !one.undone.contains(id);
    match one.verdict {
        Verdict::Accept if stands => Some(HunkFate::Landed),
        Verdict::Resolve if stands => Some(HunkFate::Resolved),
        Verdict::Reject if stands => Some(HunkFate::Rejected),
        Verdict::Accept | Verdict::Resolve => Some(HunkFate::Undone),
        // What they did is written at the move that they took back.
        Verdict::Reject | Verdict::Undo | Verdict::Redo => None,
    }
}

#[cfg(test)]
mod tests {
    use claudecluster_core::state::ClusterState;
    use claudecluster_protocol::{EventBody, GoalId};
    use serde_json::{Value, json};

    use super::*;

    /// Returns a goal with one file, of which these verdicts were carried out: what, about which hunks, and
    /// which earlier one it takes back.
    fn decided_fates(verdicts: &[(&str, &[&str], Option<u32>)]) -> Vec<(String, HunkFate)> {
        let goal = GoalId::new("g1");
        let file = json!({
            "path": "a.txt", "entry": 0, "base": null, "proposed": null,
            "versions": [{"task": "t", "title": "T", "attempt": 1, "base": null, "proposed": null}],
        });
        let mut events = vec![
            json!({"type": "goalSubmitted", "spec": {"workspace": "/w", "prompt": "x"}}),
            json!({"type": "proposed", "files": [file]}),
        ];
        events.extend(verdicts.iter().map(|(verdict, hunks, of)| {
            json!({
                "type": "reviewed", "path": "a.txt", "entry": 0, "verdict": verdict, "hunks": hunks,
                "base": null, "proposed": null, "landed": null, "reason": null, "of": of,
            })
        }));
        let mut state = ClusterState::default();
        let read = |event: Value| serde_json::from_value::<EventBody>(event).unwrap();
        for (second, event) in events.into_iter().map(read).enumerate() {
            state.apply_event(&goal, Timestamp(second as u64), &event);
        }
        let entry = &state.goal(&goal).unwrap().files[0];
        let found: Vec<_> = hunk_fates(entry)
            .into_iter()
            .map(|(id, (fate, _))| (id.to_string(), fate))
            .collect();
        let is_undone = |(_, fate): &&(String, HunkFate)| *fate == HunkFate::Undone;
        assert_eq!(
            count_undone(entry) as usize,
            found.iter().filter(is_undone).count()
        );
        found
    }

    #[test]
    fn the_last_word_on_a_hunk_counts() {
        use HunkFate::{Landed, Rejected, Resolved, Undone};
        let is = |found: Vec<(String, HunkFate)>, wanted: &[(&str, HunkFate)]| {
            let wanted: Vec<_> = wanted.iter().map(|(id, f)| (id.to_string(), *f)).collect();
            assert_eq!(found, wanted);
        };
        let mut story: Vec<(&str, &[&str], Option<u32>)> = vec![
            ("accept", &["h1", "h2"], None),
            ("reject", &["h3"], None),
            ("resolve", &["h4"], None),
        ];
        let rest = [("h3", Rejected), ("h4", Resolved)];
        is(
            decided_fates(&story),
            &[("h1", Landed), ("h2", Landed), rest[0], rest[1]],
        );
        story.push(("undo", &["h1"], Some(0)));
        is(
            decided_fates(&story),
            &[("h1", Undone), ("h2", Landed), rest[0], rest[1]],
        );
        let mut redone = story.clone();
        redone.push(("redo", &["h1"], Some(3)));
        is(
            decided_fates(&redone),
            &[("h1", Landed), ("h2", Landed), rest[0], rest[1]],
        );
        story.push(("accept", &["h1"], None));
        is(
            decided_fates(&story),
            &[("h1", Landed), ("h2", Landed), rest[0], rest[1]],
        );
        story.push(("undo", &["h3"], Some(1)));
        is(
            decided_fates(&story),
            &[("h1", Landed), ("h2", Landed), ("h4", Resolved)],
        );
    }
}
