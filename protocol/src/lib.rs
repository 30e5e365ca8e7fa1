//! Every type that crosses a wire: plan files, journal events, the daemon's local socket, and the
//! extensions to the Language Server Protocol.
//!
//! Keys are camelCase everywhere. JSON Schema and TypeScript are generated from these types (see
//! `export`, behind the feature `codegen`); a test fails when the generated files are stale.
//!
//! Architecture invariant: this crate performs no IO and depends on no other crate of the
//! workspace. A type that two crates exchange lives here and nowhere else.

pub mod agent;
pub mod api;
pub mod change;
pub mod content;
pub mod editor;
pub mod error;
pub mod event;
#[cfg(feature = "codegen")]
pub mod export;
pub mod goal;
pub mod ids;
pub mod landed;
pub mod network;
pub mod path;
pub mod permission;
pub mod plan;
pub mod repair;
pub mod resolution;
pub mod submitted;
pub mod units;
pub mod worker;

pub use change::{ChangeKind, FileMode};
pub use error::{ErrorBody, ErrorKind};
pub use event::{Event, EventBody};
pub use goal::{GoalScope, GoalSpec, GoalState, StopReason, TaskState};
pub use ids::{AttemptId, BlobId, EventSeq, GoalId, HunkId, PermissionId, TaskId};
pub use path::RelPath;
pub use plan::{Plan, TaskSpec};
pub use units::{Span, Timestamp, Usd};
