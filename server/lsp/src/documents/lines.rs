//! Arithmetic with lines and positions of a text.
//!
//! There are two counts of lines. A client ends a line at `\n`, `\r\n` or a lone `\r`, as the protocol
//! defines. The driver ends a line at `\n` only, as diffs do.

use std::{borrow::Cow, ops::Range};

use claudecluster_core::text::{self, LineIndex, PositionEncoding};
use claudecluster_protocol::editor::LineRange;
use lsp_types::{Position, Range as LspRange};
use ropey::Rope;

/// The lines of a text as its client counts them, without their line endings.
#[derive(Clone, Copy)]
pub(crate) struct ClientLines<'a>(pub(crate) &'a Rope);

impl<'a> ClientLines<'a> {
    /// Returns the number of lines.
    pub(crate) fn len(self) -> usize {
        self.0.len_lines()
    }

    /// Returns a line; an empty text for a line past the end.
    pub(crate) fn get(self, line: usize) -> Cow<'a, str> {
        match self.0.get_line(line).map(Cow::from) {
            None => Cow::Borrowed(""),
            Some(Cow::Borrowed(text)) => Cow::Borrowed(text.trim_end_matches(['\r', '\n'])),
            Some(Cow::Owned(mut text)) => {
                text.truncate(text.trim_end_matches(['\r', '\n']).len());
                Cow::Owned(text)
            }
        }
    }

    /// Returns the range of the lines from `first` up to `end`, cut at the end of the text.
    pub(crate) fn range(self, first: usize, end: usize) -> LineRange {
        let narrow = |line: usize| u32::try_from(line.min(self.len())).unwrap_or(u32::MAX);
        LineRange {
            start_line: narrow(first),
            end_line: narrow(end),
        }
    }
}

/// Converts pairs of a first line and an end line from the driver's count to the client's, in place.
pub(crate) fn to_client_lines<'a>(
    text: &Rope,
    lines: impl ExactSizeIterator<Item = (&'a mut u32, &'a mut u32)>,
) {
    if lines.len() == 0 || counts_agree(text) {
        return;
    }
    let text = &String::from(text);
    let index = LineIndex::new(text);
    let starts: Vec<usize> = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    let line = |driver_line: u32| match starts.get(driver_line as usize) {
        Some(&start) => index.line_of(start),
        // One past the last line of a text that ends in `\r`: clients count a line there.
        None if text.ends_with('\r') => index.line_count() - 1,
        None => index.line_count(),
    };
    for (start, end) in lines {
        *start = line(*start);
        *end = line(*end);
    }
}

/// Converts lines from the client's count to the driver's.
///
/// A driver's line is included as a whole if any part of it is in the range.
pub(crate) fn to_driver_lines(text: &Rope, range: LineRange) -> LineRange {
    if counts_agree(text) {
        return range;
    }
    let feeds_before = |line: u32| {
        let line = text.len_lines().min(line as usize);
        let before = text.slice(..text.line_to_char(line));
        let count = count_feeds(before.chunks());
        let within = before.chars_at(before.len_chars()).prev() != Some('\n');
        (u32::try_from(count).unwrap_or(u32::MAX), within)
    };
    let (start_line, _) = feeds_before(range.start_line);
    let (last, within) = feeds_before(range.end_line);
    LineRange {
        start_line,
        end_line: last + u32::from(within),
    }
}

/// Whether both counts of lines are the same, which holds for almost every text.
fn counts_agree(text: &Rope) -> bool {
    count_feeds(text.chunks()) + 1 == text.len_lines()
}

/// Counts the line feeds of a text.
fn count_feeds<'a>(chunks: impl Iterator<Item = &'a str>) -> usize {
    let feeds = |chunk: &str| chunk.bytes().filter(|&byte| byte == b'\n').count();
    chunks.map(feeds).sum()
}

/// Returns the lines that a client's range covers.
///
/// A range that ends before the first character of a line does not cover that line.
pub(crate) fn covered_lines(range: LspRange) -> LineRange {
    let past = range.end.line.saturating_add(u32::from(
        range.end.character > 0 || range.end == range.start,
    ));
    LineRange {
        start_line: range.start.line,
        end_line: past.max(range.start.line.saturating_add(1)),
    }
}

/// Whether two ranges have a line in common.
pub(crate) fn lines_overlap(one: LineRange, other: LineRange) -> bool {
    one.start_line < other.end_line && other.start_line < one.end_line
}

/// Returns the range from the start of the first line to the end of the last.
///
/// `lines` is a first line and an end line in the client's count; empty ranges become one line.
pub(crate) fn full_line_range(
    text: &Rope,
    lines: (u32, u32),
    encoding: PositionEncoding,
) -> LspRange {
    let (first, last) = existing_lines(text, lines);
    let end = text::TextPosition {
        line: last,
        character: u32::MAX,
    };
    let end = text::offset(text, end, encoding);
    LspRange {
        start: Position {
            line: first,
            character: 0,
        },
        end: to_lsp_position(text::position(text, end, encoding)),
    }
}

/// Whether lines have a line in common with a client's range.
///
/// An empty `lines`, such as an insertion, counts as the line it goes before.
pub(crate) fn lines_touch(text: &Rope, lines: (u32, u32), range: LspRange) -> bool {
    let (first, last) = existing_lines(text, lines);
    first <= range.end.line && range.start.line <= last
}

/// Converts a first line and an end line to a first and a last line that exist in the text.
fn existing_lines(text: &Rope, (start, end): (u32, u32)) -> (u32, u32) {
    let bottom = u32::try_from(text.len_lines().saturating_sub(1)).unwrap_or(u32::MAX);
    let first = start.min(bottom);
    let last = end.saturating_sub(1).clamp(first, bottom.max(first));
    (first, last)
}

/// Converts a position for a client.
pub(crate) fn to_lsp_position(position: text::TextPosition) -> Position {
    Position {
        line: position.line,
        character: position.character,
    }
}

/// Converts a range of bytes for a client.
pub(crate) fn to_lsp_range(
    text: &Rope,
    bytes: &Range<usize>,
    encoding: PositionEncoding,
) -> LspRange {
    LspRange {
        start: to_lsp_position(text::position(text, bytes.start, encoding)),
        end: to_lsp_position(text::position(text, bytes.end, encoding)),
    }
}

/// Converts a client's position to an offset in bytes.
pub(crate) fn to_byte_offset(text: &Rope, at: Position, encoding: PositionEncoding) -> usize {
    let at = text::TextPosition {
        line: at.line,
        character: at.character,
    };
    text::offset(text, at, encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_lines_become_driver_lines() {
        let check = |text: &str, (start_line, end_line), expected| {
            let given = LineRange {
                start_line,
                end_line,
            };
            let found = to_driver_lines(&Rope::from_str(text), given);
            assert_eq!((found.start_line, found.end_line), expected, "{text:?}");
        };
        for text in ["a\nb\nc\n", "a\r\nb\r\nc\r\n"] {
            check(text, (0, 1), (0, 1));
            check(text, (1, 3), (1, 3));
        }
        check("a\nb", (1, 2), (1, 2));
        let mixed = "a\rb\nc\rd";
        check(mixed, (0, 1), (0, 1));
        check(mixed, (1, 2), (0, 1));
        check(mixed, (2, 3), (1, 2));
        check(mixed, (1, 4), (0, 2));
        check(mixed, (1, 99), (0, 2));
    }
}
