//! The texts of a file with pending changes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::GoalId;

/// Selects a text of a pending file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum PendingSide {
    /// The text before the proposed change.
    Base,
    /// The proposed version.
    Proposed,
    /// The text that accepting every clean hunk would give now.
    Merged,
}

/// Parameters of `claudecluster/content`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PendingContentParams {
    /// The goal.
    pub goal_id: GoalId,
    /// The document.
    pub uri: String,
    /// The text to read.
    pub side: PendingSide,
}

/// Answer of `claudecluster/content`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct PendingContent {
    /// The text; `None` where the file does not exist on that side.
    pub text: Option<String>,
}
