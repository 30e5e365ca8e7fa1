//! What can go wrong with the journal and the artifacts, and what a user is told about it.

use std::{io, path::PathBuf, sync::Arc};

use claudecluster_protocol::{BlobId, ErrorBody, EventSeq};

/// Why the store could not do what it was asked.
///
/// Cheap to clone: one failed commit is reported to everybody who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another daemon owns the state folder.
    #[error("the state folder {} is in use by {}", home.display(), describe_owner(*pid))]
    Locked {
        /// The state folder.
        home: PathBuf,
        /// The owner's process id, where it could be read.
        pid: Option<u32>,
    },
    /// The journal was written by a newer version of this program.
    #[error("the journal has format {found}; this version supports formats up to {known}")]
    NewerSchema {
        /// The format on disk.
        found: u32,
        /// The newest format this program reads.
        known: u32,
    },
    /// The linked SQLite has a known corruption bug.
    #[error(
        "SQLite {found} can corrupt its write-ahead log; version {needed} or newer is required"
    )]
    OldLibrary {
        /// The version that was found.
        found: &'static str,
        /// The oldest version without the bug.
        needed: &'static str,
    },
    /// No space is left for the state folder. Reading goes on working.
    #[error("the disk that holds the state folder is full")]
    Full,
    /// A write failed and left the disk in an unknown state. The store takes no more writes;
    /// reading still works.
    #[error("the journal rejects writes after a failed write: {0}")]
    ReadOnly(Arc<str>),
    /// The operating system refused.
    #[error("failed to {what}: {source}")]
    Io {
        /// The failed operation, with its path.
        what: String,
        /// The error of the operating system.
        source: Arc<io::Error>,
    },
    /// SQLite refused.
    #[error("failed to {what}: {source}")]
    Database {
        /// The failed operation.
        what: &'static str,
        /// The error of SQLite.
        source: Arc<rusqlite::Error>,
    },
    /// An event is not what was written.
    #[error("event {seq} in the journal is damaged: {reason}")]
    CorruptEvent {
        /// The event.
        seq: EventSeq,
        /// The problem.
        reason: String,
    },
    /// A blob is not what was written.
    #[error("artifact {id} is damaged: its content does not match its hash")]
    CorruptBlob {
        /// The blob.
        id: BlobId,
    },
    /// SQLite's own check of the file found damage.
    #[error("the journal file is damaged: {0}")]
    CorruptFile(String),
    /// An event could not be written as JSON.
    #[error("failed to encode an event: {0}")]
    Encode(Arc<serde_json::Error>),
    /// The writer has ended; the process is going down.
    #[error("the store is closed")]
    Closed,
}

fn describe_owner(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

impl StoreError {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull
            || source.kind() == io::ErrorKind::QuotaExceeded
        {
            return Self::Full;
        }
        Self::Io {
            what: what.into(),
            source: Arc::new(source),
        }
    }

    pub(crate) fn database(what: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| {
            if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
                return Self::Full;
            }
            Self::Database {
                what,
                source: Arc::new(source),
            }
        }
    }

    /// Returns the next step for the user, as one line.
    fn hint(&self) -> &'static str {
        match self {
            Self::Locked { .. } => {
                "use the running daemon, stop it with `claudecluster daemon stop`, or set \
                 CLAUDECLUSTER_HOME to another folder"
            }
            Self::NewerSchema { .. } => {
                "update claudecluster, or set CLAUDECLUSTER_HOME to another folder"
            }
            Self::OldLibrary { .. } => "build claudecluster with its bundled SQLite",
            Self::Full => "free some disk space and try again; everything confirmed so far is safe",
            Self::ReadOnly(_) => {
                "check the disk, then restart with `claudecluster daemon stop`; everything \
                 confirmed so far is safe"
            }
            Self::Io { .. } | Self::Database { .. } => {
                "check that the state folder is writable and on a local disk"
            }
            Self::CorruptEvent { .. } | Self::CorruptBlob { .. } | Self::CorruptFile(_) => {
                "the disk may be failing; back up the state folder, then set \
                 CLAUDECLUSTER_HOME to a new one"
            }
            Self::Encode(_) => "please report this as a bug",
            Self::Closed => "try again after the daemon has restarted",
        }
    }
}

impl From<StoreError> for ErrorBody {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        let body = match error {
            StoreError::Encode(_) => ErrorBody::internal(message),
            _ => ErrorBody::environment(message),
        };
        body.with_hint(error.hint())
    }
}
