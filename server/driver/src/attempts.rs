//! One attempt at a task: what it starts from, what it is told, and what comes out of it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::{lifecycle::Goal, step::Asker};
use claudecluster_protocol::{
    AttemptId, ErrorBody, ErrorKind, GoalId, RelPath, StopReason, TaskId, agent::AgentInput,
    event::AttemptOutcome, plan::AgentName,
};
use claudecluster_worker::{
    agent::{AgentPlace, AgentSpec, AgentTask, SessionChannels, registry},
    attempt::{self, AttemptReport, AttemptSpec},
    changes::{ChangeLimits, Content, Tracked},
    sandbox::{self, LayerFile, LayerState, SandboxSpec},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    Settings, agents, disk, git,
    ground::{Bases, Ground},
    permissions::Desk,
    prompts,
    proposal::{self, as_text},
    repair,
    shared::Shared,
    snapshot::{self, Manifest},
    work::blocking,
};

/// Reports of an agent that wait to be passed on.
const EVENTS: usize = 256;

/// An attempt that never came to run.
pub(crate) fn failed(stop: StopReason, summary: String) -> AttemptOutcome {
    AttemptOutcome::new(Some(stop), summary)
}

/// Runs one attempt to its classified end.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    task: &TaskId,
    attempt: AttemptId,
    cancel: CancellationToken,
) -> AttemptOutcome {
    let (spec, ground) = match prepare(shared, goal, task, attempt).await {
        Ok(prepared) => prepared,
        // What is to be done has been done meanwhile: no other try would find anything either.
        Err(error) if error.kind == ErrorKind::Stale => {
            return failed(StopReason::Refused, error.message);
        }
        Err(error) => return failed(StopReason::SpawnFailed, error.message),
    };
    let layer = spec.sandbox.layer.clone();
    let asker = Some((task.clone(), attempt));
    let report = watched(shared, &goal.id, asker, spec, cancel).await;
    let (owned, owned_goal) = (shared.clone(), goal.clone());
    let outcome = blocking("storing the attempt", move || {
        outcome(&owned, &owned_goal, &ground, report)
    })
    .await
    .unwrap_or_else(|error| failed(StopReason::Resources, error.message));
    if outcome.stop.is_some() {
        // Nothing builds on it, and if it has filled the disk its own end could not be journaled.
        discard(&layer, &["transcript.jsonl"]).await;
    }
    outcome
}

/// Runs an attempt, or the planner, passes on what its agent reports, and has decided what it asks.
pub(crate) async fn watched(
    shared: &Arc<Shared>,
    goal: &GoalId,
    asker: Asker,
    spec: AttemptSpec,
    cancel: CancellationToken,
) -> AttemptReport {
    let task = asker.as_ref().map(|(task, _)| task.clone());
    let task = task.as_ref();
    let (desk, asks) = Desk::open(shared, goal, asker);
    let (events, mut reported) = mpsc::channel(EVENTS);
    let pass_on = async {
        while let Some(event) = reported.recv().await {
            shared.activity(goal, task, event);
        }
    };
    let channels = SessionChannels {
        events,
        questions: Some(asks),
        cancel,
    };
    let (report, (), ()) = tokio::join!(attempt::run(spec, channels), pass_on, desk.run());
    report
}

async fn prepare(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    task: &TaskId,
    attempt: AttemptId,
) -> Result<(AttemptSpec, Ground), ErrorBody> {
    let settings = agents::settings(shared, &goal.spec.workspace)?;
    let spec = &goal.tasks[task].spec;
    let agent = goal.spec.agent_for(spec);
    let can = registry().get(agent).capabilities();
    let layer = task_dir(shared, goal, task).join(attempt.to_string());
    let (ground, lowers) = ground(shared, goal, task, attempt).await?;
    // Where the agents' home has been tidied away there is nothing to fork.
    let forkable = shared.goal_dir(&goal.id).join("agent").is_dir();
    let mut session = session(shared, &settings, goal, agent, spec.timeout)?;
    session.task.prompt = prompt(shared, goal, task, attempt).await?;
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
        && let Some(own) = repair::session(goal, task)
    {
        session.task.fork_of = Some(own);
    }
    let task_env: Vec<(OsString, OsString)> = spec
        .env
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut gate_env = agents::command_env(shared, &settings, goal);
    gate_env.extend(task_env.iter().cloned());
    if can.input == AgentInput::Command {
        session.place.env.extend(task_env);
    }
    let (owned, owned_goal) = (shared.clone(), goal.clone());
    let tracked = blocking("listing tracked files", move || {
        Ok(tracked(&owned, &owned_goal))
    })
    .await?;
    let spec = AttemptSpec {
        sandbox: sandbox(shared, &settings, goal, layer.clone(), lowers),
        agent: session,
        gates: spec.gates.clone(),
        gate_env,
        gate_timeout: settings.timeouts.gate,
        view_timeout: claudecluster_protocol::Span::secs(300),
        tracked,
        limits: change_limits(&settings),
        transcript: layer.join("transcript.jsonl"),
    };
    Ok((spec, ground))
}

/// What an attempt starts from, and the layers that make it.
async fn ground(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    task: &TaskId,
    attempt: AttemptId,
) -> Result<(Ground, Vec<PathBuf>), ErrorBody> {
    let (owned, owned_goal) = (shared.clone(), goal.clone());
    if goal.tasks[task].amends() {
        let layer = task_dir(shared, goal, task).join(format!("ground-{attempt}"));
        let mut layers = vec![layer.clone()];
        // Below it what was built and version control ignores.
        layers.extend(upstream_layers(shared, goal, &goal.finished).await?);
        let ground = blocking("capturing the workspace", move || {
            Ground::now(&owned, &owned_goal, &layer)
        });
        return Ok((ground.await?, layers));
    }
    let lowers = lowers(shared, goal, task, attempt).await?;
    let upstream = upstream(goal, task, attempt);
    let ground = blocking("reading the snapshot", move || {
        Ground::planned(&owned, &owned_goal, &upstream)
    });
    Ok((ground.await?, lowers))
}

async fn prompt(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    task: &TaskId,
    attempt: AttemptId,
) -> Result<String, ErrorBody> {
    if goal.tasks[task].repair.is_none() {
        return Ok(prompts::work(goal, task));
    }
    let upstream = upstream(goal, task, attempt);
    let (shared, goal, task) = (shared.clone(), goal.clone(), task.clone());
    blocking("describing a repair", move || {
        repair::prompt(&shared, &goal, &task, &upstream)
    })
    .await
}

/// A session with everything but its prompt.
pub(crate) fn session(
    shared: &Shared,
    settings: &Settings,
    goal: &Goal,
    agent: AgentName,
    timeout: Option<claudecluster_protocol::Span>,
) -> Result<AgentSpec, ErrorBody> {
    let task = AgentTask {
        agent,
        prompt: String::new(),
        system: Some(system(shared, goal)?),
        schema: Some(prompts::schema()),
        model: goal.spec.model.clone(),
        session: uuid::Uuid::new_v4().to_string(),
        fork_of: None,
        run: None,
        limits: agents::limits(settings, timeout, agents::budget_left(shared, goal)),
        permissions: settings.permissions.of_session(),
    };
    let place = AgentPlace {
        env: agents::env(shared, settings, goal, agent),
        home: shared.agent_home(&goal.id)?,
        program: agents::program(shared, settings, goal, agent)?,
    };
    Ok(AgentSpec { task, place })
}

/// The system text of every session of a goal: ours, and the project's own instructions, which the
/// agents do not read by themselves, because what lies beside them in a repository can run code.
/// Taken once a goal, so that all its sessions share one prompt prefix.
fn system(shared: &Shared, goal: &Goal) -> Result<String, ErrorBody> {
    let kept = shared.agent_home(&goal.id)?.join("system.txt");
    if let Ok(text) = std::fs::read_to_string(&kept) {
        return Ok(text);
    }
    let mut text = prompts::SYSTEM.to_owned();
    for name in ["CLAUDE.md", "AGENTS.md"] {
        let path = RelPath::new(name).map_err(|error| ErrorBody::internal(error.to_string()))?;
        let root = Path::new(&goal.spec.workspace);
        // One that cannot be read is none.
        let file = shared.current(root, &path).ok().flatten();
        if let Some(instructions) = file.as_ref().and_then(as_text) {
            text.push_str(&prompts::project(name, instructions));
            break;
        }
    }
    match disk::write_private(&kept, text.as_bytes()) {
        // Another session of the goal was first; its text is the one that is shared.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Ok(std::fs::read_to_string(&kept).unwrap_or(text))
        }
        Err(error) => Err(ErrorBody::environment(format!(
            "failed to write {}: {error}",
            kept.display()
        ))
        .hint("check that the state folder has space left")),
        Ok(()) => Ok(text),
    }
}

/// A view of the workspace with these layers over it.
pub(crate) fn sandbox(
    shared: &Shared,
    settings: &Settings,
    goal: &Goal,
    layer: PathBuf,
    lowers: Vec<PathBuf>,
) -> SandboxSpec {
    SandboxSpec {
        workspace: PathBuf::from(&goal.spec.workspace),
        layer,
        lowers,
        writable: vec![shared.goal_dir(&goal.id).join("agent")],
        // The state folder holds the daemon's socket: a worker that reached it could accept its own
        // hunks.
        hidden: vec![shared.config.home.clone()],
        preference: settings.sandbox,
        launcher: shared.config.launcher.clone(),
    }
}

pub(crate) fn change_limits(settings: &Settings) -> ChangeLimits {
    ChangeLimits {
        file_bytes: settings.limits.file_bytes,
        total_bytes: settings.limits.total_bytes,
        files: settings.limits.files as usize,
        ..ChangeLimits::default()
    }
}

fn task_dir(shared: &Shared, goal: &Goal, task: &TaskId) -> PathBuf {
    shared.goal_dir(&goal.id).join("tasks").join(task.as_str())
}

/// The tracked files of a goal's workspace that an ignore rule names. Asked for once a goal: every
/// attempt starts from the same snapshot.
fn tracked(shared: &Shared, goal: &Goal) -> Tracked {
    if let Some(known) = shared.tracked.get(&goal.id) {
        return known.clone();
    }
    let workspace = Path::new(&goal.spec.workspace);
    let tracked = match git::repository(workspace) {
        Ok(Some(_)) => Tracked::new(git::tracked_but_ignored(workspace).unwrap_or_else(|error| {
            tracing::warn!(%error, "tracked files under an ignore rule are taken for ignored");
            Vec::new()
        })),
        _ => Tracked::default(),
    };
    shared.tracked.insert(goal.id.clone(), tracked.clone());
    tracked
}

/// The layer with the unsaved buffers, made once a goal.
pub(crate) async fn seed_layer(
    shared: &Arc<Shared>,
    goal: &Goal,
) -> Result<Vec<PathBuf>, ErrorBody> {
    if goal.unsaved.is_empty() {
        return Ok(Vec::new());
    }
    let dir = shared.goal_dir(&goal.id).join("seed");
    let (owned, manifest, target) = (shared.clone(), goal.snapshot.clone(), dir.clone());
    blocking("writing the unsaved buffers", move || {
        if target.is_dir() {
            return Ok(());
        }
        let manifest = load(&owned, manifest.as_ref())?;
        let files: Result<Vec<LayerFile>, ErrorBody> = manifest
            .unsaved()
            .map(|(path, version)| Ok(layer_file(path, Some(owned.content(version)?))))
            .collect();
        write_layer(&target, &files?)
    })
    .await?;
    Ok(vec![dir])
}

/// One file of a layer; `None` where the layer takes the file away.
pub(crate) fn layer_file(path: &RelPath, content: Option<Content>) -> LayerFile {
    let state = match content {
        Some(Content { bytes, mode }) => LayerState::Present { bytes, mode },
        None => LayerState::Deleted,
    };
    LayerFile {
        path: path.clone(),
        state,
    }
}

/// Writes a layer completely or not at all: two tasks may need the same one at the same time.
pub(crate) fn write_layer(dir: &Path, files: &[LayerFile]) -> Result<(), ErrorBody> {
    let parent = dir.parent().unwrap_or(dir);
    let building = parent.join(format!(".building-{}", uuid::Uuid::new_v4().simple()));
    let refused = |error: String| {
        ErrorBody::environment(format!("failed to write a layer of the workspace: {error}"))
            .hint("check that the state folder has space left")
    };
    std::fs::create_dir_all(parent).map_err(|error| refused(error.to_string()))?;
    sandbox::write_layer(&building, files).map_err(|error| refused(error.to_string()))?;
    match std::fs::rename(&building, dir) {
        Ok(()) => Ok(()),
        Err(_) if dir.is_dir() => {
            std::fs::remove_dir_all(&building).map_err(|error| refused(error.to_string()))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

/// The layers a task starts from, the one that wins first: what several upstream tasks changed,
/// merged; the upstream tasks' own layers, the latest first; the unsaved buffers.
async fn lowers(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    task: &TaskId,
    attempt: AttemptId,
) -> Result<Vec<PathBuf>, ErrorBody> {
    let upstream = upstream(goal, task, attempt);
    let seed = seed_layer(shared, goal).await?;
    let merged = task_dir(shared, goal, task).join(format!("merged-{attempt}"));
    let (owned, owned_goal) = (shared.clone(), goal.clone());
    let below = upstream_layers(shared, goal, &upstream).await?;
    let mut layers = blocking("joining upstream layers", move || {
        let shared_files = proposal::joined(&owned, &owned_goal, &upstream)?;
        if shared_files.is_empty() {
            return Ok(Vec::new());
        }
        write_layer(&merged, &shared_files)?;
        Ok(vec![merged])
    })
    .await?;
    layers.extend(below);
    layers.extend(seed);
    Ok(layers)
}

/// The layers of tasks that succeeded, the latest first.
pub(crate) async fn upstream_layers(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    tasks: &[TaskId],
) -> Result<Vec<PathBuf>, ErrorBody> {
    let (shared, goal, tasks) = (shared.clone(), goal.clone(), tasks.to_vec());
    blocking("finding upstream layers", move || {
        tasks
            .iter()
            .rev()
            .map(|id| upstream_layer(&shared, &goal, id))
            .collect()
    })
    .await
}

fn upstream(goal: &Goal, task: &TaskId, attempt: AttemptId) -> Vec<TaskId> {
    let started = goal.tasks[task].attempts.iter().find(|a| a.id == attempt);
    started.map(|a| a.upstream.clone()).unwrap_or_default()
}

/// The layer of a task that succeeded. It holds what version control ignores as well, so that what
/// was built upstream need not be built again. Where it is gone, what was changed is written anew.
fn upstream_layer(shared: &Shared, goal: &Goal, task: &TaskId) -> Result<PathBuf, ErrorBody> {
    let dir = task_dir(shared, goal, task);
    let attempt = goal.tasks[task]
        .attempts
        .last()
        .map(|a| a.id.to_string())
        .unwrap_or_default();
    let layer = dir.join(attempt).join("upper");
    if layer.is_dir() {
        return Ok(layer);
    }
    let again = dir.join("rebuilt");
    let changes = goal.tasks[task]
        .outcome()
        .map(|o| o.changes.clone())
        .unwrap_or_default();
    let files: Result<Vec<LayerFile>, ErrorBody> = changes
        .iter()
        .map(|change| {
            let content = shared.content_of(change.proposed.as_ref())?;
            Ok(layer_file(&change.path, content))
        })
        .collect();
    write_layer(&again, &files?)?;
    Ok(again)
}

/// Deletes an attempt's folder, all but some of its files.
pub(crate) async fn discard(dir: &Path, keep: &[&str]) {
    let dir = dir.to_owned();
    let keep: Vec<OsString> = keep.iter().map(OsString::from).collect();
    let done = blocking("tidying up", move || {
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| !keep.contains(&entry.file_name())) {
            let path = entry.path();
            let removed = match entry.file_type() {
                Ok(kind) if kind.is_dir() => std::fs::remove_dir_all(&path),
                _ => std::fs::remove_file(&path),
            };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a leftover could not be removed");
            }
        }
        Ok(())
    });
    if let Err(error) = done.await {
        tracing::warn!(%error, "leftovers could not be removed");
    }
}

pub(crate) fn load(
    shared: &Shared,
    manifest: Option<&claudecluster_protocol::BlobId>,
) -> Result<Manifest, ErrorBody> {
    let id = manifest.ok_or_else(|| ErrorBody::internal("the goal has no snapshot"))?;
    snapshot::load(&shared.store, id)
}

/// What is journaled of an attempt.
fn outcome(
    shared: &Shared,
    goal: &Goal,
    ground: &Ground,
    report: AttemptReport,
) -> Result<AttemptOutcome, ErrorBody> {
    let bases = Bases {
        shared,
        goal,
        ground,
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
            .map(|bytes| shared.store.put_blob(&bytes).map_err(ErrorBody::from))
            .transpose()?,
    })
}

/// The agent's summary: that of its structured answer where it gave one.
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
