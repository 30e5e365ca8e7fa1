//! What a user is told when something cannot be done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose move it is when something failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum ErrorKind {
    /// The request cannot be carried out as made: bad arguments, bad plan, unknown goal.
    User,
    /// A configuration file, option or environment variable is wrong.
    Config,
    /// Something outside is missing or refused: program, key, network, disk.
    Environment,
    /// The text or the state it was about has changed meanwhile; look again and retry.
    Stale,
    /// Makes an error for a mistake of the program itself.
    Internal,
}

/// An error as it crosses a wire: what is wrong, and what to do next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct ErrorBody {
    /// Whose move it is.
    pub kind: ErrorKind,
    /// A one-line description of the problem.
    pub message: String,
    /// The next step for the user, as one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ErrorBody {
    /// Makes an error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// Makes an error for a request that cannot be carried out as made.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::User, message)
    }

    /// Makes an error for a wrong configuration.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Makes an error for something outside that is missing or refused.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Environment, message)
    }

    /// Makes an error for a request that a change in the meantime made stale.
    pub fn stale(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Stale, message)
    }

    /// Makes an error for a mistake of the program itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
