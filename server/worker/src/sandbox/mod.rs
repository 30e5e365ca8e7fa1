//! Views of a workspace that can be written without the workspace being written.
//!
//! Architecture invariant: a program started through a [`Sandbox`] cannot change the workspace. What
//! it changed is a *layer*: a folder in the format of an overlay's upper directory, whichever way the
//! view was made.

mod breach;
mod confine;
mod control;
mod copy;
mod covers;
mod env;
mod groups;
mod guard;
mod host_sockets;
pub(crate) mod layer;
mod limits;
mod mount_policy;
mod mount_table;
mod mounts;
mod network;
mod overlay;
mod processes;
mod remedy;
mod secrets;
mod spec;
mod supervise;
mod sys;
mod syscalls;
mod view;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use claudecluster_files::discard_paths;
use claudecluster_protocol::{ErrorBody, goal::SandboxKind};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use self::{
    guard::LimitGuard,
    network::HostPorts,
    secrets::SecretSearch,
    spec::canonicalize_spec,
    view::{Isolation, SandboxView, ViewBacking, ViewMount, ViewNotes},
};
use crate::launch::ProgramLauncher;

pub use self::{
    breach::LimitBreach,
    groups::ResourceGroups,
    guard::describe_limits,
    layer::{LayerFile, LayerState, write_layer},
    network::NetworkDoor,
    remedy::namespace_remedy,
    spec::{PRIVATE_PLACES, PrivateMount, SandboxChoice, SandboxError, SandboxSpec},
};

/// The time the launcher may take to make a view; it usually takes milliseconds.
const LAUNCH_DEADLINE: Duration = Duration::from_secs(20);

/// The time killed programs may take to disappear.
const GONE_DEADLINE: Duration = Duration::from_secs(5);

/// A view of a workspace. Programs in it run one after the other, not side by side.
#[derive(Debug)]
pub struct Sandbox {
    launcher: PathBuf,
    view: SandboxView,
    network: Option<Arc<dyn NetworkDoor>>,
    /// The door where there is no network namespace.
    host_ports: Option<HostPorts>,
    /// The programs that were started, each until nothing of it is left.
    programs: TaskTracker,
    copied: Option<copy::WorkspaceCopy>,
    /// Holds the programs to the limits of the task.
    guard: Arc<LimitGuard>,
    why: String,
    /// Remarks on what was found before the view was tried.
    notes: Vec<String>,
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
        if let Some(groups) = &spec.groups {
            groups.announce_program();
        }
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
            let mut sandbox =
                Self::new(&spec, ViewBacking::Overlay(lowers), Isolation::Namespaces)?;
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
        let objects = overlay::open_objects(&spec.workspace).is_ok() && !hides_objects(spec);
        let (tree, mut sandbox) = (tree.into_os_string(), None);
        for isolation in [Isolation::Namespaces, Isolation::Landlock] {
            let backing = ViewBacking::Copy {
                tree: tree.clone(),
                objects,
            };
            let mut tried = Self::new(spec, backing, isolation)?;
            match tried.try_out().await {
                // The weaker isolation is for those who ask for it.
                Ok(_)
                    if isolation == Isolation::Landlock
                        && spec.preference != SandboxChoice::Copy =>
                {
                    return Err(SandboxError::NoNamespaces(reasons.join("; ")));
                }
                Ok(notes) => {
                    reasons.insert(0, tried.describe_copy().to_owned());
                    tried.why = reasons.join("; ");
                    tried.append_notes(&notes.notes);
                    sandbox = Some(tried);
                    break;
                }
                Err(why) => reasons.push(why),
            }
        }
        let Some(mut sandbox) = sandbox else {
            return Err(SandboxError::NoIsolation(reasons.join("; ")));
        };
        sandbox.copy_workspace(spec, tree.into()).await?;
        Ok(sandbox)
    }

    fn describe_copy(&self) -> &'static str {
        match (self.view.isolation, &self.view.ports) {
            (Isolation::Namespaces, _) => "a copy in its own namespaces",
            (Isolation::Landlock, Some(_)) => {
                "a copy in another folder; Landlock bars other files and ports"
            }
            (Isolation::Landlock, None) => "a copy in another folder; Landlock bars other files",
        }
    }

    fn new(
        spec: &SandboxSpec,
        backing: ViewBacking,
        isolation: Isolation,
    ) -> Result<Self, SandboxError> {
        let root = match (&backing, isolation) {
            (ViewBacking::Copy { tree, .. }, Isolation::Landlock) => tree.clone(),
            _ => spec.workspace.clone().into(),
        };
        let home = std::env::var_os("HOME");
        let search = SecretSearch {
            homes: secrets::home_folders(home.as_deref()),
            variable: &|name| std::env::var_os(name),
            shown: std::slice::from_ref(&spec.workspace),
        };
        let secrets = secrets::find_secrets(&search, &spec.fences.secrets);
        let network = spec.network.clone();
        let (mut ports, mut host_ports) = (network.as_ref().map(|door| door.ports()), None);
        if let (Some(door), Isolation::Landlock) = (&network, isolation) {
            let opened =
                HostPorts::open(&**door).map_err(SandboxError::io("listen for", &spec.layer))?;
            ports = Some(opened.ports.clone());
            host_ports = Some(opened);
        }
        let view = SandboxView {
            workspace: spec.workspace.clone().into(),
            root,
            layer: spec.layer.clone().into(),
            backing,
            isolation,
            home,
            writable: spec.writable.iter().map(Into::into).collect(),
            mounts: view_mounts(spec, isolation),
            hidden: spec.hidden.iter().map(Into::into).collect(),
            secrets: secrets.hidden,
            limits: spec.fences.limits,
            groups: Vec::new(),
            ports,
        };
        let mut notes = secrets.notes;
        let guard = make_guard(spec, &mut notes);
        let view = SandboxView {
            groups: entrances(&guard),
            ..view
        };
        Ok(Self {
            launcher: spec.launcher.clone(),
            view,
            network,
            host_ports,
            programs: TaskTracker::new(),
            copied: None,
            guard: Arc::new(guard),
            why: String::new(),
            notes,
        })
    }

    fn append_notes(&mut self, notes: &[String]) {
        let open = remedy::open_points(self.view.isolation, confine::landlock_version());
        let own = std::mem::take(&mut self.notes);
        for note in own.iter().chain(notes).chain(&open) {
            self.why.push_str("; ");
            self.why.push_str(note);
        }
    }

    /// Makes the launcher build the view once without a program. The error is the reason it gives.
    async fn try_out(&self) -> Result<ViewNotes, String> {
        // To enter a group takes time, and nothing is limited here.
        let view = SandboxView {
            groups: Vec::new(),
            ..self.view.clone()
        };
        let mut command = self.start_command(&[], &[], &view);
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
            Isolation::Landlock => workspace.join(".git/objects"),
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
        self.guard.set_before().await;
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

    fn start_command(
        &self,
        argv: &[OsString],
        env: &[(OsString, OsString)],
        view: &SandboxView,
    ) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.launcher);
        command
            .arg("sandbox-exec")
            .args(argv)
            .env_clear()
            .envs(env.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0)
            .kill_on_drop(true);
        match control::attach_socket(&mut command, view) {
            Ok(socket) => {
                let guard = self.guard.clone();
                self.programs
                    .spawn(socket.serve(self.network.clone(), guard));
            }
            Err(error) => sys::refuse_to_start(&mut command, &error),
        }
        command
    }

    /// Makes variables that name ports of the door name them as programs reach them.
    pub(crate) fn move_ports(&self, variables: &mut [(OsString, OsString)]) {
        if let Some(host) = &self.host_ports {
            host.move_ports(variables);
        }
    }

    /// Returns a launcher of programs that do not get the private folders of [`SandboxSpec::mounts`].
    pub fn without_mounts(&self) -> MountlessSandbox<'_> {
        MountlessSandbox {
            sandbox: self,
            view: SandboxView {
                mounts: Vec::new(),
                ..self.view.clone()
            },
        }
    }

    /// Returns the limit of the task that its programs have exceeded.
    pub async fn breach(&self) -> Option<LimitBreach> {
        self.guard.breach().await
    }

    /// Ends the view and keeps what was changed in it. Programs that were killed are waited for, at
    /// most a few seconds.
    pub async fn finish(self) -> Result<FinishedLayer, SandboxError> {
        let layer = PathBuf::from(&self.view.layer);
        let failed = SandboxError::io("finish the layer", &layer);
        let kind = self.kind();
        let span = tracing::info_span!("finish_sandbox", ?kind, layer = %layer.display());
        // A killed launcher ends everything inside, but not before `wait` returns.
        self.programs.close();
        if tokio::time::timeout(GONE_DEADLINE, self.programs.wait())
            .await
            .is_err()
        {
            tracing::warn!(parent: &span, "a program that was ended still runs");
        }
        let collecting = move || span.in_scope(|| self.finish_blocking());
        let finished = async {
            let finished = tokio::task::spawn_blocking(collecting).await;
            let (layer, leftovers) = finished.unwrap_or_else(|e| Err(io::Error::other(e)))?;
            discard_paths(leftovers).await?;
            Ok(layer)
        };
        finished.await.map_err(failed)
    }

    /// Collects the layer. Returns what is to be removed, too: a program can have made that take long.
    fn finish_blocking(&self) -> io::Result<(FinishedLayer, Vec<PathBuf>)> {
        let upper = self.view.upper();
        let mut leftovers = vec![view::scratch(Path::new(&self.view.layer))];
        if let (ViewBacking::Copy { tree, .. }, Some(copied)) = (&self.view.backing, &self.copied) {
            copy::collect_layer(copied, Path::new(tree), &upper)?;
            leftovers.push(tree.into());
        }
        Ok((FinishedLayer { dir: upper }, leftovers))
    }
}

impl ProgramLauncher for Sandbox {
    fn command(&self, argv: &[OsString], env: &[(OsString, OsString)]) -> tokio::process::Command {
        self.start_command(argv, env, &self.view)
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
        if let Some(door) = &self.network {
            env.retain(|(name, _)| !env::is_proxy(name));
            let host = self.host_ports.as_ref();
            env.extend(host.map_or_else(|| door.variables(), |host| host.variables.clone()));
        }
        env
    }

    fn path_inside(&self, path: &Path) -> PathBuf {
        let mut mounts = self.view.mounts.iter();
        let inside = mounts.find_map(|mount| {
            let below = path.strip_prefix(Path::new(&mount.source)).ok()?;
            Some(Path::new(&mount.target).join(below))
        });
        inside.unwrap_or_else(|| path.to_owned())
    }
}

/// Whether a folder that programs must not see lies among the repository's objects, which are shown as they are.
fn hides_objects(spec: &SandboxSpec) -> bool {
    let objects = spec.workspace.join(".git/objects");
    spec.hidden
        .iter()
        .any(|hidden| hidden.starts_with(&objects))
}

/// Starts programs in a view without its private folders.
#[derive(Debug)]
pub struct MountlessSandbox<'a> {
    sandbox: &'a Sandbox,
    view: SandboxView,
}

impl ProgramLauncher for MountlessSandbox<'_> {
    fn command(&self, argv: &[OsString], env: &[(OsString, OsString)]) -> tokio::process::Command {
        self.sandbox.start_command(argv, env, &self.view)
    }

    fn root(&self) -> &Path {
        self.sandbox.root()
    }

    fn base_env(&self) -> Vec<(OsString, OsString)> {
        self.sandbox.base_env()
    }
}

/// Makes the guard of a task, with a resource group where there can be one.
fn make_guard(spec: &SandboxSpec, notes: &mut Vec<String>) -> LimitGuard {
    let limits = spec.fences.limits;
    let made = spec.groups.as_ref().map_or(Ok(None), |groups| {
        groups.make_group(guard::memory_limit(&limits), limits.processes.into())
    });
    let group = made.unwrap_or_else(|error| {
        notes.push(format!("limits are held by measuring ({error})"));
        None
    });
    let mounts = spec.mounts.iter().map(|mount| &mount.source);
    let mut folders = vec![spec.layer.clone()];
    for folder in spec.writable.iter().chain(mounts) {
        if !folders.iter().any(|counted| folder.starts_with(counted)) {
            folders.push(folder.clone());
        }
    }
    LimitGuard::new(limits, group, folders)
}

/// Lists the files by which the launcher enters the group of a task.
fn entrances(guard: &LimitGuard) -> Vec<OsString> {
    let group = guard.group().into_iter();
    group
        .flat_map(|group| group.entrances())
        .map(OsString::from)
        .collect()
}

/// Returns where programs see each private folder: without namespaces, or without a `/run` of their own, where it is.
fn view_mounts(spec: &SandboxSpec, isolation: Isolation) -> Vec<ViewMount> {
    let moved = isolation == Isolation::Namespaces && Path::new("/run").is_dir();
    let mounts = spec.mounts.iter();
    mounts
        .map(|mount| ViewMount {
            source: mount.source.clone().into(),
            target: if moved { &mount.target } else { &mount.source }
                .clone()
                .into(),
        })
        .collect()
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
    /// What this machine leaves open, as text for the user.
    pub open: Vec<String>,
    /// What to do where there is no sandbox.
    pub hint: Option<String>,
}

/// Tests the machine by making a small sandbox in `scratch`, a folder on the file system of the daemon's state.
pub async fn probe(launcher: &Path, scratch: &Path, preference: SandboxChoice) -> SandboxProbe {
    let dir = scratch.join(format!("probe-{}", std::process::id()));
    let workspace = dir.join("workspace");
    let prepared = match std::fs::create_dir_all(&workspace) {
        Ok(()) => {
            let spec = SandboxSpec {
                preference,
                ..SandboxSpec::new(workspace, dir.join("layer"), launcher.to_path_buf())
            };
            Sandbox::prepare(spec).await
        }
        Err(e) => Err(SandboxError::io("create the folder", &workspace)(e)),
    };
    if let Err(e) = layer::remove_path(&dir) {
        tracing::warn!("cannot remove {}: {e}", dir.display());
    }
    let (kind, why, isolation, hint) = match prepared {
        Ok(sandbox) => (
            Some(sandbox.kind()),
            sandbox.why,
            sandbox.view.isolation,
            None,
        ),
        Err(e) => {
            let hint = ErrorBody::from(&e).hint;
            (None, e.to_string(), Isolation::Landlock, hint)
        }
    };
    let landlock = confine::landlock_version();
    SandboxProbe {
        kind,
        why,
        landlock,
        open: remedy::open_points(isolation, landlock),
        hint,
    }
}

/// The body of the hidden subcommand `sandbox-exec`, given the arguments after it: the program and its
/// arguments. Gives the exit status. Must be called before the process has a second thread.
pub fn exec_main(args: impl Iterator<Item = OsString>) -> i32 {
    supervise::launcher_main(args)
}
