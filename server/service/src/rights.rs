//! The rights of callers, and the table of the right that each call needs.

use claudecluster_protocol::api::Call;

/// Names one right that a caller may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Right {
    /// Reads goals, changes, files of changes, artifacts and events.
    Look,
    /// Starts goals and decides about them: accept, reject, approve, cancel, retry, grant.
    Decide,
    /// Administers the daemon itself.
    Administer,
}

/// Holds the rights of one caller. No right contains another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// See [`Right::Look`].
    pub look: bool,
    /// See [`Right::Decide`].
    pub decide: bool,
    /// See [`Right::Administer`].
    pub administer: bool,
}

impl Right {
    /// Lists all rights.
    pub const ALL: [Self; 3] = [Self::Look, Self::Decide, Self::Administer];

    /// Returns the right's name for error texts.
    pub(crate) fn as_words(self) -> &'static str {
        match self {
            Self::Look => "read goals",
            Self::Decide => "start goals or decide about them",
            Self::Administer => "control the daemon",
        }
    }
}

impl Rights {
    /// Returns every right.
    pub const ALL: Self = Self {
        look: true,
        decide: true,
        administer: true,
    };
    /// Returns [`Right::Look`] only.
    pub const LOOK: Self = Self {
        look: true,
        decide: false,
        administer: false,
    };
    /// Returns no right.
    pub const NONE: Self = Self {
        look: false,
        decide: false,
        administer: false,
    };

    /// Returns whether these rights contain `right`.
    pub fn include(self, right: Right) -> bool {
        match right {
            Right::Look => self.look,
            Right::Decide => self.decide,
            Right::Administer => self.administer,
        }
    }
}

/// Returns the right that a call needs. This is the whole table: a new call does not compile before
/// it has a row.
pub fn right_needed(call: &Call) -> Right {
    match call {
        Call::Goals
        | Call::Goal { .. }
        | Call::Watch { .. }
        | Call::Hunks { .. }
        | Call::Diff { .. }
        | Call::Content { .. }
        | Call::Permissions
        | Call::Artifacts { .. }
        | Call::Blob { .. }
        | Call::Status => Right::Look,
        Call::Submit { .. }
        | Call::Decide { .. }
        | Call::Cancel { .. }
        | Call::Retry { .. }
        | Call::Approve { .. }
        | Call::Permit { .. } => Right::Decide,
        Call::Stop { .. } => Right::Administer,
    }
}
