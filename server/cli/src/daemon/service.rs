//! The daemon as a service: the driver's calls, and the one that is about the daemon itself.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use claudecluster_driver::Driver;
use claudecluster_protocol::{
    ErrorBody, EventSeq, GoalId,
    api::{Answer, Call},
};
use claudecluster_service::{EventReceiver, Permit, Service};
use tokio_util::sync::CancellationToken;

/// The driver, with [`Call::Stop`] answered by the daemon that owns it.
pub(crate) struct DaemonService {
    driver: Driver,
    stop: CancellationToken,
    stop_granted: AtomicBool,
}

impl DaemonService {
    /// `stop` ends the daemon when it is cancelled.
    pub(crate) fn new(driver: Driver, stop: CancellationToken) -> Self {
        Self {
            driver,
            stop,
            stop_granted: AtomicBool::new(false),
        }
    }

    /// Ends the daemon if a stop was granted. A front calls this once it has sent an answer: ending closes its
    /// connection, and the answer to the stop would be lost with it.
    pub(crate) fn end_if_granted(&self) {
        if self.stop_granted.load(Ordering::SeqCst) {
            self.stop.cancel();
        }
    }

    /// Grants a stop unless goals run and it is not forced.
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
