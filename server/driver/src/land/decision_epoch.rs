//! Epochs of decisions: later decisions about a goal supersede hunks that an earlier one left waiting.

use std::sync::Arc;

use claudecluster_protocol::{GoalId, api::Decision, event::Verdict};
use dashmap::DashMap;

/// The number of decisions about each goal. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct DecisionEpochs(Arc<DashMap<GoalId, u64>>);

impl DecisionEpochs {
    /// Counts a decision and returns its epoch. A decision supersedes what waits of earlier ones about the
    /// goal, unless it only accepts one hunk or file.
    pub(crate) fn supersede(&self, decision: &Decision) -> u64 {
        let mut epoch = self.0.entry(decision.goal_id.clone()).or_default();
        let adds = decision.verdict == Verdict::Accept
            && (decision.hunk_id.is_some() || decision.path.is_some());
        if !adds {
            *epoch += 1;
        }
        *epoch
    }

    /// Returns whether no later decision has superseded those of an epoch.
    pub(crate) fn is_current(&self, goal: &GoalId, epoch: u64) -> bool {
        self.0.get(goal).is_some_and(|now| *now == epoch)
    }
}
