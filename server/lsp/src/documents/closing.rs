//! Documents that were closed a moment ago and may be opened again.
//!
//! Some editors reload a file by closing its document and opening it again. In between, the file on
//! disk is not the current text. The protocol does not distinguish a reload from a final closing. But
//! an editor that answers a question has finished the reload first, and has sent its `didOpen` before
//! the answer.

use std::{
    collections::HashMap,
    mem,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// The closed documents that may still be opened again.
///
/// Both collections are in one table behind one lock, because they must agree.
#[derive(Default)]
pub(crate) struct ClosingDocuments {
    table: Mutex<ClosingTable>,
    wake: Notify,
}

#[derive(Default)]
struct ClosingTable {
    by_path: HashMap<PathBuf, UnconfirmedClosing>,
    /// The closings about which the editor has not been asked yet.
    unasked: Vec<ClosingId>,
    /// The number of closings so far.
    count: u64,
}

/// One closing of one file. A file that is reopened and closed again has another number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ClosingId {
    path: PathBuf,
    number: u64,
}

struct UnconfirmedClosing {
    number: u64,
    /// Dropped when the closing is confirmed or the document is open again.
    unresolved: watch::Sender<()>,
}

impl ClosingDocuments {
    /// Records that a document is about to be closed.
    ///
    /// Callers record it while the document still counts as open. Otherwise a reader could see the
    /// document closed without seeing that it may be opened again.
    pub(crate) fn begin_closing(&self, path: PathBuf) {
        let mut table = self.table.lock();
        table.count += 1;
        let number = table.count;
        let closing = UnconfirmedClosing {
            number,
            unresolved: watch::Sender::new(()),
        };
        table.by_path.insert(path.clone(), closing);
        table.unasked.push(ClosingId { path, number });
        drop(table);
        self.wake.notify_one();
    }

    /// Records that a document is open again.
    pub(crate) fn cancel_closing(&self, path: &Path) {
        self.table.lock().by_path.remove(path);
    }

    /// Waits until a recent closing of the file is confirmed or cancelled.
    ///
    /// Returns `false` at once if there is no such closing.
    pub(crate) async fn wait_resolved(&self, path: &Path) -> bool {
        let closing = self
            .table
            .lock()
            .by_path
            .get(path)
            .map(|closing| closing.unresolved.subscribe());
        let Some(mut closing) = closing else {
            return false;
        };
        // Nothing is ever sent: the wait ends when the sender is dropped.
        while closing.changed().await.is_ok() {}
        true
    }

    /// Waits for a closing and returns all closings since the previous call.
    pub(crate) async fn next_closings(&self) -> Vec<ClosingId> {
        self.wake.notified().await;
        mem::take(&mut self.table.lock().unasked)
    }

    /// Confirms closings, unless their documents have been opened again since.
    pub(crate) fn confirm_closings(&self, closings: &[ClosingId]) {
        let mut table = self.table.lock();
        for ClosingId { path, number } in closings {
            let closing = table.by_path.get(path);
            if closing.is_some_and(|closing| closing.number == *number) {
                table.by_path.remove(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn an_answer_confirms_only_closings_before_its_question() {
        let (closing, path) = (ClosingDocuments::default(), Path::new("/w/a"));
        let waits = || closing.wait_resolved(path).now_or_never().is_none();
        assert!(!waits(), "it was never open");
        closing.begin_closing(path.to_owned());
        let first = closing.next_closings().now_or_never().unwrap();
        assert!(waits());
        closing.cancel_closing(path);
        assert!(!waits(), "open again");
        closing.begin_closing(path.to_owned());
        closing.begin_closing("/w/b".into());
        closing.confirm_closings(&first);
        assert!(waits(), "closed again after the question");
        let rest = closing.next_closings().now_or_never().unwrap();
        assert_eq!(rest.len(), 2);
        closing.confirm_closings(&rest);
        assert!(!waits());
    }

    #[tokio::test]
    async fn waiting_ends_when_a_closing_is_confirmed_or_cancelled() {
        let (closing, path) = (ClosingDocuments::default(), Path::new("/w/a"));
        for reopened in [true, false] {
            closing.begin_closing(path.to_owned());
            let closings = closing.next_closings().await;
            let resolved = closing.wait_resolved(path);
            tokio::pin!(resolved);
            assert!(resolved.as_mut().now_or_never().is_none());
            if reopened {
                closing.cancel_closing(path);
            } else {
                closing.confirm_closings(&closings);
            }
            assert!(resolved.await);
        }
    }
}
