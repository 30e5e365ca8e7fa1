//! The rights of callers: which there are, and which each call needs.

use claudecluster_protocol::api::Call;

/// One thing a caller may be allowed to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Right {
    /// Read goals, changes, files of changes, artifacts and events.
    Look,
    /// Start goals and decide about them: accept, reject, approve, cancel, retry, grant.
    Decide,
    /// Act on the daemon itself.
    Administer,
}

/// The rights of one caller. No right contains another.
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
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Look, Self::Decide, Self::Administer];

    /// The right as error texts name it.
    pub(crate) fn as_words(self) -> &'static str {
        match self {
            Self::Look => "read goals",
            Self::Decide => "start goals or decide about them",
            Self::Administer => "control the daemon",
        }
    }
}

impl Rights {
    /// Every right.
    pub const ALL: Self = Self {
        look: true,
        decide: true,
        administer: true,
    };
    /// Only [`Right::Look`].
    pub const LOOK: Self = Self {
        look: true,
        decide: false,
        administer: false,
    };
    /// No right.
    pub const NONE: Self = Self {
        look: false,
        decide: false,
        administer: false,
    };

    /// Whether a right is among them.
    pub fn include(self, right: Right) -> bool {
        match right {
            Right::Look => self.look,
            Right::Decide => self.decide,
            Right::Administer => self.administer,
        }
    }
}

/// The right that a call needs. This is the whole table: a new call does not compile before it has a row.
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
