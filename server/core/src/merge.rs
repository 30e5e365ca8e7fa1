//! Three-way merging of lines.
//!
//! [`merge3`] divides three texts into regions. What only one side changed is taken from that side;
//! what both changed in the same way is taken once; everything else is a conflict, and stays one
//! until somebody decides. As in `git merge-file`, changes of both sides that touch each other are
//! a conflict even where they do not overlap, because an unchanged line between them is what shows
//! that they are independent.
//!
//! ```
//! use claudecluster_core::merge::{MergeSide, merge3};
//!
//! let merge = merge3("a\nb\nc\nd\n", "A\nb\nc\nd\n", "a\nb\nc\nD\n");
//! assert_eq!(merge.clean_text().as_deref(), Some("A\nb\nc\nD\n"));
//!
//! let merge = merge3("a\nb\n", "a\nx\n", "a\ny\n");
//! assert_eq!(merge.clean_text(), None);
//! assert_eq!(merge.with_conflicts_as(MergeSide::Theirs), "a\ny\n");
//! ```

use std::{
    borrow::{Borrow as _, Cow},
    ops::Range,
};

use crate::diff::{
    DiffPurpose, IndexedText, LineChange, LineText, LineVocabulary, diff_indexed, diff_tokens,
};

/// One of the three texts of a merge.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MergeSide {
    /// The text both sides started from.
    Base,
    /// The first side.
    Ours,
    /// The second side.
    Theirs,
}

/// Names the change to a region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MergeRegionKind {
    /// Neither side changed it.
    Unchanged,
    /// Only ours changed it.
    Ours,
    /// Only theirs changed it.
    Theirs,
    /// Both sides changed it and have the same text now.
    Both,
    /// Both sides changed it and have different texts now.
    Conflict,
}

/// A stretch of lines in each of the three texts. The regions of a merge cover all three completely
/// and in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MergeRegion {
    /// The change to the region.
    pub kind: MergeRegionKind,
    /// Its lines in the base.
    pub base: Range<u32>,
    /// Its lines in ours.
    pub ours: Range<u32>,
    /// Its lines in theirs.
    pub theirs: Range<u32>,
    /// The changes of theirs in the region, as indices into [`ThreeWayMerge::their_changes`].
    pub(crate) their_changes: Range<usize>,
}

/// Part of a conflict, see [`ThreeWayMerge::refine_conflict`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConflictPiece {
    /// Lines both sides have.
    Agreed {
        /// In ours.
        ours: Range<u32>,
        /// In theirs.
        theirs: Range<u32>,
    },
    /// Lines in which the sides differ.
    Differs {
        /// In ours.
        ours: Range<u32>,
        /// In theirs.
        theirs: Range<u32>,
    },
}

/// The result of a three-way merge.
#[derive(Debug)]
pub struct ThreeWayMerge<'a, T: LineText + ?Sized = str> {
    pub(crate) base: IndexedText<'a, T>,
    pub(crate) ours: IndexedText<'a, T>,
    pub(crate) theirs: IndexedText<'a, T>,
    regions: Cow<'a, [MergeRegion]>,
    their_changes: Cow<'a, [LineChange]>,
}

/// Merges the changes from `base` to `ours` and from `base` to `theirs`.
pub fn merge3<'a>(base: &'a str, ours: &'a str, theirs: &'a str) -> ThreeWayMerge<'a> {
    merge_texts(base, ours, theirs)
}

/// [`merge3`] for text in an encoding that is not known.
pub fn merge3_bytes<'a>(
    base: &'a [u8],
    ours: &'a [u8],
    theirs: &'a [u8],
) -> ThreeWayMerge<'a, [u8]> {
    merge_texts(base, ours, theirs)
}

fn merge_texts<'a, T: LineText + ?Sized>(
    base: &'a T,
    ours: &'a T,
    theirs: &'a T,
) -> ThreeWayMerge<'a, T> {
    let (base, ours, theirs) = (
        IndexedText::new(base),
        IndexedText::new(ours),
        IndexedText::new(theirs),
    );
    let mut vocabulary =
        LineVocabulary::new((base.len() + ours.len() / 4 + theirs.len() / 4) as usize);
    let b = vocabulary.tokenize_text(&base);
    let o = vocabulary.tokenize_text(&ours);
    let t = vocabulary.tokenize_text(&theirs);
    let our_changes = diff_tokens(&vocabulary, &b, &o, DiffPurpose::Merging);
    let their_changes = diff_tokens(&vocabulary, &b, &t, DiffPurpose::Merging);
    ThreeWayMerge::with_changes(base, ours, theirs, &our_changes, their_changes)
}

/// Divides three texts into regions, along the changes from the base to each side.
pub(crate) fn divide_regions<T: LineText + ?Sized>(
    base: &IndexedText<'_, T>,
    ours: &IndexedText<'_, T>,
    theirs: &IndexedText<'_, T>,
    our_changes: &[LineChange],
    their_changes: &[LineChange],
) -> Vec<MergeRegion> {
    let mut sweep = MergeSweep {
        ours: ChangeCursor::new(our_changes),
        theirs: ChangeCursor::new(their_changes),
        done: 0,
        regions: Vec::new(),
    };
    while sweep
        .advance_region(|a, b| ours.slice_lines(a).as_bytes() == theirs.slice_lines(b).as_bytes())
    {
    }
    sweep.unchanged_until(base.len());
    sweep.regions
}

impl<'a, T: LineText + ?Sized> ThreeWayMerge<'a, T> {
    /// Merges along changes that are already known: from a diff, or from watching an editor.
    ///
    /// Both lists are in order, with at least one unchanged line between two changes of a list.
    pub fn with_changes(
        base: IndexedText<'a, T>,
        ours: IndexedText<'a, T>,
        theirs: IndexedText<'a, T>,
        our_changes: &[LineChange],
        their_changes: Vec<LineChange>,
    ) -> Self {
        let regions = divide_regions(&base, &ours, &theirs, our_changes, &their_changes);
        Self::of_regions(base, ours, theirs, regions.into(), their_changes.into())
    }

    /// Makes a merge from its parts.
    pub(crate) fn of_regions(
        base: IndexedText<'a, T>,
        ours: IndexedText<'a, T>,
        theirs: IndexedText<'a, T>,
        regions: Cow<'a, [MergeRegion]>,
        their_changes: Cow<'a, [LineChange]>,
    ) -> Self {
        Self {
            base,
            ours,
            theirs,
            regions,
            their_changes,
        }
    }

    /// All regions, in order.
    pub fn regions(&self) -> &[MergeRegion] {
        &self.regions
    }

    /// Returns the changes from base to theirs.
    pub fn their_changes(&self) -> &[LineChange] {
        &self.their_changes
    }

    /// Returns the regions that need a decision.
    pub fn conflicts(&self) -> impl Iterator<Item = &MergeRegion> {
        self.regions
            .iter()
            .filter(|region| region.kind == MergeRegionKind::Conflict)
    }

    /// Returns whether no region needs a decision.
    pub fn is_clean(&self) -> bool {
        self.conflicts().next().is_none()
    }

    /// Returns the merged text, if nothing needs a decision.
    pub fn clean_text(&self) -> Option<T::Owned> {
        self.is_clean()
            .then(|| self.with_conflicts_as(MergeSide::Base))
    }

    /// Returns the merged text, with one side's text in every conflict.
    pub fn with_conflicts_as(&self, side: MergeSide) -> T::Owned {
        self.with_conflicts(|region| self.text_of(region, side).to_owned())
    }

    /// Returns the merged text, with a text of its own in every conflict.
    pub fn with_conflicts(&self, mut text: impl FnMut(&MergeRegion) -> T::Owned) -> T::Owned {
        let mut out = T::with_capacity(self.ours.text().as_bytes().len());
        for region in self.regions.iter() {
            let side = match region.kind {
                MergeRegionKind::Unchanged | MergeRegionKind::Ours | MergeRegionKind::Both => {
                    MergeSide::Ours
                }
                MergeRegionKind::Theirs => MergeSide::Theirs,
                MergeRegionKind::Conflict => {
                    T::push(&mut out, text(region).borrow());
                    continue;
                }
            };
            T::push(&mut out, self.text_of(region, side));
        }
        out
    }

    /// Returns a region's text on one side.
    pub fn text_of(&self, region: &MergeRegion, side: MergeSide) -> &'a T {
        match side {
            MergeSide::Base => self.base.slice_lines(&region.base),
            MergeSide::Ours => self.ours.slice_lines(&region.ours),
            MergeSide::Theirs => self.theirs.slice_lines(&region.theirs),
        }
    }

    /// Narrows a conflict to the lines in which the two sides really differ, as git shows it.
    pub fn refine_conflict(&self, region: &MergeRegion) -> Vec<ConflictPiece> {
        let changes = diff_indexed(
            &IndexedText::new(self.text_of(region, MergeSide::Ours)),
            &IndexedText::new(self.text_of(region, MergeSide::Theirs)),
            DiffPurpose::Merging,
        );
        let shift = |range: Range<u32>, by: u32| range.start + by..range.end + by;
        let (o, t) = (region.ours.start, region.theirs.start);
        let mut pieces = Vec::new();
        let (mut ours, mut theirs) = (0, 0);
        for change in changes {
            if ours < change.old.start {
                pieces.push(ConflictPiece::Agreed {
                    ours: shift(ours..change.old.start, o),
                    theirs: shift(theirs..change.new.start, t),
                });
            }
            (ours, theirs) = (change.old.end, change.new.end);
            pieces.push(ConflictPiece::Differs {
                ours: shift(change.old, o),
                theirs: shift(change.new, t),
            });
        }
        if o + ours < region.ours.end {
            pieces.push(ConflictPiece::Agreed {
                ours: o + ours..region.ours.end,
                theirs: t + theirs..region.theirs.end,
            });
        }
        pieces
    }
}

/// Walks one side's changes and knows how far its lines are shifted against the base.
struct ChangeCursor<'c> {
    changes: &'c [LineChange],
    next: usize,
    /// Lines of this side minus lines of the base, before the next change.
    shift: i64,
}

impl<'c> ChangeCursor<'c> {
    fn new(changes: &'c [LineChange]) -> Self {
        Self {
            changes,
            next: 0,
            shift: 0,
        }
    }

    /// Returns the start of the next change in the base.
    fn next_start(&self) -> Option<u32> {
        self.changes.get(self.next).map(|change| change.old.start)
    }

    /// Takes the next change if it starts at `line` or before; gives its end in the base.
    fn take_up_to(&mut self, line: u32) -> Option<u32> {
        let change = self.changes.get(self.next)?;
        if change.old.start > line {
            return None;
        }
        self.next += 1;
        self.shift = i64::from(change.new.end) - i64::from(change.old.end);
        Some(change.old.end)
    }

    /// Returns the line of this side at the place of `line` in the base.
    fn map_line(&self, line: u32) -> u32 {
        u32::try_from(i64::from(line) + self.shift).unwrap_or(0)
    }
}

struct MergeSweep<'c> {
    ours: ChangeCursor<'c>,
    theirs: ChangeCursor<'c>,
    /// The first line of the base not yet divided into regions.
    done: u32,
    regions: Vec<MergeRegion>,
}

impl MergeSweep<'_> {
    /// Makes the next group of touching changes a region. False when no change is left.
    fn advance_region(&mut self, same: impl Fn(&Range<u32>, &Range<u32>) -> bool) -> bool {
        let start = match (self.ours.next_start(), self.theirs.next_start()) {
            (None, None) => return false,
            (Some(a), Some(b)) => a.min(b),
            (Some(a), None) | (None, Some(a)) => a,
        };
        self.unchanged_until(start);
        let first = (self.ours.next, self.theirs.next);
        let (our_start, their_start) = (self.ours.map_line(start), self.theirs.map_line(start));
        let mut end = start;
        loop {
            let reached = self
                .ours
                .take_up_to(end)
                .or_else(|| self.theirs.take_up_to(end));
            match reached {
                Some(line) => end = end.max(line),
                None => break,
            }
        }
        let ours = our_start..self.ours.map_line(end);
        let theirs = their_start..self.theirs.map_line(end);
        let kind = if self.theirs.next == first.1 {
            MergeRegionKind::Ours
        } else if self.ours.next == first.0 {
            MergeRegionKind::Theirs
        } else if same(&ours, &theirs) {
            MergeRegionKind::Both
        } else {
            MergeRegionKind::Conflict
        };
        self.regions.push(MergeRegion {
            kind,
            base: start..end,
            ours,
            theirs,
            their_changes: first.1..self.theirs.next,
        });
        self.done = end;
        true
    }

    fn unchanged_until(&mut self, line: u32) {
        if self.done < line {
            self.regions.push(MergeRegion {
                kind: MergeRegionKind::Unchanged,
                base: self.done..line,
                ours: self.ours.map_line(self.done)..self.ours.map_line(line),
                theirs: self.theirs.map_line(self.done)..self.theirs.map_line(line),
                their_changes: self.theirs.next..self.theirs.next,
            });
            self.done = line;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both `merge3` and `merge3_bytes` give this, from either side.
    fn check(base: &str, ours: &str, theirs: &str, expected: Option<&str>) {
        for (a, b) in [(ours, theirs), (theirs, ours)] {
            let merge = merge3(base, a, b);
            assert_eq!(
                merge.clean_text().as_deref(),
                expected,
                "{base:?} {a:?} {b:?}"
            );
            let bytes = merge3_bytes(base.as_bytes(), a.as_bytes(), b.as_bytes());
            let expected = expected.map(str::as_bytes);
            assert_eq!(
                bytes.clean_text().as_deref(),
                expected,
                "{base:?} {a:?} {b:?}"
            );
            // The regions cover each text.
            let joined = |side| {
                let texts = merge.regions().iter().map(|r| merge.text_of(r, side));
                texts.collect::<String>()
            };
            assert_eq!(joined(MergeSide::Base), base);
            assert_eq!(joined(MergeSide::Ours), a);
            assert_eq!(joined(MergeSide::Theirs), b);
        }
    }

    #[test]
    fn one_side_or_the_same_on_both_is_clean() {
        check("", "", "", Some(""));
        check("", "a", "", Some("a"));
        check("", "a\n", "a\n", Some("a\n"));
        check("a\n", "", "a\n", Some(""));
        check("a\n", "", "", Some(""));
        check(
            "a\nb\nc\n",
            "x\na\nb\nc\n",
            "a\nb\nc\ny\n",
            Some("x\na\nb\nc\ny\n"),
        );
        check(
            "a\r\nb\r\nc\r\n",
            "A\r\nb\r\nc\r\n",
            "a\r\nb\r\nC\r\n",
            Some("A\r\nb\r\nC\r\n"),
        );
        // One side in one change, the other in two: what is there in the end counts.
        check(
            "a\nb\nc\nd\n",
            "A\nx\nC\nd\n",
            "A\nx\nC\nd\n",
            Some("A\nx\nC\nd\n"),
        );
    }

    #[test]
    fn a_line_without_ending_is_another_line() {
        check("a\nb\nc", "A\nb\nc", "a\nb\nc\n", Some("A\nb\nc\n"));
        check("a\nb\nc\n", "A\nb\nc\n", "a\nb\nc", Some("A\nb\nc"));
        check("a\nb", "a\nb\nc\n", "a\nb\n", None);
        check("a", "b", "c", None);
    }

    #[test]
    fn changes_that_touch_are_a_conflict() {
        check("a\nb\n", "A\nb\n", "a\nB\n", None);
        check("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", Some("A\nb\nC\n"));
        check("a\nb\n", "a\nx\nb\n", "a\ny\nb\n", None);
        check("a\nb\n", "a\nx\nb\n", "a\nB\n", None);
        check("a\n", "", "A\n", None);
        // A change of the line endings touches everything.
        check("a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\nB\nc\n", None);
    }

    #[test]
    fn bytes_need_no_encoding() {
        let merge = merge3_bytes(b"\xe4\nb\nc\n", b"\xf6\nb\nc\n", b"\xe4\nb\n\xfc\n");
        assert_eq!(merge.clean_text().as_deref(), Some(&b"\xf6\nb\n\xfc\n"[..]));
    }

    #[test]
    fn a_conflict_narrows_to_what_differs() {
        let merge = merge3("a\n", "x\nsame\ny\n", "x\nsame\nz\n");
        let conflict = merge.conflicts().next().unwrap();
        assert_eq!(
            merge.refine_conflict(conflict),
            [
                ConflictPiece::Agreed {
                    ours: 0..2,
                    theirs: 0..2
                },
                ConflictPiece::Differs {
                    ours: 2..3,
                    theirs: 2..3
                },
            ]
        );
        assert_eq!(merge.with_conflicts_as(MergeSide::Base), "a\n");
    }
}
