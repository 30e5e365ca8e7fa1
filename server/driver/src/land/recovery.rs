//! Landings that were begun and not heard of since: the daemon ended in between, or an editor never
//! answered. The current text shows which of the two texts it is.
//!
//! For a file that was open in an editor, the disk says nothing until the buffer is saved. If the
//! disk does not have the new text and no editor has the file open, such a landing stays begun
//! until an editor opens it, or until somebody decides about the workspace: then the current text
//! counts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::{
    state::{Goal, PendingLanding},
    step::Input,
};
use claudecluster_protocol::{ErrorBody, EventBody, GoalId, RelPath};
use claudecluster_worker::changes::FileContent;
use tracing::Instrument;

use super::locks::LandingLocks;
use crate::{
    blocking::run_blocking,
    mailbox::DispatcherMailbox,
    published::PublishedGoals,
    review::verdict,
    workspace::{content_store::ContentStore, disk, editor_registry::EditorRegistry},
};

/// Recovers landings that were begun and not heard of since.
#[derive(Clone)]
pub(crate) struct LandingRecovery {
    pub(crate) goals: PublishedGoals,
    pub(crate) editors: EditorRegistry,
    pub(crate) contents: ContentStore,
    pub(crate) mailbox: DispatcherMailbox,
    pub(crate) locks: LandingLocks,
}

/// The landings to recover.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RecoveryScope<'a> {
    /// All landings, because a decision builds on the current text.
    All,
    /// All landings that the disk says something about.
    OnDisk,
    /// Landings in one file that has just been looked at in an editor.
    File(&'a Path),
}

impl LandingRecovery {
    /// Recovers the landings of a daemon before this one, as far as the disk says something about them.
    pub(crate) async fn recover_goal(&self, goal: &GoalId) -> Result<(), ErrorBody> {
        let root = PathBuf::from(&self.goals.goal(goal)?.spec.workspace);
        let _one_at_a_time = self.locks.lock(&root).await;
        self.recover_landings(&root, RecoveryScope::OnDisk)
            .await
            .map(|_| ())
    }

    /// Recovers the landings in a file that an editor has open.
    pub(super) async fn recover_opened(&self, path: &Path) -> Result<(), ErrorBody> {
        let state = self.goals.state();
        let goals = state.goals.values();
        let left: Vec<PathBuf> = goals
            .filter(|goal| has_pending_landings(goal))
            .map(|goal| PathBuf::from(&goal.spec.workspace))
            .filter(|root| path.starts_with(root))
            .collect();
        for root in left {
            let _one_at_a_time = self.locks.lock(&root).await;
            self.recover_landings(&root, RecoveryScope::File(path))
                .await?;
        }
        Ok(())
    }

    /// Recovers the landings of a workspace, and returns the facts of each goal. The caller holds
    /// the workspace's lock.
    pub(super) async fn recover_landings(
        &self,
        root: &Path,
        scope: RecoveryScope<'_>,
    ) -> Result<Vec<(GoalId, EventBody)>, ErrorBody> {
        let state = self.goals.state();
        let mut recovered = Vec::new();
        let here = |goal: &&Arc<Goal>| {
            Path::new(&goal.spec.workspace) == root && has_pending_landings(goal)
        };
        for goal in state.goals.values().filter(here) {
            let span = tracing::error_span!("recovery", goal = %goal.id);
            let facts = self.recover_landings_of(goal, root, scope);
            let facts = facts.instrument(span).await?;
            recovered.extend(facts.into_iter().map(|fact| (goal.id.clone(), fact)));
        }
        Ok(recovered)
    }

    /// Recovers the landings of one goal, and returns the facts.
    async fn recover_landings_of(
        &self,
        goal: &Arc<Goal>,
        root: &Path,
        scope: RecoveryScope<'_>,
    ) -> Result<Vec<EventBody>, ErrorBody> {
        let mut paths: Vec<RelPath> = Vec::new();
        for entry in goal
            .files
            .iter()
            .filter(|entry| !entry.pending_landings.is_empty())
        {
            let path = &entry.file.path;
            let meant = match scope {
                RecoveryScope::File(file) => root.join(path.to_path_buf()) == file,
                RecoveryScope::All | RecoveryScope::OnDisk => true,
            };
            if meant && !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        for path in &paths {
            // Only waited for: the text is read below, wherever it is then.
            let _ = self
                .editors
                .settled_document(&root.join(path.to_path_buf()))
                .await;
        }
        let on_disk_only = scope == RecoveryScope::OnDisk;
        let (owned, subject, root) = (self.clone(), goal.clone(), root.to_owned());
        let facts = run_blocking("recovering earlier changes", move || {
            let mut facts = Vec::new();
            for path in paths {
                facts.extend(owned.observe_file(&subject, &root, &path, on_disk_only)?);
            }
            Ok(facts)
        })
        .await?;
        if !facts.is_empty() {
            let input = Input::Reviewed {
                goal: goal.id.clone(),
                facts: facts.clone(),
            };
            self.mailbox.ask(input).await?;
        }
        Ok(facts)
    }

    /// Returns the facts of the landings of one file: all of them happened or none, for they are
    /// one write.
    fn observe_file(
        &self,
        goal: &Goal,
        root: &Path,
        path: &RelPath,
        on_disk_only: bool,
    ) -> Result<Vec<EventBody>, ErrorBody> {
        let entries = goal.files.iter().filter(|entry| entry.file.path == *path);
        let begun: Vec<(u32, &PendingLanding)> = entries
            .flat_map(|entry| {
                entry
                    .pending_landings
                    .iter()
                    .map(|begun| (entry.file.entry, begun))
            })
            .collect();
        let Some((before, after)) = first_and_last(&begun) else {
            return Ok(Vec::new());
        };
        let before = self
            .contents
            .load_optional(before.landed.version_before().as_ref())?;
        let after = self
            .contents
            .load_optional(after.landed.version_after().as_ref())?;
        let mut current = self.editors.current_content(root, path)?;
        // Its text may still be open where it has gone.
        if after.is_none() && disk::is_gone(root, path)? {
            current = None;
        }
        let landed = current == after || has_landed(&before, &after, &current);
        let seen = self
            .editors
            .document(&root.join(path.to_path_buf()))
            .is_some();
        if !landed && on_disk_only && !seen && begun.iter().any(|(_, begun)| begun.open) {
            return Ok(Vec::new());
        }
        let known: Vec<&FileContent> = [&before, &after].into_iter().flatten().collect();
        if let Err(error) = disk::clear_leftovers(root, path, &known) {
            tracing::warn!(%path, %error, "cannot remove leftover files");
        }
        if landed {
            return Ok(begun
                .into_iter()
                .map(|(entry, begun)| reviewed_fact(path, entry, begun))
                .collect());
        }
        let mut entries: Vec<u32> = begun.into_iter().map(|(entry, _)| entry).collect();
        entries.dedup();
        let dropped = |entry| EventBody::LandingDropped {
            path: path.clone(),
            entry,
        };
        Ok(entries.into_iter().map(dropped).collect())
    }
}

fn has_pending_landings(goal: &Goal) -> bool {
    goal.files
        .iter()
        .any(|entry| !entry.pending_landings.is_empty())
}

/// Returns the first and the last of landings that follow each other, each from the text the one
/// before it leaves.
fn first_and_last<'a>(
    begun: &[(u32, &'a PendingLanding)],
) -> Option<(&'a PendingLanding, &'a PendingLanding)> {
    let all = || begun.iter().map(|(_, begun)| *begun);
    let is = |one: &PendingLanding, other: &PendingLanding| std::ptr::eq(one, other);
    let (before, after) = (
        |one: &PendingLanding| one.landed.version_before(),
        |one: &PendingLanding| one.landed.version_after(),
    );
    let follows =
        |one: &PendingLanding| all().any(|other| !is(one, other) && after(other) == before(one));
    let leads =
        |one: &PendingLanding| all().any(|other| !is(one, other) && before(other) == after(one));
    let first = all().find(|one| !follows(one)).or_else(|| all().next())?;
    let last = all()
        .find(|one| !leads(one))
        .or_else(|| all().next_back())?;
    Some((first, last))
}

fn has_landed(
    before: &Option<FileContent>,
    after: &Option<FileContent>,
    now: &Option<FileContent>,
) -> bool {
    let now = now.as_ref().filter(|_| now != before);
    now.is_some_and(|now| verdict::has_change(before.as_ref(), after.as_ref(), now))
}

fn reviewed_fact(path: &RelPath, entry: u32, begun: &PendingLanding) -> EventBody {
    EventBody::Reviewed {
        path: path.clone(),
        entry,
        verdict: begun.verdict,
        hunks: begun.hunks.clone(),
        base: begun.pair.base.clone(),
        proposed: begun.pair.proposed.clone(),
        landed: Some(begun.landed.clone()),
        reason: begun.reason.clone(),
        of: begun.of,
        decision: None,
    }
}
