//! Opening beneath a folder's handle, through no link.

use std::{
    ffi::OsStr,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Component, Path},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// Whether the kernel was found to lack `openat2`, or a filter to bar it.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// How often a lookup is made again that a rename elsewhere disturbed.
const ATTEMPTS: u32 = 8;

/// Opens `path` beneath `dir`. Fails with `XDEV` or `LOOP` where the path is absolute, has a `..`, or meets a
/// link, its last part included.
pub(crate) fn open_beneath(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let path = checked(path)?;
    if !WITHOUT_OPENAT2.load(Ordering::Relaxed) {
        match open_at_once(dir, path, flags) {
            // Filters of containers answer EPERM to calls they do not know.
            Err(Errno::NOSYS | Errno::PERM) => {}
            other => return other,
        }
        let opened = open_part_by_part(dir, path, flags);
        if opened.is_ok() {
            WITHOUT_OPENAT2.store(true, Ordering::Relaxed);
        }
        return opened;
    }
    open_part_by_part(dir, path, flags)
}

/// Opens a folder beneath another for listing, through no link.
///
/// # Errors
/// As of the kernel: `XDEV` or `LOOP` where a link or `..` is on the way.
pub fn open_folder_beneath(dir: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    open_beneath(dir.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Sets the mode of a folder, which may have become something else meanwhile: that is left alone.
pub(crate) fn set_folder_mode(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    mode: Mode,
) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    // A handle that needs no permission is not taken by the call for handles.
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    rustix::fs::chmod(path, mode)
}

fn checked(path: &Path) -> rustix::io::Result<&Path> {
    for part in path.components() {
        match part {
            Component::Normal(_) | Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Errno::XDEV);
            }
        }
    }
    Ok(if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    })
}

fn open_at_once(dir: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // Without NOFOLLOW, with which a link in a folder's place would be ENOTDIR.
    let flags = flags | OFlags::CLOEXEC;
    let mut opened = Err(Errno::AGAIN);
    for _ in 0..ATTEMPTS {
        opened = rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve);
        if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    opened
}

/// Opens one part after the other, each only if it is no link.
pub(crate) fn open_part_by_part(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let from = at.as_ref().map_or(dir, AsFd::as_fd);
        let how = if last {
            flags | OFlags::NOFOLLOW | OFlags::CLOEXEC
        } else {
            folder
        };
        let opened = rustix::fs::openat(from, part.as_os_str(), how, Mode::empty());
        at = Some(opened.map_err(|errno| link_or(errno, from, part.as_os_str()))?);
    }
    at.ok_or(Errno::NOENT)
}

/// `ENOTDIR` is also what a link gets where a folder was wanted.
fn link_or(errno: Errno, dir: BorrowedFd<'_>, name: &OsStr) -> Errno {
    use rustix::fs::{AtFlags, FileType};
    if errno != Errno::NOTDIR {
        return errno;
    }
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => Errno::LOOP,
        _ => errno,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A way to open a path beneath a folder.
    type Opening = fn(BorrowedFd<'_>, &Path, OFlags) -> rustix::io::Result<OwnedFd>;

    #[test]
    fn both_ways_to_open_refuse_every_link() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/x"), "").unwrap();
        symlink("b", dir.path().join("a/link")).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
        let ways: [Opening; 2] = [open_at_once, open_part_by_part];
        for way in ways {
            let open = |path: &str| way(top.as_fd(), Path::new(path), OFlags::RDONLY).map(|_| ());
            assert_eq!(open("a/b/x"), Ok(()));
            assert_eq!(open("."), Ok(()));
            assert_eq!(open("a/none"), Err(Errno::NOENT));
            assert_eq!(open("a/b/x/y"), Err(Errno::NOTDIR));
            assert_eq!(open("a/link"), Err(Errno::LOOP));
            assert_eq!(open("a/link/x"), Err(Errno::LOOP));
        }
    }
}
