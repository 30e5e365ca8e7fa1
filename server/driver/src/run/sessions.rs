//! Jobs of goals: how they are made from settings and goals, and how they run.

use std::{io, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};

use claudecluster_core::{
    state::Goal,
    step::{Input, PermissionAsker},
};
use claudecluster_files::{FolderHandle, ForeignFileError};
use claudecluster_protocol::{
    AttemptId, BlobId, ErrorBody, GoalId, RelPath, Span,
    plan::AgentName,
    worker::{
        AgentTask, AttemptEpoch, ChangeLimits, JobDeadlines, JobEnv, JobWork, LayerRef, WorkerJob,
    },
};
use claudecluster_worker::{
    agent::{SessionChannels, SessionClocks},
    executor::{EpochNumbers, Executor, FinishedJob, JobPorts},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    blocking::read_workspace,
    config::DriverConfig,
    mailbox::DispatcherMailbox,
    published::PublishedGoals,
    run::{
        agents, host_answers::HostAnswers, layers::JobContents, permissions::PermissionBrokers,
        prompts, running_goals::RunningGoals, session_mask::SessionMask,
    },
    settings::DriverSettings,
    workspace::{content_text::ContentText, editor_registry::EditorRegistry, git},
};

/// Reports of an agent that wait to be passed on.
const EVENTS: usize = 256;
/// The system text of a goal's sessions, in the goal's folder.
const SYSTEM_TEXT: &str = "system.txt";
/// The most bytes of it.
const SYSTEM_TEXT_BYTES: u64 = 4 << 20;
/// The most bytes of a project's own instructions: more would leave no room for the work.
const INSTRUCTIONS_BYTES: usize = 1 << 20;
/// How long making the view of a workspace may take, and reading what changed in it. A copy of a large
/// workspace is the slowest part.
const VIEW: Span = Span::from_secs(300);

/// Prepares the jobs of goals.
#[derive(Clone)]
pub(crate) struct SessionSetup {
    pub(crate) config: Arc<DriverConfig>,
    pub(crate) running: RunningGoals,
    pub(crate) editors: EditorRegistry,
    pub(crate) epochs: Arc<EpochNumbers>,
    pub(crate) hosts: HostAnswers,
}

/// Runs jobs: publishes the activity of their agents, and forwards their permission requests.
#[derive(Clone)]
pub(crate) struct SessionRunner {
    pub(crate) goals: PublishedGoals,
    pub(crate) permissions: PermissionBrokers,
    pub(crate) mailbox: DispatcherMailbox,
    pub(crate) executor: Arc<dyn Executor>,
}

impl SessionRunner {
    /// Runs an attempt, the planner, or the gates to the end. Its files are kept until it is released.
    pub(crate) async fn run_session(
        &self,
        goal: &GoalId,
        asker: PermissionAsker,
        job: WorkerJob,
        contents: JobContents,
        cancel: CancellationToken,
    ) -> FinishedJob {
        let task_id = asker.as_ref().map(|(task, _)| task.clone());
        let task = task_id.as_ref();
        let (broker, asks) = self.permissions.open_broker(goal, asker);
        let (events, mut reported) = mpsc::channel(EVENTS);
        let mask = SessionMask::of_job(&job);
        let pass_on = async {
            while let Some(event) = reported.recv().await {
                self.goals
                    .publish_activity(goal, task, mask.mask_event(event));
            }
        };
        let ports = JobPorts {
            channels: SessionChannels {
                events,
                questions: Some(asks),
                cancel,
                clocks: SessionClocks::default(),
            },
            contents: Arc::new(contents),
        };
        let running = self.executor.run_job(job, ports);
        let (mut finished, (), ()) = tokio::join!(running, pass_on, broker.run());
        mask.mask_report(&mut finished).await;
        let report = &mut finished.report;
        let (hosts, more) = (std::mem::take(&mut report.hosts), report.hosts_more);
        if !hosts.is_empty() || more > 0 {
            self.mailbox.report(Input::NetworkUsed {
                goal: goal.clone(),
                task: task_id,
                hosts,
                more,
            });
        }
        finished
    }
}

impl SessionSetup {
    /// Returns a job that does nothing yet.
    pub(crate) fn new_job(
        &self,
        settings: &DriverSettings,
        goal: &Goal,
        (work, attempt): (JobWork, AttemptId),
        base: Option<BlobId>,
        layers: Vec<LayerRef>,
    ) -> WorkerJob {
        WorkerJob {
            epoch: AttemptEpoch {
                goal: goal.id.clone(),
                work,
                attempt,
                number: self.epochs.next(),
            },
            workspace: goal.spec.workspace.clone(),
            base,
            layers,
            sandbox: settings.sandbox,
            network: settings.network_policy(self.hosts.added_hosts()),
            session: None,
            session_env: JobEnv::default(),
            gates: Vec::new(),
            gate_env: JobEnv::default(),
            deadlines: JobDeadlines {
                view: VIEW,
                gate: settings.timeouts.gate,
            },
            change_limits: ChangeLimits {
                file_bytes: settings.limits.file_bytes,
                total_bytes: settings.limits.total_bytes,
                files: settings.limits.files as usize,
                ..ChangeLimits::default()
            },
            fences: settings.fences(),
            tracked: Vec::new(),
        }
    }

    /// Returns a session with everything but its prompt.
    pub(crate) async fn session_task(
        &self,
        settings: &DriverSettings,
        goal: &Goal,
        agent: AgentName,
        timeout: Option<Span>,
    ) -> Result<AgentTask, ErrorBody> {
        let policy = self.config.policy();
        let (setup, owned) = (self.clone(), goal.clone());
        let system =
            read_workspace("reading instructions", move || setup.system_text(&owned)).await?;
        Ok(AgentTask {
            agent,
            prompt: String::new(),
            system: Some(system),
            schema: Some(prompts::answer_schema()),
            model: goal.spec.model.clone(),
            session: uuid::Uuid::new_v4().to_string(),
            fork_of: None,
            unforked_prompt: None,
            run: None,
            limits: agents::limits(settings, timeout, agents::budget_left(&policy, goal, agent)),
            permissions: settings.permissions.of_session(),
        })
    }

    /// Returns the system text of every session of a goal: ours, and the project's own
    /// instructions.
    ///
    /// Agents do not read those by themselves, because files beside them in a repository can run
    /// code. The text is taken once a goal, so that all its sessions share one prompt prefix.
    fn system_text(&self, goal: &Goal) -> Result<String, ErrorBody> {
        let dir = self.running.goal_dir(&goal.id);
        let kept = dir.join(SYSTEM_TEXT);
        if let Some(text) = read_text(&kept) {
            return Ok(text);
        }
        let mut text = prompts::SYSTEM.to_owned();
        for name in ["CLAUDE.md", "AGENTS.md"] {
            let path =
                RelPath::new(name).map_err(|error| ErrorBody::internal(error.to_string()))?;
            let root = Path::new(&goal.spec.workspace);
            // One that cannot be read is none.
            let file = self.editors.current_content(root, &path).ok().flatten();
            if let Some(instructions) = file.as_ref().and_then(ContentText::as_text) {
                if instructions.len() > INSTRUCTIONS_BYTES {
                    tracing::warn!(goal = %goal.id, name, "too long for instructions; left out");
                    continue;
                }
                text.push_str(&prompts::project_instructions(name, instructions));
                break;
            }
        }
        let mut builder = std::fs::DirBuilder::new();
        let written = builder
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(ForeignFileError::from)
            .and_then(|()| FolderHandle::open(&dir)?.create_private(SYSTEM_TEXT, text.as_bytes()))
            .map_err(io::Error::from);
        match written {
            // Another session of the goal was first; its text is the one that is shared.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(read_text(&kept).unwrap_or(text))
            }
            Err(error) => Err(ErrorBody::environment(format!(
                "cannot write {}: {error}",
                kept.display()
            ))
            .with_hint("free some space for the state folder")),
            Ok(()) => Ok(text),
        }
    }

    /// Returns the tracked files of a goal's workspace that an ignore rule names. Blocks on git.
    pub(crate) fn tracked_files(&self, goal: &Goal) -> Arc<[RelPath]> {
        self.running.tracked_files(&goal.id, || {
            let workspace = Path::new(&goal.spec.workspace);
            match git::find_repository(workspace) {
                Ok(Some(_)) => git::tracked_but_ignored(workspace).unwrap_or_else(|error| {
                    tracing::warn!(
                        goal = %goal.id, %error,
                        "cannot list tracked files; tracked files that match an ignore rule count as ignored"
                    );
                    Vec::new()
                }),
                _ => Vec::new(),
            }
        })
    }
}

/// Returns the text of a file that was kept for a goal; `None` if there is none.
fn read_text(path: &Path) -> Option<String> {
    let folder = FolderHandle::open(path.parent()?).ok()?;
    let bytes = folder
        .read_file(path.file_name()?, SYSTEM_TEXT_BYTES)
        .ok()?;
    String::from_utf8(bytes).ok()
}
