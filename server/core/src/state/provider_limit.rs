//! How many attempts the provider lets run at once.

use claudecluster_protocol::{Span, StopReason, Timestamp, event::AttemptOutcome};

/// The concurrency the provider has shown to allow, over all goals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProviderLimit {
    /// Fewer than configured, after the provider asked to slow down.
    pub cap: Option<u32>,
    /// Nothing new starts before this moment.
    pub paused_until: Option<Timestamp>,
}

impl ProviderLimit {
    /// Adjusts the limit after an attempt. An overloaded provider halves the number of running
    /// attempts; successes then raise it slowly.
    pub(super) fn observe_outcome(
        &mut self,
        outcome: &AttemptOutcome,
        running: usize,
        at: Timestamp,
    ) {
        match outcome.stop {
            Some(StopReason::Overloaded) => {
                let running = u32::try_from(running).unwrap_or(u32::MAX);
                self.cap = Some((self.cap.unwrap_or(running).min(running) / 2).max(1));
                let wait = outcome.retry_after.unwrap_or(Span::from_secs(5));
                self.paused_until = Some(at.saturating_add(wait));
            }
            None => {
                // Back to no limit of its own once it has grown past any sensible fleet.
                self.cap = self.cap.map(|cap| cap + 1).filter(|&cap| cap < 64);
            }
            Some(_) => {}
        }
    }
}
