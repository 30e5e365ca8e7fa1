//! From what the tasks changed, each on its own, to one proposal a goal.
//!
//! Tasks are merged in the order in which they succeeded, which is a topological order. Where two
//! disagree about the same lines, the one that came first stands, and the other's version is kept as
//! an *alternative*: a further entry of that file, on top of the merged one, that lands only when
//! somebody asks for it. Nothing a task made is lost.

use std::collections::{BTreeMap, BTreeSet};

use claudecluster_core::{
    diff::is_binary,
    lifecycle::Goal,
    review, selfarming,
    step::{Merged as Proposal, NewRepair},
};
use claudecluster_protocol::{
    ErrorBody, FileMode, RelPath, TaskId,
    change::{FileChange, FileVersion, HeldReason, Provenance},
    event::{ProposedFile, Repair, RepairCause, TaskVersion},
    goal::{Scope, ScopeKind},
};
use claudecluster_worker::{changes::Content, sandbox::LayerFile};
use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::{attempts, repair, settings::MergeWords, shared::Shared, snapshot};

/// One file while tasks are merged into it.
#[derive(Clone, Debug)]
struct Merged {
    base: Option<FileVersion>,
    proposed: Option<FileVersion>,
    from: Option<RelPath>,
    versions: Vec<TaskVersion>,
    held: BTreeSet<HeldReason>,
    alternatives: Vec<Alternative>,
}

/// What a task wants otherwise.
#[derive(Clone, Debug)]
struct Alternative {
    base: Option<FileVersion>,
    proposed: Option<FileVersion>,
    version: TaskVersion,
    held: BTreeSet<HeldReason>,
}

/// The proposal of a goal whose tasks have all ended.
pub(crate) fn build(shared: &Shared, goal: &Goal) -> Result<Proposal, ErrorBody> {
    let mut files = fold(shared, goal, &goal.finished)?;
    let repairs = repairs(shared, goal, &files)?;
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
            add_partial(shared, goal, id, change, &mut files)?;
        }
    }
    let scope = ScopeMatch::new(&goal.spec.scope)?;
    let mut proposal = Vec::new();
    for (path, file) in files {
        file.into_entries(&path, &scope.held(&path), &mut proposal);
    }
    Ok(Proposal {
        files: proposal,
        repairs,
    })
}

/// Why a goal's change of a file needs an explicit look, whoever made it.
pub(crate) fn held(goal: &Goal, path: &RelPath) -> Result<BTreeSet<HeldReason>, ErrorBody> {
    Ok(ScopeMatch::new(&goal.spec.scope)?.held(path))
}

/// A repair for each group of files about which the same tasks disagree.
fn repairs(
    shared: &Shared,
    goal: &Goal,
    files: &BTreeMap<RelPath, Merged>,
) -> Result<Vec<NewRepair>, ErrorBody> {
    let mut groups: BTreeMap<Vec<TaskId>, Vec<RelPath>> = BTreeMap::new();
    for (path, file) in files {
        let mut sides = Vec::new();
        for other in file.alternatives.iter().filter(|other| other.is_open()) {
            if is_text(shared, &other.base)? && is_text(shared, &other.proposed)? {
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
    Ok(groups
        .into_iter()
        .enumerate()
        .filter_map(|(n, (of, files))| repair::of_tasks(goal, n, of, files))
        .collect())
}

/// The alternatives a repair of `tasks`' conflicts is about.
pub(crate) fn disputed(
    shared: &Shared,
    goal: &Goal,
    tasks: &[TaskId],
    repair: &Repair,
) -> Result<Vec<ProposedFile>, ErrorBody> {
    let mut found = Vec::new();
    for (path, file) in fold(shared, goal, tasks)? {
        if repair.files.contains(&path) {
            file.into_entries(&path, &BTreeSet::new(), &mut found);
        }
    }
    found.retain(|entry| entry.entry > 0);
    Ok(found)
}

/// Whether a version can be merged by lines, or is none.
fn is_text(shared: &Shared, version: &Option<FileVersion>) -> Result<bool, ErrorBody> {
    Ok(match version {
        Some(version) => text_of(shared, version)?.is_some(),
        None => true,
    })
}

/// What the files that `tasks` changed are with their changes merged.
pub(crate) fn view(
    shared: &Shared,
    goal: &Goal,
    tasks: &[TaskId],
) -> Result<BTreeMap<RelPath, Option<FileVersion>>, ErrorBody> {
    Ok(fold(shared, goal, tasks)?
        .into_iter()
        .map(|(path, file)| (path, file.proposed))
        .collect())
}

/// The files that more than one of `tasks` changed, merged: what a join sees instead of the latest
/// of its parents' versions.
pub(crate) fn joined(
    shared: &Shared,
    goal: &Goal,
    tasks: &[TaskId],
) -> Result<Vec<LayerFile>, ErrorBody> {
    fold(shared, goal, tasks)?
        .into_iter()
        .filter(|(_, file)| file.versions.len() + file.alternatives.len() > 1)
        .map(|(path, file)| {
            let content = shared.content_of(file.proposed.as_ref())?;
            Ok(attempts::layer_file(&path, content))
        })
        .collect()
}

/// Merges the changes of tasks that succeeded, in their order.
fn fold(
    shared: &Shared,
    goal: &Goal,
    tasks: &[TaskId],
) -> Result<BTreeMap<RelPath, Merged>, ErrorBody> {
    let mut files: BTreeMap<RelPath, Merged> = BTreeMap::new();
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
                        Merged::new(change, version, BTreeSet::new()),
                    );
                }
                Some(file) => file.add(shared, change, version)?,
            }
        }
        if let Some(repair) = &goal.tasks[id].repair {
            settle(repair, &mut files);
        }
    }
    Ok(files)
}

/// What a repair left is what the tasks it repairs were to agree on: they want nothing else any more.
fn settle(repair: &Repair, files: &mut BTreeMap<RelPath, Merged>) {
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

/// Partial work of a task that did not succeed stands for itself: it is merged into nothing.
fn add_partial(
    shared: &Shared,
    goal: &Goal,
    id: &TaskId,
    change: &FileChange,
    files: &mut BTreeMap<RelPath, Merged>,
) -> Result<(), ErrorBody> {
    let version = task_version(goal, id, change);
    let held = BTreeSet::from([HeldReason::Partial]);
    match files.get_mut(&change.path) {
        None => {
            files.insert(change.path.clone(), Merged::new(change, version, held));
        }
        Some(file) => {
            let (_, theirs) = match merge(shared, &change.base, &file.proposed, &change.proposed)? {
                Outcome::Clean(both) => (file.proposed.clone(), both),
                Outcome::Conflict { ours, theirs } => (ours, theirs),
            };
            let base = file.proposed.clone();
            file.alternatives.push(Alternative {
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
            title: task.spec.label().to_owned(),
            attempt: attempt.map_or(claudecluster_protocol::AttemptId(1), |attempt| attempt.id),
            why: None,
        },
        base: change.base.clone(),
        proposed: change.proposed.clone(),
    }
}

impl Alternative {
    fn is_open(&self) -> bool {
        self.base != self.proposed
    }
}

impl Merged {
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

    /// Merges the next task's version.
    fn add(
        &mut self,
        shared: &Shared,
        change: &FileChange,
        version: TaskVersion,
    ) -> Result<(), ErrorBody> {
        match merge(shared, &change.base, &self.proposed, &change.proposed)? {
            Outcome::Clean(both) => {
                self.proposed = both;
                self.versions.push(version);
            }
            Outcome::Conflict { ours, theirs } => {
                self.proposed.clone_from(&ours);
                // What of the task's work did not conflict is in `ours` now.
                self.versions.push(version.clone());
                let held = BTreeSet::new();
                self.alternatives.push(Alternative {
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

/// A three-way merge of whole files.
pub(crate) enum Outcome {
    Clean(Option<FileVersion>),
    /// `ours` with everything of theirs that does not conflict, and the same with theirs where they
    /// do.
    Conflict {
        ours: Option<FileVersion>,
        theirs: Option<FileVersion>,
    },
}

pub(crate) fn merge(
    shared: &Shared,
    base: &Option<FileVersion>,
    ours: &Option<FileVersion>,
    theirs: &Option<FileVersion>,
) -> Result<Outcome, ErrorBody> {
    if theirs == ours || theirs == base {
        return Ok(Outcome::Clean(ours.clone()));
    }
    if ours == base {
        return Ok(Outcome::Clean(theirs.clone()));
    }
    let conflict = || Outcome::Conflict {
        ours: ours.clone(),
        theirs: theirs.clone(),
    };
    let (Some(left), Some(right)) = (ours, theirs) else {
        return Ok(conflict());
    };
    let base_text = match base {
        Some(version) => text_of(shared, version)?,
        None => Some(String::new()),
    };
    let (Some(base_text), Some(left_text), Some(right_text)) =
        (base_text, text_of(shared, left)?, text_of(shared, right)?)
    else {
        return Ok(conflict());
    };
    // Whoever changed the mode means it; where both did, differently, the later one does.
    let base_mode = base
        .as_ref()
        .map_or(FileMode::Regular, |version| version.mode);
    let mode = if right.mode == base_mode {
        left.mode
    } else {
        right.mode
    };
    let store = |text: String| -> Result<Option<FileVersion>, ErrorBody> {
        let content = Content {
            bytes: text.into_bytes().into(),
            mode,
        };
        Ok(Some(snapshot::version(&shared.store, &content)?))
    };
    let merged = review::later(&base_text, &left_text, &right_text);
    let merged = match shared.config.settings.review.merge_words {
        MergeWords::On => merged.by_words(),
        MergeWords::Off | MergeWords::Suggest => merged,
    };
    Ok(match merged.clean() {
        Some(text) => Outcome::Clean(store(text)?),
        None => Outcome::Conflict {
            ours: store(merged.taken_ours())?,
            theirs: store(merged.taken_theirs())?,
        },
    })
}

/// The text of a file that can be merged by lines.
pub(crate) fn text_of(shared: &Shared, version: &FileVersion) -> Result<Option<String>, ErrorBody> {
    if version.mode == FileMode::Symlink {
        return Ok(None);
    }
    Ok(as_text(&shared.content(version)?).map(str::to_owned))
}

/// The content as text; `None` for links and binary files.
pub(crate) fn as_text(content: &Content) -> Option<&str> {
    if content.mode == FileMode::Symlink || is_binary(&content.bytes) {
        return None;
    }
    std::str::from_utf8(&content.bytes).ok()
}

/// Which paths a goal is about.
struct ScopeMatch<'a> {
    scope: &'a Scope,
    globs: GlobSet,
}

impl<'a> ScopeMatch<'a> {
    fn new(scope: &'a Scope) -> Result<Self, ErrorBody> {
        Ok(Self {
            scope,
            globs: globs(&scope.globs)?,
        })
    }

    fn held(&self, path: &RelPath) -> BTreeSet<HeldReason> {
        let mut held = BTreeSet::new();
        if !self.contains(path) {
            held.insert(HeldReason::OutOfScope);
        }
        if selfarming::is_self_arming(path.as_str()) {
            held.insert(HeldReason::SelfArming);
        }
        held
    }

    fn contains(&self, path: &RelPath) -> bool {
        match self.scope.kind {
            ScopeKind::Workspace => true,
            ScopeKind::Open | ScopeKind::Files => {
                self.scope.files.iter().any(|file| path.is_within(file))
                    || self.globs.is_match(path.as_str())
            }
        }
    }
}

/// A set of globs; an error names the one that is wrong.
pub(crate) fn globs(patterns: &[String]) -> Result<GlobSet, ErrorBody> {
    let wrong = |pattern: &str, error: globset::Error| {
        ErrorBody::user(format!("invalid glob {pattern:?}: {error}"))
            .hint("use a glob such as `src/**/*.rs`")
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| wrong(pattern, error))?);
    }
    set.build()
        .map_err(|error| wrong(&patterns.join(", "), error))
}
