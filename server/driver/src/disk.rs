//! Files of a workspace that no editor has open: read and written beneath the root, whole, and only
//! as long as they are what they were expected to be.
//!
//! Every path is opened with `openat2(RESOLVE_BENEATH)`: neither `..` nor a link leads out of the
//! workspace, also when somebody swaps a folder for a link meanwhile.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use claudecluster_protocol::{FileMode, RelPath};
use claudecluster_worker::changes::Content;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// It is not what it was expected to be.
    #[error("the file has changed on disk meanwhile")]
    Changed,
    /// The path leads out of the workspace, or through something that is not a folder.
    #[error("the path leads out of the workspace or through a file")]
    Outside,
    /// A link would point out of the workspace.
    #[error("the symbolic link would point out of the workspace")]
    LinkOutside,
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for WriteError {
    fn from(errno: rustix::io::Errno) -> Self {
        match errno {
            rustix::io::Errno::XDEV | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP => {
                Self::Outside
            }
            errno => Self::Io(errno.into()),
        }
    }
}

/// The content of a file and the moment of its last change in nanoseconds since the epoch; `None`
/// where there is no file.
pub(crate) fn read(root: &Path, path: &RelPath) -> Result<Option<(Content, i128)>, WriteError> {
    let root = open_root(root)?;
    let Some(parent) = open_parent(&root, path, false)? else {
        return Ok(None);
    };
    read_at(parent.as_fd(), path)
}

fn read_at(parent: BorrowedFd<'_>, path: &RelPath) -> Result<Option<(Content, i128)>, WriteError> {
    let name = path_bytes(path.file_name());
    let stat = match rustix::fs::statat(parent, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let changed_at = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(parent, name.as_slice(), Vec::new())?;
            let bytes = target.into_bytes();
            Ok(Some((
                Content {
                    bytes: bytes.into(),
                    mode: FileMode::Symlink,
                },
                changed_at,
            )))
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(parent, name.as_slice(), flags, Mode::empty())?;
            let mut bytes = Vec::new();
            File::from(file).read_to_end(&mut bytes)?;
            let executable = stat.st_mode & 0o100 != 0;
            let mode = if executable {
                FileMode::Executable
            } else {
                FileMode::Regular
            };
            Ok(Some((
                Content {
                    bytes: bytes.into(),
                    mode,
                },
                changed_at,
            )))
        }
        _ => Ok(None),
    }
}

/// What tells whether a file is still the one that was read, without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    mode: u32,
    /// In nanoseconds since the epoch.
    modified: i128,
    changed: i128,
}

/// How long after a change a file system may still give the same times to another one.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

impl Stamp {
    /// Whether another change would show.
    pub(crate) fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i128::try_from(now.as_nanos()).unwrap_or(0));
        let since = now - self.changed.max(self.modified);
        since > i128::try_from(COARSEST_CLOCK.as_nanos()).unwrap_or(i128::MAX)
    }
}

/// The stamp of a file; `None` where there is none.
pub(crate) fn stamp(root: &Path, path: &RelPath) -> Result<Option<Stamp>, WriteError> {
    let root = open_root(root)?;
    let Some(parent) = open_parent(&root, path, false)? else {
        return Ok(None);
    };
    let name = path_bytes(path.file_name());
    let stat = match rustix::fs::statat(&parent, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let nanos = |seconds: i64, nanos| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Ok(Some(Stamp {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: stat.st_size,
        mode: stat.st_mode,
        modified: nanos(stat.st_mtime, stat.st_mtime_nsec),
        changed: nanos(stat.st_ctime, stat.st_ctime_nsec),
    }))
}

/// Makes a file what `after` is, if it still is what `before` is. All or nothing, also in a crash.
pub(crate) fn replace(
    root: &Path,
    path: &RelPath,
    before: Option<&Content>,
    after: Option<&Content>,
) -> Result<(), WriteError> {
    let root = open_root(root)?;
    let parent = open_parent(&root, path, after.is_some())?.ok_or(WriteError::Changed)?;
    let unchanged = |parent: BorrowedFd<'_>| -> Result<(), WriteError> {
        let now = read_at(parent, path)?.map(|(content, _)| content);
        if now.as_ref() == before {
            Ok(())
        } else {
            Err(WriteError::Changed)
        }
    };
    unchanged(parent.as_fd())?;
    let name = path_bytes(path.file_name());
    let Some(after) = after else {
        rustix::fs::unlinkat(&parent, name.as_slice(), AtFlags::empty())?;
        rustix::fs::fsync(&parent)?;
        return Ok(());
    };
    let temporary = format!(".claudecluster-{}", uuid::Uuid::new_v4().simple());
    let written = write_temporary(parent.as_fd(), &temporary, path, before, after)
        // Looked at once more as late as possible: what happens between here and the rename is the
        // moment that no file system lets one close.
        .and_then(|()| unchanged(parent.as_fd()))
        .and_then(|()| {
            Ok(rustix::fs::renameat(
                &parent,
                &temporary,
                &parent,
                name.as_slice(),
            )?)
        });
    if written.is_err() {
        // The error that matters is the one above; a leftover has a telling name.
        let _ = rustix::fs::unlinkat(&parent, &temporary, AtFlags::empty());
    }
    written?;
    rustix::fs::fsync(&parent)?;
    Ok(())
}

fn write_temporary(
    parent: BorrowedFd<'_>,
    temporary: &str,
    path: &RelPath,
    before: Option<&Content>,
    after: &Content,
) -> Result<(), WriteError> {
    if after.mode == FileMode::Symlink {
        if link_leaves(path, &after.bytes) {
            return Err(WriteError::LinkOutside);
        }
        rustix::fs::symlinkat(&*after.bytes, parent, temporary)?;
        return Ok(());
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, temporary, flags, Mode::from_raw_mode(0o666))?;
    let mut file = File::from(file);
    file.write_all(&after.bytes)?;
    let kept = before.and_then(|_| {
        let name = path_bytes(path.file_name());
        rustix::fs::statat(parent, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).ok()
    });
    let mut mode = match &kept {
        Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            // Owners other than oneself can be kept by root only; everybody else gets a file of their
            // own, as with any editor that saves by renaming.
            let _ = rustix::fs::fchown(
                &file,
                Some(rustix::fs::Uid::from_raw(stat.st_uid)),
                Some(rustix::fs::Gid::from_raw(stat.st_gid)),
            );
            stat.st_mode & 0o7777
        }
        _ => file.metadata()?.permissions().mode() & 0o777,
    };
    match after.mode {
        // Whoever may read it may run it, as `chmod +x` and git have it.
        FileMode::Executable => mode |= (mode & 0o444) >> 2,
        _ => mode &= !0o111,
    }
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    Ok(())
}

/// Whether a link at `path` with this target points out of the workspace, by its text. What it meets
/// on the way is somebody else's link, checked when that was made.
fn link_leaves(path: &RelPath, target: &[u8]) -> bool {
    if target.first() == Some(&b'/') {
        return true;
    }
    let mut depth = path.components().count().saturating_sub(1);
    for part in target.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

/// Writes a file nobody else may read, outside any workspace.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

fn open_root(root: &Path) -> Result<OwnedFd, WriteError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(root, flags, Mode::empty())?)
}

/// The folder a path lies in; `None` where it does not exist and is not to be made.
fn open_parent(root: &OwnedFd, path: &RelPath, make: bool) -> Result<Option<OwnedFd>, WriteError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let open = |dir: &[u8]| rustix::fs::openat2(root, dir, flags, Mode::empty(), beneath);
    let Some(parent) = path.parent() else {
        return Ok(Some(open(b".")?));
    };
    match open(&parent.to_bytes()) {
        Ok(dir) => return Ok(Some(dir)),
        Err(rustix::io::Errno::NOENT) if make => {}
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) if !make => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    // One part after the other: each is made where the last one led, and opened from the root again,
    // so that a link on the way is followed only as long as it stays beneath.
    let mut dir = open(b".")?;
    let mut reached = Vec::new();
    for part in parent.components() {
        let part = path_bytes(part);
        match rustix::fs::mkdirat(&dir, part.as_slice(), Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        if !reached.is_empty() {
            reached.push(b'/');
        }
        reached.extend_from_slice(&part);
        dir = open(&reached)?;
    }
    Ok(Some(dir))
}

/// The bytes of one part of a path.
fn path_bytes(part: &str) -> Vec<u8> {
    // A part of a valid path is a valid path.
    RelPath::new(part).map_or_else(|_| part.as_bytes().to_vec(), |path| path.to_bytes())
}

/// Whether a path is a folder that can be listed, following links.
pub(crate) fn readable_dir(path: &Path) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    if !meta.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            "it is not a folder",
        ));
    }
    fs::read_dir(path).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Content {
        Content {
            bytes: text.as_bytes().to_vec().into(),
            mode: FileMode::Regular,
        }
    }

    fn rel(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    #[test]
    fn a_stamp_tells_files_apart() {
        let root = tempfile::tempdir().unwrap();
        let path = rel("a.txt");
        let look = || stamp(root.path(), &path).unwrap();
        assert_eq!(look(), None);
        fs::write(root.path().join("a.txt"), "one").unwrap();
        let one = look().unwrap();
        assert_eq!(look(), Some(one));
        // It could change again and still have the same times.
        assert!(!one.is_settled());
        let long_ago = Stamp {
            modified: 0,
            changed: 0,
            ..one
        };
        assert!(long_ago.is_settled());
        fs::write(root.path().join("a.txt"), "three").unwrap();
        assert_ne!(look(), Some(one));
    }

    #[test]
    fn a_file_is_replaced_only_while_it_is_what_it_was() {
        let root = tempfile::tempdir().unwrap();
        let path = rel("a/b/c.txt");
        replace(root.path(), &path, None, Some(&text("one"))).unwrap();
        assert_eq!(read(root.path(), &path).unwrap().unwrap().0, text("one"));
        let stale = replace(root.path(), &path, Some(&text("zero")), Some(&text("two")));
        assert!(matches!(stale, Err(WriteError::Changed)), "{stale:?}");
        assert!(matches!(
            replace(root.path(), &path, None, None),
            Err(WriteError::Changed)
        ));
        replace(root.path(), &path, Some(&text("one")), None).unwrap();
        assert!(read(root.path(), &path).unwrap().is_none());
        let left: Vec<_> = fs::read_dir(root.path().join("a/b")).unwrap().collect();
        assert!(left.is_empty(), "no temporary file is left: {left:?}");
    }

    #[test]
    fn modes_are_kept_and_changed() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("run.sh");
        fs::write(&file, "one").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let run = Content {
            mode: FileMode::Executable,
            ..text("two")
        };
        replace(root.path(), &rel("run.sh"), Some(&text("one")), Some(&run)).unwrap();
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o750
        );
        replace(
            root.path(),
            &rel("run.sh"),
            Some(&run),
            Some(&text("three")),
        )
        .unwrap();
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o640
        );
    }

    #[test]
    fn nothing_is_read_or_written_outside() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("out")).unwrap();
        let path = rel("out/secret");
        assert!(matches!(read(root.path(), &path), Err(WriteError::Outside)));
        let written = replace(root.path(), &rel("out/new"), None, Some(&text("x")));
        assert!(matches!(written, Err(WriteError::Outside)), "{written:?}");
        assert!(!outside.path().join("new").exists());
        for target in ["/etc/passwd", "../..", "a/../../../x"] {
            let link = Content {
                mode: FileMode::Symlink,
                ..text(target)
            };
            let made = replace(root.path(), &rel("d/link"), None, Some(&link));
            assert!(
                matches!(made, Err(WriteError::LinkOutside)),
                "{target}: {made:?}"
            );
        }
        let link = Content {
            mode: FileMode::Symlink,
            ..text("../run.sh")
        };
        replace(root.path(), &rel("d/link"), None, Some(&link)).unwrap();
        assert_eq!(read(root.path(), &rel("d/link")).unwrap().unwrap().0, link);
    }

    #[test]
    fn folders_that_are_links_inside_the_workspace_are_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.path().join("alias")).unwrap();
        replace(root.path(), &rel("alias/new/x"), None, Some(&text("x"))).unwrap();
        assert_eq!(
            fs::read_to_string(root.path().join("real/new/x")).unwrap(),
            "x"
        );
    }
}
