//! Where a worker keeps its files, and what it runs.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use claudecluster_files::{
    FolderHandle, ForeignFileError, LEAVING, WalkLimits, WalkStep, run_with_deadline,
};
use claudecluster_protocol::{
    ErrorBody, GoalId, StopReason,
    plan::AgentName,
    worker::{AgentTask, AttemptEpoch, JobEnv, JobWork, LayerMaker, WorkerJob},
};

use super::homes::{HOME, SessionKeep, session_name};
use crate::{
    agent::{AgentSettings, AgentSetup, is_model_name, registry},
    sandbox::ResourceGroups,
};

/// How long a job or a goal waits until its folder is empty. It goes on being emptied then; its names are free at once.
const CLEARING: Duration = Duration::from_secs(5);

/// How deep the entries of a job's folder lie below the folder of all goals.
const JOB_DEPTH: usize = 5;

/// The transcript of a job, in its folder.
const TRANSCRIPT: &str = "transcript.jsonl";

/// Finds the folders that jobs must not see, anew for each job.
#[derive(Clone, Default)]
pub struct HiddenFolders(Option<Arc<dyn Fn() -> Vec<PathBuf> + Send + Sync>>);

impl HiddenFolders {
    /// Asks `find` whenever a job starts.
    pub fn new(find: impl Fn() -> Vec<PathBuf> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(find)))
    }

    fn list(&self) -> Vec<PathBuf> {
        self.0.as_ref().map(|find| find()).unwrap_or_default()
    }
}

impl std::fmt::Debug for HiddenFolders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HiddenFolders").finish_non_exhaustive()
    }
}

/// The folders and programs of a worker. No job names any of them.
///
/// ```text
/// STATE/goals/<goal>/
///   sessions/<session>/          what forks and resumes need of sessions that have ended
///   layers/<manifest>/           layers made from their manifests
///   tasks/<task>/<attempt>/      transcript.jsonl, upper/: the layer that the attempt left; home/: the home of
///                                its session, while that runs
///   planner/<attempt>/
///   gates/
/// ```
#[derive(Debug)]
pub struct WorkerPlace {
    state: PathBuf,
    hidden: Vec<PathBuf>,
    hidden_source: HiddenFolders,
    launcher: PathBuf,
    agents: AgentSettings,
    groups: Arc<OnceLock<Arc<ResourceGroups>>>,
}

impl WorkerPlace {
    /// Keeps files in `state`, which belongs to one daemon's jobs and is hidden from them. `launcher` is our
    /// own program, which has the hidden subcommands.
    pub fn new(state: PathBuf, launcher: PathBuf) -> Self {
        let groups = Arc::new(OnceLock::new());
        let opening = groups.clone();
        // It takes some milliseconds, and the first job is still to come. Where no thread can be had, that job opens them.
        let _ = std::thread::Builder::new().spawn(move || {
            opening.get_or_init(ResourceGroups::open);
        });
        Self {
            hidden: vec![state.clone()],
            hidden_source: HiddenFolders::default(),
            state,
            launcher,
            agents: AgentSettings::default(),
            groups,
        }
    }

    /// Hides another folder from jobs.
    #[must_use]
    pub fn hide(mut self, dir: PathBuf) -> Self {
        self.hidden.push(dir);
        self
    }

    /// Sets the settings of the agents, such as where their programs are.
    #[must_use]
    pub fn with_agents(mut self, settings: AgentSettings) -> Self {
        self.agents = settings;
        self
    }

    /// Hides from each job the folders that `source` returns when the job starts.
    #[must_use]
    pub fn hide_found(mut self, source: HiddenFolders) -> Self {
        self.hidden_source = source;
        self
    }

    /// Returns the folders that a job in `workspace` must not see.
    ///
    /// A found folder that contains the workspace is left out, because the job works below it.
    pub(crate) fn hidden(&self, workspace: &Path) -> Vec<PathBuf> {
        let (inside, mut hidden): (Vec<_>, Vec<_>) = self
            .hidden_source
            .list()
            .into_iter()
            .filter(|dir| !self.hidden.contains(dir))
            .partition(|dir| workspace.starts_with(dir));
        for dir in inside {
            tracing::warn!(dir = %dir.display(), "the workspace is in another daemon's folder, which is not hidden");
        }
        hidden.extend_from_slice(&self.hidden);
        hidden
    }

    /// The program with the hidden subcommands.
    pub(crate) fn launcher(&self) -> &Path {
        &self.launcher
    }

    /// The place of the resource groups of tasks.
    pub(crate) fn groups(&self) -> &Arc<ResourceGroups> {
        self.groups.get_or_init(ResourceGroups::open)
    }

    /// Refuses a job whose names could lead out of the worker's folder.
    pub(crate) fn check_job(&self, job: &WorkerJob) -> Result<(), ErrorBody> {
        let task = match &job.epoch.work {
            JobWork::Task { task } => Some(task.as_str()),
            JobWork::Planner | JobWork::Gates => None,
        };
        let makers = job.layers.iter().filter_map(|layer| layer.made_by.as_ref());
        let names = makers.map(|maker| maker.task.as_str());
        let names = names.chain(task).chain([job.epoch.goal.as_str()]);
        if let Some(name) = names.into_iter().find(|name| !is_one_part(name)) {
            return Err(ErrorBody::user(format!(
                "{name:?} cannot be the name of a goal or task"
            )));
        }
        if let Some(layer) = job.layers.iter().find(|layer| !layer.manifest.is_hash()) {
            return Err(ErrorBody::user(format!(
                "{:?} names no layer",
                layer.manifest
            )));
        }
        if let Some(task) = &job.session {
            check_session(task)?;
        }
        if !Path::new(&job.workspace).is_absolute() {
            return Err(ErrorBody::user(format!(
                "the workspace {:?} is not absolute",
                job.workspace
            )));
        }
        Ok(())
    }

    fn goal_dir(&self, goal: &GoalId) -> PathBuf {
        self.state.join("goals").join(goal.as_str())
    }

    /// The sessions that a goal keeps.
    pub(crate) fn session_keep(&self, goal: &GoalId) -> SessionKeep {
        SessionKeep::new(self.goal_dir(goal).join("sessions"))
    }

    /// The home of a job's session.
    pub(crate) fn home(&self, epoch: &AttemptEpoch) -> PathBuf {
        self.job_dir(epoch).join(HOME)
    }

    /// The folder of the layers that are made from manifests.
    pub(crate) fn layers_dir(&self, goal: &GoalId) -> PathBuf {
        self.goal_dir(goal).join("layers")
    }

    /// The folder of a job.
    pub(crate) fn job_dir(&self, epoch: &AttemptEpoch) -> PathBuf {
        let goal = self.goal_dir(&epoch.goal);
        let attempt = epoch.attempt.to_string();
        match &epoch.work {
            JobWork::Planner => goal.join("planner").join(attempt),
            JobWork::Task { task } => goal.join("tasks").join(task.as_str()).join(attempt),
            JobWork::Gates => goal.join("gates"),
        }
    }

    /// The layer that an attempt left, where this worker ran the attempt and still has it.
    pub(crate) fn layer_of(&self, goal: &GoalId, maker: &LayerMaker) -> Option<PathBuf> {
        let tasks = self.goal_dir(goal).join("tasks").join(maker.task.as_str());
        let layer = tasks.join(maker.attempt.to_string()).join("upper");
        layer.is_dir().then_some(layer)
    }

    /// Returns the settings of the agents.
    pub(crate) fn agents(&self) -> &AgentSettings {
        &self.agents
    }

    /// The program of an agent.
    pub(crate) fn program(&self, agent: AgentName, env: &JobEnv) -> Result<PathBuf, ErrorBody> {
        registry().get(agent).find_program(&AgentSetup {
            settings: &self.agents,
            launcher: &self.launcher,
            env: &env.0,
        })
    }

    /// Keeps what a job left for those after it, or deletes it.
    pub(crate) async fn release(&self, epoch: &AttemptEpoch, keep_layer: bool) {
        let dir = self.job_dir(epoch);
        match epoch.work {
            JobWork::Task { .. } if keep_layer => {}
            // Nothing builds on it, and if it has filled the disk its own end could not be journaled.
            JobWork::Task { .. } => clear_folder(&dir, &[TRANSCRIPT]).await,
            JobWork::Planner | JobWork::Gates => clear_folder(&dir, &[]).await,
        }
    }

    /// Deletes everything that is kept for a goal.
    pub(crate) async fn forget_goal(&self, goal: &GoalId) {
        if is_one_part(goal.as_str()) {
            clear_folder(&self.goal_dir(goal), &[]).await;
        }
    }

    /// Removes, in the background, what an earlier daemon was still removing when it ended.
    pub(crate) fn remove_leftovers(&self) {
        let goals = self.state.join("goals");
        let removing = move || {
            if let Err(error) = remove_leaving(&goals)
                && !error.is_not_found()
            {
                tracing::warn!(%error, "cannot remove all that an earlier daemon has left");
            }
        };
        let named = std::thread::Builder::new().name("leftovers".into());
        if let Err(error) = named.spawn(removing) {
            tracing::warn!(%error, "cannot remove what an earlier daemon has left");
        }
    }

    /// The file for a job's transcript.
    pub(crate) fn transcript(&self, epoch: &AttemptEpoch) -> PathBuf {
        self.job_dir(epoch).join(TRANSCRIPT)
    }
}

/// Removes what is on its way out in the folders of goals and of their jobs, and nothing in what a worker has written.
fn remove_leaving(goals: &Path) -> Result<(), ForeignFileError> {
    let goals = FolderHandle::open(goals)?;
    let mut leaving = Vec::new();
    goals.walk(WalkLimits::default(), |entry| {
        let name = entry.path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(LEAVING.as_bytes()) {
            leaving.push(entry.path.to_owned());
            return Ok(WalkStep::Past);
        }
        let is_foreign = [HOME, "upper", "layers", "sessions", "copy", "scratch"]
            .iter()
            .any(|foreign| name == *foreign);
        let step = if is_foreign || entry.path.components().count() >= JOB_DEPTH {
            WalkStep::Past
        } else {
            WalkStep::Into
        };
        Ok::<_, ForeignFileError>(step)
    })?;
    for path in leaving {
        goals.remove(&path)?;
    }
    Ok(())
}

/// Refuses a session whose names could be anything else on a command line.
fn check_session(task: &AgentTask) -> Result<(), ErrorBody> {
    if session_name(&task.session).as_ref() != Some(&task.session) {
        return Err(ErrorBody::user(format!(
            "{:?} cannot be the id of a session",
            task.session
        )));
    }
    if let Some(model) = task.model.as_ref().filter(|model| !is_model_name(model)) {
        return Err(
            ErrorBody::user(format!("{model:?} cannot be the name of a model"))
                .with_hint("correct it where it is set: in the plan, or the setting `model`"),
        );
    }
    Ok(())
}

/// Returns whether a name is one part of a path and stays where it is put.
fn is_one_part(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// Empties a folder, all but some of its entries.
pub(crate) async fn clear_folder(dir: &Path, keep: &[&str]) {
    let path = dir.to_owned();
    let keep: Vec<OsString> = keep.iter().map(OsString::from).collect();
    let clearing = move || {
        let keep: Vec<&OsStr> = keep.iter().map(OsString::as_os_str).collect();
        FolderHandle::open(&path).and_then(|folder| folder.clear(&keep))
    };
    match run_with_deadline(CLEARING, clearing).await {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(ForeignFileError::TooSlow(_)) => {
            tracing::info!(path = %dir.display(), "a large leftover is still being removed");
        }
        Err(error) => {
            tracing::warn!(path = %dir.display(), %error, "cannot remove a leftover");
        }
    }
}

/// Why a job could not be prepared, as its report says it.
pub(crate) struct NotPrepared {
    pub(crate) stop: StopReason,
    pub(crate) words: String,
}

impl From<ErrorBody> for NotPrepared {
    fn from(error: ErrorBody) -> Self {
        Self {
            stop: StopReason::SpawnFailed,
            words: error.message,
        }
    }
}
