//! Owns all goals: turns core's effects into work, and what comes of it into inputs.
//!
//! Architecture invariants:
//! - One loop, `dispatcher`, owns the state of all goals. It makes facts durable before anybody can
//!   see what they cause. Work gets owned inputs and answers by message; readers get immutable
//!   snapshots.
//! - The user's text is never written over: `landing` merges against what is there now and counts
//!   only what it has observed.
//! - Nothing in a workspace is executed here. What runs, runs in a sandbox of the worker's.

mod agents;
mod amend;
mod attempts;
mod current;
mod decided;
mod disk;
mod dispatcher;
mod editor;
mod gates;
mod git;
mod ground;
mod handle;
mod landing;
mod origins;
mod pending;
mod permissions;
mod planner;
mod prompts;
mod proposal;
mod repair;
mod reviews;
mod selected;
pub mod settings;
mod shared;
mod snapshot;
mod typing;
mod verdict;
mod views;
mod watch;
mod work;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::policy::Policy;
use claudecluster_protocol::{ErrorBody, agent::AgentCatalog};
use claudecluster_worker::agent::registry;

pub use claudecluster_store as store;
pub use claudecluster_worker as worker;
pub use current::Current;
pub use editor::{DocumentDeletion, DocumentEdit, EditError, Edited, Editor, OpenDocument};
pub use handle::{Attached, Diff, Driver};
pub use settings::Settings;
use settings::WorkspaceSettings;

/// Reads what a workspace says of settings. An error refuses the goal.
pub type Narrow = Arc<dyn Fn(&Path) -> Result<WorkspaceSettings, ErrorBody> + Send + Sync>;

/// What a driver is started with.
#[derive(Clone)]
pub struct DriverConfig {
    /// The state folder, absolute and canonical.
    pub home: PathBuf,
    /// Our own binary, which has the hidden subcommands `sandbox-exec` and `agent-native`.
    pub launcher: PathBuf,
    /// The settings.
    pub settings: Settings,
    /// What a workspace says of settings.
    pub narrow: Narrow,
}

impl DriverConfig {
    fn policy(&self) -> Policy {
        Policy {
            max_parallel: self.settings.max_parallel.max(1),
            retries: self.settings.retries,
            approve_plans: self.settings.approve_plans,
            repair_conflicts: self.settings.repair.conflicts,
            budget: self.settings.budget_usd,
            agents: agent_catalog(),
            ..Policy::default()
        }
    }
}

/// Returns what each agent can do.
pub fn agent_catalog() -> AgentCatalog {
    registry().catalog()
}
