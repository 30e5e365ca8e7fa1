//! Background tasks that end with their connection.

use std::future::Future;

use parking_lot::Mutex;
use tokio::{sync::SetOnce, task::JoinSet};
use tracing::{Instrument, Span};

/// The background tasks of one connection, and whether the connection has ended.
pub(crate) struct ConnectionTasks {
    /// `None` once the connection has ended.
    running: Mutex<Option<JoinSet<()>>>,
    ended: SetOnce<()>,
    /// The span of the connection.
    span: Span,
}

impl ConnectionTasks {
    /// Creates an empty set for the connection of a span.
    pub(crate) fn new(span: Span) -> Self {
        Self {
            running: Mutex::new(Some(JoinSet::new())),
            ended: SetOnce::new(),
            span,
        }
    }

    /// Starts a task within the current span, unless the connection has ended.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(running) = &mut *self.running.lock() {
            while running.try_join_next().is_some() {}
            running.spawn(task.in_current_span());
        }
    }

    /// Starts a task that runs as long as the connection does, within a span of its own.
    pub(crate) fn spawn_background(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let span = tracing::info_span!(parent: &self.span, "background", task = name);
        self.spawn(task.instrument(span));
    }

    /// Aborts all tasks and refuses new ones.
    pub(crate) fn close(&self) {
        let _ = self.ended.set(());
        let running = self.running.lock().take();
        drop(running);
    }

    /// Resolves when the connection has ended.
    pub(crate) async fn wait_closed(&self) {
        self.ended.wait().await;
    }
}
