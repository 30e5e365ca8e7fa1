//! The journal of events and the store of artifacts.
//!
//! Everything a daemon knows can be rebuilt from here. What [`Store::append_events`] has acknowledged
//! survives the death of the process and of the machine; see [`Store::put_blob`] for what that
//! means for the blobs that events name.
//!
//! ```text
//! $CLAUDECLUSTER_HOME/        0700
//!   lock                      held by the daemon, with its process id
//!   journal.db                events, and blobs below 64 KiB (SQLite, write-ahead log, FULL sync)
//!   blobs/<blake3>            blobs of 64 KiB and more
//!   incoming/                 files being written; emptied at every start
//! ```
//!
//! Architecture invariant: this crate knows nothing of goals beyond their identifiers and gives no
//! meaning to events. It is the only crate that writes to the state folder's journal and blobs.

mod artifacts;
mod disk;
mod error;
mod home;
mod memory;
mod row;
mod schema;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_protocol::{BlobId, Event, EventSeq, GoalId};

pub use artifacts::blob_id;
pub use error::StoreError;
pub use row::NewEvent;

use disk::DiskBackend;
use memory::MemoryBackend;

/// The journal and the artifacts of one state folder.
///
/// A cheap handle: clones share one store. The last one to go waits for the writes under way and
/// gives the folder up.
#[derive(Clone, Debug)]
pub struct Store {
    backend: StoreBackend,
}

#[derive(Clone, Debug)]
enum StoreBackend {
    DiskBackend(Arc<DiskBackend>),
    MemoryBackend(Arc<MemoryBackend>),
}

impl Store {
    /// Opens the store in `home` and takes ownership of the folder. The folder is created where it
    /// does not exist, and made private to the user (0700).
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process owns the folder, [`StoreError::NewerSchema`]
    /// where a newer version wrote it, and whatever the disk and SQLite say.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            backend: StoreBackend::DiskBackend(Arc::new(DiskBackend::open(home)?)),
        })
    }

    /// Makes a store that lives in memory and forgets everything when dropped: for simulations and
    /// tests. It behaves like the other in everything but durability.
    pub fn in_memory() -> Self {
        Self {
            backend: StoreBackend::MemoryBackend(Arc::default()),
        }
    }

    /// Appends events as one unit: all of them or none are in the journal, at consecutive numbers.
    ///
    /// On return they are durable, and so is every blob whose [`Store::put_blob`] returned before
    /// this was called. Appends that wait at the same time share one commit. Dropping the future
    /// does not take the events back.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing was written, and a later append may succeed.
    /// [`StoreError::ReadOnly`]: writing failed, and no later append succeeds until the store is
    /// opened again; the events may turn out to be in the journal then.
    pub async fn append_events(&self, events: Vec<NewEvent>) -> Result<Vec<Event>, StoreError> {
        match &self.backend {
            StoreBackend::DiskBackend(disk) => disk.append_events(events).await,
            StoreBackend::MemoryBackend(memory) => Ok(memory.append_events(events)),
        }
    }

    /// Returns the events after `after`, of one goal or of all, in order. Every one is verified
    /// against its checksum. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::CorruptEvent`] names the first event that is damaged or missing.
    pub fn read_events(
        &self,
        after: EventSeq,
        goal: Option<&GoalId>,
    ) -> Result<Vec<Event>, StoreError> {
        match &self.backend {
            StoreBackend::DiskBackend(disk) => disk.read_events(after, goal),
            StoreBackend::MemoryBackend(memory) => Ok(memory.read_events(after, goal)),
        }
    }

    /// Returns the number of the last durable event; 0 where there is none.
    pub fn last_seq(&self) -> EventSeq {
        match &self.backend {
            StoreBackend::DiskBackend(disk) => disk.last_seq(),
            StoreBackend::MemoryBackend(memory) => memory.last_seq(),
        }
    }

    /// Stores bytes under their hash. Storing the same bytes again costs next to nothing.
    ///
    /// On return the blob can be read, but a small one may not be durable yet: it becomes so no
    /// later than the next event appended after this call. A blob no event names may be lost in a
    /// crash. Blocks on the disk for blobs of 64 KiB and more, and while more than 64 MiB wait to
    /// be written, so it must not be called from an async task.
    ///
    /// # Errors
    /// As [`Store::append_events`].
    pub fn put_blob(&self, bytes: &[u8]) -> Result<BlobId, StoreError> {
        let id = artifacts::blob_id(bytes);
        match &self.backend {
            StoreBackend::DiskBackend(disk) => disk.put_blob(&id, bytes)?,
            StoreBackend::MemoryBackend(memory) => memory.put_blob(id.clone(), bytes),
        }
        Ok(id)
    }

    /// Returns the bytes of a blob, verified against its name; `None` where there is none of that
    /// name. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::CorruptBlob`] where the bytes are not those that were stored.
    pub fn get_blob(&self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        if !id.is_hash() {
            return Ok(None);
        }
        match &self.backend {
            StoreBackend::DiskBackend(disk) => disk.get_blob(id),
            StoreBackend::MemoryBackend(memory) => Ok(memory.get_blob(id)),
        }
    }

    /// Returns the size of a blob in bytes, without reading it; `None` where there is none of that
    /// name.
    ///
    /// # Errors
    /// Whatever the disk and SQLite say.
    pub fn blob_len(&self, id: &BlobId) -> Result<Option<u64>, StoreError> {
        if !id.is_hash() {
            return Ok(None);
        }
        match &self.backend {
            StoreBackend::DiskBackend(disk) => disk.blob_len(id),
            StoreBackend::MemoryBackend(memory) => Ok(memory.blob_len(id)),
        }
    }

    /// Returns the file of a blob that has one of its own, to be read or cloned from: never to be
    /// written. `None` for small blobs, unknown ones, and in memory. The content is not verified.
    pub fn blob_path(&self, id: &BlobId) -> Option<PathBuf> {
        match &self.backend {
            StoreBackend::DiskBackend(disk) if id.is_hash() => disk.blob_path(id),
            _ => None,
        }
    }

    /// Returns a private folder for files that are needed for a moment; it is emptied at every start. `None` in
    /// memory.
    pub fn scratch_folder(&self) -> Option<&Path> {
        match &self.backend {
            StoreBackend::DiskBackend(disk) => Some(disk.scratch_folder()),
            StoreBackend::MemoryBackend(_) => None,
        }
    }

    /// Checks that the last commit succeeded. New goals should be refused with this error, before
    /// any work is done for them.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::ReadOnly`].
    pub fn check_writable(&self) -> Result<(), StoreError> {
        match &self.backend {
            StoreBackend::DiskBackend(disk) => disk.check_writable(),
            StoreBackend::MemoryBackend(_) => Ok(()),
        }
    }

    /// Reads everything and verifies it: SQLite's own check of the file, every event's checksum,
    /// and that no event is missing. Takes as long as reading the whole journal.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify_contents(&self) -> Result<(), StoreError> {
        match &self.backend {
            StoreBackend::DiskBackend(disk) => disk.verify_contents(),
            StoreBackend::MemoryBackend(_) => Ok(()),
        }
    }
}
