//! One landing at a time in a workspace.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The landing locks of all workspaces. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct LandingLocks(Arc<DashMap<PathBuf, Arc<Mutex<()>>>>);

impl LandingLocks {
    /// Waits until no other landing is under way in a workspace, and keeps others out until the guard is
    /// dropped.
    pub(crate) async fn lock(&self, root: &Path) -> OwnedMutexGuard<()> {
        let lock = self.0.entry(root.to_owned()).or_default().clone();
        lock.lock_owned().await
    }
}
