//! Reads the changes of an attempt out of its finished layer.

mod collect;
mod links;
mod renames;
pub(crate) mod rules;

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
pub use claudecluster_protocol::worker::ChangeLimits;
use claudecluster_protocol::{FileMode, RelPath};

pub use self::collect::collect_changes;

/// The content of a file: bytes and mode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileContent {
    /// The content; for a symbolic link its target.
    pub bytes: Bytes,
    /// Kind and permission.
    pub mode: FileMode,
}

/// The change of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CollectedChange {
    /// The file.
    pub path: RelPath,
    /// The old path of a renamed file. `before` is then the content at that path.
    pub from: Option<RelPath>,
    /// The content the view started from, as the layers and the workspace show it now; `None` if the file
    /// did not exist. If there is a snapshot, its version takes precedence.
    pub before: Option<FileContent>,
    /// The content the attempt left; `None` if it deleted the file.
    pub after: Option<FileContent>,
}

/// A changed path that is not in the change set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedChange {
    /// The path.
    pub path: RelPath,
    /// The reason.
    pub reason: RefusalReason,
}

/// The reason a changed path is not in a change set.
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
        /// The size of the file.
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
    /// The folders in it are nested too deep.
    #[error("folders in it are nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The layer has too many entries to look at.
    #[error("more than {limit} files and folders were changed")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// The file could not be read.
    #[error("cannot read it: {0}")]
    Unreadable(String),
}

impl RefusalReason {
    /// Returns whether the attempt broke a limit, rather than left a path that cannot be applied.
    pub fn breaks_limits(&self) -> bool {
        !matches!(self, Self::Special(_) | Self::Unreadable(_))
    }
}

/// Everything an attempt changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChangeSet {
    /// In the order of their paths.
    pub changes: Vec<CollectedChange>,
    /// The refused paths, in their order; at most [`ChangeLimits::refusals`].
    pub refused: Vec<RefusedChange>,
    /// The number of further refused paths.
    pub refused_more: u64,
    /// Whether the attempt wrote into `.git`, which never lands.
    pub touched_git: bool,
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

    /// Returns whether the path is tracked.
    pub fn contains(&self, path: &RelPath) -> bool {
        self.0.binary_search(path).is_ok()
    }

    /// Returns whether any file below the folder is tracked.
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

/// The base that a finished layer is compared with.
#[derive(Clone, Debug)]
pub struct ViewBase {
    /// The real workspace.
    pub workspace: PathBuf,
    /// The layers between, as in [`crate::sandbox::SandboxSpec::lowers`].
    pub lowers: Vec<PathBuf>,
    /// The files that version control tracks.
    pub tracked: TrackedFiles,
}
