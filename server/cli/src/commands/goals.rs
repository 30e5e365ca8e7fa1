//! `claudecluster goals`

use claudecluster_protocol::goal::GoalSummary;
use claudecluster_service::TypedCalls;

use super::Context;
use crate::{
    failure::{Exit, Outcome},
    ui::{
        live,
        render::{goal_style, goal_words},
        text::{self, BOLD, DIM, Line, PLAIN, YELLOW},
    },
};

pub(super) async fn run(cx: &mut Context) -> Outcome<Exit> {
    let goals = cx.client()?.goals().await?.value;
    if cx.ui.json {
        for goal in &goals {
            cx.ui.json(goal)?;
        }
        return Ok(Exit::Done);
    }
    if goals.is_empty() && !cx.ui.quiet {
        cx.ui
            .line("no goals yet; state one: claudecluster run \"…\"")?;
    }
    let width = if cx.ui.live {
        live::size().0
    } else {
        usize::MAX
    };
    for goal in &goals {
        let line = line(goal).fit(width);
        cx.ui.line(line.styled())?;
    }
    Ok(Exit::Done)
}

fn line(goal: &GoalSummary) -> Line {
    let mut line = Line::new()
        .add(BOLD, format!("{:<5}", goal.id.as_str()))
        .add(
            goal_style(goal.state),
            format!("{:<24}", goal_words(goal.state)),
        )
        .add(DIM, format!("{:>3}/{:<3}", goal.succeeded, goal.tasks));
    if goal.hunks.conflicts > 0 {
        let conflicts = text::count(goal.hunks.conflicts as usize, "conflict");
        line.push(YELLOW, format!(" {conflicts}"));
    }
    if goal.permissions_waiting > 0 {
        let asked = text::count(goal.permissions_waiting as usize, "permission");
        line.push(YELLOW, format!(" {asked} asked"));
    }
    if goal.paused > 0 {
        line.push(YELLOW, format!(" {} to approve", goal.paused));
    }
    line.push(DIM, format!(" {:>8}  ", goal.cost_usd.to_string()));
    line.push(
        DIM,
        format!("{:<9} ", text::ago(goal.submitted_at, text::now())),
    );
    line.add(PLAIN, text::one_line(&goal.prompt))
}
