use std::ops::Range;

use super::{LineIndex, PositionEncoding, TextPosition};
use crate::diff::{DiffPurpose, IndexedText, diff_indexed};

/// Replaces a range by a text. Positions are those of the text before any edit of the same list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextEdit {
    /// The range to replace.
    pub range: Range<TextPosition>,
    /// The replacement text.
    pub new_text: String,
}

/// What the edits at the end of a text look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EditShape {
    /// Lines that are added or removed come with their own line ending.
    #[default]
    Plain,
    /// Lines that are added or removed at the end come with the line ending before them, if both texts end in one: so
    /// the edit begins in a line. Neovim has no line behind the last line ending. It adds new lines below the last
    /// one, and an empty line for their own line ending.
    InLines,
}

/// Returns small edits that turn `old` into `new`: one for each group of changed lines, without the
/// common start and end of the lines. In order, not overlapping.
///
/// ```
/// use claudecluster_core::text::{EditShape, PositionEncoding, TextEdit, TextPosition, text_edits};
/// let at = |line, character| TextPosition { line, character };
/// assert_eq!(
///     text_edits("let x = 1;\nrest\n", "let x = 12;\nrest\n", PositionEncoding::Utf16, EditShape::Plain),
///     [TextEdit { range: at(0, 9)..at(0, 9), new_text: "2".to_owned() }],
/// );
/// ```
pub fn text_edits(
    old: &str,
    new: &str,
    encoding: PositionEncoding,
    shape: EditShape,
) -> Vec<TextEdit> {
    let (old_lines, new_lines) = (IndexedText::new(old), IndexedText::new(new));
    let index = LineIndex::new(old);
    diff_indexed(&old_lines, &new_lines, DiffPurpose::Merging)
        .into_iter()
        .map(|change| {
            let old_range = old_lines.byte_range(&change.old);
            let replacement = new_lines.slice_lines(&change.new);
            let kept = common_ends(old, &old_range, replacement);
            let range = old_range.start + kept.0..old_range.end - kept.1;
            let end = replacement.len() - kept.1;
            let added = replacement.get(kept.0..end).unwrap_or_default();
            let shifted = match shape {
                EditShape::Plain => None,
                EditShape::InLines => with_ending_before(old, new, &range, added),
            };
            let (range, new_text) = shifted.unwrap_or_else(|| (range, added.to_owned()));
            TextEdit {
                range: index.position_range(&range, encoding),
                new_text,
            }
        })
        .collect()
}

/// Returns an edit at the end of `old` as the same edit one line ending earlier; `None` if it is none.
fn with_ending_before(
    old: &str,
    new: &str,
    range: &Range<usize>,
    added: &str,
) -> Option<(Range<usize>, String)> {
    let ending = if old.ends_with("\r\n") { "\r\n" } else { "\n" };
    let before = old.get(..range.start)?;
    let is_whole = before.ends_with(ending) && (ending == "\r\n" || !before.ends_with("\r\n"));
    let at_end = range.end == old.len() && old.ends_with(ending) && is_whole;
    let kept = match added.strip_suffix(ending) {
        _ if !at_end => return None,
        Some(kept) if !kept.ends_with('\r') => format!("{ending}{kept}"),
        None if added.is_empty() && new.ends_with(ending) => String::new(),
        _ => return None,
    };
    let shifted = range.start - ending.len()..range.end - ending.len();
    Some((shifted, kept))
}

/// Counts the equal bytes at the start and at the end of `old[range]` and `new`. The counts are cut
/// back to places a position can name: between characters, and not inside a `\r\n` of the old text.
fn common_ends(old: &str, range: &Range<usize>, new: &str) -> (usize, usize) {
    let bytes = old.as_bytes();
    let replaced = &bytes[range.clone()];
    let nameable = |at: usize| {
        old.is_char_boundary(at)
            && !(at > 0 && bytes[at - 1] == b'\r' && bytes.get(at) == Some(&b'\n'))
    };
    let mut prefix = replaced
        .iter()
        .zip(new.as_bytes())
        .take_while(|(a, b)| a == b)
        .count();
    while prefix > 0 && !(nameable(range.start + prefix) && new.is_char_boundary(prefix)) {
        prefix -= 1;
    }
    let mut suffix = replaced[prefix..]
        .iter()
        .rev()
        .zip(new.as_bytes()[prefix..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    while suffix > 0 && !(nameable(range.end - suffix) && new.is_char_boundary(new.len() - suffix))
    {
        suffix -= 1;
    }
    (prefix, suffix)
}

/// Returns the text after all `edits`, as a client applies them. Edits that overlap an earlier one
/// of the list are left out.
pub fn apply_edits(text: &str, edits: &[TextEdit], encoding: PositionEncoding) -> String {
    let index = LineIndex::new(text);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        let start = index.offset(edit.range.start, encoding);
        let end = index.offset(edit.range.end, encoding);
        if start < done || end < start {
            continue;
        }
        out.push_str(text.get(done..start).unwrap_or_default());
        out.push_str(&edit.new_text);
        done = end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}
