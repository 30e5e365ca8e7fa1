//! The lines that the two halves of the agent exchange.

use std::path::PathBuf;

use claudecluster_protocol::{Span, StopReason, Usd, event::AgentEvent, goal::AgentUsage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The hidden subcommand of our own binary that is this agent.
pub(super) const SUBCOMMAND: &str = "agent-native";

/// The task, which the daemon sends as one line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NativeTask {
    pub(super) prompt: String,
    pub(super) system: Option<String>,
    pub(super) schema: Option<Value>,
    pub(super) model: Option<String>,
    pub(super) session: String,
    pub(super) fork_of: Option<String>,
    /// The folder of conversations.
    pub(super) home: PathBuf,
    /// The workspace as the sandbox shows it.
    pub(super) root: PathBuf,
    pub(super) max_turns: u32,
    pub(super) budget: Option<Usd>,
    /// For one command.
    pub(super) longest_command: Span,
}

/// A line of the agent: any number of events, then the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum NativeLine {
    Event(AgentEvent),
    Report(NativeReport),
}

/// The report of a session, as the agent itself sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NativeReport {
    pub(super) stop: Option<StopReason>,
    pub(super) summary: String,
    pub(super) answer: Option<Value>,
    pub(super) usage: AgentUsage,
    pub(super) retry_after: Option<Span>,
}
