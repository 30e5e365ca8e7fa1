//! `claudecluster accept`, `reject`, `undo` and `redo`, and what every decision says of itself.

use claudecluster_protocol::{
    GoalState,
    api::{Decision, DecisionReport},
    event::Verdict,
};
use claudecluster_service::TypedCalls;

use super::{Context, selection::Selection};
use crate::{
    cli::{self, RejectArgs},
    client::Client,
    failure::{Exit, Outcome},
    ui::text::{self, DIM, Line, PLAIN, RED, YELLOW},
};

pub(super) async fn accept(cx: &mut Context, args: cli::Selection) -> Outcome<Exit> {
    decide(cx, args, Verdict::Accept).await
}

pub(super) async fn undo(cx: &mut Context, args: cli::Selection) -> Outcome<Exit> {
    decide(cx, args, Verdict::Undo).await
}

pub(super) async fn redo(cx: &mut Context, args: cli::Selection) -> Outcome<Exit> {
    decide(cx, args, Verdict::Redo).await
}

pub(super) async fn reject(cx: &mut Context, args: RejectArgs) -> Outcome<Exit> {
    let client = cx.client()?;
    let selection = Selection::of(&client, args.what).await?;
    let decision = Decision {
        reason: args.reason,
        repair: args.no_repair.then_some(false),
        ..selection.decision(Verdict::Reject)
    };
    carry_out(cx, &client, decision).await
}

async fn decide(cx: &mut Context, args: cli::Selection, verdict: Verdict) -> Outcome<Exit> {
    let client = cx.client()?;
    let selection = Selection::of(&client, args).await?;
    carry_out(cx, &client, selection.decision(verdict)).await
}

/// Carries a decision out and says what came of it.
pub(super) async fn carry_out(
    cx: &mut Context,
    client: &Client,
    decision: Decision,
) -> Outcome<Exit> {
    let report = client.decide(decision.clone()).await?;
    if cx.ui.json {
        cx.ui.json(&report)?;
    } else {
        for line in lines(&report, &decision) {
            cx.ui.line(line.styled())?;
        }
    }
    Ok(status(&report))
}

/// 3 where conflicts remain, something needs an explicit look or lines are being edited, 1 where a
/// file could not be written.
pub(super) fn status(report: &DecisionReport) -> Exit {
    if !report.failed.is_empty() {
        Exit::Failed
    } else if report.conflicts + report.held + report.waiting > 0 {
        Exit::Waiting
    } else {
        Exit::Done
    }
}

/// What came of a decision, and what to do about what is left.
pub(super) fn lines(report: &DecisionReport, decision: &Decision) -> Vec<Line> {
    let mut lines = Vec::new();
    if report.decided > 0 {
        let hunks = text::count(report.decided as usize, "hunk");
        let files: Vec<String> = report.files.iter().map(|path| path.display()).collect();
        lines.push(
            Line::new()
                .add(PLAIN, format!("{} {hunks}", done(decision.verdict)))
                .add(DIM, format!("  {}", files.join(" "))),
        );
    }
    for failure in &report.failed {
        let hint = failure.error.hint.as_deref().unwrap_or_default();
        let said = format!("{}: {}", failure.path.display(), failure.error.message);
        lines.push(Line::new().add(RED, said).add(DIM, format!("  {hint}")));
    }
    if let Some(task) = &report.repair {
        let goal = &decision.goal_id;
        lines.push(
            Line::new()
                .add(PLAIN, format!("task {task} repairs it"))
                .add(DIM, format!("  follow it: claudecluster watch {goal}")),
        );
    }
    lines.extend(left(report, decision));
    if lines.is_empty() {
        lines.push(Line::new().add(PLAIN, nothing(report, decision)));
    }
    lines
}

fn done(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "landed",
        Verdict::Reject => "rejected",
        Verdict::Undo => "undone",
        Verdict::Redo => "landed again",
        Verdict::Resolve => "resolved",
    }
}

fn nothing(report: &DecisionReport, decision: &Decision) -> String {
    let state = match (decision.verdict, report.state) {
        (Verdict::Undo, _) => "nothing to undo",
        (_, Some(GoalState::Landed)) => "everything has landed",
        _ => "nothing to decide",
    };
    format!("{}: {state}", decision.goal_id)
}

/// What a decision has left, with the command that goes on from there.
fn left(report: &DecisionReport, decision: &Decision) -> Vec<Line> {
    let goal = &decision.goal_id;
    let mut lines = Vec::new();
    let mut say = |n: u32, what: &str, more: &str, next: String| {
        if n > 0 {
            let what = format!("{}{more}", text::count(n as usize, what));
            lines.push(Line::new().add(YELLOW, what).add(DIM, format!("  {next}")));
        }
    };
    let takes_back = matches!(decision.verdict, Verdict::Undo | Verdict::Redo);
    match &decision.hunk_id {
        _ if takes_back => say(
            report.conflicts,
            "hunk",
            " left: what it was put into has changed since",
            format!("look: claudecluster show {goal}; the others can go one by one: --hunk HUNK"),
        ),
        Some(hunk) => say(
            report.conflicts,
            "conflict",
            " left",
            format!("claudecluster resolve {hunk} --mine|--theirs|--both|--edit"),
        ),
        None => say(
            report.conflicts,
            "conflict",
            " left",
            format!(
                "look: claudecluster diff {goal} --conflicts; \
                 decide: claudecluster resolve HUNK --mine|--theirs|--both|--edit"
            ),
        ),
    }
    say(
        report.held,
        "change",
        " kept apart for an explicit look",
        format!("look: claudecluster show {goal}; land: claudecluster accept {goal} --file FILE"),
    );
    say(
        report.waiting,
        "hunk",
        " left: somebody is typing in these lines",
        "lands by itself once the typing there stops".to_owned(),
    );
    lines
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{GoalId, HunkId, RelPath};
    use expect_test::{Expect, expect};

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "expectations are written in place"
    )]
    fn check(report: &DecisionReport, decision: &Decision, exit: Exit, expected: Expect) {
        let shown: String = lines(report, decision)
            .iter()
            .map(|line| line.plain() + "\n")
            .collect();
        expected.assert_eq(&shown);
        assert_eq!(status(report), exit);
    }

    fn all(verdict: Verdict) -> Decision {
        Decision::new(GoalId::new("g1"), verdict)
    }

    #[test]
    fn what_is_left_says_how_to_go_on() {
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
            Exit::Waiting,
            expect![[r#"
                landed 3 hunks  a.rs b.rs
                2 conflicts left  look: claudecluster diff g1 --conflicts; decide: claudecluster resolve HUNK --mine|--theirs|--both|--edit
                1 change kept apart for an explicit look  look: claudecluster show g1; land: claudecluster accept g1 --file FILE
                1 hunk left: somebody is typing in these lines  lands by itself once the typing there stops
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
            Exit::Waiting,
            expect![[r#"
                1 conflict left  claudecluster resolve g1.4f2a90c1d0 --mine|--theirs|--both|--edit
            "#]],
        );
        check(
            &conflict,
            &all(Verdict::Undo),
            Exit::Waiting,
            expect![[r#"
                1 hunk left: what it was put into has changed since  look: claudecluster show g1; the others can go one by one: --hunk HUNK
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
            Exit::Done,
            expect![[r#"
                rejected 1 hunk  
                task errors-repair repairs it  follow it: claudecluster watch g1
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
            (Verdict::Accept, "g1: everything has landed\n"),
            (Verdict::Undo, "g1: nothing to undo\n"),
        ] {
            let shown = lines(&landed, &all(verdict))[0].plain() + "\n";
            assert_eq!(shown, words);
            assert_eq!(status(&landed), Exit::Done);
        }
    }
}
