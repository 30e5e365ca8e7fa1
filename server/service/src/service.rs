//! The trait that every front calls.

use async_trait::async_trait;
use claudecluster_protocol::{
    ErrorBody, EventSeq, GoalId,
    api::{Answer, Call},
    event::StreamItem,
};
use tokio::sync::mpsc;

use crate::{
    caller::Caller,
    permit::Permit,
    rights::{Right, right_needed},
};

/// Streams events and activity in order. The stream ends when the service ends or the reader is far
/// behind.
pub type EventReceiver = mpsc::Receiver<StreamItem>;

/// Answers calls and streams events for a front.
///
/// Fronts use [`call`](Self::call) and [`events`](Self::events); [`TypedCalls`](crate::TypedCalls) is the
/// comfortable form of the former. Implementations write [`answer`](Self::answer) and
/// [`stream`](Self::stream), which nobody reaches without a [`Permit`].
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Answers one call. [`Call::Watch`] is an error here: [`events`](Self::events) serves it.
    ///
    /// # Errors
    ///
    /// The caller lacks the right, or the call cannot be carried out. The error's hint names the
    /// next step.
    async fn call(&self, caller: &Caller, call: Call) -> Result<Answer, ErrorBody> {
        let permit = Permit::check(caller, right_needed(&call))?;
        self.answer(permit, call).await
    }

    /// Streams the events after `after`, then live ones and activity, of one goal or of all.
    ///
    /// - No event is left out and none comes twice, so a reader resumes with the last sequence number it has.
    /// - `None` for `after` means live only.
    /// - A snapshot's sequence number ([`Dated::as_of`](crate::Dated)) is an `after` that fits the snapshot.
    /// - Activity is not journaled: it may be missed and never comes again.
    ///
    /// The stream is open when this method returns, so it contains the events that a later call
    /// causes. The stream ends when the receiver is dropped.
    ///
    /// # Errors
    ///
    /// The caller lacks [`Right::Look`](crate::Right::Look).
    fn events(
        &self,
        caller: &Caller,
        goal: Option<GoalId>,
        after: Option<EventSeq>,
    ) -> Result<EventReceiver, ErrorBody> {
        let permit = Permit::check(caller, Right::Look)?;
        Ok(self.stream(permit, goal, after))
    }

    /// Answers a call whose caller has been checked.
    ///
    /// # Errors
    ///
    /// The call cannot be carried out.
    async fn answer(&self, permit: Permit<'_>, call: Call) -> Result<Answer, ErrorBody>;

    /// Opens the stream of [`events`](Self::events) for a caller who has been checked.
    fn stream(
        &self,
        permit: Permit<'_>,
        goal: Option<GoalId>,
        after: Option<EventSeq>,
    ) -> EventReceiver;
}
