//! The end of a command: exit statuses, failures and their context.

use std::{fmt::Display, io};

use claudecluster_protocol::{ErrorBody, ErrorKind};

/// Lists the exit statuses, as `docs/guide.md` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum CommandExit {
    /// The command succeeded.
    Done = 0,
    /// The command failed.
    Failed = 1,
    /// The arguments or the input are invalid.
    Usage = 2,
    /// The goal waits for a decision of the user.
    Waiting = 3,
    /// A limit on cost or time was reached.
    Limit = 4,
    /// The user cancelled the command.
    Cancelled = 130,
}

/// Gives the reason why a command ended early.
#[derive(Debug)]
pub(crate) enum CommandFailure {
    /// An error that the user sees.
    Error(ErrorBody),
    /// The reader has closed the output. This is no error, and nobody is left to read a message.
    Unread,
}

/// Holds the result of a command, or of a part of one.
pub(crate) type CommandResult<T> = Result<T, CommandFailure>;

impl From<ErrorBody> for CommandFailure {
    fn from(error: ErrorBody) -> Self {
        Self::Error(error)
    }
}

/// Converts errors of writing to stdout. Other errors get their context from [`ErrorContext`].
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

/// Adds the program's current action to an error of the operating system.
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
