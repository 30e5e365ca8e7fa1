//! The private homes of sessions, and what outlives them.
//!
//! Architecture invariant: a home belongs to one session. The daemon makes it and deletes it. What a program has
//! written there is read only after the session has ended, as foreign files; what the daemon knows of a
//! session it keeps elsewhere and takes from the stream alone, which is no less foreign: any program of the
//! session can write to the agent's standard output.

use std::path::PathBuf;

use claudecluster_files::{FolderHandle, ForeignFileError};
use claudecluster_protocol::goal::AgentUsage;
use serde::{Deserialize, Serialize};

/// The agent's part of a home. An agent without one gets no home.
pub trait AgentHome: Sync {
    /// Fills a new home. `keep` holds what the goal's earlier sessions have left ([`AgentHome::keep_login`]).
    /// Without `needs_login`, no login is put into it.
    ///
    /// # Errors
    ///
    /// A folder or file cannot be written.
    fn fill(
        &self,
        home: &FolderHandle,
        keep: &FolderHandle,
        needs_login: bool,
    ) -> Result<(), ForeignFileError>;

    /// Lists the files that a fork of `session` needs, by paths beneath the home; the first one is the session
    /// itself. Empty if the session has left none.
    ///
    /// # Errors
    ///
    /// The home cannot be listed.
    fn list_session_files(
        &self,
        home: &FolderHandle,
        session: &str,
    ) -> Result<Vec<PathBuf>, ForeignFileError>;

    /// Keeps a login that the session has renewed for the goal's later sessions, if there is one and it is sound.
    ///
    /// # Errors
    ///
    /// It cannot be read or kept.
    fn keep_login(
        &self,
        _home: &FolderHandle,
        _keep: &FolderHandle,
    ) -> Result<(), ForeignFileError> {
        Ok(())
    }
}

/// The values that forks of a session inherit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ForkInheritance {
    /// The running totals at the end of the session. Some releases of Claude Code carry them on into every
    /// fork; the cost of the fork is the difference then.
    pub totals: AgentUsage,
    /// The model as the agent named it, context variant included; `None` unless it is a name
    /// ([`is_model_name`]). A fork that is told none takes the name that the provider answered with, which lacks
    /// the variant: its prompt would differ from its parent's near the start.
    pub model: Option<String>,
}

/// The longest name of a model, in bytes. Those of clouds are the longest, with about a hundred.
const MODEL_NAME: usize = 200;

/// Returns whether a text is the name of a model, and neither an option nor anything else that has a meaning on a
/// command line or in a file.
pub fn is_model_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._:/@[]-".contains(c);
    !text.is_empty() && text.len() <= MODEL_NAME && !text.starts_with('-') && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_models_are_inherited() {
        for name in [
            "claude-opus-4-8[1m]",
            "claude-sonnet-5@20261101",
            "us.anthropic.claude-opus-4-8-v1:0",
            "arn:aws:bedrock:us-east-1:1234:inference-profile/us.claude",
            "openrouter/anthropic/claude-4.8",
        ] {
            assert!(is_model_name(name), "{name}");
        }
        let long = "m".repeat(MODEL_NAME + 1);
        for text in [
            "",
            "-p",
            "--dangerously-skip-permissions",
            "a b",
            "a\nb",
            "$(touch x)",
            "a;b",
            "a=b",
            "ä",
            &long,
        ] {
            assert!(!is_model_name(text), "{text:?}");
        }
    }
}
