//! Positions in text as editors count them, and edits between texts.
//!
//! The Language Server Protocol counts lines that end at `\n`, `\r\n` or `\r` (and at nothing
//! else: U+2028, form feed and the like are ordinary characters), and columns in a unit that
//! client and server agree on. Everything here takes any position and clamps it to one that
//! exists: a line that is not there is the end of the text, a column past the end of a line is the
//! end of the line (before its terminator), a column inside a character is the start of that
//! character.
//!
//! ```
//! use claudecluster_core::text::{LineIndex, PositionEncoding::Utf16, TextPosition};
//! let index = LineIndex::new("a\u{1f600}b\r\nc");
//! assert_eq!(index.position(5, Utf16), TextPosition { line: 0, character: 3 });
//! assert_eq!(index.offset(TextPosition { line: 0, character: 2 }, Utf16), 1);
//! assert_eq!(index.offset(TextPosition { line: 0, character: 99 }, Utf16), 6);
//! ```

mod edits;
mod endings;

use std::ops::Range;

pub use edits::{EditShape, TextEdit, apply_edits, text_edits};
pub use endings::LineEnding;
use ropey::{Rope, RopeSlice};

/// The unit of columns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum PositionEncoding {
    /// Bytes of UTF-8.
    Utf8,
    /// 16-bit units of UTF-16; what every client speaks.
    #[default]
    Utf16,
    /// Unicode scalar values.
    Utf32,
}

impl PositionEncoding {
    /// Returns the length of a character in this unit.
    fn char_len(self, c: char) -> u32 {
        match self {
            Self::Utf8 => c.len_utf8() as u32,
            Self::Utf16 => c.len_utf16() as u32,
            Self::Utf32 => 1,
        }
    }
}

/// A place between two characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TextPosition {
    /// The line, counting from 0.
    pub line: u32,
    /// The column in units of the [`PositionEncoding`], counting from 0.
    pub character: u32,
}

/// One `contentChanges` item of `textDocument/didChange`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContentChange {
    /// The range to replace; everything where there is none.
    pub range: Option<Range<TextPosition>>,
    /// The replacement text.
    pub text: String,
}

/// Returns the byte offset of a position in a rope.
pub fn offset(rope: &Rope, position: TextPosition, encoding: PositionEncoding) -> usize {
    let line = position.line as usize;
    if line >= rope.len_lines() {
        return rope.len_bytes();
    }
    let content = without_terminator(rope.line(line));
    let column = position.character as usize;
    let char = match encoding {
        PositionEncoding::Utf8 => content.byte_to_char(column.min(content.len_bytes())),
        PositionEncoding::Utf16 => content.utf16_cu_to_char(column.min(content.len_utf16_cu())),
        PositionEncoding::Utf32 => column.min(content.len_chars()),
    };
    rope.line_to_byte(line) + content.char_to_byte(char)
}

/// Returns the position of a byte offset in a rope.
pub fn position(rope: &Rope, offset: usize, encoding: PositionEncoding) -> TextPosition {
    let char = rope.byte_to_char(offset.min(rope.len_bytes()));
    let line = rope.char_to_line(char);
    let content = without_terminator(rope.line(line));
    let column = (char - rope.line_to_char(line)).min(content.len_chars());
    let character = match encoding {
        PositionEncoding::Utf8 => content.char_to_byte(column),
        PositionEncoding::Utf16 => content.char_to_utf16_cu(column),
        PositionEncoding::Utf32 => column,
    };
    TextPosition {
        line: to_wire_number(line),
        character: to_wire_number(character),
    }
}

/// Applies one content change, as the protocol defines it. A range that ends before it starts is
/// taken the other way round.
pub fn apply_change(rope: &mut Rope, change: &ContentChange, encoding: PositionEncoding) {
    let Some(range) = &change.range else {
        *rope = Rope::from_str(&change.text);
        return;
    };
    let a = rope.byte_to_char(offset(rope, range.start, encoding));
    let b = rope.byte_to_char(offset(rope, range.end, encoding));
    rope.remove(a.min(b)..a.max(b));
    rope.insert(a.min(b), &change.text);
}

/// Returns a line's text without its terminator.
fn without_terminator(line: RopeSlice<'_>) -> RopeSlice<'_> {
    let mut end = line.len_chars();
    if end > 0 && line.char(end - 1) == '\n' {
        end -= 1;
        if end > 0 && line.char(end - 1) == '\r' {
            end -= 1;
        }
    } else if end > 0 && line.char(end - 1) == '\r' {
        end -= 1;
    }
    line.slice(..end)
}

/// Positions in a `&str`.
#[derive(Clone, Debug)]
pub struct LineIndex<'a> {
    text: &'a str,
    /// Byte offsets at which lines start.
    starts: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    /// Indexes a text.
    pub fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        starts.extend(
            memchr::memchr2_iter(b'\n', b'\r', bytes)
                .filter(|&at| bytes[at] == b'\n' || bytes.get(at + 1) != Some(&b'\n'))
                .map(|at| at + 1),
        );
        Self { text, starts }
    }

    /// Returns the number of lines; an empty text has one.
    pub fn line_count(&self) -> u32 {
        to_wire_number(self.starts.len())
    }

    /// Returns the line an offset is in.
    pub fn line_of(&self, offset: usize) -> u32 {
        to_wire_number(self.starts.partition_point(|&start| start <= offset) - 1)
    }

    /// Returns the byte offset of a position.
    pub fn offset(&self, position: TextPosition, encoding: PositionEncoding) -> usize {
        let line = position.line as usize;
        if line >= self.starts.len() {
            return self.text.len();
        }
        let content = self.line_content(line);
        let mut column = 0u32;
        for (at, c) in content.char_indices() {
            column = column.saturating_add(encoding.char_len(c));
            if column > position.character {
                return self.starts[line] + at;
            }
        }
        self.starts[line] + content.len()
    }

    /// Returns the position of a byte offset.
    pub fn position(&self, offset: usize, encoding: PositionEncoding) -> TextPosition {
        let line = self.line_of(offset);
        let content = self.line_content(line as usize);
        let mut column = offset - self.starts[line as usize];
        column = column.min(content.len());
        while !content.is_char_boundary(column) {
            column -= 1;
        }
        let before = content.get(..column).unwrap_or_default();
        let character = match encoding {
            PositionEncoding::Utf8 => to_wire_number(column),
            _ => before.chars().map(|c| encoding.char_len(c)).sum(),
        };
        TextPosition { line, character }
    }

    /// Returns the range of positions of a range of byte offsets.
    pub fn position_range(
        &self,
        offsets: &Range<usize>,
        encoding: PositionEncoding,
    ) -> Range<TextPosition> {
        self.position(offsets.start, encoding)..self.position(offsets.end, encoding)
    }

    /// Returns a line without its terminator.
    fn line_content(&self, line: usize) -> &'a str {
        let end = self.starts.get(line + 1).copied();
        let text = self
            .text
            .get(self.starts[line]..end.unwrap_or(self.text.len()))
            .unwrap_or_default();
        if end.is_none() {
            return text;
        }
        let text = text.strip_suffix('\n').unwrap_or(text);
        text.strip_suffix('\r').unwrap_or(text)
    }
}

/// Converts a line or column number to the 32 bits of the wire; no text that an editor holds has
/// more.
fn to_wire_number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
