//! What a repair made, merged into a proposal that is in review.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::{
    lifecycle::{FileEntry, Goal},
    merge::{RegionKind, Side, merge3},
    review::Review,
    step::Input,
};
use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId, RelPath, TaskId,
    change::{FileChange, FileVersion, HeldReason, HunkStatus},
    event::{ProposedFile, Repair, RepairCause},
};
use claudecluster_worker::changes::Content;

use crate::{
    dispatcher::FULL_DISK_WAIT,
    landing,
    pending::{self, Part, Versions},
    proposal::{self, Outcome},
    shared::Shared,
    snapshot,
    work::blocking,
};

/// Brings what a repair made into the proposal.
///
/// Verdicts are carried out one at a time in a workspace, and this takes its turn among them: it starts
/// from what the last one left, and the next one starts from what this leaves.
pub(crate) async fn run(shared: &Arc<Shared>, id: &GoalId, task: &TaskId) {
    while let Err(error) = amend(shared, id, task).await {
        // What was paid for is not lost for want of space; where the daemon ends, the next one asks for
        // it again.
        tracing::error!(goal = %id, %task, %error, "a repair's changes wait to be merged");
        tokio::select! {
            () = tokio::time::sleep(FULL_DISK_WAIT) => {}
            () = shared.messages.closed() => return,
        }
    }
}

async fn amend(shared: &Arc<Shared>, id: &GoalId, task: &TaskId) -> Result<(), ErrorBody> {
    let root = PathBuf::from(&shared.goal(id)?.spec.workspace);
    let landing = shared.landing(&root);
    let _one_at_a_time = landing.lock().await;
    // A landing that the last daemon began and this one has not looked at yet would leave the pair that
    // it began with.
    landing::settle_all(shared, &root).await?;
    let goal = shared.goal(id)?;
    let (owned, owned_task) = (shared.clone(), task.clone());
    let result = blocking("merging a repair", move || {
        entries(&owned, &goal, &owned_task)
    })
    .await;
    if let Err(error) = &result {
        tracing::error!(goal = %id, %task, %error, "cannot merge a repair");
    }
    let input = Input::Amended {
        goal: id.clone(),
        task: task.clone(),
        result,
    };
    landing::ask(shared, input).await
}

/// The entries that a repair changes, as they are to be.
fn entries(shared: &Shared, goal: &Goal, task: &TaskId) -> Result<Vec<ProposedFile>, ErrorBody> {
    let made = &goal.tasks[task];
    let (Some(repair), Some(outcome)) = (&made.repair, made.outcome()) else {
        return Ok(Vec::new());
    };
    let mut amendment = Amendment {
        shared,
        goal,
        task,
        files: Vec::new(),
    };
    if repair.cause == RepairCause::Conflict {
        for path in &repair.files {
            let change = outcome.changes.iter().find(|change| change.path == *path);
            amendment.resolve(repair, path, change)?;
        }
    }
    for change in &outcome.changes {
        if repair.files.contains(&change.path) {
            amendment.add(change)?;
        } else {
            amendment.keep_apart(change)?;
        }
    }
    Ok(amendment.files)
}

struct Amendment<'a> {
    shared: &'a Shared,
    goal: &'a Goal,
    task: &'a TaskId,
    files: Vec<ProposedFile>,
}

impl Amendment<'_> {
    /// An entry as it is so far.
    fn entry(&self, path: &RelPath, number: u32) -> Option<ProposedFile> {
        let amended = self
            .files
            .iter()
            .find(|file| file.path == *path && file.entry == number);
        let file = amended.or_else(|| Some(&self.goal.entry(path, number)?.file))?;
        Some(file.clone())
    }

    fn put(&mut self, file: ProposedFile) {
        self.files
            .retain(|other| other.path != file.path || other.entry != file.entry);
        self.files.push(file);
    }

    /// A conflict that was handed over is decided: what stood there when the repair began is its base
    /// now, and what the repair made of it comes on top.
    fn resolve(
        &mut self,
        repair: &Repair,
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
            let Some(entry) = self.goal.entry(path, number) else {
                continue;
            };
            let pair = if entry.is_alternative() {
                self.without(entry, &repair.hunks)?
            } else {
                let mine = match change {
                    Some(change) => self.shared.content_of(change.base.as_ref())?,
                    None => self
                        .shared
                        .current(Path::new(&self.goal.spec.workspace), path)?,
                };
                self.as_mine(entry, &repair.hunks, mine.as_ref())?
            };
            if let Some((base, proposed)) = pair {
                self.put(ProposedFile {
                    base,
                    proposed,
                    ..entry.file.clone()
                });
            }
        }
        Ok(())
    }

    /// The pair of an entry with these conflicts as `mine` has them.
    fn as_mine(
        &self,
        entry: &FileEntry,
        hunks: &[HunkId],
        mine: Option<&Content>,
    ) -> Result<Option<Pair>, ErrorBody> {
        let mut entry = entry.clone();
        let mut resolved = false;
        // Deciding one can decide others of the same stretch, so each is looked up anew.
        for _ in hunks {
            let versions = Versions::of(self.shared, &entry, mine.cloned())?;
            let found = pending::hunks(self.shared, self.goal, &entry, &versions)?;
            let wanted = found.into_iter().find(|pending| {
                hunks.contains(&pending.view.id)
                    && !pending.present
                    && (pending.view.status == HunkStatus::Conflict || pending.is_by_words())
            });
            let pair = match (wanted.map(|pending| pending.part), versions.texts()) {
                (Some(Part::Lines(key)), Some((base, current, proposed))) => {
                    let review = Review::new(base, current, proposed);
                    let Some(hunk) = review.hunk(key) else { break };
                    let text = review
                        .merge()
                        .text_of(&review.region(hunk), Side::Ours)
                        .to_owned();
                    let Ok(both) = review.resolve(key, &text) else {
                        break;
                    };
                    let store = |content: &Option<Content>, text| self.store(content, text);
                    (
                        store(&versions.base, both.base)?,
                        store(&versions.proposed, both.proposed)?,
                    )
                }
                (Some(Part::Whole | Part::Mode), _) => {
                    let version = mine
                        .map(|mine| snapshot::version(&self.shared.store, mine))
                        .transpose()?;
                    (version.clone(), version)
                }
                _ => break,
            };
            (entry.file.base, entry.file.proposed) = pair;
            resolved = true;
        }
        Ok(resolved.then_some((entry.file.base, entry.file.proposed)))
    }

    /// The pair of an alternative without these hunks.
    fn without(&self, entry: &FileEntry, hunks: &[HunkId]) -> Result<Option<Pair>, ErrorBody> {
        // Which hunks there are does not depend on the text that is there now.
        let base = self.shared.content_of(entry.file.base.as_ref())?;
        let versions = Versions::of(self.shared, entry, base)?;
        let found = pending::hunks(self.shared, self.goal, entry, &versions)?;
        let mut keys = Vec::new();
        for pending in found.iter().filter(|p| hunks.contains(&p.view.id)) {
            match pending.part {
                Part::Lines(key) => keys.push(key),
                Part::Mode | Part::Whole => {
                    let base = entry.file.base.clone();
                    return Ok(Some((base.clone(), base)));
                }
            }
        }
        let (false, Some((base, current, proposed))) = (keys.is_empty(), versions.texts()) else {
            return Ok(None);
        };
        let rejected = Review::new(base, current, proposed).reject(&keys);
        let proposed = self.store(&versions.proposed, rejected.proposed)?;
        Ok(Some((entry.file.base.clone(), proposed)))
    }

    fn store(
        &self,
        like: &Option<Content>,
        text: String,
    ) -> Result<Option<FileVersion>, ErrorBody> {
        let content = Content {
            bytes: text.into_bytes().into(),
            mode: like.as_ref().map(|like| like.mode).unwrap_or_default(),
        };
        Ok(Some(snapshot::version(&self.shared.store, &content)?))
    }

    /// A change of a file that the repair is about.
    fn add(&mut self, change: &FileChange) -> Result<(), ErrorBody> {
        let Some(entry) = self.entry(&change.path, 0) else {
            let held = proposal::held(self.goal, &change.path)?;
            self.create(change, held);
            return Ok(());
        };
        let merge =
            |proposed| proposal::merge(self.shared, &change.base, proposed, &change.proposed);
        let plain = merge(&entry.proposed)?;
        // What was typed before the repair began is in its text and not in the proposal; taken into both
        // sides of the pair, it is in nobody's way. That is also needed where the repair took such lines
        // away, to drop them or to put them elsewhere: the proposal never had them, so it would seem
        // done, and they would stay where they are when the repair lands.
        let is_about_typed =
            matches!(plain, Outcome::Conflict { .. }) || self.agrees(change, &entry.proposed)?;
        let with_typed = if is_about_typed {
            self.with_typed(&entry, &change.base)?
        } else {
            None
        };
        let merged = match with_typed {
            Some((base, proposed)) => match merge(&proposed)? {
                Outcome::Clean(proposed) => Some((base, proposed)),
                Outcome::Conflict { .. } => None,
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
            (None, Outcome::Clean(proposed)) => (ProposedFile { proposed, ..entry }, None),
            (None, Outcome::Conflict { ours, theirs }) => {
                let amended = ProposedFile {
                    proposed: ours.clone(),
                    ..entry
                };
                (amended, Some((ours, theirs)))
            }
        };
        amended
            .versions
            .push(proposal::task_version(self.goal, self.task, change));
        self.put(amended);
        if let Some(pair) = other {
            let held = proposal::held(self.goal, &change.path)?;
            self.alternative(change, pair, held);
        }
        Ok(())
    }

    /// A change of a file that the repair is not about: nobody asked for it.
    fn keep_apart(&mut self, change: &FileChange) -> Result<(), ErrorBody> {
        let mut held = proposal::held(self.goal, &change.path)?;
        held.insert(HeldReason::OutOfScope);
        match self.entry(&change.path, 0) {
            None => self.create(change, held),
            Some(entry) => {
                let ours = entry.proposed;
                let theirs =
                    match proposal::merge(self.shared, &change.base, &ours, &change.proposed)? {
                        Outcome::Clean(theirs) | Outcome::Conflict { theirs, .. } => theirs,
                    };
                self.alternative(change, (ours, theirs), held);
            }
        }
        Ok(())
    }

    fn create(&mut self, change: &FileChange, held: BTreeSet<HeldReason>) {
        self.put(ProposedFile {
            path: change.path.clone(),
            from: change.from.clone(),
            entry: 0,
            base: change.base.clone(),
            proposed: change.proposed.clone(),
            held: held.into_iter().collect(),
            versions: vec![proposal::task_version(self.goal, self.task, change)],
        });
    }

    fn alternative(&mut self, change: &FileChange, pair: Pair, held: BTreeSet<HeldReason>) {
        let last = self
            .goal
            .files
            .iter()
            .map(|entry| &entry.file)
            .chain(&self.files)
            .filter(|file| file.path == change.path)
            .map(|file| file.entry)
            .max();
        self.put(ProposedFile {
            path: change.path.clone(),
            from: None,
            entry: last.unwrap_or_default() + 1,
            base: pair.0,
            proposed: pair.1,
            held: held.into_iter().collect(),
            versions: vec![proposal::task_version(self.goal, self.task, change)],
        });
    }

    /// Whether a repair changed a place as the proposal differs from what the repair saw.
    fn agrees(
        &self,
        change: &FileChange,
        proposed: &Option<FileVersion>,
    ) -> Result<bool, ErrorBody> {
        let (Some(base), Some(ours), Some(theirs)) = (
            self.text(&change.base)?,
            self.text(proposed)?,
            self.text(&change.proposed)?,
        ) else {
            return Ok(false);
        };
        let merge = merge3(&base, &ours, &theirs);
        Ok(merge
            .regions()
            .iter()
            .any(|region| region.kind == RegionKind::Both))
    }

    fn text(&self, version: &Option<FileVersion>) -> Result<Option<String>, ErrorBody> {
        match version {
            Some(version) => proposal::text_of(self.shared, version),
            None => Ok(None),
        }
    }

    /// The pair of an entry with the developer's own changes in `seen` on both sides. What is pending
    /// stays pending, and so does what conflicts.
    fn with_typed(
        &self,
        entry: &ProposedFile,
        seen: &Option<FileVersion>,
    ) -> Result<Option<Pair>, ErrorBody> {
        let (Some(base), Some(seen), Some(proposed)) = (
            self.text(&entry.base)?,
            self.text(seen)?,
            self.text(&entry.proposed)?,
        ) else {
            return Ok(None);
        };
        let merge = merge3(&base, &seen, &proposed);
        let with = |side: Side| {
            merge
                .regions()
                .iter()
                .map(|region| match region.kind {
                    RegionKind::Ours => merge.text_of(region, Side::Ours),
                    _ => merge.text_of(region, side),
                })
                .collect::<String>()
        };
        let like = |version: &Option<FileVersion>| self.shared.content_of(version.as_ref());
        Ok(Some((
            self.store(&like(&entry.base)?, with(Side::Base))?,
            self.store(&like(&entry.proposed)?, with(Side::Theirs))?,
        )))
    }
}

/// Base and proposed.
type Pair = (Option<FileVersion>, Option<FileVersion>);
