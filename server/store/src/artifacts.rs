//! Large blobs: files named by the hash of their content.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use claudecluster_protocol::BlobId;

use crate::{StoreError, home};

/// Returns the name of a blob: the BLAKE3 hash of its bytes.
pub fn blob_id(bytes: &[u8]) -> BlobId {
    BlobId::of_bytes(bytes)
}

/// The folder of large blobs, and the one in which they are written first.
#[derive(Debug)]
pub(crate) struct BlobFiles {
    blobs: PathBuf,
    incoming: PathBuf,
    /// Makes names in `incoming` unique within this process, which owns the folder.
    counter: AtomicU64,
}

impl BlobFiles {
    /// Opens the folders and removes what a dead process left half written. Only for the owner of
    /// the state folder.
    pub(crate) fn open(home: &Path) -> Result<Self, StoreError> {
        let files = Self {
            blobs: home.join("blobs"),
            incoming: home.join("incoming"),
            counter: AtomicU64::new(0),
        };
        home::private_folder(&files.blobs)?;
        home::private_folder(&files.incoming)?;
        let failed = |e| StoreError::io(format!("clean {}", files.incoming.display()), e);
        for entry in fs::read_dir(&files.incoming).map_err(failed)? {
            fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(files)
    }

    /// Returns the folder of files that are being written.
    pub(crate) fn incoming(&self) -> &Path {
        &self.incoming
    }

    /// Returns the path of a large blob, whether it exists or not.
    pub(crate) fn blob_path(&self, id: &BlobId) -> PathBuf {
        self.blobs.join(id.as_str())
    }

    /// Writes a blob. It is durable on return.
    pub(crate) fn write_blob(&self, id: &BlobId, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.blob_path(id);
        let there = fs::metadata(&path).is_ok_and(|file| file.len() == bytes.len() as u64);
        if !there {
            let number = self.counter.fetch_add(1, Ordering::Relaxed);
            let temporary = self.incoming.join(number.to_string());
            let written = write_new(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path));
            if let Err(error) = written {
                // The error that matters is the first one; what stays is removed at the next start.
                let _ = fs::remove_file(&temporary);
                return Err(StoreError::io(format!("write {}", path.display()), error));
            }
        }
        // Also where the file was there: another thread may have just renamed it and not come to
        // this line yet.
        home::sync_folder(&self.blobs)
    }

    pub(crate) fn read_blob(&self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(self.blob_path(id)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io(format!("read artifact {id}"), e)),
        }
    }

    pub(crate) fn blob_len(&self, id: &BlobId) -> Result<Option<u64>, StoreError> {
        match fs::metadata(self.blob_path(id)) {
            Ok(file) => Ok(Some(file.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io(format!("look at artifact {id}"), e)),
        }
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
