//! The description of a view, which the launcher receives before any program runs.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use claudecluster_protocol::worker::ResourceLimits;
use serde::{Deserialize, Serialize};

use super::guard::memory_limit;

/// The path at which a copy in namespaces finds the real repository's objects: the copy covers their
/// own path. A folder of `/dev` because that is always the sandbox's own.
pub(super) const OBJECTS: &str = "/dev/git-objects";

/// A view to make. Paths are `OsString`s because those survive JSON whatever bytes they hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SandboxView {
    /// The real workspace.
    pub(super) workspace: OsString,
    /// The path at which programs see the workspace, and their working directory.
    pub(super) root: OsString,
    /// The attempt's private folder.
    pub(super) layer: OsString,
    /// The mechanism that makes the view writable.
    pub(super) backing: ViewBacking,
    /// The kernel features that keep programs from everything else.
    pub(super) isolation: Isolation,
    /// The user's home folder.
    pub(super) home: Option<OsString>,
    /// Folders outside the workspace that programs may write.
    pub(super) writable: Vec<OsString>,
    /// Folders outside the workspace that programs may write at another path.
    pub(super) mounts: Vec<ViewMount>,
    /// Folders programs must not see.
    pub(super) hidden: Vec<OsString>,
    /// Files and folders programs must not read.
    pub(super) secrets: Vec<HiddenSecret>,
    /// What programs may take of the machine.
    pub(super) limits: ResourceLimits,
    /// The files by which the launcher enters the resource groups of the task. Without them, limits are held by
    /// measuring.
    pub(super) groups: Vec<OsString>,
    /// The ports that lead to the network: of the loopback interface inside, or without namespaces of the machine's.
    /// `None` leaves the machine's own network.
    pub(super) ports: Option<Vec<u16>>,
}

/// A private folder and the path at which programs see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ViewMount {
    /// The folder.
    pub(super) source: OsString,
    /// The path inside.
    pub(super) target: OsString,
}

/// A file or folder that programs must not read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HiddenSecret {
    /// Its real path.
    pub(super) path: OsString,
    /// What programs find there.
    pub(super) cover: SecretCover,
    /// Parts of it that stay visible.
    pub(super) shown: Vec<OsString>,
}

/// What programs find in place of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum SecretCover {
    /// An empty folder.
    Folder,
    /// An empty file.
    File,
    /// The file without the lines that carry a secret.
    Lines,
}

/// The mechanism that makes a view writable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum ViewBacking {
    /// An overlay over the workspace and these layers, the one that wins first.
    Overlay(Vec<OsString>),
    /// A private copy of the workspace.
    Copy {
        /// The folder.
        tree: OsString,
        /// Whether the copy of the repository reads the real repository's objects, at [`OBJECTS`].
        objects: bool,
    },
}

/// The kernel features that keep a program from writing outside its view.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Isolation {
    /// Namespaces, and Landlock where the kernel has it.
    Namespaces,
    /// Landlock alone, and only on the user's word.
    Landlock,
}

/// The remarks of a launcher that tried a view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ViewNotes {
    /// Differences that programs will notice, as text for the user.
    pub(super) notes: Vec<String>,
}

impl SandboxView {
    /// Lists what programs must not read without namespaces, but for the parts that stay visible.
    pub(super) fn barred(&self) -> Vec<PathBuf> {
        let secrets = self.secrets.iter().filter(|secret| secret.shown.is_empty());
        let secrets = secrets.map(|secret| &secret.path);
        let mut barred: Vec<PathBuf> = self.hidden.iter().chain(secrets).map(Into::into).collect();
        // The devices that programs need are allowed one by one.
        barred.push("/dev".into());
        barred
    }

    /// Returns how much programs may share as files in memory, in bytes.
    pub(super) fn shared_memory(&self) -> u64 {
        memory_limit(&self.limits) / 2
    }

    /// Returns the folder in which an overlay keeps what programs write.
    pub(super) fn upper(&self) -> PathBuf {
        upper(Path::new(&self.layer))
    }

    /// Returns a folder of the layer that is deleted at the end.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        scratch(Path::new(&self.layer)).join(name)
    }
}

/// Returns the path of the finished layer in an attempt's private folder.
pub(super) fn upper(layer: &Path) -> PathBuf {
    layer.join("upper")
}

/// Returns the part of an attempt's private folder that is deleted with the attempt.
pub(super) fn scratch(layer: &Path) -> PathBuf {
    layer.join("scratch")
}
