//! What others get to see: goals, tasks and pending hunks, made from an immutable snapshot of the
//! state and the texts that are there now.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use claudecluster_core::{
    lifecycle::{Attempt, FileEntry, Goal, Task},
    patch::{self, FileAt, FilePair},
};
use claudecluster_protocol::{
    ErrorBody, HunkId, RelPath, TaskState,
    api::{Artifact, Decision, DecisionReport},
    change::HunkView,
    goal::{AttemptView, GoalSummary, GoalView, HunkCounts, TaskView},
};
use claudecluster_worker::changes::Content;

use crate::{
    current::Current,
    decided, disk,
    handle::Diff,
    landing, origins,
    pending::{self, Pending, Versions},
    proposal::as_text,
    reviews::Left,
    shared::{self, Shared},
    verdict,
};

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The goal in the developer's words, or the plan's.
pub(crate) fn prompt(goal: &Goal) -> String {
    match &goal.plan {
        Some(plan) if goal.spec.prompt.is_empty() => plan.goal.clone(),
        _ => goal.spec.prompt.clone(),
    }
}

/// A goal in one line.
pub(crate) fn summary(shared: &Shared, goal: &Goal) -> GoalSummary {
    let with = |state| {
        count(
            goal.tasks
                .values()
                .filter(|task| task.state == state)
                .count(),
        )
    };
    GoalSummary {
        id: goal.id.clone(),
        workspace: goal.spec.workspace.clone(),
        prompt: prompt(goal),
        state: goal.state,
        tasks: count(goal.tasks.len()),
        succeeded: with(TaskState::Succeeded),
        running: with(TaskState::Running),
        permissions_waiting: count(goal.permissions.open.len()),
        paused: with(TaskState::Paused),
        hunks: counts(shared, goal),
        cost_usd: goal.usage().cost_usd,
        submitted_at: goal.submitted_at,
        updated_at: goal.updated_at,
        error: goal.error.clone(),
    }
}

/// A goal with everything known about it.
pub(crate) fn goal(shared: &Shared, goal: &Goal) -> GoalView {
    GoalView {
        summary: summary(shared, goal),
        spec: goal.spec.clone(),
        plan: goal.plan.clone(),
        tasks_detail: goal
            .tasks
            .values()
            .map(|task| self::task(goal, task))
            .collect(),
        gates: goal.gates.clone(),
        permissions: goal.permissions.open.clone(),
        decided: decided::of(shared, goal),
        time_left: goal.time_left(shared::now()),
    }
}

fn task(goal: &Goal, task: &Task) -> TaskView {
    let changes = task
        .outcome()
        .map(|outcome| outcome.changes.as_slice())
        .unwrap_or_default();
    TaskView {
        id: task.spec.id.clone(),
        title: task.spec.label().to_owned(),
        state: task.state,
        depends_on: task.spec.depends_on.clone(),
        agent: goal.spec.agent_for(&task.spec),
        attempts: task.attempts.iter().map(attempt).collect(),
        changed: changes.iter().map(|change| change.path.clone()).collect(),
        repair: task.repair.clone(),
    }
}

fn attempt(attempt: &Attempt) -> AttemptView {
    let outcome = attempt.outcome.as_ref();
    AttemptView {
        id: attempt.id,
        started_at: attempt.started_at,
        ended_at: attempt.ended_at,
        stop: outcome.and_then(|outcome| outcome.stop),
        summary: outcome
            .map(|outcome| outcome.summary.clone())
            .unwrap_or_default(),
        usage: outcome.map(|outcome| outcome.usage).unwrap_or_default(),
        sandbox: outcome.and_then(|outcome| outcome.sandbox),
    }
}

/// The new place of a file that is proposed to move away. Its deletion is part of that hunk and not
/// shown by itself.
pub(crate) fn renamed_to<'a>(goal: &'a Goal, entry: &FileEntry) -> Option<&'a RelPath> {
    if entry.file.proposed.is_some() {
        return None;
    }
    goal.files
        .iter()
        .find(|other| other.file.from.as_ref() == Some(&entry.file.path) && !other.is_settled())
        .map(|other| &other.file.path)
}

/// The entries in which something may be left to decide.
fn open_entries(goal: &Goal) -> impl Iterator<Item = &FileEntry> {
    let open = || goal.files.iter().filter(|entry| !entry.is_settled());
    let moving: HashSet<&RelPath> = open()
        .filter_map(|entry| entry.file.from.as_ref())
        .collect();
    open().filter(move |entry| entry.file.proposed.is_some() || !moving.contains(&entry.file.path))
}

/// The pending hunks of one entry, without those that are there already.
fn pending(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    current: Option<Content>,
) -> Result<Vec<Pending>, ErrorBody> {
    let versions = Versions::of(shared, entry, current)?;
    let mut hunks = pending::hunks(shared, goal, entry, &versions)?;
    hunks.retain(|pending| !pending.present);
    Ok(hunks)
}

/// The pending hunks of a goal against what is there now. Reads the disk.
pub(crate) fn hunks(
    shared: &Shared,
    goal: &Goal,
    only: Option<&RelPath>,
) -> Result<Vec<HunkView>, ErrorBody> {
    let root = Path::new(&goal.spec.workspace);
    let mut found = Vec::new();
    let mut looked_at: HashSet<&RelPath> = HashSet::new();
    for entry in open_entries(goal).filter(|e| only.is_none_or(|path| e.file.path == *path)) {
        let path = &entry.file.path;
        if !looked_at.insert(path) {
            continue;
        }
        let current = shared.current(root, path)?;
        let mut hunks = Vec::new();
        for entry in open_entries(goal).filter(|other| other.file.path == *path) {
            let pending = pending(shared, goal, entry, current.clone())?.into_iter();
            hunks.extend(pending.map(|pending| (entry.file.entry, pending.view)));
        }
        let text = current.as_ref().map(as_text);
        // Of what is no text, nobody can be said to have written it.
        if text != Some(None) {
            let text = text.flatten().map(Current::from);
            origins::name_sides(shared, &root.join(path.to_path_buf()), text, &mut hunks);
        }
        found.extend(hunks.into_iter().map(|(_, hunk)| hunk));
    }
    Ok(found)
}

/// A goal's hunks by fate. What cannot be read counts as a conflict: it cannot land as it is.
pub(crate) fn counts(shared: &Shared, goal: &Goal) -> HunkCounts {
    let mut counts = HunkCounts::default();
    for entry in &goal.files {
        counts.landed += entry.landed();
        counts.rejected += entry.rejected();
        counts.undone += decided::undone(entry);
    }
    let root = Path::new(&goal.spec.workspace);
    for entry in open_entries(goal) {
        match left(shared, goal, entry, root) {
            Err(_) => counts.conflicts += 1,
            Ok(left) => {
                counts.pending += left.clean;
                counts.conflicts += left.conflicts;
            }
        }
    }
    counts
}

/// How many hunks of an entry are left. A file that nobody has touched is not read again.
fn left(shared: &Shared, goal: &Goal, entry: &FileEntry, root: &Path) -> Result<Left, ErrorBody> {
    let path = &entry.file.path;
    let is_open = shared.document(&root.join(path.to_path_buf())).is_some();
    // Taken before the file is read, so that what is written meanwhile is seen the next time.
    let stamp = (!is_open).then(|| disk::stamp(root, path).ok()).flatten();
    if let Some(known) = stamp.and_then(|stamp| shared.reviews.left(goal, entry, stamp)) {
        return Ok(known);
    }
    let current = shared.current(root, path)?;
    let left = pending::left(shared, goal, entry, &Versions::of(shared, entry, current)?)?;
    if let Some(stamp) = stamp {
        shared.reviews.remember(goal, entry, stamp, left);
    }
    Ok(left)
}

/// Pending hunks of one file, of all goals, against the text given.
pub(crate) fn hunks_in(shared: &Shared, path: &Path, current: Current<'_>) -> Vec<HunkView> {
    let state = shared.state();
    let mut found = Vec::new();
    for goal in state.goals.values() {
        let Some(relative) = relative(goal, path) else {
            continue;
        };
        if goal.files.iter().all(|entry| entry.file.path != relative) {
            continue;
        }
        for entry in open_entries(goal).filter(|entry| entry.file.path == relative) {
            match in_buffer(shared, goal, entry, current) {
                Ok(hunks) => found.extend(hunks.into_iter().map(|hunk| (entry.file.entry, hunk))),
                Err(error) => tracing::warn!(path = %relative, %error, "hunks are not shown"),
            }
        }
    }
    origins::name_sides(shared, path, Some(current), &mut found);
    found.into_iter().map(|(_, hunk)| hunk).collect()
}

fn in_buffer(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    current: Current<'_>,
) -> Result<Vec<HunkView>, ErrorBody> {
    let hunks = match pending::hunks_of_text(shared, goal, entry, current, None)? {
        Some(hunks) => hunks,
        None => {
            let versions = Versions::of(shared, entry, Some(text(entry, &current.whole())))?;
            pending::hunks(shared, goal, entry, &versions)?
        }
    };
    let left = hunks.into_iter().filter(|pending| !pending.present);
    Ok(left.map(|pending| pending.view).collect())
}

fn relative(goal: &Goal, path: &Path) -> Option<RelPath> {
    let relative = path.strip_prefix(&goal.spec.workspace).ok()?;
    RelPath::from_path(relative).ok()
}

/// An open buffer's text as content. Its mode is that of the file, which the buffer does not know.
fn text(entry: &FileEntry, current: &str) -> Content {
    let mode = entry
        .file
        .base
        .as_ref()
        .map(|version| version.mode)
        .unwrap_or_default();
    Content {
        bytes: current.as_bytes().to_vec().into(),
        mode,
    }
}

/// The text `current` has once a hunk is accepted.
pub(crate) fn preview(shared: &Shared, hunk: &HunkId, current: &str) -> Result<String, ErrorBody> {
    let gone = || {
        ErrorBody::stale(format!("the hunk {hunk} is not pending any more"))
            .hint("look at the pending changes again")
    };
    let goal = shared.goal(&hunk.goal().ok_or_else(gone)?)?;
    let decision = Decision {
        hunk_id: Some(hunk.clone()),
        ..landing::everything(&goal.id)
    };
    let mut entries: Vec<&FileEntry> = open_entries(&goal).collect();
    // Whoever asks has seen the hunk, so there most likely is a review that has it.
    if let Some(at) = entries
        .iter()
        .position(|e| shared.reviews.has(&goal, e, hunk))
    {
        entries.swap(0, at);
    }
    for entry in entries {
        let versions = Versions::of(shared, entry, Some(text(entry, current)))?;
        let verdicts = verdict::accept(shared, &goal, entry, &versions, &decision)?;
        if let Some(change) = verdicts.target() {
            let after = change.current.as_ref().and_then(as_text).map(str::to_owned);
            return after.ok_or_else(gone);
        }
        if verdicts.conflicts > 0 {
            return Err(
                ErrorBody::stale(format!("the hunk {hunk} conflicts with the text"))
                    .hint("change the text it conflicts with, or reject the hunk"),
            );
        }
    }
    Err(gone())
}

/// What accepting would change, as a diff against what is there now. What conflicts is left out and
/// named.
pub(crate) fn diff(shared: &Shared, goal: &Goal, wanted: &Decision) -> Result<Diff, ErrorBody> {
    let root = PathBuf::from(&goal.spec.workspace);
    let mut pairs = Vec::new();
    let mut omitted = Vec::new();
    for entry in open_entries(goal).filter(|entry| is_in(entry, wanted.path.as_ref())) {
        let path = &entry.file.path;
        let versions = Versions::of(shared, entry, shared.current(&root, path)?)?;
        // Naming the file is the look that held changes need: this is where they are looked at.
        let decision = Decision {
            path: Some(path.clone()),
            ..wanted.clone()
        };
        let mut verdicts = verdict::accept(shared, goal, entry, &versions, &decision)?;
        if verdicts.conflicts > 0 {
            omitted.push(format!(
                "{path}: {} conflicting",
                hunks_in_words(verdicts.conflicts)
            ));
        }
        if let Some(change) = verdicts.changes.pop() {
            let old_place = match &entry.file.from {
                Some(from) => shared.current(&root, from)?,
                None => None,
            };
            let before = versions.current.or(old_place);
            pairs.push((path, entry.file.from.as_ref(), before, change.current));
        }
    }
    if pairs.is_empty() && omitted.is_empty() {
        landing::check_named(wanted, &DecisionReport::default())?;
    }
    let files: Vec<FilePair<'_>> = pairs
        .iter()
        .map(|(path, from, old, new)| FilePair {
            path,
            from: *from,
            old: at(old),
            new: at(new),
        })
        .collect();
    let patch = patch::unified(&files);
    omitted.extend(patch.omitted);
    Ok(Diff {
        text: patch.diff.into_bytes(),
        omitted,
    })
}

/// Whether a file is meant by its name, or by the name it had.
fn is_in(entry: &FileEntry, path: Option<&RelPath>) -> bool {
    path.is_none_or(|path| entry.file.path == *path || entry.file.from.as_ref() == Some(path))
}

fn at(content: &Option<Content>) -> Option<FileAt<'_>> {
    content.as_ref().map(|content| FileAt {
        mode: content.mode,
        content: &content.bytes,
    })
}

fn hunks_in_words(n: u32) -> String {
    if n == 1 {
        "1 hunk".to_owned()
    } else {
        format!("{n} hunks")
    }
}

/// What a goal left in the artifact store.
pub(crate) fn artifacts(shared: &Shared, goal: &Goal) -> Vec<Artifact> {
    let mut found = Vec::new();
    let mut add = |id: &claudecluster_protocol::BlobId, name: String, kind: &str, task| {
        let bytes = shared.store.blob_len(id).ok().flatten();
        found.push(Artifact {
            id: id.clone(),
            name,
            kind: kind.to_owned(),
            task_id: task,
            bytes,
        });
    };
    if let Some(snapshot) = &goal.snapshot {
        add(
            snapshot,
            format!("{}-snapshot.json", goal.id),
            "snapshot",
            None,
        );
    }
    for (i, transcript) in goal.plan_transcripts.iter().enumerate() {
        let name = format!("{}-plan-{}.jsonl", goal.id, i + 1);
        add(transcript, name, "transcript", None);
    }
    for (id, task) in &goal.tasks {
        for attempt in &task.attempts {
            let outcome = attempt.outcome.as_ref();
            if let Some(transcript) = outcome.and_then(|outcome| outcome.transcript.as_ref()) {
                let name = format!("{}-{id}-{}.jsonl", goal.id, attempt.id);
                add(transcript, name, "transcript", Some(id.clone()));
            }
        }
    }
    for entry in goal.files.iter().filter(|entry| !entry.is_alternative()) {
        if let Some(version) = &entry.file.proposed {
            add(
                &version.blob,
                entry.file.path.as_str().to_owned(),
                "file",
                None,
            );
        }
    }
    found
}
