//! The inputs and the report of an agent session.
//!
//! [`AgentTask`] is data that could be sent to another machine. [`AgentPlace`] holds what only the
//! executor of the session knows: paths and the environment. [`SessionChannels`] connect the two.

use std::{ffi::OsString, path::PathBuf};

pub use claudecluster_protocol::worker::{AgentLimits, AgentTask};
use claudecluster_protocol::{Span, StopReason, event::AgentEvent, goal::AgentUsage};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{clocks::SessionClocks, home::ForkInheritance, permission::PermissionQuestion};

/// One agent session: its task, and the place it runs in.
#[derive(Clone, Debug)]
pub struct AgentSpec {
    /// The data of the session, the same wherever it runs.
    pub task: AgentTask,
    /// The paths and the environment on the machine that runs it.
    pub place: AgentPlace,
}

/// The place a session runs in, as the machine that runs it knows it.
#[derive(Clone, Debug, Default)]
pub struct AgentPlace {
    /// Variables added to the environment of the agent's process.
    pub env: Vec<(OsString, OsString)>,
    /// The private home of the session (settings, record), if the agent has one. Programs may see it at
    /// another path ([`ProgramLauncher::path_inside`](crate::launch::ProgramLauncher::path_inside)).
    pub home: PathBuf,
    /// The values that a fork inherits.
    pub inherited: ForkInheritance,
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
    /// Stops the session's clocks while one of its programs waits for a person.
    pub clocks: SessionClocks,
}

/// How a session ended.
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
    /// The id of the session, for resuming or forking it: that of the task, whatever the agent says.
    pub session: Option<String>,
    /// The values that forks of the session inherit.
    pub inheritance: ForkInheritance,
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
