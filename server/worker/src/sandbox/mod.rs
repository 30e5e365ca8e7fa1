//! Views of a workspace that can be written without the workspace being written.
//!
//! Architecture invariant: a program started through a [`Sandbox`] cannot change the workspace. What
//! it changed is a *layer*: a folder in the format of an overlay's upper directory, whichever way the
//! view was made.

mod confine;
mod copy;
mod env;
mod host_sockets;
pub(crate) mod layer;
mod mount_policy;
mod mounts;
mod overlay;
mod supervise;
mod sys;
mod view;

use std::{
    ffi::OsString,
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

pub use claudecluster_protocol::worker::SandboxChoice;
use claudecluster_protocol::{ErrorBody, goal::SandboxKind};
use tracing::Instrument as _;

use self::view::{Isolation, SandboxView, ViewBacking, ViewNotes};
use crate::launch::ProgramLauncher;

pub use self::layer::{LayerFile, LayerState, write_layer};

/// The time the launcher may take to make a view; it usually takes milliseconds.
const LAUNCH_DEADLINE: Duration = Duration::from_secs(20);

/// The time killed programs may take to disappear.
const GONE_DEADLINE: Duration = Duration::from_secs(5);

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
    /// Folders that programs must not see: the daemon's state. `writable` folders inside stay visible.
    pub hidden: Vec<PathBuf>,
    /// Which kind to use.
    pub preference: SandboxChoice,
    /// The program that has the hidden subcommand `sandbox-exec` (see [`exec_main`]).
    pub launcher: PathBuf,
}

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
            SandboxError::NoIsolation(_) | SandboxError::NoOverlay(_) => {
                Self::environment(error.to_string()).with_hint(
                    "allow user namespaces: on Ubuntu `sysctl \
                     kernel.apparmor_restrict_unprivileged_userns=0`, in a container \
                     `--security-opt seccomp=unconfined`",
                )
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

/// A view of a workspace. Programs in it run one after the other, not side by side.
#[derive(Debug)]
pub struct Sandbox {
    launcher: PathBuf,
    view: SandboxView,
    description: PathBuf,
    copied: Option<copy::WorkspaceCopy>,
    why: String,
}

/// The layer that a sandbox leaves behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FinishedLayer {
    /// The changes, in the format of an overlay's upper directory.
    pub dir: PathBuf,
}

impl Sandbox {
    /// Makes the view. No program runs in it yet.
    pub async fn prepare(spec: SandboxSpec) -> Result<Self, SandboxError> {
        let span = tracing::info_span!("prepare_sandbox", layer = %spec.layer.display());
        async {
            let sandbox = Self::prepare_view(spec).await?;
            let kind = sandbox.kind();
            tracing::debug!(?kind, why = sandbox.why, "the sandbox is ready");
            Ok(sandbox)
        }
        .instrument(span)
        .await
    }

    async fn prepare_view(spec: SandboxSpec) -> Result<Self, SandboxError> {
        let spec = canonicalize_spec(spec)?;
        let mut reasons = Vec::new();
        if spec.preference != SandboxChoice::Copy {
            let lowers = spec.lowers.iter().map(Into::into).collect();
            let mut sandbox = Self::new(&spec, ViewBacking::Overlay(lowers), Isolation::Namespaces);
            match sandbox.try_out().await {
                Ok(notes) => {
                    sandbox.why = "copy-on-write overlay in its own namespaces".to_owned();
                    sandbox.append_notes(&notes.notes);
                    return Ok(sandbox);
                }
                Err(why) if spec.preference == SandboxChoice::Overlay => {
                    return Err(SandboxError::NoOverlay(why));
                }
                Err(why) => reasons.push(format!("no overlay ({why})")),
            }
        }
        Self::prepare_copy(&spec, reasons).await
    }

    /// Makes a copy with the strongest isolation this machine allows, which is tested before anything
    /// is copied.
    async fn prepare_copy(
        spec: &SandboxSpec,
        mut reasons: Vec<String>,
    ) -> Result<Self, SandboxError> {
        let tree = spec.layer.join("copy");
        std::fs::create_dir_all(&tree).map_err(SandboxError::io("create the folder", &tree))?;
        let kinds = [
            (Isolation::Namespaces, "a copy in its own namespaces"),
            (
                Isolation::Landlock,
                "a copy in another folder; Landlock prevents writes elsewhere, but not reads",
            ),
            (Isolation::None, "a copy in another folder, not isolated"),
        ];
        for (isolation, what) in kinds {
            if isolation == Isolation::None && spec.preference != SandboxChoice::Copy {
                break;
            }
            let objects = Some(spec.workspace.join(".git/objects")).filter(|path| path.is_dir());
            let backing = ViewBacking::Copy {
                tree: tree.clone().into(),
                objects: objects.map(Into::into),
            };
            let mut sandbox = Self::new(spec, backing, isolation);
            match sandbox.try_out().await {
                Ok(notes) => {
                    reasons.insert(0, what.to_owned());
                    sandbox.why = reasons.join("; ");
                    sandbox.append_notes(&notes.notes);
                    sandbox.copy_workspace(spec, tree).await?;
                    return Ok(sandbox);
                }
                Err(why) => reasons.push(why),
            }
        }
        Err(SandboxError::NoIsolation(reasons.join("; ")))
    }

    fn new(spec: &SandboxSpec, backing: ViewBacking, isolation: Isolation) -> Self {
        let root = match (&backing, isolation) {
            (ViewBacking::Copy { tree, .. }, Isolation::Landlock | Isolation::None) => tree.clone(),
            _ => spec.workspace.clone().into(),
        };
        let view = SandboxView {
            workspace: spec.workspace.clone().into(),
            root,
            layer: spec.layer.clone().into(),
            backing,
            isolation,
            home: std::env::var_os("HOME"),
            writable: spec.writable.iter().map(Into::into).collect(),
            hidden: spec.hidden.iter().map(Into::into).collect(),
        };
        Self {
            launcher: spec.launcher.clone(),
            description: view.scratch("view.json"),
            view,
            copied: None,
            why: String::new(),
        }
    }

    fn append_notes(&mut self, notes: &[String]) {
        for note in notes {
            self.why.push_str("; ");
            self.why.push_str(note);
        }
    }

    /// Makes the launcher build the view once without a program. The error is the reason it gives.
    async fn try_out(&self) -> Result<ViewNotes, String> {
        let text = serde_json::to_vec(&self.view).map_err(|e| e.to_string())?;
        std::fs::write(&self.description, text).map_err(|e| e.to_string())?;
        let mut command = self.command(&[], &[]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = match tokio::time::timeout(LAUNCH_DEADLINE, command.output()).await {
            Ok(output) => {
                output.map_err(|e| format!("cannot start {}: {e}", self.launcher.display()))?
            }
            Err(_) => return Err("the launcher did not respond in time".to_owned()),
        };
        if output.status.success() {
            return serde_json::from_slice(&output.stdout).map_err(|e| e.to_string());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches("sandbox: ");
        Err(if said.is_empty() {
            format!("the launcher exited with {}", output.status)
        } else {
            said.to_owned()
        })
    }

    async fn copy_workspace(
        &mut self,
        spec: &SandboxSpec,
        tree: PathBuf,
    ) -> Result<(), SandboxError> {
        let (workspace, lowers) = (spec.workspace.clone(), spec.lowers.clone());
        let mut skip = spec.hidden.clone();
        skip.push(spec.layer.clone());
        let objects = match self.view.isolation {
            Isolation::Namespaces => PathBuf::from(view::OBJECTS),
            Isolation::Landlock | Isolation::None => workspace.join(".git/objects"),
        };
        let failed = SandboxError::io("copy the workspace to", &tree);
        let made = tokio::task::spawn_blocking(move || {
            copy::copy_workspace(&workspace, &tree, &lowers, &skip, &objects)
        });
        let copied = made
            .await
            .unwrap_or_else(|e| Err(io::Error::other(e)))
            .map_err(failed)?;
        if let [first, rest @ ..] = copied.left_out.as_slice() {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(" and {} more", rest.len())
            };
            self.why
                .push_str(&format!("; left out: {}{more}", first.display()));
        }
        self.copied = Some(copied);
        // File times advance in steps of a few milliseconds: a write within the same step as the copy
        // could not be told from it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }

    /// Returns the kind of the sandbox.
    pub fn kind(&self) -> SandboxKind {
        match self.view.backing {
            ViewBacking::Overlay(_) => SandboxKind::Overlay,
            ViewBacking::Copy { .. } => SandboxKind::Copy,
        }
    }

    /// Explains the kind of the sandbox and its limits, as text for the user.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether the kernel keeps programs from writing anything but their view.
    pub fn is_isolated(&self) -> bool {
        self.view.isolation != Isolation::None
    }

    /// Ends the view and keeps what was changed in it. Programs that were killed are waited for, at
    /// most a few seconds.
    pub async fn finish(self) -> Result<FinishedLayer, SandboxError> {
        let layer = PathBuf::from(&self.view.layer);
        let failed = SandboxError::io("finish the layer", &layer);
        let kind = self.kind();
        let span = tracing::info_span!("finish_sandbox", ?kind, layer = %layer.display());
        tokio::task::spawn_blocking(move || span.in_scope(|| self.finish_blocking()))
            .await
            .unwrap_or_else(|e| Err(io::Error::other(e)))
            .map_err(failed)
    }

    fn finish_blocking(&self) -> io::Result<FinishedLayer> {
        let upper = self.view.upper();
        supervise::wait_until_gone(&self.view, GONE_DEADLINE);
        if let (ViewBacking::Copy { tree, .. }, Some(copied)) = (&self.view.backing, &self.copied) {
            copy::collect_layer(copied, Path::new(tree), &upper)?;
            layer::remove_path(Path::new(tree))?;
        }
        layer::remove_path(&view::scratch(Path::new(&self.view.layer)))?;
        Ok(FinishedLayer { dir: upper })
    }
}

impl ProgramLauncher for Sandbox {
    fn command(&self, argv: &[OsString], env: &[(OsString, OsString)]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.launcher);
        command
            .arg("sandbox-exec")
            .arg(&self.description)
            .arg(std::process::id().to_string())
            .args(argv)
            .env_clear()
            .envs(env.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn root(&self) -> &Path {
        Path::new(&self.view.root)
    }

    fn base_env(&self) -> Vec<(OsString, OsString)> {
        let mut env = env::allowed_variables(std::env::vars_os());
        if self.view.isolation != Isolation::Namespaces {
            // Without namespaces the home and temporary folders are the real ones, and read-only.
            let tmp = self.view.scratch("tmp");
            env.push(("XDG_CACHE_HOME".into(), tmp.join("cache").into()));
            env.push(("TMPDIR".into(), tmp.into()));
        }
        env
    }
}

/// Checks the folders of a sandbox, makes the private ones, and resolves all of them.
fn canonicalize_spec(mut spec: SandboxSpec) -> Result<SandboxSpec, SandboxError> {
    let canonical = |path: &Path| path.canonicalize().map_err(SandboxError::io("open", path));
    let private = |path: &Path| {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(SandboxError::io("create the folder", path))
    };
    for path in std::iter::once(&spec.layer).chain(&spec.writable) {
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
    for path in spec.lowers.iter_mut().chain(&mut spec.writable) {
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
    for other in std::iter::once(&spec.layer)
        .chain(&spec.hidden)
        .chain(&spec.writable)
    {
        if spec.workspace.starts_with(other) {
            return overlap(other);
        }
    }
    for other in std::iter::once(&spec.layer).chain(&spec.writable) {
        if other.starts_with(&spec.workspace) && !hidden(other) {
            return overlap(other);
        }
    }
    Ok(())
}

/// The kind of sandbox this machine allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SandboxProbe {
    /// The kind that will be used; `None` where there is none.
    pub kind: Option<SandboxKind>,
    /// Why, in words for a user.
    pub why: String,
    /// The version of the kernel's Landlock interface; `None` where it has none.
    pub landlock: Option<u32>,
}

/// Tests the machine by making a small sandbox in `scratch`, a folder on the file system of the daemon's state.
pub async fn probe(launcher: &Path, scratch: &Path) -> SandboxProbe {
    let dir = scratch.join(format!("probe-{}", std::process::id()));
    let workspace = dir.join("workspace");
    let prepared = match std::fs::create_dir_all(&workspace) {
        Ok(()) => {
            let spec = SandboxSpec {
                workspace,
                layer: dir.join("layer"),
                lowers: Vec::new(),
                writable: Vec::new(),
                hidden: Vec::new(),
                preference: SandboxChoice::Auto,
                launcher: launcher.to_path_buf(),
            };
            Sandbox::prepare(spec).await
        }
        Err(e) => Err(SandboxError::io("create the folder", &workspace)(e)),
    };
    if let Err(e) = layer::remove_path(&dir) {
        tracing::warn!("cannot remove {}: {e}", dir.display());
    }
    let (kind, why) = match prepared {
        Ok(sandbox) => (Some(sandbox.kind()), sandbox.why),
        Err(e) => (None, e.to_string()),
    };
    SandboxProbe {
        kind,
        why,
        landlock: confine::landlock_version(),
    }
}

/// The body of the hidden subcommand `sandbox-exec`, given the arguments after it; gives the exit
/// status. Must be called before the process has a second thread.
pub fn exec_main(args: impl Iterator<Item = OsString>) -> i32 {
    supervise::launcher_main(args)
}
