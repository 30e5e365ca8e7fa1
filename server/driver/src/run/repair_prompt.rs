//! The prompt of a repair task, and the session it continues.

use claudecluster_core::{
    patch::{self, PatchFile, PatchFilePair},
    review::FileReview,
    state::{FileEntry, Goal, ReviewPair},
};
use claudecluster_protocol::{
    ErrorBody, HunkId, RelPath, StopReason, TaskId,
    change::FileVersion,
    event::Verdict,
    repair::{RepairCause, RepairSpec},
};
use claudecluster_worker::changes::FileContent;

use crate::{
    proposal::{file_merge::FileMergeRules, fold::disputed_alternatives},
    review::{
        cache::ReviewCache, hunk_part::HunkPart, pending, reader::PendingReader,
        versions::FileVersions,
    },
    run::prompts::{self, RepairedChange},
    workspace::content_store::ContentStore,
};

/// Returns the session that a repair continues: that of the task whose work it repairs, so that the
/// worker knows its reasons.
pub(crate) fn forked_session(goal: &Goal, task: &TaskId) -> Option<String> {
    let task = &goal.tasks[task];
    let author = goal.tasks.get(task.repair.as_ref()?.of.first()?)?;
    // The session may be gone, or be what makes the attempt fail: the next one does without.
    let forkable = task
        .outcome()
        .and_then(|outcome| outcome.stop)
        .is_none_or(|stop| {
            use StopReason::{DaemonRestart, GateFailed, Overloaded};
            matches!(stop, DaemonRestart | GateFailed | Overloaded)
        });
    author.outcome()?.session.clone().filter(|_| forkable)
}

/// Returns the prompt of a repair; `None` if there is nothing left to repair.
pub(crate) fn repair_prompt(
    merge: &FileMergeRules,
    pending: &PendingReader,
    goal: &Goal,
    task: &TaskId,
    repair: &RepairSpec,
    upstream: &[TaskId],
) -> Result<Option<String>, ErrorBody> {
    let shown = match repair.cause {
        RepairCause::TaskConflict => disputed_changes(merge, goal, upstream, repair)?,
        RepairCause::Rejected => rejected_changes(pending.reviews(), goal, repair)?,
        RepairCause::Conflict => conflicting_changes(pending, goal, repair)?,
    };
    Ok((!shown.is_empty()).then(|| prompts::repair_task_prompt(goal, task, repair, &shown)))
}

fn disputed_changes(
    merge: &FileMergeRules,
    goal: &Goal,
    upstream: &[TaskId],
    repair: &RepairSpec,
) -> Result<Vec<RepairedChange>, ErrorBody> {
    let entries = disputed_alternatives(merge, goal, upstream, repair)?;
    entries
        .into_iter()
        .map(|entry| {
            Ok(RepairedChange {
                diff: version_diff(&merge.contents, &entry.path, &entry.base, &entry.proposed)?,
                by: entry.versions.into_iter().map(|version| version.by).next(),
                path: entry.path,
                now: None,
            })
        })
        .collect()
}

/// Returns the hunks as they were before they were rejected.
fn rejected_changes(
    reviews: &ReviewCache,
    goal: &Goal,
    repair: &RepairSpec,
) -> Result<Vec<RepairedChange>, ErrorBody> {
    let mut shown = Vec::new();
    for entry in repaired_entries(goal, repair) {
        let moves = entry.ledger.iter().rev();
        for made in moves.filter(|made| made.verdict == Verdict::Reject) {
            let wanted = |id: &HunkId| repair.hunks.contains(id);
            if made.hunks.iter().any(wanted) {
                shown.extend(hunks_of(reviews, goal, entry, &made.before, repair)?);
            }
        }
    }
    Ok(shown)
}

/// Returns the conflicting hunks, with the current text.
fn conflicting_changes(
    pending: &PendingReader,
    goal: &Goal,
    repair: &RepairSpec,
) -> Result<Vec<RepairedChange>, ErrorBody> {
    let hunks = pending.hunks(goal, None)?;
    let mut shown = Vec::new();
    for entry in repaired_entries(goal, repair) {
        let now: Vec<&str> = hunks
            .iter()
            .filter(|hunk| repair.hunks.contains(&hunk.id) && hunk.path == entry.file.path)
            .map(|hunk| hunk.old_text.as_str())
            .collect();
        if now.is_empty() {
            continue;
        }
        let found = hunks_of(pending.reviews(), goal, entry, &entry.review_pair(), repair)?;
        shown.extend(found.map(|found| RepairedChange {
            now: Some(now.join("\n")).filter(|_| !entry.is_alternative()),
            ..found
        }));
    }
    Ok(shown)
}

fn repaired_entries<'a>(
    goal: &'a Goal,
    repair: &RepairSpec,
) -> impl Iterator<Item = &'a FileEntry> {
    goal.files
        .iter()
        .filter(|entry| repair.files.contains(&entry.file.path))
}

/// Returns the change that the repair's hunks make, among all hunks of a pair.
fn hunks_of(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    pair: &ReviewPair,
    repair: &RepairSpec,
) -> Result<Option<RepairedChange>, ErrorBody> {
    let mut entry = entry.clone();
    entry.file.base.clone_from(&pair.base);
    entry.file.proposed.clone_from(&pair.proposed);
    let base = reviews.contents().load_optional(pair.base.as_ref())?;
    let versions = FileVersions::load(reviews.contents(), &entry, base.clone())?;
    let mut found = pending::pending_hunks(reviews, goal, &entry, &versions)?;
    found.retain(|pending| repair.hunks.contains(&pending.view.id));
    if found.is_empty() {
        return Ok(None);
    }
    let keys: Vec<_> = found
        .iter()
        .filter_map(|pending| match pending.part {
            HunkPart::Lines(key) => Some(key),
            HunkPart::Mode | HunkPart::Whole => None,
        })
        .collect();
    let after = match versions.texts() {
        Some((base, current, proposed)) if keys.len() == found.len() => {
            let accepted = FileReview::new(base, current, proposed).accept(&keys);
            versions.current.as_ref().map(|content| FileContent {
                bytes: accepted.current.into_bytes().into(),
                mode: content.mode,
            })
        }
        _ => versions.proposed.clone(),
    };
    Ok(Some(RepairedChange {
        diff: unified_diff(&entry.file.path, base.as_ref(), after.as_ref()),
        by: found[0].view.provenance.first().cloned(),
        path: entry.file.path,
        now: None,
    }))
}

fn version_diff(
    contents: &ContentStore,
    path: &RelPath,
    old: &Option<FileVersion>,
    new: &Option<FileVersion>,
) -> Result<String, ErrorBody> {
    let (old, new) = (
        contents.load_optional(old.as_ref())?,
        contents.load_optional(new.as_ref())?,
    );
    Ok(unified_diff(path, old.as_ref(), new.as_ref()))
}

fn unified_diff(path: &RelPath, old: Option<&FileContent>, new: Option<&FileContent>) -> String {
    fn file_at(content: &FileContent) -> PatchFile<'_> {
        PatchFile {
            mode: content.mode,
            content: &content.bytes,
        }
    }
    let patch = patch::readable_patch(&[PatchFilePair {
        path,
        from: None,
        old: old.map(file_at),
        new: new.map(file_at),
    }]);
    let mut text = patch.diff;
    text.extend(patch.omitted.iter().map(|line| format!("{line}\n")));
    text
}
