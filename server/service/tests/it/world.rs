//! A driver on a journal in memory, as a service.

use std::{path::PathBuf, sync::Arc};

use claudecluster_driver::{Driver, DriverConfig, DriverSettings, store::Store};
use claudecluster_protocol::{EventBody, GoalId, GoalSpec, GoalState};
use claudecluster_service::{Caller, ServiceClient, TypedCalls};
use serde_json::json;
use tempfile::TempDir;

pub(crate) struct World {
    workspace: TempDir,
    _home: TempDir,
    pub(crate) driver: Arc<Driver>,
    pub(crate) client: ServiceClient<Driver>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = DriverConfig {
            home: home.path().canonicalize().unwrap(),
            launcher: PathBuf::from("/nonexistent"),
            settings: DriverSettings::default(),
            restrictions: Arc::new(|_| Ok(Default::default())),
            keep_host: Arc::new(|_| Ok(())),
            hidden: Default::default(),
        };
        let driver = Driver::start(config, Store::in_memory()).await.unwrap();
        let driver = Arc::new(driver);
        Self {
            workspace: tempfile::tempdir().unwrap(),
            _home: home,
            client: ServiceClient::new(driver.clone(), Caller::command_line()),
            driver,
        }
    }

    /// A goal whose plan is given and waits for an approval: no agent is needed, and nothing runs.
    pub(crate) fn spec(&self, prompt: &str) -> GoalSpec {
        serde_json::from_value(json!({
            "workspace": self.workspace.path(),
            "prompt": prompt,
            "plan": {"tasks": [{"id": "a", "run": "true"}]},
            "planOnly": true,
        }))
        .unwrap()
    }

    /// Starts a goal and returns it. Its events go on until [`is_last`].
    pub(crate) async fn submit(&self, prompt: &str) -> GoalId {
        self.client.submit_again(self.spec(prompt)).await.unwrap()
    }
}

/// Whether a goal of [`World::spec`] does nothing more by itself after an event.
pub(crate) fn is_last(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::GoalChanged {
            state: GoalState::AwaitingApproval,
            ..
        }
    )
}
