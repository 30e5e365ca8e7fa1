//! `claudecluster cancel`, `retry` and `approve`

use claudecluster_protocol::{GoalId, api::Call};
use claudecluster_service::TypedCalls;
use serde_json::json;

use super::CommandContext;
use crate::{
    cli::{ApproveOptions, RetryArgs},
    exit::{CommandExit, CommandResult},
    plan_file,
};

pub(super) async fn cancel_goal(
    cx: &mut CommandContext,
    goal_id: GoalId,
) -> CommandResult<CommandExit> {
    let said =
        format!("Cancelled {goal_id}; its changes so far are kept: claudecluster diff {goal_id}");
    send_and_report(cx, Call::Cancel { goal_id }, &said).await
}

pub(super) async fn retry_tasks(
    cx: &mut CommandContext,
    args: RetryArgs,
) -> CommandResult<CommandExit> {
    let (goal_id, task_id) = (args.goal, args.task);
    let said = format!("Retrying {goal_id}; watch it with: claudecluster watch {goal_id}");
    send_and_report(cx, Call::Retry { goal_id, task_id }, &said).await
}

pub(super) async fn approve_plan_or_task(
    cx: &mut CommandContext,
    args: ApproveOptions,
) -> CommandResult<CommandExit> {
    let plan = match &args.plan {
        Some(path) => Some(Box::new(plan_file::read_plan(path)?)),
        None => None,
    };
    let goal_id = args.goal;
    let said = match &args.task {
        Some(task) => format!("Started task {task}; watch it with: claudecluster watch {goal_id}"),
        None => goal_started(&goal_id),
    };
    let call = Call::Approve {
        goal_id,
        plan,
        shown: None,
        task_id: args.task,
    };
    send_and_report(cx, call, &said).await
}

/// Returns the message for a plan that starts to run.
pub(super) fn goal_started(goal: &GoalId) -> String {
    format!("Started {goal}; watch it with: claudecluster watch {goal}")
}

pub(super) async fn send_and_report(
    cx: &mut CommandContext,
    call: Call,
    said: &str,
) -> CommandResult<CommandExit> {
    cx.client()?.send_for_done(call).await?;
    if cx.ui.json {
        cx.ui.json(&json!({"done": true}))?;
    } else if !cx.ui.quiet {
        cx.ui.line(said)?;
    }
    Ok(CommandExit::Done)
}
