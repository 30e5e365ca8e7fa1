//! The settings of a connection that do not come from the editor.

use std::{path::PathBuf, time::Duration};

use claudecluster_protocol::goal::EnvVar;

/// The settings of a connection that do not come from the editor.
#[derive(Clone, Debug)]
pub struct LspConfig {
    /// The version that the server reports as its own.
    pub version: String,
    /// The editor's environment, for the goals that the editor submits.
    pub env: Vec<EnvVar>,
    /// The longest message in bytes. Longer messages are refused and skipped.
    pub max_message_bytes: usize,
    /// How long the editor may take to answer a request.
    pub reply_timeout: Duration,
    /// How long after its answer the editor may take to report the change it has made.
    ///
    /// Editors delay their reports by up to 150 ms.
    pub observe_timeout: Duration,
    /// A private folder for diffs that editors open as documents. Without one, diffs are messages.
    pub diffs: Option<PathBuf>,
    /// A private folder for plans that editors open as documents. Without one, no plan is opened.
    ///
    /// Users edit plans, unlike diffs.
    pub plans: Option<PathBuf>,
}

impl Default for LspConfig {
    fn default() -> Self {
        Self {
            version: claudecluster_protocol::api::VERSION.to_owned(),
            env: Vec::new(),
            max_message_bytes: 64 * 1024 * 1024,
            reply_timeout: Duration::from_secs(10),
            observe_timeout: Duration::from_secs(2),
            diffs: None,
            plans: None,
        }
    }
}
