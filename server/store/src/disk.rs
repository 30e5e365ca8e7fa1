//! The store on a disk: one writing thread, one reading connection, one folder of large blobs.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use claudecluster_protocol::{BlobId, Event, EventSeq, GoalId};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use crate::{
    NewEvent, StoreError,
    artifacts::{self, BlobFiles},
    home::{self, HomeLock},
    row, schema,
    writer::{EncodedEvent, JournalWriter, WriterRequest, WriterStatus},
};

/// Blobs of this size and more are files of their own.
const LARGE: usize = 64 * 1024;
/// More than this is not held in memory while it waits for a commit.
const MAX_PENDING: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct DiskBackend {
    /// `None` only while the store is being dropped.
    requests: Option<mpsc::Sender<WriterRequest>>,
    writer: Option<JoinHandle<()>>,
    reader: Mutex<Connection>,
    shared: Arc<WriterStatus>,
    files: BlobFiles,
    /// Last, so that the folder is given up only after everything else is closed.
    _lock: HomeLock,
}

impl DiskBackend {
    pub(crate) fn open(home: &Path) -> Result<Self, StoreError> {
        home::private_folder(home)?;
        let lock = HomeLock::acquire(home)?;
        let files = BlobFiles::open(home)?;
        let path = home.join("journal.db");
        let db = schema::open_writer(&path)?;
        let reader = schema::open_reader(&path)?;
        home::sync_folder(home)?;

        let last: i64 = reader
            .query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| {
                row.get(0)
            })
            .map_err(StoreError::database("read the end of the journal"))?;
        let shared = Arc::new(WriterStatus::starting_at(EventSeq(last.cast_unsigned())));
        let (requests, inbox) = mpsc::channel();
        let writer = JournalWriter::new(db, Arc::clone(&shared));
        let writer = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|e| StoreError::io("start the journal's thread", e))?;
        Ok(Self {
            requests: Some(requests),
            writer: Some(writer),
            reader: Mutex::new(reader),
            shared,
            files,
            _lock: lock,
        })
    }

    fn send_request(&self, request: WriterRequest) -> Result<(), StoreError> {
        self.requests
            .as_ref()
            .and_then(|requests| requests.send(request).ok())
            .ok_or(StoreError::Closed)
    }

    fn send_append(
        &self,
        rows: Vec<EncodedEvent>,
    ) -> Result<oneshot::Receiver<Result<EventSeq, StoreError>>, StoreError> {
        let (done, result) = oneshot::channel();
        self.send_request(WriterRequest::Append { rows, done })?;
        Ok(result)
    }

    pub(crate) async fn append_events(
        &self,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Event>, StoreError> {
        let rows = events.iter().map(encode_event).collect::<Result<_, _>>()?;
        let first = self
            .send_append(rows)?
            .await
            .map_err(|_| StoreError::Closed)??;
        Ok((first.0..)
            .zip(events)
            .map(|(seq, event)| event.with_seq(EventSeq(seq)))
            .collect())
    }

    fn lock_reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read_events(
        &self,
        after: EventSeq,
        goal: Option<&GoalId>,
    ) -> Result<Vec<Event>, StoreError> {
        let failed = || StoreError::database("read the journal");
        let db = self.lock_reader();
        let after_column = i64::try_from(after.0).unwrap_or(i64::MAX);
        let mut events = Vec::new();
        if let Some(goal) = goal {
            let mut query = db
                .prepare_cached(
                    "SELECT seq, at, goal, body, checksum FROM events \
                     WHERE goal = ?2 AND seq > ?1 ORDER BY seq",
                )
                .map_err(failed())?;
            let mut rows = query
                .query(params![after_column, goal.as_str()])
                .map_err(failed())?;
            while let Some(row) = rows.next().map_err(failed())? {
                events.push(row::decode_row(row)?);
            }
            return Ok(events);
        }
        let mut query = db
            .prepare_cached(
                "SELECT seq, at, goal, body, checksum FROM events WHERE seq > ?1 ORDER BY seq",
            )
            .map_err(failed())?;
        let mut rows = query.query(params![after_column]).map_err(failed())?;
        let mut expected = after.0.saturating_add(1);
        while let Some(row) = rows.next().map_err(failed())? {
            let event = row::decode_row(row)?;
            if event.seq.0 != expected {
                return Err(StoreError::CorruptEvent {
                    seq: EventSeq(expected),
                    reason: "it is missing".to_owned(),
                });
            }
            expected += 1;
            events.push(event);
        }
        Ok(events)
    }

    pub(crate) fn last_seq(&self) -> EventSeq {
        self.shared.last_seq()
    }

    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        self.shared.last_failure().map_or(Ok(()), Err)
    }

    pub(crate) fn put_blob(&self, id: &BlobId, bytes: &[u8]) -> Result<(), StoreError> {
        if let Err(error @ StoreError::ReadOnly(_)) = self.check_writable() {
            return Err(error);
        }
        if bytes.len() >= LARGE {
            return self.files.write_blob(id, bytes);
        }
        if self.has_row(id)? {
            return Ok(());
        }
        let bytes: Arc<[u8]> = bytes.into();
        let full = {
            let mut pending = self.shared.lock_pending();
            if !pending.insert(id.clone(), Arc::clone(&bytes)) {
                return Ok(());
            }
            // Sent under the lock: whoever finds the blob pending may rely on its having been sent
            // before whatever they send next.
            self.send_request(WriterRequest::Blob {
                id: id.clone(),
                bytes,
            })?;
            pending.bytes() > MAX_PENDING
        };
        if full {
            self.send_append(Vec::new())?
                .blocking_recv()
                .map_err(|_| StoreError::Closed)??;
        }
        Ok(())
    }

    fn has_row(&self, id: &BlobId) -> Result<bool, StoreError> {
        self.lock_reader()
            .prepare_cached("SELECT 1 FROM blobs WHERE id = ?1")
            .and_then(|mut query| query.exists([id.as_str()]))
            .map_err(StoreError::database("look for an artifact"))
    }

    pub(crate) fn get_blob(&self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(bytes) = self.shared.lock_pending().get(id) {
            return Ok(Some(bytes.to_vec()));
        }
        let row: Option<Vec<u8>> = self
            .lock_reader()
            .prepare_cached("SELECT bytes FROM blobs WHERE id = ?1")
            .and_then(|mut query| query.query_row([id.as_str()], |row| row.get(0)).optional())
            .map_err(StoreError::database("read an artifact"))?;
        let bytes = match row {
            Some(bytes) => Some(bytes),
            None => self.files.read_blob(id)?,
        };
        match bytes {
            Some(bytes) if artifacts::blob_id(&bytes) != *id => {
                Err(StoreError::CorruptBlob { id: id.clone() })
            }
            bytes => Ok(bytes),
        }
    }

    pub(crate) fn blob_len(&self, id: &BlobId) -> Result<Option<u64>, StoreError> {
        if let Some(bytes) = self.shared.lock_pending().get(id) {
            return Ok(Some(bytes.len() as u64));
        }
        let row: Option<i64> = self
            .lock_reader()
            .prepare_cached("SELECT length(bytes) FROM blobs WHERE id = ?1")
            .and_then(|mut query| query.query_row([id.as_str()], |row| row.get(0)).optional())
            .map_err(StoreError::database("look at an artifact"))?;
        match row {
            Some(len) => Ok(Some(len.cast_unsigned())),
            None => self.files.blob_len(id),
        }
    }

    pub(crate) fn scratch_folder(&self) -> &Path {
        self.files.incoming()
    }

    pub(crate) fn blob_path(&self, id: &BlobId) -> Option<PathBuf> {
        let path = self.files.blob_path(id);
        path.is_file().then_some(path)
    }

    pub(crate) fn verify_contents(&self) -> Result<(), StoreError> {
        let report: String = self
            .lock_reader()
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(StoreError::database("check the journal"))?;
        if report != "ok" {
            return Err(StoreError::CorruptFile(report));
        }
        self.read_events(EventSeq(0), None).map(drop)
    }
}

fn encode_event(event: &NewEvent) -> Result<EncodedEvent, StoreError> {
    Ok(EncodedEvent {
        at: event.at,
        goal: event.goal.as_str().to_owned(),
        body: serde_json::to_string(&event.body).map_err(|e| StoreError::Encode(Arc::new(e)))?,
    })
}

impl Drop for DiskBackend {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // A panic there has been reported by the panic hook; here nobody is left to tell.
            let _ = writer.join();
        }
    }
}
