//! Undo and redo of editors. Nobody tells the daemon; they are seen in the text once it has
//! settled. If the text equals, to the byte, the text before or after a landing, everything between
//! was undone or redone. Else the places of the hunks tell.

mod change_index;
mod hunk_search;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use claudecluster_core::{
    state::{FileEntry, Goal, LedgerRecord},
    step::Input,
};
use claudecluster_protocol::{
    BlobId, ErrorBody, EventBody, GoalId, HunkId, RelPath, Span, event::Verdict,
    landed::LandedContent,
};
use claudecluster_store::blob_id;
use claudecluster_worker::changes::FileContent;

use self::{
    change_index::{ChangedLines, MoveTrace},
    hunk_search::{UndoScan, UndoScanResult},
};
use super::{locks::LandingLocks, recovery::LandingRecovery};
use crate::{
    blocking::run_blocking,
    mailbox::DispatcherMailbox,
    published::PublishedGoals,
    review::verdict::revert::{PastMove, RevertState},
    workspace::{
        content_store::ContentStore, content_text::ContentText, disk,
        editor_registry::EditorRegistry,
    },
};

/// Notices undo and redo in editors, and lets the ledger follow.
#[derive(Clone)]
pub(crate) struct UndoDetection {
    pub(crate) goals: PublishedGoals,
    pub(crate) editors: EditorRegistry,
    pub(crate) contents: ContentStore,
    pub(crate) mailbox: DispatcherMailbox,
    pub(crate) locks: LandingLocks,
    pub(crate) recovery: LandingRecovery,
    pub(crate) typing_pause: Span,
    pub(crate) observed: Arc<ObservedFiles>,
}

/// Files in which an editor's own undo is followed.
#[derive(Default)]
pub(crate) struct ObservedFiles {
    files: Mutex<BTreeMap<PathBuf, ObservedFile>>,
}

/// One followed file.
#[derive(Default)]
struct ObservedFile {
    /// FileContent at the last look, while an editor has the file open.
    last: Option<FileContent>,
    /// Whether another look is scheduled.
    awaited: bool,
    /// Effects of moves, by the texts before and after them.
    traces: HashMap<MoveEnds, Arc<MoveTrace>>,
}

/// The texts that a move goes between.
type MoveEnds = (Option<BlobId>, Option<BlobId>);

impl ObservedFiles {
    fn lock_files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, ObservedFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_content(&self, path: &Path) -> Option<FileContent> {
        self.lock_files().get(path)?.last.clone()
    }

    fn set_last_content(&self, path: &Path, now: Option<FileContent>) {
        let mut files = self.lock_files();
        let file = files.entry(path.to_owned()).or_default();
        file.last = now;
        if file.last.is_none() && !file.awaited {
            files.remove(path);
        }
    }

    /// Forgets the last content: the next look covers the whole file.
    fn forget_last(&self, path: &Path) {
        if let Some(file) = self.lock_files().get_mut(path) {
            file.last = None;
        }
    }

    /// Returns the effect of a move on a file; `None` if it is not known by lines.
    fn move_trace(
        &self,
        contents: &ContentStore,
        path: &Path,
        landed: &LandedContent,
    ) -> Result<Option<Arc<MoveTrace>>, ErrorBody> {
        let ends = (landed.before.clone(), landed.after.clone());
        let known =
            |files: &BTreeMap<PathBuf, ObservedFile>| files.get(path)?.traces.get(&ends).cloned();
        if let Some(trace) = known(&self.lock_files()) {
            return Ok(Some(trace));
        }
        let before = contents.load_optional(landed.version_before().as_ref())?;
        let after = contents.load_optional(landed.version_after().as_ref())?;
        let texts = before
            .as_ref()
            .map(FileContent::as_text)
            .zip(after.as_ref().map(FileContent::as_text));
        let Some((Some(before), Some(after))) = texts else {
            return Ok(None);
        };
        let trace = Arc::new(MoveTrace::new(before, after));
        if let Some(file) = self.lock_files().get_mut(path) {
            file.traces.insert(ends, trace.clone());
        }
        Ok(Some(trace))
    }

    /// Schedules another look; `false` if one is scheduled already.
    fn start_waiting(&self, path: &Path) -> bool {
        let mut files = self.lock_files();
        let file = files.entry(path.to_owned()).or_default();
        !std::mem::replace(&mut file.awaited, true)
    }

    fn stop_waiting(&self, path: &Path) {
        if let Some(file) = self.lock_files().get_mut(path) {
            file.awaited = false;
        }
    }
}

impl UndoDetection {
    /// Compares the settled text of a file with the ledger, and journals undo and redo of its
    /// editor.
    pub(crate) async fn follow_editor(&self, path: &Path) {
        // What is being loaded anew says nothing yet.
        let _ = self.editors.settled_document(path).await;
        if let Err(error) = self.recovery.recover_opened(path).await {
            tracing::warn!(path = %path.display(), %error, "cannot settle an earlier change");
        }
        self.follow_until_quiet(path).await;
    }

    /// Follows the editor until no look is due.
    ///
    /// Costs a look at the ledgers if nothing has landed in the file. Else it costs a comparison
    /// with the text of the last look, and with each landing that can be concerned.
    async fn follow_until_quiet(&self, path: &Path) {
        let later = self.follow_now(path).await;
        let Some(mut later) = later.filter(|_| self.observed.start_waiting(path)) else {
            return;
        };
        let (detection, path) = (self.clone(), path.to_owned());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(later).await;
                match detection.follow_now(&path).await {
                    Some(still) => later = still,
                    None => return detection.observed.stop_waiting(&path),
                }
            }
        });
    }

    /// Follows once. Returns when to look again, if somebody types.
    async fn follow_now(&self, path: &Path) -> Option<Duration> {
        let state = self.goals.state();
        let landed = |goal: &&Arc<Goal>| {
            let path = relative_path(goal, path);
            path.is_some_and(|path| history_of(goal, path).next().is_some())
        };
        let goals = state.goals.values().filter(landed);
        let mut roots: Vec<PathBuf> = goals
            .map(|goal| goal.spec.workspace.clone().into())
            .collect();
        roots.sort();
        roots.dedup();
        let mut later = None;
        for root in roots {
            match self.follow_in(&root, path).await {
                Ok(still) => later = later.max(still),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot record an undo made in the editor");
                }
            }
        }
        later
    }

    async fn follow_in(&self, root: &Path, path: &Path) -> Result<Option<Duration>, ErrorBody> {
        let _one_at_a_time = self.locks.lock(root).await;
        let (owned, root, file) = (self.clone(), root.to_owned(), path.to_owned());
        let (facts, later) = run_blocking("following an editor", move || {
            owned.ledger_facts(&root, &file)
        })
        .await?;
        for (goal, facts) in facts {
            if let Err(error) = self.mailbox.ask(Input::Reviewed { goal, facts }).await {
                self.observed.forget_last(path);
                return Err(error);
            }
        }
        Ok(later)
    }

    /// Returns the facts that make the ledger agree with the text, and when to look again.
    fn ledger_facts(
        &self,
        root: &Path,
        path: &Path,
    ) -> Result<(GoalFacts, Option<Duration>), ErrorBody> {
        let state = self.goals.state();
        let goals = state.goals.values();
        let mut history: Vec<LandedMove<'_>> = goals
            .filter(|goal| Path::new(&goal.spec.workspace) == root)
            .filter_map(|goal| Some((goal, relative_path(goal, path)?)))
            .flat_map(|(goal, path)| history_of(goal, path))
            .collect();
        history.sort_by_key(|moved| moved.ledger_move().order);
        let Some(relative) = history.first().map(|moved| &moved.entry.file.path) else {
            return Ok((Vec::new(), None));
        };
        let deleted = history
            .last()
            .is_some_and(|last| last.landed.after.is_none());
        if deleted && disk::is_gone(root, relative)? {
            // Its text may still be open. It is back when it is saved.
            return Ok((Vec::new(), None));
        }
        let document = self.editors.document(path).map(|(_, document)| document);
        let current = self.editors.current_content(root, relative)?;
        let now = current.as_ref().map(|content| blob_id(&content.bytes));
        let last = self.observed.last_content(path);
        let mut seen = detect_by_text(&history, now.as_ref());
        if let (true, Some(current)) = (seen.is_empty(), &current) {
            let look = UndoScan {
                contents: &self.contents,
                observed: &self.observed,
                typing_pause: self.typing_pause,
                path,
                current,
                last: last.as_ref(),
                open: document.is_some(),
                edited: document.as_ref().and_then(|open| open.edited.as_ref()),
            };
            seen = match hunk_search::search_hunks(&look, &history)? {
                UndoScanResult::Now(seen) => seen,
                UndoScanResult::Later(later) => return Ok((Vec::new(), Some(later))),
            };
        }
        if let (Some(first), Some(current)) = (seen.first_mut(), &current) {
            self.contents.save(current)?;
            if let Some(last) = last.filter(|last| last.bytes != current.bytes) {
                // Stores the buffer as it was before the undo, so that a later redo restores the user's edits too.
                first.landed.before = Some(self.contents.save(&last)?.blob);
            }
        }
        self.observed
            .set_last_content(path, current.filter(|_| document.is_some()));
        let mut facts: GoalFacts = Vec::new();
        let mut states: HashMap<&GoalId, RevertState<'_>> = HashMap::new();
        for one in &seen {
            let id = &one.goal.id;
            let state = states
                .entry(id)
                .or_insert_with(|| RevertState::new(&self.contents, None));
            let Some(fact) = revert_fact(&self.contents, state, one)? else {
                continue;
            };
            match facts.iter_mut().find(|(goal, _)| goal == id) {
                Some((_, known)) => known.push(fact),
                None => facts.push((id.clone(), vec![fact])),
            }
        }
        Ok((facts, None))
    }
}

/// A move that changed the content of a file.
struct LandedMove<'a> {
    goal: &'a Goal,
    entry: &'a FileEntry,
    index: usize,
    landed: &'a LandedContent,
}

/// Hunks of a move that the text shows as undone or redone.
struct DetectedUndo<'a> {
    goal: &'a Goal,
    entry: &'a FileEntry,
    /// Index of the landing.
    index: usize,
    /// For a redo, the index of the undo.
    undo: Option<usize>,
    hunks: Vec<HunkId>,
    landed: LandedContent,
    reason: &'static str,
}

impl<'a> LandedMove<'a> {
    fn ledger_move(&self) -> &'a LedgerRecord {
        &self.entry.ledger[self.index]
    }
}

fn relative_path(goal: &Goal, path: &Path) -> Option<RelPath> {
    let path = path.strip_prefix(&goal.spec.workspace).ok()?;
    RelPath::from_path(path).ok()
}

/// Returns the moves of a goal that changed a file's content, in no order.
fn history_of(goal: &Goal, path: RelPath) -> impl Iterator<Item = LandedMove<'_>> {
    let entries = goal.files.iter().filter(move |file| file.file.path == path);
    entries.flat_map(move |entry| {
        let moves = entry.ledger.iter().enumerate();
        moves.filter_map(move |(index, made)| {
            let landed = made.landed.as_ref()?;
            (landed.before != landed.after).then_some(LandedMove {
                goal,
                entry,
                index,
                landed,
            })
        })
    })
}

/// Facts to journal, by goal.
type GoalFacts = Vec<(GoalId, Vec<EventBody>)>;

/// Returns the moves whose undo or redo gives exactly the current file, the latest first.
fn detect_by_text<'a>(history: &[LandedMove<'a>], now: Option<&BlobId>) -> Vec<DetectedUndo<'a>> {
    let is_now = |blob: &Option<BlobId>| blob.as_ref() == now;
    if history.last().is_none_or(|last| is_now(&last.landed.after)) {
        return Vec::new();
    }
    // Done again: the undos made last have not happened.
    let mut run = Vec::new();
    // What was seen in one look has the same texts, and goes with it.
    let mut first: Option<&LandedContent> = None;
    for moved in history.iter().rev() {
        let hunks = moved.entry.undone_by(moved.index);
        let of = moved.entry.takes_back(moved.index);
        let (Verdict::Undo, Some(of), false) = (moved.ledger_move().verdict, of, hunks.is_empty())
        else {
            break;
        };
        if first.is_some_and(|first| first != moved.landed) {
            break;
        }
        run.push(DetectedUndo {
            goal: moved.goal,
            entry: moved.entry,
            index: of,
            undo: Some(moved.index),
            hunks,
            landed: reverse_landing(moved.landed),
            reason: "redone in the editor",
        });
        if is_now(&moved.landed.before) {
            first = Some(moved.landed);
        }
    }
    if first.is_some() {
        return run;
    }
    // Undone: the landings made last have not happened.
    let mut run: Vec<DetectedUndo<'_>> = Vec::new();
    for moved in history.iter().rev() {
        if first.is_some_and(|first| first != moved.landed) {
            break;
        }
        let made = moved.ledger_move();
        let of = moved.entry.takes_back(moved.index);
        let index = match made.verdict {
            Verdict::Redo => of.and_then(|undo| moved.entry.takes_back(undo)),
            _ => made.is_landing().then_some(moved.index),
        };
        let Some(index) = index else {
            continue;
        };
        let same =
            |one: &&DetectedUndo<'_>| std::ptr::eq(one.entry, moved.entry) && one.index == index;
        let known: Vec<&HunkId> = run.iter().filter(same).flat_map(|one| &one.hunks).collect();
        let standing = moved.entry.ledger[index].hunks_in_effect();
        let hunks = standing.filter(|id| made.hunks.contains(id) && !known.contains(id));
        let hunks: Vec<HunkId> = hunks.cloned().collect();
        let mut landed = reverse_landing(moved.landed);
        if let Some(rest) = run.iter().rfind(same) {
            // Some of its hunks were done again by themselves: the others stood without them.
            landed.before.clone_from(&rest.landed.after);
        }
        if !hunks.is_empty() {
            run.push(DetectedUndo {
                goal: moved.goal,
                entry: moved.entry,
                index,
                undo: None,
                hunks,
                landed,
                reason: "undone in the editor",
            });
        }
        if is_now(&moved.landed.before) {
            first = Some(moved.landed);
        }
    }
    if first.is_none() {
        return Vec::new();
    }
    if let Some(last) = run.last_mut() {
        // Between them may be moves that the ledger has followed already.
        last.landed.after = now.cloned();
    }
    run
}

fn reverse_landing(landed: &LandedContent) -> LandedContent {
    LandedContent {
        before: landed.after.clone(),
        after: landed.before.clone(),
        mode_before: landed.mode_after,
        mode_after: landed.mode_before,
    }
}

/// Returns the fact of a detected undo or redo, as far as the pair still has the hunks.
fn revert_fact(
    contents: &ContentStore,
    state: &mut RevertState<'_>,
    seen: &DetectedUndo<'_>,
) -> Result<Option<EventBody>, ErrorBody> {
    let past = PastMove::load_move(contents, seen.goal, seen.entry, seen.index)?;
    let standing: Vec<HunkId> = past.ledger_move().hunks_in_effect().cloned().collect();
    let (step, verdict, of) = match seen.undo {
        Some(undo) => {
            let step = past.redo_step(contents, seen.goal, undo, &seen.hunks)?;
            (step, Verdict::Redo, undo)
        }
        None => (past.undo_step(&standing), Verdict::Undo, seen.index),
    };
    // The text is what it is; only the pair has to follow.
    state.set_current(step.start_content());
    let (change, _) = state.apply_step(seen.entry, &step, &seen.hunks, verdict, of)?;
    let Some(change) = change else {
        return Ok(None);
    };
    let version = |content: &Option<FileContent>| contents.save_optional(content.as_ref());
    Ok(Some(EventBody::Reviewed {
        path: seen.entry.file.path.clone(),
        entry: seen.entry.file.entry,
        verdict,
        hunks: change.hunks,
        base: version(&change.base)?,
        proposed: version(&change.proposed)?,
        landed: Some(seen.landed.clone()),
        reason: Some(seen.reason.to_owned()),
        of: change.of,
        decision: None,
    }))
}
