//! The built-in agent as one of the agents.

use std::path::PathBuf;

use claudecluster_protocol::{
    ErrorBody, agent::AgentCapabilities, event::AgentEvent, goal::EnvVar, plan::AgentName,
};
use futures::future::BoxFuture;
use tokio::io::AsyncWrite;

use super::{
    child, conversation::NativeHome, lines::SUBCOMMAND, session, settings::NativeSettings,
};
use crate::{
    agent::{
        AgentHome, AgentInspection, AgentReport, AgentSettings, AgentSetup, AgentSpec, CodingAgent,
        LoginHeader, ProviderLogin, SessionChannels,
        coding_agent::find_variable,
        login::{take_secrets, take_variable},
    },
    launch::ProgramLauncher,
};

/// The variables the agent itself reads.
const KEY: &str = "ANTHROPIC_API_KEY";
const TOKEN: &str = "ANTHROPIC_AUTH_TOKEN";
const BASE_URL: &str = "ANTHROPIC_BASE_URL";
/// The beginning of variables that the agent may see, of which it reads no others.
const PREFIX: &str = "ANTHROPIC_";

/// The agent that is part of our own binary.
#[derive(Clone, Copy, Debug)]
pub(in crate::agent) struct NativeAgent;

impl CodingAgent for NativeAgent {
    fn name(&self) -> AgentName {
        AgentName::Native
    }

    fn label(&self) -> &'static str {
        "the built-in agent"
    }

    /// All of its tools stay inside the sandbox, so it never asks.
    fn capabilities(&self) -> AgentCapabilities {
        AgentCapabilities {
            plans: true,
            forks: true,
            resumes: true,
            reports_cost: true,
            needs_provider: true,
            ..AgentCapabilities::default()
        }
    }

    fn find_program(&self, setup: &AgentSetup<'_>) -> Result<PathBuf, ErrorBody> {
        Ok(setup.launcher.to_owned())
    }

    fn check_usable(&self, setup: &AgentSetup<'_>) -> Result<(), ErrorBody> {
        let settings = &setup.settings.native;
        find_key(settings, setup.env).map(drop).ok_or_else(|| {
            let key_env = &settings.key_env;
            ErrorBody::environment(format!(
                "the built-in agent needs an API key: {key_env} is not set"
            ))
            .with_hint(
                "set it in the environment of claudecluster, or choose another agent with --agent",
            )
        })
    }

    fn inspect(&self, setup: &AgentSetup<'_>) -> Option<AgentInspection> {
        let NativeSettings { base_url, key_env } = &setup.settings.native;
        let usable = find_variable(setup.env, key_env).is_some_and(|key| !key.is_empty());
        Some(AgentInspection {
            agent: self.name(),
            title: "built-in agent",
            usable,
            version: None,
            found: if usable {
                format!("{key_env} is set; endpoint {base_url}")
            } else {
                format!("{key_env} is not set")
            },
            problem: self.remedy(setup.settings).filter(|_| !usable),
        })
    }

    fn remedy(&self, settings: &AgentSettings) -> Option<String> {
        Some(format!(
            "set an API key: export {}=…",
            settings.native.key_env
        ))
    }

    fn passed_variables(&self) -> &'static [&'static str] {
        &["ANTHROPIC_*"]
    }

    fn secret_prefixes(&self) -> &'static [&'static str] {
        &["ANTHROPIC_"]
    }

    fn secret_variable<'a>(&self, settings: &'a AgentSettings) -> Option<&'a str> {
        Some(&settings.native.key_env)
    }

    /// Gives the key and the address the names the agent reads them by.
    fn environment(&self, settings: &AgentSettings, developer: Vec<EnvVar>) -> Vec<EnvVar> {
        let mut variables = developer;
        if let Some(value) = find_key(&settings.native, &variables) {
            let names = [KEY, settings.native.key_env.as_str()];
            variables.retain(|var| !names.contains(&var.name.as_str()));
            variables.push(variable(KEY, value));
        }
        if !variables.iter().any(|var| var.name == BASE_URL) {
            variables.push(variable(BASE_URL, settings.native.base_url.clone()));
        }
        variables
    }

    fn provider_addresses(&self, variables: &[EnvVar]) -> Vec<String> {
        let address = variables.iter().rev().find(|var| var.name == BASE_URL);
        address.map(|var| var.value.clone()).into_iter().collect()
    }

    /// Takes the key out, and its own variable where it has another name.
    fn take_login(
        &self,
        settings: &AgentSettings,
        variables: &mut Vec<EnvVar>,
    ) -> Option<ProviderLogin> {
        let base_url = take_variable(variables, BASE_URL);
        let known = [(KEY, LoginHeader::ApiKey), (TOKEN, LoginHeader::Bearer)];
        let secrets = take_secrets(variables, &known);
        let key_env = &settings.native.key_env;
        variables.retain(|var| !var.name.starts_with(PREFIX) && var.name != *key_env);
        (!secrets.is_empty()).then(|| ProviderLogin {
            base_url: base_url.unwrap_or_else(|| settings.native.base_url.clone()),
            address_variable: BASE_URL,
            secrets,
            headers: Vec::new(),
            paths: &["/v1/messages"],
            direct: Vec::new(),
            variables: Vec::new(),
        })
    }

    fn home(&self) -> Option<&'static dyn AgentHome> {
        Some(&NativeHome)
    }

    fn run_subcommand(&self, name: &str) -> Option<i32> {
        (name == SUBCOMMAND).then(child::native_main)
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

fn find_key(settings: &NativeSettings, developer: &[EnvVar]) -> Option<String> {
    find_variable(developer, &settings.key_env).or_else(|| find_variable(developer, TOKEN))
}

fn variable(name: &str, value: String) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value,
    }
}
