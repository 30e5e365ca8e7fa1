//! From a job to an attempt on this machine, and from its end to a report.

use std::{
    collections::HashMap,
    ffi::OsString,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use claudecluster_files::{ForeignFileError, discard_paths, read_named_file, run_with_deadline};
use claudecluster_protocol::{
    BlobId, ErrorBody, StopReason,
    change::FileVersion,
    network::NetworkMode,
    plan::AgentName,
    worker::{AgentTask, JobEnv, JobReport, LeftOutFile, ReportedChange, WorkerJob},
};
use futures::FutureExt as _;

use super::{
    ContentClient,
    homes::{HOME, home_of, take_away_old_homes},
    layers::resolve_layers,
    place::{NotPrepared, WorkerPlace, clear_folder},
};
use crate::{
    agent::{AgentPlace, AgentSpec, ForkInheritance, SessionChannels, registry},
    attempt::{self, AttemptReport, AttemptSpec},
    changes::{ChangeSet, FileContent, TrackedFiles},
    network::{
        DoorSetup, ProviderHosts, TaskDoor, UpstreamProxies, is_proxy_variable, longest_wait,
    },
    sandbox::{NetworkDoor, PRIVATE_PLACES, PrivateMount, SandboxSpec},
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
    let door = open_door(job, &channels);
    let preparing = prepare_job(place, job, &contents, door.clone());
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

/// Makes the door through which the job's programs reach the network; `None` where it is open to them.
fn open_door(job: &WorkerJob, channels: &SessionChannels) -> Option<Arc<TaskDoor>> {
    if job.network.mode == NetworkMode::Open {
        return None;
    }
    let addresses = job.session.as_ref().map(|task| {
        let agent = registry().get(task.agent);
        agent.provider_addresses(&job.session_env.0)
    });
    let (session, gates) = (&job.session_env, &job.gate_env);
    let upstream = UpstreamProxies::from_variables(|name| {
        let given = session.get(name).or_else(|| gates.get(name));
        given
            .map(str::to_owned)
            .or_else(|| std::env::var(name).ok())
    });
    Some(Arc::new(TaskDoor::new(DoorSetup {
        policy: &job.network,
        provider: ProviderHosts::read(&addresses.unwrap_or_default()),
        upstream,
        channels,
    })))
}

enum PreparedJob {
    Session(Box<AttemptSpec>),
    Gates(Box<SandboxSpec>),
}

async fn prepare_job(
    place: &WorkerPlace,
    job: &WorkerJob,
    contents: &ContentClient,
    door: Option<Arc<TaskDoor>>,
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
        network: door.map(|door| door as Arc<dyn NetworkDoor>),
        preference: job.sandbox,
        fences: job.fences.clone(),
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
        agent: session_spec(place, job, task).await?,
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
) -> Result<AgentSpec, NotPrepared> {
    let mut task = task.clone();
    let program = place.program(task.agent, &job.session_env)?;
    let inherited = make_home(place, job, &task).await?;
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
            env: os_env(job, &job.session_env),
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
        Ok((keep.make_home(home, name, &dir, parent.as_deref())?, old))
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

/// Returns variables of a job as its programs get them. Where the network has a door, the user's own proxies are
/// reached by the door.
fn os_env(job: &WorkerJob, env: &JobEnv) -> Vec<(OsString, OsString)> {
    let is_open = job.network.mode == NetworkMode::Open;
    let pairs = env.0.iter();
    pairs
        .filter(|var| is_open || !is_proxy_variable(&var.name))
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
        hosts: Vec::new(),
        hosts_more: 0,
        transcript,
    };
    report.layer = has_layer.then(|| report.layer_manifest().layer_id());
    JobEnd { report, contents }
}
