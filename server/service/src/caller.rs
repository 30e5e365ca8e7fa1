//! Who calls, and with which rights.

use std::{fmt, sync::Arc};

use crate::rights::Rights;

/// Somebody who calls a [`Service`](crate::Service). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Who it is, for the journal and for error texts.
    pub name: CallerName,
    /// What the caller may do.
    pub rights: Rights,
}

/// The name of a [`Caller`]. Its text goes into the journal where a decision is recorded with who made it.
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
    /// The command line of the user who runs the daemon. It has every right: the socket is that user's alone.
    pub fn command_line() -> Self {
        Self {
            name: CallerName::CommandLine,
            rights: Rights::ALL,
        }
    }

    /// An editor of the user who runs the daemon. It has every right, as the command line has.
    pub fn editor(client_name: impl Into<Arc<str>>) -> Self {
        Self {
            name: CallerName::Editor(client_name.into()),
            rights: Rights::ALL,
        }
    }

    /// The daemon itself, which only looks.
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
