//! The lines of the user's most recent edit, shifted by later changes.
//!
//! Edits that the server asked for do not count as the user's.

use std::{ops::Range, time::Instant};

use claudecluster_core::text::ContentChange;
use claudecluster_service::EditedLines;
use ropey::{Rope, iter::Chunks};

/// Tracks edited lines through the changes of one message.
pub(super) struct EditTracker {
    /// The lines known before the message, shifted by its changes.
    earlier: Option<EditedLines>,
    /// The lines that the message itself has changed.
    message: Option<Range<u32>>,
}

impl EditTracker {
    /// Starts a message, with the lines known before it.
    pub(super) fn new(before: Option<EditedLines>) -> Self {
        Self {
            earlier: before,
            message: None,
        }
    }

    /// Records the change that turned `before` into `after`.
    pub(super) fn record_change(&mut self, before: &Rope, after: &Rope, change: &ContentChange) {
        let (first, end) = match &change.range {
            Some(range) => (range.start.line, range.end.line + 1),
            None => changed_lines(before, after),
        };
        let grown = signed(after.len_lines()) - signed(before.len_lines());
        let moved = |line: u32| u32::try_from((i64::from(line) + grown).max(0)).unwrap_or(0);
        let shift = |lines: &Range<u32>| {
            if end <= lines.start {
                moved(lines.start)..moved(lines.end)
            } else if first >= lines.end {
                lines.clone()
            } else {
                let start = lines.start.min(first);
                start..moved(lines.end.max(end)).max(start)
            }
        };
        if let Some(earlier) = &mut self.earlier {
            earlier.lines = shift(&earlier.lines);
        }
        let here = first..moved(end).max(first);
        self.message = Some(match self.message.as_ref().map(shift) {
            Some(lines) => lines.start.min(here.start)..lines.end.max(here.end),
            None => here,
        });
    }

    /// Ignores the changes of the message so far, which were an edit of the server.
    pub(super) fn ignore_message(&mut self) {
        self.message = None;
    }

    /// Ends the message. Returns the lines of the user's most recent edit.
    pub(super) fn finish(self) -> Option<EditedLines> {
        let message = self.message.map(|lines| EditedLines {
            lines,
            at: Instant::now(),
        });
        message.or(self.earlier)
    }
}

/// Returns the lines of `before` that differ in `after`: the first, and one past the last.
///
/// Compares bytes instead of lines, because some clients send the whole text with every key.
fn changed_lines(before: &Rope, after: &Rope) -> (u32, u32) {
    let (lines, left) = (before.len_lines(), after.len_lines());
    let line = |line: usize| u32::try_from(line).unwrap_or(u32::MAX);
    let start = common_prefix(before, after);
    if start == before.len_bytes() && start == after.len_bytes() {
        return (line(lines), line(lines));
    }
    // Between `\r` and `\n` one of the texts has a line that ends and the other has not.
    let first = before.byte_to_line(start).min(after.byte_to_line(start));
    let end = common_suffix(before, after);
    // The number of lines that begin in the last `end` bytes.
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

/// Counts the bytes that two texts have in common at their start.
fn common_prefix(a: &Rope, b: &Rope) -> usize {
    fn first<'a>(piece: &mut &'a [u8], len: usize) -> &'a [u8] {
        piece.split_off(..len).unwrap_or_default()
    }
    let equal = |one: &[u8], other: &[u8]| {
        let pairs = one.iter().zip(other);
        pairs.take_while(|(one, other)| one == other).count()
    };
    count_common(a.chunks(), b.chunks(), first, equal)
}

/// Counts the bytes that two texts have in common at their end.
fn common_suffix(a: &Rope, b: &Rope) -> usize {
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
    count_common(back(a), back(b), last, equal)
}

/// Counts the bytes that two texts have in common, chunk by chunk.
///
/// `take` splits a number of bytes off a chunk, at the end where the comparison begins. `equal`
/// compares two parts that differ, from the same end.
fn count_common<'a>(
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

    use claudecluster_core::text::{self, PositionEncoding, TextPosition};

    use super::*;

    /// The reference for [`changed_lines`], which compares line by line.
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

    /// Returns the edited lines after these messages.
    fn edited_lines(messages: &[&[ContentChange]]) -> Range<u32> {
        let mut text = Rope::from_str(TEXT);
        let mut edited = None;
        for message in messages {
            let mut tracker = EditTracker::new(edited.take());
            for change in *message {
                let before = text.clone();
                text::apply_change(&mut text, change, PositionEncoding::Utf16);
                tracker.record_change(&before, &text, change);
            }
            edited = tracker.finish();
        }
        edited.unwrap().lines
    }

    #[test]
    fn the_last_message_gives_the_edited_lines() {
        assert_eq!(edited_lines(&[&[change((2, 1), (2, 1), "x")]]), 2..3);
        assert_eq!(edited_lines(&[&[change((2, 1), (2, 1), "\nx\n")]]), 2..5);
        assert_eq!(edited_lines(&[&[change((1, 0), (4, 0), "")]]), 1..2);
        let (first, second) = (change((1, 0), (1, 0), "x"), change((4, 0), (4, 0), "y"));
        assert_eq!(edited_lines(&[from_ref(&first), from_ref(&second)]), 4..5);
        assert_eq!(edited_lines(&[&[first, second]]), 1..5, "several cursors");
        let whole = ContentChange {
            range: None,
            text: TEXT.replace("3\n", "3\nx\n"),
        };
        assert_eq!(edited_lines(&[&[whole]]), 4..5);
    }

    #[test]
    fn an_edit_of_the_server_only_shifts_the_lines() {
        let mut text = Rope::from_str(TEXT);
        let mut step = |tracker: &mut EditTracker, change: ContentChange| {
            let before = text.clone();
            text::apply_change(&mut text, &change, PositionEncoding::Utf16);
            tracker.record_change(&before, &text, &change);
        };
        let mut typed = EditTracker::new(None);
        step(&mut typed, change((4, 0), (4, 0), "x"));
        let edited = typed.finish();
        let mut ours = EditTracker::new(edited);
        step(&mut ours, change((0, 0), (0, 0), "above\nand above\n"));
        ours.ignore_message();
        assert_eq!(ours.finish().unwrap().lines, 6..7);
    }
}
