//! How a command ends: exit statuses, failures and their context.

use std::{fmt::Display, io};

use claudecluster_protocol::{ErrorBody, ErrorKind};

/// Exit statuses, as `docs/guide.md` lists them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum CommandExit {
    /// Done as asked.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// What was asked for cannot be understood.
    Usage = 2,
    /// Somebody has to decide something first.
    Waiting = 3,
    /// A limit on cost or time was reached.
    Limit = 4,
    /// Somebody cancelled it.
    Cancelled = 130,
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum CommandFailure {
    /// Something is wrong that the user is told.
    Error(ErrorBody),
    /// Nobody reads the output any more. Nothing is wrong, and nobody is there to be told.
    Unread,
}

/// The result of a command, or of a part of one.
pub(crate) type CommandResult<T> = Result<T, CommandFailure>;

impl From<ErrorBody> for CommandFailure {
    fn from(error: ErrorBody) -> Self {
        Self::Error(error)
    }
}

/// For writing to stdout only: everything else says what it was about, with [`ErrorContext`].
impl From<io::Error> for CommandFailure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Unread
        } else {
            Self::Error(ErrorBody::environment(format!(
                "cannot write the output: {error}"
            )))
        }
    }
}

/// Adds to an error of the operating system what the program was doing.
pub(crate) trait ErrorContext<T> {
    /// Puts `what` and a colon before the system's message.
    fn context(self, what: impl Display) -> Result<T, ErrorBody>;
}

impl<T, E: Display> ErrorContext<T> for Result<T, E> {
    fn context(self, what: impl Display) -> Result<T, ErrorBody> {
        self.map_err(|e| ErrorBody::environment(format!("{what}: {e}")))
    }
}

/// Returns the exit status for an error.
pub(crate) fn exit_of_error(error: &ErrorBody) -> CommandExit {
    match error.kind {
        ErrorKind::User | ErrorKind::Config => CommandExit::Usage,
        ErrorKind::Environment | ErrorKind::Stale | ErrorKind::Internal => CommandExit::Failed,
    }
}
