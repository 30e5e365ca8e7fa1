//! All agents, by name.

use std::{path::Path, sync::LazyLock};

use claudecluster_protocol::{
    agent::AgentCatalog, event::AgentEvent, goal::EnvVar, plan::AgentName,
};
use tokio::io::AsyncWrite;
use tracing::Instrument as _;

use super::{
    AgentReport, AgentSettings, AgentSpec, AgentTask, CodingAgent, SessionChannels,
    claude_code::ClaudeCode, command::CommandAgent, native::NativeAgent,
};
use crate::launch::ProgramLauncher;

/// The agents there are, one for each [`AgentName`].
#[derive(Clone, Copy)]
pub struct AgentRegistry([&'static dyn CodingAgent; AgentName::ALL.len()]);

static BUILT_IN: LazyLock<AgentRegistry> = LazyLock::new(AgentRegistry::built_in);

/// Returns the registry of the built-in agents.
pub fn registry() -> &'static AgentRegistry {
    &BUILT_IN
}

impl AgentRegistry {
    /// Registers the agents of this crate.
    pub fn built_in() -> Self {
        Self(AgentName::ALL.map(|name| -> &'static dyn CodingAgent {
            match name {
                AgentName::ClaudeCode => &ClaudeCode,
                AgentName::Native => &NativeAgent,
                AgentName::Command => &CommandAgent,
            }
        }))
    }

    /// Puts `agent` in the place of the agent with its name.
    #[must_use]
    pub fn with(mut self, agent: &'static dyn CodingAgent) -> Self {
        self.0[agent.name() as usize] = agent;
        self
    }

    /// Returns the agent with this name.
    pub fn get(&self, name: AgentName) -> &'static dyn CodingAgent {
        self.0[name as usize]
    }

    /// Iterates over all agents, preferred ones first.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn CodingAgent> + Clone + use<> {
        self.0.into_iter()
    }

    /// Iterates over the agents that can plan a goal, preferred ones first.
    pub fn planners(&self) -> impl Iterator<Item = &'static dyn CodingAgent> + use<> {
        self.iter().filter(|agent| agent.capabilities().plans)
    }

    /// Collects what each agent can do.
    pub fn catalog(&self) -> AgentCatalog {
        AgentCatalog::new(|name| self.get(name).capabilities())
    }

    /// Returns the variables of an agent's process, out of the developer's.
    ///
    /// Only agents that need a provider see keys.
    pub fn environment(
        &self,
        name: AgentName,
        settings: &AgentSettings,
        developer: Vec<EnvVar>,
    ) -> Vec<EnvVar> {
        let agent = self.get(name);
        let variables = agent.environment(settings, developer);
        if agent.capabilities().needs_provider {
            variables
        } else {
            self.without_secrets(settings, variables)
        }
    }

    /// Removes the secrets of all agents: commands and gates have no use for them.
    pub fn without_secrets(
        &self,
        settings: &AgentSettings,
        mut variables: Vec<EnvVar>,
    ) -> Vec<EnvVar> {
        let is_secret = |name: &str| {
            let mut prefixes = self.iter().flat_map(CodingAgent::secret_prefixes);
            let mut named = self.iter().filter_map(|one| one.secret_variable(settings));
            prefixes.any(|prefix| name.starts_with(prefix)) || named.any(|one| one == name)
        };
        variables.retain(|var| !is_secret(&var.name));
        variables
    }

    /// Iterates over the names of the developer's variables that agents may see; one `*` may end a name.
    pub fn passed_variables(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.iter().flat_map(CodingAgent::passed_variables).copied()
    }

    /// Names the folder for what agents remember about their programs from one daemon to the next.
    ///
    /// Only the first call counts.
    pub fn cache_in(&self, folder: &Path) {
        self.iter().for_each(|agent| agent.cache_in(folder));
    }

    /// Runs a hidden subcommand of our own binary, if `name` is one of an agent's.
    ///
    /// Returns the exit status.
    pub fn run_subcommand(&self, name: &str) -> Option<i32> {
        self.iter().find_map(|agent| agent.run_subcommand(name))
    }

    /// Runs one session with the agent of its task. See [`CodingAgent::run`].
    pub async fn run(
        &self,
        spec: &AgentSpec,
        launch: &dyn ProgramLauncher,
        transcript: &mut (dyn AsyncWrite + Unpin + Send),
        channels: &SessionChannels,
    ) -> AgentReport {
        let AgentTask { agent, session, .. } = &spec.task;
        let span = tracing::error_span!("agent_session", %agent, %session);
        let run = self.get(*agent).run(spec, launch, transcript, channels);
        async {
            let report = run.await;
            tracing::debug!(stop = ?report.stop, "the agent's session has ended");
            report
        }
        .instrument(span)
        .await
    }

    /// Reads a transcript of an agent back. See [`CodingAgent::replay`].
    pub fn replay(&self, agent: AgentName, transcript: &[u8]) -> Vec<AgentEvent> {
        self.get(agent).replay(transcript)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsString,
        path::{Path, PathBuf},
    };

    use claudecluster_protocol::{
        ErrorBody, StopReason,
        agent::{AgentCapabilities, AgentInput},
    };
    use futures::future::BoxFuture;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::agent::{AgentLimits, AgentPlace, AgentSetup, SessionClocks, ToolPermissions};

    /// An agent that reports its prompt and the names of its variables.
    struct EchoAgent;

    impl CodingAgent for EchoAgent {
        fn name(&self) -> AgentName {
            AgentName::Native
        }

        fn label(&self) -> &'static str {
            "the echo"
        }

        fn capabilities(&self) -> AgentCapabilities {
            AgentCapabilities {
                plans: true,
                ..AgentCapabilities::default()
            }
        }

        fn find_program(&self, _setup: &AgentSetup<'_>) -> Result<PathBuf, ErrorBody> {
            Ok(PathBuf::from("/bin/echo"))
        }

        fn passed_variables(&self) -> &'static [&'static str] {
            &["ECHO_*"]
        }

        fn secret_prefixes(&self) -> &'static [&'static str] {
            &["ECHO_KEY"]
        }

        fn run<'a>(
            &'a self,
            spec: &'a AgentSpec,
            _launch: &'a dyn ProgramLauncher,
            transcript: &'a mut (dyn AsyncWrite + Unpin + Send),
            channels: &'a SessionChannels,
        ) -> BoxFuture<'a, AgentReport> {
            Box::pin(async move {
                let text = spec.task.prompt.clone();
                let written =
                    tokio::io::AsyncWriteExt::write_all(transcript, text.as_bytes()).await;
                if let Err(error) = written {
                    return AgentReport::failed(StopReason::Resources, error.to_string());
                }
                let _ = channels.events.try_send(AgentEvent::Text { text });
                AgentReport::default()
            })
        }

        fn replay(&self, transcript: &[u8]) -> Vec<AgentEvent> {
            let text = String::from_utf8_lossy(transcript).into_owned();
            vec![AgentEvent::Text { text }]
        }
    }

    struct NoLaunch;

    impl ProgramLauncher for NoLaunch {
        fn command(
            &self,
            argv: &[OsString],
            _env: &[(OsString, OsString)],
        ) -> tokio::process::Command {
            tokio::process::Command::new(&argv[0])
        }

        fn root(&self) -> &Path {
            Path::new("/")
        }

        fn base_env(&self) -> Vec<(OsString, OsString)> {
            Vec::new()
        }
    }

    fn variables(names: &[&str]) -> Vec<EnvVar> {
        let variable = |name: &&str| EnvVar {
            name: (*name).to_owned(),
            value: "x".to_owned(),
        };
        names.iter().map(variable).collect()
    }

    fn names(variables: &[EnvVar]) -> Vec<&str> {
        variables.iter().map(|var| var.name.as_str()).collect()
    }

    #[test]
    fn each_agent_is_registered_under_its_own_name() {
        for name in AgentName::ALL {
            assert_eq!(registry().get(name).name(), name);
        }
    }

    #[tokio::test]
    async fn a_registered_agent_runs_and_replays_like_the_built_in_ones() {
        let agents = AgentRegistry::built_in().with(&EchoAgent);
        let spec = AgentSpec {
            task: AgentTask {
                agent: AgentName::Native,
                prompt: "hello".to_owned(),
                system: None,
                schema: None,
                model: None,
                session: String::new(),
                fork_of: None,
                unforked_prompt: None,
                run: None,
                limits: AgentLimits::default(),
                permissions: ToolPermissions::default(),
            },
            place: AgentPlace::default(),
        };
        let (events, mut told) = mpsc::channel(9);
        let channels = SessionChannels {
            events,
            questions: None,
            cancel: CancellationToken::new(),
            clocks: SessionClocks::default(),
        };
        let mut transcript = Vec::new();
        let report = agents
            .run(&spec, &NoLaunch, &mut transcript, &channels)
            .await;
        assert_eq!(report, AgentReport::default());
        let event = told.try_recv().unwrap();
        assert_eq!(agents.replay(AgentName::Native, &transcript), [event]);
        // The others are still there, and run their own way.
        let mut spec = spec;
        spec.task.agent = AgentName::Command;
        let report = agents
            .run(&spec, &NoLaunch, &mut transcript, &channels)
            .await;
        assert_eq!(report.stop, Some(StopReason::Refused));
    }

    #[test]
    fn a_registered_agent_is_known_by_what_it_says_of_itself() {
        let agents = AgentRegistry::built_in().with(&EchoAgent);
        assert_eq!(
            agents.catalog().get(AgentName::Native),
            EchoAgent.capabilities()
        );
        let planners: Vec<&str> = agents.planners().map(CodingAgent::label).collect();
        assert_eq!(planners, ["Claude Code", "the echo"]);
        assert!(agents.passed_variables().any(|name| name == "ECHO_*"));
        // Its secrets are hidden from commands, and from itself because it needs no provider.
        let given = ["PATH", "ECHO_MODE", "ECHO_KEY", "ANTHROPIC_API_KEY"];
        let settings = AgentSettings::default();
        assert_eq!(
            names(&agents.without_secrets(&settings, variables(&given))),
            ["PATH", "ECHO_MODE"]
        );
        let seen = |name| agents.environment(name, &settings, variables(&given));
        assert_eq!(names(&seen(AgentName::Native)), ["PATH", "ECHO_MODE"]);
        assert_eq!(names(&seen(AgentName::Command)), ["PATH", "ECHO_MODE"]);
        assert_eq!(names(&seen(AgentName::ClaudeCode)), given);
    }

    #[test]
    fn a_key_under_a_name_of_the_users_own_is_seen_by_no_command() {
        let mut settings = AgentSettings::default();
        settings.native.key_env = "MY_KEY".to_owned();
        let given = variables(&["PATH", "MY_KEY"]);
        let kept = registry().without_secrets(&settings, given.clone());
        assert_eq!(names(&kept), ["PATH"]);
        let mut sessions = registry().environment(AgentName::Native, &settings, given);
        assert_eq!(
            names(&sessions),
            ["PATH", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"]
        );
        let native = registry().get(AgentName::Native);
        let login = native.take_login(&settings, &mut sessions).unwrap();
        assert_eq!(login.secrets.len(), 1);
        assert_eq!(names(&sessions), ["PATH"]);
    }

    #[test]
    fn capabilities_fit_together() {
        for agent in registry().iter() {
            let can = agent.capabilities();
            let instructed = can.input == AgentInput::Instructions;
            let name = agent.name();
            assert!(instructed || !can.plans, "{name}: a command cannot plan");
            assert!(
                instructed || !can.forks && !can.resumes,
                "{name}: a command has no context"
            );
            // Whoever needs a provider has a secret to keep from the others.
            assert_eq!(
                can.needs_provider,
                !agent.secret_prefixes().is_empty(),
                "{name}"
            );
        }
        let commands = registry()
            .catalog()
            .list_names(|one| one.input == AgentInput::Command);
        assert_eq!(commands, "`command`");
    }
}
