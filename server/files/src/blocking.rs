//! Blocking work on files, away from the threads that answer people.

use std::{io, path::PathBuf, time::Duration};

use tokio::sync::oneshot;

use crate::{error::ForeignFileError, folder::FolderHandle};

/// How long a removal is waited for that goes on without whoever waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes files and folders away and removes them on a thread of its own. That is waited for two seconds only: what
/// somebody has nested or filled can take minutes, and nobody must be kept from going on, or from ending.
///
/// What is left if the process ends meanwhile lies beside them, under another name.
///
/// # Errors
/// Within these seconds, one of them could not be removed.
pub async fn discard_paths(paths: Vec<PathBuf>) -> Result<(), ForeignFileError> {
    let removed = run_with_deadline(PATIENCE, move || {
        let mut first = Ok(());
        for path in &paths {
            let removed = match (path.parent(), path.file_name()) {
                (Some(parent), Some(name)) => {
                    FolderHandle::open(parent).and_then(|parent| parent.discard_entry(name))
                }
                _ => Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
            };
            if first.is_ok() {
                first = removed;
            }
        }
        first
    });
    match removed.await {
        Err(ForeignFileError::TooSlow(_)) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

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
        Ok(Err(_)) => {
            Err(ForeignFileError::Io(io::Error::other("it failed for a reason of our own")).into())
        }
        Err(_) => Err(ForeignFileError::TooSlow(deadline).into()),
    }
}
