//! What the agents' tests share: a way to start programs without isolation, and one to run a
//! session against a scripted model.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests is a test"
)]

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use claudecluster_files::FolderHandle;
use claudecluster_model::{Script, Server};
use claudecluster_protocol::{
    Span, event::AgentEvent, permission::PermissionDecision, plan::AgentName,
};
use claudecluster_worker::{
    agent::{
        AgentLimits, AgentPlace, AgentReport, AgentSpec, AgentTask, CodingAgent, ForkInheritance,
        PermissionQuestion, QuestionReply, SessionChannels, SessionClocks, ToolPermissions,
        registry,
    },
    launch::ProgramLauncher,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Starts programs in a folder, without isolation.
pub(crate) struct Bare(pub(crate) PathBuf);

impl ProgramLauncher for Bare {
    fn command(&self, argv: &[OsString], env: &[(OsString, OsString)]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear().current_dir(&self.0);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn root(&self) -> &Path {
        &self.0
    }

    fn base_env(&self) -> Vec<(OsString, OsString)> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        vec![
            ("PATH".into(), path),
            ("HOME".into(), self.0.clone().into()),
            ("CLAUDECODE".into(), "1".into()),
        ]
    }
}

/// A workspace, a home and a scripted model.
pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Arc<Server>,
    /// The clocks of its sessions.
    pub(crate) clocks: SessionClocks,
    /// What forks of each session inherit.
    inheritances: Mutex<HashMap<String, ForkInheritance>>,
}

/// What a session came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) report: AgentReport,
    pub(crate) events: Vec<AgentEvent>,
    pub(crate) transcript: String,
}

impl Stage {
    pub(crate) fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stage = Self {
            server: Arc::new(Server::start(Script::parse(script).unwrap()).unwrap()),
            clocks: SessionClocks::default(),
            inheritances: Mutex::default(),
            folder,
        };
        std::fs::create_dir(stage.root()).unwrap();
        std::fs::create_dir(stage.home()).unwrap();
        std::fs::create_dir(stage.folder.path().join("keep")).unwrap();
        let home = FolderHandle::open(&stage.home()).unwrap();
        let keep = FolderHandle::open(&stage.folder.path().join("keep")).unwrap();
        for agent in registry().iter().filter_map(CodingAgent::home) {
            agent.fill(&home, &keep, true).unwrap();
        }
        stage
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }

    pub(crate) fn spec(&self, agent: AgentName, program: &Path, prompt: &str) -> AgentSpec {
        AgentSpec {
            task: AgentTask {
                agent,
                prompt: prompt.to_owned(),
                system: Some("You work on one task of a larger plan.".to_owned()),
                schema: None,
                model: Some("claude-sonnet-5".to_owned()),
                session: uuid::Uuid::new_v4().to_string(),
                fork_of: None,
                unforked_prompt: None,
                run: None,
                limits: AgentLimits {
                    start: Span::from_secs(60),
                    silence: Span::from_secs(60),
                    exit: Span::from_secs(5),
                    timeout: Span::from_secs(120),
                    max_turns: 20,
                    budget: None,
                },
                permissions: ToolPermissions::default(),
            },
            place: AgentPlace {
                env: vec![
                    ("ANTHROPIC_BASE_URL".into(), self.server.url().into()),
                    ("ANTHROPIC_API_KEY".into(), "test".into()),
                ],
                home: self.home(),
                inherited: ForkInheritance::default(),
                program: program.to_owned(),
            },
        }
    }

    pub(crate) async fn run(&self, spec: &AgentSpec) -> Run {
        self.run_until(spec, CancellationToken::new()).await
    }

    pub(crate) async fn run_until(&self, spec: &AgentSpec, cancel: CancellationToken) -> Run {
        self.run_in(&Bare(self.root()), spec, cancel).await
    }

    /// Runs a session whose questions about permissions go to `questions`.
    pub(crate) async fn run_asking(
        &self,
        spec: &AgentSpec,
        questions: mpsc::UnboundedSender<PermissionQuestion>,
        cancel: CancellationToken,
    ) -> Run {
        let launch = Bare(self.root());
        self.run_with(&launch, spec, Some(questions), cancel).await
    }

    pub(crate) async fn run_in(
        &self,
        launch: &dyn ProgramLauncher,
        spec: &AgentSpec,
        cancel: CancellationToken,
    ) -> Run {
        self.run_with(launch, spec, None, cancel).await
    }

    async fn run_with(
        &self,
        launch: &dyn ProgramLauncher,
        spec: &AgentSpec,
        questions: Option<mpsc::UnboundedSender<PermissionQuestion>>,
        cancel: CancellationToken,
    ) -> Run {
        let (events, mut receive) = mpsc::channel(10_000);
        let mut transcript = Vec::new();
        let channels = SessionChannels {
            events,
            questions,
            cancel,
            clocks: self.clocks.clone(),
        };
        let mut spec = spec.clone();
        if let Some(parent) = &spec.task.fork_of {
            let known = self.inheritances.lock().unwrap().get(parent).cloned();
            spec.place.inherited = known.unwrap_or_default();
        }
        let report = registry()
            .run(&spec, launch, &mut transcript, &channels)
            .await;
        if let Some(session) = report.session.clone() {
            let left = report.inheritance.clone();
            self.inheritances.lock().unwrap().insert(session, left);
        }
        drop(channels);
        let mut events = Vec::new();
        while let Some(event) = receive.recv().await {
            events.push(event);
        }
        Run {
            report,
            events,
            transcript: String::from_utf8_lossy(&transcript).into_owned(),
        }
    }
}

/// The real Claude Code that the test command provides.
pub(crate) fn claude() -> PathBuf {
    provided("CLAUDECLUSTER_TEST_CLAUDE")
}

/// The releases of Claude Code that sessions are tested with: the oldest and the newest, and the one of
/// the other tests.
pub(crate) fn claudes() -> [PathBuf; 3] {
    [
        provided("CLAUDECLUSTER_TEST_CLAUDE_OLDEST"),
        claude(),
        newest_claude(),
    ]
}

/// The newest release of Claude Code.
pub(crate) fn newest_claude() -> PathBuf {
    provided("CLAUDECLUSTER_TEST_CLAUDE_NEWEST")
}

fn provided(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => panic!(
            "{variable} is not set: run `cargo xtask provision`, or the tests through `cargo xtask test`"
        ),
    }
}

/// Permissions under which `tools` are asked about.
pub(crate) fn asking(tools: &[&str], timeout: Span) -> ToolPermissions {
    ToolPermissions {
        ask: tools.iter().map(|&tool| tool.to_owned()).collect(),
        timeout,
        ..ToolPermissions::default()
    }
}

/// Answers a question.
pub(crate) fn say(ask: PermissionQuestion, decision: PermissionDecision, reason: Option<&str>) {
    let reason = reason.map(str::to_owned);
    let _ = ask.reply.send(QuestionReply { decision, reason });
}

/// Long enough for anything but a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
