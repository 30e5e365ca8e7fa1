//! From a goal to a plan: one session that explores, in a sandbox that is thrown away.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use claudecluster_core::{state::Goal, step::Input};
use claudecluster_protocol::{
    AttemptId, BlobId, ErrorBody, Plan, StopReason,
    goal::AgentUsage,
    worker::{JobEnv, JobReport, JobWork, WorkerJob},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    blocking::run_blocking,
    mailbox::DispatcherMailbox,
    run::{
        agents,
        attempts::{AttemptRunner, store_transcript},
        layers::JobLayers,
        prompts,
    },
    workspace::content_store::ContentStore,
};

/// Plans a goal, or repairs its last plan, and returns the input that reports the result.
pub(crate) async fn run_planner(
    runner: &AttemptRunner,
    mailbox: &DispatcherMailbox,
    goal: &Arc<Goal>,
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
    goal: &Arc<Goal>,
    repair: &[String],
    cancel: CancellationToken,
) -> Result<JobReport, ErrorBody> {
    let setup = &runner.setup;
    let settings = setup.config.workspace_settings(&goal.spec.workspace)?;
    let agent = goal.spec.main_agent();
    let number = goal.plan_refusals + goal.plan_retries + 1;
    let (contents, owned) = (runner.merge.contents.clone(), goal.clone());
    let layers = run_blocking("reading the unsaved buffers", move || {
        let mut layers = JobLayers::default();
        layers.push_seed(&contents, &owned)?;
        Ok(layers)
    })
    .await?;
    let mut session = setup.session_task(&settings, goal, agent, None).await?;
    session.model = settings.planner.model.clone().or(goal.spec.model.clone());
    match repair {
        [] => session.prompt = prompts::plan_prompt(goal),
        errors => {
            session.prompt = prompts::plan_repair_prompt(errors);
            // Without a session to go on from, the errors follow the whole request.
            session.unforked_prompt = Some(format!(
                "{}\n{}",
                prompts::plan_prompt(goal),
                session.prompt
            ));
        }
    }
    session.fork_of.clone_from(&goal.planner_session);
    let (work, base) = ((JobWork::Planner, AttemptId(number)), goal.snapshot.clone());
    let job = WorkerJob {
        session: Some(session),
        session_env: JobEnv(agents::env(&setup.running, &settings, goal, agent)),
        ..setup.new_job(&settings, goal, work, base, layers.refs())
    };
    let contents = layers.into_contents(runner.merge.contents.clone());
    let mut finished = runner
        .sessions
        .run_session(&goal.id, None, job, contents, cancel)
        .await;
    let report = std::mem::take(&mut finished.report);
    let reported = std::mem::take(&mut finished.contents);
    report_transcript(&runner.merge.contents, mailbox, goal, &report, reported).await;
    // What the planner wrote is not wanted; what it read lives on in its session.
    finished.release(false).await;
    Ok(report)
}

/// Stores the planner's transcript, and reports it to the dispatcher before the session's result.
async fn report_transcript(
    contents: &ContentStore,
    mailbox: &DispatcherMailbox,
    goal: &Goal,
    report: &JobReport,
    reported: HashMap<BlobId, Bytes>,
) {
    let (owned, id) = (contents.clone(), report.transcript.clone());
    let stored = run_blocking("storing the planner's transcript", move || {
        store_transcript(&owned, id.as_ref(), &reported)
    });
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
