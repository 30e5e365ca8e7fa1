//! Blocking work on files, away from the threads that answer people.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::ForeignFileError;

/// Runs blocking work on a thread of its own, and stops waiting for it at the deadline.
///
/// A file system over a network, or one that a program serves, may never answer, and nothing can interrupt a
/// thread that waits for it. Such a thread stays behind. It is none of the runtime's: that would wait for it
/// when the process ends.
///
/// # Errors
/// The work failed, did not end in time, or no thread could be started.
pub async fn run_with_deadline<T: Send + 'static, E: From<ForeignFileError> + Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let (answer, answered) = oneshot::channel();
    let started = std::thread::Builder::new()
        .name("foreign-files".into())
        .spawn(move || {
            // Nobody waits any more after the deadline.
            let _ = answer.send(work());
        });
    if let Err(error) = started {
        return Err(ForeignFileError::Io(error).into());
    }
    match tokio::time::timeout(deadline, answered).await {
        Ok(Ok(done)) => done,
        // The work panicked; the panic's text is in the log.
        Ok(Err(_)) => Err(ForeignFileError::Io(std::io::Error::other(
            "it failed for a reason of our own",
        ))
        .into()),
        Err(_) => Err(ForeignFileError::TooSlow(deadline).into()),
    }
}
