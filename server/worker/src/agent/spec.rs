//! The inputs and the report of an agent session.
//!
//! [`AgentTask`] is data that could be sent to another machine. [`AgentPlace`] holds what only the
//! executor of the session knows: paths and the environment. [`SessionChannels`] connect the two.

use std::{ffi::OsString, path::PathBuf};

use claudecluster_protocol::{
    Span, StopReason, Usd,
    event::AgentEvent,
    goal::AgentUsage,
    plan::{AgentName, Command},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::permission::{PermissionQuestion, ToolPermissions};

/// One agent session: its task, and the place it runs in.
#[derive(Clone, Debug)]
pub struct AgentSpec {
    /// The data of the session, the same wherever it runs.
    pub task: AgentTask,
    /// The paths and the environment on the machine that runs it.
    pub place: AgentPlace,
}

/// The task of one agent session, as data without paths or handles.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentTask {
    /// The agent that runs the session.
    pub agent: AgentName,
    /// The first user turn.
    pub prompt: String,
    /// Text added to the agent's system prompt. Identical for a planner and its forks.
    pub system: Option<String>,
    /// The JSON Schema the closing answer must satisfy. Identical for a planner and its forks.
    pub schema: Option<serde_json::Value>,
    /// The model. Default: the agent's own.
    pub model: Option<String>,
    /// The id of the session to make, a UUID.
    pub session: String,
    /// The session to start from: a planner's, or that of an interrupted attempt.
    pub fork_of: Option<String>,
    /// The command to run, for agents that run a command instead of following a prompt.
    pub run: Option<Command>,
    /// Deadlines and limits.
    pub limits: AgentLimits,
    /// The tools the agent may use. Identical for a planner and its forks.
    pub permissions: ToolPermissions,
}

/// The place a session runs in, as the machine that runs it knows it.
#[derive(Clone, Debug, Default)]
pub struct AgentPlace {
    /// Variables added to the environment of the agent's process.
    pub env: Vec<(OsString, OsString)>,
    /// The agent's private home (settings, sessions), shared by the sessions of one goal.
    pub home: PathBuf,
    /// The agent's program, such as `claude`, or our own binary for the built-in agent.
    pub program: PathBuf,
}

/// The channels between a session and its caller.
#[derive(Clone, Debug)]
pub struct SessionChannels {
    /// Receives what the agent reports. Events are dropped while the channel is full: no watcher may
    /// hold up a session.
    pub events: mpsc::Sender<AgentEvent>,
    /// Receives questions about permissions. Without it, each of them is denied.
    pub questions: Option<mpsc::UnboundedSender<PermissionQuestion>>,
    /// Ends the session.
    pub cancel: CancellationToken,
}

/// Deadlines and limits of one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentLimits {
    /// From spawn to the first sign of life.
    pub start: Span,
    /// The longest silence while the agent works.
    pub silence: Span,
    /// From the agent's result to the end of its process, and from SIGTERM to SIGKILL.
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

impl AgentLimits {
    /// Returns how long one command of an agent may take: less than the silence that ends its session,
    /// because the agent is silent meanwhile.
    pub(super) fn longest_command(&self) -> Span {
        Span(self.silence.0 / 10 * 9)
    }
}

/// The report of a session that has ended.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    /// The reason the session failed; `None` for success.
    pub stop: Option<StopReason>,
    /// The agent's closing words; after a failure, what happened and what to do.
    pub summary: String,
    /// The structured answer, if the task has a schema.
    pub answer: Option<serde_json::Value>,
    /// The cost of this session alone, without that of the session it was forked from.
    pub usage: AgentUsage,
    /// The id of the session, for resuming or forking it.
    pub session: Option<String>,
    /// When the provider will answer again, if it said so.
    pub retry_after: Option<Span>,
}

impl AgentReport {
    /// Returns the report of a session that failed for `stop`.
    pub fn failed(stop: StopReason, summary: impl Into<String>) -> Self {
        Self {
            stop: Some(stop),
            summary: summary.into(),
            ..Self::default()
        }
    }
}
