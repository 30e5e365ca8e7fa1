//! Renamed files: a new file that names its old path, and the deletion of the old one. Both are
//! shown and decided as one hunk.

use std::collections::HashSet;

use claudecluster_core::state::{FileEntry, Goal};
use claudecluster_protocol::RelPath;

/// Returns the new path of a file that is proposed to move away. Its deletion is part of the hunk at
/// the new path and not shown by itself.
pub(crate) fn renamed_to<'a>(goal: &'a Goal, entry: &FileEntry) -> Option<&'a RelPath> {
    if entry.file.proposed.is_some() {
        return None;
    }
    goal.files
        .iter()
        .find(|other| {
            other.file.from.as_ref() == Some(&entry.file.path) && !other.is_fully_decided()
        })
        .map(|other| &other.file.path)
}

/// Returns the entries in which something may be left to decide, without the old paths of renames.
pub(crate) fn open_entries(goal: &Goal) -> impl Iterator<Item = &FileEntry> {
    let open = || goal.files.iter().filter(|entry| !entry.is_fully_decided());
    let moving: HashSet<&RelPath> = open()
        .filter_map(|entry| entry.file.from.as_ref())
        .collect();
    open().filter(move |entry| entry.file.proposed.is_some() || !moving.contains(&entry.file.path))
}
