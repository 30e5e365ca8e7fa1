//! Whether a file is unchanged, found out without reading it.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use claudecluster_protocol::RelPath;
use rustix::fs::AtFlags;

use super::{WriteError, open_parent, open_root, path_bytes};

/// A fingerprint of a file's metadata: equal fingerprints mean an unchanged file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileStamp {
    device: u64,
    inode: u64,
    size: i64,
    mode: u32,
    /// In nanoseconds since the epoch.
    modified: i128,
    changed: i128,
}

/// Longest time after a change in which a file system may give another change the same times.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

impl FileStamp {
    /// Returns whether another change would have other times.
    pub(crate) fn is_reliable(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i128::try_from(now.as_nanos()).unwrap_or(0));
        let since = now - self.changed.max(self.modified);
        since > i128::try_from(COARSEST_CLOCK.as_nanos()).unwrap_or(i128::MAX)
    }
}

/// Returns the stamp of a file; `None` if there is no file.
pub(crate) fn file_stamp(root: &Path, path: &RelPath) -> Result<Option<FileStamp>, WriteError> {
    let root = open_root(root)?;
    let Some(parent) = open_parent(&root, path, false)? else {
        return Ok(None);
    };
    let name = path_bytes(path.file_name());
    let stat = match rustix::fs::statat(&parent, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let nanos = |seconds: i64, nanos| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Ok(Some(FileStamp {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: stat.st_size,
        mode: stat.st_mode,
        modified: nanos(stat.st_mtime, stat.st_mtime_nsec),
        changed: nanos(stat.st_ctime, stat.st_ctime_nsec),
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_stamp_tells_files_apart() {
        let root = tempfile::tempdir().unwrap();
        let path = RelPath::new("a.txt").unwrap();
        let look = || file_stamp(root.path(), &path).unwrap();
        assert_eq!(look(), None);
        fs::write(root.path().join("a.txt"), "one").unwrap();
        let one = look().unwrap();
        assert_eq!(look(), Some(one));
        // It could change again and still have the same times.
        assert!(!one.is_reliable());
        let long_ago = FileStamp {
            modified: 0,
            changed: 0,
            ..one
        };
        assert!(long_ago.is_reliable());
        fs::write(root.path().join("a.txt"), "three").unwrap();
        assert_ne!(look(), Some(one));
    }
}
