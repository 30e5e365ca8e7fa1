//! From a finished layer to the changes in it.

mod collect;
mod links;
mod renames;
mod rules;

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use claudecluster_protocol::{FileMode, RelPath};

pub use self::collect::collect_changes;

/// What a file is: bytes and mode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileContent {
    /// The content; for a symbolic link its target.
    pub bytes: Bytes,
    /// Kind and permission.
    pub mode: FileMode,
}

/// What happened to one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CollectedChange {
    /// The file.
    pub path: RelPath,
    /// For a rename: where it was. `before` is then the content there.
    pub from: Option<RelPath>,
    /// What the view started from, as the layers and the workspace show it now; `None` where the file
    /// did not exist. Where there is a snapshot, the snapshot's version is the one that counts.
    pub before: Option<FileContent>,
    /// What the attempt left; `None` where it deleted the file.
    pub after: Option<FileContent>,
}

/// Something that was changed but is not in the change set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedChange {
    /// What.
    pub path: RelPath,
    /// Why.
    pub reason: RefusalReason,
}

/// Why something is not in a change set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RefusalReason {
    /// The link points out of the workspace.
    #[error("the symbolic link points outside the workspace, to {0}")]
    LinkOutside(String),
    /// Not a file, a folder or a link.
    #[error("it is a {0}, not a file")]
    Special(&'static str),
    /// More bytes than a change may have.
    #[error("it has {bytes} bytes; the limit is {limit}")]
    FileTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The change set would have too many bytes.
    #[error("the change set would exceed its limit of {limit} bytes")]
    TotalTooLarge {
        /// The limit.
        limit: u64,
    },
    /// The change set would have too many files.
    #[error("the change set would exceed its limit of {limit} files")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// It could not be read.
    #[error("cannot read it: {0}")]
    Unreadable(String),
}

impl RefusalReason {
    /// Whether the attempt broke a rule, as opposed to leaving something behind that cannot land.
    pub fn breaks_limits(&self) -> bool {
        !matches!(self, Self::Special(_) | Self::Unreadable(_))
    }
}

/// Everything an attempt changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChangeSet {
    /// In the order of their paths.
    pub changes: Vec<CollectedChange>,
    /// What was left out, in the order of paths; at most [`ChangeLimits::refusals`].
    pub refused: Vec<RefusedChange>,
    /// How many more were left out.
    pub refused_more: u64,
    /// Whether the attempt wrote into `.git`, which never lands.
    pub touched_git: bool,
}

/// Limits of a change set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangeLimits {
    /// Bytes of one file, before or after.
    pub file_bytes: u64,
    /// Bytes of all changed files together; of each, the larger of before and after counts.
    pub total_bytes: u64,
    /// Changed files.
    pub files: usize,
    /// Entries of [`ChangeSet::refused`].
    pub refusals: usize,
}

impl Default for ChangeLimits {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            total_bytes: 256 << 20,
            files: 20_000,
            refusals: 1_000,
        }
    }
}

/// The paths that version control knows: they count as changed even where `.gitignore` names them.
#[derive(Clone, Debug, Default)]
pub struct TrackedFiles(Arc<[RelPath]>);

impl TrackedFiles {
    /// From paths in any order.
    pub fn new(paths: impl IntoIterator<Item = RelPath>) -> Self {
        let mut paths: Vec<_> = paths.into_iter().collect();
        paths.sort_unstable();
        Self(paths.into())
    }

    /// Whether the path is tracked.
    pub fn contains(&self, path: &RelPath) -> bool {
        self.0.binary_search(path).is_ok()
    }

    /// Whether anything below the folder is tracked.
    pub fn any_within(&self, dir: &RelPath) -> bool {
        // What is below a folder sorts behind it, but not always right behind: `a-b` comes before `a/b`.
        let first = format!("{}/", dir.as_str());
        let at = self
            .0
            .partition_point(|path| path.as_str() < first.as_str());
        self.0
            .get(at)
            .is_some_and(|path| path.as_str().starts_with(&first))
    }
}

/// What a finished layer is compared with.
#[derive(Clone, Debug)]
pub struct ViewBase {
    /// The real workspace.
    pub workspace: PathBuf,
    /// The layers between, as in [`crate::sandbox::SandboxSpec::lowers`].
    pub lowers: Vec<PathBuf>,
    /// What version control knows.
    pub tracked: TrackedFiles,
}
