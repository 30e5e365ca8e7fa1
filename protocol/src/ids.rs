//! Identifiers. Each is its own type, so that a task cannot be passed where a goal is meant.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Defines an identifier that is a number on every wire, with the number's type.
macro_rules! number_id {
    ($(#[$meta:meta])* $name:ident($number:ty)) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize,
            schemars::JsonSchema,
        )]
        #[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
        #[serde(transparent)]
        #[cfg_attr(feature = "codegen", ts(type = "number"))]
        pub struct $name(pub $number);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
pub(crate) use number_id;

/// Defines an identifier that is a string on every wire.
macro_rules! string_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
        #[serde(transparent)]
        #[cfg_attr(feature = "codegen", ts(type = "string"))]
        pub struct $name(String);

        impl $name {
            /// Wraps a string that is already known to be an identifier.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// Returns the identifier as it is written on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = std::convert::Infallible;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Ok(Self(s.to_owned()))
            }
        }

        impl From<&str> for $name {
            fn from(s: &str) -> Self {
                Self(s.to_owned())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

string_id! {
    /// A goal: what a developer asked for. Made by the daemon, short enough to type: `g` and a
    /// number that counts up within one state folder (`g1`, `g2`, …).
    GoalId
}
string_id! {
    /// A task inside one goal's plan. Chosen by the plan; `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    TaskId
}
string_id! {
    /// A reviewable change. Stable while text above, below and beside it changes. It names its goal
    /// (`g1.4f2a90c1`), so that a hunk command needs no second argument.
    HunkId
}
string_id! {
    /// A permission request. Made by the daemon, short enough to type: `p` and a number that counts up
    /// within one state folder (`p1`, `p2`, …).
    PermissionId
}
string_id! {
    /// A blob in the artifact store: the lower-case hexadecimal BLAKE3 hash of its bytes.
    BlobId
}

impl BlobId {
    /// Returns the identifier of these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex().to_string())
    }

    /// Returns whether this is an identifier that [`Self::of_bytes`] makes. Only such a one may become part of a
    /// path.
    pub fn is_hash(&self) -> bool {
        self.0.len() == blake3::OUT_LEN * 2
            && self
                .0
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl PermissionId {
    /// Returns the `n`th request of a state folder, counting from 1.
    pub fn from_number(n: u64) -> Self {
        Self(format!("p{n}"))
    }

    /// Returns the number of the request; `None` if this is no identifier of a request.
    pub fn number(&self) -> Option<u64> {
        self.0.strip_prefix('p')?.parse().ok()
    }
}

impl HunkId {
    /// Returns the goal this hunk belongs to, from the part before the first dot.
    pub fn goal(&self) -> Option<GoalId> {
        self.0.split_once('.').map(|(goal, _)| GoalId::new(goal))
    }
}

number_id! {
    /// One try at one task: numbered from 1 within the task.
    AttemptId(u32)
}

number_id! {
    /// Position of an event in the journal. Starts at 1, has no gaps.
    #[derive(Default)]
    EventSeq(u64)
}
