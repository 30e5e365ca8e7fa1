//! Notifications that are written only when nothing else is waiting to be written.

use std::collections::VecDeque;

use lsp_types::Uri;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

/// A queue of notifications, at most one for each document.
///
/// The writer empties the queue only when no reply is ready, so a long notification never delays a
/// reply. A newer notification replaces a queued one about the same document.
#[derive(Default)]
pub(crate) struct NotifyQueue {
    waiting: Mutex<VecDeque<(Uri, Vec<u8>)>>,
    wake: Notify,
}

#[derive(Serialize)]
struct NotificationBody<'a, P> {
    jsonrpc: &'static str,
    method: &'a str,
    params: &'a P,
}

impl NotifyQueue {
    /// Queues a notification about a document, in place of an older one about it.
    pub(crate) fn push(&self, document: &Uri, method: &str, params: &impl Serialize) {
        let notification = NotificationBody {
            jsonrpc: "2.0",
            method,
            params,
        };
        let body = match serde_json::to_vec(&notification) {
            Ok(body) => body,
            // Cannot happen for types of the protocol: their keys are text.
            Err(error) => {
                tracing::error!(method, %error, "cannot write a notification");
                return;
            }
        };
        let mut waiting = self.waiting.lock();
        match waiting.iter_mut().find(|(uri, _)| uri == document) {
            Some((_, old)) => *old = body,
            None => waiting.push_back((document.clone(), body)),
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Takes the body of the next notification, if one is queued.
    pub(crate) fn pop(&self) -> Option<Vec<u8>> {
        let next = self.waiting.lock().pop_front();
        next.map(|(_, body)| body)
    }

    /// Waits for the next notification and takes its body.
    ///
    /// For one caller only. Dropping the future loses no notification.
    pub(crate) async fn next_body(&self) -> Vec<u8> {
        loop {
            if let Some(body) = self.pop() {
                return body;
            }
            self.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_notification_replaces_the_queued_one_about_its_document() {
        let queue = NotifyQueue::default();
        let [a, b] = ["file:///a", "file:///b"].map(|uri| Uri::parse(uri).unwrap());
        for (uri, params) in [(&a, 1), (&b, 2), (&a, 3)] {
            queue.push(uri, "m", &params);
        }
        let body = |params: i32| format!(r#"{{"jsonrpc":"2.0","method":"m","params":{params}}}"#);
        assert_eq!(queue.next_body().await, body(3).into_bytes());
        assert_eq!(queue.next_body().await, body(2).into_bytes());
        assert_eq!(queue.pop(), None);
        // A notification that has been taken is not replaced.
        queue.push(&a, "m", &4);
        assert_eq!(queue.next_body().await, body(4).into_bytes());
    }
}
