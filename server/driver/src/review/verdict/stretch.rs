//! The stretch of a file that one conflict covers, and the text it becomes.

use claudecluster_core::{
    merge::MergeSide,
    review::{FileReview, HunkKey, HunkRefusal},
    state::FileEntry,
};
use claudecluster_protocol::{ErrorBody, event::Verdict, resolution::Resolution};

use super::{VerdictChange, set_text, unchanged_entry};
use crate::review::{hunk_part::HunkPart, pending::PendingHunk, versions::FileVersions};

/// Label of the current text in conflict markers.
const MINE: &str = "current text";

/// Resolves the stretch of a hunk of lines, together with the other hunks in it.
pub(super) fn decide_stretch(
    entry: &FileEntry,
    versions: &FileVersions,
    hunks: &[PendingHunk],
    key: HunkKey,
    resolution: &Resolution,
    label: &str,
) -> Result<VerdictChange, ErrorBody> {
    let (base, current, proposed) = versions.texts().ok_or_else(conflict_gone)?;
    let review = FileReview::new(base, current, proposed);
    let lost = |_: HunkRefusal| conflict_gone();
    let text = match resolution {
        Resolution::Mine => review
            .side_text(key, MergeSide::Ours)
            .map_err(lost)?
            .to_owned(),
        Resolution::Theirs => review
            .side_text(key, MergeSide::Theirs)
            .map_err(lost)?
            .to_owned(),
        Resolution::Both => review.both_texts(key).map_err(lost)?,
        Resolution::Merged => {
            let hunk = review.hunk(key).ok_or_else(conflict_gone)?;
            review.merged_words(hunk).ok_or_else(inseparable_words)?
        }
        Resolution::Markers => review.conflict_markers(key, MINE, label).map_err(lost)?,
        Resolution::Text { text } => text.clone(),
        Resolution::Repair => return Err(incomplete_resolution()),
    };
    let resolved = review.resolve(key, &text).map_err(lost)?;
    let decided = |pending: &&PendingHunk| matches!(pending.part, HunkPart::Lines(own) if resolved.keys.contains(&own));
    let decided: Vec<PendingHunk> = hunks.iter().filter(decided).cloned().collect();
    let mut change = unchanged_entry(Verdict::Resolve, entry, versions, &decided);
    change.parts.clear();
    set_text(&mut change.current, resolved.current);
    set_text(&mut change.base, resolved.base);
    set_text(&mut change.proposed, resolved.proposed);
    Ok(change)
}

/// Resolves one hunk of lines to the words of both sides; `None` if they cannot be merged.
pub(super) fn merge_words_of(
    entry: &FileEntry,
    versions: &FileVersions,
    hunk: &PendingHunk,
) -> Option<VerdictChange> {
    let HunkPart::Lines(key) = hunk.part else {
        return None;
    };
    let hunks = std::slice::from_ref(hunk);
    decide_stretch(entry, versions, hunks, key, &Resolution::Merged, "").ok()
}

pub(super) fn inseparable_words() -> ErrorBody {
    ErrorBody::user("both sides changed the same words or adjacent ones")
        .with_hint("choose `mine`, `theirs` or `both`, or edit the text yourself")
}

pub(super) fn conflict_gone() -> ErrorBody {
    ErrorBody::stale("the text has changed since the conflict was shown")
        .with_hint("review the conflict again, then resolve it")
}

/// Returns the error of a decision to resolve that does not name the hunk or the resolution.
pub(crate) fn incomplete_resolution() -> ErrorBody {
    ErrorBody::user("the hunk or its resolution is missing").with_hint(
        "name one hunk and a resolution: mine, theirs, both, merged, markers, a text or a repair",
    )
}
