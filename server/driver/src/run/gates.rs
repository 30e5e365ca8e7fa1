//! The goal's gates: commands that must succeed on the merged result. They run in a sandbox, never
//! in the workspace.

use std::sync::Arc;

use claudecluster_core::state::Goal;
use claudecluster_protocol::{
    AttemptId, ErrorBody, StopReason,
    goal::GateResult,
    worker::{JobEnv, JobWork, WorkerJob},
};
use tokio_util::sync::CancellationToken;

use crate::{
    blocking::run_blocking,
    proposal::repair_tasks::gate_commands,
    run::{agents, attempts::AttemptRunner, layers::JobLayers},
};

/// Returns every gate as failed for this reason.
pub(crate) fn failed_gates(goal: &Goal, reason: &str) -> Vec<GateResult> {
    let failed = |command| GateResult {
        command,
        passed: false,
        status: None,
        output: reason.to_owned(),
        duration_ms: 0,
    };
    gate_commands(goal).into_iter().map(failed).collect()
}

/// Runs the gates on the workspace with everything accepted.
pub(crate) async fn run_gates(
    runner: &AttemptRunner,
    goal: &Arc<Goal>,
    cancel: CancellationToken,
) -> Vec<GateResult> {
    match run_in_sandbox(runner, goal, cancel).await {
        Ok(results) => results,
        Err(error) => failed_gates(goal, &error.message),
    }
}

async fn run_in_sandbox(
    runner: &AttemptRunner,
    goal: &Arc<Goal>,
    cancel: CancellationToken,
) -> Result<Vec<GateResult>, ErrorBody> {
    let setup = &runner.setup;
    let settings = setup.config.workspace_settings(&goal.spec.workspace)?;
    let (contents, owned) = (runner.merge.contents.clone(), goal.clone());
    let layers = run_blocking("reading the merged result", move || {
        let merged = owned.files.iter().filter(|entry| !entry.is_alternative());
        let versions = merged.map(|entry| (entry.file.path.clone(), entry.file.proposed.clone()));
        let mut layers = JobLayers::default();
        layers.push_versions(versions);
        // Below the merged files: what the tasks built and version control ignores, and the buffers.
        layers.push_upstream(&owned, &owned.finished);
        layers.push_seed(&contents, &owned)?;
        Ok(layers)
    })
    .await?;
    let (work, base) = ((JobWork::Gates, AttemptId(1)), goal.snapshot.clone());
    let job = WorkerJob {
        gates: gate_commands(goal),
        gate_env: JobEnv(agents::command_env(&setup.running, &settings, goal)),
        ..setup.new_job(&settings, goal, work, base, layers.refs())
    };
    let contents = layers.into_contents(runner.merge.contents.clone());
    let mut finished = runner
        .sessions
        .run_session(&goal.id, None, job, contents, cancel)
        .await;
    let report = std::mem::take(&mut finished.report);
    finished.release(false).await;
    match (report.sandbox, report.stop) {
        (Some(_), _) | (None, Some(StopReason::Cancelled)) => Ok(report.gates),
        (None, _) => Err(ErrorBody::environment(format!(
            "cannot create a sandbox for the gates: {}",
            report.summary
        ))
        .with_hint("check the setup with: claudecluster doctor")),
    }
}
