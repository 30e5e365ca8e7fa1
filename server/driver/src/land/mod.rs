//! Verdicts carried out: into open buffers through their editors, onto the disk if no editor has
//! the file open. A verdict counts when its text was observed, not when an editor was asked.

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

use tracing::Instrument;

use self::{decision::DecisionRunner, decision_epoch::DecisionEpochs};
use crate::spans::decision_span;

/// Carries out the decisions of developers.
#[derive(Clone)]
pub(crate) struct LandingService {
    pub(crate) decisions: DecisionRunner,
    pub(crate) epochs: DecisionEpochs,
}

impl LandingService {
    /// Carries out a decision. Hunks in lines that somebody types in land later.
    ///
    /// # Errors
    ///
    /// There is no such goal or hunk. Failures in single files are in the report.
    pub(crate) async fn decide(&self, decision: Decision) -> Result<DecisionReport, ErrorBody> {
        decision::check_hunk_of_goal(&decision)?;
        let epoch = self.epochs.supersede(&decision);
        let span = decision_span(&decision, epoch);
        let carried_out = async {
            let (report, waiting) = self.decisions.run_decision(&decision, None).await?;
            tracing::info!(
                decided = report.decided,
                conflicts = report.conflicts,
                held = report.held,
                waiting = report.waiting,
                failed = report.failed.len(),
                "a decision is carried out"
            );
            Ok::<_, ErrorBody>((report, waiting))
        };
        let (report, waiting) = carried_out.instrument(span.clone()).await?;
        if !waiting.is_empty() {
            let deferred = deferred::land_deferred(
                self.decisions.clone(),
                self.epochs.clone(),
                decision,
                waiting,
                epoch,
            );
            tokio::spawn(deferred.instrument(span));
        }
        Ok(report)
    }
}
