//! Owns all goals: turns core's effects into work, and reports of work into inputs.
//!
//! Architecture invariants:
//! - One loop, `dispatcher`, owns the state of all goals. It makes facts durable before anybody can
//!   see their effects. Work gets owned inputs and answers by message; readers get immutable
//!   snapshots.
//! - The user's text is never written over: `land` merges against the current text and counts
//!   only what it has observed.
//! - Nothing in a workspace is executed here. Programs run in a sandbox of the worker's.
//! - Imports go one way: `workspace` ← `review` ← `proposal` ← `run` and `land` ← `goal` ←
//!   `dispatcher`, `effects` and `handle`. `run` and `land` do not know each other.

mod blocking;
mod clock;
mod config;
mod dispatcher;
mod effects;
mod goal;
mod handle;
mod land;
mod last_end;
mod mailbox;
mod proposal;
mod published;
mod review;
mod run;
pub mod settings;
mod spans;
mod watch;
mod workspace;

pub use claudecluster_core::{display_text, secrets};
pub use claudecluster_store as store;
pub use claudecluster_worker as worker;
pub use config::{DriverConfig, HostKeeper, WorkspaceSettingsSource, agent_catalog};
pub use handle::{AttachmentGuard, Driver};
pub use proposal::scope::check_hold_pattern;
pub use review::diff::AcceptancePatch;
pub use run::host_answers::Attendance;
pub use settings::DriverSettings;
pub use workspace::{
    editor::{DocumentDeletion, DocumentEdit, EditError, EditedLines, Editor, OpenDocument},
    text_source::TextSource,
};
