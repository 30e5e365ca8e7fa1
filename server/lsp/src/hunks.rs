//! Pending changes of an open document, in a client's terms.

use std::collections::{BTreeMap, HashMap, HashSet};

use claudecluster_core::text::{self, LineIndex, PositionEncoding};
use claudecluster_driver::agent_catalog;
use claudecluster_protocol::{
    GoalId, HunkId,
    agent::AgentInput,
    change::{ChangeKind, HunkStatus, HunkView, Origin, Provenance},
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
        let mut hunks = backend.hunks_in(&path, (&text).into());
        let lines = hunks
            .iter_mut()
            .map(|hunk| (&mut hunk.start_line, &mut hunk.end_line));
        count_as_clients_do(&text, lines);
        Ok(hunks)
    });
    found.await.unwrap_or_default()
}

/// Where the lines of a document come from, or what is to become of them, as the snapshot has it. As
/// with [`of`], callers take the snapshot before they wait for this.
pub(crate) async fn origins(session: &Session, document: &Snapshot) -> Vec<Origin> {
    let Some(path) = document.path.clone() else {
        return Vec::new();
    };
    let text = document.text.clone();
    let found = session.ask(move |backend| {
        let mut origins = backend.origins(&path, &String::from(&text));
        let lines = origins
            .iter_mut()
            .map(|origin| (&mut origin.start_line, &mut origin.end_line));
        count_as_clients_do(&text, lines);
        Ok(origins)
    });
    found.await.unwrap_or_default()
}

/// The driver's lines end at `\n` only, as in every diff; a client's end at a lone `\r` as well.
fn count_as_clients_do<'a>(
    text: &Rope,
    lines: impl ExactSizeIterator<Item = (&'a mut u32, &'a mut u32)>,
) {
    if lines.len() == 0 || feeds(text.chunks()) + 1 == text.len_lines() {
        return;
    }
    let text = &String::from(text);
    let index = LineIndex::new(text);
    let starts: Vec<usize> = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    let line = |ours: u32| match starts.get(ours as usize) {
        Some(&start) => index.line_of(start),
        // Behind the last line, which ends nothing: where it ends in `\r`, clients see a line there.
        None if text.ends_with('\r') => index.line_count() - 1,
        None => index.line_count(),
    };
    for (start, end) in lines {
        *start = line(*start);
        *end = line(*end);
    }
}

/// How many lines end as the driver's do. A pass over the bytes, which is all that most texts are looked at.
fn feeds<'a>(pieces: impl Iterator<Item = &'a str>) -> usize {
    let feeds = |piece: &str| piece.bytes().filter(|&byte| byte == b'\n').count();
    pieces.map(feeds).sum()
}

/// The other way: a client's lines as everybody else counts them, who end lines at `\n` only. All of a
/// line that is there in part.
pub(crate) fn to_text_lines(text: &Rope, range: LineRange) -> LineRange {
    if feeds(text.chunks()) + 1 == text.len_lines() {
        return range;
    }
    let feeds_before = |line: u32| {
        let line = text.len_lines().min(line as usize);
        let before = text.slice(..text.line_to_char(line));
        let count = feeds(before.chunks());
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
    makers(&hunk.provenance).unwrap_or_else(|| "a task".to_owned())
}

/// Who made the text that a hunk conflicts with, where it was not the developer.
pub(crate) fn other_maker(hunk: &HunkView) -> Option<String> {
    makers(&hunk.mine_by)
}

/// The task that decided the text.
pub(crate) fn makers(by: &[Provenance]) -> Option<String> {
    by.first().map(|by| progress::title(&by.title))
}

/// The conflicts that a further task could settle: those of lines, where the task that made the change
/// was an agent's and not a program's.
pub(crate) async fn repairable(session: &Session, hunks: &[HunkView]) -> HashSet<HunkId> {
    let mut conflicts: BTreeMap<GoalId, Vec<(&HunkView, &Provenance)>> = BTreeMap::new();
    for hunk in hunks.iter().filter(|hunk| is_conflict(hunk) && !hunk.whole) {
        if let Some(by) = hunk.provenance.first() {
            conflicts.entry(goal(hunk)).or_default().push((hunk, by));
        }
    }
    let catalog = agent_catalog();
    let mut found = HashSet::new();
    for (goal, conflicts) in conflicts {
        let Ok(goal) = session.goal(&goal).await else {
            continue;
        };
        let agents: HashMap<_, _> = goal
            .tasks_detail
            .iter()
            .map(|task| (&task.id, task.agent))
            .collect();
        let by_agent = |by: &Provenance| {
            agents
                .get(&by.task)
                .is_some_and(|&agent| catalog.get(agent).input == AgentInput::Instructions)
        };
        let settled = conflicts.iter().filter(|(_, by)| by_agent(by));
        found.extend(settled.map(|(hunk, _)| hunk.id.clone()));
    }
    found
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
    let (first, last) = lines(document, hunk.start_line, hunk.end_line);
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
    have_in_common(document, (hunk.start_line, hunk.end_line), range)
}

/// Whether an origin has a line in common with a range. One that left no line has the line it was
/// before.
pub(crate) fn is_origin_of(document: &Snapshot, origin: &Origin, range: Range) -> bool {
    have_in_common(document, (origin.start_line, origin.end_line), range)
}

fn have_in_common(document: &Snapshot, (start, end): (u32, u32), range: Range) -> bool {
    let (first, last) = lines(document, start, end);
    first <= range.end.line && range.start.line <= last
}

/// First and last line of what is half-open, both inclusive and both there.
fn lines(document: &Snapshot, start: u32, end: u32) -> (u32, u32) {
    let bottom = u32::try_from(document.text.len_lines().saturating_sub(1)).unwrap_or(u32::MAX);
    let first = start.min(bottom);
    let last = end.saturating_sub(1).clamp(first, bottom.max(first));
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
