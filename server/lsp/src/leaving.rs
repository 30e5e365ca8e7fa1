//! Documents that were closed a moment ago, and may be back in another.
//!
//! Some editors load a file anew by closing its document and opening it again, with whatever takes time
//! in between. Until that is over, the file is not the disk's. Nothing in the protocol tells such a
//! closing from one for good; but an editor that answers a question has done what it was at when it
//! closed the document, and has sent what came of that before its answer.

use std::{
    collections::HashMap,
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tokio::sync::{Notify, watch};

use crate::{
    handlers::configuration,
    session::{Session, lock},
};

/// How often an editor answers before a closing counts. The first question may reach it in the midst of
/// loading; what it has put off until it is idle by then comes before the second answer.
const ANSWERS: usize = 2;

/// The documents of which it is not known yet whether they stay closed.
#[derive(Default)]
pub(crate) struct Leaving {
    files: Mutex<Files>,
    wake: Notify,
}

#[derive(Default)]
struct Files {
    by_path: HashMap<PathBuf, Left>,
    /// Those after whose closing nothing has been asked yet.
    unasked: Vec<(PathBuf, u64)>,
    closings: u64,
}

struct Left {
    /// Which closing it was: the file may have been open again since.
    closing: u64,
    /// Dropped when it is known.
    known: watch::Sender<()>,
}

impl Leaving {
    /// A document is about to be closed. To be called while it still counts as open, so that nobody can
    /// see it closed and not see that it may come back.
    pub(crate) fn begin(&self, path: PathBuf) {
        let mut files = lock(&self.files);
        files.closings += 1;
        let closing = files.closings;
        let known = watch::Sender::new(());
        files.unasked.push((path.clone(), closing));
        files.by_path.insert(path, Left { closing, known });
        drop(files);
        self.wake.notify_one();
    }

    /// It is open again.
    pub(crate) fn back(&self, path: &Path) {
        lock(&self.files).by_path.remove(path);
    }

    /// Waits until it is known whether the file's document stays closed. `false` where that is known
    /// already.
    pub(crate) async fn known(&self, path: &Path) -> bool {
        let left = lock(&self.files)
            .by_path
            .get(path)
            .map(|left| left.known.subscribe());
        let Some(mut left) = left else {
            return false;
        };
        // Its end is what is waited for.
        while left.changed().await.is_ok() {}
        true
    }

    /// The closings that have come since the last call, once there is one.
    async fn next(&self) -> Vec<(PathBuf, u64)> {
        self.wake.notified().await;
        mem::take(&mut lock(&self.files).unasked)
    }

    fn end(&self, closings: &[(PathBuf, u64)]) {
        let mut files = lock(&self.files);
        for (path, closing) in closings {
            if files
                .by_path
                .get(path)
                .is_some_and(|left| left.closing == *closing)
            {
                files.by_path.remove(path);
            }
        }
    }
}

/// Asks the editor after each closing, however many came at once. Runs as long as the connection does.
pub(crate) async fn run(session: Arc<Session>) {
    loop {
        let closings = session.leaving.next().await;
        for _ in 0..ANSWERS {
            if !configuration::answers(&session).await {
                tracing::debug!(
                    "the editor is not responding; treating its closed documents as closed"
                );
                break;
            }
        }
        session.leaving.end(&closings);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn an_answer_is_about_the_closing_it_was_asked_after() {
        let (leaving, path) = (Leaving::default(), Path::new("/w/a"));
        let waits = || leaving.known(path).now_or_never().is_none();
        assert!(!waits(), "it was never open");
        leaving.begin(path.to_owned());
        let first = leaving.next().now_or_never().unwrap();
        assert!(waits());
        leaving.back(path);
        assert!(!waits(), "open again");
        leaving.begin(path.to_owned());
        leaving.begin("/w/b".into());
        leaving.end(&first);
        assert!(waits(), "closed again, and that was not asked about");
        let rest = leaving.next().now_or_never().unwrap();
        assert_eq!(rest.len(), 2);
        leaving.end(&rest);
        assert!(!waits());
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_either() {
        let (leaving, path) = (Leaving::default(), Path::new("/w/a"));
        for back in [true, false] {
            leaving.begin(path.to_owned());
            let closings = leaving.next().await;
            let known = leaving.known(path);
            tokio::pin!(known);
            assert!(known.as_mut().now_or_never().is_none());
            if back {
                leaving.back(path);
            } else {
                leaving.end(&closings);
            }
            assert!(known.await);
        }
    }
}
