//! Where the developer types: the lines of the last change an editor told that was not an edit of
//! ours, carried along by the changes since.

use std::{ops::Range, time::Instant};

use claudecluster_core::text::ContentChange;
use claudecluster_driver::Edited;
use claudecluster_protocol::editor::LineRange;
use ropey::Rope;

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

/// The lines of `before` that a change of the whole text has changed: the first, and one past the last.
fn changed_lines(before: &Rope, after: &Rope) -> (u32, u32) {
    let same = before.lines().zip(after.lines());
    let first = same.take_while(|(one, other)| one == other).count();
    let (lines, left) = (before.len_lines(), after.len_lines());
    let room = lines.min(left).saturating_sub(first);
    let tail = (1..=room).take_while(|&back| before.line(lines - back) == after.line(left - back));
    let end = lines - tail.count();
    let line = |line: usize| u32::try_from(line).unwrap_or(u32::MAX);
    (line(first.min(lines)), line(end))
}

fn signed(lines: usize) -> i64 {
    i64::try_from(lines).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use claudecluster_core::text::{self, Position, PositionEncoding};

    use super::*;

    const TEXT: &str = "0\n1\n2\n3\n4\n5\n";

    fn change(start: (u32, u32), end: (u32, u32), text: &str) -> ContentChange {
        let at = |(line, character)| Position { line, character };
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
