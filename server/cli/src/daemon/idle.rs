//! Ends a daemon that has had no client and no running goal for a while.

use std::{sync::Arc, time::Duration};

use claudecluster_protocol::{EventBody, event::StreamItem};
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, sleep_until},
};

use super::DaemonState;

/// Returns once the daemon has had no client and no active goal for `limit`.
///
/// This function does not poll: the clock starts when the last client leaves or the last goal ends,
/// and both are events.
pub(crate) async fn wait_until_idle(shared: Arc<DaemonState>, limit: Duration) {
    let mut clients = shared.clients.subscribe();
    let mut events = Some(shared.driver.watch(None, None));
    let mut since = None;
    loop {
        since = is_idle(&shared).then(|| since.unwrap_or_else(Instant::now));
        tokio::select! {
            () = sleep_until_deadline(since.map(|since| since + limit)) => {
                if is_idle(&shared) {
                    return;
                }
                since = None;
            }
            // The sender lives in `shared`. A client that came and went starts the clock again.
            _ = clients.changed() => since = None,
            more = goals_changed(&mut events) => {
                since = None;
                if !more {
                    events = None;
                }
            }
        }
    }
}

async fn sleep_until_deadline(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits until a goal starts or changes its state. Returns `false` if no more events come.
async fn goals_changed(events: &mut Option<Receiver<StreamItem>>) -> bool {
    let Some(events) = events else {
        return std::future::pending().await;
    };
    loop {
        match events.recv().await {
            Some(StreamItem::Event(event)) => {
                let body = &event.body;
                if matches!(
                    body,
                    EventBody::GoalSubmitted { .. }
                        | EventBody::GoalChanged { .. }
                        | EventBody::TaskChanged { .. }
                        | EventBody::TaskAdded { .. }
                        | EventBody::Amended { .. }
                ) {
                    return true;
                }
            }
            Some(StreamItem::Activity(_)) => {}
            None => return false,
        }
    }
}

fn is_idle(shared: &DaemonState) -> bool {
    let active = shared
        .driver
        .status()
        .map_or(0, |status| status.active_goals);
    *shared.clients.borrow() == 0 && active == 0
}
