//! Files that git does not know: a snapshot holds the small ones.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use claudecluster_files::{EntryKind, FolderHandle, ForeignFileError, WalkLimits, WalkStep};
use claudecluster_protocol::{ErrorBody, RelPath, change::FileVersion};
use claudecluster_store::Store;

use super::{capture_file, io_error};

/// Untracked files up to this size are captured.
const UNTRACKED_BYTES: u64 = 1 << 20;
/// At most this many untracked files are captured, and this many bytes.
const UNTRACKED_FILES: usize = 1_000;
const UNTRACKED_TOTAL: u64 = 64 << 20;
/// At most this many entries of an untracked folder are looked at.
const UNTRACKED_ENTRIES: usize = 20_000;

/// Captures small untracked files. Larger ones, and those past the limits, are known by their change
/// time alone.
pub(super) fn capture_untracked(
    store: &Store,
    workspace: &Path,
    untracked: Vec<RelPath>,
    captured: &mut BTreeMap<RelPath, Option<FileVersion>>,
) -> Result<(), ErrorBody> {
    let top = FolderHandle::open(workspace)
        .map_err(|error| io_error("read", workspace, &error.into()))?;
    let mut room = UntrackedRoom {
        files: UNTRACKED_FILES,
        bytes: UNTRACKED_TOTAL,
    };
    for path in untracked {
        let relative = path.to_path_buf();
        match top.stat(&relative) {
            Ok(Some(stat)) if EntryKind::of(&stat) == EntryKind::Folder => {
                // A folder that cannot be read holds nothing a task could change unseen.
                let Ok(folder) = top.open_folder(&relative) else {
                    continue;
                };
                let files = untracked_files(&folder, &room);
                for (inside, size) in files {
                    if let Ok(path) = RelPath::from_path(&relative.join(inside)) {
                        room.capture(store, workspace, path, size, captured)?;
                    }
                }
            }
            Ok(Some(stat)) => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                room.capture(store, workspace, path, size, captured)?;
            }
            Ok(None) | Err(_) => {}
        }
        if room.is_full() {
            break;
        }
    }
    Ok(())
}

/// Lists the small files in an untracked folder, until there is no room for more. One too deep or too large to be
/// walked is listed as far as the walk came.
fn untracked_files(folder: &FolderHandle, room: &UntrackedRoom) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let limits = WalkLimits {
        entries: UNTRACKED_ENTRIES,
        ..WalkLimits::default()
    };
    let walked = folder.walk(limits, |entry| {
        if entry.kind == EntryKind::File || entry.kind == EntryKind::Link {
            let size = u64::try_from(entry.stat.st_size).unwrap_or(0);
            if size <= UNTRACKED_BYTES {
                files.push((entry.path.to_owned(), size));
            }
        }
        let full = files.len() >= room.files;
        Ok::<_, ForeignFileError>(if full { WalkStep::End } else { WalkStep::Into })
    });
    if let Err(error) = walked {
        tracing::debug!(%error, "not all untracked files are captured");
    }
    files
}

/// How many more untracked files are captured.
struct UntrackedRoom {
    files: usize,
    bytes: u64,
}

impl UntrackedRoom {
    fn is_full(&self) -> bool {
        self.files == 0 || self.bytes == 0
    }

    fn capture(
        &mut self,
        store: &Store,
        workspace: &Path,
        path: RelPath,
        size: u64,
        captured: &mut BTreeMap<RelPath, Option<FileVersion>>,
    ) -> Result<(), ErrorBody> {
        if self.is_full() {
            return Ok(());
        }
        if let Some(version) = capture_file(store, workspace, &path, UNTRACKED_BYTES)? {
            self.files -= 1;
            self.bytes = self.bytes.saturating_sub(size);
            captured.insert(path, version);
        }
        Ok(())
    }
}
