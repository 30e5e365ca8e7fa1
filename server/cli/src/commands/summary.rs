//! Summarises the pending changes of a goal: files, numbers of lines, and tasks.

use claudecluster_protocol::{
    ChangeKind, RelPath, TaskId, Timestamp,
    change::{HeldReason, HunkStatus, HunkView},
    goal::{DecidedHunk, GoalView, HunkCounts, HunkFate},
};

use super::selection::HunkSelection;
use crate::{
    client::DaemonClient,
    exit::CommandResult,
    ui::{
        Ui,
        text::{self, CYAN, DIM, GREEN, PLAIN, RED, StyledLine, YELLOW},
    },
};

/// Prints the pending changes, or nothing if there are none.
pub(super) async fn print_pending(
    ui: &mut Ui,
    client: &DaemonClient,
    view: &GoalView,
) -> CommandResult<()> {
    let counts = &view.summary.hunks;
    if counts.pending + counts.conflicts == 0 {
        return Ok(());
    }
    let all = HunkSelection::all(view.summary.id.clone());
    for line in changed_lines(&all.hunks(client).await?) {
        ui.line(line.styled())?;
    }
    Ok(())
}

/// Describes the numbers of hunks by state. The text is empty if there are no hunks.
pub(super) fn hunk_counts(counts: &HunkCounts) -> String {
    let undone = match counts.undone {
        0 => String::new(),
        n => format!(" ({n} undone)"),
    };
    let parts = [
        (counts.pending, "pending"),
        (counts.conflicts, "in conflict"),
        (counts.landed, "applied"),
        (counts.rejected, "rejected"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    parts.join(", ") + &undone
}

/// Returns the lines of every file with its hunks: the pending hunks, and the decisions about the
/// others.
pub(super) fn file_lines(
    hunks: &[HunkView],
    decided: &[DecidedHunk],
    now: Timestamp,
) -> Vec<StyledLine> {
    let mut paths: Vec<&RelPath> = Vec::new();
    for path in hunks
        .iter()
        .map(|hunk| &hunk.path)
        .chain(decided.iter().map(|hunk| &hunk.path))
    {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let width = path_width(&paths);
    let mut lines = Vec::new();
    for path in paths {
        let open: Vec<&HunkView> = hunks.iter().filter(|hunk| hunk.path == *path).collect();
        lines.push(if open.is_empty() {
            StyledLine::new().add(PLAIN, format!("  {}", path.display()))
        } else {
            file_line(path, &open, width)
        });
        let of_file: Vec<&DecidedHunk> = decided.iter().filter(|d| d.path == *path).collect();
        lines.extend(open.iter().map(|hunk| hunk_line(hunk, &of_file)));
        let over = of_file
            .iter()
            .filter(|decided| !open.iter().any(|hunk| hunk.id == decided.id));
        lines.extend(over.map(|decided| decided_line(decided, now)));
    }
    lines
}

fn hunk_line(hunk: &HunkView, decided: &[&DecidedHunk]) -> StyledLine {
    let undone = decided
        .iter()
        .any(|decided| decided.id == hunk.id && decided.fate == HunkFate::Undone);
    let (state, style) = match hunk.status {
        HunkStatus::Conflict => ("conflict", YELLOW),
        HunkStatus::Clean if undone => ("undone", CYAN),
        HunkStatus::Clean if is_held(hunk) => ("held", YELLOW),
        HunkStatus::Clean => ("pending", CYAN),
    };
    let mut line = hunk_row(hunk.id.as_str(), state, style, &hunk_place(hunk));
    if hunk.status == HunkStatus::Conflict {
        let with = match names(hunk.mine_by.iter().map(|by| &by.task)) {
            names if names.is_empty() => "your text".to_owned(),
            names => names,
        };
        line.push(YELLOW, format!("  with {with}"));
    }
    by(&mut line, hunk.provenance.iter().map(|by| &by.task));
    line
}

fn decided_line(hunk: &DecidedHunk, now: Timestamp) -> StyledLine {
    let (state, style) = match hunk.fate {
        HunkFate::Landed => ("applied", GREEN),
        HunkFate::Resolved => ("resolved", GREEN),
        HunkFate::Rejected => ("rejected", RED),
        HunkFate::Undone => ("undone", YELLOW),
    };
    let mut line = hunk_row(
        hunk.id.as_str(),
        state,
        style,
        &text::time_since(hunk.at, now),
    );
    by(&mut line, hunk.tasks.iter());
    line
}

fn hunk_row(id: &str, state: &str, style: anstyle::Style, what: &str) -> StyledLine {
    StyledLine::new()
        .add(PLAIN, format!("    {id:<14}"))
        .add(style, format!(" {state:<9}"))
        .add(PLAIN, format!(" {what}"))
}

fn by<'a>(line: &mut StyledLine, tasks: impl Iterator<Item = &'a TaskId>) {
    let names = names(tasks);
    if !names.is_empty() {
        line.push(DIM, format!("  by {names}"));
    }
}

/// Names each task once, in the order of `tasks`.
fn names<'a>(tasks: impl Iterator<Item = &'a TaskId>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for task in tasks {
        if !names.contains(&task.as_str()) {
            names.push(task.as_str());
        }
    }
    names.join(", ")
}

/// Describes a hunk's place: its lines, or the change of its whole file.
pub(super) fn hunk_place(hunk: &HunkView) -> String {
    match (hunk.kind, &hunk.from) {
        (ChangeKind::Create, _) => "new file".to_owned(),
        (ChangeKind::Delete, _) => "deleted".to_owned(),
        (ChangeKind::Rename, Some(from)) => format!("was {}", from.display()),
        (ChangeKind::Mode, _) => format!("now {}", hunk.new_text.trim_end()),
        _ if hunk.whole => "whole file".to_owned(),
        _ if hunk.end_line <= hunk.start_line => format!("before line {}", hunk.start_line + 1),
        _ if hunk.end_line == hunk.start_line + 1 => format!("line {}", hunk.end_line),
        _ => format!("lines {}–{}", hunk.start_line + 1, hunk.end_line),
    }
}

/// Returns whether a hunk is held for review.
pub(super) fn is_held(hunk: &HunkView) -> bool {
    !hunk.held.is_empty()
}

/// Returns one line for each changed file.
pub(super) fn changed_lines(hunks: &[HunkView]) -> Vec<StyledLine> {
    let mut files: Vec<&RelPath> = hunks.iter().map(|hunk| &hunk.path).collect();
    files.dedup();
    let width = path_width(&files);
    files
        .into_iter()
        .map(|path| {
            let of_file: Vec<&HunkView> = hunks.iter().filter(|hunk| hunk.path == *path).collect();
            file_line(path, &of_file, width)
        })
        .collect()
}

fn path_width(paths: &[&RelPath]) -> usize {
    let widths = paths.iter().map(|path| path.display().chars().count());
    widths.max().unwrap_or(0).min(48)
}

fn file_line(path: &RelPath, hunks: &[&HunkView], width: usize) -> StyledLine {
    // The texts of a mode are its names, not lines of the file.
    let texts = || hunks.iter().filter(|hunk| hunk.kind != ChangeKind::Mode);
    let added: usize = texts().map(|hunk| hunk.new_text.lines().count()).sum();
    let removed: usize = texts().map(|hunk| hunk.old_text.lines().count()).sum();
    let mut line = StyledLine::new()
        .add(PLAIN, format!("  {:<width$} ", path.display()))
        .add(GREEN, format!(" {:>5}", format!("+{added}")))
        .add(RED, format!(" {:>5}", format!("-{removed}")));
    match hunks.first().map(|hunk| (hunk.kind, &hunk.from)) {
        Some((ChangeKind::Create, _)) => line.push(DIM, "  new"),
        Some((ChangeKind::Delete, _)) => line.push(DIM, "  deleted"),
        Some((ChangeKind::Rename, Some(from))) => {
            line.push(DIM, format!("  was {}", from.display()));
        }
        Some((ChangeKind::Mode, _)) => line.push(DIM, "  mode"),
        _ => {}
    }
    let makers = hunks.iter().flat_map(|hunk| &hunk.provenance);
    by(&mut line, makers.map(|by| &by.task));
    let conflicts = hunks
        .iter()
        .filter(|hunk| hunk.status == HunkStatus::Conflict)
        .count();
    if conflicts > 0 {
        line.push(
            YELLOW,
            format!("  {}", text::counted(conflicts, "conflict")),
        );
    }
    let notes = notes_on_file(hunks);
    if !notes.is_empty() {
        line.push(YELLOW, format!("  {notes}"));
    }
    line
}

/// Describes what to know about a file before its hunks are accepted: why they are held, and which program runs
/// the file. Empty if there is nothing to know.
pub(super) fn notes_on_file(hunks: &[&HunkView]) -> String {
    let mut reasons: Vec<HeldReason> = hunks.iter().flat_map(|hunk| hunk.held.clone()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let runs = hunks.iter().find_map(|hunk| hunk.runs.clone());
    let notes = [held_reasons(&reasons), runs.unwrap_or_default()];
    let notes: Vec<String> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    notes.join(": ")
}

/// Describes in a few words why a change is held for review.
fn held_reasons(reasons: &[HeldReason]) -> String {
    let words = reasons.iter().map(|reason| match reason {
        HeldReason::OutOfScope => "outside the goal's scope",
        HeldReason::SelfArming => "can make tools run code",
        HeldReason::Partial => "its task did not succeed",
        HeldReason::GateFailed => "a gate failed",
        HeldReason::Listed => "listed in review.hold",
        HeldReason::Secret => "adds what looks like a secret",
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Returns a clean hunk that changes one line of a file, for tests.
#[cfg(test)]
pub(super) fn example_hunk(path: &str) -> HunkView {
    tests::hunk(path, "old\n", "new\n", "task")
}

#[cfg(test)]
mod tests {
    use super::*;
    use claudecluster_protocol::{
        AttemptId, HunkId,
        change::{ConflictView, Provenance},
    };
    use expect_test::expect;

    pub(super) fn hunk(path: &str, old: &str, new: &str, task: &str) -> HunkView {
        HunkView {
            id: HunkId::new("g1.0"),
            path: RelPath::new(path).unwrap(),
            kind: ChangeKind::Modify,
            from: None,
            whole: false,
            status: HunkStatus::Clean,
            held: Vec::new(),
            runs: None,
            start_line: 0,
            end_line: 1,
            old_text: old.to_owned(),
            new_text: new.to_owned(),
            words: Vec::new(),
            conflict: None,
            mine_by: Vec::new(),
            mine_pending: false,
            merged: None,
            provenance: vec![Provenance {
                why: None,
                task: task.into(),
                title: task.to_owned(),
                attempt: AttemptId(1),
            }],
        }
    }

    #[test]
    fn a_line_a_file() {
        let mut conflict = hunk("b.rs", "x\n", "y\n", "fmt");
        conflict.status = HunkStatus::Conflict;
        conflict.held = vec![HeldReason::OutOfScope];
        let hunks = [
            hunk("src/a.rs", "a\n", "b\nc\n", "api"),
            hunk("src/a.rs", "", "d\n", "docs"),
            conflict,
        ];
        let shown: Vec<String> = changed_lines(&hunks)
            .iter()
            .map(StyledLine::plain)
            .collect();
        assert_eq!(
            shown,
            [
                "  src/a.rs     +3    -1  by api, docs",
                "  b.rs         +1    -1  by fmt  1 conflict  outside the goal's scope",
            ]
        );
    }

    #[test]
    fn every_hunk_of_a_file_with_what_became_of_it() {
        let mut clash = hunk("src/a.rs", "a\nb\n", "c\n", "api");
        clash.id = HunkId::new("g1.1111111111");
        clash.status = HunkStatus::Conflict;
        clash.end_line = 2;
        clash.conflict = Some(ConflictView {
            base: "x\n".to_owned(),
            mine: "a\nb\n".to_owned(),
            theirs: "c\n".to_owned(),
        });
        let mut again = hunk("src/a.rs", "d\n", "e\n", "docs");
        again.id = HunkId::new("g1.2222222222");
        let mut script = hunk("run.sh", "", "", "api");
        (script.id, script.kind) = (HunkId::new("g1.3333333333"), ChangeKind::Mode);
        (script.whole, script.new_text) = (true, "executable".to_owned());
        let decided = |id: &str, path: &str, fate| DecidedHunk {
            id: HunkId::new(id),
            path: RelPath::new(path).unwrap(),
            fate,
            tasks: vec!["api".into()],
            at: Timestamp(60_000),
        };
        let decided = [
            decided("g1.2222222222", "src/a.rs", HunkFate::Undone),
            decided("g1.4444444444", "src/a.rs", HunkFate::Rejected),
            decided("g1.5555555555", "b.rs", HunkFate::Landed),
        ];
        let counted = HunkCounts {
            pending: 2,
            conflicts: 1,
            landed: 1,
            rejected: 1,
            undone: 1,
        };
        let lines = file_lines(&[clash, again, script], &decided, Timestamp(180_000));
        let shown: String = lines.iter().map(|line| line.plain() + "\n").collect();
        let shown = format!("{}\n{shown}", hunk_counts(&counted));
        expect![[r#"
            2 pending, 1 in conflict, 1 applied, 1 rejected (1 undone)
              src/a.rs     +2    -3  by api, docs  1 conflict
                g1.1111111111  conflict  lines 1–2  with your text  by api
                g1.2222222222  undone    line 1  by docs
                g1.4444444444  rejected  2m ago  by api
              run.sh       +0    -0  mode  by api
                g1.3333333333  pending   now executable  by api
              b.rs
                g1.5555555555  applied   2m ago  by api
        "#]]
        .assert_eq(&shown);
    }
}
