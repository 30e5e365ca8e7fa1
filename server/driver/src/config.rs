//! Configuration that a driver is started with.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::policy::SchedulingPolicy;
use claudecluster_protocol::{ErrorBody, agent::AgentCatalog};
use claudecluster_worker::{agent::registry, serve::HiddenFolders};

use crate::settings::{DriverSettings, WorkspaceSettings};

/// Reads the settings file of a workspace. An error refuses the goal.
pub type WorkspaceSettingsSource =
    Arc<dyn Fn(&Path) -> Result<WorkspaceSettings, ErrorBody> + Send + Sync>;

/// Adds a host to the setting `network.allow` of the user. An error leaves the question open.
pub type HostKeeper = Arc<dyn Fn(&str) -> Result<(), ErrorBody> + Send + Sync>;

/// Configuration of a driver.
#[derive(Clone)]
pub struct DriverConfig {
    /// The state folder, absolute and canonical.
    pub home: PathBuf,
    /// Our own binary, which has the hidden subcommands `sandbox-exec`, `worker` and `agent-native`.
    pub launcher: PathBuf,
    /// The settings of the user.
    pub settings: DriverSettings,
    /// Reads the settings of a workspace.
    pub restrictions: WorkspaceSettingsSource,
    /// Keeps hosts that are allowed for always.
    pub keep_host: HostKeeper,
    /// Finds the folders that workers must not see besides `home`: those of other daemons.
    pub hidden: HiddenFolders,
}

impl DriverConfig {
    /// Returns the policy that `core` decides with.
    pub(crate) fn policy(&self) -> SchedulingPolicy {
        SchedulingPolicy {
            max_parallel: self.settings.max_parallel.max(1),
            retries: self.settings.retries,
            approve_plans: self.settings.approve_plans,
            repair_conflicts: self.settings.repair.conflicts,
            budget: self.settings.budget_usd,
            agents: agent_catalog(),
            ..SchedulingPolicy::default()
        }
    }

    /// Returns the user's settings, restricted by those of a workspace.
    pub(crate) fn workspace_settings(&self, workspace: &str) -> Result<DriverSettings, ErrorBody> {
        let restrictions = (self.restrictions)(Path::new(workspace))?;
        Ok(self.settings.clone().restrict(&restrictions))
    }
}

/// Returns what each agent can do.
pub fn agent_catalog() -> AgentCatalog {
    registry().catalog()
}
