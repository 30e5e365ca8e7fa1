//! Settings of Claude Code.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Claude Code.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClaudeSettings {
    /// The path of Claude Code. Default: `claude` on `PATH`.
    pub program: Option<PathBuf>,
}
