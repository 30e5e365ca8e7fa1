//! The place of lines in a text that may change before they are used: from the moment an action is offered
//! to the moment its command arrives.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
};

use claudecluster_protocol::editor::{RangeAnchor, LineRange};
use ropey::Rope;

use crate::documents::Snapshot;

/// The lines of a text as its client counts them, without what ends them.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a>(pub(crate) &'a Rope);

impl<'a> Lines<'a> {
    pub(crate) fn len(self) -> usize {
        self.0.len_lines()
    }

    /// An empty text for a line that is not there.
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

    /// Lines `first` up to before `end`, as far as the text goes.
    pub(crate) fn range(self, first: usize, end: usize) -> LineRange {
        let narrow = |line: usize| u32::try_from(line.min(self.len())).unwrap_or(u32::MAX);
        LineRange {
            start_line: narrow(first),
            end_line: narrow(end),
        }
    }
}

/// What tells later where these lines have gone.
pub(crate) fn of(document: &Snapshot, range: LineRange) -> RangeAnchor {
    let lines = Lines(&document.text);
    let hashes = (range.start_line..range.end_line).map(|line| line_hash(lines, line as usize));
    RangeAnchor {
        version: document.version,
        hash: hash_of(&hashes.collect::<Vec<_>>()),
    }
}

/// Where the lines are that were at `range` when `anchor` was made. `None` where they have changed, or where
/// the text has changed and there are several like them: which of them was meant is not known.
pub(crate) fn find(document: &Snapshot, range: LineRange, anchor: &RangeAnchor) -> Option<LineRange> {
    let lines = Lines(&document.text);
    let count = range.end_line.checked_sub(range.start_line)?;
    let fits = (range.end_line as usize) <= lines.len();
    // The hash as well: some clients use numbers twice.
    if document.version == anchor.version && fits && of(document, range).hash == anchor.hash {
        return Some(range);
    }
    let hashes: Vec<_> = (0..lines.len())
        .map(|line| line_hash(lines, line))
        .collect();
    let mut places = hashes
        .windows(count.max(1) as usize)
        .enumerate()
        .filter(|(_, window)| hash_of(window) == anchor.hash)
        .map(|(first, _)| first);
    let (first, other) = (places.next()?, places.next());
    other
        .is_none()
        .then(|| lines.range(first, first + count as usize))
}

fn line_hash(lines: Lines<'_>, line: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    lines.get(line).hash(&mut hasher);
    hasher.finish()
}

/// Equal in every run of one program, which is as long as an action is on offer; where a daemon of another
/// build takes over meanwhile, what it cannot find counts as changed.
fn hash_of(lines: &[u64]) -> String {
    let mut hasher = DefaultHasher::new();
    lines.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use lsp_types::Uri;

    use super::*;

    fn document(version: i32, text: &str) -> Snapshot {
        Snapshot {
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
    fn lines_are_found_again_or_not_at_all() {
        let before = document(1, "a\nb\nc\nx\nx\n");
        let check = |range, version, text: &str, expected: Option<(u32, u32)>| {
            let anchor = of(&before, range);
            let found = find(&document(version, text), range, &anchor);
            let expected = expected.map(|(first, end)| lines(first, end));
            assert_eq!(found, expected, "{text:?} {range:?}");
        };
        let text = before.text.to_string();
        check(lines(1, 3), 1, &text, Some((1, 3)));
        // Nothing has changed, so there is no doubt which of them it is.
        check(lines(4, 5), 1, &text, Some((4, 5)));
        check(lines(4, 5), 2, &text, None);
        check(lines(1, 3), 2, "new\na\nb\nc\nx\nx\n", Some((2, 4)));
        check(lines(1, 3), 2, "b\nc", Some((0, 2)));
        check(lines(1, 3), 2, "a\nb!\nc\nx\nx\n", None);
        check(lines(1, 3), 2, "a\nb\nnew\nc\nx\n", None);
        check(lines(1, 2), 2, "b\r\nc\r\n", Some((0, 1)));
        check(lines(1, 3), 2, "", None);
        // The number again, but not the text.
        check(lines(1, 3), 1, "new\na\nb\nc\n", Some((2, 4)));
        check(lines(1, 3), 1, "new\na\nb\n", None);
        // A client that has it wrong.
        check(lines(3, 1), 1, &text, None);
    }
}
