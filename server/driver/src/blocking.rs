//! Blocking work, moved to threads that may block.

use claudecluster_protocol::ErrorBody;

/// Runs a blocking function on a thread for blocking work. A panic becomes an internal error that
/// names `what` failed.
pub(crate) async fn run_blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, ErrorBody> + Send + 'static,
) -> Result<T, ErrorBody> {
    // The thread's log lines belong to whoever waits for it.
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
        .await
        .unwrap_or_else(|_| Err(internal_failure(what)))
}

/// Returns the error of work that panicked.
pub(crate) fn internal_failure(what: &str) -> ErrorBody {
    ErrorBody::internal(format!("{what} failed because of an internal error"))
        .with_hint("see the daemon's log; `claudecluster daemon status` shows the state folder")
}
