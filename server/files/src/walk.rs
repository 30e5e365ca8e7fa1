//! Walks over trees, iterative and within limits.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Stat};

use crate::{error::ForeignFileError, folder::FolderHandle, kind::EntryKind};

/// The longest path that the kernel takes, without the byte that ends it.
const MOST_PATH_BYTES: usize = 4_095;

/// How much of a tree is walked at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalkLimits {
    /// Folders within each other.
    pub depth: usize,
    /// Entries of all folders together.
    pub entries: usize,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Default for WalkLimits {
    /// More than any project has, and little enough that a walk ends.
    fn default() -> Self {
        Self {
            depth: 512,
            entries: 4_000_000,
            bytes: u64::MAX,
        }
    }
}

/// What a walk does with an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalkStep {
    /// Walks into it, if it is a folder.
    Into,
    /// Leaves out what is in it.
    Past,
    /// Ends the walk.
    End,
}

/// An entry that a walk meets.
#[derive(Debug)]
pub struct WalkedEntry<'a> {
    /// The path below the folder that is walked.
    pub path: &'a Path,
    /// The kind.
    pub kind: EntryKind,
    /// The metadata, of a link itself.
    pub stat: &'a Stat,
    /// The folder that the entry is in.
    pub folder: &'a FolderHandle,
}

impl FolderHandle {
    /// Walks everything beneath the folder, in the order of names, each folder before what is in it.
    ///
    /// What cannot be listed, or goes away meanwhile, is passed over.
    ///
    /// # Errors
    /// A limit is exceeded, or `visit` fails.
    pub fn walk<E: From<ForeignFileError>>(
        &self,
        limits: WalkLimits,
        mut visit: impl FnMut(&WalkedEntry<'_>) -> Result<WalkStep, E>,
    ) -> Result<(), E> {
        let (mut entries, mut bytes) = (limits.entries, limits.bytes);
        // Paths rather than handles: a handle a level would be as many as the tree is deep.
        let mut open = vec![(PathBuf::new(), 0usize)];
        while let Some((below, depth)) = open.pop() {
            let Ok(folder) = self.open_folder(&below) else {
                continue;
            };
            let mut listed = match folder.entries(entries) {
                Ok(listed) => listed,
                Err(ForeignFileError::TooMany { .. }) => {
                    let limit = limits.entries;
                    return Err(ForeignFileError::TooMany { limit }.into());
                }
                Err(_) => continue,
            };
            entries -= listed.len();
            listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            let first = open.len();
            for entry in &listed {
                let stat = rustix::fs::statat(&folder, &entry.name, AtFlags::SYMLINK_NOFOLLOW);
                let Ok(stat) = stat else {
                    continue;
                };
                let (path, kind) = (below.join(&entry.name), EntryKind::of(&stat));
                if kind == EntryKind::File {
                    let size = u64::try_from(stat.st_size).unwrap_or(0);
                    bytes = bytes.checked_sub(size).ok_or(ForeignFileError::TooMuch {
                        limit: limits.bytes,
                    })?;
                }
                let met = WalkedEntry {
                    path: &path,
                    kind,
                    stat: &stat,
                    folder: &folder,
                };
                match visit(&met)? {
                    WalkStep::Into if kind == EntryKind::Folder => {
                        let too_long = path.as_os_str().len() >= MOST_PATH_BYTES;
                        if depth + 1 >= limits.depth || too_long {
                            let limit = limits.depth;
                            return Err(ForeignFileError::TooDeep { limit }.into());
                        }
                        open.push((path, depth + 1));
                    }
                    WalkStep::Into | WalkStep::Past => {}
                    WalkStep::End => return Ok(()),
                }
            }
            open[first..].reverse();
        }
        Ok(())
    }
}
