//! The work of a repair, merged into a proposal that is in review.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use claudecluster_core::{
    merge::{MergeRegionKind, MergeSide, merge3},
    review::FileReview,
    state::{FileEntry, Goal},
    step::Input,
};
use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId, RelPath, TaskId,
    change::{FileChange, FileVersion, HeldReason, HunkStatus},
    event::ProposedFile,
    repair::{RepairCause, RepairSpec},
};
use claudecluster_worker::changes::FileContent;

use super::{
    locks::LandingLocks,
    recovery::{LandingRecovery, RecoveryScope},
};
use crate::{
    blocking::run_blocking,
    mailbox::{DispatcherMailbox, FULL_DISK_WAIT},
    proposal::{
        file_merge::{self, FileMergeRules, MergeOutcome},
        fold::task_version,
        scope::held_reasons,
        secret_scan::hold_secrets,
    },
    published::PublishedGoals,
    review::{hunk_part::HunkPart, pending, reader::PendingReader, versions::FileVersions},
    workspace::{
        content_store::ContentStore, content_text::text_content, editor_registry::EditorRegistry,
    },
};

/// Merges repairs into proposals.
///
/// Verdicts are carried out one at a time in a workspace, and a repair takes its turn among them: it starts
/// from what the last one left, and the next one starts from what the repair leaves.
#[derive(Clone)]
pub(crate) struct RepairMerger {
    pub(crate) goals: PublishedGoals,
    pub(crate) editors: EditorRegistry,
    pub(crate) pending: PendingReader,
    pub(crate) merge: FileMergeRules,
    pub(crate) mailbox: DispatcherMailbox,
    pub(crate) locks: LandingLocks,
    pub(crate) recovery: LandingRecovery,
}

impl RepairMerger {
    /// Merges the work of a repair into the proposal, and tries again for as long as it cannot be journaled.
    pub(crate) async fn merge_repair(&self, id: &GoalId, task: &TaskId) {
        while let Err(error) = self.merge_once(id, task).await {
            // What was paid for is not lost for want of space; where the daemon ends, the next one asks for
            // it again.
            tracing::error!(%error, "a repair's changes wait to be merged");
            tokio::select! {
                () = tokio::time::sleep(FULL_DISK_WAIT) => {}
                () = self.mailbox.closed() => return,
            }
        }
    }

    async fn merge_once(&self, id: &GoalId, task: &TaskId) -> Result<(), ErrorBody> {
        let root = PathBuf::from(&self.goals.goal(id)?.spec.workspace);
        let _one_at_a_time = self.locks.lock(&root).await;
        // A landing that the last daemon began and this one has not looked at yet would leave the pair that
        // it began with.
        self.recovery
            .recover_landings(&root, RecoveryScope::All)
            .await?;
        let goal = self.goals.goal(id)?;
        let (owned, owned_task) = (self.clone(), task.clone());
        let result = run_blocking("merging a repair", move || {
            amended_entries(&owned, &goal, &owned_task)
        })
        .await;
        if let Err(error) = &result {
            tracing::error!(%error, "cannot merge a repair");
        }
        let input = Input::Amended {
            goal: id.clone(),
            task: task.clone(),
            result,
        };
        self.mailbox.ask(input).await
    }
}

/// Returns the entries that a repair changes, as they are to be.
fn amended_entries(
    merger: &RepairMerger,
    goal: &Goal,
    task: &TaskId,
) -> Result<Vec<ProposedFile>, ErrorBody> {
    let made = &goal.tasks[task];
    let (Some(repair), Some(outcome)) = (&made.repair, made.outcome()) else {
        return Ok(Vec::new());
    };
    let mut amendment = RepairAmendment {
        merger,
        contents: &merger.merge.contents,
        goal,
        task,
        files: Vec::new(),
    };
    if repair.cause == RepairCause::Conflict {
        for path in &repair.files {
            let change = outcome.changes.iter().find(|change| change.path == *path);
            amendment.resolve_conflicts(repair, path, change)?;
        }
    }
    for change in &outcome.changes {
        if repair.files.contains(&change.path) {
            amendment.merge_change(change)?;
        } else {
            amendment.keep_apart(change)?;
        }
    }
    for entry in &mut amendment.files {
        hold_secrets(amendment.contents, entry)?;
    }
    Ok(amendment.files)
}

struct RepairAmendment<'a> {
    merger: &'a RepairMerger,
    contents: &'a ContentStore,
    goal: &'a Goal,
    task: &'a TaskId,
    files: Vec<ProposedFile>,
}

impl RepairAmendment<'_> {
    /// Returns an entry as amended so far.
    fn amended_entry(&self, path: &RelPath, number: u32) -> Option<ProposedFile> {
        let amended = self
            .files
            .iter()
            .find(|file| file.path == *path && file.entry == number);
        let file = amended.or_else(|| Some(&self.goal.file_entry(path, number)?.file))?;
        Some(file.clone())
    }

    fn put_entry(&mut self, file: ProposedFile) {
        self.files
            .retain(|other| other.path != file.path || other.entry != file.entry);
        self.files.push(file);
    }

    /// Resolves the conflicts that were handed over: the text at the start of the repair becomes
    /// their base, and the repair's change comes on top.
    fn resolve_conflicts(
        &mut self,
        repair: &RepairSpec,
        path: &RelPath,
        change: Option<&FileChange>,
    ) -> Result<(), ErrorBody> {
        let numbers: Vec<u32> = self
            .goal
            .files
            .iter()
            .filter(|entry| entry.file.path == *path)
            .map(|entry| entry.file.entry)
            .collect();
        for number in numbers {
            let Some(entry) = self.goal.file_entry(path, number) else {
                continue;
            };
            let pair = if entry.is_alternative() {
                self.without_hunks(entry, &repair.hunks)?
            } else {
                let mine = match change {
                    Some(change) => self.contents.load_optional(change.base.as_ref())?,
                    None => self
                        .merger
                        .editors
                        .current_content(Path::new(&self.goal.spec.workspace), path)?,
                };
                self.as_mine(entry, &repair.hunks, mine.as_ref())?
            };
            if let Some((base, proposed)) = pair {
                self.put_entry(ProposedFile {
                    base,
                    proposed,
                    ..entry.file.clone()
                });
            }
        }
        Ok(())
    }

    /// Returns the pair of an entry with these conflicts resolved to `mine`.
    fn as_mine(
        &self,
        entry: &FileEntry,
        hunks: &[HunkId],
        mine: Option<&FileContent>,
    ) -> Result<Option<VersionPair>, ErrorBody> {
        let mut entry = entry.clone();
        let mut resolved = false;
        // Deciding one can decide others of the same stretch, so each is looked up anew.
        for _ in hunks {
            let versions = FileVersions::load(self.contents, &entry, mine.cloned())?;
            let found = pending::pending_hunks(
                self.merger.pending.reviews(),
                self.goal,
                &entry,
                &versions,
            )?;
            let wanted = found.into_iter().find(|pending| {
                hunks.contains(&pending.view.id)
                    && !pending.present
                    && (pending.view.status == HunkStatus::Conflict || pending.is_by_words())
            });
            let pair = match (wanted.map(|pending| pending.part), versions.texts()) {
                (Some(HunkPart::Lines(key)), Some((base, current, proposed))) => {
                    let review = FileReview::new(base, current, proposed);
                    let Some(hunk) = review.hunk(key) else { break };
                    let text = review
                        .merge()
                        .text_of(&review.decided_region(hunk), MergeSide::Ours)
                        .to_owned();
                    let Ok(both) = review.resolve(key, &text) else {
                        break;
                    };
                    let store =
                        |content: &Option<FileContent>, text| self.store_text(content, text);
                    (
                        store(&versions.base, both.base)?,
                        store(&versions.proposed, both.proposed)?,
                    )
                }
                (Some(HunkPart::Whole | HunkPart::Mode), _) => {
                    let version = self.contents.save_optional(mine)?;
                    (version.clone(), version)
                }
                _ => break,
            };
            (entry.file.base, entry.file.proposed) = pair;
            resolved = true;
        }
        Ok(resolved.then_some((entry.file.base, entry.file.proposed)))
    }

    /// Returns the pair of an alternative without these hunks.
    fn without_hunks(
        &self,
        entry: &FileEntry,
        hunks: &[HunkId],
    ) -> Result<Option<VersionPair>, ErrorBody> {
        // RecoveryScope hunks there are does not depend on the text that is there now.
        let base = self.contents.load_optional(entry.file.base.as_ref())?;
        let versions = FileVersions::load(self.contents, entry, base)?;
        let found =
            pending::pending_hunks(self.merger.pending.reviews(), self.goal, entry, &versions)?;
        let mut keys = Vec::new();
        for pending in found.iter().filter(|p| hunks.contains(&p.view.id)) {
            match pending.part {
                HunkPart::Lines(key) => keys.push(key),
                HunkPart::Mode | HunkPart::Whole => {
                    let base = entry.file.base.clone();
                    return Ok(Some((base.clone(), base)));
                }
            }
        }
        let (false, Some((base, current, proposed))) = (keys.is_empty(), versions.texts()) else {
            return Ok(None);
        };
        let rejected = FileReview::new(base, current, proposed).reject(&keys);
        let proposed = self.store_text(&versions.proposed, rejected.proposed)?;
        Ok(Some((entry.file.base.clone(), proposed)))
    }

    fn store_text(
        &self,
        like: &Option<FileContent>,
        text: String,
    ) -> Result<Option<FileVersion>, ErrorBody> {
        let mode = like.as_ref().map(|like| like.mode).unwrap_or_default();
        Ok(Some(self.contents.save(&text_content(text, mode))?))
    }

    /// Merges a change of a file that the repair is about.
    fn merge_change(&mut self, change: &FileChange) -> Result<(), ErrorBody> {
        let Some(entry) = self.amended_entry(&change.path, 0) else {
            let held = held_reasons(&self.merger.merge, self.goal, &change.path)?;
            self.create_entry(change, held);
            return Ok(());
        };
        let merge = |proposed| {
            file_merge::merge_files(&self.merger.merge, &change.base, proposed, &change.proposed)
        };
        let plain = merge(&entry.proposed)?;
        // What was typed before the repair began is in its text and not in the proposal; taken into both
        // sides of the pair, it is in nobody's way. That is also needed where the repair took such lines
        // away, to drop them or to put them elsewhere: the proposal never had them, so it would seem
        // done, and they would stay where they are when the repair lands.
        let is_about_typed = matches!(plain, MergeOutcome::Conflict { .. })
            || self.touches_difference(change, &entry.proposed)?;
        let with_typed = if is_about_typed {
            self.with_typed(&entry, &change.base)?
        } else {
            None
        };
        let merged = match with_typed {
            Some((base, proposed)) => match merge(&proposed)? {
                MergeOutcome::Clean(proposed) => Some((base, proposed)),
                MergeOutcome::Conflict { .. } => None,
            },
            None => None,
        };
        let (mut amended, other) = match (merged, plain) {
            (Some((base, proposed)), _) => (
                ProposedFile {
                    base,
                    proposed,
                    ..entry
                },
                None,
            ),
            (None, MergeOutcome::Clean(proposed)) => (ProposedFile { proposed, ..entry }, None),
            (None, MergeOutcome::Conflict { ours, theirs }) => {
                let amended = ProposedFile {
                    proposed: ours.clone(),
                    ..entry
                };
                (amended, Some((ours, theirs)))
            }
        };
        amended
            .versions
            .push(task_version(self.goal, self.task, change));
        self.put_entry(amended);
        if let Some(pair) = other {
            let held = held_reasons(&self.merger.merge, self.goal, &change.path)?;
            self.add_alternative(change, pair, held);
        }
        Ok(())
    }

    /// Holds a change of a file that the repair is not about: nobody asked for it.
    fn keep_apart(&mut self, change: &FileChange) -> Result<(), ErrorBody> {
        let mut held = held_reasons(&self.merger.merge, self.goal, &change.path)?;
        held.insert(HeldReason::OutOfScope);
        match self.amended_entry(&change.path, 0) {
            None => self.create_entry(change, held),
            Some(entry) => {
                let ours = entry.proposed;
                let theirs = match file_merge::merge_files(
                    &self.merger.merge,
                    &change.base,
                    &ours,
                    &change.proposed,
                )? {
                    MergeOutcome::Clean(theirs) | MergeOutcome::Conflict { theirs, .. } => theirs,
                };
                self.add_alternative(change, (ours, theirs), held);
            }
        }
        Ok(())
    }

    fn create_entry(&mut self, change: &FileChange, held: BTreeSet<HeldReason>) {
        self.put_entry(ProposedFile {
            path: change.path.clone(),
            from: change.from.clone(),
            entry: 0,
            base: change.base.clone(),
            proposed: change.proposed.clone(),
            held: held.into_iter().collect(),
            versions: vec![task_version(self.goal, self.task, change)],
        });
    }

    fn add_alternative(
        &mut self,
        change: &FileChange,
        pair: VersionPair,
        held: BTreeSet<HeldReason>,
    ) {
        let last = self
            .goal
            .files
            .iter()
            .map(|entry| &entry.file)
            .chain(&self.files)
            .filter(|file| file.path == change.path)
            .map(|file| file.entry)
            .max();
        self.put_entry(ProposedFile {
            path: change.path.clone(),
            from: None,
            entry: last.unwrap_or_default() + 1,
            base: pair.0,
            proposed: pair.1,
            held: held.into_iter().collect(),
            versions: vec![task_version(self.goal, self.task, change)],
        });
    }

    /// Returns whether the repair changed lines in which the proposal differs from the text that
    /// the repair saw.
    fn touches_difference(
        &self,
        change: &FileChange,
        proposed: &Option<FileVersion>,
    ) -> Result<bool, ErrorBody> {
        let (Some(base), Some(ours), Some(theirs)) = (
            self.load_text(&change.base)?,
            self.load_text(proposed)?,
            self.load_text(&change.proposed)?,
        ) else {
            return Ok(false);
        };
        let merge = merge3(&base, &ours, &theirs);
        Ok(merge
            .regions()
            .iter()
            .any(|region| region.kind == MergeRegionKind::Both))
    }

    fn load_text(&self, version: &Option<FileVersion>) -> Result<Option<String>, ErrorBody> {
        match version {
            Some(version) => file_merge::text_of(self.contents, version),
            None => Ok(None),
        }
    }

    /// Returns the pair of an entry with the developer's own changes in `seen` on both sides.
    /// Pending hunks stay pending, and conflicts stay conflicts.
    fn with_typed(
        &self,
        entry: &ProposedFile,
        seen: &Option<FileVersion>,
    ) -> Result<Option<VersionPair>, ErrorBody> {
        let (Some(base), Some(seen), Some(proposed)) = (
            self.load_text(&entry.base)?,
            self.load_text(seen)?,
            self.load_text(&entry.proposed)?,
        ) else {
            return Ok(None);
        };
        let merge = merge3(&base, &seen, &proposed);
        let with = |side: MergeSide| {
            merge
                .regions()
                .iter()
                .map(|region| match region.kind {
                    MergeRegionKind::Ours => merge.text_of(region, MergeSide::Ours),
                    _ => merge.text_of(region, side),
                })
                .collect::<String>()
        };
        let like = |version: &Option<FileVersion>| self.contents.load_optional(version.as_ref());
        Ok(Some((
            self.store_text(&like(&entry.base)?, with(MergeSide::Base))?,
            self.store_text(&like(&entry.proposed)?, with(MergeSide::Theirs))?,
        )))
    }
}

/// Base and proposed version.
type VersionPair = (Option<FileVersion>, Option<FileVersion>);
