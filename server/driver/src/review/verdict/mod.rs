//! Effects of verdicts on one file and its pair of versions. Computed here, carried out in `land`.

mod accept;
pub(crate) mod named_target;
mod reject;
mod resolve;
pub(crate) mod revert;
mod stretch;
mod undo;

use claudecluster_core::{
    merge::{MergeRegionKind, merge3},
    review::{FileReview, HunkKey, HunkState},
    state::{FileEntry, Goal},
};
use claudecluster_protocol::{ErrorBody, HunkId, api::Decision, event::Verdict};
use claudecluster_worker::changes::FileContent;

pub(crate) use self::{
    accept::accept_entry,
    reject::reject_entry,
    resolve::resolve_entry,
    stretch::incomplete_resolution,
    undo::{redo_moves, undo_moves},
};
use crate::{
    review::{
        cache::ReviewCache, hunk_part::HunkPart, pending::PendingHunk, versions::FileVersions,
    },
    workspace::content_text::ContentText,
};

/// Works out a decision for one entry. Depends on its arguments only: if the text moves before it
/// is carried out, it is computed again.
pub(crate) type VerdictFn = fn(
    &ReviewCache,
    &Goal,
    &FileEntry,
    &FileVersions,
    &Decision,
) -> Result<EntryVerdicts, ErrorBody>;

/// Returns the function that works out a verdict.
pub(crate) fn verdict_fn(verdict: Verdict) -> VerdictFn {
    match verdict {
        Verdict::Accept => accept_entry,
        Verdict::Reject => reject_entry,
        Verdict::Undo => undo_moves,
        Verdict::Redo => redo_moves,
        Verdict::Resolve => resolve_entry,
    }
}

/// An entry after a verdict, and the file it needs.
#[derive(Clone, Debug)]
pub(crate) struct VerdictChange {
    /// Number of the entry in its file: a verdict on an alternative can move the merged entry, too.
    pub(crate) entry: u32,
    /// The verdict on the hunks. One decision can lead to different verdicts on different entries.
    pub(crate) verdict: Verdict,
    /// The hunks it is about.
    pub(crate) hunks: Vec<HunkId>,
    /// Parts that the text must contain for the verdict to count as carried out.
    pub(crate) parts: Vec<HunkPart>,
    /// The file.
    pub(crate) current: Option<FileContent>,
    /// The pair.
    pub(crate) base: Option<FileContent>,
    /// The pair.
    pub(crate) proposed: Option<FileContent>,
    /// For an undo or a redo: which of the entry's moves it takes back.
    pub(crate) of: Option<u32>,
}

/// The effect of a decision on one entry.
#[derive(Debug, Default)]
pub(crate) struct EntryVerdicts {
    /// Changes in order: each starts from the text that the one before it leaves.
    pub(crate) changes: Vec<VerdictChange>,
    /// Hunks left because they conflict.
    pub(crate) conflicts: u32,
    /// Hunks left because they need an explicit look.
    pub(crate) held: u32,
    /// Hunks left because somebody types there.
    pub(crate) waiting: u32,
}

impl VerdictChange {
    /// Returns the file and the pair after the change.
    fn file_versions(&self) -> FileVersions {
        FileVersions {
            base: self.base.clone(),
            current: self.current.clone(),
            proposed: self.proposed.clone(),
            typed: None,
        }
    }
}

impl EntryVerdicts {
    /// Returns the last change, if anything changes: the file it leaves is the one to land.
    pub(crate) fn final_change(&self) -> Option<&VerdictChange> {
        self.changes.last()
    }
}

/// Returns whether a decision is about this hunk.
fn is_about_hunk(decision: &Decision, pending: &PendingHunk) -> bool {
    let task = decision
        .task_id
        .as_ref()
        .is_none_or(|task| pending.view.provenance.iter().any(|by| by.task == *task));
    task && decision
        .hunk_id
        .as_ref()
        .is_none_or(|id| *id == pending.view.id)
}

/// Returns whether an observed text contains the accepted parts.
pub(crate) fn has_landed(versions: &FileVersions, parts: &[HunkPart]) -> bool {
    match versions.texts() {
        Some((base, current, proposed)) => {
            let review = FileReview::new(base, current, proposed);
            parts.iter().all(|part| match part {
                HunkPart::Lines(key) => review
                    .hunk(*key)
                    .is_none_or(|hunk| hunk.state == HunkState::Present),
                HunkPart::Mode | HunkPart::Whole => true,
            })
        }
        None => versions.current == versions.proposed,
    }
}

fn unchanged_entry(
    verdict: Verdict,
    entry: &FileEntry,
    versions: &FileVersions,
    hunks: &[PendingHunk],
) -> VerdictChange {
    VerdictChange {
        entry: entry.file.entry,
        verdict,
        hunks: hunks
            .iter()
            .map(|pending| pending.view.id.clone())
            .collect(),
        parts: hunks.iter().map(|pending| pending.part).collect(),
        current: versions.current.clone(),
        base: versions.base.clone(),
        proposed: versions.proposed.clone(),
        of: None,
    }
}

fn line_keys(hunks: &[PendingHunk]) -> Vec<HunkKey> {
    hunks
        .iter()
        .filter_map(|pending| match pending.part {
            HunkPart::Lines(key) => Some(key),
            HunkPart::Mode | HunkPart::Whole => None,
        })
        .collect()
}

/// Returns whether an observed text contains the change from one content to another.
pub(crate) fn has_change(
    before: Option<&FileContent>,
    after: Option<&FileContent>,
    observed: &FileContent,
) -> bool {
    if Some(observed) == after {
        return true;
    }
    let texts = (
        before.and_then(FileContent::as_text),
        after.and_then(FileContent::as_text),
    );
    let (Some(before), Some(after), Some(observed)) = (texts.0, texts.1, observed.as_text()) else {
        return false;
    };
    let missing = [MergeRegionKind::Theirs, MergeRegionKind::Conflict];
    let merge = merge3(before, observed, after);
    let mut regions = merge.regions().iter();
    !regions.any(|region| missing.contains(&region.kind))
}

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn set_text(content: &mut Option<FileContent>, text: String) {
    if let Some(content) = content {
        content.bytes = text.into_bytes().into();
    }
}
