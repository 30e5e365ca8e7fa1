//! Overlays, and the handles on folders and mounts they are made of.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, open, openat2},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
        fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount,
        move_mount, open_tree,
    },
};

use super::{
    supervise::{NamedStep, StepError},
    sys,
    view::SandboxView,
};

/// An overlay's own folders.
pub(super) struct OverlayFolders {
    upper: OwnedFd,
    work: OwnedFd,
}

impl OverlayFolders {
    /// The work folder is a new one each time: a `volatile` overlay refuses one that was used.
    pub(super) fn make(view: &SandboxView, upper: &Path, name: &str) -> Result<Self, StepError> {
        let own = rustix::process::getpid().as_raw_nonzero();
        let work = view.scratch("work").join(format!("{name}-{own}"));
        std::fs::create_dir_all(upper)
            .and_then(|()| std::fs::create_dir_all(&work))
            .step(|| "create a folder of the layer".into())?;
        Ok(Self {
            upper: open_folder(upper)?,
            work: open_folder(&work)?,
        })
    }
}

/// Mounts an overlay on `target`. Layers are named by descriptor, so no path needs escaping, and a
/// layer may be hidden or far below a long path.
pub(super) fn mount_overlay(
    target: &Path,
    lowers: &[OwnedFd],
    own: &OverlayFolders,
) -> io::Result<()> {
    match new_overlay(lowers, own) {
        Ok(tree) => {
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            Ok(move_mount(&tree, "", CWD, target, flags)?)
        }
        Err(first) => {
            let names: Vec<_> = lowers.iter().map(sys::descriptor_path).collect();
            let options = format!(
                "userxattr,index=off,lowerdir={},upperdir={},workdir={}",
                names.join(":"),
                sys::descriptor_path(&own.upper),
                sys::descriptor_path(&own.work)
            );
            let options = std::ffi::CString::new(options)?;
            mount(
                "overlay",
                target,
                "overlay",
                MountFlags::empty(),
                options.as_c_str(),
            )
            .map_err(|_| first)
        }
    }
}

/// An overlay that is mounted nowhere yet, by the interface of kernels since 6.8.
fn new_overlay(lowers: &[OwnedFd], own: &OverlayFolders) -> io::Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let configure = || {
        for lower in lowers {
            fsconfig_set_string(&fs, "lowerdir+", sys::descriptor_path(lower))?;
        }
        fsconfig_set_string(&fs, "upperdir", sys::descriptor_path(&own.upper))?;
        fsconfig_set_string(&fs, "workdir", sys::descriptor_path(&own.work))?;
        fsconfig_set_string(&fs, "index", "off")?;
        fsconfig_set_flag(&fs, "userxattr")?;
        // A layer need not survive a power cut; without this every first write to a file waits for
        // the disk.
        fsconfig_set_flag(&fs, "volatile")?;
        fsconfig_create(&fs)
    };
    configure().map_err(|e| explain_error(&fs, e.into()))?;
    Ok(fsmount(
        &fs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?)
}

/// Adds what the kernel says about a file system that could not be made.
fn explain_error(fs: &OwnedFd, error: io::Error) -> io::Error {
    let mut buffer = [0; 512];
    match rustix::io::read(fs, &mut buffer) {
        Ok(length) => {
            let text = String::from_utf8_lossy(&buffer[..length]);
            let text = text.trim_start_matches("e ").trim();
            io::Error::new(error.kind(), format!("{error}: {text}"))
        }
        Err(_) => error,
    }
}

pub(super) fn open_folder(path: &Path) -> Result<OwnedFd, StepError> {
    open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .step(|| format!("open {}", path.display()))
}

/// A detached copy of what is mounted at `path`.
pub(super) fn clone_tree(path: &Path, recursive: bool) -> Result<OwnedFd, StepError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(CWD, path, flags).step(|| format!("open {}", path.display()))
}

/// Opens a repository's objects: a plain folder beneath the workspace. A repository from elsewhere may bring a
/// link in its place.
pub(super) fn open_objects(workspace: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let workspace = open(workspace, flags, Mode::empty())?;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(
        workspace,
        ".git/objects",
        flags,
        Mode::empty(),
        beneath,
    )?)
}

/// A detached copy of the mount of a repository's objects.
pub(super) fn clone_objects(workspace: &Path) -> Result<OwnedFd, StepError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    open_objects(workspace)
        .and_then(|objects| Ok(open_tree(objects, "", flags)?))
        .step(|| "open the repository's objects".into())
}

pub(super) fn attach_tree(tree: &OwnedFd, target: &Path) -> Result<(), StepError> {
    let place = || -> io::Result<()> {
        if rustix::fs::fstat(tree).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR) {
            make_place(target)?;
        } else if !target.exists() {
            if let Some(parent) = target.parent() {
                make_place(parent)?;
            }
            std::fs::write(target, [])?;
        }
        Ok(move_mount(
            tree,
            "",
            CWD,
            target,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )?)
    };
    place().step(|| format!("mount {}", target.display()))
}

/// Makes a folder to mount on where there is none; possible only in what this process mounted.
pub(super) fn make_place(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        Ok(())
    } else {
        std::fs::create_dir_all(path)
    }
}

pub(super) fn mount_tmpfs(path: &Path, options: &std::ffi::CStr) -> Result<(), StepError> {
    mount(
        "tmpfs",
        path,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        options,
    )
    .step(|| format!("cover {}", path.display()))
}
