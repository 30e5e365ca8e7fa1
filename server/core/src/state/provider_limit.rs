//! How many attempts the provider lets run at once.

use claudecluster_protocol::{Span, StopReason, Timestamp, event::AttemptOutcome};

/// How long everybody waits for the provider at most. An attempt says when it will answer again, and what an attempt
/// says is a program's word: it must not keep all goals waiting for years. Its own task waits as long as it says.
const LONGEST_PAUSE: Span = Span::from_secs(30 * 60);

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
                let wait = wait.min(LONGEST_PAUSE);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_attempt_keeps_everybody_waiting_for_years() {
        let mut limit = ProviderLimit::default();
        let outcome = AttemptOutcome {
            retry_after: Some(Span(u64::MAX)),
            ..AttemptOutcome::new(Some(StopReason::Overloaded), "")
        };
        limit.observe_outcome(&outcome, 4, Timestamp(1_000));
        let until = Timestamp(1_000).saturating_add(LONGEST_PAUSE);
        assert_eq!(limit.paused_until, Some(until));
    }
}
