use std::collections::BTreeMap;

use super::{HunkKey, Review, words};
use crate::{
    diff::Lines,
    merge::{Merge, Region, Side, merge3},
};

/// A later result for a file that already has a proposal.
#[derive(Debug)]
pub struct Later<'a> {
    merge: Merge<'a>,
    by_words: bool,
}

/// Merges `new`, a later result that started from `base`, into `proposed`.
///
/// `base` is the text the later result itself started from. Where that is not the base of the
/// review (the task began on top of others' work, or after the developer typed on), only what the
/// task changed comes in.
pub fn later<'a>(base: &'a str, proposed: &'a str, new: &'a str) -> Later<'a> {
    Later {
        merge: merge3(base, proposed, new),
        by_words: false,
    }
}

impl<'a> Later<'a> {
    /// The same, where the two results do not conflict in lines of which they have changed
    /// [different words](words::merge).
    #[must_use]
    pub fn by_words(self) -> Self {
        Self {
            by_words: true,
            ..self
        }
    }

    /// The new proposed text, if the two results do not conflict.
    pub fn clean(&self) -> Option<String> {
        let clean = self.conflicts().next().is_none();
        clean.then(|| self.taken_ours())
    }

    /// Both results, and the earlier one's text where they conflict. What the developer has decided
    /// is part of the earlier text, so this is the one to go on with.
    pub fn taken_ours(&self) -> String {
        self.taken(Side::Ours)
    }

    /// Both results, and the later one's text where they conflict: the alternative to show.
    pub fn taken_theirs(&self) -> String {
        self.taken(Side::Theirs)
    }

    /// Where the two results conflict. Ours is the earlier result, theirs the later one.
    pub fn conflicts(&self) -> impl Iterator<Item = &Region> {
        let all = self.merge.conflicts();
        all.filter(|region| self.merged(region).is_none())
    }

    fn taken(&self, side: Side) -> String {
        self.merge.with_conflicts(|region| {
            let text = || self.merge.text_of(region, side).to_owned();
            self.merged(region).unwrap_or_else(text)
        })
    }

    fn merged(&self, region: &Region) -> Option<String> {
        let text = |side| self.merge.text_of(region, side);
        let merged = || words::merge(text(Side::Base), text(Side::Ours), text(Side::Theirs));
        self.by_words.then(merged).flatten()
    }

    /// The merge itself, for the texts of its regions.
    pub fn merge(&self) -> &Merge<'a> {
        &self.merge
    }
}

/// What two results come to where their hunks conflict, for those of which they have changed
/// [different words](words::merge): lines of one hunk from `earlier` to `later`, without the hunk and
/// with both results in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Woven {
    /// The lines as both results found them.
    pub base: String,
    /// The lines with both results in them.
    pub merged: String,
}

/// Both results that started from `base`, by the hunks from the `earlier` to the `later` one.
pub fn woven(base: &str, earlier: &str, later: &str) -> BTreeMap<HunkKey, Woven> {
    let review = Review::new(earlier, earlier, later);
    let merge = merge3(base, earlier, later);
    let mut found = BTreeMap::new();
    for region in merge.conflicts() {
        let text = |side| merge.text_of(region, side);
        let base = text(Side::Base);
        let Some(merged) = words::merge(base, text(Side::Ours), text(Side::Theirs)) else {
            continue;
        };
        let (base, merged) = (Lines::new(base), Lines::new(merged.as_str()));
        for hunk in review.hunks() {
            let (old, new) = (&hunk.base, &hunk.proposed);
            let inside = region.ours.start <= old.start && old.end <= region.ours.end;
            // The lines of all four texts are paired.
            let at = old.start.wrapping_sub(region.ours.start);
            let paired =
                new.start.wrapping_sub(region.theirs.start) == at && new.len() == old.len();
            if inside && paired && !old.is_empty() {
                let lines = at..at + (old.end - old.start);
                let woven = Woven {
                    base: base.get(&lines).to_owned(),
                    merged: merged.get(&lines).to_owned(),
                };
                found.insert(hunk.key, woven);
            }
        }
    }
    found
}

/// What undoing gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Undone {
    /// The text as if the landing had not happened. Where what has been typed since touches what
    /// landed, the text as it is now.
    pub text: String,
    /// How many places were left because of that.
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
/// use claudecluster_core::review::undo;
/// let undone = undo("a\nb\nc\n", "a\nB\nc\n", "a\nB\nc\ntyped\n");
/// assert_eq!((undone.text.as_str(), undone.conflicts), ("a\nb\nc\ntyped\n", 0));
/// ```
pub fn undo(before: &str, after: &str, current: &str) -> Undone {
    let merge = merge3(after, current, before);
    Undone {
        text: merge.with_conflicts_as(Side::Ours),
        conflicts: merge.conflicts().count(),
    }
}
