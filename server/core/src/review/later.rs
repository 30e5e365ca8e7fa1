use std::collections::BTreeMap;

use super::{FileReview, HunkKey, words};
use crate::{
    diff::IndexedText,
    merge::{MergeRegion, MergeSide, ThreeWayMerge, merge3},
};

/// A later result for a file that already has a proposal.
#[derive(Debug)]
pub struct LaterResult<'a> {
    merge: ThreeWayMerge<'a>,
    by_words: bool,
}

/// Merges `new`, a later result that started from `base`, into `proposed`.
///
/// `base` is the text the later result itself started from. Where that is not the base of the
/// review (the task began on top of others' work, or after the developer typed on), only what the
/// task changed comes in.
pub fn merge_later_result<'a>(base: &'a str, proposed: &'a str, new: &'a str) -> LaterResult<'a> {
    LaterResult {
        merge: merge3(base, proposed, new),
        by_words: false,
    }
}

impl<'a> LaterResult<'a> {
    /// Returns the same, where the two results do not conflict in lines of which they have changed
    /// [different words](words::merge_words).
    #[must_use]
    pub fn by_words(self) -> Self {
        Self {
            by_words: true,
            ..self
        }
    }

    /// Returns the new proposed text, if the two results do not conflict.
    pub fn clean_text(&self) -> Option<String> {
        let clean = self.conflicts().next().is_none();
        clean.then(|| self.taken_ours())
    }

    /// Both results, and the earlier one's text where they conflict. What the developer has decided
    /// is part of the earlier text, so this is the one to go on with.
    pub fn taken_ours(&self) -> String {
        self.side_lines(MergeSide::Ours)
    }

    /// Both results, and the later one's text where they conflict: the alternative to show.
    pub fn taken_theirs(&self) -> String {
        self.side_lines(MergeSide::Theirs)
    }

    /// Returns the regions in which the two results conflict. Ours is the earlier result, theirs
    /// the later one.
    pub fn conflicts(&self) -> impl Iterator<Item = &MergeRegion> {
        let all = self.merge.conflicts();
        all.filter(|region| self.merged_region(region).is_none())
    }

    fn side_lines(&self, side: MergeSide) -> String {
        self.merge.with_conflicts(|region| {
            let text = || self.merge.text_of(region, side).to_owned();
            self.merged_region(region).unwrap_or_else(text)
        })
    }

    fn merged_region(&self, region: &MergeRegion) -> Option<String> {
        let text = |side| self.merge.text_of(region, side);
        let merged = || {
            words::merge_words(
                text(MergeSide::Base),
                text(MergeSide::Ours),
                text(MergeSide::Theirs),
            )
        };
        self.by_words.then(merged).flatten()
    }

    /// Returns the merge itself, for the texts of its regions.
    pub fn merge(&self) -> &ThreeWayMerge<'a> {
        &self.merge
    }
}

/// Merges two results where their hunks conflict but changed [different words](words::merge_words): lines
/// of one hunk from `earlier` to `later`, without the hunk and with both results in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MergedAlternative {
    /// The lines as both results found them.
    pub base: String,
    /// The lines with both results in them.
    pub merged: String,
}

/// Both results that started from `base`, by the hunks from the `earlier` to the `later` one.
pub fn merge_alternatives(
    base: &str,
    earlier: &str,
    later: &str,
) -> BTreeMap<HunkKey, MergedAlternative> {
    let review = FileReview::new(earlier, earlier, later);
    let merge = merge3(base, earlier, later);
    let mut found = BTreeMap::new();
    for region in merge.conflicts() {
        let text = |side| merge.text_of(region, side);
        let base = text(MergeSide::Base);
        let Some(merged) = words::merge_words(base, text(MergeSide::Ours), text(MergeSide::Theirs))
        else {
            continue;
        };
        let (base, merged) = (IndexedText::new(base), IndexedText::new(merged.as_str()));
        for hunk in review.hunks() {
            let (old, new) = (&hunk.base, &hunk.proposed);
            let inside = region.ours.start <= old.start && old.end <= region.ours.end;
            // The lines of all four texts are paired.
            let at = old.start.wrapping_sub(region.ours.start);
            let paired =
                new.start.wrapping_sub(region.theirs.start) == at && new.len() == old.len();
            if inside && paired && !old.is_empty() {
                let lines = at..at + (old.end - old.start);
                let woven = MergedAlternative {
                    base: base.slice_lines(&lines).to_owned(),
                    merged: merged.slice_lines(&lines).to_owned(),
                };
                found.insert(hunk.key, woven);
            }
        }
    }
    found
}

/// Holds the result of undoing hunks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UndoneText {
    /// The text as if the landing had not happened. Where what has been typed since touches what
    /// landed, the text as it is now.
    pub text: String,
    /// The number of places left unchanged because of a conflict.
    pub conflicts: usize,
}

/// Takes back a landing that turned `before` into `after`, keeping what has been typed into
/// `current` since: a merge with the sides exchanged. Undoing that result again
/// (`undo(current, text, text)`) is redo.
///
/// The base of the review moved with the landing; it goes back by the same function, with the
/// base's texts from before and after.
///
/// ```
/// use claudecluster_core::review::undo_landing;
/// let undone = undo_landing("a\nb\nc\n", "a\nB\nc\n", "a\nB\nc\ntyped\n");
/// assert_eq!((undone.text.as_str(), undone.conflicts), ("a\nb\nc\ntyped\n", 0));
/// ```
pub fn undo_landing(before: &str, after: &str, current: &str) -> UndoneText {
    let merge = merge3(after, current, before);
    UndoneText {
        text: merge.with_conflicts_as(MergeSide::Ours),
        conflicts: merge.conflicts().count(),
    }
}
