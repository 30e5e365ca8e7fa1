//! Answers calls with the driver, and the one call about the daemon itself.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use claudecluster_driver::Driver;
use claudecluster_protocol::{
    ErrorBody, EventSeq, GoalId,
    api::{Answer, Call},
};
use claudecluster_service::{EventReceiver, Permit, Service};
use tokio_util::sync::CancellationToken;

/// Serves the driver, and answers [`Call::Stop`] for the daemon that owns it.
pub(crate) struct DaemonService {
    driver: Driver,
    stop: CancellationToken,
    stop_granted: AtomicBool,
}

impl DaemonService {
    /// Creates the service. Cancelling `stop` ends the daemon.
    pub(crate) fn new(driver: Driver, stop: CancellationToken) -> Self {
        Self {
            driver,
            stop,
            stop_granted: AtomicBool::new(false),
        }
    }

    /// Ends the daemon if a stop was granted. A front calls this after it has sent an answer:
    /// ending closes the connection and would lose the answer to the stop.
    pub(crate) fn end_if_granted(&self) {
        if self.stop_granted.load(Ordering::SeqCst) {
            self.stop.cancel();
        }
    }

    /// Grants a stop. Unless `force` is set, active goals are a reason to refuse.
    fn grant_stop(&self, force: bool) -> Result<Answer, ErrorBody> {
        let active = self.driver.status()?.active_goals;
        if active > 0 && !force {
            let goals = if active == 1 {
                "a goal is still running"
            } else {
                "goals are still running"
            };
            return Err(
                ErrorBody::user(format!("{goals}, so the daemon was not stopped")).with_hint(
                    "cancel running goals first, or stop the daemon anyway with --force: \
                 the next daemon resumes its goals",
                ),
            );
        }
        self.stop_granted.store(true, Ordering::SeqCst);
        Ok(Answer::Done)
    }
}

#[async_trait]
impl Service for DaemonService {
    async fn answer(&self, permit: Permit<'_>, call: Call) -> Result<Answer, ErrorBody> {
        match call {
            Call::Stop { force } => self.grant_stop(force),
            call => self.driver.answer(permit, call).await,
        }
    }

    fn stream(
        &self,
        permit: Permit<'_>,
        goal: Option<GoalId>,
        after: Option<EventSeq>,
    ) -> EventReceiver {
        self.driver.stream(permit, goal, after)
    }
}
