//! Agents: programs that do a task inside a sandbox.
//!
//! Architecture invariant: only `claude_code` knows Claude Code's stream format. Every agent's own
//! format is converted to [`AgentEvent`]s and one [`AgentReport`] at this edge.

pub mod claude_code;
mod command;
pub mod native;
mod permission;
mod prices;
mod session;
mod text;

use std::{ffi::OsString, path::PathBuf};

use claudecluster_protocol::{
    Span, StopReason, Usd,
    event::AgentEvent,
    goal::AgentUsage,
    plan::{AgentName, Command},
};
pub use permission::{Ask, Permissions, Reply, Wanted};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::launch::Launch;

/// What one agent session is to do. Owned: an attempt shares nothing with the dispatcher.
#[derive(Clone, Debug)]
pub struct AgentSpec {
    /// Which agent.
    pub agent: AgentName,
    /// The first user turn.
    pub prompt: String,
    /// Added to the agent's system prompt. Identical for a planner and its forks.
    pub system: Option<String>,
    /// The JSON Schema the closing answer must satisfy. Identical for a planner and its forks.
    pub schema: Option<serde_json::Value>,
    /// The model; the agent's default where there is none.
    pub model: Option<String>,
    /// The id of the session to make, a UUID.
    pub session: String,
    /// The session to start from (a planner's, or that of an interrupted attempt).
    pub fork_of: Option<String>,
    /// For the `command` agent.
    pub run: Option<Command>,
    /// Added to the environment of the agent's process.
    pub env: Vec<(OsString, OsString)>,
    /// The agent's private home (settings, sessions), shared by the sessions of one goal.
    pub home: PathBuf,
    /// The agent's program (`claude`, or our own binary for `native`).
    pub program: PathBuf,
    /// Deadlines and limits.
    pub limits: AgentLimits,
    /// Which tools it may use. Identical for a planner and its forks, apart from who decides.
    pub permissions: Permissions,
}

/// Deadlines and limits of one session.
#[derive(Clone, Copy, Debug)]
pub struct AgentLimits {
    /// From spawn to the first sign of life.
    pub start: Span,
    /// The longest silence while it works.
    pub silence: Span,
    /// From its result to the end of its process, and from SIGTERM to SIGKILL.
    pub exit: Span,
    /// For the whole session.
    pub timeout: Span,
    /// Model turns.
    pub max_turns: u32,
    /// Cost; `None` for no limit.
    pub budget: Option<Usd>,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self {
            start: Span::secs(60),
            silence: Span::secs(600),
            exit: Span::secs(10),
            timeout: Span::secs(3600),
            max_turns: 200,
            budget: None,
        }
    }
}

/// How a session ended.
#[derive(Clone, Debug, Default)]
pub struct AgentReport {
    /// `None` for success.
    pub stop: Option<StopReason>,
    /// The agent's closing words; where it stopped short, what happened and what to do.
    pub summary: String,
    /// The structured answer, where a schema was given.
    pub answer: Option<serde_json::Value>,
    /// What it cost. Differences, not the agent's running totals across forks.
    pub usage: AgentUsage,
    /// The session to resume or fork, where there is one.
    pub session: Option<String>,
    /// When the provider will answer again, where it said so.
    pub retry_after: Option<Span>,
}

/// Runs one session to its classified end. Never fails and never outlasts its deadlines.
///
/// Every line the agent writes goes to `transcript` as it is. Events nobody takes from `events` in
/// time are dropped: no watcher may hold up a session.
pub async fn run(
    spec: &AgentSpec,
    launch: &dyn Launch,
    transcript: &mut (dyn tokio::io::AsyncWrite + Unpin + Send),
    events: mpsc::Sender<AgentEvent>,
    cancel: CancellationToken,
) -> AgentReport {
    match spec.agent {
        AgentName::ClaudeCode => claude_code::run(spec, launch, transcript, &events, &cancel).await,
        AgentName::Native => native::run(spec, launch, transcript, &events, &cancel).await,
        AgentName::Command => command::run(spec, launch, transcript, &events, &cancel).await,
    }
}

/// What a session's transcript says, as the events it was told by while it ran.
///
/// Lines that mean nothing are left out, so a transcript that breaks off is told as far as it goes.
pub fn replay(agent: AgentName, transcript: &[u8]) -> Vec<AgentEvent> {
    match agent {
        AgentName::ClaudeCode => claude_code::replay(transcript),
        AgentName::Native => native::replay(transcript),
        AgentName::Command => {
            let text = String::from_utf8_lossy(transcript).into_owned();
            vec![AgentEvent::Output { text }]
        }
    }
}

/// How long one command of an agent may take. It is silent meanwhile, and silence has a deadline:
/// the command has to end first.
fn longest_command(spec: &AgentSpec) -> Span {
    Span(spec.limits.silence.0 / 10 * 9)
}
