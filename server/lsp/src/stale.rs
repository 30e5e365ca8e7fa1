//! What is shown wrongly, collected until somebody puts it right.

use std::{collections::HashSet, mem, sync::Mutex, time::Duration};

use lsp_types::Uri;
use tokio::sync::Notify;

use crate::session::lock;

/// What may be shown wrongly.
#[derive(Clone)]
pub(crate) enum Dirty {
    /// One document: its text has changed, or it was opened.
    Document(Uri),
    /// Every document: the pending changes themselves have changed.
    Everything,
    /// A document was closed: nothing may be shown for it.
    Closed(Uri),
}

/// Collects what is out of date. Marking is all that document changes do on the wire's thread.
#[derive(Default)]
pub(crate) struct Stale {
    batch: Mutex<Batch>,
    wake: Notify,
}

/// What has become out of date since the last batch was taken.
#[derive(Default)]
pub(crate) struct Batch {
    /// Documents whose own text has changed, that were opened or closed.
    pub(crate) documents: HashSet<Uri>,
    /// All the others as well.
    pub(crate) everything: bool,
}

impl Stale {
    pub(crate) fn mark(&self, dirty: Dirty) {
        let mut batch = lock(&self.batch);
        match dirty {
            Dirty::Document(uri) | Dirty::Closed(uri) => {
                batch.documents.insert(uri);
            }
            Dirty::Everything => batch.everything = true,
        }
        drop(batch);
        self.wake.notify_one();
    }

    /// Waits for the first mark, then for `settle`, and takes all that has been marked until then. One
    /// caller, so that marks made while a batch is worked on wait for the next one: there is one
    /// timer, however fast somebody types.
    pub(crate) async fn next(&self, settle: Duration) -> Batch {
        self.wake.notified().await;
        tokio::time::sleep(settle).await;
        mem::take(&mut *lock(&self.batch))
    }
}
