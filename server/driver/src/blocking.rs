//! Blocking work, moved to threads that may block.

use std::time::Duration;

use claudecluster_files::{ForeignFileError, run_with_deadline};
use claudecluster_protocol::ErrorBody;

/// How long a workspace may take to be read. Longer than git may take in it.
const READING: Duration = Duration::from_mins(5);

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

/// Runs a blocking function that reads a workspace, on a thread of its own, and gives it up where its file system
/// does not answer. Only for what may go on unseen afterwards: it must write nothing of the user's.
pub(crate) async fn read_workspace<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, ErrorBody> + Send + 'static,
) -> Result<T, ErrorBody> {
    let span = tracing::Span::current();
    let reading = move || Ok(span.in_scope(work));
    let read: Result<_, ForeignFileError> = run_with_deadline(READING, reading).await;
    match read {
        Ok(read) => read,
        Err(error @ ForeignFileError::TooSlow(_)) => Err(ErrorBody::environment(format!(
            "{what} was given up: {error}"
        ))
        .with_hint("check that the workspace's file system answers, then try again")),
        Err(_) => Err(internal_failure(what)),
    }
}

/// Returns the error of work that panicked.
pub(crate) fn internal_failure(what: &str) -> ErrorBody {
    ErrorBody::internal(format!("{what} failed because of an internal error"))
        .with_hint("see the daemon's log; `claudecluster daemon status` shows the state folder")
}
