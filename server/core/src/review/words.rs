//! Changes within lines.

mod merging;

use std::ops::Range;

use claudecluster_protocol::change::{HunkWord, HunkWordKind};

pub use merging::{MOST_MERGED, merge_words};

use crate::diff::{DiffPurpose, LineChange, LineVocabulary, diff_tokens};

/// More text than this on one side is not refined: nobody reads it word by word, and a minified
/// file has all of itself in one line.
const MOST_BYTES: usize = 16 << 10;

/// Refines the change from some lines to others to words, where that says more than the lines do:
/// nothing where lines only come or only go, where no word stays, and where there is too much of it.
///
/// ```
/// use claudecluster_core::review::words::refine_to_words;
/// use claudecluster_protocol::change::HunkWordKind::{Added, Removed, Same};
///
/// let parts = refine_to_words("let x = 1;\n", "let x = 12 + y;\n");
/// let parts: Vec<_> = parts.iter().map(|part| (part.kind, part.text.as_str())).collect();
/// assert_eq!(
///     parts,
///     [(Same, "let x = "), (Removed, "1"), (Added, "12 + y"), (Same, ";\n")],
/// );
/// ```
pub fn refine_to_words(old: &str, new: &str) -> Vec<HunkWord> {
    if old.is_empty() || new.is_empty() || old.len().max(new.len()) > MOST_BYTES {
        return Vec::new();
    }
    let (old, new) = (SplitWords::new(old), SplitWords::new(new));
    let changes = join_across_blanks(&old, word_changes(&old, &new));
    let stays = |words: &Range<u32>| old.text(words).chars().any(char::is_alphanumeric);
    if !unchanged_words(&changes, old.len()).any(|words| stays(&words)) {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let mut add = |kind, text: &str| {
        if !text.is_empty() {
            parts.push(HunkWord {
                kind,
                text: text.to_owned(),
            });
        }
    };
    let mut done = 0;
    for change in &changes {
        add(HunkWordKind::Same, old.text(&(done..change.old.start)));
        add(HunkWordKind::Removed, old.text(&change.old));
        add(HunkWordKind::Added, new.text(&change.new));
        done = change.old.end;
    }
    add(HunkWordKind::Same, old.text(&(done..old.len())));
    parts
}

/// A text divided into words, white space, and single other characters. A line terminator is a
/// word of its own.
struct SplitWords<'a> {
    text: &'a str,
    /// The start of each word, and one more entry for the end of the text.
    bounds: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CharClass {
    Word,
    Blank,
    Other,
}

fn char_class(c: char) -> CharClass {
    if c.is_alphanumeric() || c == '_' {
        CharClass::Word
    } else if c.is_whitespace() && c != '\n' && c != '\r' {
        CharClass::Blank
    } else {
        CharClass::Other
    }
}

impl<'a> SplitWords<'a> {
    fn new(text: &'a str) -> Self {
        let mut bounds = Vec::new();
        let mut last = None;
        for (at, c) in text.char_indices() {
            let class = char_class(c);
            let terminator = c == '\n' && at > 0 && text.as_bytes()[at - 1] == b'\r';
            if !terminator && (class == CharClass::Other || last != Some(class)) {
                bounds.push(at);
            }
            last = Some(class);
        }
        bounds.push(text.len());
        Self { text, bounds }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.bounds.len() - 1).unwrap_or(u32::MAX)
    }

    fn byte_range(&self, words: &Range<u32>) -> Range<usize> {
        self.bounds[words.start as usize]..self.bounds[words.end as usize]
    }

    fn text(&self, words: &Range<u32>) -> &'a str {
        self.text.get(self.byte_range(words)).unwrap_or_default()
    }

    fn word_at(&self, at: u32) -> &'a str {
        self.text(&(at..at + 1))
    }
}

/// Returns the unchanged stretches of the old text.
fn unchanged_words(changes: &[LineChange], len: u32) -> impl Iterator<Item = Range<u32>> {
    let starts = std::iter::once(0).chain(changes.iter().map(|change| change.old.end));
    let ends = changes.iter().map(|change| change.old.start).chain([len]);
    starts.zip(ends).map(|(start, end)| start..end)
}

fn word_changes(old: &SplitWords<'_>, new: &SplitWords<'_>) -> Vec<LineChange> {
    let mut vocabulary = LineVocabulary::new((old.len() + new.len()) as usize);
    let mut tokens = |words: &SplitWords<'_>| -> Vec<_> {
        let each = words.bounds.windows(2);
        each.map(|pair| vocabulary.tokenize_line(&words.text.as_bytes()[pair[0]..pair[1]]))
            .collect()
    };
    let (o, n) = (tokens(old), tokens(new));
    diff_tokens(&vocabulary, &o, &n, DiffPurpose::Merging)
}

/// Joins changes with nothing but a blank between them: two new words read as a phrase.
fn join_across_blanks(old: &SplitWords<'_>, changes: Vec<LineChange>) -> Vec<LineChange> {
    let mut out: Vec<LineChange> = Vec::with_capacity(changes.len());
    for change in changes {
        match out.last_mut() {
            Some(last) if is_blank(old.text(&(last.old.end..change.old.start))) => {
                last.old.end = change.old.end;
                last.new.end = change.new.end;
            }
            _ => out.push(change),
        }
    }
    out
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|c| char_class(c) == CharClass::Blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_both_texts() {
        for (old, new) in [
            ("a b c\n", "a x c\n"),
            ("call(a, b)\r\n", "call(b)\r\n"),
            ("one two\n", "one two"),
            ("f(x)\ng(y)\n", "f(z)\nh(y)\n"),
            ("na\u{ef}ve caf\u{e9}\n", "na\u{ef}ve bar\n"),
        ] {
            let parts = refine_to_words(old, new);
            let text = |left: HunkWordKind| -> String {
                let parts = parts.iter().filter(|part| part.kind != left);
                parts.map(|part| part.text.as_str()).collect()
            };
            assert_eq!(
                (text(HunkWordKind::Added), text(HunkWordKind::Removed)),
                (old.into(), new.into())
            );
        }
    }

    #[test]
    fn nothing_is_said_twice() {
        let none =
            |old: &str, new: &str| assert_eq!(refine_to_words(old, new), [], "{old:?} {new:?}");
        none("", "new\n");
        none("old\n", "");
        none("all of it\n", "goes;\n");
        none(&"word ".repeat(10_000), &"word ".repeat(9_999));
    }

    #[test]
    fn a_phrase_is_one_change() {
        let kinds: Vec<_> = refine_to_words("keep old words here\n", "keep new text here\n")
            .into_iter()
            .map(|part| part.text)
            .collect();
        assert_eq!(kinds, ["keep ", "old words", "new text", " here\n"]);
    }
}
