//! Documents whose displayed state is out of date, collected until a background task updates it.

use std::{collections::HashSet, mem, time::Duration};

use lsp_types::Uri;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The scope of one change that makes displayed state out of date.
#[derive(Clone)]
pub(crate) enum DirtyMark {
    /// One document was opened, changed, saved or closed.
    Document(Uri),
    /// The pending changes themselves have changed, which concerns every document.
    Everything,
}

/// Collects marks for one background task.
///
/// Marking is the only work a document notification does on the loop that reads the wire.
#[derive(Default)]
pub(crate) struct DirtyQueue {
    batch: Mutex<DirtyDocumentBatch>,
    wake: Notify,
}

/// The marks since the previous batch was taken.
#[derive(Default)]
pub(crate) struct DirtyDocumentBatch {
    /// Documents that were opened, changed, saved or closed.
    pub(crate) documents: HashSet<Uri>,
    /// Whether all other documents are out of date as well.
    pub(crate) everything: bool,
}

impl DirtyQueue {
    /// Adds a mark to the current batch and wakes the background task.
    pub(crate) fn mark(&self, mark: DirtyMark) {
        let mut batch = self.batch.lock();
        match mark {
            DirtyMark::Document(uri) => {
                batch.documents.insert(uri);
            }
            DirtyMark::Everything => batch.everything = true,
        }
        drop(batch);
        self.wake.notify_one();
    }

    /// Waits for the first mark, then for `settle`, and takes all marks made until then.
    ///
    /// For one caller only. Marks made while the caller works on a batch wait for its next call, so
    /// there is one timer however fast somebody types.
    pub(crate) async fn next_batch(&self, settle: Duration) -> DirtyDocumentBatch {
        self.wake.notified().await;
        tokio::time::sleep(settle).await;
        mem::take(&mut *self.batch.lock())
    }
}
