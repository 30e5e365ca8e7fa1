//! Settings of a connection that do not come from the editor.

use std::{path::PathBuf, time::Duration};

use claudecluster_protocol::goal::EnvVar;

/// Settings of a connection that do not come from the editor.
#[derive(Clone, Debug)]
pub struct LspConfig {
    /// The version the server gives for itself.
    pub version: String,
    /// The editor's environment, for the goals it submits.
    pub env: Vec<EnvVar>,
    /// Messages longer than this, in bytes, are refused and skipped.
    pub max_message_bytes: usize,
    /// How long an editor may take to answer a request that edits a document.
    pub reply_timeout: Duration,
    /// How long after its answer the editor may take to report the change it has made. Editors hold
    /// changes back for up to 150 ms.
    pub observe_timeout: Duration,
    /// A private folder for diffs that editors open as documents. Without one they are shown as
    /// messages.
    pub diffs: Option<PathBuf>,
    /// A private folder for the plans that editors open as documents. Unlike diffs, people write in
    /// them. Without one no plan is opened.
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
