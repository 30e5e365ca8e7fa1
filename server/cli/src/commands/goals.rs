//! `claudecluster goals`

use claudecluster_protocol::goal::GoalSummary;
use claudecluster_service::TypedCalls;

use super::CommandContext;
use crate::{
    exit::{CommandExit, CommandResult},
    ui::{
        live,
        render::{goal_style, goal_words},
        text::{self, BOLD, DIM, PLAIN, StyledLine, YELLOW},
    },
};

pub(super) async fn list_goals(cx: &mut CommandContext) -> CommandResult<CommandExit> {
    let goals = cx.client()?.goals().await?.value;
    if cx.ui.json {
        for goal in &goals {
            cx.ui.json(goal)?;
        }
        return Ok(CommandExit::Done);
    }
    if goals.is_empty() && !cx.ui.quiet {
        cx.ui
            .line("No goals yet. Start one with: claudecluster run \"…\"")?;
    }
    let width = if cx.ui.live {
        live::terminal_size().0
    } else {
        usize::MAX
    };
    for goal in &goals {
        let line = goal_line(goal).fit(width);
        cx.ui.line(line.styled())?;
    }
    Ok(CommandExit::Done)
}

fn goal_line(goal: &GoalSummary) -> StyledLine {
    let mut line = StyledLine::new()
        .add(BOLD, format!("{:<5}", goal.id.as_str()))
        .add(
            goal_style(goal.state),
            format!("{:<24}", goal_words(goal.state)),
        )
        .add(DIM, format!("{:>3}/{:<3}", goal.succeeded, goal.tasks));
    if goal.hunks.conflicts > 0 {
        let conflicts = text::counted(goal.hunks.conflicts as usize, "conflict");
        line.push(YELLOW, format!(" {conflicts}"));
    }
    if goal.permissions_waiting > 0 {
        let asked = text::counted(goal.permissions_waiting as usize, "permission");
        line.push(YELLOW, format!(" {asked} requested"));
    }
    if goal.paused > 0 {
        line.push(YELLOW, format!(" {} to approve", goal.paused));
    }
    line.push(DIM, format!(" {:>8}  ", goal.cost_usd.to_string()));
    line.push(
        DIM,
        format!(
            "{:<9} ",
            text::time_since(goal.submitted_at, text::current_time())
        ),
    );
    line.add(PLAIN, text::one_line(&goal.prompt))
}
