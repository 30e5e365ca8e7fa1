//! One attempt at a task: its base, its prompt, and its outcome.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use claudecluster_core::state::Goal;
use claudecluster_protocol::{
    AttemptId, BlobId, ErrorBody, StopReason, TaskId,
    agent::AgentInput,
    event::AttemptOutcome,
    goal::EnvVar,
    worker::{JobEnv, JobReport, JobWork, WorkerJob},
};
use claudecluster_worker::agent::registry;
use tokio_util::sync::CancellationToken;

use crate::{
    blocking::{read_workspace, run_blocking},
    proposal::{file_merge::FileMergeRules, fold::joined_files},
    review::reader::PendingReader,
    run::{
        agents,
        base_snapshot::{BaseSnapshot, FileBases},
        layers::{JobContents, JobLayers, upstream_tasks},
        prompts,
        repair_prompt::{forked_session, repair_prompt},
        sessions::{SessionRunner, SessionSetup},
    },
    workspace::content_store::ContentStore,
};

/// The characters that are kept of what a worker says of its isolation.
const ISOLATION_CHARS: usize = 2000;

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
        let (job, contents, snapshot) = match self.prepare(goal, task, attempt).await {
            Ok(prepared) => prepared,
            Err(error) => return error.into(),
        };
        let asker = Some((task.clone(), attempt));
        let mut finished = self
            .sessions
            .run_session(&goal.id, asker, job, contents, cancel)
            .await;
        let report = std::mem::take(&mut finished.report);
        let reported = std::mem::take(&mut finished.contents);
        let (contents, owned_goal) = (self.merge.contents.clone(), goal.clone());
        let outcome = run_blocking("storing the attempt", move || {
            store_outcome(&contents, &owned_goal, &snapshot, report, &reported)
        })
        .await
        .unwrap_or_else(|error| failed_outcome(StopReason::Resources, error.message));
        // Nothing builds on a failed attempt, and if it has filled the disk its own end could not be
        // journaled.
        finished.release(outcome.stop.is_none()).await;
        outcome
    }

    async fn prepare(
        &self,
        goal: &Arc<Goal>,
        task: &TaskId,
        attempt: AttemptId,
    ) -> Result<(WorkerJob, JobContents, BaseSnapshot), AttemptStartError> {
        let setup = &self.setup;
        let settings = setup.config.workspace_settings(&goal.spec.workspace)?;
        let spec = &goal.tasks[task].spec;
        let agent = goal.spec.agent_for(spec);
        let can = registry().get(agent).capabilities();
        let (snapshot, layers) = self.base_of(goal, task, attempt).await?;
        let mut session = setup
            .session_task(&settings, goal, agent, spec.timeout)
            .await?;
        session.prompt = self.prompt(goal, task, attempt).await?;
        session.run.clone_from(&spec.run);
        session.model = spec.model.clone().or(session.model);
        // A fork shares its parent's model, or it shares nothing.
        let planner_model = settings.planner.model.clone().or(goal.spec.model.clone());
        let shares = session.model == planner_model && Some(agent) == goal.spec.agent;
        if can.forks && shares {
            session.fork_of.clone_from(&goal.planner_session);
        }
        if can.resumes
            && let Some(own) = forked_session(goal, task)
        {
            session.fork_of = Some(own);
        }
        let task_env = spec.env.iter().map(|(name, value)| EnvVar {
            name: name.clone(),
            value: value.clone(),
        });
        let mut session_env = agents::env(&setup.running, &settings, goal, agent);
        if can.input == AgentInput::Command {
            session_env.extend(task_env.clone());
        }
        let mut gate_env = agents::command_env(&setup.running, &settings, goal);
        gate_env.extend(task_env);
        let (owned, owned_goal) = (setup.clone(), goal.clone());
        let tracked = read_workspace("listing tracked files", move || {
            Ok(owned.tracked_files(&owned_goal))
        })
        .await?;
        let work = JobWork::Task { task: task.clone() };
        let base = snapshot.id.clone();
        let job = WorkerJob {
            session: Some(session),
            session_env: JobEnv(session_env),
            gates: spec.gates.clone(),
            gate_env: JobEnv(gate_env),
            tracked: tracked.to_vec(),
            ..setup.new_job(&settings, goal, (work, attempt), base, layers.refs())
        };
        let contents = layers.into_contents(self.merge.contents.clone());
        Ok((job, contents, snapshot))
    }

    /// Returns the base snapshot of an attempt, and the layers that make it.
    async fn base_of(
        &self,
        goal: &Arc<Goal>,
        task: &TaskId,
        attempt: AttemptId,
    ) -> Result<(BaseSnapshot, JobLayers), ErrorBody> {
        if goal.tasks[task].amends_proposal() {
            let (editors, pending, goal) = (
                self.setup.editors.clone(),
                self.pending.clone(),
                goal.clone(),
            );
            return read_workspace("capturing the workspace", move || {
                let snapshot = BaseSnapshot::of_review(&editors, pending.reviews(), &goal)?;
                let mut layers = JobLayers::default();
                layers.push_versions(snapshot.above());
                // Below it what was built and version control ignores.
                layers.push_upstream(&goal, &goal.finished);
                Ok((snapshot, layers))
            })
            .await;
        }
        let upstream = upstream_tasks(goal, task, attempt);
        let (merge, goal) = (self.merge.clone(), goal.clone());
        run_blocking("reading the snapshot", move || {
            let snapshot = BaseSnapshot::of_plan(&merge, &goal, &upstream)?;
            // The one that wins first: what several upstream tasks changed, merged; the upstream tasks' own
            // layers; the unsaved buffers.
            let mut layers = JobLayers::default();
            layers.push_versions(joined_files(&merge, &goal, &upstream)?);
            layers.push_upstream(&goal, &upstream);
            layers.push_seed(&merge.contents, &goal)?;
            Ok((snapshot, layers))
        })
        .await
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
    report: JobReport,
    reported: &HashMap<BlobId, Bytes>,
) -> Result<AttemptOutcome, ErrorBody> {
    let bases = FileBases {
        contents,
        goal,
        snapshot,
        reported,
    };
    let mut changes = Vec::new();
    for change in &report.changes {
        bases.file_changes(change, &mut changes)?;
    }
    let mut stop = report.stop;
    let mut summary = closing_words(&report);
    if stop.is_none() && says_blocked(&report) {
        stop = Some(StopReason::Refused);
    }
    for left_out in &report.left_out {
        let line = format!("\n{} is left out: {}", left_out.path, left_out.reason);
        summary.push_str(&line);
    }
    if report.left_out_more > 0 {
        let line = format!("\n{} more files are left out", report.left_out_more);
        summary.push_str(&line);
    }
    Ok(AttemptOutcome {
        stop,
        summary,
        retry_after: report.retry_after,
        changes,
        usage: report.usage,
        gates: report.gates,
        session: report.session,
        sandbox: report.sandbox,
        isolation: report.isolation.chars().take(ISOLATION_CHARS).collect(),
        transcript: store_transcript(contents, report.transcript.as_ref(), reported)?,
    })
}

/// Stores the transcript of a report, if it has one.
pub(crate) fn store_transcript(
    contents: &ContentStore,
    transcript: Option<&BlobId>,
    reported: &HashMap<BlobId, Bytes>,
) -> Result<Option<BlobId>, ErrorBody> {
    let bytes = transcript.and_then(|id| reported.get(id));
    bytes
        .map(|bytes| contents.store().put_blob(bytes).map_err(ErrorBody::from))
        .transpose()
}

/// The agent's summary: that of its structured answer where it gave one.
fn closing_words(report: &JobReport) -> String {
    let answered = report
        .answer
        .as_ref()
        .and_then(|answer| answer.get("summary")?.as_str());
    match (report.stop, answered) {
        (None, Some(words)) => words.to_owned(),
        _ => report.summary.clone(),
    }
}

fn says_blocked(report: &JobReport) -> bool {
    let status = report
        .answer
        .as_ref()
        .and_then(|answer| answer.get("status")?.as_str());
    status == Some("blocked")
}
