//! `claudecluster watch`

use claudecluster_protocol::GoalId;
use claudecluster_service::TypedCalls;

use super::Context;
use crate::{
    failure::{Exit, Outcome},
    follow::{self, End, Manner},
};

pub(super) async fn run(cx: &mut Context, goal: Option<GoalId>) -> Outcome<Exit> {
    let client = cx.client()?;
    let Some(goal) = goal else {
        follow::everything(&client, &mut cx.ui).await?;
        return Ok(Exit::Done);
    };
    let view = client.goal(&goal).await?.value;
    // How earlier tries at a repair ended is history.
    let tried = view
        .repairs_under_way()
        .filter_map(|task| Some(task.attempts.last()?.started_at));
    let manner = Manner {
        since: tried.max().map_or(view.summary.updated_at, |at| {
            at.max(view.summary.updated_at)
        }),
        repairs: view
            .repairs_under_way()
            .map(|task| task.id.clone())
            .collect(),
        ..Manner::default()
    };
    let (board, end) = follow::goal(&client, &mut cx.ui, &goal, manner).await?;
    if end == End::Left {
        return Ok(Exit::Done);
    }
    super::run::finish(cx, &client, &goal, &board).await
}
