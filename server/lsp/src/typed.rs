//! Where the developer types: the lines of the last change an editor told that was not an edit of
//! ours, carried along by the changes since.

use std::{ops::Range, time::Instant};

use claudecluster_core::text::ContentChange;
use claudecluster_driver::Edited;
use claudecluster_protocol::editor::LineRange;
use ropey::{Rope, iter::Chunks};

use crate::hunks;

/// One message of changes, as far as lines go.
pub(crate) struct Typed {
    /// What was known before, carried along.
    carried: Option<Edited>,
    /// What the message itself has changed.
    own: Option<Range<u32>>,
}

impl Typed {
    /// Before the first change of a message.
    pub(crate) fn new(before: Option<Edited>) -> Self {
        Self {
            carried: before,
            own: None,
        }
    }

    /// Takes a change in that was made between these two texts.
    pub(crate) fn take(&mut self, before: &Rope, after: &Rope, change: &ContentChange) {
        let (first, end) = match &change.range {
            Some(range) => (range.start.line, range.end.line + 1),
            None => changed_lines(before, after),
        };
        let grown = signed(after.len_lines()) - signed(before.len_lines());
        let moved = |line: u32| u32::try_from((i64::from(line) + grown).max(0)).unwrap_or(0);
        let carry = |lines: &Range<u32>| {
            if end <= lines.start {
                moved(lines.start)..moved(lines.end)
            } else if first >= lines.end {
                lines.clone()
            } else {
                let start = lines.start.min(first);
                start..moved(lines.end.max(end)).max(start)
            }
        };
        if let Some(carried) = &mut self.carried {
            carried.lines = carry(&carried.lines);
        }
        let here = first..moved(end).max(first);
        self.own = Some(match self.own.as_ref().map(carry) {
            Some(own) => own.start.min(here.start)..own.end.max(here.end),
            None => here,
        });
    }

    /// Everything so far was an edit of ours.
    pub(crate) fn was_ours(&mut self) {
        self.own = None;
    }

    /// After the last change.
    pub(crate) fn finish(self) -> Option<Edited> {
        let own = self.own.map(|lines| Edited {
            lines,
            at: Instant::now(),
        });
        own.or(self.carried)
    }
}

/// What a client counts as lines, as everybody else counts them.
pub(crate) fn in_text_lines(text: &Rope, edited: &Edited) -> Edited {
    let range = LineRange {
        start_line: edited.lines.start,
        end_line: edited.lines.end,
    };
    let range = hunks::to_text_lines(text, range);
    Edited {
        lines: range.start_line..range.end_line,
        at: edited.at,
    }
}

/// The lines of `before` that a change of the whole text has changed: the first, and one past the last. Bytes
/// are compared, not lines: some clients send the whole text with every key.
fn changed_lines(before: &Rope, after: &Rope) -> (u32, u32) {
    let (lines, left) = (before.len_lines(), after.len_lines());
    let line = |line: usize| u32::try_from(line).unwrap_or(u32::MAX);
    let start = same_start(before, after);
    if start == before.len_bytes() && start == after.len_bytes() {
        return (line(lines), line(lines));
    }
    // Between `\r` and `\n` one of the texts has a line that ends and the other has not.
    let first = before.byte_to_line(start).min(after.byte_to_line(start));
    let end = same_end(before, after);
    // How many lines begin in the last `end` bytes.
    let whole = |text: &Rope| {
        let at = text.len_bytes() - end;
        let line = text.byte_to_line(at);
        let begun = usize::from(text.line_to_byte(line) < at);
        text.len_lines() - line - begun
    };
    let tail = whole(before).min(whole(after));
    let room = lines.min(left) - first;
    (line(first), line(lines - tail.min(room)))
}

/// How many bytes two texts have in common at their start.
fn same_start(a: &Rope, b: &Rope) -> usize {
    fn first<'a>(piece: &mut &'a [u8], len: usize) -> &'a [u8] {
        piece.split_off(..len).unwrap_or_default()
    }
    let equal = |one: &[u8], other: &[u8]| {
        let pairs = one.iter().zip(other);
        pairs.take_while(|(one, other)| one == other).count()
    };
    same(a.chunks(), b.chunks(), first, equal)
}

/// How many bytes two texts have in common at their end.
fn same_end(a: &Rope, b: &Rope) -> usize {
    fn last<'a>(piece: &mut &'a [u8], len: usize) -> &'a [u8] {
        piece.split_off(piece.len() - len..).unwrap_or_default()
    }
    fn back(text: &Rope) -> Chunks<'_> {
        text.chunks_at_byte(text.len_bytes()).0.reversed()
    }
    let equal = |one: &[u8], other: &[u8]| {
        let pairs = one.iter().rev().zip(other.iter().rev());
        pairs.take_while(|(one, other)| one == other).count()
    };
    same(back(a), back(b), last, equal)
}

/// How many bytes two texts have in common, piece by piece. `take` takes so many bytes off a piece, from the
/// end where the comparison begins; `equal` compares two parts that differ, from there as well.
fn same<'a>(
    mut a: Chunks<'a>,
    mut b: Chunks<'a>,
    take: fn(&mut &'a [u8], usize) -> &'a [u8],
    equal: impl Fn(&[u8], &[u8]) -> usize,
) -> usize {
    let next = |chunks: &mut Chunks<'a>| {
        let chunk = chunks.find(|chunk| !chunk.is_empty());
        chunk.unwrap_or_default().as_bytes()
    };
    let (mut one, mut other) = (next(&mut a), next(&mut b));
    let mut same = 0;
    loop {
        let len = one.len().min(other.len());
        let (here, there) = (take(&mut one, len), take(&mut other, len));
        if len == 0 || here != there {
            return same + equal(here, there);
        }
        same += len;
        if one.is_empty() {
            one = next(&mut a);
        }
        if other.is_empty() {
            other = next(&mut b);
        }
    }
}

fn signed(lines: usize) -> i64 {
    i64::try_from(lines).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use claudecluster_core::text::{self, TextPosition, PositionEncoding};

    use super::*;

    /// The same by lines, as it is meant.
    fn by_lines(before: &Rope, after: &Rope) -> (u32, u32) {
        let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
        let pairs = old.iter().zip(&new);
        let first = pairs.take_while(|(one, other)| one == other).count();
        let pairs = old[first..].iter().rev().zip(new[first..].iter().rev());
        let tail = pairs.take_while(|(one, other)| one == other).count();
        let line = |line: usize| u32::try_from(line).unwrap();
        (line(first), line(old.len() - tail))
    }

    #[test]
    fn whole_texts_are_compared_by_bytes_as_if_by_lines() {
        fn all(letters: &[&str], length: usize) -> Vec<String> {
            let mut all = vec![String::new()];
            let mut from = 0;
            for _ in 0..length {
                let last = all.len();
                for at in from..last {
                    let longer = letters.iter().map(|letter| format!("{}{letter}", all[at]));
                    all.extend(longer.collect::<Vec<_>>());
                }
                from = last;
            }
            all
        }
        let check = |texts: &[Rope]| {
            for (one, other) in texts
                .iter()
                .flat_map(|one| texts.iter().map(move |o| (one, o)))
            {
                let expected = by_lines(one, other);
                assert_eq!(changed_lines(one, other), expected, "{one:?} {other:?}");
            }
        };
        let ropes = |texts: Vec<String>| texts.iter().map(|text| Rope::from_str(text)).collect();
        let (short, wide): (Vec<_>, Vec<_>) = (
            ropes(all(&["a", "\n", "\r"], 4)),
            // The first bytes of the two are the same.
            ropes(all(&["é", "è", "\n"], 3)),
        );
        check(&short);
        check(&wide);
        // Of many pieces, which are not cut at the same places.
        let long = Rope::from_str(&"a line of some length\r\n".repeat(2_000));
        let edited = |line: usize, text: &str| {
            let mut edited = long.clone();
            edited.insert(edited.line_to_char(line), text);
            edited
        };
        check(&[
            edited(0, "x"),
            edited(700, "a line of some length\r\n"),
            edited(1_300, "x\n"),
            edited(2_000, "x"),
            long.clone(),
        ]);
    }

    const TEXT: &str = "0\n1\n2\n3\n4\n5\n";

    fn change(start: (u32, u32), end: (u32, u32), text: &str) -> ContentChange {
        let at = |(line, character)| TextPosition { line, character };
        ContentChange {
            range: Some(at(start)..at(end)),
            text: text.into(),
        }
    }

    /// The lines typed in after these changes, one message each.
    fn lines(messages: &[&[ContentChange]]) -> Range<u32> {
        let mut text = Rope::from_str(TEXT);
        let mut edited = None;
        for message in messages {
            let mut typed = Typed::new(edited.take());
            for change in *message {
                let before = text.clone();
                text::apply(&mut text, change, PositionEncoding::Utf16);
                typed.take(&before, &text, change);
            }
            edited = typed.finish();
        }
        edited.unwrap().lines
    }

    #[test]
    fn the_last_change_says_where() {
        assert_eq!(lines(&[&[change((2, 1), (2, 1), "x")]]), 2..3);
        assert_eq!(lines(&[&[change((2, 1), (2, 1), "\nx\n")]]), 2..5);
        assert_eq!(lines(&[&[change((1, 0), (4, 0), "")]]), 1..2);
        let (first, second) = (change((1, 0), (1, 0), "x"), change((4, 0), (4, 0), "y"));
        assert_eq!(lines(&[from_ref(&first), from_ref(&second)]), 4..5);
        assert_eq!(lines(&[&[first, second]]), 1..5, "several cursors");
        let whole = ContentChange {
            range: None,
            text: TEXT.replace("3\n", "3\nx\n"),
        };
        assert_eq!(lines(&[&[whole]]), 4..5);
    }

    #[test]
    fn an_edit_of_ours_only_carries_the_lines_along() {
        let mut text = Rope::from_str(TEXT);
        let mut step = |typed: &mut Typed, change: ContentChange| {
            let before = text.clone();
            text::apply(&mut text, &change, PositionEncoding::Utf16);
            typed.take(&before, &text, &change);
        };
        let mut typed = Typed::new(None);
        step(&mut typed, change((4, 0), (4, 0), "x"));
        let edited = typed.finish();
        let mut ours = Typed::new(edited);
        step(&mut ours, change((0, 0), (0, 0), "above\nand above\n"));
        ours.was_ours();
        assert_eq!(ours.finish().unwrap().lines, 6..7);
    }
}
