//! Anchors, which find lines again in a text that has changed.
//!
//! A code action carries an anchor from the moment the action is offered to the moment its command
//! arrives.

use std::hash::{DefaultHasher, Hash, Hasher};

use claudecluster_protocol::editor::{LineRange, RangeAnchor};

use super::{DocumentSnapshot, lines::ClientLines};

/// Creates the anchor of some lines.
pub(crate) fn create_anchor(document: &DocumentSnapshot, range: LineRange) -> RangeAnchor {
    let lines = ClientLines(&document.text);
    let hashes = (range.start_line..range.end_line).map(|line| hash_line(lines, line as usize));
    RangeAnchor {
        version: document.version,
        hash: combine_hashes(&hashes.collect::<Vec<_>>()),
    }
}

/// Returns the current range of the lines that were at `range` when `anchor` was created.
///
/// Returns `None` if:
/// - the lines have changed;
/// - the text has changed and contains equal lines more than once.
pub(crate) fn find_anchored(
    document: &DocumentSnapshot,
    range: LineRange,
    anchor: &RangeAnchor,
) -> Option<LineRange> {
    let lines = ClientLines(&document.text);
    let count = range.end_line.checked_sub(range.start_line)?;
    let fits = (range.end_line as usize) <= lines.len();
    // The version alone is not enough: some clients use numbers twice.
    if document.version == anchor.version
        && fits
        && create_anchor(document, range).hash == anchor.hash
    {
        return Some(range);
    }
    let hashes: Vec<_> = (0..lines.len())
        .map(|line| hash_line(lines, line))
        .collect();
    let mut places = hashes
        .windows(count.max(1) as usize)
        .enumerate()
        .filter(|(_, window)| combine_hashes(window) == anchor.hash)
        .map(|(first, _)| first);
    let (first, other) = (places.next()?, places.next());
    other
        .is_none()
        .then(|| lines.range(first, first + count as usize))
}

/// Hashes one line.
fn hash_line(lines: ClientLines<'_>, line: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    lines.get(line).hash(&mut hasher);
    hasher.finish()
}

/// Combines the hashes of lines.
///
/// The result is stable within one build of the program, which outlives an offered action. A daemon of
/// another build finds no lines by it, so they count as changed.
fn combine_hashes(lines: &[u64]) -> String {
    let mut hasher = DefaultHasher::new();
    lines.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use lsp_types::Uri;
    use ropey::Rope;

    use super::*;

    fn document(version: i32, text: &str) -> DocumentSnapshot {
        DocumentSnapshot {
            uri: Uri::parse("file:///w/a").unwrap(),
            path: None,
            version,
            text: Rope::from_str(text),
            edited: None,
        }
    }

    fn lines(start_line: u32, end_line: u32) -> LineRange {
        LineRange {
            start_line,
            end_line,
        }
    }

    #[test]
    fn lines_are_found_only_if_they_are_unambiguous() {
        let before = document(1, "a\nb\nc\nx\nx\n");
        let check = |range, version, text: &str, expected: Option<(u32, u32)>| {
            let anchor = create_anchor(&before, range);
            let found = find_anchored(&document(version, text), range, &anchor);
            let expected = expected.map(|(first, end)| lines(first, end));
            assert_eq!(found, expected, "{text:?} {range:?}");
        };
        let text = before.text.to_string();
        check(lines(1, 3), 1, &text, Some((1, 3)));
        // The text is unchanged, so equal lines are not ambiguous.
        check(lines(4, 5), 1, &text, Some((4, 5)));
        check(lines(4, 5), 2, &text, None);
        check(lines(1, 3), 2, "new\na\nb\nc\nx\nx\n", Some((2, 4)));
        check(lines(1, 3), 2, "b\nc", Some((0, 2)));
        check(lines(1, 3), 2, "a\nb!\nc\nx\nx\n", None);
        check(lines(1, 3), 2, "a\nb\nnew\nc\nx\n", None);
        check(lines(1, 2), 2, "b\r\nc\r\n", Some((0, 1)));
        check(lines(1, 3), 2, "", None);
        // The same version number with another text.
        check(lines(1, 3), 1, "new\na\nb\nc\n", Some((2, 4)));
        check(lines(1, 3), 1, "new\na\nb\n", None);
        // A reversed range from a faulty client.
        check(lines(3, 1), 1, &text, None);
    }
}
