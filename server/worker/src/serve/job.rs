//! From a job to an attempt on this machine, and from its end to a report.

use std::{collections::HashMap, ffi::OsString, panic::AssertUnwindSafe, path::PathBuf};

use bytes::Bytes;
use claudecluster_files::read_named_file;
use claudecluster_protocol::{
    BlobId, StopReason,
    change::FileVersion,
    worker::{AgentTask, JobEnv, JobReport, LeftOutFile, ReportedChange, WorkerJob},
};
use futures::FutureExt as _;

use super::{
    ContentClient,
    layers::resolve_layers,
    place::{NotPrepared, WorkerPlace, clear_folder},
};
use crate::{
    agent::{AgentPlace, AgentSpec, SessionChannels},
    attempt::{self, AttemptReport, AttemptSpec},
    changes::{ChangeSet, FileContent, TrackedFiles},
    sandbox::SandboxSpec,
};

/// The most bytes of a transcript that is kept.
const TRANSCRIPT_BYTES: u64 = 256 << 20;

/// A job that has ended, with the contents that its report names.
pub(crate) struct JobEnd {
    pub(crate) report: JobReport,
    pub(crate) contents: HashMap<BlobId, Bytes>,
}

impl JobEnd {
    fn failed(stop: StopReason, words: impl Into<String>) -> Self {
        Self {
            report: JobReport::failed_with(stop, words),
            contents: HashMap::new(),
        }
    }
}

/// Runs a job to its classified end.
pub(crate) async fn run_job(
    place: &WorkerPlace,
    job: &WorkerJob,
    channels: SessionChannels,
    contents: ContentClient,
) -> JobEnd {
    let running = AssertUnwindSafe(run_prepared(place, job, channels, contents)).catch_unwind();
    running.await.unwrap_or_else(|_| {
        tracing::error!("an attempt panicked; the panic's text is above");
        JobEnd::failed(
            StopReason::Crashed,
            "the attempt failed for a reason of our own",
        )
    })
}

async fn run_prepared(
    place: &WorkerPlace,
    job: &WorkerJob,
    channels: SessionChannels,
    contents: ContentClient,
) -> JobEnd {
    // What an interrupted job left under the same name is nobody's.
    clear_folder(&place.job_dir(&job.epoch), &[]).await;
    let preparing = prepare_job(place, job, &contents);
    let prepared = tokio::select! {
        biased;
        prepared = preparing => prepared,
        () = channels.cancel.cancelled() => {
            return JobEnd::failed(StopReason::Cancelled, "cancelled before it started");
        }
    };
    let report = match prepared {
        Ok(PreparedJob::Session(spec)) => attempt::run(*spec, channels).await,
        Ok(PreparedJob::Gates(sandbox)) => {
            let env = os_env(&job.gate_env);
            attempt::run_gates_alone(sandbox, &job.gates, &env, job.deadlines, &channels).await
        }
        Err(NotPrepared { stop, words }) => return JobEnd::failed(stop, words),
    };
    report_attempt(report).await
}

enum PreparedJob {
    Session(Box<AttemptSpec>),
    Gates(SandboxSpec),
}

async fn prepare_job(
    place: &WorkerPlace,
    job: &WorkerJob,
    contents: &ContentClient,
) -> Result<PreparedJob, NotPrepared> {
    let goal = &job.epoch.goal;
    let lowers = resolve_layers(place, goal, &job.layers, contents).await?;
    let layer = match &job.session {
        Some(_) => place.job_dir(&job.epoch),
        None => place.job_dir(&job.epoch).join("run"),
    };
    let sandbox = SandboxSpec {
        workspace: PathBuf::from(&job.workspace),
        layer,
        lowers,
        writable: vec![place.home(goal)],
        // The state folder may hold the daemon's socket: a job that reached it could accept its own hunks.
        hidden: place.hidden().to_vec(),
        preference: job.sandbox,
        launcher: place.launcher().to_owned(),
    };
    let Some(task) = &job.session else {
        return Ok(PreparedJob::Gates(sandbox));
    };
    Ok(PreparedJob::Session(Box::new(AttemptSpec {
        sandbox,
        agent: session_spec(place, job, task)?,
        gates: job.gates.clone(),
        gate_env: os_env(&job.gate_env),
        gate_timeout: job.deadlines.gate,
        view_timeout: job.deadlines.view,
        tracked: TrackedFiles::new(job.tracked.iter().cloned()),
        limits: job.change_limits,
        transcript: place.transcript(&job.epoch),
    })))
}

fn session_spec(
    place: &WorkerPlace,
    job: &WorkerJob,
    task: &AgentTask,
) -> Result<AgentSpec, NotPrepared> {
    let goal = &job.epoch.goal;
    let had_home = place.prepare_home(goal)?;
    let mut task = task.clone();
    if !had_home {
        // There is nothing here to fork.
        task.fork_of = None;
    }
    let program = place.program(task.agent, &job.session_env)?;
    Ok(AgentSpec {
        task,
        place: AgentPlace {
            env: os_env(&job.session_env),
            home: place.home(goal),
            program,
        },
    })
}

fn os_env(env: &JobEnv) -> Vec<(OsString, OsString)> {
    let pairs = env.0.iter();
    pairs
        .map(|var| (var.name.clone().into(), var.value.clone().into()))
        .collect()
}

/// What a worker tells of an attempt.
async fn report_attempt(report: AttemptReport) -> JobEnd {
    let made = tokio::task::spawn_blocking(move || hash_and_report(report));
    made.await.unwrap_or_else(|_| {
        JobEnd::failed(StopReason::Crashed, "the attempt could not be reported")
    })
}

fn hash_and_report(report: AttemptReport) -> JobEnd {
    let mut contents = HashMap::new();
    let mut offer = |bytes: Bytes| {
        let id = BlobId::of_bytes(&bytes);
        contents.insert(id.clone(), bytes);
        id
    };
    let ChangeSet {
        changes,
        refused,
        refused_more,
        touched_git: _,
    } = report.changes;
    let changes = changes.into_iter().map(|change| ReportedChange {
        path: change.path,
        from: change.from,
        version: change.after.map(|FileContent { bytes, mode }| FileVersion {
            blob: offer(bytes),
            mode,
        }),
    });
    let changes: Vec<ReportedChange> = changes.collect();
    // One that cannot be read is none.
    let transcript = read_named_file(&report.transcript, TRANSCRIPT_BYTES).ok();
    let transcript = transcript.filter(|bytes| !bytes.is_empty());
    let transcript = transcript.map(|bytes| offer(bytes.into()));
    let left_out = refused.into_iter().map(|refused| LeftOutFile {
        path: refused.path,
        reason: refused.reason.to_string(),
    });
    let has_layer = report.layer.is_some();
    let mut report = JobReport {
        stop: report.stop,
        summary: report.summary,
        answer: report.answer,
        usage: report.usage,
        session: report.session,
        retry_after: report.retry_after,
        changes,
        left_out: left_out.collect(),
        left_out_more: refused_more,
        layer: None,
        gates: report.gates,
        sandbox: report.sandbox,
        isolation: report.isolation,
        transcript,
    };
    report.layer = has_layer.then(|| report.layer_manifest().layer_id());
    JobEnd { report, contents }
}
