//! The state folder: private to its user, owned by one process at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use crate::StoreError;

/// Creates a folder that only its owner may enter, or makes an existing one so. It is durable on
/// return.
pub(crate) fn private_folder(path: &Path) -> Result<(), StoreError> {
    let failed = |what: &str| format!("{what} the folder {}", path.display());
    let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.exists()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| StoreError::io(failed("create"), e))?;
    for parent in missing.iter().filter_map(|created| created.parent()) {
        sync_folder(parent)?;
    }
    let mode = fs::metadata(path)
        .map_err(|e| StoreError::io(failed("look at"), e))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(|e| StoreError::io(failed("make private"), e))?;
    }
    Ok(())
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    // The parent of a relative name such as `state` is written as an empty path.
    let place = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(place)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| StoreError::io(format!("sync the folder {}", path.display()), e))
}

/// Creates a file that only its owner may read, and leaves an existing one as it is.
pub(crate) fn private_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| StoreError::io(format!("open {}", path.display()), e))
}

/// Ownership of a state folder. The kernel takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct HomeLock {
    _file: File,
}

impl HomeLock {
    /// Takes the folder, or says who has it.
    pub(crate) fn acquire(home: &Path) -> Result<Self, StoreError> {
        let path = home.join("lock");
        let mut file = private_file(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The number only helps the message along; without it the refusal still stands.
                let _ = file.read_to_string(&mut text);
                return Err(StoreError::Locked {
                    home: home.to_owned(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(e)) => {
                return Err(StoreError::io(format!("lock {}", path.display()), e));
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|e| StoreError::io(format!("write {}", path.display()), e))?;
        Ok(Self { _file: file })
    }
}
