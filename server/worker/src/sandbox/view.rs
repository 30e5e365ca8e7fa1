//! What the daemon tells its launcher: one file beside the layer, read before any program runs.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Where a copy in namespaces finds the real repository's objects: their own place is covered by the
/// copy. A folder of `/dev` because that is always the sandbox's own.
pub(super) const OBJECTS: &str = "/dev/git-objects";

/// A view to make. Paths are `OsString`s because those survive JSON whatever bytes they hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SandboxView {
    /// The real workspace.
    pub(super) workspace: OsString,
    /// Where programs see it, which is also where they start.
    pub(super) root: OsString,
    /// The attempt's private folder.
    pub(super) layer: OsString,
    /// How the view can be written.
    pub(super) backing: ViewBacking,
    /// What keeps programs from everything else.
    pub(super) isolation: Isolation,
    /// The user's home folder.
    pub(super) home: Option<OsString>,
    /// Folders outside the workspace that programs may write.
    pub(super) writable: Vec<OsString>,
    /// Folders programs must not see.
    pub(super) hidden: Vec<OsString>,
}

/// How a view can be written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum ViewBacking {
    /// By an overlay over the workspace and these layers, the one that wins first.
    Overlay(Vec<OsString>),
    /// By a copy in this folder.
    Copy {
        /// The folder.
        tree: OsString,
        /// The repository's real objects, which the copy of the repository reads at [`OBJECTS`].
        objects: Option<OsString>,
    },
}

/// What keeps a program from everything it should not write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Isolation {
    /// Namespaces, and Landlock where the kernel has it.
    Namespaces,
    /// Landlock alone.
    Landlock,
    /// Nothing.
    None,
}

/// What the launcher found out when it tried a view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ViewNotes {
    /// What programs will find different, in words for a user.
    pub(super) notes: Vec<String>,
}

impl SandboxView {
    /// Where an overlay keeps what programs write.
    pub(super) fn upper(&self) -> PathBuf {
        upper(Path::new(&self.layer))
    }

    /// A folder of the layer that is thrown away at the end.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        scratch(Path::new(&self.layer)).join(name)
    }
}

/// The finished layer of an attempt's private folder.
pub(super) fn upper(layer: &Path) -> PathBuf {
    layer.join("upper")
}

/// What of an attempt's private folder does not outlast it.
pub(super) fn scratch(layer: &Path) -> PathBuf {
    layer.join("scratch")
}
