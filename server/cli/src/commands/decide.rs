//! `claudecluster accept`, `reject`, `undo` and `redo`, and the report of every decision.

use std::fmt::Write as _;

use claudecluster_protocol::{
    GoalState,
    api::{Decision, DecisionReport},
    change::{HunkStatus, HunkView},
    event::Verdict,
};
use claudecluster_service::TypedCalls;

use super::{CommandContext, conflicts, selection::HunkSelection, summary::is_held};
use crate::{
    cli::{self, RejectArgs},
    client::DaemonClient,
    exit::{CommandExit, CommandResult},
    ui::text::{self, DIM, PLAIN, RED, StyledLine, YELLOW},
};

pub(super) async fn accept_changes(
    cx: &mut CommandContext,
    args: cli::SelectionArgs,
) -> CommandResult<CommandExit> {
    decide_selection(cx, args, Verdict::Accept).await
}

pub(super) async fn undo_changes(
    cx: &mut CommandContext,
    args: cli::SelectionArgs,
) -> CommandResult<CommandExit> {
    decide_selection(cx, args, Verdict::Undo).await
}

pub(super) async fn redo_changes(
    cx: &mut CommandContext,
    args: cli::SelectionArgs,
) -> CommandResult<CommandExit> {
    decide_selection(cx, args, Verdict::Redo).await
}

pub(super) async fn reject_changes(
    cx: &mut CommandContext,
    args: RejectArgs,
) -> CommandResult<CommandExit> {
    let client = cx.client()?;
    let selection = HunkSelection::of(&client, args.what).await?;
    let decision = Decision {
        reason: args.reason,
        repair: args.no_repair.then_some(false),
        ..selection.decision(Verdict::Reject)
    };
    decide_and_report(cx, &client, decision).await
}

async fn decide_selection(
    cx: &mut CommandContext,
    args: cli::SelectionArgs,
    verdict: Verdict,
) -> CommandResult<CommandExit> {
    let client = cx.client()?;
    let selection = HunkSelection::of(&client, args).await?;
    decide_and_report(cx, &client, selection.decision(verdict)).await
}

/// Sends a decision, and prints its result and the hunks left.
pub(super) async fn decide_and_report(
    cx: &mut CommandContext,
    client: &DaemonClient,
    decision: Decision,
) -> CommandResult<CommandExit> {
    let report = client.decide(decision.clone()).await?;
    if cx.ui.json {
        cx.ui.json(&report)?;
    } else {
        let left = undecided_hunks(client, &report, &decision).await?;
        for line in report_lines(&report, &decision, &left) {
            cx.ui.line(line.styled())?;
        }
    }
    Ok(report_exit(&report))
}

/// Returns the pending hunks of a decision that are left, so that hints can name them.
pub(super) async fn undecided_hunks(
    client: &DaemonClient,
    report: &DecisionReport,
    decision: &Decision,
) -> CommandResult<Vec<HunkView>> {
    if report.conflicts + report.held == 0 {
        return Ok(Vec::new());
    }
    HunkSelection::of_decision(decision).hunks(client).await
}

/// Returns the exit status of a decision. It is 3 if conflicts, held hunks or lines being edited
/// remain, and 1 if a file could not be written.
pub(super) fn report_exit(report: &DecisionReport) -> CommandExit {
    if !report.failed.is_empty() {
        CommandExit::Failed
    } else if report.conflicts + report.held + report.waiting > 0 {
        CommandExit::Waiting
    } else {
        CommandExit::Done
    }
}

/// Describes the result of a decision, and how to continue with the hunks left.
pub(super) fn report_lines(
    report: &DecisionReport,
    decision: &Decision,
    left: &[HunkView],
) -> Vec<StyledLine> {
    let mut lines = Vec::new();
    if report.decided > 0 {
        let hunks = text::counted(report.decided as usize, "hunk");
        let files: Vec<String> = report.files.iter().map(|path| path.display()).collect();
        lines.push(
            StyledLine::new()
                .add(PLAIN, format!("{} {hunks}", verdict_done(decision.verdict)))
                .add(DIM, format!("  {}", files.join(" "))),
        );
    }
    for failure in &report.failed {
        let hint = failure.error.hint.as_deref().unwrap_or_default();
        let said = format!("{}: {}", failure.path.display(), failure.error.message);
        lines.push(
            StyledLine::new()
                .add(RED, said)
                .add(DIM, format!("  {hint}")),
        );
    }
    if let Some(task) = &report.repair {
        let goal = &decision.goal_id;
        lines.push(
            StyledLine::new()
                .add(PLAIN, format!("Started {task} to address this"))
                .add(DIM, format!("  watch it: claudecluster watch {goal}")),
        );
    }
    lines.extend(undecided_lines(report, decision, left));
    if lines.is_empty() {
        lines.push(StyledLine::new().add(PLAIN, nothing_decided(report, decision)));
    }
    lines
}

fn verdict_done(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "Applied",
        Verdict::Reject => "Rejected",
        Verdict::Undo => "Undid",
        Verdict::Redo => "Reapplied",
        Verdict::Resolve => "Resolved",
    }
}

fn nothing_decided(report: &DecisionReport, decision: &Decision) -> String {
    let state = match (decision.verdict, report.state) {
        (Verdict::Undo, _) => "nothing to undo",
        (_, Some(GoalState::Landed)) => "all changes have been applied",
        _ => "nothing to review",
    };
    format!("{}: {state}", decision.goal_id)
}

/// Describes the hunks left by a decision, with the commands that continue from there.
fn undecided_lines(
    report: &DecisionReport,
    decision: &Decision,
    left: &[HunkView],
) -> Vec<StyledLine> {
    let goal = &decision.goal_id;
    let mut lines = Vec::new();
    let mut say = |n: u32, what: &str, more: &str, next: String| {
        if n > 0 {
            let what = format!("{}{more}", text::counted(n as usize, what));
            lines.push(
                StyledLine::new()
                    .add(YELLOW, what)
                    .add(DIM, format!("  {next}")),
            );
        }
    };
    let takes_back = matches!(decision.verdict, Verdict::Undo | Verdict::Redo);
    let conflict = left
        .iter()
        .find(|hunk| hunk.status == HunkStatus::Conflict)
        .map(conflicts::resolve_command);
    match (&decision.hunk_id, conflict) {
        _ if takes_back => say(
            report.conflicts,
            "hunk",
            match decision.verdict {
                Verdict::Redo => " not reapplied: the text has changed since",
                _ => " not undone: the text has changed since",
            },
            format!(
                "review: claudecluster show {goal}; name a hunk to decide it alone: --hunk HUNK"
            ),
        ),
        (Some(_), Some(resolve)) => say(report.conflicts, "conflict", " left", resolve),
        (_, resolve) => {
            let mut next = format!("review: claudecluster diff {goal} --conflicts");
            if let Some(resolve) = resolve {
                let _ = write!(next, "; resolve: {resolve}");
            }
            say(report.conflicts, "conflict", " left", next);
        }
    }
    let mut next = format!("review: claudecluster show {goal}");
    if let Some(hunk) = left.iter().find(|hunk| is_held(hunk)) {
        let file = text::shell_word(&hunk.path.display());
        let _ = write!(next, "; accept: claudecluster accept {goal} --file {file}");
    }
    say(report.held, "change", " held for review", next);
    say(
        report.waiting,
        "hunk",
        " waiting: you are editing these lines",
        "applied once you stop typing there".to_owned(),
    );
    lines
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{GoalId, HunkId, RelPath, change::HeldReason};
    use expect_test::{Expect, expect};

    use super::*;
    use crate::commands::summary;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "expectations are written in place"
    )]
    fn check(
        report: &DecisionReport,
        decision: &Decision,
        left: &[HunkView],
        exit: CommandExit,
        expected: Expect,
    ) {
        let shown: String = report_lines(report, decision, left)
            .iter()
            .map(|line| line.plain() + "\n")
            .collect();
        expected.assert_eq(&shown);
        assert_eq!(report_exit(report), exit);
    }

    fn all(verdict: Verdict) -> Decision {
        Decision::new(GoalId::new("g1"), verdict)
    }

    #[test]
    fn what_is_left_says_how_to_go_on() {
        let hunk = |id: &str, path: &str, status, held| HunkView {
            id: HunkId::new(id),
            status,
            held,
            ..summary::example_hunk(path)
        };
        let left = [
            hunk("g1.4f2a90c1d0", "a.rs", HunkStatus::Conflict, vec![]),
            hunk(
                "g1.0",
                "x y.rs",
                HunkStatus::Clean,
                vec![HeldReason::OutOfScope],
            ),
        ];
        let report = DecisionReport {
            decided: 3,
            conflicts: 2,
            held: 1,
            waiting: 1,
            files: vec![RelPath::new("a.rs").unwrap(), RelPath::new("b.rs").unwrap()],
            ..DecisionReport::default()
        };
        check(
            &report,
            &all(Verdict::Accept),
            &left,
            CommandExit::Waiting,
            expect![[r#"
                Applied 3 hunks  a.rs b.rs
                2 conflicts left  review: claudecluster diff g1 --conflicts; resolve: claudecluster resolve g1.4f2a90c1d0 --mine|--theirs
                1 change held for review  review: claudecluster show g1; accept: claudecluster accept g1 --file 'x y.rs'
                1 hunk waiting: you are editing these lines  applied once you stop typing there
            "#]],
        );
        let one = Decision {
            hunk_id: Some(HunkId::new("g1.4f2a90c1d0")),
            ..all(Verdict::Accept)
        };
        let conflict = DecisionReport {
            conflicts: 1,
            ..DecisionReport::default()
        };
        check(
            &conflict,
            &one,
            &left[..1],
            CommandExit::Waiting,
            expect![[r#"
                1 conflict left  claudecluster resolve g1.4f2a90c1d0 --mine|--theirs
            "#]],
        );
        check(
            &conflict,
            &all(Verdict::Undo),
            &[],
            CommandExit::Waiting,
            expect![[r#"
                1 hunk not undone: the text has changed since  review: claudecluster show g1; name a hunk to decide it alone: --hunk HUNK
            "#]],
        );
    }

    #[test]
    fn a_rejection_names_its_repair() {
        let report = DecisionReport {
            decided: 1,
            repair: Some("errors-repair".into()),
            ..DecisionReport::default()
        };
        check(
            &report,
            &all(Verdict::Reject),
            &[],
            CommandExit::Done,
            expect![[r#"
                Rejected 1 hunk  
                Started errors-repair to address this  watch it: claudecluster watch g1
            "#]],
        );
    }

    #[test]
    fn nothing_left_is_said_as_well() {
        let landed = DecisionReport {
            state: Some(GoalState::Landed),
            ..DecisionReport::default()
        };
        for (verdict, words) in [
            (Verdict::Accept, "g1: all changes have been applied\n"),
            (Verdict::Undo, "g1: nothing to undo\n"),
        ] {
            let shown = report_lines(&landed, &all(verdict), &[])[0].plain() + "\n";
            assert_eq!(shown, words);
            assert_eq!(report_exit(&landed), CommandExit::Done);
        }
    }
}
