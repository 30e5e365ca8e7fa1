//! Resources of running goals: work, the client's environment, private files.
//!
//! One map by goal, and one way to forget a goal. None of it is in the journal: the environment
//! holds keys, and the rest can be made again.

use std::{path::PathBuf, sync::Arc};

use claudecluster_protocol::{GoalId, RelPath, goal::EnvVar};
use dashmap::DashMap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The running goals. Clones share them.
#[derive(Clone)]
pub(crate) struct RunningGoals {
    /// The folder in which each goal has one.
    folder: PathBuf,
    by_goal: Arc<DashMap<GoalId, RunningGoal>>,
}

#[derive(Default)]
struct RunningGoal {
    work: GoalWork,
    /// Environment of the client that submitted the goal.
    client_env: Vec<EnvVar>,
    /// Tracked files that an ignore rule names.
    tracked: Option<Arc<[RelPath]>>,
}

/// The running work of one goal.
#[derive(Clone, Default)]
pub(crate) struct GoalWork {
    /// Ends all of it.
    pub(crate) cancel: CancellationToken,
    /// Knows when all of it has ended.
    pub(crate) tracker: TaskTracker,
}

impl RunningGoals {
    /// Returns an empty map. Private files of goals lie in the state folder `home`.
    pub(crate) fn new(home: &std::path::Path) -> Self {
        Self {
            folder: home.join("goals"),
            by_goal: Arc::default(),
        }
    }

    /// Returns the folder of a goal's private files.
    pub(crate) fn goal_dir(&self, goal: &GoalId) -> PathBuf {
        self.folder.join(goal.as_str())
    }

    /// Returns the work of a goal. Tasks spawned on its tracker are waited for when the goal ends.
    pub(crate) fn work(&self, goal: &GoalId) -> GoalWork {
        let entry = self.by_goal.entry(goal.clone()).or_default();
        entry.work.clone()
    }

    /// Returns the work of a goal that has any.
    pub(crate) fn started_work(&self, goal: &GoalId) -> Option<GoalWork> {
        self.by_goal.get(goal).map(|running| running.work.clone())
    }

    /// Returns the work of all goals.
    pub(crate) fn all_work(&self) -> Vec<GoalWork> {
        let running = self.by_goal.iter();
        running.map(|entry| entry.work.clone()).collect()
    }

    /// Takes the work of a goal away. Work that starts from now on is new work.
    pub(crate) fn take_work(&self, goal: &GoalId) -> GoalWork {
        self.by_goal
            .get_mut(goal)
            .map(|mut running| std::mem::take(&mut running.work))
            .unwrap_or_default()
    }

    /// Remembers the environment of the client that submitted a goal.
    pub(crate) fn set_client_env(&self, goal: &GoalId, env: Vec<EnvVar>) {
        self.by_goal.entry(goal.clone()).or_default().client_env = env;
    }

    /// Returns the environment of the client that submitted a goal; empty after a restart.
    pub(crate) fn client_env(&self, goal: &GoalId) -> Vec<EnvVar> {
        self.by_goal
            .get(goal)
            .map(|running| running.client_env.clone())
            .unwrap_or_default()
    }

    /// Returns the tracked files of a goal's workspace that an ignore rule names. They are listed once
    /// a goal: every attempt starts from the same snapshot.
    pub(crate) fn tracked_files(
        &self,
        goal: &GoalId,
        list: impl FnOnce() -> Vec<RelPath>,
    ) -> Arc<[RelPath]> {
        let known = self.by_goal.get(goal);
        if let Some(known) = known.and_then(|running| running.tracked.clone()) {
            return known;
        }
        let tracked: Arc<[RelPath]> = list().into();
        let mut running = self.by_goal.entry(goal.clone()).or_default();
        running.tracked = Some(tracked.clone());
        tracked
    }

    /// Forgets a goal that is done. Work that was started meanwhile stays.
    pub(crate) fn forget_goal(&self, goal: &GoalId) {
        if let Some(mut running) = self.by_goal.get_mut(goal) {
            let work = std::mem::take(&mut running.work);
            *running = RunningGoal {
                work,
                ..RunningGoal::default()
            };
        }
        self.by_goal
            .remove_if(goal, |_, running| running.work.tracker.is_empty());
    }
}
