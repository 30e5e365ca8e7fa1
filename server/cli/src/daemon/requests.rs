//! Maps the socket's requests to service calls, and the service's answers to replies.

use std::sync::Arc;

use claudecluster_protocol::{
    ErrorBody,
    api::{Answer, Call, Reply, Request},
};
use claudecluster_service::{Caller, EventReceiver, Service};
use tokio::sync::mpsc;

use super::DaemonState;

/// Answers a request. A client with a `version_error` may only ask for the status and stop the daemon.
pub(super) async fn answer_request(
    request: Request,
    daemon: Arc<DaemonState>,
    replies: mpsc::Sender<Reply>,
    version_error: Option<ErrorBody>,
) {
    let Request { id, call } = request;
    let caller = Caller::command_line();
    if let (Some(error), false) = (
        version_error,
        matches!(call, Call::Status | Call::Stop { .. }),
    ) {
        send_reply(&replies, id, Err(error)).await;
    } else if let Call::Watch {
        goal_id,
        after,
        attended,
    } = call
    {
        // Questions wait for the person while the stream is open.
        let _attendance = attended.then(|| daemon.driver.attend());
        match daemon.service.events(&caller, goal_id, after) {
            Ok(events) => forward_events(id, events, &replies, &daemon).await,
            Err(error) => send_reply(&replies, id, Err(error)).await,
        }
    } else {
        // In a task of its own, so that a panic costs one answer and its message stays in the log.
        let service = daemon.service.clone();
        let answering = tokio::spawn(async move { service.call(&caller, call).await });
        let result = answering.await.unwrap_or_else(|e| {
            tracing::error!(error = %e, "a request handler panicked");
            Err(
                ErrorBody::internal("the daemon could not answer this request")
                    .with_hint("run `claudecluster doctor` to find its log"),
            )
        });
        send_reply(&replies, id, result).await;
        daemon.service.end_if_granted();
    }
}

/// Forwards a watch's items as replies until the watch or the client closes.
async fn forward_events(
    id: u64,
    mut events: EventReceiver,
    replies: &mpsc::Sender<Reply>,
    daemon: &DaemonState,
) {
    while let Some(item) = events.recv().await {
        let result = Ok(Answer::Item { item });
        if replies.send(Reply { id, result }).await.is_err() {
            return;
        }
    }
    if daemon.stop.is_cancelled() {
        // The closed connection tells the client, which watches on with the next daemon.
        return;
    }
    let lagged =
        ErrorBody::environment("the daemon closed this watch: the client reads too slowly");
    let result = Err(lagged.with_hint("watch again from the last event you received"));
    send_reply(replies, id, result).await;
}

/// Queues a reply. A closed queue is no error: that client is gone.
async fn send_reply(replies: &mpsc::Sender<Reply>, id: u64, result: Result<Answer, ErrorBody>) {
    let _ = replies.send(Reply { id, result }).await;
}
