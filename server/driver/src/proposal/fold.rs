//! One proposal from the changes of all tasks of a goal.
//!
//! Tasks are merged in the order in which they succeeded, which is a topological order. If two
//! disagree about the same lines, the first one's version is taken. The other's version becomes an
//! *alternative*: a further entry of that file, on top of the merged one, that lands only when it
//! is named. No work of a task is lost.

use std::collections::{BTreeMap, BTreeSet};

use claudecluster_core::state::Goal;
use claudecluster_protocol::{
    AttemptId, ErrorBody, RelPath, TaskId,
    change::{FileChange, FileVersion, HeldReason, Provenance},
    event::{ProposedFile, TaskVersion},
    repair::{RepairCause, RepairSpec},
};

use crate::proposal::{
    file_merge::{FileMergeRules, MergeOutcome, is_text, merge_files},
    scope::HoldMatcher,
    secret_scan::hold_secrets,
};

/// One file while tasks are merged into it.
#[derive(Clone, Debug)]
struct FoldedFile {
    base: Option<FileVersion>,
    proposed: Option<FileVersion>,
    from: Option<RelPath>,
    versions: Vec<TaskVersion>,
    held: BTreeSet<HeldReason>,
    alternatives: Vec<TaskAlternative>,
}

/// A version of a file that conflicts with the merged one.
#[derive(Clone, Debug)]
struct TaskAlternative {
    base: Option<FileVersion>,
    proposed: Option<FileVersion>,
    version: TaskVersion,
    held: BTreeSet<HeldReason>,
}

/// The merged changes of a goal's tasks.
pub(crate) struct FoldedProposal {
    /// The entries of the proposal.
    pub(crate) files: Vec<ProposedFile>,
    /// Files about which the same tasks disagree, by these tasks in the order in which they finished.
    pub(crate) disputes: BTreeMap<Vec<TaskId>, Vec<RelPath>>,
}

/// Merges the tasks of a goal that have all ended.
pub(crate) fn fold_goal(rules: &FileMergeRules, goal: &Goal) -> Result<FoldedProposal, ErrorBody> {
    let mut files = fold_tasks(rules, goal, &goal.finished)?;
    let disputes = group_disputes(rules, goal, &files)?;
    let unfinished = goal
        .tasks
        .iter()
        .filter(|(id, _)| !goal.finished.contains(id));
    for (id, task) in unfinished {
        let changes = task
            .outcome()
            .map(|outcome| outcome.changes.as_slice())
            .unwrap_or_default();
        for change in changes {
            add_partial(rules, goal, id, change, &mut files)?;
        }
    }
    let holds = HoldMatcher::new(rules, goal)?;
    let mut proposal = Vec::new();
    for (path, file) in files {
        file.into_entries(&path, &holds.held_reasons(&path), &mut proposal);
    }
    for entry in &mut proposal {
        hold_secrets(&rules.contents, entry)?;
    }
    Ok(FoldedProposal {
        files: proposal,
        disputes,
    })
}

/// Groups the files about which the same tasks disagree.
fn group_disputes(
    rules: &FileMergeRules,
    goal: &Goal,
    files: &BTreeMap<RelPath, FoldedFile>,
) -> Result<BTreeMap<Vec<TaskId>, Vec<RelPath>>, ErrorBody> {
    let mut groups: BTreeMap<Vec<TaskId>, Vec<RelPath>> = BTreeMap::new();
    for (path, file) in files {
        let mut sides = Vec::new();
        for other in file.alternatives.iter().filter(|other| other.is_open()) {
            if is_text(&rules.contents, &other.base)? && is_text(&rules.contents, &other.proposed)?
            {
                sides.push(&other.version.by.task);
            }
        }
        if sides.is_empty() {
            continue;
        }
        sides.extend(file.versions.iter().map(|version| &version.by.task));
        let of: Vec<TaskId> = goal
            .finished
            .iter()
            .filter(|id| sides.contains(id))
            .cloned()
            .collect();
        groups.entry(of).or_default().push(path.clone());
    }
    Ok(groups)
}

/// Returns the alternatives that a repair of `tasks`' conflicts is about.
pub(crate) fn disputed_alternatives(
    rules: &FileMergeRules,
    goal: &Goal,
    tasks: &[TaskId],
    repair: &RepairSpec,
) -> Result<Vec<ProposedFile>, ErrorBody> {
    let mut found = Vec::new();
    for (path, file) in fold_tasks(rules, goal, tasks)? {
        if repair.files.contains(&path) {
            file.into_entries(&path, &BTreeSet::new(), &mut found);
        }
    }
    found.retain(|entry| entry.entry > 0);
    Ok(found)
}

/// Returns the files that `tasks` changed, with their changes merged.
pub(crate) fn merged_view(
    rules: &FileMergeRules,
    goal: &Goal,
    tasks: &[TaskId],
) -> Result<BTreeMap<RelPath, Option<FileVersion>>, ErrorBody> {
    Ok(fold_tasks(rules, goal, tasks)?
        .into_iter()
        .map(|(path, file)| (path, file.proposed))
        .collect())
}

/// Returns the merged files that more than one of `tasks` changed. A task that depends on several
/// sees these instead of the last one's version.
pub(crate) fn joined_files(
    rules: &FileMergeRules,
    goal: &Goal,
    tasks: &[TaskId],
) -> Result<Vec<(RelPath, Option<FileVersion>)>, ErrorBody> {
    Ok(fold_tasks(rules, goal, tasks)?
        .into_iter()
        .filter(|(_, file)| file.versions.len() + file.alternatives.len() > 1)
        .map(|(path, file)| (path, file.proposed))
        .collect())
}

/// Merges the changes of tasks that succeeded, in their order.
fn fold_tasks(
    rules: &FileMergeRules,
    goal: &Goal,
    tasks: &[TaskId],
) -> Result<BTreeMap<RelPath, FoldedFile>, ErrorBody> {
    let mut files: BTreeMap<RelPath, FoldedFile> = BTreeMap::new();
    for id in tasks {
        let changes = goal.tasks[id]
            .outcome()
            .map(|o| o.changes.as_slice())
            .unwrap_or_default();
        for change in changes {
            let version = task_version(goal, id, change);
            match files.get_mut(&change.path) {
                None => {
                    files.insert(
                        change.path.clone(),
                        FoldedFile::new(change, version, BTreeSet::new()),
                    );
                }
                Some(file) => file.merge_version(rules, change, version)?,
            }
        }
        if let Some(repair) = &goal.tasks[id].repair {
            close_alternatives(repair, &mut files);
        }
    }
    Ok(files)
}

/// Drops the alternatives of the tasks that a repair was about: its version is the agreed one.
fn close_alternatives(repair: &RepairSpec, files: &mut BTreeMap<RelPath, FoldedFile>) {
    if repair.cause != RepairCause::TaskConflict {
        return;
    }
    for path in &repair.files {
        if let Some(file) = files.get_mut(path) {
            file.alternatives
                .retain(|other| !repair.of.contains(&other.version.by.task));
        }
    }
}

/// Adds partial work of a task that did not succeed, as an entry of its own. It is merged into
/// nothing.
fn add_partial(
    rules: &FileMergeRules,
    goal: &Goal,
    id: &TaskId,
    change: &FileChange,
    files: &mut BTreeMap<RelPath, FoldedFile>,
) -> Result<(), ErrorBody> {
    let version = task_version(goal, id, change);
    let held = BTreeSet::from([HeldReason::Partial]);
    match files.get_mut(&change.path) {
        None => {
            files.insert(change.path.clone(), FoldedFile::new(change, version, held));
        }
        Some(file) => {
            let (_, theirs) =
                match merge_files(rules, &change.base, &file.proposed, &change.proposed)? {
                    MergeOutcome::Clean(both) => (file.proposed.clone(), both),
                    MergeOutcome::Conflict { ours, theirs } => (ours, theirs),
                };
            let base = file.proposed.clone();
            file.alternatives.push(TaskAlternative {
                base,
                proposed: theirs,
                version,
                held,
            });
        }
    }
    Ok(())
}

pub(crate) fn task_version(goal: &Goal, id: &TaskId, change: &FileChange) -> TaskVersion {
    let task = &goal.tasks[id];
    let attempt = task
        .attempts
        .iter()
        .rev()
        .find(|attempt| attempt.outcome.is_some());
    TaskVersion {
        by: Provenance {
            task: id.clone(),
            title: task.spec.title_or_id().to_owned(),
            attempt: attempt.map_or(AttemptId(1), |attempt| attempt.id),
            why: None,
        },
        base: change.base.clone(),
        proposed: change.proposed.clone(),
    }
}

impl TaskAlternative {
    fn is_open(&self) -> bool {
        self.base != self.proposed
    }
}

impl FoldedFile {
    fn new(change: &FileChange, version: TaskVersion, held: BTreeSet<HeldReason>) -> Self {
        Self {
            base: change.base.clone(),
            proposed: change.proposed.clone(),
            from: change.from.clone(),
            versions: vec![version],
            held,
            alternatives: Vec::new(),
        }
    }

    /// Merges the version of the next task.
    fn merge_version(
        &mut self,
        rules: &FileMergeRules,
        change: &FileChange,
        version: TaskVersion,
    ) -> Result<(), ErrorBody> {
        match merge_files(rules, &change.base, &self.proposed, &change.proposed)? {
            MergeOutcome::Clean(both) => {
                self.proposed = both;
                self.versions.push(version);
            }
            MergeOutcome::Conflict { ours, theirs } => {
                self.proposed.clone_from(&ours);
                // What of the task's work did not conflict is in `ours` now.
                self.versions.push(version.clone());
                let held = BTreeSet::new();
                self.alternatives.push(TaskAlternative {
                    base: ours,
                    proposed: theirs,
                    version,
                    held,
                });
            }
        }
        Ok(())
    }

    fn into_entries(
        self,
        path: &RelPath,
        held: &BTreeSet<HeldReason>,
        proposal: &mut Vec<ProposedFile>,
    ) {
        let entry = |entry, base, proposed, own: &BTreeSet<HeldReason>, versions| ProposedFile {
            path: path.clone(),
            from: None,
            entry,
            base,
            proposed,
            held: held.union(own).copied().collect(),
            versions,
        };
        if self.base != self.proposed {
            let main = entry(0, self.base, self.proposed, &self.held, self.versions);
            proposal.push(ProposedFile {
                from: self.from,
                ..main
            });
        }
        for (i, other) in self.alternatives.into_iter().enumerate() {
            if !other.is_open() {
                continue;
            }
            let number = u32::try_from(i + 1).unwrap_or(u32::MAX);
            let versions = vec![other.version];
            proposal.push(entry(
                number,
                other.base,
                other.proposed,
                &other.held,
                versions,
            ));
        }
    }
}
