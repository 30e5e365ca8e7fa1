//! Changes of both sides within the same lines, merged where they are of different words.
//!
//! git never does this: two changes of one line are a conflict to it, and whoever has seen one merge
//! tool guess wrong knows why. So this merges only what can be told apart without knowing the language,
//! and refuses everything else:
//!
//! - *Lines stay what they are.* Each side has as many lines as the base, and each of its lines is the
//!   base's line in the same place, more like it than like any other. Nothing that was split, joined,
//!   moved, added or removed is merged, and neither is a line of which one side has changed more than
//!   half while the other changed it, too.
//! - *White space at the start of a line is structure.* Where a side has changed it, nothing is merged.
//!   Line endings are no part of a line's words: a change of them goes with the side that made it.
//! - *Something stands between.* Between a change of the one side and one of the other there is something
//!   that neither has changed and that divides the line: a bracket, a comma, a semicolon, a quote, a sign
//!   of assignment or comparison, or a word set off by white space. A dot, a hyphen or a slash between
//!   letters divides nothing: `1.5` and `a/b` are one thing of which two sides want different things.
//! - *A change reaches as far as it could be seen.* Where it could as well stand elsewhere, because the
//!   same words are repeated, it touches everything in between; and with one character of an operator it
//!   touches the whole operator.
//! - *The same change of both is made once*, unless it only inserts: two insertions at the same place may
//!   be meant to add up, and a merge cannot know.
//!
//! It says nothing about what the line means: `i < n` may become wrong when one side changes `<` and the
//! other what `n` is. That is why it is a proposal and not a merge, unless somebody has asked for it.

use std::ops::Range;

use super::{CharClass, SplitWords, char_class, word_changes};
use crate::diff::{DiffPurpose, IndexedText, LineChange, LineVocabulary, diff_indexed};

/// More bytes than this on one side are not merged. Nobody can judge at a glance what became of them, and
/// they are looked at after every keystroke.
pub const MOST_MERGED: usize = 8 << 10;
/// Limits the lines that are paired with each other.
const MOST_LINES: u32 = 32;

/// Merges the changes of both sides word by word, where that is safe.
///
/// ```
/// use claudecluster_core::review::words::merge_words;
///
/// let base = "let total = sum(a, b);\n";
/// let both = merge_words(base, "let total = add(a, b);\n", "let total = sum(a, b, c);\n");
/// assert_eq!(both.as_deref(), Some("let total = add(a, b, c);\n"));
///
/// // Both want something else of the same word, or of its neighbour.
/// assert_eq!(merge_words(base, "let total = add(a, b);\n", "let total = max(a, b);\n"), None);
/// assert_eq!(merge_words("x < 10\n", "x <= 10\n", "x < 9\n"), None);
/// ```
pub fn merge_words(base: &str, ours: &str, theirs: &str) -> Option<String> {
    if ours == base || ours == theirs {
        return Some(theirs.to_owned());
    }
    if theirs == base {
        return Some(ours.to_owned());
    }
    let texts = [base, ours, theirs];
    if texts.iter().any(|text| text.len() > MOST_MERGED) {
        return None;
    }
    let [base, ours, theirs] = texts.map(IndexedText::new);
    let lines = base.len();
    if lines == 0 || lines > MOST_LINES || [&ours, &theirs].iter().any(|side| side.len() != lines) {
        return None;
    }
    if !is_paired(&base, &ours) || !is_paired(&base, &theirs) {
        return None;
    }
    let mut merged = SideEdits::default();
    let mut endings = Vec::new();
    for line in 0..lines {
        let at = line..line + 1;
        let start = base.line_start(line);
        let [base, ours, theirs] =
            [&base, &ours, &theirs].map(|side| LineParts::new(side.slice_lines(&at)));
        endings.push((
            start + base.text.len(),
            base.end.len(),
            base.merged_ending(&ours, &theirs)?,
        ));
        merged.add_edit(start, &base, &ours, &theirs)?;
    }
    merged.apply_to(base.text(), &endings)
}

/// A line without what ends it.
struct LineParts<'a> {
    text: &'a str,
    end: &'a str,
}

impl<'a> LineParts<'a> {
    fn new(line: &'a str) -> Self {
        let text = line.strip_suffix('\n').unwrap_or(line);
        let text = text
            .strip_suffix('\r')
            .filter(|_| text.len() < line.len())
            .unwrap_or(text);
        let (text, end) = line.split_at(text.len());
        Self { text, end }
    }

    fn indent(&self) -> &'a str {
        let rest = self.text.trim_start();
        &self.text[..self.text.len() - rest.len()]
    }

    /// Returns the ending of the line after the changes of both sides; `None` if they conflict.
    fn merged_ending(&self, ours: &LineParts<'a>, theirs: &LineParts<'a>) -> Option<&'a str> {
        match (self.end, ours.end, theirs.end) {
            (base, ours, theirs) if ours == base => Some(theirs),
            (base, ours, theirs) if theirs == base || ours == theirs => Some(ours),
            _ => None,
        }
    }
}

/// Replaces some bytes of the base by a side's text.
#[derive(Clone, PartialEq, Eq, Debug)]
struct WordEdit<'a> {
    at: Range<usize>,
    text: &'a str,
    /// The bytes touched: all that the edit could be seen to change.
    reach: Range<usize>,
}

/// The edits of both sides, each in order.
#[derive(Default)]
struct SideEdits<'a> {
    ours: Vec<WordEdit<'a>>,
    theirs: Vec<WordEdit<'a>>,
}

impl<'a> SideEdits<'a> {
    /// Takes in a line that starts at `start` in the base. `None` if it cannot be merged.
    fn add_edit(
        &mut self,
        start: usize,
        base: &LineParts<'a>,
        ours: &LineParts<'a>,
        theirs: &LineParts<'a>,
    ) -> Option<()> {
        if ours.indent() != base.indent() || theirs.indent() != base.indent() {
            return None;
        }
        let words = SplitWords::new(base.text);
        let (ours, theirs) = (SplitWords::new(ours.text), SplitWords::new(theirs.text));
        let [own, other] = [&ours, &theirs].map(|side| word_changes(&words, side));
        let both = !own.is_empty() && !other.is_empty();
        if both && [&own, &other].iter().any(|made| is_rewritten(&words, made)) {
            return None;
        }
        self.ours.extend(line_edits(start, &words, &ours, &own));
        self.theirs
            .extend(line_edits(start, &words, &theirs, &other));
        Some(())
    }

    /// Returns the text with all edits in it, and with these line endings: where each is, its
    /// length, and what takes its place. `None` where edits of the two sides are not apart.
    fn apply_to(self, base: &str, endings: &[(usize, usize, &str)]) -> Option<String> {
        let Self { ours, mut theirs } = self;
        let same = |edit: &WordEdit<'_>| {
            let at = ours
                .binary_search_by_key(&edit.at.start, |own| own.at.start)
                .ok();
            let twin = at.map(|at| &ours[at]);
            !edit.at.is_empty()
                && twin.is_some_and(|own| own.at == edit.at && own.text == edit.text)
        };
        let agreed: Vec<WordEdit<'_>> = theirs.extract_if(.., |edit| same(edit)).collect();
        let is_agreed = |own: &WordEdit<'_>| {
            let found = agreed.binary_search_by_key(&own.at.start, |edit| edit.at.start);
            found.is_ok()
        };
        let only_ours = ours.iter().filter(|own| !is_agreed(own));
        if !are_apart(base, only_ours, theirs.iter()) {
            return None;
        }
        let ends = endings
            .iter()
            .map(|&(start, len, text)| (start..start + len, text));
        let edits = ours
            .iter()
            .chain(&theirs)
            .map(|edit| (edit.at.clone(), edit.text));
        let mut all: Vec<(Range<usize>, &str)> = edits.chain(ends).collect();
        // An insertion at the end of a line comes before what ends it.
        all.sort_by_key(|(at, _)| (at.start, at.end));
        let mut out = String::with_capacity(base.len() * 2);
        let mut done = 0;
        for (at, text) in all {
            out.push_str(base.get(done..at.start)?);
            out.push_str(text);
            done = at.end;
        }
        out.push_str(base.get(done..)?);
        Some(out)
    }
}

/// Returns whether a divider stands between any two edits of different sides.
fn are_apart<'e>(
    base: &str,
    ours: impl Iterator<Item = &'e WordEdit<'e>>,
    theirs: impl Iterator<Item = &'e WordEdit<'e>>,
) -> bool {
    let ours = ours.map(|edit| (&edit.reach, 0));
    let mut all: Vec<_> = ours.chain(theirs.map(|edit| (&edit.reach, 1))).collect();
    all.sort_by_key(|(reach, _)| (reach.start, reach.end));
    // How far each side has come, and how far the other one had come when this one was last apart from it.
    let mut reached: [Option<usize>; 2] = [None, None];
    let mut passed = reached;
    all.iter().all(|&(reach, side)| {
        let other = reached[1 - side].filter(|_| passed[side] != reached[1 - side]);
        let between = other.map(|end| base.get(end..reach.start));
        let apart = between.is_none_or(|text| text.is_some_and(divides_words));
        passed[side] = reached[1 - side];
        reached[side] = reached[side].max(Some(reach.end));
        apart
    })
}

/// Returns whether an unchanged text divides the changes before it from those after it.
fn divides_words(text: &str) -> bool {
    let visible = |c: char| char_class(c) == CharClass::Word || c.is_ascii_punctuation();
    text.contains(is_divider) || text.contains(char::is_whitespace) && text.contains(visible)
}

fn is_divider(c: char) -> bool {
    "()[]{}<>,;=\"`|&".contains(c)
}

fn is_operator(word: &str) -> bool {
    word.starts_with(|c| "+-*/%=<>!&|^~?:.".contains(c))
}

/// Returns the edits of one line.
fn line_edits<'a>(
    start: usize,
    base: &SplitWords<'_>,
    side: &SplitWords<'a>,
    made: &[LineChange],
) -> Vec<WordEdit<'a>> {
    let bytes = |words: Range<u32>| {
        let range = base.byte_range(&words);
        start + range.start..start + range.end
    };
    let edit = |(at, change): (usize, &LineChange)| {
        let above = at.checked_sub(1).map_or(0, |at| made[at].old.end);
        let below = made.get(at + 1).map_or(base.len(), |next| next.old.start);
        WordEdit {
            at: bytes(change.old.clone()),
            text: side.text(&change.new),
            reach: bytes(widen_to_words(base, side, change, above..below)),
        }
    };
    made.iter().enumerate().map(edit).collect()
}

/// Returns the words of the base that a change touches. `room` is what lies between its neighbours.
fn widen_to_words(
    base: &SplitWords<'_>,
    side: &SplitWords<'_>,
    change: &LineChange,
    room: Range<u32>,
) -> Range<u32> {
    let Range { mut start, mut end } = change.old;
    let group = match (change.old.is_empty(), change.new.is_empty()) {
        (true, _) => Some((side, &change.new)),
        (_, true) => Some((base, &change.old)),
        _ => None,
    };
    if let Some((words, group)) = group {
        let above = |by: &u32| base.word_at(change.old.start - by) == words.word_at(group.end - by);
        let below = |by: &u32| base.word_at(change.old.end + by) == words.word_at(group.start + by);
        start -= (1..=start - room.start).take_while(above).count() as u32;
        end += (0..room.end - end).take_while(below).count() as u32;
    }
    let gone = change.old.clone().map(|at| base.word_at(at));
    let come = change.new.clone().map(|at| side.word_at(at));
    if gone.chain(come).any(is_operator) {
        while start > 0 && is_operator(base.word_at(start - 1)) {
            start -= 1;
        }
        while end < base.len() && is_operator(base.word_at(end)) {
            end += 1;
        }
    }
    start..end
}

/// Returns whether more than half of a line's words have gone: what is there now is another line.
fn is_rewritten(base: &SplitWords<'_>, made: &[LineChange]) -> bool {
    let count = |words: Range<u32>| words.filter(|&at| !is_blank(base.word_at(at))).count();
    let gone: usize = made.iter().map(|change| count(change.old.clone())).sum();
    2 * gone > count(0..base.len())
}

fn is_blank(word: &str) -> bool {
    word.starts_with(char::is_whitespace)
}

/// Returns whether each line of a side is the base's line in the same place.
fn is_paired(base: &IndexedText<'_>, side: &IndexedText<'_>) -> bool {
    let mut words = WordBags::default();
    let changes = diff_indexed(base, side, DiffPurpose::Merging);
    changes.iter().all(|LineChange { old, new }| {
        if old.len() != new.len() {
            return false;
        }
        // Of one line it is known by what is above and below.
        if old.len() == 1 {
            return true;
        }
        let mut bags = |text: &IndexedText<'_>, lines: &Range<u32>| -> Vec<_> {
            let each = lines
                .clone()
                .map(|line| text.slice_lines(&(line..line + 1)));
            each.map(|line| words.words_of(line)).collect()
        };
        let (old, new) = (bags(base, old), bags(side, new));
        let pairs = old.iter().enumerate();
        let mut alone = pairs.map(|(at, line)| {
            let mut others = new.iter().filter(|other| **other != new[at]);
            others.all(|other| in_common(line, other) < in_common(line, &new[at]))
        });
        alone.all(|alone| alone)
    })
}

/// Lines as the sorted numbers of their words, to compare what they have in common.
struct WordBags {
    vocabulary: LineVocabulary,
}

impl Default for WordBags {
    fn default() -> Self {
        Self {
            vocabulary: LineVocabulary::new(64),
        }
    }
}

impl WordBags {
    fn words_of(&mut self, line: &str) -> Vec<u32> {
        let words = SplitWords::new(line);
        let words = (0..words.len()).map(|at| words.word_at(at));
        let words = words.filter(|word| !is_blank(word));
        let mut bag: Vec<u32> = words
            .map(|word| self.vocabulary.tokenize_line(word.as_bytes()).0)
            .collect();
        bag.sort_unstable();
        bag
    }
}

fn in_common(a: &[u32], b: &[u32]) -> usize {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut count = 0;
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => drop(a.next()),
            std::cmp::Ordering::Greater => drop(b.next()),
            std::cmp::Ordering::Equal => {
                count += 1;
                a.next();
                b.next();
            }
        }
    }
    count
}
