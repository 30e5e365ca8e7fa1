//! Files, links and folders made beneath a folder; private files are written whole or not at all.

use std::{ffi::OsStr, fs::File, io::Write as _, os::fd::AsFd, path::Path};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::{error::ForeignFileError, folder::FolderHandle};

impl FolderHandle {
    /// Writes a file that only its owner can read, in place of what had its name. It never exists in part, and a
    /// link of that name is replaced, not followed.
    ///
    /// # Errors
    /// A link is on the way to its folder, a folder has its name, or it cannot be written.
    pub fn write_private(
        &self,
        path: impl AsRef<Path>,
        content: &[u8],
    ) -> Result<(), ForeignFileError> {
        let (parent, name) = self.parent_of(path.as_ref())?;
        let dir = parent.as_ref().map_or(self.as_fd(), AsFd::as_fd);
        let temporary = format!(".claudecluster-{}", uuid::Uuid::new_v4().simple());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let fd = rustix::fs::openat(dir, &temporary, flags, mode)?;
        let written = File::from(fd)
            .write_all(content)
            .map_err(ForeignFileError::from)
            .and_then(|()| Ok(rustix::fs::renameat(dir, &temporary, dir, name)?));
        if written.is_err() {
            // Nothing half-written stays behind; the first error is the one to report.
            let _ = rustix::fs::unlinkat(dir, &temporary, AtFlags::empty());
        }
        written
    }

    /// Writes a private file that must not exist yet.
    ///
    /// # Errors
    /// Something has its name, a link is on the way to its folder, or it cannot be written.
    pub fn create_private(
        &self,
        path: impl AsRef<Path>,
        content: &[u8],
    ) -> Result<(), ForeignFileError> {
        let path = path.as_ref();
        let written = self.create_file(path, 0o600)?.write_all(content);
        if written.is_err() {
            let (parent, name) = self.parent_of(path)?;
            let dir = parent.as_ref().map_or(self.as_fd(), AsFd::as_fd);
            let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
        }
        Ok(written?)
    }

    /// Creates a file that must not exist yet, and opens it for writing. The mask of the process applies to the mode.
    ///
    /// # Errors
    /// Something has its name, a link is on the way to its folder, or it cannot be created.
    pub fn create_file(&self, path: impl AsRef<Path>, mode: u32) -> Result<File, ForeignFileError> {
        let (parent, name) = self.parent_of(path.as_ref())?;
        let dir = parent.as_ref().map_or(self.as_fd(), AsFd::as_fd);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode))?;
        Ok(File::from(fd))
    }

    /// Creates a symbolic link that must not exist yet.
    ///
    /// # Errors
    /// Something has its name, a link is on the way to its folder, or it cannot be created.
    pub fn create_link(
        &self,
        path: impl AsRef<Path>,
        target: &OsStr,
    ) -> Result<(), ForeignFileError> {
        let (parent, name) = self.parent_of(path.as_ref())?;
        let dir = parent.as_ref().map_or(self.as_fd(), AsFd::as_fd);
        Ok(rustix::fs::symlinkat(target, dir, name)?)
    }

    /// Makes a folder, private to its owner, unless there is one. Nothing else may have its name.
    ///
    /// # Errors
    /// Something else has its name, a link is on the way, or it cannot be made.
    pub fn make_folder(&self, path: impl AsRef<Path>) -> Result<Self, ForeignFileError> {
        self.make_folder_with(path, 0o700)
    }

    /// Makes a folder with this mode, to which the mask of the process applies, unless there is a folder already.
    ///
    /// # Errors
    /// Something else has its name, a link is on the way, or it cannot be made.
    pub fn make_folder_with(
        &self,
        path: impl AsRef<Path>,
        mode: u32,
    ) -> Result<Self, ForeignFileError> {
        let path = path.as_ref();
        let (parent, name) = self.parent_of(path)?;
        let dir = parent.as_ref().map_or(self.as_fd(), AsFd::as_fd);
        match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => self.open_folder(path),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Copies a regular file of at most `limit` bytes from another folder into this one, as a private file that
    /// replaces what has its name.
    ///
    /// # Errors
    /// The source is no regular file or too large, a link is on the way, or the copy cannot be written.
    pub fn copy_file_from(
        &self,
        source: &Self,
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        limit: u64,
    ) -> Result<(), ForeignFileError> {
        let content = source.read_file(from, limit)?;
        self.write_private(to, &content)
    }
}
