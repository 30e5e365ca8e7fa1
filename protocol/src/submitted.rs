//! What a front is told of a goal that was submitted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::GoalId;

/// Answer of `claudecluster.goal.submit`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct SubmittedGoal {
    /// The goal: the new one, or the one that does the same already.
    pub goal_id: GoalId,
    /// There where nothing was started, because this goal has the same words and place and is not settled.
    /// It is `goal_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<GoalId>,
}
