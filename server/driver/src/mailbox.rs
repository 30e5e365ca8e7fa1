//! Messages to the dispatcher, and the way to send them.

use std::time::Duration;

use claudecluster_core::step::Input;
use claudecluster_protocol::{ErrorBody, GoalSpec, submitted::SubmittedGoal};
use tokio::sync::{mpsc, oneshot};

/// How long facts wait for space on a full disk before they are tried again.
pub(crate) const FULL_DISK_WAIT: Duration = Duration::from_secs(5);

/// Messages to the dispatcher. Closed: everything that can change a goal is one of these.
pub(crate) enum DispatcherMessage {
    /// Submits a goal.
    Submit(Box<GoalSpec>, DuplicatePolicy, ReplySender<SubmittedGoal>),
    /// Makes an input durable and answers when it is.
    Ask(Input, ReplySender<()>),
    /// Reports the result of work. Nobody waits for an answer.
    Report(Input),
    /// Ends the loop.
    Shutdown(oneshot::Sender<()>),
}

/// Sends the answer to the caller that waits for it.
pub(crate) type ReplySender<T> = oneshot::Sender<Result<T, ErrorBody>>;

/// Says what happens to a goal that equals one which is still open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DuplicatePolicy {
    /// Starts the new goal too.
    Start,
    /// Starts nothing and answers with the open goal.
    Join,
}

/// Sends messages to the dispatcher. Clones send to the same dispatcher.
#[derive(Clone)]
pub(crate) struct DispatcherMailbox(mpsc::UnboundedSender<DispatcherMessage>);

impl DispatcherMailbox {
    /// Returns a mailbox and the inbox that the dispatcher reads.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<DispatcherMessage>) {
        let (sender, inbox) = mpsc::unbounded_channel();
        (Self(sender), inbox)
    }

    /// Sends a message. The dispatcher is there as long as the process is.
    pub(crate) fn send(&self, message: DispatcherMessage) {
        if self.0.send(message).is_err() {
            tracing::debug!("the dispatcher has stopped; dropping a message");
        }
    }

    /// Reports the result of work to the dispatcher.
    pub(crate) fn report(&self, input: Input) {
        self.send(DispatcherMessage::Report(input));
    }

    /// Sends an input to the dispatcher and waits until it is durable.
    pub(crate) async fn ask(&self, input: Input) -> Result<(), ErrorBody> {
        self.wait_for(|reply| DispatcherMessage::Ask(input, reply))
            .await
    }

    /// Submits a goal and waits until it is durable.
    pub(crate) async fn submit(
        &self,
        spec: GoalSpec,
        duplicates: DuplicatePolicy,
    ) -> Result<SubmittedGoal, ErrorBody> {
        self.wait_for(|reply| DispatcherMessage::Submit(Box::new(spec), duplicates, reply))
            .await
    }

    /// Returns when the dispatcher has ended.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    async fn wait_for<T>(
        &self,
        message: impl FnOnce(ReplySender<T>) -> DispatcherMessage,
    ) -> Result<T, ErrorBody> {
        let (reply, answer) = oneshot::channel();
        self.send(message(reply));
        answer.await.unwrap_or_else(|_| {
            Err(ErrorBody::environment("the daemon is shutting down")
                .with_hint("try again in a moment"))
        })
    }
}
