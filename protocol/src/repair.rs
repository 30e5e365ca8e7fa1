//! What a task repairs that was added to a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{HunkId, RelPath, TaskId};

/// Names the cause of a task that was added to a plan as a repair.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct RepairSpec {
    /// Why it is there.
    pub cause: RepairCause,
    /// The hunks it is about: rejected ones, or the conflict it resolves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hunks: Vec<HunkId>,
    /// The files it is about.
    pub files: Vec<RelPath>,
    /// The tasks whose work it repairs, first the one whose session it goes on from.
    pub of: Vec<TaskId>,
    /// Why, in the developer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl RepairSpec {
    /// Returns whether the task repairs a proposal in review. Its result is then amended to the
    /// proposal. Other repairs run before there is a proposal.
    pub fn amends_proposal(&self) -> bool {
        self.cause != RepairCause::TaskConflict
    }
}

/// Why a repair task was added.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum RepairCause {
    /// Two tasks of the goal want different things in the same place.
    TaskConflict,
    /// The developer rejected hunks and said why.
    Rejected,
    /// The developer asked for it, for a conflict with the text that is there.
    Conflict,
}
