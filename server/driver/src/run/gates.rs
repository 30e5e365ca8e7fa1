//! The goal's gates: commands that must succeed on the merged result. They run in a sandbox, never
//! in the workspace.

use std::{path::PathBuf, sync::Arc};

use claudecluster_core::state::Goal;
use claudecluster_protocol::{ErrorBody, event::AgentEvent, goal::GateResult};
use claudecluster_worker::{attempt, sandbox::Sandbox};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    blocking::run_blocking,
    proposal::repair_tasks::gate_commands,
    run::{
        agents,
        attempts::AttemptRunner,
        layers::{GoalLayers, discard_files},
    },
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
    let (setup, layers) = (&runner.setup, &runner.layers);
    let settings = setup.config.workspace_settings(&goal.spec.workspace)?;
    let dir = setup.running.goal_dir(&goal.id).join("gates");
    discard_files(&dir, &[]).await;
    let mut lowers = vec![merged_layer(layers, goal, dir.join("merged")).await?];
    // Below the merged files: what the tasks built and version control ignores, and the buffers.
    lowers.extend(layers.upstream_layers(goal, &goal.finished).await?);
    lowers.extend(layers.seed_layer(goal).await?);
    let spec = setup.sandbox_spec(&settings, goal, dir.join("run"), lowers);
    let sandbox = Sandbox::prepare(spec).await.map_err(|error| {
        ErrorBody::environment(format!("cannot create a sandbox for the gates: {error}"))
            .hint("check the setup with: claudecluster doctor")
    })?;
    let env = agents::command_env(&setup.running, &settings, goal);
    let (events, mut reported) = mpsc::channel::<AgentEvent>(64);
    let pass_on = async {
        while let Some(event) = reported.recv().await {
            runner
                .sessions
                .goals
                .publish_activity(&goal.id, None, event);
        }
    };
    let commands = gate_commands(goal);
    let gates = async {
        let timeout = settings.timeouts.gate;
        let results =
            attempt::run_gates(&sandbox, &commands, &env, timeout, &events, &cancel).await;
        drop(events);
        results
    };
    let (results, ()) = tokio::join!(gates, pass_on);
    drop(sandbox);
    discard_files(&dir, &[]).await;
    Ok(results)
}

/// Writes the proposal as a layer.
async fn merged_layer(
    layers: &GoalLayers,
    goal: &Arc<Goal>,
    dir: PathBuf,
) -> Result<PathBuf, ErrorBody> {
    let (layers, goal, target) = (layers.clone(), goal.clone(), dir.clone());
    run_blocking("writing the merged result", move || {
        let merged = goal.files.iter().filter(|entry| !entry.is_alternative());
        let versions = merged.map(|entry| (entry.file.path.clone(), entry.file.proposed.clone()));
        layers.write_versions(&target, versions)
    })
    .await?;
    Ok(dir)
}
