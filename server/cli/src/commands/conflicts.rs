//! `claudecluster diff --conflicts`: prints both sides of each conflict.

use claudecluster_protocol::change::{ConflictView, HunkStatus, HunkView, Provenance};
use serde_json::json;

use super::{CommandContext, selection::HunkSelection, summary};
use crate::{
    client::DaemonClient,
    exit::{CommandExit, CommandResult},
    ui::text::{self, BOLD, CYAN, DIM, GREEN, PLAIN, RED, StyledLine, YELLOW},
};

pub(super) async fn print_conflicts(
    cx: &mut CommandContext,
    client: &DaemonClient,
    selection: &HunkSelection,
) -> CommandResult<CommandExit> {
    let mut hunks = selection.hunks(client).await?;
    hunks.retain(|hunk| hunk.status == HunkStatus::Conflict);
    if cx.ui.json {
        cx.ui.exact_json(&json!({"conflicts": hunks}))?;
        return Ok(CommandExit::Done);
    }
    if hunks.is_empty() && !cx.ui.quiet {
        cx.ui.line(format!("{} has no conflicts", selection.goal))?;
    }
    for (i, hunk) in hunks.iter().enumerate() {
        if i > 0 {
            cx.ui.line("")?;
        }
        for line in conflict_lines(hunk) {
            cx.ui.exact_line(line.styled())?;
        }
    }
    Ok(CommandExit::Done)
}

/// Describes one conflict: its place, both sides with their authors, and the ways to resolve it.
fn conflict_lines(hunk: &HunkView) -> Vec<StyledLine> {
    let mut head = StyledLine::new()
        .add(BOLD, hunk.path.display())
        .add(BOLD, format!(" {}", summary::hunk_place(hunk)))
        .add(DIM, format!("  {}", hunk.id));
    let notes = summary::notes_on_file(&[hunk]);
    if !notes.is_empty() {
        head.push(YELLOW, format!("  {notes}"));
    }
    let mut lines = vec![head];
    match &hunk.conflict {
        Some(sides) => {
            lines.extend(both_sides(hunk, sides));
            if let Some(merged) = &hunk.merged {
                lines.push(StyledLine::new().add(CYAN, "  merged  word by word"));
                lines.extend(side_lines(merged, '+', GREEN));
            }
        }
        None => {
            let now = match authors(&hunk.mine_by) {
                by if by.is_empty() || hunk.mine_pending => String::new(),
                by => format!("  {by}"),
            };
            lines.push(StyledLine::new().add(CYAN, format!("  now{now}")));
            lines.extend(side_lines(&hunk.old_text, '-', RED));
            if hunk.mine_pending {
                let other = format!("  also proposed  {}", authors(&hunk.mine_by));
                lines.push(StyledLine::new().add(CYAN, other));
            }
            lines.push(
                StyledLine::new().add(CYAN, format!("  proposed  {}", authors(&hunk.provenance))),
            );
            lines.extend(side_lines(&hunk.new_text, '+', GREEN));
        }
    }
    lines.push(StyledLine::new().add(DIM, format!("  {}", resolve_command(hunk))));
    lines
}

/// Returns the command that resolves a conflict, with every option that its kind allows.
pub(super) fn resolve_command(hunk: &HunkView) -> String {
    let ways = match (&hunk.conflict, &hunk.merged) {
        // Of what has no lines only one side or the other can be taken.
        (None, _) => "--mine|--theirs",
        (Some(_), None) => "--mine|--theirs|--both|--edit",
        (Some(_), Some(_)) => "--merged|--mine|--theirs|--both|--edit",
    };
    format!("claudecluster resolve {} {ways}", hunk.id)
}

fn both_sides(hunk: &HunkView, sides: &ConflictView) -> Vec<StyledLine> {
    let mut lines = vec![StyledLine::new().add(PLAIN, "  base")];
    lines.extend(side_lines(&sides.base, ' ', PLAIN));
    let mine = authors(&hunk.mine_by);
    if hunk.mine_pending {
        // Neither is there: nothing goes but what both started from.
        lines.push(StyledLine::new().add(CYAN, format!("  proposed  {mine}")));
        lines.extend(side_lines(&sides.mine, '+', GREEN));
    } else {
        let mine = if mine.is_empty() { "yours" } else { &mine };
        lines.push(StyledLine::new().add(CYAN, format!("  now  {mine}")));
        lines.extend(side_lines(&sides.mine, '-', RED));
    }
    lines.push(StyledLine::new().add(CYAN, format!("  proposed  {}", authors(&hunk.provenance))));
    lines.extend(side_lines(&sides.theirs, '+', GREEN));
    lines
}

/// Returns the lines of a side, with a sign for terminals without colours.
fn side_lines(side: &str, sign: char, style: anstyle::Style) -> Vec<StyledLine> {
    if side.is_empty() {
        return vec![StyledLine::new().add(DIM, "    (nothing)")];
    }
    // Tabs stay what they are on the screen: these are lines of a program.
    side.lines()
        .map(|line| {
            StyledLine::new().add_exact(style, format!("  {sign} {}", line.replace('\t', "    ")))
        })
        .collect()
}

/// Names the authors of a text, and their reasons.
fn authors(by: &[Provenance]) -> String {
    let one = |by: &Provenance| {
        let title = if by.title == by.task.as_str() {
            String::new()
        } else {
            format!(" ({})", text::one_line(&by.title))
        };
        let why = by
            .why
            .as_deref()
            .map(|why| format!(": {}", text::one_line(why)));
        format!("by {}{title}{}", by.task, why.unwrap_or_default())
    };
    by.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{AttemptId, ChangeKind, HunkId, RelPath};
    use expect_test::expect;

    use super::*;

    fn by(task: &str, title: &str, why: Option<&str>) -> Provenance {
        Provenance {
            task: task.into(),
            title: title.to_owned(),
            attempt: AttemptId(1),
            why: why.map(str::to_owned),
        }
    }

    fn shown(hunk: &HunkView) -> String {
        conflict_lines(hunk)
            .iter()
            .map(|line| line.plain() + "\n")
            .collect()
    }

    #[test]
    fn a_conflict_shows_both_sides_and_whose_they_are() {
        let mut hunk = HunkView {
            id: HunkId::new("g1.4f2a90c1d0"),
            path: RelPath::new("src/a.rs").unwrap(),
            kind: ChangeKind::Modify,
            from: None,
            whole: false,
            status: HunkStatus::Conflict,
            held: Vec::new(),
            runs: None,
            start_line: 11,
            end_line: 12,
            old_text: "let x = 1;\n".to_owned(),
            new_text: String::new(),
            words: Vec::new(),
            conflict: Some(ConflictView {
                base: "let x = 0;\n".to_owned(),
                mine: "let x = 1;\n".to_owned(),
                theirs: String::new(),
            }),
            mine_by: Vec::new(),
            mine_pending: false,
            merged: None,
            provenance: vec![by("tidy", "Tidy up", Some("Nobody uses x."))],
        };
        expect![[r#"
            src/a.rs line 12  g1.4f2a90c1d0
              base
                let x = 0;
              now  yours
              - let x = 1;
              proposed  by tidy (Tidy up): Nobody uses x.
                (nothing)
              claudecluster resolve g1.4f2a90c1d0 --mine|--theirs|--both|--edit
        "#]]
        .assert_eq(&shown(&hunk));

        hunk.merged = Some("let y = 1;\n".to_owned());
        let merged = "  merged  word by word\n  + let y = 1;\n  claudecluster resolve g1.4f2a90c1d0 \
                      --merged|--mine|--theirs|--both|--edit\n";
        assert!(shown(&hunk).ends_with(merged), "{}", shown(&hunk));

        hunk.mine_by = vec![by("api", "api", None)];
        assert!(shown(&hunk).contains("  now  by api\n"));
        hunk.mine_pending = true;
        let both = "  proposed  by api\n  + let x = 1;\n  proposed  by tidy (Tidy up)";
        assert!(shown(&hunk).contains(both), "{}", shown(&hunk));
        hunk.mine_pending = false;
        hunk.mine_by.clear();
        hunk.conflict = None;
        hunk.whole = true;
        hunk.kind = ChangeKind::Delete;
        expect![[r#"
            src/a.rs deleted  g1.4f2a90c1d0
              now
              - let x = 1;
              proposed  by tidy (Tidy up): Nobody uses x.
                (nothing)
              claudecluster resolve g1.4f2a90c1d0 --mine|--theirs
        "#]]
        .assert_eq(&shown(&hunk));
    }
}
