//! The interface of an agent: how it is found, what it can do, how it is run and how its transcript is read.

use std::path::{Path, PathBuf};

use claudecluster_protocol::{
    ErrorBody, agent::AgentCapabilities, event::AgentEvent, goal::EnvVar, plan::AgentName,
};
use futures::future::BoxFuture;
use tokio::io::AsyncWrite;

use super::{
    AgentHome, AgentReport, AgentSpec, ProviderLogin, SessionChannels, claude_code::ClaudeSettings,
    native::settings::NativeSettings,
};
use crate::launch::ProgramLauncher;

/// A program that does a task inside a sandbox.
///
/// An agent is one folder beside this file that implements this trait, and one line in
/// [`AgentRegistry::built_in`](super::AgentRegistry::built_in).
pub trait CodingAgent: Send + Sync {
    /// Returns the agent's name in plan files and options.
    fn name(&self) -> AgentName;

    /// Returns the agent's name within a sentence, such as "the built-in agent".
    fn label(&self) -> &'static str;

    /// Returns what the agent can do.
    fn capabilities(&self) -> AgentCapabilities;

    /// Finds the agent's program without starting it.
    ///
    /// # Errors
    ///
    /// The program is missing; the hint says how to get it.
    fn find_program(&self, setup: &AgentSetup<'_>) -> Result<PathBuf, ErrorBody>;

    /// Checks that a session could start: that the program is there, and a key if the agent needs one.
    ///
    /// # Errors
    ///
    /// Something is missing; the hint says how to get it.
    fn check_usable(&self, setup: &AgentSetup<'_>) -> Result<(), ErrorBody> {
        self.find_program(setup).map(drop)
    }

    /// Looks at the installation, for `doctor` and the demo. `None` if nothing needs to be installed.
    ///
    /// Blocks while the program is asked for its version.
    fn inspect(&self, _setup: &AgentSetup<'_>) -> Option<AgentInspection> {
        None
    }

    /// Returns the command that makes the agent usable, if one does.
    fn remedy(&self, _settings: &AgentSettings) -> Option<String> {
        None
    }

    /// Names the developer's variables the agent may see; one `*` may end a name.
    fn passed_variables(&self) -> &'static [&'static str] {
        &[]
    }

    /// Lists the prefixes of variables with secrets of the agent, which plain commands never see.
    fn secret_prefixes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Names a further variable with a secret of the agent, where settings say which one it is.
    fn secret_variable<'a>(&self, _settings: &'a AgentSettings) -> Option<&'a str> {
        None
    }

    /// Turns the developer's variables into those of the agent's process.
    fn environment(&self, _settings: &AgentSettings, developer: Vec<EnvVar>) -> Vec<EnvVar> {
        developer
    }

    /// Lists what a session must reach of its provider: hosts, and the base URLs of interfaces. `variables`
    /// are those of the session.
    fn provider_addresses(&self, _variables: &[EnvVar]) -> Vec<String> {
        Vec::new()
    }

    /// Takes the login out of a session's variables where it is a key or a token, so that the session does not get
    /// it. Keys that the session has no use for are taken out as well. `None` if the session's login is none that a
    /// broker could add to its requests.
    fn take_login(
        &self,
        _settings: &AgentSettings,
        _variables: &mut Vec<EnvVar>,
    ) -> Option<ProviderLogin> {
        None
    }

    /// Returns the agent's part of the private home of a session, if it needs one.
    fn home(&self) -> Option<&'static dyn AgentHome> {
        None
    }

    /// Names the folder for answers of the agent's program that outlive this process.
    fn cache_in(&self, _folder: &Path) {}

    /// Runs a hidden subcommand of our own binary, if `name` is one of this agent's.
    ///
    /// Returns the exit status.
    fn run_subcommand(&self, _name: &str) -> Option<i32> {
        None
    }

    /// Runs one session to its classified end. Never fails and never outlasts its deadlines.
    ///
    /// Every line the agent writes goes to `transcript` unchanged.
    fn run<'a>(
        &'a self,
        spec: &'a AgentSpec,
        launch: &'a dyn ProgramLauncher,
        transcript: &'a mut (dyn AsyncWrite + Unpin + Send),
        channels: &'a SessionChannels,
    ) -> BoxFuture<'a, AgentReport>;

    /// Reads a transcript back as the events that were sent while the session ran.
    ///
    /// Lines without a meaning are left out, so a transcript that breaks off is read as far as it goes.
    fn replay(&self, transcript: &[u8]) -> Vec<AgentEvent>;
}

/// The inputs for finding an agent.
#[derive(Clone, Copy, Debug)]
pub struct AgentSetup<'a> {
    /// The settings of all agents.
    pub settings: &'a AgentSettings,
    /// Our own binary, for agents that are part of it.
    pub launcher: &'a Path,
    /// The developer's variables. A variable that is not there is taken from this process.
    pub env: &'a [EnvVar],
}

/// Returns the value of a variable: the developer's, else that of this process.
pub(super) fn find_variable(developer: &[EnvVar], name: &str) -> Option<String> {
    let given = developer.iter().find(|var| var.name == name);
    given
        .map(|var| var.value.clone())
        .or_else(|| std::env::var(name).ok())
}

/// The settings of the agents, each read by its own agent only.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgentSettings {
    /// Claude Code.
    pub claude: ClaudeSettings,
    /// The built-in agent.
    pub native: NativeSettings,
}

/// The state of an agent's installation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentInspection {
    /// The agent.
    pub agent: AgentName,
    /// The agent's name in a list.
    pub title: &'static str,
    /// Whether a session could start.
    pub usable: bool,
    /// The version, if the agent has one of its own.
    pub version: Option<String>,
    /// The program and version that were found, or what is missing.
    pub found: String,
    /// The reason it cannot be used, and what to do about it.
    pub problem: Option<String>,
}
