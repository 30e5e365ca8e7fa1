//! `claudecluster accept`, `reject` and `undo`

use claudecluster_protocol::{
    GoalId, GoalState,
    api::{Answer, Call, Decision, DecisionReport},
    event::Verdict,
};

use super::Context;
use crate::{
    cli::{DecideArgs, RejectArgs},
    client::{Client, unexpected},
    failure::{Exit, Outcome},
    ui::text::{self, DIM, Line, PLAIN, RED, YELLOW},
    workspace,
};

pub(super) async fn accept(cx: &mut Context, args: DecideArgs) -> Outcome<Exit> {
    decide(cx, args, Verdict::Accept, None).await
}

pub(super) async fn reject(cx: &mut Context, args: RejectArgs) -> Outcome<Exit> {
    decide(cx, args.what, Verdict::Reject, args.reason).await
}

pub(super) async fn undo(cx: &mut Context, args: DecideArgs) -> Outcome<Exit> {
    decide(cx, args, Verdict::Undo, None).await
}

async fn decide(
    cx: &mut Context,
    args: DecideArgs,
    verdict: Verdict,
    reason: Option<String>,
) -> Outcome<Exit> {
    let client = cx.client()?;
    let path = match &args.file {
        Some(file) => {
            let goal = client.goal(&args.goal).await?;
            let root = std::path::PathBuf::from(&goal.summary.workspace);
            Some(workspace::listed_or_relative(&root, file)?)
        }
        None => None,
    };
    let decision = Decision {
        task_id: args.task,
        path,
        hunk_id: args.hunk,
        reason,
        ..Decision::new(args.goal.clone(), verdict)
    };
    let report = send(&client, decision).await?;
    if cx.ui.json {
        cx.ui.json(&report)?;
    } else {
        for line in lines(&report, verdict, &args.goal) {
            cx.ui.line(line.styled())?;
        }
    }
    Ok(status(&report))
}

/// Carries a decision out.
async fn send(client: &Client, decision: Decision) -> Outcome<DecisionReport> {
    match client.call(Call::Decide { decision }).await? {
        Answer::Decided { report } => Ok(report),
        other => Err(unexpected(&other).into()),
    }
}

/// Lands everything clean of a goal.
pub(super) async fn accept_all(client: &Client, goal: &GoalId) -> Outcome<DecisionReport> {
    send(client, Decision::new(goal.clone(), Verdict::Accept)).await
}

/// 3 where conflicts remain or something needs an explicit look, 1 where a file could not be written.
pub(super) fn status(report: &DecisionReport) -> Exit {
    if !report.failed.is_empty() {
        Exit::Failed
    } else if report.conflicts > 0 || report.held > 0 {
        Exit::Waiting
    } else {
        Exit::Done
    }
}

pub(super) fn lines(report: &DecisionReport, verdict: Verdict, goal: &GoalId) -> Vec<Line> {
    let word = match verdict {
        Verdict::Accept => "landed",
        Verdict::Reject => "rejected",
        Verdict::Undo => "undone",
        Verdict::Redo => "done again",
        Verdict::Resolve => "resolved",
    };
    let mut lines = Vec::new();
    if report.decided > 0 {
        let hunks = text::count(report.decided as usize, "hunk");
        let files: Vec<String> = report.files.iter().map(|path| path.display()).collect();
        lines.push(
            Line::new()
                .add(PLAIN, format!("{word} {hunks}"))
                .add(DIM, format!("  {}", files.join(" "))),
        );
    }
    for failure in &report.failed {
        let hint = failure.error.hint.as_deref().unwrap_or_default();
        lines.push(
            Line::new()
                .add(
                    RED,
                    format!("{}: {}", failure.path.display(), failure.error.message),
                )
                .add(DIM, format!("  {hint}")),
        );
    }
    if report.conflicts > 0 {
        let conflicts = text::count(report.conflicts as usize, "conflict");
        lines.push(Line::new().add(YELLOW, format!("{conflicts} left")).add(
            DIM,
            format!("  look: claudecluster diff {goal}; take back: claudecluster reject {goal}"),
        ));
    }
    if report.held > 0 {
        let held = text::count(report.held as usize, "change");
        lines.push(
            Line::new()
                .add(YELLOW, format!("{held} kept apart for an explicit look"))
                .add(DIM, format!("  claudecluster accept {goal} --file FILE")),
        );
    }
    if lines.is_empty() && report.decided == 0 {
        let state = match report.state {
            Some(GoalState::Landed) => "everything has landed",
            _ => "nothing to decide",
        };
        lines.push(Line::new().add(PLAIN, format!("{goal}: {state}")));
    }
    lines
}
