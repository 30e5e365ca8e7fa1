//! Work that may block.

use claudecluster_protocol::ErrorBody;
use tracing::Span;

/// Runs work that reads files or compares texts on a thread that may block, within the current span.
///
/// # Errors
///
/// The error of the work, or an internal error if the work panicked.
pub(crate) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ErrorBody> + Send + 'static,
) -> Result<T, ErrorBody> {
    let span = Span::current();
    let result = tokio::task::spawn_blocking(move || span.in_scope(work));
    result.await.unwrap_or_else(|_| {
        Err(ErrorBody::internal("the driver did not respond").with_hint("see its log"))
    })
}
