//! The state of all goals for readers: immutable snapshots, and a stream of events and activity.

use std::sync::Arc;

use claudecluster_core::state::{ClusterState, Goal};
use claudecluster_protocol::{
    ErrorBody, Event, GoalId, TaskId,
    event::{AgentActivity, AgentEvent, StreamItem},
};
use tokio::sync::{broadcast, watch};

/// Items a slow watcher may be behind before it has to read the journal again.
const STREAM_ITEMS: usize = 4_096;

/// The published state of all goals. Clones show the same state.
#[derive(Clone)]
pub(crate) struct PublishedGoals {
    state: watch::Sender<Arc<ClusterState>>,
    stream: broadcast::Sender<StreamItem>,
}

impl PublishedGoals {
    /// Publishes a state that was read from the journal.
    pub(crate) fn new(state: ClusterState) -> Self {
        Self {
            state: watch::Sender::new(Arc::new(state)),
            stream: broadcast::Sender::new(STREAM_ITEMS),
        }
    }

    /// Returns the state as of the last durable event.
    pub(crate) fn state(&self) -> Arc<ClusterState> {
        self.state.borrow().clone()
    }

    /// Returns one goal as of the last durable event.
    pub(crate) fn goal(&self, id: &GoalId) -> Result<Arc<Goal>, ErrorBody> {
        self.state()
            .goals
            .get(id)
            .cloned()
            .ok_or_else(|| claudecluster_core::step::unknown_goal(id))
    }

    /// Publishes a new state, then the events that led to it.
    pub(crate) fn publish(&self, state: ClusterState, events: Vec<Event>) {
        self.state.send_replace(Arc::new(state));
        for event in events {
            // Nobody watching is not an error.
            let _ = self.stream.send(StreamItem::Event(Box::new(event)));
        }
    }

    /// Publishes the current activity of an agent.
    pub(crate) fn publish_activity(&self, goal: &GoalId, task: Option<&TaskId>, what: AgentEvent) {
        // Nobody watching is not an error.
        let _ = self
            .stream
            .send(StreamItem::Activity(Box::new(AgentActivity {
                goal_id: goal.clone(),
                task_id: task.cloned(),
                what,
            })));
    }

    /// Subscribes to everything that is published from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<StreamItem> {
        self.stream.subscribe()
    }
}
