//! A review that stays right while somebody types.

use std::{borrow::Cow, ops::Range, sync::Arc};

use ropey::Rope;

use super::{FileReview, HunkKey, HunkState, ReviewHunk, display_hunks, key};
use crate::{
    diff::{
        DiffPurpose, IndexedText, LineChange, LineToken, LineVocabulary, diff_tokens, line_bounds,
    },
    merge::{self, MergeRegion, MergeRegionKind, ThreeWayMerge},
};

/// The review of a file that is being typed in.
///
/// It keeps what depends on the proposal alone, and of the current text its lines as numbers. A new
/// current text costs a comparison of bytes and a diff of numbers; only lines between the first and
/// the last byte that changed are looked at. What comes out is what [`FileReview::new`] gives for the
/// three texts, whatever the texts were before.
///
/// ```
/// use claudecluster_core::review::LiveReview;
///
/// let mut live = LiveReview::new("a\nb\nc\n", "a\nB\nc\n");
/// let key = live.review().hunks()[0].key;
/// let review = live.update("typed\na\nb\nc\n");
/// assert_eq!((review.hunks()[0].key, review.hunks()[0].current.clone()), (key, 2..3));
/// ```
#[derive(Debug)]
pub struct LiveReview {
    base: ReviewText,
    proposed: ReviewText,
    proposal: IndexedProposal,
    /// The number of distinct lines of base and proposed, and their bytes. All further lines of the
    /// vocabulary came from current texts, old ones too.
    own: (usize, usize),
    current: String,
    bounds: Vec<usize>,
    tokens: Vec<LineToken>,
    regions: Vec<MergeRegion>,
    hunks: Vec<ReviewHunk>,
}

/// One of the two texts that stay.
#[derive(Debug)]
struct ReviewText {
    text: Arc<str>,
    bounds: Vec<usize>,
}

impl ReviewText {
    fn new(text: Arc<str>) -> Self {
        Self {
            bounds: line_bounds(text.as_bytes()),
            text,
        }
    }

    fn lines(&self) -> IndexedText<'_> {
        IndexedText::with_bounds(&self.text, &self.bounds)
    }
}

/// Indexes the part of a review that depends on base and proposed alone.
#[derive(Debug)]
struct IndexedProposal {
    vocabulary: LineVocabulary,
    base: Vec<LineToken>,
    proposed: Vec<LineToken>,
    changes: Vec<LineChange>,
    keys: Vec<HunkKey>,
    raises: display_hunks::HunkRaises,
}

impl IndexedProposal {
    fn new(base: &IndexedText<'_>, proposed: &IndexedText<'_>) -> Self {
        let mut vocabulary = LineVocabulary::new(base.len() as usize * 2);
        let b = vocabulary.tokenize_text(base);
        let p = vocabulary.tokenize_text(proposed);
        let changes = diff_tokens(&vocabulary, &b, &p, DiffPurpose::Merging);
        let keys = key::hunk_keys(
            base,
            proposed,
            &b,
            &p,
            vocabulary.distinct_lines(),
            &changes,
        );
        Self {
            vocabulary,
            base: b,
            proposed: p,
            changes,
            keys,
            raises: display_hunks::HunkRaises::default(),
        }
    }

    /// Holds the proposal against a current text.
    fn place_hunks(
        &mut self,
        base: &IndexedText<'_>,
        current: &IndexedText<'_>,
        proposed: &IndexedText<'_>,
        tokens: &[LineToken],
    ) -> (Vec<MergeRegion>, Vec<ReviewHunk>) {
        let typed = diff_tokens(&self.vocabulary, &self.base, tokens, DiffPurpose::Merging);
        let regions = merge::divide_regions(base, current, proposed, &typed, &self.changes);
        let mut hunks = make_hunks(&regions, &self.changes, &self.keys);
        let (b, p) = (&self.base, &self.proposed);
        let (words, raises) = (&self.vocabulary, &mut self.raises);
        display_hunks::place_for_reading(&mut hunks, &regions, words, b, p, raises);
        (regions, hunks)
    }
}

/// Makes a hunk of every change of the proposal.
fn make_hunks(
    regions: &[MergeRegion],
    changes: &[LineChange],
    keys: &[HunkKey],
) -> Vec<ReviewHunk> {
    let mut hunks = Vec::with_capacity(keys.len());
    for (index, region) in regions.iter().enumerate() {
        let state = match region.kind {
            MergeRegionKind::Unchanged | MergeRegionKind::Ours => continue,
            MergeRegionKind::Theirs => HunkState::Clean,
            MergeRegionKind::Both => HunkState::Present,
            MergeRegionKind::Conflict => HunkState::Conflict,
        };
        for at in region.their_changes.clone() {
            hunks.push(ReviewHunk {
                key: keys[at],
                base: changes[at].old.clone(),
                proposed: changes[at].new.clone(),
                current: region.ours.clone(),
                state,
                region: index,
            });
        }
    }
    hunks
}

/// Reviews three texts once.
pub(super) fn review<'a>(base: &'a str, current: &'a str, proposed: &'a str) -> FileReview<'a> {
    let (base, current, proposed) = (
        IndexedText::new(base),
        IndexedText::new(current),
        IndexedText::new(proposed),
    );
    let mut proposal = IndexedProposal::new(&base, &proposed);
    let tokens = proposal.vocabulary.tokenize_text(&current);
    let (regions, hunks) = proposal.place_hunks(&base, &current, &proposed, &tokens);
    FileReview {
        merge: ThreeWayMerge::of_regions(
            base,
            current,
            proposed,
            Cow::Owned(regions),
            Cow::Owned(proposal.changes),
        ),
        hunks: Cow::Owned(hunks),
    }
}

impl LiveReview {
    /// Returns the review of a proposal where the current text is the base.
    pub fn new(base: impl Into<Arc<str>>, proposed: impl Into<Arc<str>>) -> Self {
        let (base, proposed) = (
            ReviewText::new(base.into()),
            ReviewText::new(proposed.into()),
        );
        let proposal = IndexedProposal::new(&base.lines(), &proposed.lines());
        let mut live = Self {
            own: (
                proposal.vocabulary.distinct_lines(),
                proposal.vocabulary.total_bytes(),
            ),
            current: base.text.as_ref().to_owned(),
            bounds: base.bounds.clone(),
            tokens: proposal.base.clone(),
            regions: Vec::new(),
            hunks: Vec::new(),
            base,
            proposed,
            proposal,
        };
        live.place_hunks();
        live
    }

    /// Updates the current text and returns the review against it.
    pub fn update(&mut self, current: &str) -> FileReview<'_> {
        let (old, new) = (self.current.as_bytes(), current.as_bytes());
        let prefix = same_start(old, new);
        if prefix < old.len() || prefix < new.len() {
            let suffix = same_end(&old[prefix..], &new[prefix..]);
            let lines = self.lines_around(prefix, old.len() - suffix);
            let end = new.len() - (old.len() - lines.end);
            let middle = current.get(lines.start..end).unwrap_or_default();
            self.splice_lines(&lines, middle);
        }
        self.review()
    }

    /// [`Self::update`] for the text of an open document.
    pub fn update_rope(&mut self, current: &Rope) -> FileReview<'_> {
        let old = self.current.as_bytes();
        let new_len = current.len_bytes();
        let mut prefix = 0;
        for chunk in current.chunks() {
            let same = same_start(&old[prefix..], chunk.as_bytes());
            prefix += same;
            if same < chunk.len() {
                break;
            }
        }
        if prefix < old.len() || prefix < new_len {
            let most = old.len().min(new_len) - prefix;
            let mut suffix = 0;
            let (mut chunks, ..) = current.chunks_at_byte(new_len);
            while let Some(chunk) = chunks.prev() {
                let same = same_end(&old[..old.len() - suffix], chunk.as_bytes());
                suffix += same;
                if same < chunk.len() || suffix >= most {
                    break;
                }
            }
            let lines = self.lines_around(prefix, old.len() - suffix.min(most));
            let end = new_len - (old.len() - lines.end);
            let middle = Cow::from(current.byte_slice(lines.start..end));
            self.splice_lines(&lines, &middle);
        }
        self.review()
    }

    /// Returns the review against the text of the last update.
    pub fn review(&self) -> FileReview<'_> {
        let current = IndexedText::with_bounds(self.current.as_str(), &self.bounds);
        FileReview {
            merge: ThreeWayMerge::of_regions(
                self.base.lines(),
                current,
                self.proposed.lines(),
                Cow::Borrowed(&self.regions),
                Cow::Borrowed(&self.proposal.changes),
            ),
            hunks: Cow::Borrowed(&self.hunks),
        }
    }

    /// About how many bytes of memory it takes.
    pub fn memory_size(&self) -> usize {
        let texts = self.base.text.len() + self.proposed.text.len() + self.current.len();
        let lines = self.base.bounds.len() + self.proposed.bounds.len() + self.bounds.len();
        let hunk = size_of::<ReviewHunk>() + size_of::<LineChange>() + 3 * size_of::<MergeRegion>();
        texts
            + lines * (size_of::<usize>() + size_of::<LineToken>())
            + self.proposal.vocabulary.total_bytes()
            + self.proposal.vocabulary.distinct_lines() * 2 * size_of::<usize>()
            + self.hunks.len() * hunk
    }

    /// Returns the whole lines of the current text that bytes `start..end` are in or touch.
    fn lines_around(&self, start: usize, end: usize) -> Range<usize> {
        let text = self.current.as_bytes();
        let start = memchr::memrchr(b'\n', &text[..start]).map_or(0, |at| at + 1);
        let end = memchr::memchr(b'\n', &text[end..]).map_or(text.len(), |at| end + at + 1);
        start..end
    }

    /// Replaces whole lines of the current text by other whole lines.
    fn splice_lines(&mut self, bytes: &Range<usize>, text: &str) {
        self.forget_old_lines();
        let first = self.bounds.partition_point(|&bound| bound < bytes.start);
        let last = self.bounds.partition_point(|&bound| bound < bytes.end);
        let new = IndexedText::new(text);
        let tokens = self.proposal.vocabulary.tokenize_text(&new);
        self.tokens.splice(first..last, tokens);
        let (was, is) = (bytes.end, bytes.start + text.len());
        for bound in &mut self.bounds[last + 1..] {
            *bound = *bound - was + is;
        }
        let ends = (1..=new.len()).map(|line| bytes.start + new.line_start(line));
        self.bounds.splice(first + 1..=last, ends);
        self.current.replace_range(bytes.clone(), text);
        self.place_hunks();
    }

    /// Keeps the vocabulary from growing with every line that was ever there.
    fn forget_old_lines(&mut self) {
        let vocabulary = &mut self.proposal.vocabulary;
        let (lines, bytes) = self.own;
        let grown = vocabulary.distinct_lines() > lines + 2 * self.tokens.len() + 4096
            || vocabulary.total_bytes() > bytes + 4 * self.current.len() + (256 << 10);
        if grown {
            vocabulary.truncate(lines);
            self.tokens = vocabulary.tokenize_text(&IndexedText::with_bounds(
                self.current.as_str(),
                &self.bounds,
            ));
        }
    }

    fn place_hunks(&mut self) {
        let current = IndexedText::with_bounds(self.current.as_str(), &self.bounds);
        let (base, proposed) = (self.base.lines(), self.proposed.lines());
        let placed = self
            .proposal
            .place_hunks(&base, &current, &proposed, &self.tokens);
        (self.regions, self.hunks) = placed;
    }
}

/// Bytes that are compared at once: enough for the comparison to be as fast as memory, and few
/// enough that the rest of the last block costs nothing.
const BLOCK: usize = 1024;

/// Counts the bytes two texts have in common at their start.
fn same_start(a: &[u8], b: &[u8]) -> usize {
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    let blocks = a.chunks(BLOCK).zip(b.chunks(BLOCK));
    let same = blocks.take_while(|(a, b)| a == b).count() * BLOCK;
    let same = same.min(len);
    let rest = a[same..].iter().zip(&b[same..]);
    same + rest.take_while(|(a, b)| a == b).count()
}

/// Counts the bytes two texts have in common at their end.
fn same_end(a: &[u8], b: &[u8]) -> usize {
    let len = a.len().min(b.len());
    let (a, b) = (&a[a.len() - len..], &b[b.len() - len..]);
    let blocks = a.rchunks(BLOCK).zip(b.rchunks(BLOCK));
    let same = blocks.take_while(|(a, b)| a == b).count() * BLOCK;
    let same = same.min(len);
    let rest = a[..len - same]
        .iter()
        .rev()
        .zip(b[..len - same].iter().rev());
    same + rest.take_while(|(a, b)| a == b).count()
}
