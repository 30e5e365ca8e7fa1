//! Line diffs.
//!
//! A line here ends at `\n` and includes it, as in git; the last line may lack it. That makes every
//! concatenation of whole lines split back into the same lines, which merging relies on. Line
//! numbers as editors count them come from [`crate::text`].

mod compare;
mod counting;
mod frequent;
mod histogram;
mod indent;
mod myers;
mod occurrences;
mod slide;
mod vocabulary;

use std::{borrow::Cow, ops::Range};

pub(crate) use compare::diff_tokens;
pub(crate) use occurrences::LineOccurrences;
pub(crate) use vocabulary::{LineToken, LineVocabulary};

mod sealed {
    pub trait Sealed {}
    impl Sealed for str {}
    impl Sealed for [u8] {}
}

/// Text that can be split into lines and put together again: `str`, or `[u8]` where the encoding
/// is not known.
pub trait LineText: sealed::Sealed + ToOwned {
    /// Returns the text as bytes.
    fn as_bytes(&self) -> &[u8];
    /// Returns a part of the text. Both ends are line boundaries of this text.
    fn part(&self, range: Range<usize>) -> &Self;
    /// Returns an empty text with room for `bytes`.
    fn with_capacity(bytes: usize) -> Self::Owned;
    /// Appends.
    fn push(out: &mut Self::Owned, part: &Self);
}

impl LineText for str {
    fn as_bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn part(&self, range: Range<usize>) -> &Self {
        self.get(range).unwrap_or_default()
    }

    fn with_capacity(bytes: usize) -> String {
        String::with_capacity(bytes)
    }

    fn push(out: &mut String, part: &Self) {
        out.push_str(part);
    }
}

impl LineText for [u8] {
    fn as_bytes(&self) -> &[u8] {
        self
    }

    fn part(&self, range: Range<usize>) -> &Self {
        self.get(range).unwrap_or_default()
    }

    fn with_capacity(bytes: usize) -> Vec<u8> {
        Vec::with_capacity(bytes)
    }

    fn push(out: &mut Vec<u8>, part: &Self) {
        out.extend_from_slice(part);
    }
}

/// A text with an index of its lines.
#[derive(Debug)]
pub struct IndexedText<'a, T: LineText + ?Sized = str> {
    text: &'a T,
    /// The start of each line, and one more entry for the end of the text.
    bounds: Cow<'a, [usize]>,
}

/// Returns the start of each line of a text, and one more entry for the end.
pub(crate) fn line_bounds(text: &[u8]) -> Vec<usize> {
    let mut bounds = Vec::with_capacity(text.len() / 24 + 2);
    bounds.push(0);
    bounds.extend(memchr::memchr_iter(b'\n', text).map(|at| at + 1));
    if bounds.last() != Some(&text.len()) {
        bounds.push(text.len());
    }
    bounds
}

impl<'a, T: LineText + ?Sized> IndexedText<'a, T> {
    /// Splits a text. An empty text has no lines.
    pub fn new(text: &'a T) -> Self {
        Self {
            text,
            bounds: Cow::Owned(line_bounds(text.as_bytes())),
        }
    }

    /// Returns a text whose [`line_bounds`] are known.
    pub(crate) fn with_bounds(text: &'a T, bounds: &'a [usize]) -> Self {
        Self {
            text,
            bounds: Cow::Borrowed(bounds),
        }
    }

    /// Returns the whole text.
    pub fn text(&self) -> &'a T {
        self.text
    }

    /// Returns the number of lines.
    pub fn len(&self) -> u32 {
        u32::try_from(self.bounds.len() - 1).unwrap_or(u32::MAX)
    }

    /// Returns whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.bounds.len() == 1
    }

    /// Returns the byte offset at which a line starts; the end of the text for lines that are not
    /// there.
    pub fn line_start(&self, line: u32) -> usize {
        let last = self.bounds.len() - 1;
        self.bounds[(line as usize).min(last)]
    }

    /// Returns the byte range of some lines.
    pub fn byte_range(&self, lines: &Range<u32>) -> Range<usize> {
        let start = self.line_start(lines.start);
        start..self.line_start(lines.end).max(start)
    }

    /// Returns some lines as one piece of text.
    pub fn slice_lines(&self, lines: &Range<u32>) -> &'a T {
        self.text.part(self.byte_range(lines))
    }

    fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.text.as_bytes();
        self.bounds.windows(2).map(|pair| &bytes[pair[0]..pair[1]])
    }
}

/// Lines of `old` that are replaced by lines of `new`. One of the ranges may be empty, not both.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LineChange {
    /// Lines that go.
    pub old: Range<u32>,
    /// Lines that come.
    pub new: Range<u32>,
}

/// Names the purpose of a diff. Where lines repeat there is more than one way to see what changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiffPurpose {
    /// Changes as people would tell them: anchored at rare lines, placed by indentation.
    Reading,
    /// Changes as git sees them when it merges: as few as possible, each placed as low as possible or
    /// where the other text has one, too.
    Merging,
}

/// Returns the lines to replace to get from `old` to `new`, in order; between two changes there is
/// at least one unchanged line. Placed for reading, as `git diff` does.
///
/// ```
/// use claudecluster_core::diff::{LineChange, diff_lines};
/// assert_eq!(
///     diff_lines("a\nb\nc\n", "a\nB\nc\nd\n"),
///     [LineChange { old: 1..2, new: 1..2 }, LineChange { old: 3..3, new: 3..4 }],
/// );
/// ```
pub fn diff_lines(old: &str, new: &str) -> Vec<LineChange> {
    diff_indexed(
        &IndexedText::new(old),
        &IndexedText::new(new),
        DiffPurpose::Reading,
    )
}

/// Returns the changes from one indexed text to another.
pub fn diff_indexed<T: LineText + ?Sized>(
    old: &IndexedText<'_, T>,
    new: &IndexedText<'_, T>,
    purpose: DiffPurpose,
) -> Vec<LineChange> {
    let mut vocabulary = LineVocabulary::new(old.len() as usize + new.len() as usize);
    let old = vocabulary.tokenize_text(old);
    let new = vocabulary.tokenize_text(new);
    diff_tokens(&vocabulary, &old, &new, purpose)
}

/// Puts `replacements` (ranges of lines with the text that takes their place, in order and apart)
/// into a text.
pub(crate) fn splice_lines<'t, T: LineText + ?Sized + 't>(
    lines: &IndexedText<'_, T>,
    replacements: impl IntoIterator<Item = (Range<u32>, &'t T)>,
) -> T::Owned {
    let mut out = T::with_capacity(lines.text.as_bytes().len());
    let mut done = 0;
    for (range, text) in replacements {
        T::push(&mut out, lines.slice_lines(&(done..range.start)));
        T::push(&mut out, text);
        done = range.end;
    }
    T::push(&mut out, lines.slice_lines(&(done..lines.len())));
    out
}

/// Returns whether a file is better treated as a whole than line by line. Such a file has a NUL in
/// its first [`HEAD`] bytes, as git decides it, or is not UTF-8.
pub fn is_binary(bytes: &[u8]) -> bool {
    has_nul(bytes) || std::str::from_utf8(bytes).is_err()
}

/// Limits the bytes that are searched for a NUL to tell whether a text is binary.
pub const HEAD: usize = 8000;

/// Does the part of [`is_binary`] that remains for a text known to be UTF-8.
pub fn has_nul(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEAD)];
    memchr::memchr(0, head).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_binary_as_git_does_it() {
        let check = |bytes: &[u8], expected: bool| assert_eq!(is_binary(bytes), expected);
        check(b"", false);
        check("na\u{ef}ve\r\n".as_bytes(), false);
        check(b"a\0b", true);
        check(b"caf\xe9", true);
        // Git looks at the first 8000 bytes only.
        let long = [vec![b'a'; 8000], vec![0]].concat();
        check(&long, false);
        check(&long[1..], true);
    }

    #[test]
    fn what_a_diff_is_for_decides_where_a_change_is_placed() {
        let old = "/// One.\nfn one() {}\n\n/// Two.\nfn two() {}\n";
        let new = "/// One.\nfn one() {}\n\n/// Mid.\nfn mid() {}\n\n/// Two.\nfn two() {}\n";
        let (a, b) = (IndexedText::new(old), IndexedText::new(new));
        let inserted = |purpose| {
            let changes = diff_indexed(&a, &b, purpose);
            changes
                .iter()
                .map(|c| b.slice_lines(&c.new))
                .collect::<String>()
        };
        assert_eq!(inserted(DiffPurpose::Reading), "/// Mid.\nfn mid() {}\n\n");
        assert_eq!(inserted(DiffPurpose::Merging), "/// Mid.\nfn mid() {}\n\n");

        // Sharing its first lines with what follows, it can stand lower.
        let new = old.replace("/// Two.", "/// Two.\nfn zero() {}\n\n/// Two.");
        let b = IndexedText::new(new.as_str());
        let inserted = |purpose| {
            let changes = diff_indexed(&a, &b, purpose);
            changes
                .iter()
                .map(|c| b.slice_lines(&c.new))
                .collect::<String>()
        };
        assert_eq!(inserted(DiffPurpose::Reading), "/// Two.\nfn zero() {}\n\n");
        assert_eq!(inserted(DiffPurpose::Merging), "fn zero() {}\n\n/// Two.\n");
    }
}
