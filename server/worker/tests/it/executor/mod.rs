//! Jobs, and whoever runs them: in this process, and in another over a pipe.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests is a test"
)]

mod equality;
mod faults;
mod homes;
mod keys;
mod layers;
mod protocol;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use claudecluster_protocol::{
    AttemptId, BlobId, Span,
    event::AgentEvent,
    network::NetworkPolicy,
    plan::{AgentName, Command},
    worker::{
        AgentLimits, AgentTask, AttemptEpoch, ChangeLimits, EpochNumber, JobDeadlines, JobEnv,
        JobReport, JobWork, SandboxChoice, ToolPermissions, WorkerJob,
    },
};
use claudecluster_worker::{
    agent::{AgentSettings, PermissionQuestion, SessionChannels, SessionClocks},
    executor::{DriveLimits, Executor, JobPorts, LocalExecutor, PipeExecutor},
    serve::WorkerPlace,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{Fixture, launcher};

/// Long enough for anything but a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job that runs a script as the task `t`.
fn job(fixture: &Fixture, script: &str) -> WorkerJob {
    WorkerJob {
        epoch: epoch("t", 1, 1),
        workspace: fixture.workspace.to_str().unwrap().to_owned(),
        base: None,
        layers: Vec::new(),
        sandbox: SandboxChoice::Auto,
        network: NetworkPolicy::default(),
        session: Some(AgentTask {
            agent: AgentName::Command,
            prompt: String::new(),
            system: None,
            schema: None,
            model: None,
            session: "00000000-0000-4000-8000-000000000000".to_owned(),
            fork_of: None,
            unforked_prompt: None,
            run: Some(Command::Shell(script.to_owned())),
            limits: AgentLimits {
                timeout: Span::from_secs(60),
                exit: Span(200),
                ..AgentLimits::default()
            },
            permissions: ToolPermissions::default(),
        }),
        session_env: JobEnv::default(),
        gates: Vec::new(),
        gate_env: JobEnv::default(),
        deadlines: JobDeadlines {
            view: Span::from_secs(60),
            gate: Span::from_secs(60),
        },
        change_limits: ChangeLimits::default(),
        fences: Default::default(),
        tracked: Vec::new(),
    }
}

fn epoch(task: &str, attempt: u32, number: u64) -> AttemptEpoch {
    AttemptEpoch {
        goal: "g1".into(),
        work: JobWork::Task { task: task.into() },
        attempt: AttemptId(attempt),
        number: EpochNumber(number),
    }
}

/// A folder for a worker beside the workspace.
fn place(fixture: &Fixture, name: &str) -> WorkerPlace {
    let state = state(fixture, name);
    WorkerPlace::new(state, launcher()).hide(fixture.state.clone())
}

fn state(fixture: &Fixture, name: &str) -> PathBuf {
    let state = fixture.state.join(name);
    std::fs::create_dir_all(&state).unwrap();
    state
}

fn local(fixture: &Fixture, name: &str) -> LocalExecutor {
    LocalExecutor::new(place(fixture, name))
}

fn pipe(fixture: &Fixture, name: &str) -> PipeExecutor {
    let mut args = vec![
        "worker".into(),
        "--state".into(),
        state(fixture, name).into(),
    ];
    args.extend(["--hide".into(), fixture.state.clone().into()]);
    PipeExecutor {
        program: launcher(),
        args,
        place: place(fixture, name),
        limits: DriveLimits {
            heartbeat: Span(200),
            ..DriveLimits::default()
        },
    }
}

/// Both executors, with Claude Code being this program.
fn with_claude(fixture: &Fixture, program: &Path) -> [(&'static str, Box<dyn Executor>); 2] {
    let mut agents = AgentSettings::default();
    agents.claude.program = Some(program.to_owned());
    let local = LocalExecutor::new(place(fixture, "local").with_agents(agents));
    let mut pipe = pipe(fixture, "pipe");
    pipe.args.extend(["--claude".into(), program.into()]);
    [("local", Box::new(local)), ("pipe", Box::new(pipe))]
}

/// The other ends of a job's ports.
struct Ends {
    events: mpsc::Receiver<AgentEvent>,
    asks: mpsc::UnboundedReceiver<PermissionQuestion>,
    cancel: CancellationToken,
}

type Contents = HashMap<BlobId, Bytes>;

fn ports(contents: Contents, events: usize) -> (JobPorts, Ends) {
    let (events_in, events) = mpsc::channel(events);
    let (asks_in, asks) = mpsc::unbounded_channel();
    let cancel = CancellationToken::new();
    let ports = JobPorts {
        channels: SessionChannels {
            events: events_in,
            questions: Some(asks_in),
            cancel: cancel.clone(),
            clocks: SessionClocks::default(),
        },
        contents: Arc::new(contents),
    };
    let ends = Ends {
        events,
        asks,
        cancel,
    };
    (ports, ends)
}

/// Runs a job to its release.
async fn run(
    executor: &dyn Executor,
    job: WorkerJob,
    contents: Contents,
    keep_layer: bool,
) -> (JobReport, Contents) {
    let (ports, _ends) = ports(contents, 1024);
    let finished = tokio::time::timeout(PATIENCE, executor.run_job(job, ports)).await;
    let finished = finished.unwrap();
    let (report, contents) = (finished.report.clone(), finished.contents.clone());
    finished.release(keep_layer).await;
    (report, contents)
}
