//! Parts of a file's change, and the ids of hunks that follow from them.

use claudecluster_core::{
    review::HunkKey,
    state::{FileEntry, Goal},
};
use claudecluster_protocol::HunkId;

/// The part of a file's change that a hunk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HunkPart {
    /// Some of its lines.
    Lines(HunkKey),
    /// Its mode.
    Mode,
    /// All of it.
    Whole,
}

/// Returns the stable id of a hunk: independent of line numbers.
pub(crate) fn hunk_id(goal: &Goal, entry: &FileEntry, part: HunkPart) -> HunkId {
    let mut hash = blake3::Hasher::new();
    hash.update(&entry.file.path.to_bytes())
        .update(&[0])
        .update(&entry.file.entry.to_le_bytes());
    match part {
        HunkPart::Lines(key) => hash.update(b"l").update(&key.0.to_le_bytes()),
        HunkPart::Mode => hash.update(b"m"),
        HunkPart::Whole => hash.update(b"w"),
    };
    HunkId::new(format!("{}.{}", goal.id, &hash.finalize().to_hex()[..10]))
}
