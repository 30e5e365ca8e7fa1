//! From a goal to a plan: one session that explores, in a sandbox that is thrown away.

use std::sync::Arc;

use claudecluster_core::{lifecycle::Goal, step::Input};
use claudecluster_protocol::{ErrorBody, Plan, StopReason, goal::Usage};
use claudecluster_worker::attempt::{self, AttemptReport};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{agents, attempts, dispatcher::Message, prompts, shared::Shared, work::blocking};

/// Plans, or repairs the last plan, and answers with what came of it.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    goal: &Goal,
    repair: &[String],
    cancel: CancellationToken,
) -> Input {
    let report = match session(shared, goal, repair, cancel).await {
        Ok(report) => report,
        Err(error) => {
            return stopped(
                goal,
                StopReason::SpawnFailed,
                error.message,
                Usage::default(),
            );
        }
    };
    match (report.stop, report.answer) {
        (Some(stop), _) => stopped(goal, stop, report.summary, report.usage),
        (None, answer) => Input::PlanAnswer {
            goal: goal.id.clone(),
            answer: read(answer, &report.summary).map(Box::new),
            session: report.session,
            usage: report.usage,
        },
    }
}

fn stopped(goal: &Goal, stop: StopReason, summary: String, usage: Usage) -> Input {
    Input::PlanStopped {
        goal: goal.id.clone(),
        stop,
        summary,
        usage,
    }
}

async fn session(
    shared: &Arc<Shared>,
    goal: &Goal,
    repair: &[String],
    cancel: CancellationToken,
) -> Result<AttemptReport, ErrorBody> {
    let settings = agents::settings(shared, &goal.spec.workspace)?;
    let agent = goal.spec.main_agent();
    let number = goal.plan_refusals + goal.plan_retries + 1;
    let layer = shared
        .goal_dir(&goal.id)
        .join("planner")
        .join(number.to_string());
    let seed = attempts::seed_layer(shared, goal).await?;
    let mut session = attempts::session(shared, &settings, goal, agent, None)?;
    session.task.model = settings.planner.model.clone().or(goal.spec.model.clone());
    session.task.prompt = match (repair, &goal.planner_session) {
        ([], _) => prompts::plan(goal),
        // Without a session to go on from, the errors follow the whole request.
        (errors, None) => format!("{}\n{}", prompts::plan(goal), prompts::repair(errors)),
        (errors, Some(_)) => prompts::repair(errors),
    };
    session.task.fork_of.clone_from(&goal.planner_session);
    let spec = attempt::AttemptSpec {
        sandbox: attempts::sandbox(shared, &settings, goal, layer.clone(), seed),
        agent: session,
        gates: Vec::new(),
        gate_env: Vec::new(),
        gate_timeout: settings.timeouts.gate,
        view_timeout: claudecluster_protocol::Span::secs(300),
        tracked: Default::default(),
        limits: attempts::change_limits(&settings),
        transcript: layer.join("transcript.jsonl"),
    };
    // What an interrupted session left under the same number is nobody's.
    attempts::discard(&layer, &[]).await;
    let report = attempts::watched(shared, &goal.id, None, spec, cancel).await;
    keep_transcript(shared, goal, &report).await;
    // What the planner wrote is not wanted; what it read lives on in its session.
    attempts::discard(&layer, &[]).await;
    Ok(report)
}

/// Stores what was said. It is told to the dispatcher before the session's result is.
async fn keep_transcript(shared: &Arc<Shared>, goal: &Goal, report: &AttemptReport) {
    let (owned, path) = (shared.clone(), report.transcript.clone());
    let stored = blocking(
        "storing the planner's transcript",
        move || match std::fs::read(path) {
            Ok(bytes) if !bytes.is_empty() => {
                Ok(Some(owned.store.put_blob(&bytes).map_err(ErrorBody::from)?))
            }
            _ => Ok(None),
        },
    );
    match stored.await {
        Ok(Some(transcript)) => {
            let goal = goal.id.clone();
            shared.send(Message::Input(Input::PlannerTranscript {
                goal,
                transcript,
            }));
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the planner's transcript is not kept"),
    }
}

/// The plan in an answer.
fn read(answer: Option<Value>, summary: &str) -> Result<Plan, String> {
    let Some(mut answer) = answer else {
        return Err(format!(
            "there was no structured answer, but these words: {summary}"
        ));
    };
    let plan = answer.get_mut("plan").map(Value::take).unwrap_or_default();
    if plan.is_null() {
        let said = answer
            .get("summary")
            .and_then(Value::as_str)
            .unwrap_or(summary);
        return Err(format!("the answer holds no `plan`; its summary: {said}"));
    }
    serde_json::from_value(plan)
        .map_err(|error| format!("the plan does not fit the schema: {error}"))
}
