//! The inputs of a sandbox, checked and resolved before anything is made.

use std::{
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

pub use claudecluster_protocol::worker::SandboxChoice;
use claudecluster_protocol::{ErrorBody, worker::SandboxFences};

use super::{groups::ResourceGroups, layer, network::NetworkDoor, remedy::namespace_remedy, view};

/// The inputs of a sandbox. All paths are absolute.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// The root of the real workspace.
    pub workspace: PathBuf,
    /// The private folder of this attempt. Made, with mode 0700, where it does not exist.
    pub layer: PathBuf,
    /// Finished layers to start from, the one that wins first; usually the last is the goal's seed
    /// layer with the unsaved buffers.
    pub lowers: Vec<PathBuf>,
    /// Folders outside the workspace that programs may write: the agent's private home. Made where
    /// they do not exist.
    pub writable: Vec<PathBuf>,
    /// Folders outside the workspace that programs may write, each shown at a path of its own.
    pub mounts: Vec<PrivateMount>,
    /// Folders that programs must not see: the daemon's state. `writable` folders inside stay visible.
    pub hidden: Vec<PathBuf>,
    /// Serves what programs reach of the network; `None` leaves them the machine's own network.
    pub network: Option<Arc<dyn NetworkDoor>>,
    /// The files that programs cannot read, and what they may take of the machine.
    pub fences: SandboxFences,
    /// Where the resource group of the task is made; without it, limits are held by measuring.
    pub groups: Option<Arc<ResourceGroups>>,
    /// Which kind to use.
    pub preference: SandboxChoice,
    /// The program that has the hidden subcommand `sandbox-exec` (see [`super::exec_main`]).
    pub launcher: PathBuf,
}

impl SandboxSpec {
    /// Describes a sandbox over `workspace` with the private folder `layer` and nothing else.
    pub fn new(workspace: PathBuf, layer: PathBuf, launcher: PathBuf) -> Self {
        Self {
            workspace,
            layer,
            lowers: Vec::new(),
            writable: Vec::new(),
            mounts: Vec::new(),
            hidden: Vec::new(),
            network: None,
            fences: SandboxFences::default(),
            groups: None,
            preference: SandboxChoice::Auto,
            launcher,
        }
    }
}

/// A private folder that programs see at another path, where the machine allows it: a neutral path says
/// nothing about the place of the daemon's state. [`super::ProgramLauncher::path_inside`] tells the path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrivateMount {
    /// The folder. Made, with mode 0700, where it does not exist.
    pub source: PathBuf,
    /// The path inside, below [`PRIVATE_PLACES`].
    pub target: PathBuf,
}

/// The folder below which programs see private folders.
pub const PRIVATE_PLACES: &str = "/run/claudecluster";

/// Why there is no sandbox, or no layer.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The workspace and another folder are in each other's way.
    #[error("the workspace {} and the folder {} overlap", .workspace.display(), .other.display())]
    Overlap {
        /// The workspace.
        workspace: PathBuf,
        /// The folder.
        other: PathBuf,
    },
    /// The machine offers no isolation.
    #[error("this machine cannot isolate workers: {0}")]
    NoIsolation(String),
    /// The machine offers only an isolation that the user has to ask for.
    #[error("this machine cannot give workers namespaces of their own: {0}")]
    NoNamespaces(String),
    /// An overlay was demanded and cannot be had.
    #[error("cannot create an overlay: {0}")]
    NoOverlay(String),
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// The operation, as a verb phrase.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

impl SandboxError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }
}

impl From<&SandboxError> for ErrorBody {
    fn from(error: &SandboxError) -> Self {
        match error {
            SandboxError::Overlap { .. } => Self::config(error.to_string())
                .with_hint("set CLAUDECLUSTER_HOME to a folder outside the workspace"),
            SandboxError::NoNamespaces(_) => {
                let remedy = namespace_remedy();
                Self::environment(error.to_string()).with_hint(format!(
                    "{remedy}; or accept a weaker isolation with `claudecluster config set sandbox copy` \
                     and `claudecluster daemon stop`"
                ))
            }
            SandboxError::NoIsolation(_) | SandboxError::NoOverlay(_) => {
                Self::environment(error.to_string()).with_hint(namespace_remedy())
            }
            SandboxError::Io { source, .. } => {
                let body = Self::environment(error.to_string());
                match source.kind() {
                    io::ErrorKind::StorageFull => body.with_hint("free some disk space"),
                    _ => body,
                }
            }
        }
    }
}

/// Checks the folders of a sandbox, makes the private ones, and resolves all of them.
pub(super) fn canonicalize_spec(mut spec: SandboxSpec) -> Result<SandboxSpec, SandboxError> {
    let canonical = |path: &Path| path.canonicalize().map_err(SandboxError::io("open", path));
    let private = |path: &Path| {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(SandboxError::io("create the folder", path))
    };
    let mounts = spec.mounts.iter().map(|mount| &mount.source);
    for path in std::iter::once(&spec.layer)
        .chain(&spec.writable)
        .chain(mounts)
    {
        private(path)?;
    }
    spec.workspace = canonical(&spec.workspace)?;
    spec.layer = canonical(&spec.layer)?;
    // Folders of other daemons may vanish at any time.
    spec.hidden = spec
        .hidden
        .iter()
        .map(|path| canonical(path))
        .filter(|found| !matches!(found, Err(SandboxError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound))
        .collect::<Result<_, _>>()?;
    let mounts = spec.mounts.iter_mut().map(|mount| &mut mount.source);
    for path in spec
        .lowers
        .iter_mut()
        .chain(&mut spec.writable)
        .chain(mounts)
    {
        *path = canonical(path)?;
    }
    check_places(&spec)?;
    std::fs::set_permissions(&spec.layer, std::fs::Permissions::from_mode(0o700))
        .map_err(SandboxError::io("protect", &spec.layer))?;
    let scratch = view::scratch(&spec.layer);
    layer::remove_path(&scratch).map_err(SandboxError::io("clear", &scratch))?;
    private(&scratch)?;
    let upper = view::upper(&spec.layer);
    if !upper.exists() {
        std::fs::create_dir(&upper).map_err(SandboxError::io("create the folder", &upper))?;
        // An overlay shows its upper folder's permissions as the workspace's.
        let permissions = std::fs::metadata(&spec.workspace)
            .map_err(SandboxError::io("read", &spec.workspace))?
            .permissions();
        let mode = permissions.mode() | 0o700;
        std::fs::set_permissions(&upper, std::fs::Permissions::from_mode(mode))
            .map_err(SandboxError::io("protect", &upper))?;
    }
    for name in ["tmp", "vartmp"] {
        let path = scratch.join(name);
        private(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o1777))
            .map_err(SandboxError::io("open", &path))?;
    }
    Ok(spec)
}

/// Refuses folders that lie inside each other. The daemon's state may lie inside the workspace: it is hidden
/// there as it is elsewhere.
fn check_places(spec: &SandboxSpec) -> Result<(), SandboxError> {
    let overlap = |other: &Path| {
        Err(SandboxError::Overlap {
            workspace: spec.workspace.clone(),
            other: other.to_path_buf(),
        })
    };
    let hidden = |path: &Path| {
        spec.hidden
            .iter()
            .any(|h| path.starts_with(h) && h.starts_with(&spec.workspace))
    };
    if spec.workspace == Path::new("/") {
        return overlap(&spec.layer);
    }
    let written = || {
        let mounts = spec.mounts.iter().map(|mount| &mount.source);
        std::iter::once(&spec.layer)
            .chain(&spec.writable)
            .chain(mounts)
    };
    for other in written().chain(&spec.hidden) {
        if spec.workspace.starts_with(other) {
            return overlap(other);
        }
    }
    for other in written() {
        if other.starts_with(&spec.workspace) && !hidden(other) {
            return overlap(other);
        }
    }
    Ok(())
}
