//! Decisions of the user on their way to the service, in the order in which they arrived.

use claudecluster_protocol::api::Decision;
use tokio::sync::{Mutex, MutexGuard, mpsc};

/// Hands checked decisions to the background task that carries them out.
pub(crate) struct DecisionQueue {
    sender: mpsc::UnboundedSender<Decision>,
    /// Held while a decision is checked, because a check waits for the service.
    order: Mutex<()>,
}

impl DecisionQueue {
    /// Creates a queue and the end at which its decisions come out.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Decision>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let order = Mutex::default();
        (Self { sender, order }, receiver)
    }

    /// Waits until all earlier decisions have been checked.
    ///
    /// Callers hold the guard until they have pushed their decision or refused it. The lock is fair,
    /// so decisions are carried out in the order in which their requests arrived.
    pub(crate) async fn wait_turn(&self) -> MutexGuard<'_, ()> {
        self.order.lock().await
    }

    /// Queues a decision. Has no effect once the connection has ended.
    pub(crate) fn push(&self, decision: Decision) {
        let _ = self.sender.send(decision);
    }
}
