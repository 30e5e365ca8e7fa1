//! Taking a move back, and making it again, hunk by hunk.
//!
//! A move changed up to three texts: the current one, the base and the proposed one. Which lines of
//! each belong to which hunk is known exactly, for it is computed from the very texts the move was
//! made from, and not guessed from a comparison of before and after. What has happened to a text
//! since, be it typing or later moves, is merged with that: an undo is a merge in which one side is
//! the text as it is now, and the other the text without the hunk.
//!
//! ```
//! use std::collections::BTreeSet;
//! use claudecluster_core::review::{FileReview, ReviewTexts, VerdictEffect};
//!
//! let before = ReviewTexts { base: "a\nb\nc\n", current: "a\nb\nc\n", proposed: "A\nb\nC\n" };
//! let review = FileReview::new(before.base, before.current, before.proposed);
//! let [first, second] = [review.hunks()[0].key, review.hunks()[1].key];
//!
//! // Both have landed, and something has been typed since.
//! let landing = VerdictEffect::of_accept(before, &[first, second]).unwrap();
//! let now = ReviewTexts { base: "A\nb\nC\n", current: "A\nb\nC\ntyped\n", proposed: before.proposed };
//! let undo = landing.inverse().rebase_onto(now, &BTreeSet::from([first]));
//! assert_eq!(undo.made.current.new_text(), "a\nb\nC\ntyped\n");
//! assert_eq!(undo.made.base.new_text(), "a\nb\nC\n");
//!
//! // What is typed right beside the other hunk now touches it: it is left.
//! let undo = landing.inverse().rebase_onto(now, &BTreeSet::from([second]));
//! assert_eq!(undo.made.current.new_text(), now.current);
//! assert_eq!(undo.left, BTreeSet::from([second]));
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{FileReview, HunkKey, HunkState};
use crate::{
    diff::{DiffPurpose, IndexedText, LineChange, diff_indexed},
    merge::{MergeRegionKind, MergeSide, ThreeWayMerge},
};

/// The three texts of a file in review.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReviewTexts<'a> {
    /// The text with everything already decided.
    pub base: &'a str,
    /// The current text.
    pub current: &'a str,
    /// The proposed version.
    pub proposed: &'a str,
}

/// Describes the effect of one decision on the three texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerdictEffect {
    /// Of the base.
    pub base: HunkRewrite,
    /// Of the current text.
    pub current: HunkRewrite,
    /// Of the proposed text.
    pub proposed: HunkRewrite,
}

/// A text and what it becomes, with the places in which the two differ, each a hunk's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HunkRewrite {
    from: String,
    to: String,
    /// In order, with an unchanged line between two of them.
    places: Vec<RewritePlace>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct RewritePlace {
    change: LineChange,
    hunk: HunkKey,
}

/// A move that was carried over to texts which have changed since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RebasedEffect {
    /// The effect on the texts as they are now.
    pub made: VerdictEffect,
    /// Hunks that were left, in all three texts, because one of them has something else there now.
    pub left: BTreeSet<HunkKey>,
}

impl VerdictEffect {
    /// Returns the effect of accepting hunks; `None` if one of them is not there or in conflict.
    pub fn of_accept(before: ReviewTexts<'_>, keys: &[HunkKey]) -> Option<Self> {
        let review = FileReview::new(before.base, before.current, before.proposed);
        let hunks = choose_hunks(&review, keys)?;
        let here = hunks.iter().filter(|hunk| hunk.state == HunkState::Clean);
        let made = Self {
            base: HunkRewrite::new(
                before.base,
                hunks
                    .iter()
                    .map(|hunk| (hunk.key, hunk.base.clone(), review.new_text(hunk))),
            )?,
            current: HunkRewrite::new(
                before.current,
                here.map(|hunk| (hunk.key, hunk.current.clone(), review.new_text(hunk))),
            )?,
            proposed: HunkRewrite::identity_of(before.proposed),
        };
        let accepted = review.accept(keys);
        let same = accepted.refused.is_empty()
            && accepted.base == made.base.to
            && accepted.current == made.current.to;
        same.then_some(made)
    }

    /// Returns the effect of rejecting hunks; `None` if one of them is not there.
    pub fn of_reject(before: ReviewTexts<'_>, keys: &[HunkKey]) -> Option<Self> {
        let review = FileReview::new(before.base, before.current, before.proposed);
        let hunks = choose_hunks(&review, keys)?;
        Some(Self {
            base: HunkRewrite::identity_of(before.base),
            current: HunkRewrite::identity_of(before.current),
            proposed: HunkRewrite::new(
                before.proposed,
                hunks
                    .iter()
                    .map(|hunk| (hunk.key, hunk.proposed.clone(), review.base_text(hunk))),
            )?,
        })
    }

    /// Returns the effect of resolving a hunk with `text`, see [`FileReview::resolve`]; `None` if
    /// the hunk is not there. Whatever other hunks it decides, all of it is this hunk's.
    pub fn of_resolve(before: ReviewTexts<'_>, key: HunkKey, text: &str) -> Option<Self> {
        let review = FileReview::new(before.base, before.current, before.proposed);
        let region = review.decided_region(review.hunk(key)?);
        let resolved = review.resolve(key, text).ok()?;
        let put = |before: &str, range: Range<u32>, after: &str| {
            let text = put_there(before, &range, after)?;
            HunkRewrite::new(before, [(key, range, text)])
        };
        Some(Self {
            base: put(before.base, region.base, &resolved.base)?,
            current: put(before.current, region.ours, &resolved.current)?,
            proposed: put(before.proposed, region.theirs, &resolved.proposed)?,
        })
    }

    /// From what it makes to what it was made from.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self {
            base: self.base.inverse(),
            current: self.current.inverse(),
            proposed: self.proposed.inverse(),
        }
    }

    /// Returns whether a hunk has a place in any of the texts.
    pub fn touches_hunk(&self, key: HunkKey) -> bool {
        [&self.base, &self.current, &self.proposed]
            .iter()
            .any(|rewrite| rewrite.touches_hunk(key))
    }

    /// Rebases the effect onto texts that have changed since, for the `wanted` hunks. A hunk is
    /// left in all three texts where one of them has something else in its place, or right beside
    /// it.
    pub fn rebase_onto(&self, now: ReviewTexts<'_>, wanted: &BTreeSet<HunkKey>) -> RebasedEffect {
        let mut wanted = wanted.clone();
        let mut left = BTreeSet::new();
        loop {
            let (base, in_base) = self.base.rebase_onto(now.base, &wanted);
            let (current, in_current) = self.current.rebase_onto(now.current, &wanted);
            let (proposed, in_proposed) = self.proposed.rebase_onto(now.proposed, &wanted);
            let conflicts = [in_base, in_current, in_proposed].concat();
            if conflicts.is_empty() {
                let made = Self {
                    base,
                    current,
                    proposed,
                };
                return RebasedEffect { made, left };
            }
            for key in conflicts {
                wanted.remove(&key);
                left.insert(key);
            }
        }
    }
}

impl HunkRewrite {
    /// Returns the text before.
    pub fn old_text(&self) -> &str {
        &self.from
    }

    /// Returns the text after.
    pub fn new_text(&self) -> &str {
        &self.to
    }

    /// Returns the lines of [`HunkRewrite::new_text`] that the rewrite wrote, each with its hunk.
    pub fn written_lines(&self) -> impl Iterator<Item = (HunkKey, Range<u32>)> {
        let places = self.places.iter();
        places.map(|place| (place.hunk, place.change.new.clone()))
    }

    /// Returns whether a hunk has a place in the rewrite.
    pub fn touches_hunk(&self, key: HunkKey) -> bool {
        self.places.iter().any(|place| place.hunk == key)
    }

    /// Returns the hunks that a later text has in all their places already, with their lines there:
    /// the text of those places is just the one the rewrite gives.
    pub fn present_hunks_in(&self, now: &str) -> BTreeMap<HunkKey, Vec<Range<u32>>> {
        let since = diff_indexed(
            &IndexedText::new(self.from.as_str()),
            &IndexedText::new(now),
            DiffPurpose::Merging,
        );
        let mut own = self.clone();
        loop {
            let (found, missing) = own.present_hunks(now, &since);
            if found.is_empty() || missing.is_empty() {
                return found;
            }
            // What others make of the same lines may have been a part of the agreement.
            let Some(rest) = self.restrict_to(&found.into_keys().collect()) else {
                return BTreeMap::new();
            };
            own = rest;
        }
    }

    /// Hunks that are in a text no more, as if they had never been: in all their places it has what they
    /// took the place of. Gives the lines in which it has that. What was moved elsewhere is still there.
    pub fn reverted_hunks_in(&self, now: &str) -> BTreeMap<HunkKey, Vec<Range<u32>>> {
        let found = self.inverse().present_hunks_in(now);
        if found.is_empty() {
            return found;
        }
        let moved = self.moved_hunks_in(now);
        let gone: BTreeSet<HunkKey> = found.keys().copied().collect();
        if gone.is_disjoint(&moved) {
            return found;
        }
        let rest = self.inverse().restrict_to(&(&gone - &moved));
        rest.map(|rest| rest.present_hunks_in(now))
            .unwrap_or_default()
    }

    /// Returns the hunks that a text has in all their places, with those places, and the others.
    fn present_hunks(
        &self,
        now: &str,
        since: &[LineChange],
    ) -> (BTreeMap<HunkKey, Vec<Range<u32>>>, BTreeSet<HunkKey>) {
        let mut found: BTreeMap<HunkKey, Vec<Range<u32>>> = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for region in self.merge_with(IndexedText::new(now), since).regions() {
            for place in &self.places[region.their_changes.clone()] {
                if region.kind == MergeRegionKind::Both {
                    let lines = found.entry(place.hunk).or_default();
                    lines.push(region.ours.clone());
                } else {
                    missing.insert(place.hunk);
                }
            }
        }
        found.retain(|hunk, _| !missing.contains(hunk));
        (found, missing)
    }

    /// Hunks of which a line was taken from its place and put in at another one.
    pub fn moved_hunks_in(&self, now: &str) -> BTreeSet<HunkKey> {
        let (before, then, here) = (
            IndexedText::new(self.from.as_str()),
            IndexedText::new(self.to.as_str()),
            IndexedText::new(now),
        );
        let since = diff_indexed(&then, &here, DiffPurpose::Merging);
        let put_in: BTreeSet<&str> = since
            .iter()
            .flat_map(|change| trimmed_lines(here.slice_lines(&change.new)))
            .filter(|line| is_distinctive(line))
            .collect();
        let places = self.places.iter().filter(|place| {
            let old: BTreeSet<&str> =
                trimmed_lines(before.slice_lines(&place.change.old)).collect();
            let mut own = trimmed_lines(then.slice_lines(&place.change.new))
                .filter(|line| !old.contains(line));
            own.any(|line| put_in.contains(line))
        });
        places.map(|place| place.hunk).collect()
    }

    /// From one text to another, all of it one hunk's.
    pub fn between_texts(from: &str, to: &str, hunk: HunkKey) -> Self {
        let changes = diff_indexed(
            &IndexedText::new(from),
            &IndexedText::new(to),
            DiffPurpose::Merging,
        );
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            places: changes
                .into_iter()
                .map(|change| RewritePlace { change, hunk })
                .collect(),
        }
    }

    fn identity_of(text: &str) -> Self {
        Self {
            from: text.to_owned(),
            to: text.to_owned(),
            places: Vec::new(),
        }
    }

    /// Puts texts in the place of lines; in order. `None` where the result would not split into the
    /// same lines again: a text without line ending before lines that follow.
    fn new<'t>(
        from: &str,
        replacements: impl IntoIterator<Item = (HunkKey, Range<u32>, &'t str)>,
    ) -> Option<Self> {
        let lines = IndexedText::new(from);
        let mut to = String::with_capacity(from.len());
        let mut places = Vec::new();
        let (mut done, mut written) = (0, 0);
        for (hunk, old, text) in replacements {
            if lines.slice_lines(&old) == text {
                continue;
            }
            to.push_str(lines.slice_lines(&(done..old.start)));
            written += old.start - done;
            let new = written..written + IndexedText::new(text).len();
            to.push_str(text);
            (done, written) = (old.end, new.end);
            let change = LineChange { old, new };
            places.push(RewritePlace { change, hunk });
        }
        to.push_str(lines.slice_lines(&(done..lines.len())));
        written += lines.len() - done;
        (IndexedText::new(to.as_str()).len() == written).then(|| Self {
            from: from.to_owned(),
            to,
            places,
        })
    }

    #[must_use]
    fn inverse(&self) -> Self {
        let turned = |place: &RewritePlace| RewritePlace {
            change: LineChange {
                old: place.change.new.clone(),
                new: place.change.old.clone(),
            },
            hunk: place.hunk,
        };
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
            places: self.places.iter().map(turned).collect(),
        }
    }

    /// Only what some hunks change.
    fn restrict_to(&self, wanted: &BTreeSet<HunkKey>) -> Option<Self> {
        let lines = IndexedText::new(self.to.as_str());
        let places = self.places.iter();
        let places = places.filter(|place| wanted.contains(&place.hunk));
        let places = places.map(|place| {
            let change = &place.change;
            (
                place.hunk,
                change.old.clone(),
                lines.slice_lines(&change.new),
            )
        });
        Self::new(&self.from, places)
    }

    /// Merges the rewrite with the changes to its text since.
    fn merge_with<'t>(&'t self, here: IndexedText<'t>, since: &[LineChange]) -> ThreeWayMerge<'t> {
        let (from, to) = (
            IndexedText::new(self.from.as_str()),
            IndexedText::new(self.to.as_str()),
        );
        let own = self.places.iter().map(|place| place.change.clone());
        ThreeWayMerge::with_changes(from, here, to, since, own.collect())
    }

    /// Rebases the rewrite onto a text that has changed since; also returns the hunks that conflict
    /// with the text. What the text has already is no place of the result.
    fn rebase_onto(&self, now: &str, wanted: &BTreeSet<HunkKey>) -> (Self, Vec<HunkKey>) {
        let refuse = || (Self::identity_of(now), wanted.iter().copied().collect());
        let Some(own) = self.restrict_to(wanted) else {
            return refuse();
        };
        if own.from == now || own.places.is_empty() {
            let own = if own.from == now {
                own
            } else {
                Self::identity_of(now)
            };
            return (own, Vec::new());
        }
        let here = IndexedText::new(now);
        let since = diff_indexed(
            &IndexedText::new(own.from.as_str()),
            &here,
            DiffPurpose::Merging,
        );
        let merge = own.merge_with(here, &since);
        let mut conflicts = Vec::new();
        let mut replacements = Vec::new();
        for region in merge.regions() {
            let hunks = &own.places[region.their_changes.clone()];
            match region.kind {
                MergeRegionKind::Conflict => conflicts.extend(hunks.iter().map(|place| place.hunk)),
                MergeRegionKind::Theirs => {
                    let text = merge.text_of(region, MergeSide::Theirs);
                    replacements.push((hunks[0].hunk, region.ours.clone(), text));
                }
                MergeRegionKind::Unchanged | MergeRegionKind::Ours | MergeRegionKind::Both => {}
            }
        }
        if !conflicts.is_empty() {
            return (Self::identity_of(now), conflicts);
        }
        match Self::new(now, replacements) {
            Some(made) => (made, conflicts),
            None => refuse(),
        }
    }
}

/// Returns the lines of a text without the space around their words: a line that was moved may be
/// indented anew.
pub fn trimmed_lines(lines: &str) -> impl Iterator<Item = &str> {
    lines.lines().map(str::trim)
}

/// Returns whether a line differs from others by its text: brackets and rules are alike everywhere.
pub fn is_distinctive(line: &str) -> bool {
    line.chars().any(char::is_alphanumeric)
}

/// Returns the hunks with these keys in the order of their lines, if all are there.
fn choose_hunks<'r>(
    review: &'r FileReview<'_>,
    keys: &[HunkKey],
) -> Option<Vec<&'r super::ReviewHunk>> {
    let asked: BTreeSet<HunkKey> = keys.iter().copied().collect();
    let hunks = review.hunks().iter();
    let found: Vec<_> = hunks.filter(|hunk| asked.contains(&hunk.key)).collect();
    (found.len() == asked.len()).then_some(found)
}

/// Returns the replacement of some lines, found by the lines around it before and after.
fn put_there<'t>(before: &str, range: &Range<u32>, after: &'t str) -> Option<&'t str> {
    let lines = IndexedText::new(before);
    let bytes = lines.byte_range(range);
    let tail = before.len() - bytes.end;
    after.get(bytes.start..after.len().checked_sub(tail)?)
}

/// Returns the text that resolving a hunk put into the base, found again from the base after it.
pub fn find_resolution<'t>(
    before: ReviewTexts<'_>,
    key: HunkKey,
    base_after: &'t str,
) -> Option<&'t str> {
    let review = FileReview::new(before.base, before.current, before.proposed);
    let region = review.decided_region(review.hunk(key)?);
    put_there(before.base, &region.base, base_after)
}

/// Lines of `now` that stand there as `rewrite` put them, with the hunk they belong to.
pub fn surviving_lines(rewrite: &HunkRewrite, now: &str) -> Vec<(HunkKey, Range<u32>)> {
    let (then, here) = (IndexedText::new(rewrite.to.as_str()), IndexedText::new(now));
    let since = diff_indexed(&then, &here, DiffPurpose::Merging);
    let mut found = Vec::new();
    for (hunk, lines) in rewrite.written_lines() {
        let mut from = lines.start;
        let mut shift = 0i64;
        for change in &since {
            if change.old.end <= lines.start {
                shift = i64::from(change.new.end) - i64::from(change.old.end);
                continue;
            }
            if change.old.start >= lines.end {
                break;
            }
            push_moved(&mut found, hunk, from..change.old.start, shift);
            from = change.old.end;
            shift = i64::from(change.new.end) - i64::from(change.old.end);
        }
        push_moved(&mut found, hunk, from..lines.end, shift);
    }
    found
}

fn push_moved(
    found: &mut Vec<(HunkKey, Range<u32>)>,
    hunk: HunkKey,
    lines: Range<u32>,
    shift: i64,
) {
    let moved = |line: u32| u32::try_from(i64::from(line) + shift).ok();
    if lines.start < lines.end
        && let (Some(start), Some(end)) = (moved(lines.start), moved(lines.end))
    {
        found.push((hunk, start..end));
    }
}
