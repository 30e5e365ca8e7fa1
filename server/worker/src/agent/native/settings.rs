//! Settings of the built-in agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the built-in agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NativeSettings {
    /// The URL of the Messages API.
    pub base_url: String,
    /// The environment variable that holds the API key.
    pub key_env: String,
}

impl Default for NativeSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.anthropic.com".to_owned(),
            key_env: "ANTHROPIC_API_KEY".to_owned(),
        }
    }
}
