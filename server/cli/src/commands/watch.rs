//! `claudecluster watch`

use claudecluster_protocol::GoalId;

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
    let view = client.goal(&goal).await?;
    let manner = Manner {
        since: view.summary.updated_at,
        ..Manner::default()
    };
    let (board, end) = follow::goal(&client, &mut cx.ui, &goal, manner).await?;
    if end == End::Left {
        return Ok(Exit::Done);
    }
    super::run::finish(cx, &client, &goal, &board).await
}
