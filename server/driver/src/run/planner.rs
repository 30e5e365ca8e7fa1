//! From a goal to a plan: one session that explores, in a sandbox that is thrown away.

use claudecluster_core::{state::Goal, step::Input};
use claudecluster_protocol::{ErrorBody, Plan, StopReason, goal::AgentUsage};
use claudecluster_worker::attempt::{self, AttemptReport};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    blocking::run_blocking,
    mailbox::DispatcherMailbox,
    run::{attempts::AttemptRunner, layers::discard_files, prompts, sessions::change_limits},
    workspace::content_store::ContentStore,
};

/// Plans a goal, or repairs its last plan, and returns the input that reports the result.
pub(crate) async fn run_planner(
    runner: &AttemptRunner,
    mailbox: &DispatcherMailbox,
    goal: &Goal,
    repair: &[String],
    cancel: CancellationToken,
) -> Input {
    let report = match run_plan_session(runner, mailbox, goal, repair, cancel).await {
        Ok(report) => report,
        Err(error) => {
            return planner_stopped(
                goal,
                StopReason::SpawnFailed,
                error.message,
                AgentUsage::default(),
            );
        }
    };
    match (report.stop, report.answer) {
        (Some(stop), _) => planner_stopped(goal, stop, report.summary, report.usage),
        (None, answer) => Input::PlanAnswer {
            goal: goal.id.clone(),
            answer: parse_plan(answer, &report.summary).map(Box::new),
            session: report.session,
            usage: report.usage,
        },
    }
}

fn planner_stopped(goal: &Goal, stop: StopReason, summary: String, usage: AgentUsage) -> Input {
    Input::PlanStopped {
        goal: goal.id.clone(),
        stop,
        summary,
        usage,
    }
}

async fn run_plan_session(
    runner: &AttemptRunner,
    mailbox: &DispatcherMailbox,
    goal: &Goal,
    repair: &[String],
    cancel: CancellationToken,
) -> Result<AttemptReport, ErrorBody> {
    let setup = &runner.setup;
    let settings = setup.config.workspace_settings(&goal.spec.workspace)?;
    let agent = goal.spec.main_agent();
    let number = goal.plan_refusals + goal.plan_retries + 1;
    let layer = setup
        .running
        .goal_dir(&goal.id)
        .join("planner")
        .join(number.to_string());
    let seed = runner.layers.seed_layer(goal).await?;
    let mut session = setup.session_spec(&settings, goal, agent, None)?;
    session.task.model = settings.planner.model.clone().or(goal.spec.model.clone());
    session.task.prompt = match (repair, &goal.planner_session) {
        ([], _) => prompts::plan_prompt(goal),
        // Without a session to go on from, the errors follow the whole request.
        (errors, None) => format!(
            "{}\n{}",
            prompts::plan_prompt(goal),
            prompts::plan_repair_prompt(errors)
        ),
        (errors, Some(_)) => prompts::plan_repair_prompt(errors),
    };
    session.task.fork_of.clone_from(&goal.planner_session);
    let spec = attempt::AttemptSpec {
        sandbox: setup.sandbox_spec(&settings, goal, layer.clone(), seed),
        agent: session,
        gates: Vec::new(),
        gate_env: Vec::new(),
        gate_timeout: settings.timeouts.gate,
        tracked: Default::default(),
        limits: change_limits(&settings),
        transcript: layer.join("transcript.jsonl"),
    };
    // What an interrupted session left under the same number is nobody's.
    discard_files(&layer, &[]).await;
    let report = runner
        .sessions
        .run_session(&goal.id, None, spec, cancel)
        .await;
    store_transcript(&runner.merge.contents, mailbox, goal, &report).await;
    // What the planner wrote is not wanted; what it read lives on in its session.
    discard_files(&layer, &[]).await;
    Ok(report)
}

/// Stores the planner's transcript. It is reported before the session's result.
async fn store_transcript(
    contents: &ContentStore,
    mailbox: &DispatcherMailbox,
    goal: &Goal,
    report: &AttemptReport,
) {
    let (owned, path) = (contents.clone(), report.transcript.clone());
    let stored = run_blocking(
        "storing the planner's transcript",
        move || match std::fs::read(path) {
            Ok(bytes) if !bytes.is_empty() => Ok(Some(
                owned.store().put_blob(&bytes).map_err(ErrorBody::from)?,
            )),
            _ => Ok(None),
        },
    );
    match stored.await {
        Ok(Some(transcript)) => {
            let goal = goal.id.clone();
            mailbox.report(Input::PlannerTranscript { goal, transcript });
        }
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(goal = %goal.id, %error, "cannot store the planner's transcript");
        }
    }
}

/// Returns the plan in an answer.
fn parse_plan(answer: Option<Value>, summary: &str) -> Result<Plan, String> {
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
