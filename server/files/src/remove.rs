//! Removal of trees of any depth, with two descriptors and without recursion.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{fd::AsFd, unix::ffi::OsStrExt as _},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags},
    io::Errno,
};

use crate::{
    error::ForeignFileError, folder::FolderHandle, kind::EntryKind, open::set_folder_mode,
};

/// The prefix of the names that folders get on their way out.
const LEAVING: &str = ".claudecluster-leaving-";

impl FolderHandle {
    /// Removes an entry of this very folder, a folder with all that is in it. Nothing happens where there is none.
    ///
    /// Links are removed, never followed. Folders that cannot be entered are made so. A folder inside is moved
    /// up before it is emptied: so the cost is linear, and no path grows with the depth.
    ///
    /// # Errors
    /// Something cannot be removed; what is left may have been renamed.
    pub fn remove_entry(&self, name: &OsStr) -> Result<(), ForeignFileError> {
        let stat = match rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if EntryKind::of(&stat) != EntryKind::Folder {
            return gone(rustix::fs::unlinkat(self, name, AtFlags::empty()));
        }
        let mut removal = TreeRemoval {
            top: self,
            prefix: format!("{LEAVING}{}-", uuid::Uuid::new_v4().simple()),
            moved: 0,
            waiting: vec![name.to_owned()],
        };
        while let Some(next) = removal.waiting.pop() {
            removal.remove_folder(&next)?;
        }
        Ok(())
    }

    /// Removes an entry at any depth, as [`FolderHandle::remove_entry`] does.
    ///
    /// # Errors
    /// A link is on the way to it, or something cannot be removed.
    pub fn remove(&self, path: impl AsRef<Path>) -> Result<(), ForeignFileError> {
        let path = path.as_ref();
        let name = path.file_name().ok_or(ForeignFileError::Link)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                self.open_folder(parent)?.remove_entry(name)
            }
            _ => self.remove_entry(name),
        }
    }

    /// Removes an entry, which loses its name before that: whoever gives up waiting can use the name again.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn discard_entry(&self, name: &OsStr) -> Result<(), ForeignFileError> {
        let aside = OsString::from(format!("{LEAVING}{}", uuid::Uuid::new_v4().simple()));
        match rustix::fs::renameat(self, name, self, &aside) {
            Ok(()) => self.remove_entry(&aside),
            Err(Errno::NOENT) => Ok(()),
            Err(_) => self.remove_entry(name),
        }
    }

    /// Removes every entry but those in `keep`, goes on where one cannot be removed, and returns the first error.
    ///
    /// Folders lose their names before any is emptied: whoever gives up waiting can use the names again.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn clear(&self, keep: &[&OsStr]) -> Result<(), ForeignFileError> {
        let prefix = format!("{LEAVING}{}-", uuid::Uuid::new_v4().simple());
        let entries = self.entries(usize::MAX)?;
        let leaving = entries
            .into_iter()
            .filter(|entry| !keep.contains(&entry.name.as_os_str()));
        let mut names = Vec::new();
        for (number, entry) in leaving.enumerate() {
            let to = OsString::from(format!("{prefix}{number}"));
            match rustix::fs::renameat(self, &entry.name, self, &to) {
                Ok(()) => names.push(to),
                Err(Errno::NOENT) => {}
                Err(_) => names.push(entry.name),
            }
        }
        let mut first = Ok(());
        for name in &names {
            let removed = self.remove_entry(name);
            if first.is_ok() {
                first = removed;
            }
        }
        first
    }
}

/// Removes a file or link, or a folder with all that is in it, by a path whose folders are trusted.
///
/// # Errors
/// Something cannot be removed.
pub fn remove_path(path: &Path) -> Result<(), ForeignFileError> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match FolderHandle::open(parent) {
        Ok(parent) => parent.remove_entry(name),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// A removal under way: folders wait in `top` until they are emptied.
struct TreeRemoval<'a> {
    top: &'a FolderHandle,
    prefix: String,
    moved: u64,
    waiting: Vec<OsString>,
}

impl TreeRemoval<'_> {
    /// Empties a folder of `top`, whose folders come up to `top`, and removes it.
    fn remove_folder(&mut self, name: &OsStr) -> Result<(), ForeignFileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(self.top, name, flags, Mode::empty());
        let folder = match open() {
            Err(Errno::ACCESS) => {
                let all = Mode::from_raw_mode(0o700);
                set_folder_mode(self.top.as_fd(), name, all)?;
                open()?
            }
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        // Entries that are removed or moved while a folder is read can hide others: read until none is left.
        loop {
            let mut found = false;
            for entry in Dir::read_from(&folder)? {
                let entry = entry?;
                let inner = entry.file_name().to_bytes();
                if !matches!(inner, b"." | b"..") {
                    found = true;
                    self.take_out(&folder, OsStr::from_bytes(inner), entry.file_type())?;
                }
            }
            if !found {
                break;
            }
        }
        gone(rustix::fs::unlinkat(self.top, name, AtFlags::REMOVEDIR))
    }

    /// Removes one entry, or moves a folder up.
    fn take_out(
        &mut self,
        folder: impl AsFd + Copy,
        name: &OsStr,
        kind: FileType,
    ) -> Result<(), ForeignFileError> {
        let removed = if kind == FileType::Directory {
            Err(Errno::ISDIR)
        } else {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())
        };
        let removed = match removed {
            // The folder's own permissions bar it.
            Err(Errno::ACCESS) => {
                rustix::fs::fchmod(folder, Mode::from_raw_mode(0o700))?;
                rustix::fs::unlinkat(folder, name, AtFlags::empty())
            }
            other => other,
        };
        match removed {
            // Some systems say EPERM for a folder.
            Err(Errno::ISDIR | Errno::PERM) => self.move_up(folder, name),
            other => gone(other),
        }
    }

    fn move_up(&mut self, folder: impl AsFd + Copy, name: &OsStr) -> Result<(), ForeignFileError> {
        // Most folders are empty or can go at once.
        match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {}
            other => return gone(other),
        }
        let to = OsString::from(format!("{}{}", self.prefix, self.moved));
        self.moved += 1;
        let rename = || rustix::fs::renameat(folder, name, self.top, &to);
        let moved = match rename() {
            // To move a folder elsewhere is to write it, and the one it is in.
            Err(Errno::ACCESS | Errno::PERM) => {
                let all = Mode::from_raw_mode(0o700);
                rustix::fs::fchmod(folder, all)?;
                set_folder_mode(folder.as_fd(), name, all)?;
                rename()
            }
            other => other,
        };
        match moved {
            Ok(()) => self.waiting.push(to),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }
}

fn gone(removed: rustix::io::Result<()>) -> Result<(), ForeignFileError> {
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
