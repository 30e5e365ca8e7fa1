//! Positions and edits against a reference that is as simple as the protocol's own words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the reference fails like a test"
)]

use claudecluster_core::{
    diff::{DiffPurpose, IndexedText, diff_indexed, diff_lines},
    text::{
        ContentChange, EditShape, LineIndex, PositionEncoding, TextEdit, TextPosition,
        apply_change, apply_edits, offset, position, text_edits,
    },
};
use proptest::prelude::*;
use ropey::Rope;

use crate::support::config;

const ENCODINGS: [PositionEncoding; 3] = [
    PositionEncoding::Utf8,
    PositionEncoding::Utf16,
    PositionEncoding::Utf32,
];

/// Everything that has ever been got wrong: all line endings, characters of one to four bytes,
/// combining marks, joined emoji, and the line separators that are none.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\n",
        "\n",
        "\r\n",
        "\r\n",
        "\r",
        "a",
        "bc",
        "\t",
        " ",
        "\u{e9}",
        "e\u{301}",
        "\u{20ac}",
        "\u{1f600}",
        "\u{1f468}\u{200d}\u{1f469}",
        "\u{2028}",
        "\u{2029}",
        "\u{85}",
        "\u{b}",
        "\u{c}",
        "\u{feff}",
        "x = 1;",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

/// The lines of a text without their terminators, each with where it starts.
fn reference_lines(text: &str) -> Vec<(usize, &str)> {
    let (mut lines, mut start, mut at) = (Vec::new(), 0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let ending = match (bytes[at], bytes.get(at + 1)) {
            (b'\r', Some(b'\n')) => 2,
            (b'\r' | b'\n', _) => 1,
            _ => 0,
        };
        if ending > 0 {
            lines.push((start, &text[start..at]));
            start = at + ending;
        }
        at += ending.max(1);
    }
    lines.push((start, &text[start..]));
    lines
}

fn reference_offset(text: &str, at: TextPosition, encoding: PositionEncoding) -> usize {
    let lines = reference_lines(text);
    let Some((start, line)) = lines.get(at.line as usize) else {
        return text.len();
    };
    let mut offset = *start;
    let mut left = at.character as usize;
    for c in line.chars() {
        let units = match encoding {
            PositionEncoding::Utf8 => c.len_utf8(),
            PositionEncoding::Utf16 => c.len_utf16(),
            PositionEncoding::Utf32 => 1,
        };
        if left < units {
            break;
        }
        left -= units;
        offset += c.len_utf8();
    }
    offset
}

fn any_position() -> impl Strategy<Value = TextPosition> {
    let near = (0u32..14, 0u32..14);
    let far = (any::<u32>(), any::<u32>());
    prop_oneof![9 => near, 1 => far].prop_map(|(line, character)| TextPosition { line, character })
}

/// A client that holds its text as the protocol counts it and refuses what a strict one may refuse:
/// a line that is not there, a column past the end of a line, a column inside a character, edits that
/// overlap or are out of order. It shares no code with what it checks.
struct StrictClient {
    units: Vec<u32>,
    encoding: PositionEncoding,
}

impl StrictClient {
    fn new(text: &str, encoding: PositionEncoding) -> Self {
        let units = match encoding {
            PositionEncoding::Utf8 => text.bytes().map(u32::from).collect(),
            PositionEncoding::Utf16 => text.encode_utf16().map(u32::from).collect(),
            PositionEncoding::Utf32 => text.chars().map(u32::from).collect(),
        };
        Self { units, encoding }
    }

    fn text(&self) -> String {
        let units = self.units.iter();
        match self.encoding {
            PositionEncoding::Utf8 => {
                String::from_utf8(units.map(|&u| u.try_into().unwrap()).collect()).unwrap()
            }
            PositionEncoding::Utf16 => {
                let units: Vec<u16> = units.map(|&u| u.try_into().unwrap()).collect();
                String::from_utf16(&units).unwrap()
            }
            PositionEncoding::Utf32 => units.map(|&u| char::from_u32(u).unwrap()).collect(),
        }
    }

    /// The offset in units of a position that exists.
    fn offset(&self, at: TextPosition) -> usize {
        let (newline, carriage) = (u32::from(b'\n'), u32::from(b'\r'));
        let (mut start, mut line) = (0, 0);
        while line < at.line {
            let rest = &self.units[start..];
            let end = rest.iter().position(|&u| u == newline || u == carriage);
            let end = start + end.expect("the line is there");
            let both = self.units[end] == carriage && self.units.get(end + 1) == Some(&newline);
            start = end + if both { 2 } else { 1 };
            line += 1;
        }
        let offset = start + at.character as usize;
        assert!(offset <= self.units.len(), "the column is there: {at:?}");
        let before = &self.units[start..offset];
        assert!(
            !before.contains(&newline) && !before.contains(&carriage),
            "past the end: {at:?}"
        );
        let inside = match (self.encoding, self.units.get(offset)) {
            (PositionEncoding::Utf8, Some(unit)) => (0x80..0xC0).contains(unit),
            (PositionEncoding::Utf16, Some(unit)) => (0xDC00..0xE000).contains(unit),
            _ => false,
        };
        assert!(!inside, "inside a character: {at:?}");
        offset
    }

    fn apply(&mut self, edits: &[TextEdit]) {
        let mut limit = self.units.len();
        for edit in edits.iter().rev() {
            let (start, end) = (self.offset(edit.range.start), self.offset(edit.range.end));
            assert!(
                start <= end && end <= limit,
                "in order and apart: {edits:?}"
            );
            limit = start;
            let new = Self::new(&edit.new_text, self.encoding).units;
            self.units.splice(start..end, new);
        }
    }
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn any_position_is_clamped_to_one_that_exists(text in text(), at in any_position()) {
        let (rope, index) = (Rope::from_str(&text), LineIndex::new(&text));
        prop_assert_eq!(index.line_count() as usize, reference_lines(&text).len());
        prop_assert_eq!(rope.len_lines(), reference_lines(&text).len());
        for encoding in ENCODINGS {
            let expected = reference_offset(&text, at, encoding);
            prop_assert_eq!(index.offset(at, encoding), expected);
            prop_assert_eq!(offset(&rope, at, encoding), expected);
        }
    }

    #[test]
    fn offsets_come_back(text in text()) {
        let (rope, index) = (Rope::from_str(&text), LineIndex::new(&text));
        for at in 0..=text.len() + 1 {
            for encoding in ENCODINGS {
                let found = index.position(at, encoding);
                prop_assert_eq!(position(&rope, at, encoding), found, "offset {}", at);
                let inside_crlf = at > 0 && text.as_bytes().get(at - 1..=at) == Some(b"\r\n");
                if text.is_char_boundary(at) && !inside_crlf {
                    prop_assert_eq!(reference_offset(&text, found, encoding), at);
                } else {
                    prop_assert!(reference_offset(&text, found, encoding) < at.min(text.len() + 1));
                }
            }
        }
    }

    #[test]
    fn changes_apply_as_the_protocol_says(
        text in text(),
        changes in prop::collection::vec(
            (prop::option::weighted(0.9, (any_position(), any_position())), text()),
            1..6,
        ),
    ) {
        for encoding in ENCODINGS {
            let (mut rope, mut expected) = (Rope::from_str(&text), text.clone());
            for (range, text) in &changes {
                let change = ContentChange {
                    range: range.map(|(start, end)| start..end),
                    text: text.clone(),
                };
                apply_change(&mut rope, &change, encoding);
                match range {
                    None => expected.clone_from(text),
                    Some((start, end)) => {
                        let a = reference_offset(&expected, *start, encoding);
                        let b = reference_offset(&expected, *end, encoding);
                        expected.replace_range(a.min(b)..a.max(b), text);
                    }
                }
                prop_assert_eq!(rope.to_string(), expected.clone());
            }
        }
    }

    #[test]
    fn edits_make_the_new_text(old in text(), new in text(), mix in any::<u64>()) {
        // Unrelated texts, and texts that share most of their lines.
        let related: String = old
            .split_inclusive('\n')
            .enumerate()
            .map(|(at, line)| if mix >> (at % 64) & 3 == 0 { new.as_str() } else { line })
            .collect();
        for new in [&new, &related] {
            for (encoding, shape) in ENCODINGS.into_iter().flat_map(both_shapes) {
                let edits = text_edits(&old, new, encoding, shape);
                let mut expected = old.clone();
                let mut limit = usize::MAX;
                for edit in edits.iter().rev() {
                    let start = reference_offset(&old, edit.range.start, encoding);
                    let end = reference_offset(&old, edit.range.end, encoding);
                    prop_assert!(start <= end && end <= limit, "in order and apart: {:?}", edits);
                    prop_assert!(start < end || !edit.new_text.is_empty(), "does something");
                    limit = start;
                    expected.replace_range(start..end, &edit.new_text);
                }
                prop_assert_eq!(&expected, new);
                let mut client = StrictClient::new(&old, encoding);
                client.apply(&edits);
                prop_assert_eq!(&client.text(), new);
                prop_assert_eq!(&apply_edits(&old, &edits, encoding), new);
            }
        }
    }

    #[test]
    fn a_diff_leads_from_one_text_to_the_other(old in text(), new in text()) {
        let (a, b) = (IndexedText::new(old.as_str()), IndexedText::new(new.as_str()));
        prop_assert_eq!(a.len() as usize, old.split_inclusive('\n').count());
        for purpose in [DiffPurpose::Reading, DiffPurpose::Merging] {
            let changes = diff_indexed(&a, &b, purpose);
            let (mut out, mut done) = (String::new(), 0);
            for change in &changes {
                prop_assert!(change.old.start > done || done == 0, "unchanged lines between");
                prop_assert!(!change.old.is_empty() || !change.new.is_empty());
                out.push_str(a.slice_lines(&(done..change.old.start)));
                out.push_str(b.slice_lines(&change.new));
                done = change.old.end;
            }
            out.push_str(a.slice_lines(&(done..a.len())));
            prop_assert_eq!(&out, &new);
        }
        prop_assert_eq!(diff_lines(&old, &old), []);
    }
}

#[test]
fn edits_are_small() {
    let check = |old: &str, new: &str, expected: &[(u32, u32, u32, u32, &str)]| {
        let found = text_edits(old, new, PositionEncoding::Utf16, EditShape::Plain);
        let found: Vec<_> = found
            .iter()
            .map(|e| {
                let (a, b) = (e.range.start, e.range.end);
                (
                    a.line,
                    a.character,
                    b.line,
                    b.character,
                    e.new_text.as_str(),
                )
            })
            .collect();
        assert_eq!(found, expected, "{old:?} -> {new:?}");
    };
    check("a\n", "a\n", &[]);
    check("", "a", &[(0, 0, 0, 0, "a")]);
    check("one two three\n", "one 2 three\n", &[(0, 4, 0, 7, "2")]);
    check("a\r\nb\r\n", "a\r\nx\r\nb\r\n", &[(1, 0, 1, 0, "x\r\n")]);
    // A position cannot stand inside a line ending.
    check("a\r\n", "a\n", &[(0, 1, 1, 0, "\n")]);
    check("a\n", "a\r\n", &[(0, 1, 0, 1, "\r")]);
    check("a\nb", "a\nb\n", &[(1, 1, 1, 1, "\n")]);
    // Nor inside a character.
    check("\u{1f600}\n", "\u{1f601}\n", &[(0, 0, 0, 2, "\u{1f601}")]);
    check("e\u{301}\n", "e\u{300}\n", &[(0, 1, 0, 2, "\u{300}")]);
    check(
        "a\nb\nc\nd\n",
        "A\nb\nc\nD\n",
        &[(0, 0, 0, 1, "A"), (3, 0, 3, 1, "D")],
    );
}

fn both_shapes(encoding: PositionEncoding) -> [(PositionEncoding, EditShape); 2] {
    [EditShape::Plain, EditShape::InLines].map(|shape| (encoding, shape))
}

#[test]
fn edits_at_the_end_begin_in_a_line() {
    let check = |old: &str, new: &str, expected: (u32, u32, u32, u32, &str)| {
        let found = text_edits(old, new, PositionEncoding::Utf16, EditShape::InLines);
        let [edit] = &found[..] else {
            panic!("{old:?} -> {new:?}: {found:?}");
        };
        let (start, end) = (edit.range.start, edit.range.end);
        let (from, to) = ((start.line, start.character), (end.line, end.character));
        let found = (from.0, from.1, to.0, to.1, edit.new_text.as_str());
        assert_eq!(found, expected, "{old:?} -> {new:?}");
    };
    check("a\n", "a\nb\n", (0, 1, 0, 1, "\nb"));
    check("a\n", "a\n\n", (0, 1, 0, 1, "\n"));
    check("a\r\n", "a\r\nb\r\n", (0, 1, 0, 1, "\r\nb"));
    check("a\nb\n", "a\n", (0, 1, 1, 1, ""));
    // There is no line before, or one of the texts does not end in a line ending, or not in the same.
    check("a\nb\n", "", (0, 0, 2, 0, ""));
    check("a\n", "a\nb", (1, 0, 1, 0, "b"));
    check("a\nb", "a\nb\nc\n", (1, 1, 1, 1, "\nc\n"));
    check("a\n", "a\nb\r\n", (1, 0, 1, 0, "b\r\n"));
}
