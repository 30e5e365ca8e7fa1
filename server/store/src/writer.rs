//! The thread that owns the writing connection.
//!
//! Whoever waits while a commit is under way is served by the next one: sixty-four clients pay for
//! one sync of the disk, not for sixty-four.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::Receiver,
    },
};

use claudecluster_protocol::{BlobId, EventSeq, Timestamp};
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::{StoreError, row};

/// A commit takes no more requests than this, so that the first of them is not kept waiting.
const GROUP_REQUESTS: usize = 1024;
/// A commit takes no more bytes than this, so that the log stays small.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Receives the number of the first event of a request from the writer.
type AppendReceipt = oneshot::Sender<Result<EventSeq, StoreError>>;

/// Lists the requests to the writer. Requests are carried out in the order they were sent: a blob
/// that was sent before an event is committed with it or before it.
pub(crate) enum WriterRequest {
    /// Write events as one unit and report the number of the first. Without events: report when
    /// everything sent before is durable.
    Append {
        rows: Vec<EncodedEvent>,
        done: AppendReceipt,
    },
    /// Write a blob that [`WriterStatus::lock_pending`] holds until then.
    Blob { id: BlobId, bytes: Arc<[u8]> },
}

/// An event that is encoded but has no number yet.
pub(crate) struct EncodedEvent {
    pub(crate) at: Timestamp,
    pub(crate) goal: String,
    pub(crate) body: String,
}

/// Holds the state shared by the writer and the store's handles.
#[derive(Debug, Default)]
pub(crate) struct WriterStatus {
    last_seq: AtomicU64,
    pending: Mutex<PendingBlobs>,
    failure: Mutex<Option<StoreError>>,
}

/// Blobs that are not committed yet.
#[derive(Debug, Default)]
pub(crate) struct PendingBlobs {
    blobs: HashMap<BlobId, Arc<[u8]>>,
    bytes: usize,
}

impl PendingBlobs {
    /// Adds a blob; `false` where it is there already.
    pub(crate) fn insert(&mut self, id: BlobId, bytes: Arc<[u8]>) -> bool {
        let len = bytes.len();
        let new = self.blobs.insert(id, bytes).is_none();
        if new {
            self.bytes += len;
        }
        new
    }

    pub(crate) fn get(&self, id: &BlobId) -> Option<Arc<[u8]>> {
        self.blobs.get(id).cloned()
    }

    /// Returns the bytes held in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn remove(&mut self, id: &BlobId) {
        if let Some(bytes) = self.blobs.remove(id) {
            self.bytes -= bytes.len();
        }
    }
}

impl WriterStatus {
    pub(crate) fn starting_at(last: EventSeq) -> Self {
        Self {
            last_seq: AtomicU64::new(last.0),
            ..Self::default()
        }
    }

    pub(crate) fn last_seq(&self) -> EventSeq {
        EventSeq(self.last_seq.load(Ordering::Acquire))
    }

    pub(crate) fn lock_pending(&self) -> MutexGuard<'_, PendingBlobs> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the error of the last commit; `None` if the commit succeeded.
    pub(crate) fn last_failure(&self) -> Option<StoreError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_failure(&self, failure: Option<StoreError>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// The writer's own state.
pub(crate) struct JournalWriter {
    db: Connection,
    shared: Arc<WriterStatus>,
    /// Blobs that no commit has held yet. After a failed commit they go into the next one, so that
    /// no event is ever durable without the blobs that were sent before it.
    unsaved: Vec<(BlobId, Arc<[u8]>)>,
}

/// Collects the requests of one commit, beside the unsaved blobs.
#[derive(Default)]
struct CommitGroup {
    appends: Vec<(Vec<EncodedEvent>, AppendReceipt)>,
    requests: usize,
    bytes: usize,
}

impl CommitGroup {
    fn is_full(&self) -> bool {
        self.requests >= GROUP_REQUESTS || self.bytes >= GROUP_BYTES
    }
}

impl JournalWriter {
    pub(crate) fn new(db: Connection, shared: Arc<WriterStatus>) -> Self {
        Self {
            db,
            shared,
            unsaved: Vec::new(),
        }
    }

    /// Serves requests until every sender is gone and all that was sent is done.
    pub(crate) fn run(mut self, inbox: &Receiver<WriterRequest>) {
        while let Ok(first) = inbox.recv() {
            let mut group = CommitGroup::default();
            self.accept_request(first, &mut group);
            while !group.is_full()
                && let Ok(next) = inbox.try_recv()
            {
                self.accept_request(next, &mut group);
            }
            self.commit_and_reply(group);
        }
    }

    fn accept_request(&mut self, request: WriterRequest, group: &mut CommitGroup) {
        group.requests += 1;
        match request {
            WriterRequest::Append { rows, done } => {
                group.bytes += rows.iter().map(|row| row.body.len()).sum::<usize>();
                group.appends.push((rows, done));
            }
            WriterRequest::Blob { id, bytes } => {
                group.bytes += bytes.len();
                self.unsaved.push((id, bytes));
            }
        }
    }

    /// Commits a group and tells everybody who waits for it.
    fn commit_and_reply(&mut self, group: CommitGroup) {
        let result = match self.shared.last_failure() {
            Some(StoreError::ReadOnly(why)) => Err(StoreError::ReadOnly(why)),
            _ => self.make_durable(&group),
        };
        match result {
            Ok(mut first) => {
                for (rows, done) in group.appends {
                    let next = EventSeq(first.0 + rows.len() as u64);
                    // Whoever asked may have gone away; the events stand all the same.
                    let _ = done.send(Ok(first));
                    first = next;
                }
            }
            Err(error) => {
                for (_, done) in group.appends {
                    let _ = done.send(Err(error.clone()));
                }
            }
        }
    }

    /// Makes a group durable and returns the number of its first event.
    fn make_durable(&mut self, group: &CommitGroup) -> Result<EventSeq, StoreError> {
        let last = self.shared.last_seq();
        match self.write_transaction(last, group) {
            Ok(new_last) => {
                let mut pending = self.shared.lock_pending();
                for (id, _) in self.unsaved.drain(..) {
                    pending.remove(&id);
                }
                drop(pending);
                self.shared.last_seq.store(new_last.0, Ordering::Release);
                self.shared.set_failure(None);
                Ok(EventSeq(last.0 + 1))
            }
            Err(error) => {
                let failure = match StoreError::database("write the journal")(error) {
                    // Nothing of the group was written, and the next one may find space.
                    StoreError::Full => StoreError::Full,
                    // After a failed sync the kernel may call the next one a success without the
                    // data being there, so no later commit could be believed.
                    other => StoreError::ReadOnly(other.to_string().into()),
                };
                self.shared.set_failure(Some(failure.clone()));
                Err(failure)
            }
        }
    }

    fn write_transaction(
        &mut self,
        last: EventSeq,
        group: &CommitGroup,
    ) -> rusqlite::Result<EventSeq> {
        // Dropping the transaction on an error rolls it back.
        let step = self.db.transaction()?;
        let mut seq = last;
        {
            let mut insert =
                step.prepare_cached("INSERT OR IGNORE INTO blobs (id, bytes) VALUES (?1, ?2)")?;
            for (id, bytes) in &self.unsaved {
                insert.execute(params![id.as_str(), &bytes[..]])?;
            }
            let mut insert = step.prepare_cached(
                "INSERT INTO events (seq, at, goal, body, checksum) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for row in group.appends.iter().flat_map(|(rows, _)| rows) {
                seq.0 += 1;
                let checksum = row::row_checksum(seq, row.at, &row.goal, &row.body);
                insert.execute(params![
                    seq.0.cast_signed(),
                    row.at.0.cast_signed(),
                    row.goal,
                    row.body,
                    checksum
                ])?;
            }
        }
        step.commit()?;
        Ok(seq)
    }
}
