//! Verdicts carried out: into open buffers through their editors, onto the disk where no editor has
//! the file open. A verdict counts when its text has been observed, not when somebody was told.

pub(crate) mod apply;
pub(crate) mod decision;
pub(crate) mod decision_epoch;
pub(crate) mod deferred;
pub(crate) mod file_decision;
pub(crate) mod locks;
pub(crate) mod merge_repair;
pub(crate) mod plan;
pub(crate) mod recovery;
pub(crate) mod undo_detection;

use claudecluster_protocol::{
    ErrorBody,
    api::{Decision, DecisionReport},
};

use self::{decision::DecisionRunner, decision_epoch::DecisionEpochs};

/// Carries out the decisions of developers.
#[derive(Clone)]
pub(crate) struct LandingService {
    pub(crate) decisions: DecisionRunner,
    pub(crate) epochs: DecisionEpochs,
}

impl LandingService {
    /// Carries out a decision, and lands later what waits because somebody types there.
    ///
    /// # Errors
    ///
    /// There is no such goal or hunk. What could not be done for single files is in the report.
    pub(crate) async fn decide(&self, decision: Decision) -> Result<DecisionReport, ErrorBody> {
        decision::check_hunk_of_goal(&decision)?;
        let epoch = self.epochs.supersede(&decision);
        let (report, waiting) = self.decisions.carry_out(&decision, None).await?;
        if !waiting.is_empty() {
            deferred::land_deferred(
                self.decisions.clone(),
                self.epochs.clone(),
                decision,
                waiting,
                epoch,
            );
        }
        Ok(report)
    }
}
