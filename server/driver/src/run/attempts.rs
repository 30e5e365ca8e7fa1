//! One attempt at a task: its base, its prompt, and its outcome.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use claudecluster_core::state::Goal;
use claudecluster_protocol::{
    AttemptId, ErrorBody, StopReason, TaskId, agent::AgentInput, event::AttemptOutcome,
};
use claudecluster_worker::{
    agent::registry,
    attempt::{AttemptReport, AttemptSpec},
};
use tokio_util::sync::CancellationToken;

use crate::{
    blocking::run_blocking,
    proposal::{file_merge::FileMergeRules, fold::joined_files},
    review::reader::PendingReader,
    run::{
        agents,
        base_snapshot::{BaseSnapshot, FileBases},
        layers::{GoalLayers, discard_files, upstream_tasks},
        prompts,
        repair_prompt::{forked_session, repair_prompt},
        sessions::{SessionRunner, SessionSetup, change_limits},
    },
    workspace::content_store::ContentStore,
};

/// Why an attempt was not started.
#[derive(Debug, thiserror::Error)]
enum AttemptStartError {
    /// The hunks to repair have been decided meanwhile. Another try would not find anything either.
    #[error("there is nothing left to repair")]
    NothingToRepair,
    /// The attempt could not be prepared.
    #[error("{0}")]
    Unprepared(ErrorBody),
}

impl From<ErrorBody> for AttemptStartError {
    fn from(error: ErrorBody) -> Self {
        Self::Unprepared(error)
    }
}

impl From<AttemptStartError> for AttemptOutcome {
    fn from(error: AttemptStartError) -> Self {
        match error {
            AttemptStartError::NothingToRepair => {
                failed_outcome(StopReason::Refused, error.to_string())
            }
            AttemptStartError::Unprepared(error) => {
                failed_outcome(StopReason::SpawnFailed, error.message)
            }
        }
    }
}

/// Returns the outcome of an attempt that never came to run.
pub(crate) fn failed_outcome(stop: StopReason, summary: String) -> AttemptOutcome {
    AttemptOutcome::new(Some(stop), summary)
}

/// Runs attempts at tasks.
#[derive(Clone)]
pub(crate) struct AttemptRunner {
    pub(crate) setup: SessionSetup,
    pub(crate) sessions: SessionRunner,
    pub(crate) layers: GoalLayers,
    pub(crate) merge: FileMergeRules,
    /// Pending hunks, for repairs of a proposal in review.
    pub(crate) pending: PendingReader,
}

impl AttemptRunner {
    /// Runs one attempt to its classified end.
    pub(crate) async fn run_attempt(
        &self,
        goal: &Arc<Goal>,
        task: &TaskId,
        attempt: AttemptId,
        cancel: CancellationToken,
    ) -> AttemptOutcome {
        let (spec, snapshot) = match self.prepare(goal, task, attempt).await {
            Ok(prepared) => prepared,
            Err(error) => return error.into(),
        };
        let layer = spec.sandbox.layer.clone();
        let asker = Some((task.clone(), attempt));
        let report = self
            .sessions
            .run_session(&goal.id, asker, spec, cancel)
            .await;
        let (contents, owned_goal) = (self.merge.contents.clone(), goal.clone());
        let outcome = run_blocking("storing the attempt", move || {
            store_outcome(&contents, &owned_goal, &snapshot, report)
        })
        .await
        .unwrap_or_else(|error| failed_outcome(StopReason::Resources, error.message));
        if outcome.stop.is_some() {
            // Nothing builds on it, and if it has filled the disk its own end could not be journaled.
            discard_files(&layer, &["transcript.jsonl"]).await;
        }
        outcome
    }

    async fn prepare(
        &self,
        goal: &Arc<Goal>,
        task: &TaskId,
        attempt: AttemptId,
    ) -> Result<(AttemptSpec, BaseSnapshot), AttemptStartError> {
        let setup = &self.setup;
        let settings = setup.config.workspace_settings(&goal.spec.workspace)?;
        let spec = &goal.tasks[task].spec;
        let agent = goal.spec.agent_for(spec);
        let can = registry().get(agent).capabilities();
        let layer = self.layers.task_dir(goal, task).join(attempt.to_string());
        let (snapshot, lowers) = self.base_of(goal, task, attempt).await?;
        // Where the agents' home has been tidied away there is nothing to fork.
        let forkable = setup.running.goal_dir(&goal.id).join("agent").is_dir();
        let mut session = setup.session_spec(&settings, goal, agent, spec.timeout)?;
        session.task.prompt = self.prompt(goal, task, attempt).await?;
        session.task.run.clone_from(&spec.run);
        session.task.model = spec.model.clone().or(session.task.model);
        // A fork shares its parent's model, or it shares nothing.
        let planner_model = settings.planner.model.clone().or(goal.spec.model.clone());
        let shares = session.task.model == planner_model && Some(agent) == goal.spec.agent;
        if forkable && can.forks && shares {
            session.task.fork_of.clone_from(&goal.planner_session);
        }
        if forkable
            && can.resumes
            && let Some(own) = forked_session(goal, task)
        {
            session.task.fork_of = Some(own);
        }
        let task_env: Vec<(OsString, OsString)> = spec
            .env
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut gate_env = agents::command_env(&setup.running, &settings, goal);
        gate_env.extend(task_env.iter().cloned());
        if can.input == AgentInput::Command {
            session.place.env.extend(task_env);
        }
        let (owned, owned_goal) = (setup.clone(), goal.clone());
        let tracked = run_blocking("listing tracked files", move || {
            Ok(owned.tracked_files(&owned_goal))
        })
        .await?;
        let spec = AttemptSpec {
            sandbox: setup.sandbox_spec(&settings, goal, layer.clone(), lowers),
            agent: session,
            gates: spec.gates.clone(),
            gate_env,
            gate_timeout: settings.timeouts.gate,
            tracked,
            limits: change_limits(&settings),
            transcript: layer.join("transcript.jsonl"),
        };
        Ok((spec, snapshot))
    }

    /// Returns the base snapshot of an attempt, and the layers that make it.
    async fn base_of(
        &self,
        goal: &Arc<Goal>,
        task: &TaskId,
        attempt: AttemptId,
    ) -> Result<(BaseSnapshot, Vec<PathBuf>), ErrorBody> {
        if goal.tasks[task].amends() {
            let layer = self
                .layers
                .task_dir(goal, task)
                .join(format!("ground-{attempt}"));
            let mut layers = vec![layer.clone()];
            // Below it what was built and version control ignores.
            layers.extend(self.layers.upstream_layers(goal, &goal.finished).await?);
            let (editors, pending, goal) = (
                self.setup.editors.clone(),
                self.pending.clone(),
                goal.clone(),
            );
            let snapshot = run_blocking("capturing the workspace", move || {
                BaseSnapshot::of_review(&editors, pending.reviews(), &goal, &layer)
            });
            return Ok((snapshot.await?, layers));
        }
        let lowers = self.lower_layers(goal, task, attempt).await?;
        let upstream = upstream_tasks(goal, task, attempt);
        let (merge, goal) = (self.merge.clone(), goal.clone());
        let snapshot = run_blocking("reading the snapshot", move || {
            BaseSnapshot::of_plan(&merge, &goal, &upstream)
        });
        Ok((snapshot.await?, lowers))
    }

    /// Returns the layers that a task starts from, the uppermost first:
    ///
    /// - the merged files that several upstream tasks changed;
    /// - the upstream tasks' own layers, the latest first;
    /// - the unsaved buffers.
    async fn lower_layers(
        &self,
        goal: &Arc<Goal>,
        task: &TaskId,
        attempt: AttemptId,
    ) -> Result<Vec<PathBuf>, ErrorBody> {
        let upstream = upstream_tasks(goal, task, attempt);
        let seed = self.layers.seed_layer(goal).await?;
        let merged = self
            .layers
            .task_dir(goal, task)
            .join(format!("merged-{attempt}"));
        let below = self.layers.upstream_layers(goal, &upstream).await?;
        let (merge, writer, goal) = (self.merge.clone(), self.layers.clone(), goal.clone());
        let mut layers = run_blocking("joining upstream layers", move || {
            let joined = joined_files(&merge, &goal, &upstream)?;
            if joined.is_empty() {
                return Ok(Vec::new());
            }
            writer.write_versions(&merged, joined)?;
            Ok(vec![merged])
        })
        .await?;
        layers.extend(below);
        layers.extend(seed);
        Ok(layers)
    }

    async fn prompt(
        &self,
        goal: &Arc<Goal>,
        task: &TaskId,
        attempt: AttemptId,
    ) -> Result<String, AttemptStartError> {
        let Some(repair) = goal.tasks[task].repair.clone() else {
            return Ok(prompts::task_prompt(goal, task));
        };
        let upstream = upstream_tasks(goal, task, attempt);
        let (merge, pending) = (self.merge.clone(), self.pending.clone());
        let (goal, task) = (goal.clone(), task.clone());
        run_blocking("describing a repair", move || {
            repair_prompt(&merge, &pending, &goal, &task, &repair, &upstream)
        })
        .await?
        .ok_or(AttemptStartError::NothingToRepair)
    }
}

/// Stores the changes and transcript of an attempt, and returns the outcome to journal.
fn store_outcome(
    contents: &ContentStore,
    goal: &Goal,
    snapshot: &BaseSnapshot,
    report: AttemptReport,
) -> Result<AttemptOutcome, ErrorBody> {
    let bases = FileBases {
        contents,
        goal,
        snapshot,
    };
    let mut changes = Vec::new();
    for change in &report.changes.changes {
        bases.file_changes(change, &mut changes)?;
    }
    let mut stop = report.stop;
    let mut summary = closing_words(&report);
    if stop.is_none() && says_blocked(&report) {
        stop = Some(StopReason::Refused);
    }
    for refused in &report.changes.refused {
        summary.push_str(&format!(
            "\n{} is left out: {}",
            refused.path, refused.reason
        ));
    }
    if report.changes.refused_more > 0 {
        summary.push_str(&format!(
            "\n{} more files are left out",
            report.changes.refused_more
        ));
    }
    let transcript = std::fs::read(&report.transcript)
        .ok()
        .filter(|bytes| !bytes.is_empty());
    Ok(AttemptOutcome {
        stop,
        summary,
        retry_after: report.retry_after,
        changes,
        usage: report.usage,
        gates: report.gates,
        session: report.session,
        sandbox: report.sandbox,
        transcript: transcript
            .map(|bytes| contents.store().put_blob(&bytes).map_err(ErrorBody::from))
            .transpose()?,
    })
}

/// Returns the agent's summary, from its structured answer if it gave one.
fn closing_words(report: &AttemptReport) -> String {
    let answered = report
        .answer
        .as_ref()
        .and_then(|answer| answer.get("summary")?.as_str());
    match (report.stop, answered) {
        (None, Some(words)) => words.to_owned(),
        _ => report.summary.clone(),
    }
}

fn says_blocked(report: &AttemptReport) -> bool {
    let status = report
        .answer
        .as_ref()
        .and_then(|answer| answer.get("status")?.as_str());
    status == Some("blocked")
}
