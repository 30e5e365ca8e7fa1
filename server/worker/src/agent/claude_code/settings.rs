//! Settings of Claude Code.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Claude Code.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClaudeSettings {
    /// The program. Default: `claude` as found on `PATH`.
    pub program: Option<PathBuf>,
}
