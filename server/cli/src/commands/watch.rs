//! `claudecluster watch`

use claudecluster_protocol::GoalId;
use claudecluster_service::TypedCalls;

use super::CommandContext;
use crate::{
    exit::{CommandExit, CommandResult},
    watch::{self, WatchEnd, WatchOptions},
};

pub(super) async fn run_watch(
    cx: &mut CommandContext,
    goal: Option<GoalId>,
) -> CommandResult<CommandExit> {
    let client = cx.client()?;
    let Some(goal) = goal else {
        watch::watch_all_goals(&client, &mut cx.ui).await?;
        return Ok(CommandExit::Done);
    };
    let view = client.goal(&goal).await?.value;
    // How earlier tries at a repair ended is history.
    let tried = view
        .repairs_under_way()
        .filter_map(|task| Some(task.attempts.last()?.started_at));
    let manner = WatchOptions {
        since: tried.max().map_or(view.summary.updated_at, |at| {
            at.max(view.summary.updated_at)
        }),
        repairs: view
            .repairs_under_way()
            .map(|task| task.id.clone())
            .collect(),
        ..WatchOptions::default()
    };
    let (board, end) = watch::watch_goal(&client, &mut cx.ui, &goal, manner).await?;
    if end == WatchEnd::Left {
        return Ok(CommandExit::Done);
    }
    super::run::report_outcome(cx, &client, &goal, &board).await
}
