//! Permission requests: a worker wants to use a tool that a person has to allow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BlobId, GoalId, PermissionId, TaskId, Timestamp};

/// The tool of requests about hosts of the network. No agent has a tool of that name.
pub const NETWORK_TOOL: &str = "Network";

/// A worker waits until somebody allows or denies what it wants to do.
///
/// Workers of one goal that want exactly the same share one request. Its identifier stands for this tool
/// with this input and is never used for anything else, so an answer cannot come to mean something that
/// nobody has looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct PermissionRequest {
    /// Identifier.
    pub id: PermissionId,
    /// The goal.
    pub goal_id: GoalId,
    /// The tasks that wait for the answer, in the order they asked. None: the planner waits.
    pub task_ids: Vec<TaskId>,
    /// The tool, as its agent names it.
    pub tool: String,
    /// A description of the use, for people: an address, a command, or all of its input as JSON.
    pub detail: String,
    /// The kind of access the tool wants; `None` where it is of no known kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PermissionKind>,
    /// The whole input, as canonical JSON in the artifact store. Being the hash of its bytes, it is what
    /// an answer is bound to.
    pub input: BlobId,
    /// The moment the first of the tasks asked.
    pub asked_at: Timestamp,
}

impl PermissionRequest {
    /// Returns whether the request is about a host of the network, which can be allowed for always.
    pub fn is_about_host(&self) -> bool {
        self.tool == NETWORK_TOOL && self.kind == Some(PermissionKind::Network)
    }

    /// Returns whether the request is about this tool with this input.
    pub fn is_about(&self, tool: &str, input: &BlobId) -> bool {
        self.tool == tool && self.input == *input
    }
}

/// Names the kind of access a tool wants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum PermissionKind {
    /// The tool reaches the network.
    Network,
    /// The tool runs a command in the worker's sandbox.
    Command,
    /// The tool reads or writes a file in the worker's view.
    File,
}

/// Answers a permission request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum PermissionDecision {
    /// Allows the use.
    Allow,
    /// Denies the use; the worker continues without it.
    Deny,
}

/// Says which tasks an answer covers. It always concerns this tool with exactly this input.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum PermissionScope {
    /// To those who wait now.
    #[default]
    Once,
    /// Also to later attempts of the tasks that wait now.
    Task,
    /// To all tasks of the goal, now and later.
    Goal,
    /// To all goals, now and later. Only for a host of the network, and only to allow it: the host is added
    /// to the setting `network.allow`.
    Always,
}

/// An answer to a permission request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PermissionAnswer {
    /// The request.
    pub request_id: PermissionId,
    /// The answer.
    pub decision: PermissionDecision,
    /// The tasks the answer covers.
    #[serde(default)]
    pub scope: PermissionScope,
    /// Why, for a denial: the worker is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl PermissionAnswer {
    /// Makes an answer for the tasks that wait now.
    pub fn new(request_id: PermissionId, decision: PermissionDecision) -> Self {
        Self {
            request_id,
            decision,
            scope: PermissionScope::Once,
            reason: None,
        }
    }
}
