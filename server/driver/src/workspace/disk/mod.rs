//! Files of a workspace that no editor has open. They are read and written beneath the root, whole,
//! and only while they have the expected content.
//!
//! Every path is opened with `openat2` beneath the root and through no link, even if another program swaps a folder
//! for a link meanwhile. A task reaches a file behind a link under the file's own path, so a link on the path of a
//! change is one that the task has removed, or the user has made since.

mod lease;
mod order;
mod stamp;
mod write;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use claudecluster_protocol::{ErrorBody, FileMode, RelPath};
use claudecluster_worker::changes::FileContent;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

pub(crate) use self::stamp::{FileStamp, file_stamp};
pub(crate) use self::write::{FileWrite, replace_file, replace_files};

/// The most bytes of a file that is read. A sparse file of a terabyte costs nobody anything to make.
pub(crate) const MOST_FILE_BYTES: u64 = 256 << 20;

/// What is in the place of a file, in words.
const FOLDER: &str = "a folder";

/// Returns the number of threads for work that processors do.
pub(crate) fn processor_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The file does not have the expected content.
    #[error("the file has changed on disk in the meantime")]
    Changed,
    /// The path leads out of the workspace, or through something that is not a folder.
    #[error("the path leads outside the workspace or through a file")]
    Outside,
    /// The file has more bytes than are read.
    #[error("it has more than {MOST_FILE_BYTES} bytes, the most that is read")]
    TooLarge,
    /// A folder on the path is a link now.
    #[error("a folder on its path is a symbolic link")]
    Linked,
    /// A link would point out of the workspace.
    #[error("the symbolic link would point outside the workspace")]
    LinkOutside,
    /// There is a folder, or something else that is not a file, in its place.
    #[error("{0} is in its place")]
    NoFile(&'static str),
    /// A write that this one needs was not made.
    #[error("it depends on a file that was not written")]
    Apart,
    /// Another write failed, of which the place is needed or which needs this one's.
    #[error("it goes together with {0}, which cannot be written")]
    Together(RelPath),
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for WriteError {
    fn from(errno: rustix::io::Errno) -> Self {
        match errno {
            rustix::io::Errno::LOOP => Self::Linked,
            rustix::io::Errno::XDEV | rustix::io::Errno::NOTDIR => Self::Outside,
            errno => Self::Io(errno.into()),
        }
    }
}

/// Returns the error of a workspace file that cannot be read.
pub(crate) fn unreadable_file(path: &RelPath, error: &WriteError) -> ErrorBody {
    ErrorBody::environment(format!("cannot read {path}: {error}"))
        .with_hint("check the file's permissions and the targets of its links")
}

/// Returns whether there is no such file on disk. An editor can still show the text of a deleted file.
pub(crate) fn is_gone(root: &Path, path: &RelPath) -> Result<bool, ErrorBody> {
    match file_stamp(root, path) {
        Ok(stamp) => Ok(stamp.is_none()),
        Err(error) => Err(unreadable_file(path, &error)),
    }
}

/// Returns the content of a file and the time of its last change, in nanoseconds since the epoch;
/// `None` if there is no file.
pub(crate) fn read_file(
    root: &Path,
    path: &RelPath,
) -> Result<Option<(FileContent, i128)>, WriteError> {
    let root = open_root(root)?;
    let Some(parent) = open_parent(&root, path, false)? else {
        return Ok(None);
    };
    match read_at(parent.as_fd(), &path_bytes(path.file_name())) {
        // It may become a file; where it cannot, the write says so.
        Err(WriteError::NoFile(FOLDER)) => Ok(None),
        read => read,
    }
}

fn read_at(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Option<(FileContent, i128)>, WriteError> {
    let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let changed_at = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
            let bytes = target.into_bytes().into();
            let mode = FileMode::Symlink;
            Ok(Some((FileContent { bytes, mode }, changed_at)))
        }
        FileType::RegularFile => {
            // Without waiting: what is a file now may be a pipe when it is opened.
            let file = open_at(parent, name)?;
            let size = rustix::fs::fstat(&file)?.st_size;
            if u64::try_from(size).unwrap_or(0) > MOST_FILE_BYTES {
                return Err(WriteError::TooLarge);
            }
            let mut bytes = Vec::new();
            // It may grow meanwhile.
            File::from(file)
                .take(MOST_FILE_BYTES + 1)
                .read_to_end(&mut bytes)?;
            if bytes.len() as u64 > MOST_FILE_BYTES {
                return Err(WriteError::TooLarge);
            }
            let bytes = bytes.into();
            let mode = mode_of(stat.st_mode);
            Ok(Some((FileContent { bytes, mode }, changed_at)))
        }
        FileType::Directory => Err(WriteError::NoFile(FOLDER)),
        FileType::Fifo => Err(WriteError::NoFile("a pipe")),
        FileType::Socket => Err(WriteError::NoFile("a socket")),
        _ => Err(WriteError::NoFile("a device")),
    }
}

/// Opens an entry for reading; neither waits nor follows a link.
fn open_at(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn mode_of(raw: u32) -> FileMode {
    if raw & 0o100 != 0 {
        FileMode::Executable
    } else {
        FileMode::Regular
    }
}

/// Runs `work` on all items, on up to `threads` threads. Keeps their order.
pub(crate) fn in_parallel<T: Send, R: Send>(
    items: Vec<T>,
    threads: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    if items.len() < 2 || threads < 2 {
        return items.into_iter().map(work).collect();
    }
    let share = items.len().div_ceil(threads);
    let mut shares: Vec<Vec<T>> = Vec::new();
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        shares.push(items.by_ref().take(share).collect());
    }
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(work).collect::<Vec<R>>()))
            .collect();
        running
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// Makes a file executable, or no longer so, in place: its content belongs to an editor. Does
/// nothing if there is no file.
pub(crate) fn set_mode(root: &Path, path: &RelPath, mode: FileMode) -> Result<(), WriteError> {
    let root = open_root(root)?;
    let Some(parent) = open_parent(&root, path, false)? else {
        return Ok(());
    };
    let file = match open_at(&parent, &path_bytes(path.file_name())) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let raw = with_kind(rustix::fs::fstat(&file)?.st_mode & 0o7777, mode);
    rustix::fs::fchmod(&file, Mode::from_raw_mode(raw))?;
    rustix::fs::fsync(&file)?;
    Ok(())
}

/// Permission bits as they are for a file of this kind.
fn with_kind(raw: u32, kind: FileMode) -> u32 {
    match kind {
        // Whoever may read it may run it, as `chmod +x` and git have it.
        FileMode::Executable => raw | (raw & 0o444) >> 2,
        _ => raw & !0o111,
    }
}

/// Removes files that a crash left beside a file: the new content, complete or partial, before the
/// exchange, or the old content after it. Any other file with such a name is somebody's text and
/// stays.
pub(crate) fn clear_leftovers(
    root: &Path,
    path: &RelPath,
    known: &[&FileContent],
) -> Result<(), WriteError> {
    let root = open_root(root)?;
    let Some(parent) = open_parent(&root, path, false)? else {
        return Ok(());
    };
    for entry in rustix::fs::Dir::read_from(&parent)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !name.starts_with(write::ASIDE.as_bytes()) {
            continue;
        }
        if let Some((content, _)) = read_at(parent.as_fd(), name)?
            && known
                .iter()
                .any(|known| known.bytes.starts_with(&content.bytes))
        {
            rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
        }
    }
    Ok(())
}

fn open_root(root: &Path) -> Result<OwnedFd, WriteError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(root, flags, Mode::empty())?)
}

/// Opens the folder that a path lies in; `None` if it does not exist and is not to be made.
fn open_parent(root: &OwnedFd, path: &RelPath, make: bool) -> Result<Option<OwnedFd>, WriteError> {
    let open = |dir: &[u8]| open_folder(root, dir);
    let Some(parent) = path.parent() else {
        return Ok(Some(open(b".")?));
    };
    match open(&parent.to_bytes()) {
        Ok(dir) => return Ok(Some(dir)),
        Err(rustix::io::Errno::NOENT) if make => {}
        // What lies behind a link has another path.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP)
            if !make =>
        {
            return Ok(None);
        }
        Err(errno) => return Err(errno.into()),
    }
    // One part after the other: each is made where the last one led, and opened from the root again.
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

/// Opens a folder beneath the root, through no link.
fn open_folder(root: &OwnedFd, dir: &[u8]) -> rustix::io::Result<OwnedFd> {
    claudecluster_files::open_folder_beneath(root, Path::new(OsStr::from_bytes(dir)))
}

/// Returns the bytes of one part of a path.
fn path_bytes(part: &str) -> Vec<u8> {
    // A part of a valid path is a valid path.
    RelPath::new(part).map_or_else(|_| part.as_bytes().to_vec(), |path| path.to_bytes())
}

/// Returns whether a path is a folder that can be listed, following links.
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
mod tests;
