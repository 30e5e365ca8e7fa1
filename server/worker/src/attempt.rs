//! One attempt at a task, from sandbox to change set.

use std::{ffi::OsString, fmt::Write as _, panic::AssertUnwindSafe, path::PathBuf, time::Duration};

use claudecluster_protocol::{
    ErrorBody, Span, StopReason,
    event::AgentEvent,
    goal::{AgentUsage, GateResult, SandboxKind},
    plan::Gate,
    worker::{JobDeadlines, WorkerJob},
};
use futures::FutureExt as _;
use tokio::{
    fs::File,
    io::{AsyncWriteExt as _, BufWriter},
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{
        AgentReport, AgentSpec, AgentTask, ForkInheritance, SessionChannels, registry,
        text::clip_summaries,
    },
    changes::{self, ChangeLimits, ChangeSet, TrackedFiles, ViewBase},
    launch::{ProgramLauncher, argv},
    network,
    program::{self, ProgramDeadlines, ProgramEnd},
    sandbox::{LimitBreach, Sandbox, SandboxError, SandboxSpec},
    transcript::TranscriptWriter,
};

/// How long a gate has from SIGTERM to SIGKILL.
const GATE_EXIT: Duration = Duration::from_secs(5);
/// What a worker may take beside the deadlines of a job's parts, for starting and ending them.
const SLACK: Duration = Duration::from_secs(60);
/// A deadline that no clock overflows on.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What one attempt is to do.
#[derive(Clone, Debug)]
pub struct AttemptSpec {
    /// The view it works in.
    pub sandbox: SandboxSpec,
    /// The session.
    pub agent: AgentSpec,
    /// Commands that must succeed in the view afterwards.
    pub gates: Vec<Gate>,
    /// Added to the environment of the gates.
    pub gate_env: Vec<(OsString, OsString)>,
    /// For each gate.
    pub gate_timeout: Span,
    /// For making the view, and again for reading what came out of it. A copy of a large workspace is the
    /// slowest part.
    pub view_timeout: Span,
    /// How long its programs may wait for answers about hosts, in all.
    pub network_wait: Duration,
    /// What version control knows.
    pub tracked: TrackedFiles,
    /// Limits of the change set.
    pub limits: ChangeLimits,
    /// Where the agent's own words go, line by line. Made with its folder; added to where it exists.
    pub transcript: PathBuf,
}

/// How an attempt ended.
#[derive(Clone, Debug, Default)]
pub struct AttemptReport {
    /// `None` for success.
    pub stop: Option<StopReason>,
    /// The agent's closing words, or what went wrong.
    pub summary: String,
    /// The structured answer, where a schema was given.
    pub answer: Option<serde_json::Value>,
    /// What it cost.
    pub usage: AgentUsage,
    /// The agent's session, for resuming and forking.
    pub session: Option<String>,
    /// The values that forks of the session inherit.
    pub inheritance: ForkInheritance,
    /// When the provider will answer again, where it said so.
    pub retry_after: Option<Span>,
    /// What it changed; collected for failed attempts too.
    pub changes: ChangeSet,
    /// The finished layer, for downstream tasks to start from.
    pub layer: Option<PathBuf>,
    /// What its gates said.
    pub gates: Vec<GateResult>,
    /// How it was isolated; `None` where it never came to that.
    pub sandbox: Option<SandboxKind>,
    /// Why in that way, and what was different in it; empty where it never came to that.
    pub isolation: String,
    /// Where the agent's own words are.
    pub transcript: PathBuf,
}

impl AttemptReport {
    /// A later step failed. What the agent said about an earlier failure stays the reason, and the
    /// reason comes first: it is what people are told of the attempt in one line.
    fn fail(&mut self, stop: StopReason, words: &str) {
        let said = std::mem::take(&mut self.summary);
        let (first, second) = match self.stop {
            Some(_) => (said.as_str(), words),
            None => (words, said.as_str()),
        };
        self.stop.get_or_insert(stop);
        let parts = [first, second].into_iter().filter(|part| !part.is_empty());
        self.summary = parts.collect::<Vec<_>>().join("\n");
    }

    /// The programs were ended because they exceeded a limit of the task. That comes before what their end looked
    /// like to others.
    fn exceed(&mut self, breach: LimitBreach) {
        if self.stop != Some(StopReason::Cancelled) {
            self.stop = None;
            let said = std::mem::take(&mut self.summary);
            self.fail(StopReason::ResourceLimit, &breach.to_string());
            if !said.is_empty() {
                let _ = write!(self.summary, "\n{said}");
            }
        }
    }
}

/// Runs one attempt to its classified end. Never fails and never outlasts its deadlines.
pub async fn run(spec: AttemptSpec, channels: SessionChannels) -> AttemptReport {
    let mut report = AttemptReport {
        transcript: spec.transcript.clone(),
        ..AttemptReport::default()
    };
    let transcript = match TranscriptWriter::open(&spec.transcript).await {
        Ok(file) => file,
        Err(e) => {
            let words = format!(
                "cannot write the transcript {}: {e}",
                spec.transcript.display()
            );
            report.fail(program::class_of(&e), &words);
            return report;
        }
    };
    let prepared = prepare(spec.sandbox.clone(), spec.view_timeout, &channels.cancel).await;
    match prepared {
        Ok(sandbox) => {
            report.sandbox = Some(sandbox.kind());
            sandbox.why().clone_into(&mut report.isolation);
            work(&spec, &sandbox, transcript, &channels, &mut report).await;
            collect(&spec, sandbox, &channels.events, &mut report).await;
        }
        Err((stop, words)) => report.fail(stop, &words),
    }
    report
}

/// Runs only gates, in a view of its own that is thrown away.
pub(crate) async fn run_gates_alone(
    sandbox: SandboxSpec,
    gates: &[Gate],
    env: &[(OsString, OsString)],
    deadlines: JobDeadlines,
    channels: &SessionChannels,
) -> AttemptReport {
    let cancel = &channels.cancel;
    let mut report = AttemptReport::default();
    match prepare(sandbox, deadlines.view, cancel).await {
        Ok(sandbox) => {
            report.sandbox = Some(sandbox.kind());
            sandbox.why().clone_into(&mut report.isolation);
            report.gates = run_gates(&sandbox, gates, env, deadlines.gate, channels).await;
            judge(gates, cancel, &mut report);
            if let Some(breach) = sandbox.breach().await {
                report.exceed(breach);
            }
        }
        Err((stop, words)) => report.fail(stop, &words),
    }
    report
}

/// Makes a view. The error is a class and words for a report.
async fn prepare(
    sandbox: SandboxSpec,
    deadline: Span,
    cancel: &CancellationToken,
) -> Result<Sandbox, (StopReason, String)> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err((StopReason::Cancelled, "cancelled before it started".to_owned())),
        prepared = timeout(deadline.to_duration(), Sandbox::prepare(sandbox)) => match prepared {
            Ok(Ok(sandbox)) => Ok(sandbox),
            Ok(Err(e)) => Err((class_of(&e), in_words(&e))),
            Err(_) => Err((StopReason::Resources, "cannot create the sandbox in time".to_owned())),
        },
    }
}

/// The class of a sandbox's failure. Trying again helps where the machine was short of something for
/// a moment, not where the places or the kernel are wrong.
fn class_of(error: &SandboxError) -> StopReason {
    match error {
        SandboxError::Io { source, .. } => program::class_of(source),
        SandboxError::Overlap { .. }
        | SandboxError::NoIsolation(_)
        | SandboxError::NoNamespaces(_)
        | SandboxError::NoOverlay(_) => StopReason::Resources,
    }
}

/// What is wrong and what to do.
fn in_words(error: &SandboxError) -> String {
    let body = ErrorBody::from(error);
    match body.hint {
        Some(hint) => format!("{}; {hint}", body.message),
        None => body.message,
    }
}

/// The agent, then the gates.
async fn work(
    spec: &AttemptSpec,
    sandbox: &Sandbox,
    mut transcript: TranscriptWriter<BufWriter<File>>,
    channels: &SessionChannels,
    report: &mut AttemptReport,
) {
    let mut agent = spec.agent.clone();
    sandbox.move_ports(&mut agent.place.env);
    let session = registry().run(&agent, sandbox, &mut transcript, channels);
    let session = AssertUnwindSafe(session).catch_unwind();
    let said = match timeout(
        longest(&spec.agent.task).saturating_add(spec.network_wait),
        session,
    )
    .await
    {
        Ok(Ok(said)) => said,
        Ok(Err(_)) => AgentReport::failed(
            StopReason::Crashed,
            "the session failed because of an internal error",
        ),
        Err(_) => AgentReport::failed(StopReason::Timeout, "the session exceeded its deadlines"),
    };
    report.stop = said.stop;
    report.summary = said.summary;
    report.answer = said.answer;
    clip_summaries(&mut report.summary, report.answer.as_mut());
    report.usage = said.usage;
    report.session = said.session;
    report.inheritance = said.inheritance;
    report.retry_after = said.retry_after;
    if let Err(e) = transcript.flush().await {
        report.fail(
            program::class_of(&e),
            &format!("cannot write the transcript: {e}"),
        );
    }
    if let Some(breach) = sandbox.breach().await {
        return report.exceed(breach);
    }
    if report.stop.is_none() {
        let env = &spec.gate_env;
        let timeout = spec.gate_timeout;
        // What the session has left in its home is none of theirs.
        let launch = sandbox.without_mounts();
        report.gates = run_gates(&launch, &spec.gates, env, timeout, channels).await;
        judge(&spec.gates, &channels.cancel, report);
        if let Some(breach) = sandbox.breach().await {
            report.exceed(breach);
        }
    }
}

/// What the gates' results mean for the attempt.
fn judge(gates: &[Gate], cancel: &CancellationToken, report: &mut AttemptReport) {
    let all_ran = report.gates.len() == gates.len();
    let Some(failed) = report.gates.iter().find(|gate| !gate.passed) else {
        if !all_ran {
            report.fail(StopReason::Cancelled, "cancelled before its gates ran");
        }
        return;
    };
    if cancel.is_cancelled() {
        return report.fail(StopReason::Cancelled, "cancelled while its gates ran");
    }
    let status = match failed.status {
        Some(code) => format!("exited with {code}"),
        None => "was stopped".to_owned(),
    };
    let words = format!("the gate `{}` {status}", failed.command);
    report.fail(StopReason::GateFailed, &words);
}

/// More than a session's own deadlines add up to, each of its turns having asked somebody who did not
/// answer.
fn longest(task: &AgentTask) -> Duration {
    let limits = &task.limits;
    let own = limits.timeout.to_duration() + limits.start.to_duration();
    let can_ask = registry().get(task.agent).capabilities().asks_permission;
    let asked = if can_ask && !task.permissions.ask.is_empty() {
        task.permissions.timeout.to_duration()
    } else {
        Duration::ZERO
    };
    own.saturating_add(asked.saturating_mul(limits.max_turns))
        .saturating_add(limits.exit.to_duration().saturating_mul(6))
        .saturating_add(Duration::from_secs(5))
}

/// Returns how long a worker may take for a job: more than all its deadlines together.
pub(crate) fn longest_job(job: &WorkerJob) -> Duration {
    let session = job.session.as_ref().map_or(Duration::ZERO, longest);
    let gate = job.deadlines.gate.to_duration().saturating_add(GATE_EXIT);
    let gates = u32::try_from(job.gates.len()).unwrap_or(u32::MAX);
    // The layers are fetched, the view is made, and it is read.
    let views = job.deadlines.view.to_duration().saturating_mul(3);
    session
        .saturating_add(gate.saturating_mul(gates))
        .saturating_add(views)
        .saturating_add(network::longest_wait(&job.network))
        .saturating_add(SLACK)
        .min(FAR)
}

/// Returns how long a worker may take from a cancel to the report.
pub(crate) fn longest_end(job: &WorkerJob) -> Duration {
    let exit = job
        .session
        .as_ref()
        .map(|task| task.limits.exit.to_duration());
    exit.unwrap_or_default()
        .saturating_mul(6)
        .saturating_add(job.deadlines.view.to_duration().saturating_mul(2))
        .saturating_add(GATE_EXIT)
        .saturating_add(SLACK)
        .min(FAR)
}

/// What came out of the view.
async fn collect(
    spec: &AttemptSpec,
    sandbox: Sandbox,
    events: &mpsc::Sender<AgentEvent>,
    report: &mut AttemptReport,
) {
    let base = ViewBase {
        workspace: spec.sandbox.workspace.clone(),
        lowers: spec.sandbox.lowers.clone(),
        tracked: spec.tracked.clone(),
    };
    let limits = spec.limits;
    let collected = async {
        let layer = sandbox.finish().await?.dir;
        report.layer = Some(layer.clone());
        let failed = SandboxError::io("read the layer", &layer);
        let span = tracing::Span::current();
        let collecting = move || changes::collect_changes(&layer, &base, &limits);
        tokio::task::spawn_blocking(move || span.in_scope(collecting))
            .await
            .unwrap_or_else(|e| Err(std::io::Error::other(e)))
            .map_err(failed)
    };
    match timeout(spec.view_timeout.to_duration(), collected).await {
        Ok(Ok(changes)) => report.changes = changes,
        Ok(Err(e)) => return report.fail(class_of(&e), &in_words(&e)),
        Err(_) => {
            return report.fail(StopReason::Resources, "cannot read the changes in time");
        }
    }
    if report.changes.touched_git {
        let what = "dropped changes inside .git".to_owned();
        let _ = events.try_send(AgentEvent::Denied { what });
    }
    if report
        .changes
        .refused
        .iter()
        .any(|refused| refused.reason.breaks_limits())
    {
        let words = refusals(&report.changes);
        report.fail(StopReason::ChangesRefused, &words);
    }
}

/// The refused changes that broke a limit, the first few by name and the first one in the first line.
fn refusals(changes: &ChangeSet) -> String {
    let mut words = String::new();
    let broken = || {
        changes
            .refused
            .iter()
            .filter(|refused| refused.reason.breaks_limits())
    };
    for refused in broken().take(5) {
        let line = if words.is_empty() { "" } else { "\n" };
        let _ = write!(
            words,
            "{line}{} was rejected: {}",
            refused.path, refused.reason
        );
    }
    let more = broken().count().saturating_sub(5) as u64 + changes.refused_more;
    if more > 0 {
        let _ = write!(words, "\nand {more} more");
    }
    words
}

/// Runs gates one after the other, all of them, so that a failure is told with everything else that is
/// wrong. A cancelled run has fewer results than gates, and the last one did not pass.
pub async fn run_gates(
    launch: &dyn ProgramLauncher,
    gates: &[Gate],
    env: &[(OsString, OsString)],
    timeout: Span,
    channels: &SessionChannels,
) -> Vec<GateResult> {
    let mut results = Vec::new();
    for gate in gates {
        if channels.cancel.is_cancelled() {
            break;
        }
        let detail = gate.to_string();
        let _ = channels.events.try_send(AgentEvent::Tool {
            name: "gate".to_owned(),
            detail,
        });
        results.push(run_gate(launch, gate, env, timeout, channels).await);
    }
    results
}

async fn run_gate(
    launch: &dyn ProgramLauncher,
    gate: &Gate,
    env: &[(OsString, OsString)],
    timeout: Span,
    channels: &SessionChannels,
) -> GateResult {
    let started = Instant::now();
    let mut all = launch.base_env();
    all.extend(env.iter().cloned());
    let command = launch.command(&argv(gate.to_argv()), &all);
    let deadlines = ProgramDeadlines {
        timeout: timeout.to_duration(),
        exit: GATE_EXIT,
    };
    let ended = program::run_program(command, deadlines, None, channels).await;
    let mut output = String::from_utf8_lossy(&ended.tail).into_owned();
    let mut note = |words: String| {
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        output.push_str(&words);
    };
    let (passed, status) = match ended.end {
        ProgramEnd::Exited(status) => (status.success(), status.code()),
        ProgramEnd::Failed(e) | ProgramEnd::NoTranscript(e) => {
            note(format!("[could not be started: {e}]"));
            (false, None)
        }
        ProgramEnd::TimedOut => {
            note(format!("[took longer than {timeout}]"));
            (false, None)
        }
        ProgramEnd::Cancelled => {
            note("[cancelled]".to_owned());
            (false, None)
        }
    };
    GateResult {
        command: gate.clone(),
        passed,
        status,
        output,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
