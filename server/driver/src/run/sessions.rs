//! Sessions of agents: how they are started, and how they run.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::{state::Goal, step::PermissionAsker};
use claudecluster_protocol::{ErrorBody, GoalId, RelPath, Span, plan::AgentName};
use claudecluster_worker::{
    agent::{AgentPlace, AgentSpec, AgentTask, SessionChannels},
    attempt::{self, AttemptReport, AttemptSpec},
    changes::{ChangeLimits, TrackedFiles},
    sandbox::{SandboxPreference, SandboxSpec},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    config::DriverConfig,
    published::PublishedGoals,
    run::{agents, permissions::PermissionBrokers, prompts, running_goals::RunningGoals},
    settings::{DriverSettings, SandboxChoice},
    workspace::{content_text::ContentText, disk, editor_registry::EditorRegistry, git},
};

/// Reports of an agent that wait to be passed on.
const EVENTS: usize = 256;

/// Prepares the sessions of goals.
#[derive(Clone)]
pub(crate) struct SessionSetup {
    pub(crate) config: Arc<DriverConfig>,
    pub(crate) running: RunningGoals,
    pub(crate) editors: EditorRegistry,
}

/// Runs sessions: publishes the activity of their agents, and forwards their permission requests.
#[derive(Clone)]
pub(crate) struct SessionRunner {
    pub(crate) goals: PublishedGoals,
    pub(crate) permissions: PermissionBrokers,
}

impl SessionRunner {
    /// Runs an attempt, or the planner, to its end.
    pub(crate) async fn run_session(
        &self,
        goal: &GoalId,
        asker: PermissionAsker,
        spec: AttemptSpec,
        cancel: CancellationToken,
    ) -> AttemptReport {
        let task = asker.as_ref().map(|(task, _)| task.clone());
        let task = task.as_ref();
        let (broker, asks) = self.permissions.open_broker(goal, asker);
        let (events, mut reported) = mpsc::channel(EVENTS);
        let pass_on = async {
            while let Some(event) = reported.recv().await {
                self.goals.publish_activity(goal, task, event);
            }
        };
        let channels = SessionChannels {
            events,
            questions: Some(asks),
            cancel,
        };
        let (report, (), ()) = tokio::join!(attempt::run(spec, channels), pass_on, broker.run());
        report
    }
}

impl SessionSetup {
    /// Returns a session with everything but its prompt.
    pub(crate) fn session_spec(
        &self,
        settings: &DriverSettings,
        goal: &Goal,
        agent: AgentName,
        timeout: Option<Span>,
    ) -> Result<AgentSpec, ErrorBody> {
        let policy = self.config.policy();
        let task = AgentTask {
            agent,
            prompt: String::new(),
            system: Some(self.system_text(goal)?),
            schema: Some(prompts::answer_schema()),
            model: goal.spec.model.clone(),
            session: uuid::Uuid::new_v4().to_string(),
            fork_of: None,
            run: None,
            limits: agents::limits(settings, timeout, agents::budget_left(&policy, goal, agent)),
            permissions: settings.permissions.of_session(),
        };
        let place = AgentPlace {
            env: agents::env(&self.running, settings, goal, agent),
            home: self.running.agent_home(&goal.id)?,
            program: agents::program(&self.config.launcher, &self.running, settings, goal, agent)?,
        };
        Ok(AgentSpec { task, place })
    }

    /// Returns the system text of every session of a goal: ours, and the project's own
    /// instructions.
    ///
    /// Agents do not read those by themselves, because files beside them in a repository can run
    /// code. The text is taken once a goal, so that all its sessions share one prompt prefix.
    fn system_text(&self, goal: &Goal) -> Result<String, ErrorBody> {
        let kept = self.running.agent_home(&goal.id)?.join("system.txt");
        if let Ok(text) = std::fs::read_to_string(&kept) {
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
                text.push_str(&prompts::project_instructions(name, instructions));
                break;
            }
        }
        match disk::write_private(&kept, text.as_bytes()) {
            // Another session of the goal was first; its text is the one that is shared.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Ok(std::fs::read_to_string(&kept).unwrap_or(text))
            }
            Err(error) => Err(ErrorBody::environment(format!(
                "cannot write {}: {error}",
                kept.display()
            ))
            .hint("free some space for the state folder")),
            Ok(()) => Ok(text),
        }
    }

    /// Returns the sandbox of a view of the workspace with these layers over it.
    pub(crate) fn sandbox_spec(
        &self,
        settings: &DriverSettings,
        goal: &Goal,
        layer: PathBuf,
        lowers: Vec<PathBuf>,
    ) -> SandboxSpec {
        SandboxSpec {
            workspace: PathBuf::from(&goal.spec.workspace),
            layer,
            lowers,
            writable: vec![self.running.goal_dir(&goal.id).join("agent")],
            // The state folder holds the daemon's socket: a worker that reached it could accept its own
            // hunks.
            hidden: vec![self.config.home.clone()],
            preference: match settings.sandbox {
                SandboxChoice::Auto => SandboxPreference::Auto,
                SandboxChoice::Overlay => SandboxPreference::Overlay,
                SandboxChoice::Copy => SandboxPreference::Copy,
            },
            launcher: self.config.launcher.clone(),
        }
    }

    /// Returns the tracked files of a goal's workspace that an ignore rule names. Blocks on git.
    pub(crate) fn tracked_files(&self, goal: &Goal) -> TrackedFiles {
        self.running.tracked_files(&goal.id, || {
            let workspace = Path::new(&goal.spec.workspace);
            match git::find_repository(workspace) {
                Ok(Some(_)) => {
                    TrackedFiles::new(git::tracked_but_ignored(workspace).unwrap_or_else(|error| {
                        tracing::warn!(
                            goal = %goal.id, %error,
                            "cannot list tracked files; tracked files that match an ignore rule count as ignored"
                        );
                        Vec::new()
                    }))
                }
                _ => TrackedFiles::default(),
            }
        })
    }
}

/// Returns the limits of an attempt's changes.
pub(crate) fn change_limits(settings: &DriverSettings) -> ChangeLimits {
    ChangeLimits {
        file_bytes: settings.limits.file_bytes,
        total_bytes: settings.limits.total_bytes,
        files: settings.limits.files as usize,
        ..ChangeLimits::default()
    }
}
