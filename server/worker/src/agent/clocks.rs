//! The clocks of a session, which stand while a person is waited for.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

/// Stops the clocks of a session and of its gates, from outside its own loop. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct SessionClocks(Arc<watch::Sender<usize>>);

impl SessionClocks {
    /// Stops the clocks until the returned value is dropped. They may be stopped several times at once.
    pub fn stop(&self) -> StoppedClocks {
        self.0.send_modify(|stops| *stops += 1);
        StoppedClocks(self.clone())
    }

    /// Returns whether the clocks stand.
    pub fn are_stopped(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits until the clocks run.
    pub async fn run_again(&self) {
        // The sender is here, so there is always an answer.
        let _ = self.0.subscribe().wait_for(|stops| *stops == 0).await;
    }

    /// Returns a watch on the clocks, as they are now.
    pub(crate) fn watch(&self) -> ClockWatch {
        let mut stops = self.0.subscribe();
        let stopped = *stops.borrow_and_update() > 0;
        ClockWatch {
            stops,
            since: stopped.then(Instant::now),
        }
    }
}

/// Keeps the clocks of a session stopped.
#[derive(Debug)]
pub struct StoppedClocks(SessionClocks);

impl Drop for StoppedClocks {
    fn drop(&mut self) {
        self.0.0.send_modify(|stops| *stops -= 1);
    }
}

/// What happened to the clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClockChange {
    /// They stand.
    Stopped,
    /// They run again, after they have stood this long.
    Resumed(std::time::Duration),
}

/// Watches the clocks of a session.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    stops: watch::Receiver<usize>,
    since: Option<Instant>,
}

impl ClockWatch {
    /// Returns whether the clocks stand, as far as [`Self::changed`] has told.
    pub(crate) fn is_stopped(&self) -> bool {
        self.since.is_some()
    }

    /// Waits until the clocks stop or run again.
    pub(crate) async fn changed(&mut self) -> ClockChange {
        loop {
            if self.stops.changed().await.is_err() {
                // Nobody can stop or resume them any more.
                std::future::pending::<()>().await;
            }
            let stopped = *self.stops.borrow_and_update() > 0;
            match (stopped, self.since) {
                (true, None) => {
                    self.since = Some(Instant::now());
                    return ClockChange::Stopped;
                }
                (false, Some(since)) => {
                    self.since = None;
                    return ClockChange::Resumed(since.elapsed());
                }
                _ => {}
            }
        }
    }
}
