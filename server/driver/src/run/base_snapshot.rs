//! The base of an attempt: the versions that its changes are changes to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use bytes::Bytes;
use claudecluster_core::{
    merge::MergeSide,
    review,
    state::{FileEntry, Goal},
    text::LineEnding,
};
use claudecluster_protocol::{
    BlobId, ErrorBody, RelPath, TaskId,
    change::{FileChange, FileVersion},
    worker::ReportedChange,
};
use claudecluster_worker::changes::FileContent;

use crate::{
    proposal::{file_merge::FileMergeRules, fold::merged_view},
    review::{cache::ReviewCache, versions::FileVersions},
    settings::MergeWords,
    workspace::{
        content_store::ContentStore,
        content_text::{ContentText, text_content},
        editor_registry::EditorRegistry,
        snapshot::{self, RecordedBase, SnapshotManifest},
    },
};

/// The base of an attempt: the workspace at one moment, and the files laid over it.
pub(crate) struct BaseSnapshot {
    /// The snapshot's name; `None` for a goal without one.
    pub(crate) id: Option<BlobId>,
    manifest: SnapshotManifest,
    /// Files that are something else in the attempt's view than in the workspace.
    above: BTreeMap<RelPath, Option<FileVersion>>,
}

impl BaseSnapshot {
    /// Returns the base of a planned task: the goal's snapshot, and the merged changes of upstream
    /// tasks.
    pub(crate) fn of_plan(
        merge: &FileMergeRules,
        goal: &Goal,
        upstream: &[TaskId],
    ) -> Result<Self, ErrorBody> {
        Ok(Self {
            id: goal.snapshot.clone(),
            manifest: snapshot::load_goal_snapshot(merge.contents.store(), goal.snapshot.as_ref())?,
            above: merged_view(merge, goal, upstream)?,
        })
    }

    /// Captures the base of a repair of a proposal in review.
    ///
    /// It is the workspace as it is now, unsaved text included, with all clean pending hunks
    /// accepted.
    pub(crate) fn of_review(
        editors: &EditorRegistry,
        reviews: &ReviewCache,
        goal: &Goal,
    ) -> Result<Self, ErrorBody> {
        let root = Path::new(&goal.spec.workspace);
        let store = reviews.contents();
        let (manifest, id) =
            snapshot::take_snapshot(store.store(), root, &editors.documents(root))?;
        let mut above: BTreeMap<RelPath, Option<FileVersion>> = BTreeMap::new();
        for (path, version) in manifest.unsaved() {
            above.insert(path.clone(), Some(version.clone()));
        }
        for path in touched_files(goal) {
            let current = editors.current_content(root, path)?;
            let content = match goal.file_entry(path, 0) {
                Some(entry) => with_pending(reviews, entry, current)?,
                None => current,
            };
            above.insert(path.clone(), store.save_optional(content.as_ref())?);
        }
        let id = Some(id);
        Ok(Self {
            id,
            manifest,
            above,
        })
    }

    /// Returns the files that are something else in the attempt's view than in the workspace.
    pub(crate) fn above(&self) -> impl Iterator<Item = (RelPath, Option<FileVersion>)> {
        let above = self.above.iter();
        above.map(|(path, version)| (path.clone(), version.clone()))
    }
}

/// Returns every file that a layer of the goal may hold: unsaved files at its start, and files that
/// its tasks changed.
fn touched_files(goal: &Goal) -> BTreeSet<&RelPath> {
    let changed = goal
        .finished
        .iter()
        .filter_map(|id| goal.tasks.get(id)?.outcome())
        .flat_map(|outcome| &outcome.changes)
        .map(|change| &change.path);
    let proposed = goal.files.iter().map(|entry| &entry.file.path);
    goal.unsaved.iter().chain(changed).chain(proposed).collect()
}

/// Returns the file with all clean pending hunks accepted; conflicts stay as they are.
fn with_pending(
    reviews: &ReviewCache,
    entry: &FileEntry,
    current: Option<FileContent>,
) -> Result<Option<FileContent>, ErrorBody> {
    let versions = FileVersions::load(reviews.contents(), entry, current)?;
    let Some((base, current, proposed)) = versions.texts() else {
        return Ok(if versions.is_untouched() {
            versions.proposed
        } else {
            versions.current
        });
    };
    let text = match reviews.merge_words() {
        MergeWords::On => review::merge_with_words(base, current, proposed),
        MergeWords::Off | MergeWords::Suggest => {
            review::merge_with_side(base, current, proposed, MergeSide::Ours)
        }
    };
    let mode = |content: &Option<FileContent>| content.as_ref().map(|content| content.mode);
    let mode = if mode(&versions.current) == mode(&versions.base) {
        mode(&versions.proposed)
    } else {
        mode(&versions.current)
    };
    Ok(Some(text_content(text, mode.unwrap_or_default())))
}

/// Finds the base versions of changed files.
pub(crate) struct FileBases<'a> {
    pub(crate) contents: &'a ContentStore,
    pub(crate) goal: &'a Goal,
    pub(crate) snapshot: &'a BaseSnapshot,
    /// The contents of the changes.
    pub(crate) reported: &'a HashMap<BlobId, Bytes>,
}

impl FileBases<'_> {
    /// Adds the journaled form of a change. A rename is a new file and a deleted one: each lands,
    /// or does not, on its own.
    pub(crate) fn file_changes(
        &self,
        change: &ReportedChange,
        into: &mut Vec<FileChange>,
    ) -> Result<(), ErrorBody> {
        if let Some(from) = &change.from {
            into.extend(self.file_change(from, None, None)?);
        }
        let after = match &change.version {
            Some(version) => Some(self.reported_content(version)?),
            None => None,
        };
        into.extend(self.file_change(&change.path, change.from.clone(), after.as_ref())?);
        Ok(())
    }

    fn reported_content(&self, version: &FileVersion) -> Result<FileContent, ErrorBody> {
        let bytes = self.reported.get(&version.blob).cloned();
        let bytes = bytes.ok_or_else(|| {
            ErrorBody::internal(format!("the report lacks the content {}", version.blob))
        })?;
        Ok(FileContent {
            bytes,
            mode: version.mode,
        })
    }

    fn file_change(
        &self,
        path: &RelPath,
        from: Option<RelPath>,
        after: Option<&FileContent>,
    ) -> Result<Option<FileChange>, ErrorBody> {
        let contents = self.contents;
        let base = match self.snapshot.above.get(path) {
            Some(version) => version.clone(),
            None => {
                let root = Path::new(&self.goal.spec.workspace);
                match self
                    .snapshot
                    .manifest
                    .base_of(contents.store(), root, path)?
                {
                    RecordedBase::Known(content) => contents.save_optional(content.as_ref())?,
                    // With no base the proposal stands against whatever is there: a conflict.
                    RecordedBase::Unknown => None,
                }
            }
        };
        let after = after
            .map(|content| self.in_style_of(base.as_ref(), content))
            .transpose()?;
        let proposed = contents.save_optional(after.as_ref())?;
        Ok((base != proposed).then(|| FileChange {
            path: path.clone(),
            from,
            base,
            proposed,
        }))
    }

    /// Returns a task's content with the line endings of its base. Agents write the endings they
    /// are used to, and nobody can review a file that changes on every line. Where nothing else
    /// differs, the endings are what the task was about.
    fn in_style_of(
        &self,
        base: Option<&FileVersion>,
        after: &FileContent,
    ) -> Result<FileContent, ErrorBody> {
        let before = self.contents.load_optional(base)?;
        let texts = (
            before.as_ref().and_then(FileContent::as_text),
            after.as_text(),
        );
        let (Some(before), Some(text)) = texts else {
            return Ok(after.clone());
        };
        if !before.contains('\r') || LineEnding::CrLf.convert_text(before) != before {
            return Ok(after.clone());
        }
        let converted = LineEnding::CrLf.convert_text(text);
        if converted == before {
            return Ok(after.clone());
        }
        Ok(after.with_text(converted.into_owned()))
    }
}
