//! `claudecluster cancel`, `retry` and `approve`

use claudecluster_protocol::{GoalId, api::Call};
use claudecluster_service::TypedCalls;
use serde_json::json;

use super::Context;
use crate::{
    cli::{ApproveArgs, RetryArgs},
    failure::{Exit, Outcome},
    plan_file,
};

pub(super) async fn cancel(cx: &mut Context, goal_id: GoalId) -> Outcome<Exit> {
    let said =
        format!("{goal_id} cancelled; what it made so far is kept: claudecluster diff {goal_id}");
    steer(cx, Call::Cancel { goal_id }, &said).await
}

pub(super) async fn retry(cx: &mut Context, args: RetryArgs) -> Outcome<Exit> {
    let (goal_id, task_id) = (args.goal, args.task);
    let said = format!("{goal_id} is tried again; follow it: claudecluster watch {goal_id}");
    steer(cx, Call::Retry { goal_id, task_id }, &said).await
}

pub(super) async fn approve(cx: &mut Context, args: ApproveArgs) -> Outcome<Exit> {
    let plan = match &args.plan {
        Some(path) => Some(Box::new(plan_file::read(path)?)),
        None => None,
    };
    let goal_id = args.goal;
    let said = match &args.task {
        Some(task) => format!("task {task} runs; follow it: claudecluster watch {goal_id}"),
        None => runs(&goal_id),
    };
    let call = Call::Approve {
        goal_id,
        plan,
        shown: None,
        task_id: args.task,
    };
    steer(cx, call, &said).await
}

/// What is said once a plan runs.
pub(super) fn runs(goal: &GoalId) -> String {
    format!("{goal} runs; follow it: claudecluster watch {goal}")
}

pub(super) async fn steer(cx: &mut Context, call: Call, said: &str) -> Outcome<Exit> {
    cx.client()?.send_for_done(call).await?;
    if cx.ui.json {
        cx.ui.json(&json!({"done": true}))?;
    } else if !cx.ui.quiet {
        cx.ui.line(said)?;
    }
    Ok(Exit::Done)
}
