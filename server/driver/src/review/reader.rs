//! Pending hunks as readers see them: against the open buffers and the disk as they are now.

use std::{collections::HashSet, path::Path, sync::Arc};

use claudecluster_core::state::{FileEntry, Goal};
use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId, RelPath,
    api::Decision,
    change::{HunkOrigin, HunkOriginState, HunkStatus, HunkView},
    event::Verdict,
    goal::HunkCounts,
};
use claudecluster_worker::changes::FileContent;

use crate::{
    published::PublishedGoals,
    review::{
        blame::BlameCache,
        cache::{RemainingHunks, ReviewCache},
        history,
        pending::{self, PendingHunk},
        provenance::goal_prompt,
        renames::open_entries,
        verdict,
        versions::FileVersions,
    },
    settings::MergeWords,
    workspace::{
        content_store::ContentStore,
        content_text::{ContentText, text_content},
        disk,
        editor_registry::EditorRegistry,
        text_source::TextSource,
    },
};

/// Reads pending hunks of goals, against the open buffers and the disk as they are now.
#[derive(Clone)]
pub(crate) struct PendingReader {
    goals: PublishedGoals,
    editors: EditorRegistry,
    reviews: Arc<ReviewCache>,
    blame: Arc<BlameCache>,
}

impl PendingReader {
    /// Returns a reader with empty caches.
    pub(crate) fn new(
        goals: PublishedGoals,
        editors: EditorRegistry,
        contents: ContentStore,
        merge_words: MergeWords,
    ) -> Self {
        Self {
            blame: Arc::new(BlameCache::new(contents.clone(), goals.clone())),
            reviews: Arc::new(ReviewCache::new(contents, merge_words)),
            goals,
            editors,
        }
    }

    /// Returns the cached reviews.
    pub(crate) fn reviews(&self) -> &ReviewCache {
        &self.reviews
    }

    /// Drops the cached reviews and landings of a goal.
    pub(crate) fn forget_goal(&self, goal: &GoalId) {
        self.reviews.forget_goal(goal);
        self.blame.forget_goal(goal);
    }

    /// Returns the pending hunks of one entry, without those that the text has already.
    fn pending_of(
        &self,
        goal: &Goal,
        entry: &FileEntry,
        current: Option<FileContent>,
    ) -> Result<Vec<PendingHunk>, ErrorBody> {
        let versions = FileVersions::load(self.reviews.contents(), entry, current)?;
        let mut hunks = pending::pending_hunks(&self.reviews, goal, entry, &versions)?;
        hunks.retain(|pending| !pending.present);
        Ok(hunks)
    }

    /// Returns the pending hunks of a goal against the current text. Reads the disk.
    pub(crate) fn hunks(
        &self,
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
            let current = self.editors.current_content(root, path)?;
            let mut hunks = Vec::new();
            for entry in open_entries(goal).filter(|other| other.file.path == *path) {
                let pending = self.pending_of(goal, entry, current.clone())?.into_iter();
                hunks.extend(pending.map(|pending| (entry.file.entry, pending.view)));
            }
            let text = current.as_ref().map(FileContent::as_text);
            // Of what is no text, nobody can be said to have written it.
            if text != Some(None) {
                let text = text.flatten().map(TextSource::from);
                self.blame
                    .name_sides(&root.join(path.to_path_buf()), text, &mut hunks);
            }
            found.extend(hunks.into_iter().map(|(_, hunk)| hunk));
        }
        Ok(found)
    }

    /// Counts a goal's hunks by fate. A file that cannot be read counts as a conflict: it cannot
    /// land as it is.
    pub(crate) fn hunk_counts(&self, goal: &Goal) -> HunkCounts {
        let mut counts = HunkCounts::default();
        for entry in &goal.files {
            counts.landed += entry.landed_count();
            counts.rejected += entry.rejected_count();
            counts.undone += history::count_undone(entry);
        }
        let root = Path::new(&goal.spec.workspace);
        for entry in open_entries(goal) {
            match self.count_left(goal, entry, root) {
                Err(_) => counts.conflicts += 1,
                Ok(left) => {
                    counts.pending += left.clean;
                    counts.conflicts += left.conflicts;
                }
            }
        }
        counts
    }

    /// Counts the hunks of an entry that are left. An untouched file is not read again.
    fn count_left(
        &self,
        goal: &Goal,
        entry: &FileEntry,
        root: &Path,
    ) -> Result<RemainingHunks, ErrorBody> {
        let path = &entry.file.path;
        let is_open = self
            .editors
            .document(&root.join(path.to_path_buf()))
            .is_some();
        // Taken before the file is read, so that what is written meanwhile is seen the next time.
        let stamp = (!is_open)
            .then(|| disk::file_stamp(root, path).ok())
            .flatten();
        if let Some(known) =
            stamp.and_then(|stamp| self.reviews.remaining_hunks(goal, entry, stamp))
        {
            return Ok(known);
        }
        let current = self.editors.current_content(root, path)?;
        let left = pending::count_remaining(
            &self.reviews,
            goal,
            entry,
            &FileVersions::load(self.reviews.contents(), entry, current)?,
        )?;
        if let Some(stamp) = stamp {
            self.reviews.remember_remaining(goal, entry, stamp, left);
        }
        Ok(left)
    }

    /// Returns pending hunks of one file, of all goals, against the text given.
    pub(crate) fn hunks_in(&self, path: &Path, current: TextSource<'_>) -> Vec<HunkView> {
        let state = self.goals.state();
        let mut found = Vec::new();
        for goal in state.goals.values() {
            let Some(relative) = relative_path(goal, path) else {
                continue;
            };
            if goal.files.iter().all(|entry| entry.file.path != relative) {
                continue;
            }
            for entry in open_entries(goal).filter(|entry| entry.file.path == relative) {
                match self.hunks_in_buffer(goal, entry, current) {
                    Ok(hunks) => {
                        found.extend(hunks.into_iter().map(|hunk| (entry.file.entry, hunk)));
                    }
                    Err(error) => {
                        tracing::warn!(goal = %goal.id, path = %relative, %error, "cannot list hunks");
                    }
                }
            }
        }
        self.blame.name_sides(path, Some(current), &mut found);
        found.into_iter().map(|(_, hunk)| hunk).collect()
    }

    fn hunks_in_buffer(
        &self,
        goal: &Goal,
        entry: &FileEntry,
        current: TextSource<'_>,
    ) -> Result<Vec<HunkView>, ErrorBody> {
        let hunks = match pending::hunks_of_text(&self.reviews, goal, entry, current, None)? {
            Some(hunks) => hunks,
            None => {
                let versions = FileVersions::load(
                    self.reviews.contents(),
                    entry,
                    Some(buffer_content(entry, &current.whole())),
                )?;
                pending::pending_hunks(&self.reviews, goal, entry, &versions)?
            }
        };
        let left = hunks.into_iter().filter(|pending| !pending.present);
        Ok(left.map(|pending| pending.view).collect())
    }

    /// Returns the text that `current` becomes if a hunk is accepted.
    pub(crate) fn preview(&self, hunk: &HunkId, current: &str) -> Result<String, ErrorBody> {
        let gone = || {
            ErrorBody::stale(format!("hunk {hunk} is no longer pending"))
                .with_hint("review the pending changes again")
        };
        let goal = self.goals.goal(&hunk.goal().ok_or_else(gone)?)?;
        let decision = Decision {
            hunk_id: Some(hunk.clone()),
            ..Decision::new(goal.id.clone(), Verdict::Accept)
        };
        let mut entries: Vec<&FileEntry> = open_entries(&goal).collect();
        // Whoever asks has seen the hunk, so there most likely is a review that has it.
        if let Some(at) = entries
            .iter()
            .position(|e| self.reviews.has_hunk(&goal, e, hunk))
        {
            entries.swap(0, at);
        }
        for entry in entries {
            let versions = FileVersions::load(
                self.reviews.contents(),
                entry,
                Some(buffer_content(entry, current)),
            )?;
            let verdicts =
                verdict::accept_entry(&self.reviews, &goal, entry, &versions, &decision)?;
            if let Some(change) = verdicts.final_change() {
                let after = change
                    .current
                    .as_ref()
                    .and_then(FileContent::as_text)
                    .map(str::to_owned);
                return after.ok_or_else(gone);
            }
            if verdicts.conflicts > 0 {
                return Err(ErrorBody::stale(format!(
                    "hunk {hunk} conflicts with the current text"
                ))
                .with_hint("change the conflicting text, or reject the hunk"));
            }
        }
        Err(gone())
    }

    /// Returns the origins of a text's lines in line order: pending hunks, and landed ones that are
    /// still there.
    pub(crate) fn origins(&self, path: &Path, current: &str) -> Vec<HunkOrigin> {
        let mut found: Vec<HunkOrigin> = Vec::new();
        for hunk in self.hunks_in(path, current.into()) {
            let Some(goal) = hunk.id.goal().and_then(|id| self.goals.goal(&id).ok()) else {
                continue;
            };
            found.push(HunkOrigin {
                goal_id: goal.id.clone(),
                prompt: goal_prompt(&goal),
                hunk_id: hunk.id,
                state: match hunk.status {
                    HunkStatus::Clean => HunkOriginState::Pending,
                    HunkStatus::Conflict => HunkOriginState::Conflict,
                },
                start_line: hunk.start_line,
                end_line: hunk.end_line,
                provenance: hunk.provenance,
                landed_at: None,
            });
        }
        found.extend(
            self.blame
                .landed_lines(path, current)
                .into_iter()
                .map(|landed| HunkOrigin {
                    goal_id: landed.goal.id.clone(),
                    prompt: goal_prompt(&landed.goal),
                    hunk_id: landed.hunk,
                    state: HunkOriginState::Landed,
                    start_line: landed.lines.start,
                    end_line: landed.lines.end,
                    provenance: landed.makers,
                    landed_at: Some(landed.at),
                }),
        );
        found.sort_by_key(|origin| (origin.start_line, origin.end_line));
        found
    }
}

fn relative_path(goal: &Goal, path: &Path) -> Option<RelPath> {
    let relative = path.strip_prefix(&goal.spec.workspace).ok()?;
    RelPath::from_path(relative).ok()
}

/// Returns an open buffer's text as content. The mode is the file's, which the buffer does not
/// know.
pub(crate) fn buffer_content(entry: &FileEntry, current: &str) -> FileContent {
    let mode = entry
        .file
        .base
        .as_ref()
        .map(|version| version.mode)
        .unwrap_or_default();
    text_content(current.to_owned(), mode)
}
