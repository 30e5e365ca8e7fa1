//! Claude Code as one of the agents.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use claudecluster_protocol::{
    ErrorBody, agent::AgentCapabilities, event::AgentEvent, goal::EnvVar, plan::AgentName,
};
use futures::future::BoxFuture;
use tokio::io::AsyncWrite;

use super::{detect, home, provider, session};
use crate::{
    agent::{
        AgentHome, AgentInspection, AgentReport, AgentSettings, AgentSetup, AgentSpec, CodingAgent,
        ProviderLogin, SessionChannels,
    },
    launch::ProgramLauncher,
};

/// The command that installs it.
const INSTALL: &str = "install it with: npm install -g @anthropic-ai/claude-code";

/// The real Claude Code.
#[derive(Clone, Copy, Debug)]
pub(in crate::agent) struct ClaudeCode;

impl CodingAgent for ClaudeCode {
    fn name(&self) -> AgentName {
        AgentName::ClaudeCode
    }

    fn label(&self) -> &'static str {
        "Claude Code"
    }

    fn capabilities(&self) -> AgentCapabilities {
        AgentCapabilities {
            plans: true,
            forks: true,
            resumes: true,
            asks_permission: true,
            reports_cost: true,
            needs_provider: true,
            ..AgentCapabilities::default()
        }
    }

    /// Looks where whoever submitted the goal would find it.
    fn find_program(&self, setup: &AgentSetup<'_>) -> Result<PathBuf, ErrorBody> {
        let program = setup.settings.claude.program.as_deref();
        let path = setup.env.iter().find(|var| var.name == "PATH");
        let path = path.map(|var| OsStr::new(&var.value));
        detect::find_program(program, path).ok_or_else(|| match program {
            Some(program) => ErrorBody::config(format!(
                "the setting `claude.program` names {}, which is not a program",
                program.display()
            ))
            .with_hint("correct it with: claudecluster config set claude.program PATH"),
            None => ErrorBody::environment("Claude Code is not installed: `claude` is not on PATH")
                .with_hint(INSTALL),
        })
    }

    fn inspect(&self, setup: &AgentSetup<'_>) -> Option<AgentInspection> {
        let found = detect::detect_program(setup.settings.claude.program.as_deref());
        let usable = found.is_usable();
        let path = found
            .path
            .map_or_else(|| "not found".to_owned(), |path| path.display().to_string());
        Some(AgentInspection {
            agent: self.name(),
            title: "Claude Code",
            usable,
            found: match &found.version {
                Some(version) => format!("{version}, {path}"),
                None => path,
            },
            version: found.version,
            problem: found.problem,
        })
    }

    fn remedy(&self, _settings: &AgentSettings) -> Option<String> {
        Some(INSTALL.to_owned())
    }

    fn passed_variables(&self) -> &'static [&'static str] {
        &[
            "ANTHROPIC_*",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
            "AWS_REGION",
            "AWS_PROFILE",
            "CLOUD_ML_REGION",
        ]
    }

    fn secret_prefixes(&self) -> &'static [&'static str] {
        &["ANTHROPIC_", "CLAUDE", "AWS_"]
    }

    fn provider_addresses(&self, variables: &[EnvVar]) -> Vec<String> {
        provider::provider_addresses(variables)
    }

    fn take_login(
        &self,
        _settings: &AgentSettings,
        variables: &mut Vec<EnvVar>,
    ) -> Option<ProviderLogin> {
        provider::take_login(variables)
    }

    fn home(&self) -> Option<&'static dyn AgentHome> {
        Some(&home::ClaudeHome)
    }

    fn cache_in(&self, folder: &Path) {
        detect::remember_in(folder);
    }

    fn run<'a>(
        &'a self,
        spec: &'a AgentSpec,
        launch: &'a dyn ProgramLauncher,
        transcript: &'a mut (dyn AsyncWrite + Unpin + Send),
        channels: &'a SessionChannels,
    ) -> BoxFuture<'a, AgentReport> {
        Box::pin(session::run_session(spec, launch, transcript, channels))
    }

    fn replay(&self, transcript: &[u8]) -> Vec<AgentEvent> {
        session::replay_transcript(transcript)
    }
}
