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

/// Events and activity, in order. It ends when the service ends or the reader is far behind.
pub type EventReceiver = mpsc::Receiver<StreamItem>;

/// What the daemon can do for a front.
///
/// Fronts use [`call`](Self::call) and [`events`](Self::events); [`TypedCalls`](crate::TypedCalls) is the
/// comfortable form of the former. Implementations write [`answer`](Self::answer) and
/// [`stream`](Self::stream), which nobody reaches without a [`Permit`].
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Answers one call. Anything but [`Call::Watch`], which [`events`](Self::events) serves.
    ///
    /// # Errors
    ///
    /// The caller may not do it, or it cannot be done; the error's hint says what to do next.
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
    /// The stream is open when this returns, so what a later call causes is in it. It ends when the receiver is
    /// dropped.
    ///
    /// # Errors
    ///
    /// The caller may not look.
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
    /// It cannot be done.
    async fn answer(&self, permit: Permit<'_>, call: Call) -> Result<Answer, ErrorBody>;

    /// Opens the stream of [`events`](Self::events) for a caller who has been checked.
    fn stream(
        &self,
        permit: Permit<'_>,
        goal: Option<GoalId>,
        after: Option<EventSeq>,
    ) -> EventReceiver;
}
