//! The disk space that trees take.

use std::{collections::HashSet, path::Path};

use crate::{
    error::ForeignFileError,
    folder::FolderHandle,
    kind::EntryKind,
    walk::{WalkLimits, WalkStep, WalkedEntry},
};

/// The bytes that every entry counts at least: a file without content takes an inode.
const LEAST_BYTES: u64 = 4 << 10;
/// The unit of the kernel's block counts.
const BLOCK: u64 = 512;
/// How deep one walk goes. What lies deeper is walked from there.
const DEPTH: usize = 256;
/// The longest path that one walk takes, in bytes.
const PATH_BYTES: usize = 3 << 10;
/// The most folders that wait to be walked from where they are. Each takes a descriptor.
const WAITING: usize = 256;

/// Adds up the disk space of all that lies beneath the folders, whose paths are trusted. Ends early once it is more
/// than `most`.
///
/// Blocks count, not lengths, so a sparse file counts what it takes; a file with several names counts once. What the
/// process may not list, and what goes away meanwhile, is passed over. A folder that does not exist counts nothing.
///
/// # Errors
/// There are more entries, or more folders that lie too deep, than are walked; or a folder cannot be listed.
pub fn measure_disk_use(folders: &[impl AsRef<Path>], most: u64) -> Result<u64, ForeignFileError> {
    let mut measure = DiskMeasure {
        most,
        bytes: 0,
        entries: WalkLimits::default().entries,
        linked: HashSet::new(),
        waiting: Vec::new(),
    };
    for folder in folders {
        match FolderHandle::open(folder.as_ref()) {
            Ok(folder) => measure.waiting.push(folder),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    while let Some(folder) = measure.waiting.pop() {
        measure.add_tree(&folder)?;
    }
    Ok(measure.bytes)
}

struct DiskMeasure {
    most: u64,
    bytes: u64,
    /// The entries that may still be met.
    entries: usize,
    /// Files with several names that were met, by device and inode.
    linked: HashSet<(u64, u64)>,
    waiting: Vec<FolderHandle>,
}

impl DiskMeasure {
    fn add_tree(&mut self, folder: &FolderHandle) -> Result<(), ForeignFileError> {
        let limits = WalkLimits {
            depth: DEPTH + 2,
            entries: self.entries,
            bytes: u64::MAX,
        };
        folder.walk(limits, |entry| self.add_entry(entry))
    }

    fn add_entry(&mut self, entry: &WalkedEntry<'_>) -> Result<WalkStep, ForeignFileError> {
        let stat = entry.stat;
        self.entries = self.entries.saturating_sub(1);
        let counts = entry.kind == EntryKind::Folder
            || stat.st_nlink < 2
            || self.linked.insert((stat.st_dev, stat.st_ino));
        if counts {
            let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
            let bytes = blocks.saturating_mul(BLOCK).max(LEAST_BYTES);
            self.bytes = self.bytes.saturating_add(bytes);
        }
        if self.bytes > self.most {
            self.waiting.clear();
            return Ok(WalkStep::End);
        }
        let path = entry.path.as_os_str();
        let deep = path.len() > PATH_BYTES || entry.path.components().count() > DEPTH;
        if entry.kind != EntryKind::Folder || !deep {
            return Ok(WalkStep::Into);
        }
        if self.waiting.len() >= WAITING {
            return Err(ForeignFileError::TooDeep { limit: DEPTH });
        }
        if let Some(Ok(inner)) = entry
            .path
            .file_name()
            .map(|name| entry.folder.open_folder(name))
        {
            self.waiting.push(inner);
        }
        Ok(WalkStep::Past)
    }
}
