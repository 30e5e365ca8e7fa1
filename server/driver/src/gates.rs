//! The goal's gates: commands that must succeed on the merged result. They run in a sandbox, never
//! in the workspace.

use std::{path::PathBuf, sync::Arc};

use claudecluster_core::lifecycle::Goal;
use claudecluster_protocol::{ErrorBody, event::AgentEvent, goal::GateResult, plan::Gate};
use claudecluster_worker::{
    attempt,
    sandbox::{LayerFile, Sandbox},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{agents, attempts, shared::Shared, work::blocking};

/// The plan's gates, then the goal's own.
pub(crate) fn commands(goal: &Goal) -> Vec<Gate> {
    let mut gates: Vec<Gate> = goal
        .plan
        .iter()
        .flat_map(|plan| plan.gates.clone())
        .collect();
    gates.extend(
        goal.spec
            .gates
            .iter()
            .filter(|gate| !gates.contains(gate))
            .cloned()
            .collect::<Vec<_>>(),
    );
    gates
}

/// Every gate as not passed, for this reason.
pub(crate) fn refused(goal: &Goal, reason: &str) -> Vec<GateResult> {
    let failed = |command| GateResult {
        command,
        passed: false,
        status: None,
        output: reason.to_owned(),
        duration_ms: 0,
    };
    commands(goal).into_iter().map(failed).collect()
}

/// Runs the gates on what the workspace would be with everything accepted.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    cancel: CancellationToken,
) -> Vec<GateResult> {
    match in_sandbox(shared, goal, cancel).await {
        Ok(results) => results,
        Err(error) => refused(goal, &error.message),
    }
}

async fn in_sandbox(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    cancel: CancellationToken,
) -> Result<Vec<GateResult>, ErrorBody> {
    let settings = agents::settings(shared, &goal.spec.workspace)?;
    let dir = shared.goal_dir(&goal.id).join("gates");
    attempts::discard(&dir, &[]).await;
    let mut lowers = vec![merged_layer(shared, goal, dir.join("merged")).await?];
    // Below the merged files: what the tasks built and version control ignores, and the buffers.
    lowers.extend(attempts::upstream_layers(shared, goal, &goal.finished).await?);
    lowers.extend(attempts::seed_layer(shared, goal).await?);
    let spec = attempts::sandbox(shared, &settings, goal, dir.join("run"), lowers);
    let sandbox = Sandbox::prepare(spec).await.map_err(|error| {
        ErrorBody::environment(format!("the gates have no sandbox: {error}"))
            .hint("`claudecluster doctor` says what is missing")
    })?;
    let env = agents::command_env(shared, &settings, goal);
    let (events, mut reported) = mpsc::channel::<AgentEvent>(64);
    let pass_on = async {
        while let Some(event) = reported.recv().await {
            shared.activity(&goal.id, None, event);
        }
    };
    let commands = commands(goal);
    let gates = async {
        let timeout = settings.timeouts.gate;
        let results =
            attempt::run_gates(&sandbox, &commands, &env, timeout, &events, &cancel).await;
        drop(events);
        results
    };
    let (results, ()) = tokio::join!(gates, pass_on);
    drop(sandbox);
    attempts::discard(&dir, &[]).await;
    Ok(results)
}

/// The proposal as a layer.
async fn merged_layer(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    dir: PathBuf,
) -> Result<PathBuf, ErrorBody> {
    let (shared, goal, target) = (shared.clone(), goal.clone(), dir.clone());
    blocking("writing the merged result", move || {
        let files: Result<Vec<LayerFile>, ErrorBody> = goal
            .files
            .iter()
            .filter(|entry| !entry.is_alternative())
            .map(|entry| {
                let content = shared.content_of(entry.file.proposed.as_ref())?;
                Ok(attempts::layer_file(&entry.file.path, content))
            })
            .collect();
        attempts::write_layer(&target, &files?)
    })
    .await?;
    Ok(dir)
}
