//! Pending hunks: each entry of a proposal against the current text.

use claudecluster_core::{
    code_execution_paths::{self, BARE_REPOSITORY},
    merge::MergeSide,
    review::{FileReview, HunkState, ReviewHunk},
    state::{FileEntry, Goal},
};
use claudecluster_protocol::{
    ErrorBody, FileMode, HunkId,
    change::{ChangeKind, ConflictView, HeldReason, HunkStatus, HunkView},
};
use claudecluster_worker::changes::FileContent;

use crate::{
    review::{
        cache::{KnownHunk, RemainingHunks, ReviewCache},
        hunk_part::{HunkPart, hunk_id},
        provenance::entry_provenance,
        versions::FileVersions,
    },
    settings::MergeWords,
    workspace::{content_text::ContentText, text_source::TextSource},
};

/// Text shown of a whole-file hunk; the rest is there, but nobody reads it in a list.
const SHOWN_BYTES: usize = 256 << 10;

/// A hunk with the data to carry a verdict out.
#[derive(Clone, Debug)]
pub(crate) struct PendingHunk {
    pub(crate) view: HunkView,
    pub(crate) part: HunkPart,
    /// Whether the current text has the change already.
    pub(crate) present: bool,
}

impl PendingHunk {
    /// Returns whether the hunk is clean only because the words of both sides are merged.
    pub(crate) fn is_by_words(&self) -> bool {
        self.view.status == HunkStatus::Clean && self.view.merged.is_some()
    }
}

/// Returns the hunks of one entry, including those that the current text has already.
pub(crate) fn pending_hunks(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
) -> Result<Vec<PendingHunk>, ErrorBody> {
    if entry.is_fully_decided() {
        return Ok(Vec::new());
    }
    let current = versions.current.as_ref();
    if let Some((text, mode)) = current.and_then(|c| Some((c.as_text()?, c.mode)))
        && let Some(found) = hunks_of_text(reviews, goal, entry, text.into(), Some(mode))?
    {
        return Ok(found);
    }
    Ok(vec![whole_hunk(goal, entry, versions)])
}

/// Returns the hunks of one entry against a text. `None` if the change has no lines: the file is
/// created, deleted or not text. `mode` is the file's; `None` if only a buffer is known.
pub(crate) fn hunks_of_text(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    current: TextSource<'_>,
    mode: Option<FileMode>,
) -> Result<Option<Vec<PendingHunk>>, ErrorBody> {
    if entry.is_fully_decided() {
        return Ok(Some(Vec::new()));
    }
    if current.has_nul() {
        return Ok(None);
    }
    let by_words = reviews.merge_words();
    reviews.with_review(goal, entry, current, |review, known| {
        let mut found: Vec<PendingHunk> = review
            .hunks()
            .iter()
            .map(|hunk| {
                let known = known.get_mut(&hunk.key);
                lines_hunk(goal, entry, review, hunk, known, by_words)
            })
            .collect();
        found.extend(mode_hunk(goal, entry, mode));
        found
    })
}

/// Returns how many hunks of one entry are left to decide.
pub(crate) fn count_remaining(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
) -> Result<RemainingHunks, ErrorBody> {
    let mut left = RemainingHunks::default();
    if entry.is_fully_decided() {
        return Ok(left);
    }
    let current = versions.current.as_ref();
    if let Some((text, mode)) = current.and_then(|c| Some((c.as_text()?, c.mode))) {
        let by_words = reviews.merge_words();
        let counted = reviews.with_review(goal, entry, text.into(), |review, known| {
            let mut left = RemainingHunks::default();
            for hunk in review
                .hunks()
                .iter()
                .filter(|h| h.state != HunkState::Present)
            {
                let known = known.get_mut(&hunk.key);
                let conflicts = entry.is_alternative()
                    || hunk.state == HunkState::Conflict
                        && !lands_by_words(entry, review, hunk, known, by_words);
                left.count_hunk(conflicts);
            }
            left
        })?;
        if let Some(mut counted) = counted {
            let mode = mode_hunk(goal, entry, Some(mode)).filter(|mode| !mode.present);
            if let Some(mode) = mode {
                counted.count_hunk(mode.view.status == HunkStatus::Conflict);
            }
            return Ok(counted);
        }
    }
    let whole = whole_hunk(goal, entry, versions);
    if !whole.present {
        left.count_hunk(whole.view.status == HunkStatus::Conflict);
    }
    Ok(left)
}

/// Returns whether a conflict lands because the words of both sides are merged. A stretch that
/// several hunks share stays a conflict: its text cannot be shown, or landed, for each of them.
fn lands_by_words(
    entry: &FileEntry,
    review: &FileReview<'_>,
    hunk: &ReviewHunk,
    known: Option<&mut KnownHunk>,
    by_words: MergeWords,
) -> bool {
    by_words == MergeWords::On
        && !entry.is_alternative()
        && review.is_alone(hunk)
        && known.is_some_and(|known| known.merged_words(review, hunk).is_some())
}

fn lines_hunk(
    goal: &Goal,
    entry: &FileEntry,
    review: &FileReview<'_>,
    hunk: &ReviewHunk,
    mut known: Option<&mut KnownHunk>,
    by_words: MergeWords,
) -> PendingHunk {
    let part = HunkPart::Lines(hunk.key);
    let (id, provenance) = match &known {
        Some(known) => (known.id.clone(), known.provenance.clone()),
        None => (hunk_id(goal, entry, part), entry_provenance(goal, entry)),
    };
    let mut view = new_hunk_view(id, entry, part, ChangeKind::Modify);
    let merged = match &mut known {
        _ if by_words == MergeWords::Off => None,
        Some(known) if entry.is_alternative() => known.merged_alternative(review, hunk),
        Some(known) => known.merged_words(review, hunk),
        _ => None,
    };
    let lands = lands_by_words(entry, review, hunk, known.as_deref_mut(), by_words);
    if hunk.state == HunkState::Conflict && !lands {
        view.status = HunkStatus::Conflict;
    }
    view.start_line = hunk.current.start;
    view.end_line = hunk.current.end;
    view.old_text = review.old_text(hunk).to_owned();
    view.new_text = match &merged {
        Some(merged) if lands => merged.clone(),
        _ => review.new_text(hunk).to_owned(),
    };
    view.merged = merged;
    view.provenance = provenance;
    if view.status == HunkStatus::Conflict {
        let (merge, region) = (review.merge(), review.decided_region(hunk));
        let text = |side| merge.text_of(&region, side).to_owned();
        view.conflict = Some(ConflictView {
            base: text(MergeSide::Base),
            mine: text(MergeSide::Ours),
            theirs: text(MergeSide::Theirs),
        });
    } else if let Some(known) = known {
        view.words = known.refined_words(&view.old_text, &view.new_text);
    }
    PendingHunk {
        view,
        part,
        present: hunk.state == HunkState::Present,
    }
}

/// Returns the change of a file's mode, beside that of its lines.
fn mode_hunk(goal: &Goal, entry: &FileEntry, current: Option<FileMode>) -> Option<PendingHunk> {
    let base = entry.file.base.as_ref()?.mode;
    let proposed = entry.file.proposed.as_ref()?.mode;
    if base == proposed {
        return None;
    }
    // A buffer knows nothing of modes; whoever shows one has not changed it.
    let current = current.unwrap_or(base);
    let mut view = hunk_view(goal, entry, HunkPart::Mode, ChangeKind::Mode);
    if current != base && current != proposed {
        view.status = HunkStatus::Conflict;
    }
    view.old_text = format!("{current:?}").to_lowercase();
    view.new_text = format!("{proposed:?}").to_lowercase();
    view.provenance = entry_provenance(goal, entry);
    Some(PendingHunk {
        view,
        part: HunkPart::Mode,
        present: current == proposed,
    })
}

fn whole_hunk(goal: &Goal, entry: &FileEntry, versions: &FileVersions) -> PendingHunk {
    let kind = match (&entry.file.from, &versions.base, &versions.proposed) {
        (Some(_), _, Some(_)) => ChangeKind::Rename,
        (None, None, Some(_)) => ChangeKind::Create,
        (_, _, None) => ChangeKind::Delete,
        (None, Some(_), Some(_)) => ChangeKind::Modify,
    };
    let mut view = hunk_view(goal, entry, HunkPart::Whole, kind);
    let present = versions.current == versions.proposed;
    if !present && !versions.is_untouched() {
        view.status = HunkStatus::Conflict;
    }
    view.old_text = display_text(versions.current.as_ref());
    view.new_text = display_text(versions.proposed.as_ref());
    view.end_line = u32::try_from(view.old_text.lines().count()).unwrap_or(u32::MAX);
    view.provenance = entry_provenance(goal, entry);
    PendingHunk {
        view,
        part: HunkPart::Whole,
        present,
    }
}

fn display_text(content: Option<&FileContent>) -> String {
    match content {
        None => String::new(),
        Some(content) => match content.as_text() {
            Some(text) if text.len() <= SHOWN_BYTES => text.to_owned(),
            Some(text) => format!("({} bytes of text)\n", text.len()),
            None if content.mode == claudecluster_protocol::FileMode::Symlink => {
                format!(
                    "symbolic link to {}\n",
                    String::from_utf8_lossy(&content.bytes)
                )
            }
            None => format!("({} bytes of binary data)\n", content.bytes.len()),
        },
    }
}

fn hunk_view(goal: &Goal, entry: &FileEntry, part: HunkPart, kind: ChangeKind) -> HunkView {
    new_hunk_view(hunk_id(goal, entry, part), entry, part, kind)
}

/// Returns which program runs a proposed file and when, if one does so of its own accord.
fn describe_execution(entry: &FileEntry) -> Option<&'static str> {
    // What is held and has no rule of its own completes a repository.
    let completes = || {
        let held = entry.file.held.contains(&HeldReason::SelfArming);
        held.then_some(BARE_REPOSITORY)
    };
    code_execution_paths::describe_execution(entry.file.path.as_str()).or_else(completes)
}

fn new_hunk_view(id: HunkId, entry: &FileEntry, part: HunkPart, kind: ChangeKind) -> HunkView {
    // An alternative stands against what another task wants there: never clean.
    let status = if entry.is_alternative() {
        HunkStatus::Conflict
    } else {
        HunkStatus::Clean
    };
    HunkView {
        id,
        path: entry.file.path.clone(),
        kind,
        from: entry.file.from.clone(),
        whole: !matches!(part, HunkPart::Lines(_)),
        status,
        held: entry.file.held.clone(),
        runs: describe_execution(entry).map(str::to_owned),
        start_line: 0,
        end_line: 0,
        old_text: String::new(),
        new_text: String::new(),
        words: Vec::new(),
        conflict: None,
        mine_by: Vec::new(),
        mine_pending: false,
        merged: None,
        provenance: Vec::new(),
    }
}
