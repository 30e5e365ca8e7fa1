//! Review of one file: which changes are proposed, how each stands against the text that is there
//! now, and what a decision makes of the texts.
//!
//! The state of a file in review is a pair of texts, `base` and `proposed`: the proposal is the
//! change from the one to the other. The third text, `current`, is not part of the state: it is
//! what the editor or the disk has at this moment. Every question is answered by a three-way merge
//! of the three, so nothing is stored that could drift:
//!
//! - a *hunk* is one change from `base` to `proposed`; see [`HunkState`] for how it can stand;
//! - *accepting* hunks gives a new `current`, and moves `base` towards `proposed` once that text has
//!   been observed;
//! - *rejecting* hunks moves `proposed` back towards `base` and touches nothing else;
//! - *resolving* a conflict puts a chosen text into all three;
//! - there is nothing left to decide when `base` and `proposed` are equal.
//!
//! ```
//! use claudecluster_core::review::{FileReview, HunkState};
//!
//! let base = "fn main() {\n    run();\n}\n\nfn run() {}\n";
//! let proposed = "fn main() {\n    run(1);\n}\n\nfn run(n: u32) {}\n";
//! // The developer typed a line at the top meanwhile.
//! let current = "// entry\n\nfn main() {\n    run();\n}\n\nfn run() {}\n";
//!
//! let review = FileReview::new(base, current, proposed);
//! let [first, second] = review.hunks() else { unreachable!() };
//! assert_eq!((first.state, first.current.clone()), (HunkState::Clean, 3..4));
//! assert_eq!(review.new_text(first), "    run(1);\n");
//!
//! let accepted = review.accept(&[first.key]);
//! assert_eq!(accepted.current, "// entry\n\nfn main() {\n    run(1);\n}\n\nfn run() {}\n");
//!
//! // Once the editor shows that text, the pair moves on; the other hunk keeps its key.
//! let review = FileReview::new(&accepted.base, &accepted.current, proposed);
//! assert_eq!(review.hunks().len(), 1);
//! assert_eq!(review.hunks()[0].key, second.key);
//! ```

mod conflict_sides;
mod display_hunks;
mod effect;
mod key;
mod later;
mod live;
mod provenance;
pub mod words;

use std::{borrow::Cow, collections::BTreeSet, fmt, ops::Range, str::FromStr};

pub use effect::{
    HunkRewrite, RebasedEffect, ReviewTexts, VerdictEffect, find_resolution, is_distinctive,
    surviving_lines, trimmed_lines,
};
pub use later::{
    LaterResult, MergedAlternative, UndoneText, merge_alternatives, merge_later_result,
    undo_landing,
};
pub use live::LiveReview;
pub use provenance::{HunkAttribution, TaskContribution};

use crate::{
    diff::{IndexedText, splice_lines},
    merge::{MergeRegion, MergeRegionKind, MergeSide, ThreeWayMerge},
};

/// Names a hunk within one file's review.
///
/// It is a hash of the lines that go, the lines that come, the unchanged lines directly above and
/// below, and a count that tells equal places apart. So it does not depend on positions or on the
/// current text, and a decision on one hunk leaves the keys of the others as they are. It is the
/// same in every process and on every machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HunkKey(pub u64);

impl fmt::Display for HunkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for HunkKey {
    type Err = std::num::ParseIntError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(s, 16).map(Self)
    }
}

/// Compares a hunk with the current text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HunkState {
    /// The lines it replaces are still there and nothing that touches them has changed.
    Clean,
    /// The current text already has what it proposes.
    Present,
    /// The current text has something else there, or right beside it.
    Conflict,
}

/// A proposed change. Ranges are of lines that end at `\n`; see [`FileReview::current_bytes`] for
/// offsets that can be turned into editor positions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReviewHunk {
    /// Its name.
    pub key: HunkKey,
    /// The lines it replaces in the base.
    pub base: Range<u32>,
    /// The lines it has in the proposed text.
    pub proposed: Range<u32>,
    /// The lines of the hunk in the current text. For a clean hunk the lines it replaces; otherwise
    /// the whole stretch that would have to be decided, which several hunks can share.
    pub current: Range<u32>,
    /// The state of the hunk.
    pub state: HunkState,
    /// The region of the merge it belongs to.
    region: usize,
}

/// Why a hunk was left as it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum HunkRefusal {
    /// No hunk has this key: it was decided before, or the proposal has changed.
    #[error("the hunk no longer exists")]
    Unknown,
    /// The hunk conflicts with the current text.
    #[error("the text to be replaced has changed")]
    Conflict,
    /// The hunk is not in the current text yet.
    #[error("the text does not contain the hunk")]
    Missing,
}

/// Holds the texts after an accept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptedTexts {
    /// The current text with the hunks in it.
    pub current: String,
    /// The base from the moment on at which that text has been observed.
    pub base: String,
    /// Hunks that were left as they are.
    pub refused: Vec<(HunkKey, HunkRefusal)>,
}

/// Holds the base after landed hunks were observed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettledBase {
    /// The base with the hunks that the current text has.
    pub base: String,
    /// Hunks that were left as they are.
    pub refused: Vec<(HunkKey, HunkRefusal)>,
}

/// Holds the proposed text after a reject.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RejectedText {
    /// The proposed text without the hunks.
    pub proposed: String,
    /// Keys that name no hunk.
    pub refused: Vec<(HunkKey, HunkRefusal)>,
}

/// Holds the texts after a conflict was resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedTexts {
    /// The current text with the chosen text in the conflict's place.
    pub current: String,
    /// The base with the chosen text.
    pub base: String,
    /// The proposed text with the chosen text.
    pub proposed: String,
    /// The hunks this decides: all that share the stretch.
    pub keys: Vec<HunkKey>,
}

/// A file in review, seen against its current text.
#[derive(Debug)]
pub struct FileReview<'a> {
    merge: ThreeWayMerge<'a>,
    hunks: Cow<'a, [ReviewHunk]>,
}

/// Returns the hunks of `base` → `proposed`, each judged against `current`.
pub fn hunks(base: &str, current: &str, proposed: &str) -> Vec<ReviewHunk> {
    FileReview::new(base, current, proposed).hunks.into_owned()
}

impl<'a> FileReview<'a> {
    /// Compares the three texts. What is asked again and again while somebody types is a [`LiveReview`]
    /// review: the same, without doing all of it again.
    pub fn new(base: &'a str, current: &'a str, proposed: &'a str) -> Self {
        live::review(base, current, proposed)
    }

    /// Returns the hunks, in the order of their lines.
    pub fn hunks(&self) -> &[ReviewHunk] {
        &self.hunks
    }

    /// Returns the hunk with this key.
    pub fn hunk(&self, key: HunkKey) -> Option<&ReviewHunk> {
        self.hunks.iter().find(|hunk| hunk.key == key)
    }

    /// Returns the merge that the review is derived from: ours is the current text, theirs the
    /// proposed one.
    pub fn merge(&self) -> &ThreeWayMerge<'a> {
        &self.merge
    }

    /// Returns the stretch that [`FileReview::resolve`] decides, in all three texts: more than the
    /// hunk itself where it conflicts. Ours is the current text, theirs the proposed one.
    pub fn decided_region(&self, hunk: &ReviewHunk) -> MergeRegion {
        let region = self.merge.regions().get(hunk.region).cloned();
        let own = MergeRegion {
            kind: MergeRegionKind::Theirs,
            base: hunk.base.clone(),
            ours: hunk.current.clone(),
            theirs: hunk.proposed.clone(),
            their_changes: 0..0,
        };
        match hunk.state {
            HunkState::Clean => own,
            HunkState::Present | HunkState::Conflict => region.unwrap_or(own),
        }
    }

    /// Returns the lines of the current text at the hunk.
    pub fn old_text(&self, hunk: &ReviewHunk) -> &'a str {
        self.merge.ours.slice_lines(&hunk.current)
    }

    /// Returns the lines the hunk replaces, as they are in the base.
    pub fn base_text(&self, hunk: &ReviewHunk) -> &'a str {
        self.merge.base.slice_lines(&hunk.base)
    }

    /// Returns the lines the hunk inserts.
    pub fn new_text(&self, hunk: &ReviewHunk) -> &'a str {
        self.merge.theirs.slice_lines(&hunk.proposed)
    }

    /// Returns the byte offsets of [`ReviewHunk::current`].
    pub fn current_bytes(&self, hunk: &ReviewHunk) -> Range<usize> {
        self.merge.ours.byte_range(&hunk.current)
    }

    /// Puts hunks into the current text. Hunks that conflict are left and reported; hunks that are
    /// there already count as accepted.
    pub fn accept(&self, keys: &[HunkKey]) -> AcceptedTexts {
        let (chosen, refused) = self.choose_hunks(keys, |state| match state {
            HunkState::Clean | HunkState::Present => Ok(()),
            HunkState::Conflict => Err(HunkRefusal::Conflict),
        });
        let clean = chosen.iter().filter(|hunk| hunk.state == HunkState::Clean);
        AcceptedTexts {
            current: splice_lines(
                &self.merge.ours,
                clean.map(|hunk| (hunk.current.clone(), self.new_text(hunk))),
            ),
            base: self.base_with(&chosen),
            refused,
        }
    }

    /// Returns the current text without hunks that an editor inserted by itself. `None` where one
    /// of them is not there, or where accepting them in that text would give another one than the
    /// current: then nothing says what it was.
    pub fn text_before(&self, keys: &[HunkKey]) -> Option<String> {
        let (chosen, refused) = self.choose_hunks(keys, |state| match state {
            HunkState::Present => Ok(()),
            HunkState::Clean => Err(HunkRefusal::Missing),
            HunkState::Conflict => Err(HunkRefusal::Conflict),
        });
        let old = chosen
            .iter()
            .map(|hunk| (hunk.current.clone(), self.base_text(hunk)));
        let before = splice_lines(&self.merge.ours, old);
        let (base, proposed) = (self.merge.base.text(), self.merge.theirs.text());
        let again = FileReview::new(base, &before, proposed).accept(keys);
        let same = refused.is_empty()
            && again.refused.is_empty()
            && again.current == self.merge.ours.text();
        same.then_some(before)
    }

    /// Moves the base over hunks that the current text has, however they came there.
    pub fn rebase_over_landed(&self, keys: &[HunkKey]) -> SettledBase {
        let (chosen, refused) = self.choose_hunks(keys, |state| match state {
            HunkState::Present => Ok(()),
            HunkState::Clean => Err(HunkRefusal::Missing),
            HunkState::Conflict => Err(HunkRefusal::Conflict),
        });
        SettledBase {
            base: self.base_with(&chosen),
            refused,
        }
    }

    /// Takes hunks out of the proposal, in whatever state they are.
    pub fn reject(&self, keys: &[HunkKey]) -> RejectedText {
        let (chosen, refused) = self.choose_hunks(keys, |_| Ok(()));
        let old = chosen
            .iter()
            .map(|hunk| (hunk.proposed.clone(), self.base_text(hunk)));
        RejectedText {
            proposed: splice_lines(&self.merge.theirs, old),
            refused,
        }
    }

    /// Decides the stretch a hunk stands in: `text` takes its place in all three texts. Text that
    /// lacks a line ending where more lines follow gets one.
    ///
    /// # Errors
    /// [`HunkRefusal::Unknown`] if there is no such hunk.
    pub fn resolve(&self, key: HunkKey, text: &str) -> Result<ResolvedTexts, HunkRefusal> {
        let hunk = self.hunk(key).ok_or(HunkRefusal::Unknown)?;
        let region = self.decided_region(hunk);
        let put = |lines: &IndexedText<'a>, range: &Range<u32>| {
            let ended = range.end < lines.len();
            let text = if ended { &self.with_ending(text) } else { text };
            splice_lines(lines, [(range.clone(), text)])
        };
        Ok(ResolvedTexts {
            current: put(&self.merge.ours, &region.ours),
            base: put(&self.merge.base, &region.base),
            proposed: put(&self.merge.theirs, &region.theirs),
            keys: self
                .hunks
                .iter()
                .filter(|other| other.region == hunk.region)
                .map(|other| other.key)
                .collect(),
        })
    }

    /// Returns the hunks with these keys in the order of their lines, and the keys that are
    /// refused.
    fn choose_hunks(
        &self,
        keys: &[HunkKey],
        judge: impl Fn(HunkState) -> Result<(), HunkRefusal>,
    ) -> (Vec<&ReviewHunk>, Vec<(HunkKey, HunkRefusal)>) {
        let asked: BTreeSet<HunkKey> = keys.iter().copied().collect();
        let mut found = BTreeSet::new();
        let (mut chosen, mut refused) = (Vec::new(), Vec::new());
        for hunk in self.hunks.iter().filter(|hunk| asked.contains(&hunk.key)) {
            found.insert(hunk.key);
            match judge(hunk.state) {
                Ok(()) => chosen.push(hunk),
                Err(why) => refused.push((hunk.key, why)),
            }
        }
        let unknown = keys.iter().filter(|key| found.insert(**key));
        refused.extend(unknown.map(|&key| (key, HunkRefusal::Unknown)));
        (chosen, refused)
    }

    fn base_with(&self, hunks: &[&ReviewHunk]) -> String {
        let new = hunks
            .iter()
            .map(|hunk| (hunk.base.clone(), self.new_text(hunk)));
        splice_lines(&self.merge.base, new)
    }
}

/// Returns the merge of three texts with every conflict taken from `side`. Every clean hunk has
/// landed.
pub fn merge_with_side(base: &str, current: &str, proposed: &str, side: MergeSide) -> String {
    crate::merge::merge3(base, current, proposed).with_conflicts_as(side)
}

/// Returns the merge of three texts with conflicts merged by [words](words::merge_words). A conflict that
/// is not of one hunk, or cannot be merged so, keeps the current text.
pub fn merge_with_words(base: &str, current: &str, proposed: &str) -> String {
    let merge = crate::merge::merge3(base, current, proposed);
    merge.with_conflicts(|region| {
        let text = |side| merge.text_of(region, side);
        let mine = text(MergeSide::Ours);
        let merged = (region.their_changes.len() == 1)
            .then(|| words::merge_words(text(MergeSide::Base), mine, text(MergeSide::Theirs)));
        merged.flatten().unwrap_or_else(|| mine.to_owned())
    })
}
