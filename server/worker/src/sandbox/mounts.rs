//! The file system as programs in a sandbox see it.
//!
//! Everything is read-only but the workspace, which is the attempt's own view at its own path; the
//! agent's private home; and the home and temporary folders, which take writes and forget them. What
//! could lead out is not there: devices, the sockets under `/run`, other processes, the daemon's state.

use std::{
    ffi::{CString, OsString},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::UnshareFlags,
};

use super::{
    covers::cover_secrets,
    host_sockets::{HostSocket, list_host_sockets},
    mount_policy::{self, DiscardedFolder, NestedMount},
    overlay::{
        OverlayFolders, attach_tree, clone_objects, clone_tree, make_place, mount_overlay,
        mount_tmpfs, open_folder,
    },
    supervise::{NamedStep, StepError},
    sys,
    view::{Isolation, OBJECTS, SandboxView, ViewBacking, ViewNotes},
};

/// A view that is in place.
pub(super) struct MountedView {
    /// The folders that programs may write.
    pub(super) writable: Vec<PathBuf>,
    /// The remarks for the user.
    pub(super) notes: ViewNotes,
}

/// The devices programs need; none of them stores anything.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Makes the view that `view` describes, in namespaces that this process enters.
pub(super) fn make_view(view: &SandboxView) -> Result<MountedView, StepError> {
    if view.isolation != Isolation::Namespaces {
        return Ok(MountedView {
            writable: open_places(view),
            notes: ViewNotes::default(),
        });
    }
    // The kernel lists the sockets of the network that this process is in.
    let sockets = list_host_sockets().step(|| "list the sockets of the machine".into())?;
    let privileged = enter_namespaces(view.ports.is_some())?;
    let mut plan = MountPlan::gather(view, privileged)?;
    plan.cover_devices()?;
    plan.cover_run()?;
    for index in 0..plan.discards.len() {
        plan.mount_discard(index)?;
    }
    plan.mount_workspace()?;
    plan.hide_folders()?;
    cover_secrets(view)?;
    plan.mount_writable()?;
    cover_sockets(&sockets)?;
    plan.seal_mounts()
}

/// Covers the machine's sockets that the view still shows.
fn cover_sockets(sockets: &[HostSocket]) -> Result<(), StepError> {
    for socket in sockets.iter().filter(|socket| socket.is_reachable()) {
        attach_tree(&clone_tree(Path::new("/dev/null"), false)?, socket.path())?;
    }
    Ok(())
}

/// Returns the folders that stay writable without namespaces.
fn open_places(view: &SandboxView) -> Vec<PathBuf> {
    // Root could change the machine through the rest of `/dev`, and through `/proc`.
    let mut places: Vec<PathBuf> = DEVICES
        .iter()
        .map(|name| Path::new("/dev").join(name))
        .collect();
    places.extend(["/dev/ptmx".into(), "/dev/pts".into()]);
    places.extend([PathBuf::from(&view.root), view.scratch("tmp")]);
    places.extend(view.writable.iter().map(PathBuf::from));
    places.extend(view.mounts.iter().map(|mount| PathBuf::from(&mount.target)));
    places
}

/// Enters new mount, PID and IPC namespaces, a network namespace if that is asked for, and a new user
/// namespace only if that is needed.
///
/// Returns whether no user namespace was needed.
fn enter_namespaces(network: bool) -> Result<bool, StepError> {
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC;
    if network {
        flags |= UnshareFlags::NEWNET;
    }
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    // With the privilege, a user namespace would only do harm: files of users it does not map could
    // not be copied up, and mounts inside the workspace would be locked in place.
    let privileged = sys::unshare(flags).is_ok();
    if !privileged {
        sys::unshare(flags | UnshareFlags::NEWUSER).step(|| "enter a user namespace".into())?;
        let maps = [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{uid} {uid} 1")),
            ("gid_map", format!("{gid} {gid} 1")),
        ];
        for (file, map) in maps {
            std::fs::write(format!("/proc/self/{file}"), map)
                .step(|| format!("write {file} of the user namespace"))?;
        }
    }
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
    .step(|| "separate the mounts".into())?;
    Ok(privileged)
}

/// Descriptors of all that will be needed, opened before the first mount changes what paths mean.
struct MountPlan<'a> {
    view: &'a SandboxView,
    workspace: PathBuf,
    /// For a copy: its folder.
    base: Option<OwnedFd>,
    /// For an overlay: its layers, and its own folders.
    layers: Option<(Vec<OwnedFd>, OverlayFolders)>,
    /// For a copy: the real repository's objects.
    objects: Option<OwnedFd>,
    discards: Vec<DiscardedFolder>,
    nested: Vec<NestedMount>,
    writable_trees: Vec<(PathBuf, OwnedFd)>,
    run: Vec<(PathBuf, OwnedFd)>,
    /// Mounts to make writable again once everything is read-only.
    open: Vec<PathBuf>,
    notes: Vec<String>,
}

impl<'a> MountPlan<'a> {
    fn gather(view: &'a SandboxView, privileged: bool) -> Result<Self, StepError> {
        let workspace = PathBuf::from(&view.workspace);
        let (base, layers) = match &view.backing {
            ViewBacking::Overlay(lowers) => {
                let mut stack = Vec::new();
                for lower in lowers {
                    stack.push(open_folder(Path::new(lower))?);
                }
                stack.push(open_folder(&workspace)?);
                let own = OverlayFolders::make(view, &view.upper(), "workspace")?;
                (None, Some((stack, own)))
            }
            ViewBacking::Copy { tree, .. } => (Some(clone_tree(Path::new(tree), false)?), None),
        };
        let discards = mount_policy::discarded_folders(view, &workspace)?;
        let nested = mount_policy::nested_mounts(view, &workspace, &discards, privileged)?;
        let objects = match &view.backing {
            ViewBacking::Copy { objects: true, .. } => Some(clone_objects(&workspace)?),
            _ => None,
        };
        let clone = |(source, target): (&OsString, &OsString)| {
            let tree = clone_tree(Path::new(source), true)?;
            Ok((PathBuf::from(target), tree))
        };
        let mounts = view
            .mounts
            .iter()
            .map(|mount| (&mount.source, &mount.target));
        let writable = view.writable.iter().map(|path| (path, path));
        let writable_trees = writable.chain(mounts).map(clone);
        let writable_trees = writable_trees.collect::<Result<_, _>>()?;
        Ok(Self {
            run: mount_policy::kept_run_places(view.ports.is_some()),
            view,
            workspace,
            base,
            layers,
            objects,
            discards,
            nested,
            writable_trees,
            open: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// A `/dev` without disks.
    fn cover_devices(&mut self) -> Result<(), StepError> {
        let trees: Vec<_> = DEVICES
            .into_iter()
            .map(|name| Path::new("/dev").join(name))
            .filter_map(|path| Some((clone_tree(&path, false).ok()?, path)))
            .collect();
        mount_tmpfs(Path::new("/dev"), c"mode=0755,size=4m")?;
        for (tree, path) in trees {
            std::fs::write(&path, []).step(|| "create the mount point of a device".into())?;
            attach_tree(&tree, &path)?;
        }
        for folder in ["/dev/pts", "/dev/shm"] {
            std::fs::create_dir(folder).step(|| format!("create {folder}"))?;
        }
        let size = format!("mode=1777,size={}", self.view.shared_memory());
        let size = CString::new(size).step(|| "describe /dev/shm".into())?;
        mount_tmpfs(Path::new("/dev/shm"), &size)?;
        let options = c"newinstance,ptmxmode=0666,mode=0620";
        mount(
            "devpts",
            "/dev/pts",
            "devpts",
            MountFlags::NOSUID | MountFlags::NOEXEC,
            options,
        )
        .step(|| "mount /dev/pts".into())?;
        let links = [
            ("pts/ptmx", "/dev/ptmx"),
            ("/proc/self/fd", "/dev/fd"),
            ("/proc/self/fd/0", "/dev/stdin"),
            ("/proc/self/fd/1", "/dev/stdout"),
            ("/proc/self/fd/2", "/dev/stderr"),
        ];
        if let Some(objects) = &self.objects {
            attach_tree(objects, Path::new(OBJECTS))?;
        }
        for (to, link) in links {
            std::os::unix::fs::symlink(to, link).step(|| format!("make {link}"))?;
        }
        self.open.push("/dev/shm".into());
        self.open.push("/dev/pts".into());
        Ok(())
    }

    fn cover_run(&mut self) -> Result<(), StepError> {
        if !Path::new("/run").is_dir() {
            return Ok(());
        }
        mount_tmpfs(Path::new("/run"), c"mode=0755,size=64k")?;
        for (path, tree) in &self.run {
            attach_tree(tree, path)?;
        }
        Ok(())
    }

    fn mount_discard(&mut self, index: usize) -> Result<(), StepError> {
        let discard = &self.discards[index];
        let target = &discard.target;
        let made = make_place(target).and_then(|()| {
            mount_overlay(target, std::slice::from_ref(&discard.lower), &discard.own)
        });
        match (made, &discard.plain) {
            (Ok(()), _) => self.open.push(target.clone()),
            (Err(_), Some(plain)) => {
                attach_tree(plain, target)?;
                self.open.push(target.clone());
            }
            (Err(e), None) => {
                self.notes
                    .push(format!("{} is read-only ({e})", target.display()));
            }
        }
        for nested in &self.nested {
            if nested.target.starts_with(target) && !nested.target.starts_with(&self.workspace) {
                attach_tree(&nested.tree, &nested.target)?;
            }
        }
        Ok(())
    }

    fn mount_workspace(&mut self) -> Result<(), StepError> {
        self.open.push(self.workspace.clone());
        if let Some(tree) = &self.base {
            attach_tree(tree, &self.workspace)?;
        }
        if let Some((layers, own)) = &self.layers {
            make_place(&self.workspace)
                .and_then(|()| mount_overlay(&self.workspace, layers, own))
                .step(|| format!("mount an overlay on {}", self.workspace.display()))?;
        }
        for nested in &self.nested {
            let target = &nested.target;
            if target == &self.workspace || !target.starts_with(&self.workspace) {
                continue;
            }
            attach_tree(&nested.tree, target)?;
            let Some((layers, own)) = &nested.layers else {
                self.notes
                    .push(format!("{} is read-only", target.display()));
                continue;
            };
            match mount_overlay(target, layers, own) {
                Ok(()) => self.open.push(target.clone()),
                Err(e) => self
                    .notes
                    .push(format!("{} is read-only ({e})", target.display())),
            }
        }
        Ok(())
    }

    fn hide_folders(&self) -> Result<(), StepError> {
        for hidden in self.view.hidden.iter().map(Path::new) {
            match std::fs::metadata(hidden) {
                Ok(meta) if meta.is_dir() => mount_tmpfs(hidden, c"mode=0755,size=64k")?,
                Ok(_) => attach_tree(&clone_tree(Path::new("/dev/null"), false)?, hidden)?,
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn mount_writable(&mut self) -> Result<(), StepError> {
        for (path, tree) in &self.writable_trees {
            attach_tree(tree, path)?;
            self.open.push(path.clone());
        }
        Ok(())
    }

    /// Makes the rest read-only.
    fn seal_mounts(self) -> Result<MountedView, StepError> {
        sys::set_read_only(Path::new("/"), true, true)
            .step(|| "make the file system read-only".into())?;
        for path in &self.open {
            sys::set_read_only(path, false, false)
                .step(|| format!("make {} writable", path.display()))?;
        }
        let mut writable = self.open;
        writable.extend(["/dev".into(), "/proc".into()]);
        Ok(MountedView {
            writable,
            notes: ViewNotes { notes: self.notes },
        })
    }
}

/// A `/proc` that shows only the sandbox. Run by its first process.
pub(super) fn mount_proc() -> Result<(), StepError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, c"").step(|| "mount /proc".into())
}

/// Makes the parts of `/proc` read-only that are about more than processes. Run by the sandbox's first process.
pub(super) fn protect_proc() -> Result<(), StepError> {
    // Root could steer the kernel through these.
    for part in ["sys", "sysrq-trigger", "irq", "bus", "fs"] {
        let path = Path::new("/proc").join(part);
        if path.exists() {
            attach_tree(&clone_tree(&path, false)?, &path)?;
            sys::set_read_only(&path, true, false).step(|| format!("protect /proc/{part}"))?;
        }
    }
    Ok(())
}
