//! A folder held open, and what is read beneath it.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use crate::{
    error::ForeignFileError,
    kind::EntryKind,
    open::{open_beneath, set_folder_mode},
};

/// What reading a file takes up front at most, however large the file says it is.
const FIRST_BYTES: u64 = 1 << 20;

/// The most bytes of an extended attribute that are looked at.
const ATTRIBUTE_BYTES: usize = 256;

/// One entry of a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderEntry {
    /// The name.
    pub name: OsString,
    /// The kind.
    pub kind: EntryKind,
}

/// A folder held open. Paths given to it lead beneath it and through no link.
#[derive(Debug)]
pub struct FolderHandle {
    fd: OwnedFd,
}

impl AsFd for FolderHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl FolderHandle {
    /// Opens a folder by a path that is trusted: of the user's or of ours. Links on it are followed.
    ///
    /// # Errors
    /// There is no such folder, or it cannot be listed.
    pub fn open(path: &Path) -> Result<Self, ForeignFileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { fd })
    }

    /// Opens a folder beneath this one.
    ///
    /// # Errors
    /// There is no such folder, a link is on the way, or it cannot be listed.
    pub fn open_folder(&self, path: impl AsRef<Path>) -> Result<Self, ForeignFileError> {
        let fd = open_beneath(
            self.as_fd(),
            path.as_ref(),
            OFlags::RDONLY | OFlags::DIRECTORY,
        )?;
        Ok(Self { fd })
    }

    /// Returns the metadata of an entry, of a link itself; `None` if there is none.
    ///
    /// # Errors
    /// A link is on the way, or the file system refused.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Option<Stat>, ForeignFileError> {
        let (parent, name) = match self.parent_of(path.as_ref()) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let dir = parent.as_ref().map_or(self.as_fd(), AsFd::as_fd);
        match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Returns the kind of an entry; `None` if there is none.
    ///
    /// # Errors
    /// A link is on the way, or the file system refused.
    pub fn kind(&self, path: impl AsRef<Path>) -> Result<Option<EntryKind>, ForeignFileError> {
        Ok(self.stat(path)?.as_ref().map(EntryKind::of))
    }

    /// Reads a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// It is no regular file, a link is on the way, it has more bytes, or it cannot be read.
    pub fn read_file(
        &self,
        path: impl AsRef<Path>,
        limit: u64,
    ) -> Result<Vec<u8>, ForeignFileError> {
        let (file, stat) = self.open_file(path)?;
        read_open_file(file, &stat, limit)
    }

    /// Opens a regular file for reading, and returns its metadata with it.
    ///
    /// # Errors
    /// It is no regular file, a link is on the way, or it cannot be read.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<(File, Stat), ForeignFileError> {
        let (parent, name) = self.parent_of(path.as_ref())?;
        let dir = parent.as_ref().map_or(self.as_fd(), AsFd::as_fd);
        open_regular(dir, Path::new(name))
    }

    /// Returns the target of a link.
    ///
    /// # Errors
    /// It is no link, another link is on the way, or it cannot be read.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<OsString, ForeignFileError> {
        let (parent, name) = self.parent_of(path.as_ref())?;
        let dir = parent.as_ref().map_or(self.as_fd(), AsFd::as_fd);
        let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Returns an extended attribute of an entry, of a link itself; `None` if it has no such attribute. Only the
    /// first bytes of a long value are returned.
    ///
    /// # Errors
    /// There is no such entry, or a link is on the way.
    pub fn attribute(
        &self,
        path: impl AsRef<Path>,
        name: &str,
    ) -> Result<Option<Vec<u8>>, ForeignFileError> {
        let path = path.as_ref();
        let mut value = vec![0; ATTRIBUTE_BYTES];
        let got = if path.as_os_str().is_empty() {
            rustix::fs::fgetxattr(&self.fd, name, &mut *value)
        } else {
            let (parent, entry) = self.parent_of(path)?;
            let dir = parent.as_ref().map_or(self.as_fd(), AsFd::as_fd);
            // No older call takes a folder's handle.
            let at = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
            rustix::fs::lgetxattr(at.join(entry), name, &mut *value)
        };
        match got {
            Ok(length) => {
                value.truncate(length);
                Ok(Some(value))
            }
            // One that is longer than any of ours.
            Err(Errno::RANGE) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Moves an entry into another folder, a folder with all that is in it.
    ///
    /// # Errors
    /// There is no such entry, a link is on the way to either place, or the folders are on two file systems.
    pub fn move_entry(
        &self,
        from: impl AsRef<Path>,
        target: &Self,
        to: impl AsRef<Path>,
    ) -> Result<(), ForeignFileError> {
        let (source, name) = self.parent_of(from.as_ref())?;
        let (place, new_name) = target.parent_of(to.as_ref())?;
        let source = source.as_ref().map_or(self.as_fd(), AsFd::as_fd);
        let place = place.as_ref().map_or(target.as_fd(), AsFd::as_fd);
        let rename = || rustix::fs::renameat(source, name, place, new_name);
        match rename() {
            // To move a folder elsewhere is to write it.
            Err(Errno::ACCESS) => {
                let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                set_folder_mode(source, name, mode | Mode::RWXU)?;
                rename()?;
                Ok(set_folder_mode(place, new_name, mode)?)
            }
            moved => Ok(moved?),
        }
    }

    /// Lists the folder, in no order.
    ///
    /// # Errors
    /// There are more than `limit` entries, or it cannot be listed.
    pub fn entries(&self, limit: usize) -> Result<Vec<FolderEntry>, ForeignFileError> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if entries.len() >= limit {
                return Err(ForeignFileError::TooMany { limit });
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) => EntryKind::of(&stat),
                        Err(Errno::NOENT) => continue,
                        Err(errno) => return Err(errno.into()),
                    }
                }
                known => known.into(),
            };
            entries.push(FolderEntry {
                name: OsStr::from_bytes(name).to_owned(),
                kind,
            });
        }
        Ok(entries)
    }

    /// Returns the folder of `path`, where that is another one, and the last part.
    pub(crate) fn parent_of<'a>(
        &self,
        path: &'a Path,
    ) -> Result<(Option<OwnedFd>, &'a OsStr), ForeignFileError> {
        let name = path.file_name().ok_or(ForeignFileError::Link)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => Some(open_beneath(
                self.as_fd(),
                parent,
                OFlags::PATH | OFlags::DIRECTORY,
            )?),
            _ => None,
        };
        Ok((parent, name))
    }
}

/// Reads a regular file of at most `limit` bytes that a person named: links on the way are followed, for they
/// are that person's.
///
/// # Errors
/// It is no regular file, it has more bytes, or it cannot be read.
pub fn read_named_file(path: &Path, limit: u64) -> Result<Vec<u8>, ForeignFileError> {
    let stat = rustix::fs::stat(path)?;
    check_regular(&stat)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    check_regular(&stat)?;
    read_open_file(File::from(fd), &stat, limit)
}

/// Opens a regular file by a path whose folders are trusted; the file itself is no link.
///
/// # Errors
/// It is no regular file, or it cannot be opened.
pub fn open_regular_file(path: &Path) -> Result<(File, Stat), ForeignFileError> {
    open_regular(rustix::fs::CWD, path)
}

/// Reads a regular file that is open, at most `limit` bytes of it.
///
/// # Errors
/// It has more bytes, or it cannot be read.
pub fn read_open_file(file: File, stat: &Stat, limit: u64) -> Result<Vec<u8>, ForeignFileError> {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > limit {
        return Err(ForeignFileError::TooLarge { limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(FIRST_BYTES)).unwrap_or(0));
    // It may grow meanwhile.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(ForeignFileError::TooLarge { limit });
    }
    Ok(bytes)
}

fn open_regular(dir: BorrowedFd<'_>, name: &Path) -> Result<(File, Stat), ForeignFileError> {
    // Looked at first: opening alone does something to some devices.
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    check_regular(&stat)?;
    // What is a file now may be a pipe or a link when it is opened.
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    check_regular(&stat)?;
    Ok((File::from(fd), stat))
}

fn check_regular(stat: &Stat) -> Result<(), ForeignFileError> {
    match EntryKind::of(stat) {
        EntryKind::File => Ok(()),
        other => Err(ForeignFileError::NotRegular(other)),
    }
}

fn is_absent(error: &ForeignFileError) -> bool {
    matches!(error, ForeignFileError::Io(error)
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}
