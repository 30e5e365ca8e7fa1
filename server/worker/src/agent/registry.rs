//! All agents, by name.

use std::{io, path::Path, sync::LazyLock};

use claudecluster_protocol::{
    agent::AgentCatalog, event::AgentEvent, goal::EnvVar, plan::AgentName,
};
use tokio::io::AsyncWrite;

use super::{
    AgentReport, AgentSettings, AgentSpec, CodingAgent, SessionChannels, claude_code::ClaudeCode,
    command::CommandAgent, native::NativeAgent,
};
use crate::launch::Launch;

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
            self.without_secrets(variables)
        }
    }

    /// Removes the secrets of all agents: commands and gates have no use for them.
    pub fn without_secrets(&self, mut variables: Vec<EnvVar>) -> Vec<EnvVar> {
        let mut prefixes = self.iter().flat_map(CodingAgent::secret_prefixes);
        variables.retain(|var| !prefixes.clone().any(|prefix| var.name.starts_with(prefix)));
        variables
    }

    /// Iterates over the names of the developer's variables that agents may see; one `*` may end a name.
    pub fn passed_variables(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.iter().flat_map(CodingAgent::passed_variables).copied()
    }

    /// Prepares the private home of a goal for every agent, before the first session of the goal.
    ///
    /// # Errors
    ///
    /// A folder or file cannot be written.
    pub fn prepare_home(&self, home: &Path) -> io::Result<()> {
        self.iter().try_for_each(|agent| agent.prepare_home(home))
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
        launch: &dyn Launch,
        transcript: &mut (dyn AsyncWrite + Unpin + Send),
        channels: &SessionChannels,
    ) -> AgentReport {
        let agent = self.get(spec.task.agent);
        agent.run(spec, launch, transcript, channels).await
    }

    /// Reads a transcript of an agent back. See [`CodingAgent::replay`].
    pub fn replay(&self, agent: AgentName, transcript: &[u8]) -> Vec<AgentEvent> {
        self.get(agent).replay(transcript)
    }
}
