//! What has been decided about the hunks of a proposal, read off the ledger.

use claudecluster_core::lifecycle::{FileEntry, Goal, Move};
use claudecluster_protocol::{
    HunkId, TaskId, Timestamp,
    event::Verdict,
    goal::{DecidedHunk, HunkFate},
};
use indexmap::IndexMap;

/// The decided hunks of a goal, in the order of files, oldest first.
pub(crate) fn of(goal: &Goal) -> Vec<DecidedHunk> {
    goal.files.iter().flat_map(of_entry).collect()
}

/// How many hunks of an entry have landed once and are taken back.
pub(crate) fn undone(entry: &FileEntry) -> u32 {
    let undone = fates(entry)
        .into_values()
        .filter(|(fate, _)| *fate == HunkFate::Undone);
    u32::try_from(undone.count()).unwrap_or(u32::MAX)
}

fn of_entry(entry: &FileEntry) -> impl Iterator<Item = DecidedHunk> {
    let mut tasks: Vec<TaskId> = Vec::new();
    for version in &entry.file.versions {
        if !tasks.contains(&version.by.task) {
            tasks.push(version.by.task.clone());
        }
    }
    fates(entry)
        .into_iter()
        .map(move |(id, (fate, at))| DecidedHunk {
            id: id.clone(),
            path: entry.file.path.clone(),
            fate,
            tasks: tasks.clone(),
            at,
        })
}

/// The last word on each hunk. A hunk may have several moves: landed, undone, landed again.
fn fates(entry: &FileEntry) -> IndexMap<&HunkId, (HunkFate, Timestamp)> {
    let mut found = IndexMap::new();
    for one in &entry.moves {
        for id in &one.hunks {
            match fate(one, id) {
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

fn fate(one: &Move, id: &HunkId) -> Option<HunkFate> {
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
    use claudecluster_core::lifecycle::State;
    use claudecluster_protocol::{EventBody, GoalId};
    use serde_json::{Value, json};

    use super::*;

    /// A goal with one file, of which these verdicts were carried out: what, about which hunks, and
    /// which earlier one it takes back.
    fn decided(verdicts: &[(&str, &[&str], Option<u32>)]) -> Vec<(String, HunkFate)> {
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
        let mut state = State::default();
        let read = |event: Value| serde_json::from_value::<EventBody>(event).unwrap();
        for (second, event) in events.into_iter().map(read).enumerate() {
            state.apply(&goal, Timestamp(second as u64), &event);
        }
        let goal = state.goal(&goal).unwrap();
        assert_eq!(
            undone(&goal.files[0]) as usize,
            of(goal)
                .iter()
                .filter(|hunk| hunk.fate == HunkFate::Undone)
                .count()
        );
        of(goal)
            .into_iter()
            .inspect(|hunk| assert_eq!(hunk.tasks, [TaskId::new("t")]))
            .map(|hunk| (hunk.id.to_string(), hunk.fate))
            .collect()
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
            decided(&story),
            &[("h1", Landed), ("h2", Landed), rest[0], rest[1]],
        );
        story.push(("undo", &["h1"], Some(0)));
        is(
            decided(&story),
            &[("h1", Undone), ("h2", Landed), rest[0], rest[1]],
        );
        let mut redone = story.clone();
        redone.push(("redo", &["h1"], Some(3)));
        is(
            decided(&redone),
            &[("h1", Landed), ("h2", Landed), rest[0], rest[1]],
        );
        story.push(("accept", &["h1"], None));
        is(
            decided(&story),
            &[("h1", Landed), ("h2", Landed), rest[0], rest[1]],
        );
        story.push(("undo", &["h3"], Some(1)));
        is(
            decided(&story),
            &[("h1", Landed), ("h2", Landed), ("h4", Resolved)],
        );
    }
}
