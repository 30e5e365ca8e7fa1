//! The pending changes of a goal in a few lines: which files, how much, and who made them.

use claudecluster_protocol::{
    ChangeKind, RelPath,
    api::{Answer, Call},
    change::{HeldReason, HunkStatus, HunkView},
    goal::GoalView,
};

use crate::{
    client::{Client, unexpected},
    failure::Outcome,
    ui::{
        Ui,
        text::{self, DIM, GREEN, Line, PLAIN, RED, YELLOW},
    },
};

/// Prints what is pending; nothing where nothing is.
pub(super) async fn pending(ui: &mut Ui, client: &Client, view: &GoalView) -> Outcome<()> {
    let counts = &view.summary.hunks;
    if counts.pending + counts.conflicts == 0 {
        return Ok(());
    }
    let goal_id = Some(view.summary.id.clone());
    let hunks = match client
        .call(Call::Hunks {
            goal_id,
            path: None,
        })
        .await?
    {
        Answer::Hunks { hunks } => hunks,
        other => return Err(unexpected(&other).into()),
    };
    for line in lines(&hunks) {
        ui.line(line.styled())?;
    }
    Ok(())
}

/// One line a file.
pub(super) fn lines(hunks: &[HunkView]) -> Vec<Line> {
    let mut files: Vec<&RelPath> = hunks.iter().map(|hunk| &hunk.path).collect();
    files.dedup();
    let widest = files
        .iter()
        .map(|path| path.display().chars().count())
        .max();
    let width = widest.unwrap_or(0).min(48);
    files
        .into_iter()
        .map(|path| {
            let of_file: Vec<&HunkView> = hunks.iter().filter(|hunk| hunk.path == *path).collect();
            file_line(path, &of_file, width)
        })
        .collect()
}

fn file_line(path: &RelPath, hunks: &[&HunkView], width: usize) -> Line {
    let added: usize = hunks.iter().map(|hunk| hunk.new_text.lines().count()).sum();
    let removed: usize = hunks.iter().map(|hunk| hunk.old_text.lines().count()).sum();
    let mut line = Line::new()
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
    let mut makers: Vec<&str> = hunks
        .iter()
        .flat_map(|hunk| &hunk.provenance)
        .map(|by| by.task.as_str())
        .collect();
    makers.sort_unstable();
    makers.dedup();
    if !makers.is_empty() {
        line.push(DIM, format!("  by {}", makers.join(", ")));
    }
    let conflicts = hunks
        .iter()
        .filter(|hunk| hunk.status == HunkStatus::Conflict)
        .count();
    if conflicts > 0 {
        line.push(YELLOW, format!("  {}", text::count(conflicts, "conflict")));
    }
    let mut held: Vec<HeldReason> = hunks.iter().flat_map(|hunk| hunk.held.clone()).collect();
    held.sort_unstable();
    held.dedup();
    for reason in held {
        line.push(YELLOW, format!("  {}", self::held(reason)));
    }
    line
}

/// Why a change needs an explicit look, in a few words.
fn held(reason: HeldReason) -> &'static str {
    match reason {
        HeldReason::OutOfScope => "outside the scope",
        HeldReason::SelfArming => "can make tools run code",
        HeldReason::Partial => "partial",
        HeldReason::GateFailed => "gate failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use claudecluster_protocol::{AttemptId, HunkId, change::Provenance};

    fn hunk(path: &str, old: &str, new: &str, task: &str) -> HunkView {
        HunkView {
            id: HunkId::new("g1.0"),
            path: RelPath::new(path).unwrap(),
            kind: ChangeKind::Modify,
            from: None,
            whole: false,
            status: HunkStatus::Clean,
            held: Vec::new(),
            start_line: 0,
            end_line: 1,
            old_text: old.to_owned(),
            new_text: new.to_owned(),
            words: Vec::new(),
            conflict: None,
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
        let shown: Vec<String> = lines(&hunks).iter().map(Line::plain).collect();
        assert_eq!(
            shown,
            [
                "  src/a.rs     +3    -1  by api, docs",
                "  b.rs         +1    -1  by fmt  1 conflict  outside the scope",
            ]
        );
    }
}
