//! From a job to an attempt on this machine, and from its end to a report.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use claudecluster_files::{ForeignFileError, discard_paths, read_named_file, run_with_deadline};
use claudecluster_protocol::{
    BlobId, ErrorBody, StopReason,
    change::FileVersion,
    plan::AgentName,
    worker::{AgentTask, JobReport, LeftOutFile, ReportedChange, WorkerJob},
};
use futures::FutureExt as _;

use super::{
    ContentClient,
    homes::{HOME, home_of, take_away_old_homes},
    layers::resolve_layers,
    place::{NotPrepared, WorkerPlace, clear_folder},
    session::{JobSession, os_env},
};
use crate::{
    agent::{AgentPlace, AgentSpec, ForkInheritance, SessionChannels},
    attempt::{self, AttemptReport, AttemptSpec},
    changes::{ChangeSet, FileContent, TrackedFiles},
    network::longest_wait,
    sandbox::{PRIVATE_PLACES, PrivateMount, SandboxSpec},
    transcript::TRANSCRIPT_BYTES,
};

/// How long copying a session's files into its home or out of it may take.
const FILES_DEADLINE: Duration = Duration::from_mins(1);

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
    let session = match JobSession::prepare(place, job, &channels) {
        Ok(session) => session,
        Err(NotPrepared { stop, words }) => return JobEnd::failed(stop, words),
    };
    let door = session.door.clone();
    let preparing = prepare_job(place, job, &contents, &session);
    let prepared = tokio::select! {
        biased;
        prepared = preparing => prepared,
        () = channels.cancel.cancelled() => {
            return JobEnd::failed(StopReason::Cancelled, "cancelled before it started");
        }
    };
    let report = match prepared {
        Ok(PreparedJob::Session(spec)) => {
            let (agent, home) = (spec.agent.task.agent, spec.agent.place.home.clone());
            let mut report = attempt::run(*spec, channels).await;
            keep_session(place, job, agent, home, &mut report).await;
            report
        }
        Ok(PreparedJob::Gates(sandbox)) => {
            let env = os_env(job, &job.gate_env);
            attempt::run_gates_alone(*sandbox, &job.gates, &env, job.deadlines, &channels).await
        }
        Err(NotPrepared { stop, words }) => return JobEnd::failed(stop, words),
    };
    let mut end = report_attempt(report).await;
    if let Some(door) = door {
        (end.report.hosts, end.report.hosts_more) = door.close().await;
    }
    end
}

enum PreparedJob {
    Session(Box<AttemptSpec>),
    Gates(Box<SandboxSpec>),
}

async fn prepare_job(
    place: &WorkerPlace,
    job: &WorkerJob,
    contents: &ContentClient,
    session: &JobSession,
) -> Result<PreparedJob, NotPrepared> {
    let goal = &job.epoch.goal;
    let lowers = resolve_layers(place, goal, &job.layers, contents).await?;
    let layer = match &job.session {
        Some(_) => place.job_dir(&job.epoch),
        None => place.job_dir(&job.epoch).join("run"),
    };
    let has_home = job
        .session
        .as_ref()
        .and_then(|task| home_of(task.agent))
        .is_some();
    let mounts = has_home.then(|| PrivateMount {
        source: place.home(&job.epoch),
        target: Path::new(PRIVATE_PLACES).join(HOME),
    });
    let mounts = mounts.into_iter().collect();
    let sandbox = SandboxSpec {
        lowers,
        mounts,
        // The state folder may hold the daemon's socket: a job that reached it could accept its own hunks.
        hidden: place.hidden(Path::new(&job.workspace)),
        network: session.sandbox_door(job),
        preference: job.sandbox,
        fences: job.fences.clone(),
        groups: Some(place.groups().clone()),
        ..SandboxSpec::new(
            PathBuf::from(&job.workspace),
            layer,
            place.launcher().to_owned(),
        )
    };
    let Some(task) = &job.session else {
        return Ok(PreparedJob::Gates(Box::new(sandbox)));
    };
    Ok(PreparedJob::Session(Box::new(AttemptSpec {
        sandbox,
        agent: session_spec(place, job, task, session).await?,
        gates: job.gates.clone(),
        gate_env: os_env(job, &job.gate_env),
        gate_timeout: job.deadlines.gate,
        view_timeout: job.deadlines.view,
        network_wait: longest_wait(&job.network),
        tracked: TrackedFiles::new(job.tracked.iter().cloned()),
        limits: job.change_limits,
        transcript: place.transcript(&job.epoch),
    })))
}

async fn session_spec(
    place: &WorkerPlace,
    job: &WorkerJob,
    task: &AgentTask,
    session: &JobSession,
) -> Result<AgentSpec, NotPrepared> {
    let mut task = task.clone();
    let program = place.program(task.agent, &job.session_env)?;
    let inherited = make_home(place, job, &task, session.needs_login()).await?;
    if inherited.is_none() {
        // There is nothing here to fork.
        task.fork_of = None;
        if let Some(prompt) = task.unforked_prompt.take() {
            task.prompt = prompt;
        }
    }
    Ok(AgentSpec {
        task,
        place: AgentPlace {
            env: session.env.clone(),
            home: place.home(&job.epoch),
            inherited: inherited.unwrap_or_default(),
            program,
        },
    })
}

/// Makes the home of a job's session, if its agent has one. Returns what the session inherits; `None` if it does not
/// start from an earlier one.
async fn make_home(
    place: &WorkerPlace,
    job: &WorkerJob,
    task: &AgentTask,
    needs_login: bool,
) -> Result<Option<ForkInheritance>, ErrorBody> {
    let Some(home) = home_of(task.agent) else {
        return Ok(None);
    };
    let keep = place.session_keep(&job.epoch.goal);
    let (name, parent) = (task.agent, task.fork_of.clone());
    let dir = place.job_dir(&job.epoch);
    let shown = dir.clone();
    let made = run_with_deadline(FILES_DEADLINE, move || {
        let old = take_away_old_homes(&dir);
        Ok((
            keep.make_home(home, name, &dir, parent.as_deref(), needs_login)?,
            old,
        ))
    });
    let made = match made.await {
        Ok((inherited, old)) => {
            discard_homes(old).await;
            Ok(inherited)
        }
        Err(error) => Err(error),
    };
    made.map_err(|error: ForeignFileError| {
        ErrorBody::environment(format!(
            "cannot make a home for the agent in {}: {error}",
            shown.display()
        ))
        .with_hint("check that the state folder is writable and has free space")
    })
}

/// Keeps what forks of the job's session need, and deletes its home. The session's programs have ended; what they left
/// is read as foreign files all the same.
async fn keep_session(
    place: &WorkerPlace,
    job: &WorkerJob,
    agent: AgentName,
    home: PathBuf,
    report: &mut AttemptReport,
) {
    let Some(kind) = home_of(agent) else { return };
    let keep = place.session_keep(&job.epoch.goal);
    let (session, inheritance) = (report.session.clone(), report.inheritance.clone());
    let left = home.clone();
    let kept = run_with_deadline(FILES_DEADLINE, move || match &session {
        Some(session) => keep.keep_session(kind, agent, &home, session, inheritance),
        None => Ok(false),
    });
    let is_kept = kept.await.unwrap_or_else(|error: ForeignFileError| {
        tracing::warn!(%error, "a session is not kept; none can be forked from it");
        false
    });
    if !is_kept {
        report.session = None;
    }
    discard_homes(vec![left]).await;
}

async fn discard_homes(homes: Vec<PathBuf>) {
    if let Err(error) = discard_paths(homes).await {
        tracing::warn!(%error, "cannot remove the home of a session");
    }
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
        hosts: Vec::new(),
        hosts_more: 0,
        transcript,
    };
    report.layer = has_layer.then(|| report.layer_manifest().layer_id());
    JobEnd { report, contents }
}
