//! `workspace/executeCommand`. Arguments are checked, the work is handed over, the answer comes at
//! once: some editors stand still until they have it, so nothing here may wait for the editor.

use std::{future::Future, sync::Arc};

use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId,
    api::{Decision, DecisionReport},
    editor::{ApproveArgs, GoalArgs, HunkArgs, PlanArgs, ResolveArgs, command},
    event::Verdict,
    permission::PermissionAnswer,
};
use lsp_types::ExecuteCommandParams;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower_lsp::jsonrpc::{Error, Result};

use super::{content::in_goal, diff, submit};
use crate::{failure, permission, plan, progress::count, session::Session};

pub(crate) async fn handle(session: &Arc<Session>, params: ExecuteCommandParams) -> Result<Value> {
    let arguments = params.arguments.unwrap_or_default();
    match params.command.as_str() {
        command::GOAL_SUBMIT => {
            let submitted = submit::handle(session, argument(arguments)?).await;
            value(&submitted.map_err(|e| failure::reply(&e))?)
        }
        command::GOAL_LIST => {
            let _: Nothing = argument(arguments)?;
            let goals = session.ask(|backend| Ok(backend.goals())).await;
            value(&goals.map_err(|e| failure::reply(&e))?)
        }
        command::GOAL_SHOW => {
            let args: GoalArgs = argument(arguments)?;
            value(&known(session, &args.goal_id).await?)
        }
        command::GOAL_CANCEL => {
            let args: GoalArgs = argument(arguments)?;
            known(session, &args.goal_id).await?;
            cancel(session, args.goal_id);
            Ok(Value::Null)
        }
        command::GOAL_RETRY => {
            let GoalArgs {
                goal_id, task_id, ..
            } = argument(arguments)?;
            done(session.backend.retry(&goal_id, task_id).await)
        }
        command::PLAN_APPROVE => {
            let args: ApproveArgs = argument(arguments)?;
            done(plan::approve(session, args).await)
        }
        command::PLAN_OPEN => {
            let args: PlanArgs = argument(arguments)?;
            let goal = known(session, &args.goal_id).await?;
            let opened = plan::open(session, goal).await;
            value(&opened.map_err(|e| failure::reply(&e))?)
        }
        command::GOAL_ACCEPT => decide_goal(session, argument(arguments)?, Verdict::Accept).await,
        command::GOAL_REJECT => decide_goal(session, argument(arguments)?, Verdict::Reject).await,
        command::GOAL_UNDO => decide_goal(session, argument(arguments)?, Verdict::Undo).await,
        command::GOAL_REDO => decide_goal(session, argument(arguments)?, Verdict::Redo).await,
        command::HUNK_ACCEPT => decide_hunk(session, argument(arguments)?, Verdict::Accept).await,
        command::HUNK_REJECT => decide_hunk(session, argument(arguments)?, Verdict::Reject).await,
        command::HUNK_UNDO => decide_hunk(session, argument(arguments)?, Verdict::Undo).await,
        command::HUNK_RESOLVE => resolve(session, argument(arguments)?).await,
        command::HUNK_DIFF => {
            let args: HunkArgs = argument(arguments)?;
            let goal = known(session, &goal_of(&args.hunk_id)?).await?;
            session.spawn(diff::show(session.clone(), goal, args.hunk_id));
            Ok(Value::Null)
        }
        command::PERMISSION_ANSWER => {
            let answer: PermissionAnswer = argument(arguments)?;
            done(permission::permit(session, answer).await)
        }
        command::PERMISSION_LIST => {
            let _: Nothing = argument(arguments)?;
            value(&session.backend.permissions())
        }
        other => Err(failure::bad_params(format!(
            "unknown command {other:?}; the commands are {}",
            command::ALL.join(", ")
        ))),
    }
}

/// The argument of a command that takes none.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Reads the one argument. None at all is an object without keys.
fn argument<T: DeserializeOwned>(mut arguments: Vec<Value>) -> Result<T> {
    if arguments.len() > 1 {
        let given = arguments.len();
        return Err(failure::bad_params(format!(
            "arguments: expected one object, found {given}"
        )));
    }
    let argument = match arguments.pop() {
        None | Some(Value::Null) => json!({}),
        Some(Value::Array(_)) => {
            return Err(failure::bad_params(
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
        failure::bad_params(format!("arguments[0]{place}: {}", error.into_inner()))
    })
}

fn value<T: Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|_| Error::internal_error())
}

fn done(result: std::result::Result<(), ErrorBody>) -> Result<Value> {
    result.map(|()| Value::Null).map_err(|e| failure::reply(&e))
}

async fn known(session: &Session, goal: &GoalId) -> Result<claudecluster_protocol::goal::GoalView> {
    session.goal(goal).await.map_err(|e| failure::reply(&e))
}

/// Goes on after the answer, and after the connection as well: what the user has decided is decided.
fn after_the_answer(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

fn cancel(session: &Arc<Session>, goal: GoalId) {
    let session = session.clone();
    after_the_answer(async move {
        if let Err(error) = session.backend.cancel(&goal).await {
            session.fail(&format!("cannot cancel {goal}"), &error).await;
        }
    });
}

async fn decide_goal(session: &Arc<Session>, args: GoalArgs, verdict: Verdict) -> Result<Value> {
    let _turn = session.arriving.lock().await;
    known(session, &args.goal_id).await?;
    let path = match &args.uri {
        Some(uri) => Some(
            in_goal(session, &args.goal_id, uri)
                .await
                .map_err(|e| failure::reply(&e))?,
        ),
        None => None,
    };
    let decision = Decision {
        task_id: args.task_id,
        path,
        reason: args.reason,
        ..Decision::new(args.goal_id, verdict)
    };
    session.decide(decision);
    Ok(Value::Null)
}

async fn decide_hunk(session: &Arc<Session>, args: HunkArgs, verdict: Verdict) -> Result<Value> {
    let decision = Decision {
        hunk_id: Some(args.hunk_id.clone()),
        applied: args.applied,
        reason: args.reason,
        ..Decision::new(goal_of(&args.hunk_id)?, verdict)
    };
    decide(session, decision).await
}

async fn resolve(session: &Arc<Session>, args: ResolveArgs) -> Result<Value> {
    let decision = Decision {
        hunk_id: Some(args.hunk_id.clone()),
        resolution: Some(args.resolution),
        reason: args.reason,
        ..Decision::new(goal_of(&args.hunk_id)?, Verdict::Resolve)
    };
    decide(session, decision).await
}

/// Takes a decision about one hunk.
async fn decide(session: &Arc<Session>, decision: Decision) -> Result<Value> {
    let _turn = session.arriving.lock().await;
    known(session, &decision.goal_id).await?;
    session.decide(decision);
    Ok(Value::Null)
}

fn goal_of(hunk: &HunkId) -> Result<GoalId> {
    hunk.goal().ok_or_else(|| {
        failure::bad_params(format!(
            "arguments[0].hunkId: {hunk:?} is not a hunk id such as g1.4f2a90c1d0"
        ))
    })
}

/// Carries decisions out, one after the other. Goes on after the connection with what has arrived.
pub(crate) async fn carry_out_decisions(
    session: Arc<Session>,
    mut decisions: mpsc::UnboundedReceiver<Decision>,
) {
    while let Some(decision) = decisions.recv().await {
        carry_out(&session, decision).await;
    }
}

/// Lands or takes back, and tells the user what they would not see by themselves.
async fn carry_out(session: &Session, decision: Decision) {
    let verdict = decision.verdict;
    let goal = decision.goal_id.clone();
    let whole = decision.hunk_id.is_none();
    match session.backend.decide(decision).await {
        Ok(report) => {
            let (message, trouble) = summary(verdict, &report);
            let repairs = report.repair.is_some();
            if trouble {
                session.warn(format!("{goal}: {message}")).await;
            } else if whole || repairs {
                session.info(format!("{goal}: {message}")).await;
            }
        }
        Err(error) => {
            let what = format!("{goal}: nothing was {}", past(verdict));
            session.fail(&what, &error).await;
        }
    }
}

fn past(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accepted",
        Verdict::Reject => "rejected",
        Verdict::Undo => "undone",
        Verdict::Redo => "redone",
        Verdict::Resolve => "resolved",
    }
}

/// What came of a decision, and whether something is left that the user should know of.
fn summary(verdict: Verdict, report: &DecisionReport) -> (String, bool) {
    let n = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let decided = format!("{} {}", count(n(report.decided), "change"), past(verdict));
    let mut parts = vec![decided];
    if report.conflicts > 0 {
        parts.push(format!("{} in conflict", report.conflicts));
    }
    if report.held > 0 {
        parts.push(format!("{} held for review", report.held));
    }
    if report.waiting > 0 {
        let waiting = count(n(report.waiting), "change");
        parts.push(format!(
            "{waiting} waiting until you stop editing these lines"
        ));
    }
    let trouble = parts.len() > 1 || !report.failed.is_empty();
    for failed in &report.failed {
        let (path, why) = (failed.path.display(), failure::sentence(&failed.error));
        // Some errors name the file by themselves.
        parts.push(if why.starts_with(&path) {
            why
        } else {
            format!("{path}: {why}")
        });
    }
    if let Some(task) = &report.repair {
        parts.push(format!("started {task} to address this"));
        // What was handed over is not decided yet.
        if report.decided == 0 {
            parts.remove(0);
        }
    }
    (parts.join("; "), trouble)
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::api::FileFailure;

    use super::*;

    #[test]
    fn a_file_that_failed_is_named_once() {
        let check = |why: &str, expected: &str| {
            let failed = FileFailure {
                path: claudecluster_protocol::RelPath::new("a.rs").unwrap(),
                error: ErrorBody::environment(why),
            };
            let report = DecisionReport {
                failed: vec![failed],
                ..DecisionReport::default()
            };
            assert_eq!(summary(Verdict::Accept, &report).0, expected);
        };
        check("no space", "0 changes accepted; a.rs: no space");
        check("a.rs: no answer", "0 changes accepted; a.rs: no answer");
    }
}
