//! Watching goals: the journal up to now, then live events, without gap or duplicate.

use claudecluster_protocol::{Event, EventSeq, GoalId, event::StreamItem};
use claudecluster_store::Store;
use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc,
};

use crate::{blocking::run_blocking, published::PublishedGoals};

/// Items that wait for a slow watcher before it makes the stream wait.
const QUEUE: usize = 256;

/// Streams journaled events after `after`, then live ones, without gap or duplicate.
pub(crate) fn watch_events(
    goals: &PublishedGoals,
    store: &Store,
    goal: Option<GoalId>,
    after: Option<EventSeq>,
) -> mpsc::Receiver<StreamItem> {
    let (items, receiver) = mpsc::channel(QUEUE);
    // Subscribed before the journal is read: what happens meanwhile is seen twice and passed on once.
    let live = goals.subscribe();
    let from = after.unwrap_or_else(|| goals.state().last_seq);
    let watcher = EventWatcher {
        store: store.clone(),
        goal,
        items,
        last: from,
    };
    tokio::spawn(watcher.run(live, after.is_some()));
    receiver
}

struct EventWatcher {
    store: Store,
    goal: Option<GoalId>,
    items: mpsc::Sender<StreamItem>,
    /// The last event passed on, or not wanted.
    last: EventSeq,
}

impl EventWatcher {
    async fn run(mut self, mut live: broadcast::Receiver<StreamItem>, past: bool) {
        if past && self.catch_up().await.is_none() {
            return;
        }
        loop {
            let item = tokio::select! {
                item = live.recv() => item,
                () = self.items.closed() => return,
            };
            let passed = match item {
                Ok(StreamItem::Event(event)) => self.pass_event(*event).await,
                Ok(StreamItem::Activity(activity)) => {
                    if self
                        .goal
                        .as_ref()
                        .is_none_or(|goal| *goal == activity.goal_id)
                    {
                        self.items.send(StreamItem::Activity(activity)).await.ok()
                    } else {
                        Some(())
                    }
                }
                // Too slow: events are read again, activity is missed.
                Err(RecvError::Lagged(_)) => self.catch_up().await,
                Err(RecvError::Closed) => None,
            };
            if passed.is_none() {
                return;
            }
        }
    }

    /// Passes on the journal's events after the last one passed on. `None` if nobody listens any
    /// more or the journal cannot be read.
    async fn catch_up(&mut self) -> Option<()> {
        let (store, goal, last) = (self.store.clone(), self.goal.clone(), self.last);
        let events = run_blocking("reading the journal", move || {
            Ok(store.read_events(last, goal.as_ref())?)
        });
        match events.await {
            Ok(events) => {
                for event in events {
                    self.pass_event(event).await?;
                }
                Some(())
            }
            Err(error) => {
                tracing::error!(%error, "dropped a slow watcher");
                None
            }
        }
    }

    async fn pass_event(&mut self, event: Event) -> Option<()> {
        if event.seq <= self.last {
            return Some(());
        }
        self.last = event.seq;
        if self
            .goal
            .as_ref()
            .is_some_and(|goal| *goal != event.goal_id)
        {
            return Some(());
        }
        self.items
            .send(StreamItem::Event(Box::new(event)))
            .await
            .ok()
    }
}
