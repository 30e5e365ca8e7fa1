//! What is told a client beside everything else: of several notifications about a document only the last
//! counts, and nobody waits for any of them.

use std::{collections::VecDeque, sync::Mutex};

use lsp_types::Uri;
use serde::Serialize;
use tokio::sync::Notify;

use crate::session::lock;

/// Notifications that wait until nothing else is to be written: however long they are, no reply that is
/// ready stands behind one. One that still waits when the next about its document comes gives its place to it.
#[derive(Default)]
pub(crate) struct Aside {
    waiting: Mutex<VecDeque<(Uri, Vec<u8>)>>,
    wake: Notify,
}

#[derive(Serialize)]
struct Message<'a, P> {
    jsonrpc: &'static str,
    method: &'a str,
    params: &'a P,
}

impl Aside {
    /// Tells the client about a document.
    pub(crate) fn tell(&self, about: &Uri, method: &str, params: &impl Serialize) {
        let message = Message {
            jsonrpc: "2.0",
            method,
            params,
        };
        let body = match serde_json::to_vec(&message) {
            Ok(body) => body,
            // Cannot happen for types of the protocol: their keys are text.
            Err(error) => {
                tracing::error!(method, %error, "cannot write a notification");
                return;
            }
        };
        let mut waiting = lock(&self.waiting);
        match waiting.iter_mut().find(|(uri, _)| uri == about) {
            Some((_, old)) => *old = body,
            None => waiting.push_back((about.clone(), body)),
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// The body of the next message, if one waits.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let next = lock(&self.waiting).pop_front();
        next.map(|(_, body)| body)
    }

    /// Waits for the next message. One caller; dropping the future loses nothing.
    pub(crate) async fn next(&self) -> Vec<u8> {
        loop {
            if let Some(body) = self.take() {
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
    async fn the_last_word_about_a_document_takes_the_place_of_the_one_before() {
        let aside = Aside::default();
        let [a, b] = ["file:///a", "file:///b"].map(|uri| Uri::parse(uri).unwrap());
        for (uri, params) in [(&a, 1), (&b, 2), (&a, 3)] {
            aside.tell(uri, "m", &params);
        }
        let body = |params: i32| format!(r#"{{"jsonrpc":"2.0","method":"m","params":{params}}}"#);
        assert_eq!(aside.next().await, body(3).into_bytes());
        assert_eq!(aside.next().await, body(2).into_bytes());
        assert_eq!(aside.take(), None);
        // What has been taken is not taken back.
        aside.tell(&a, "m", &4);
        assert_eq!(aside.next().await, body(4).into_bytes());
    }
}
