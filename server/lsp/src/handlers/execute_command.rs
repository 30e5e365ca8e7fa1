//! `workspace/executeCommand`.
//!
//! A command checks its argument, hands the work over and replies at once. Some editors block until
//! they have the reply, so no command may wait for the editor.

use std::{future::Future, sync::Arc};

use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId,
    api::Decision,
    editor::{ApproveArgs, GoalArgs, HunkArgs, PlanArgs, ResolveArgs, command},
    event::Verdict,
    goal::GoalView,
    permission::PermissionAnswer,
};
use claudecluster_service::TypedCalls;
use lsp_types::ExecuteCommandParams;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tower_lsp::jsonrpc::{Error, Result};
use tracing::Instrument;

use super::{content::path_in_goal, diff, submit};
use crate::{
    background::permission_questions::answer_permission, failure, plan, session::EditorSession,
};

/// Runs a command of the server.
pub(crate) async fn execute_command(
    session: &Arc<EditorSession>,
    params: ExecuteCommandParams,
) -> Result<Value> {
    let arguments = params.arguments.unwrap_or_default();
    record_ids(&arguments);
    match params.command.as_str() {
        command::GOAL_SUBMIT => {
            let submitted = submit::submit_goal(session, parse_argument(arguments)?).await;
            to_value(&submitted.map_err(|e| failure::to_reply(&e))?)
        }
        command::GOAL_LIST => {
            let _: NoArguments = parse_argument(arguments)?;
            let goals = session.service().goals().await;
            to_value(&goals.map_err(|e| failure::to_reply(&e))?.value)
        }
        command::GOAL_SHOW => {
            let args: GoalArgs = parse_argument(arguments)?;
            to_value(&require_goal(session, &args.goal_id).await?)
        }
        command::GOAL_CANCEL => {
            let args: GoalArgs = parse_argument(arguments)?;
            require_goal(session, &args.goal_id).await?;
            cancel_goal(session, args.goal_id);
            Ok(Value::Null)
        }
        command::GOAL_RETRY => {
            let GoalArgs {
                goal_id, task_id, ..
            } = parse_argument(arguments)?;
            to_null(session.service().retry(&goal_id, task_id).await)
        }
        command::PLAN_APPROVE => {
            let args: ApproveArgs = parse_argument(arguments)?;
            to_null(plan::approve_plan(session, args).await)
        }
        command::PLAN_OPEN => {
            let args: PlanArgs = parse_argument(arguments)?;
            let goal = require_goal(session, &args.goal_id).await?;
            let opened = plan::open_plan(session, goal).await;
            to_value(&opened.map_err(|e| failure::to_reply(&e))?)
        }
        command::GOAL_ACCEPT => {
            decide_goal(session, parse_argument(arguments)?, Verdict::Accept).await
        }
        command::GOAL_REJECT => {
            decide_goal(session, parse_argument(arguments)?, Verdict::Reject).await
        }
        command::GOAL_UNDO => decide_goal(session, parse_argument(arguments)?, Verdict::Undo).await,
        command::GOAL_REDO => decide_goal(session, parse_argument(arguments)?, Verdict::Redo).await,
        command::HUNK_ACCEPT => {
            decide_hunk(session, parse_argument(arguments)?, Verdict::Accept).await
        }
        command::HUNK_REJECT => {
            decide_hunk(session, parse_argument(arguments)?, Verdict::Reject).await
        }
        command::HUNK_UNDO => decide_hunk(session, parse_argument(arguments)?, Verdict::Undo).await,
        command::HUNK_RESOLVE => resolve_conflict(session, parse_argument(arguments)?).await,
        command::HUNK_DIFF => {
            let args: HunkArgs = parse_argument(arguments)?;
            let goal = require_goal(session, &goal_of(&args.hunk_id)?).await?;
            let showing = diff::show_hunk_diff(session.clone(), goal, args.hunk_id);
            session.tasks.spawn(showing);
            Ok(Value::Null)
        }
        command::PERMISSION_ANSWER => {
            let answer: PermissionAnswer = parse_argument(arguments)?;
            to_null(answer_permission(session, answer).await)
        }
        command::PERMISSION_LIST => {
            let _: NoArguments = parse_argument(arguments)?;
            let requests = session.service().permissions().await;
            to_value(&requests.map_err(|e| failure::to_reply(&e))?)
        }
        other => Err(failure::invalid_params(format!(
            "unknown command {other:?}; the commands are {}",
            command::ALL.join(", ")
        ))),
    }
}

/// Records the goal and the hunk of an argument in the span of the request.
fn record_ids(arguments: &[Value]) {
    let span = tracing::Span::current();
    let Some(argument) = arguments.first().filter(|_| !span.is_disabled()) else {
        return;
    };
    for (key, field) in [("goalId", "goal"), ("hunkId", "hunk")] {
        if let Some(id) = argument.get(key).and_then(Value::as_str) {
            span.record(field, id);
        }
    }
}

/// The argument of a command that takes none.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoArguments {}

/// Parses the one argument of a command. A missing argument counts as an object without keys.
fn parse_argument<T: DeserializeOwned>(mut arguments: Vec<Value>) -> Result<T> {
    if arguments.len() > 1 {
        let given = arguments.len();
        return Err(failure::invalid_params(format!(
            "arguments: expected one object, found {given}"
        )));
    }
    let argument = match arguments.pop() {
        None | Some(Value::Null) => json!({}),
        Some(Value::Array(_)) => {
            return Err(failure::invalid_params(
                "arguments[0]: expected an object, found an array",
            ));
        }
        Some(argument) => argument,
    };
    serde_path_to_error::deserialize(argument).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." {
            String::new()
        } else {
            format!(".{path}")
        };
        failure::invalid_params(format!("arguments[0]{place}: {}", error.into_inner()))
    })
}

fn to_value<T: Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|_| Error::internal_error())
}

fn to_null(result: std::result::Result<(), ErrorBody>) -> Result<Value> {
    result
        .map(|()| Value::Null)
        .map_err(|e| failure::to_reply(&e))
}

/// Returns a goal, or the reply to a request for an unknown one.
async fn require_goal(session: &EditorSession, goal: &GoalId) -> Result<GoalView> {
    let view = session.goal_view(goal).await;
    view.map_err(|e| failure::to_reply(&e))
}

/// Starts work that continues after the reply, and after the end of the connection as well.
fn spawn_detached(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work.in_current_span());
}

/// Cancels a goal after the reply. Shows an error to the user.
pub(crate) fn cancel_goal(session: &Arc<EditorSession>, goal: GoalId) {
    let session = session.clone();
    spawn_detached(async move {
        if let Err(error) = session.service().cancel(&goal).await {
            session
                .show_error(&format!("cannot cancel {goal}"), &error)
                .await;
        }
    });
}

async fn decide_goal(session: &EditorSession, args: GoalArgs, verdict: Verdict) -> Result<Value> {
    let _turn = session.decisions.wait_turn().await;
    require_goal(session, &args.goal_id).await?;
    let path = match &args.uri {
        Some(uri) => Some(
            path_in_goal(session, &args.goal_id, uri)
                .await
                .map_err(|e| failure::to_reply(&e))?,
        ),
        None => None,
    };
    let decision = Decision {
        task_id: args.task_id,
        path,
        reason: args.reason,
        ..Decision::new(args.goal_id, verdict)
    };
    session.decisions.push(decision);
    Ok(Value::Null)
}

async fn decide_hunk(session: &EditorSession, args: HunkArgs, verdict: Verdict) -> Result<Value> {
    let decision = Decision {
        hunk_id: Some(args.hunk_id.clone()),
        applied: args.applied,
        reason: args.reason,
        ..Decision::new(goal_of(&args.hunk_id)?, verdict)
    };
    queue_decision(session, decision).await
}

async fn resolve_conflict(session: &EditorSession, args: ResolveArgs) -> Result<Value> {
    let decision = Decision {
        hunk_id: Some(args.hunk_id.clone()),
        resolution: Some(args.resolution),
        reason: args.reason,
        ..Decision::new(goal_of(&args.hunk_id)?, Verdict::Resolve)
    };
    queue_decision(session, decision).await
}

/// Checks and queues a decision about one hunk.
async fn queue_decision(session: &EditorSession, decision: Decision) -> Result<Value> {
    tracing::Span::current().record("goal", decision.goal_id.as_str());
    let _turn = session.decisions.wait_turn().await;
    require_goal(session, &decision.goal_id).await?;
    session.decisions.push(decision);
    Ok(Value::Null)
}

fn goal_of(hunk: &HunkId) -> Result<GoalId> {
    hunk.goal().ok_or_else(|| {
        failure::invalid_params(format!(
            "arguments[0].hunkId: {hunk:?} is not a hunk id such as g1.4f2a90c1d0"
        ))
    })
}
