//! Pending changes of an open document, in a client's terms.

use claudecluster_core::text::{self, LineIndex, PositionEncoding};
use claudecluster_protocol::{
    GoalId,
    change::{ChangeKind, HunkStatus, HunkView},
    editor::LineRange,
};
use lsp_types::{Position, Range};
use ropey::Rope;

use crate::{documents::Snapshot, edit, progress, session::Session};

/// The pending hunks of a document as the snapshot has it; none where it shows no file.
///
/// Texts are compared, and a proposal may have to be read first: that is done beside the wire's
/// thread. Callers take the snapshot before they wait for this.
pub(crate) async fn of(session: &Session, document: &Snapshot) -> Vec<HunkView> {
    let Some(path) = document.path.clone() else {
        return Vec::new();
    };
    let text = document.text.clone();
    let found = session.ask(move |backend| {
        let text = String::from(&text);
        let mut hunks = backend.hunks_in(&path, &text);
        count_as_clients_do(&text, &mut hunks);
        Ok(hunks)
    });
    found.await.unwrap_or_default()
}

/// The driver's lines end at `\n` only, as in every diff; a client's end at a lone `\r` as well.
fn count_as_clients_do(text: &str, hunks: &mut [HunkView]) {
    if hunks.is_empty() {
        return;
    }
    let index = LineIndex::new(text);
    let starts: Vec<usize> = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    if index.line_count() as usize == starts.len() {
        return;
    }
    let line = |ours: u32| match starts.get(ours as usize) {
        Some(&start) => index.line_of(start),
        // Behind the last line, which ends nothing: where it ends in `\r`, clients see a line there.
        None if text.ends_with('\r') => index.line_count() - 1,
        None => index.line_count(),
    };
    for hunk in hunks {
        hunk.start_line = line(hunk.start_line);
        hunk.end_line = line(hunk.end_line);
    }
}

/// The other way: a client's lines as everybody else counts them, who end lines at `\n` only. All of a
/// line that is there in part.
pub(crate) fn to_text_lines(text: &Rope, range: LineRange) -> LineRange {
    if text.bytes().filter(|&byte| byte == b'\n').count() + 1 == text.len_lines() {
        return range;
    }
    let feeds = |line: u32| {
        let line = text.len_lines().min(line as usize);
        let before = text.slice(..text.line_to_char(line));
        let count = before.bytes().filter(|&byte| byte == b'\n').count();
        let within = before.chars_at(before.len_chars()).prev() != Some('\n');
        (u32::try_from(count).unwrap_or(u32::MAX), within)
    };
    let (start_line, _) = feeds(range.start_line);
    let (last, within) = feeds(range.end_line);
    LineRange {
        start_line,
        end_line: last + u32::from(within),
    }
}

/// What a hunk is, in words that follow "Accept".
pub(crate) fn what(hunk: &HunkView) -> String {
    let path = &hunk.path;
    match (hunk.whole, hunk.kind, &hunk.from) {
        (false, ..) => "change".to_owned(),
        (_, ChangeKind::Create, _) => format!("new file {path}"),
        (_, ChangeKind::Delete, _) => format!("deletion of {path}"),
        (_, ChangeKind::Rename, Some(from)) => format!("rename of {from} to {path}"),
        (_, ChangeKind::Mode, _) => format!("new mode of {path} ({})", hunk.new_text),
        (_, ChangeKind::Modify | ChangeKind::Rename, _) => format!("new content of {path}"),
    }
}

/// Who made a hunk, in words.
pub(crate) fn maker(hunk: &HunkView) -> String {
    let title = hunk.provenance.first().map(|by| progress::title(&by.title));
    title.unwrap_or_else(|| "a task".to_owned())
}

/// The goal a hunk belongs to.
pub(crate) fn goal(hunk: &HunkView) -> GoalId {
    hunk.id
        .goal()
        .unwrap_or_else(|| GoalId::new(hunk.id.as_str()))
}

pub(crate) fn is_conflict(hunk: &HunkView) -> bool {
    hunk.status == HunkStatus::Conflict
}

/// Where a hunk is: from the start of its first line to the end of its last.
pub(crate) fn range(document: &Snapshot, hunk: &HunkView, encoding: PositionEncoding) -> Range {
    let (first, last) = lines(document, hunk);
    let end = text::Position {
        line: last,
        character: u32::MAX,
    };
    let end = text::offset(&document.text, end, encoding);
    Range {
        start: Position {
            line: first,
            character: 0,
        },
        end: edit::position(text::position(&document.text, end, encoding)),
    }
}

/// Whether a hunk has a line in common with a range. An insertion has the line it goes before.
pub(crate) fn touches(document: &Snapshot, hunk: &HunkView, range: Range) -> bool {
    let (first, last) = lines(document, hunk);
    first <= range.end.line && range.start.line <= last
}

/// First and last line of a hunk, both inclusive and both there.
fn lines(document: &Snapshot, hunk: &HunkView) -> (u32, u32) {
    let bottom = u32::try_from(document.text.len_lines().saturating_sub(1)).unwrap_or(u32::MAX);
    let first = hunk.start_line.min(bottom);
    let last = hunk
        .end_line
        .saturating_sub(1)
        .clamp(first, bottom.max(first));
    (first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_clients_as_lines_of_text() {
        let check = |text: &str, (start_line, end_line), expected| {
            let given = LineRange {
                start_line,
                end_line,
            };
            let found = to_text_lines(&Rope::from_str(text), given);
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
