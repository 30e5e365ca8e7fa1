//! Callers and their rights.

use std::{fmt, sync::Arc};

use crate::rights::Rights;

/// Describes one caller of a [`Service`](crate::Service). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The caller's name, for the journal and for error texts.
    pub name: CallerName,
    /// The caller's rights.
    pub rights: Rights,
}

/// Names a [`Caller`]. The journal records this name with each decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallerName {
    /// The command line, over the daemon's socket.
    CommandLine,
    /// An editor, by the name and version its client gave.
    Editor(Arc<str>),
    /// The daemon itself.
    Daemon,
}

impl Caller {
    /// Returns the command line of the user who runs the daemon. It has every right: the socket is
    /// that user's alone.
    pub fn command_line() -> Self {
        Self {
            name: CallerName::CommandLine,
            rights: Rights::ALL,
        }
    }

    /// Returns an editor of the user who runs the daemon. It has every right, as the command line
    /// has.
    pub fn editor(client_name: impl Into<Arc<str>>) -> Self {
        Self {
            name: CallerName::Editor(client_name.into()),
            rights: Rights::ALL,
        }
    }

    /// Returns the daemon itself as a caller, which may only look.
    pub fn daemon() -> Self {
        Self {
            name: CallerName::Daemon,
            rights: Rights::LOOK,
        }
    }
}

impl fmt::Display for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "the command line",
            Self::Editor(client_name) => client_name,
            Self::Daemon => "the daemon",
        })
    }
}
