//! Files written: all of a landing at once, each whole or not at all.
//!
//! New content lies complete and durable beside the file before the two are exchanged. No program can
//! compare a file and replace it in one step, so the old content is compared once more afterwards. If
//! another program wrote in that moment, its file is put back.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io::Write as _,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
    sync::Arc,
};

use claudecluster_protocol::{FileMode, RelPath};
use claudecluster_worker::changes::FileContent;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags};

use super::{
    WriteError, in_parallel,
    lease::FileLease,
    open_at, open_parent, open_root,
    order::{WriteOrder, ancestors},
    path_bytes, read_at, with_kind,
};

/// Prefix of the names of files that are written beside their target.
pub(super) const ASIDE: &str = ".claudecluster-";
/// Files in flight at once. Each holds up to two descriptors, of which a process has 1,024.
const IN_FLIGHT: usize = 256;
/// Threads that write. They wait for the disk, not for a processor, and those that wait together share
/// the disk's commits.
const WRITERS: usize = 16;

/// The most the kernel gives of a list or a value of extended attributes.
const MAX_ATTRIBUTE: usize = 64 << 10;

/// One file to write.
#[derive(Clone, Debug)]
pub(crate) struct FileWrite {
    /// The file.
    pub(crate) path: RelPath,
    /// Expected content; `None` if there must be no file.
    pub(crate) before: Option<FileContent>,
    /// New content; `None` to delete the file.
    pub(crate) after: Option<FileContent>,
    /// An earlier write without which this one must not happen.
    pub(crate) needs: Option<usize>,
}

/// Replaces a file if it has the expected content. All or nothing, also in a crash.
pub(crate) fn replace_file(
    root: &Path,
    path: &RelPath,
    before: Option<&FileContent>,
    after: Option<&FileContent>,
) -> Result<(), WriteError> {
    let write = FileWrite {
        path: path.clone(),
        before: before.cloned(),
        after: after.cloned(),
        needs: None,
    };
    replace_files(root, &[write]).pop().unwrap_or(Ok(()))
}

/// Replaces files, each on its own as [`replace_file`] does. A reported success is durable.
///
/// They are written in their order, but for those that need the place of another: a file that becomes a folder, a
/// folder that becomes a file. Such writes happen all or not at all.
pub(crate) fn replace_files(root: &Path, writes: &[FileWrite]) -> Vec<Result<(), WriteError>> {
    let order = WriteOrder::of(writes);
    let mut done: WriteResults = writes.iter().map(|_| None).collect();
    for stage in order.stages() {
        for &index in stage.iter().filter(|&&index| order.takes_a_place(index)) {
            let left = order.before(index).map(|before| &writes[before].path);
            remove_emptied_folders(root, &writes[index].path, left);
        }
        for batch in stage.chunks(IN_FLIGHT) {
            replace_batch(root, writes, batch, &order, &mut done);
        }
    }
    for group in order.groups() {
        take_back_part(root, writes, &group, &mut done);
    }
    let unwritten = || Err(WriteError::Apart);
    done.into_iter()
        .map(|result| result.unwrap_or_else(unwritten))
        .collect()
}

/// The result of each write that was tried.
type WriteResults = Vec<Option<Result<(), WriteError>>>;

/// Takes back what was written of a group, if not all of it was.
fn take_back_part(root: &Path, writes: &[FileWrite], group: &[usize], done: &mut WriteResults) {
    let is_made = |done: &WriteResults, index: usize| matches!(done[index], Some(Ok(())));
    let Some(&failed) = group.iter().find(|&&index| !is_made(done, index)) else {
        return;
    };
    let failed = writes[failed].path.clone();
    for &index in group.iter().rev().filter(|&&index| is_made(done, index)) {
        let FileWrite {
            path,
            before,
            after,
            ..
        } = &writes[index];
        let made = group.iter().map(|&index| &writes[index].path);
        remove_emptied_folders(root, path, made);
        let back = replace_file(root, path, after.as_ref(), before.as_ref());
        if let Err(error) = &back {
            tracing::warn!(%path, %error, "cannot take back a write of which others failed");
        }
    }
    for &index in group {
        if is_made(done, index) || matches!(done[index], None | Some(Err(WriteError::Apart))) {
            done[index] = Some(Err(WriteError::Together(failed.clone())));
        }
    }
}

/// Removes the folder at `path` and those beneath it that `left` lay in, as far as nothing is in them.
fn remove_emptied_folders<'a>(
    root: &Path,
    path: &RelPath,
    left: impl Iterator<Item = &'a RelPath>,
) {
    let folders: BTreeSet<RelPath> = left
        .flat_map(ancestors)
        .filter(|folder| folder.is_within(path))
        .collect();
    let Ok(root) = open_root(root) else { return };
    // A folder comes after the one it lies in.
    for folder in folders.into_iter().rev() {
        if let Ok(Some(parent)) = open_parent(&root, &folder, false) {
            let name = path_bytes(folder.file_name());
            // What is not empty stays, and the write that needs its place says so.
            let _ = rustix::fs::unlinkat(&parent, name.as_slice(), AtFlags::REMOVEDIR);
        }
    }
}

/// One write under way.
struct PendingWrite<'a> {
    write: &'a FileWrite,
    parent: Arc<OwnedFd>,
    name: Vec<u8>,
    /// Name beside the file: of the new content at first, of the old content later.
    aside: String,
}

fn replace_batch(
    root: &Path,
    writes: &[FileWrite],
    batch: &[usize],
    order: &WriteOrder,
    done: &mut WriteResults,
) {
    let mut parents = ParentFolders::new(root);
    let has_failed = |done: &WriteResults, index: usize| {
        let mut before = order.before(index);
        before.any(|before| matches!(done[before], Some(Err(_))))
    };
    let flights: Vec<Result<PendingWrite<'_>, WriteError>> = batch
        .iter()
        .map(|&index| match has_failed(done, index) {
            true => Err(WriteError::Apart),
            false => PendingWrite::new(&mut parents, &writes[index]),
        })
        .collect();
    let prepared = in_parallel(flights, WRITERS, |flight| {
        let flight = flight?;
        flight.write_new()?;
        Ok(flight)
    });
    let mut swapped = Vec::new();
    for (&index, flight) in batch.iter().zip(prepared) {
        let apart = has_failed(done, index);
        let result = flight.and_then(|flight| {
            if apart {
                flight.remove_temporary();
                return Err(WriteError::Apart);
            }
            let swapped_out = flight.swap_in()?;
            swapped.push((index, flight, swapped_out));
            Ok(())
        });
        done[index] = Some(result);
    }
    // What was replaced is let go of by many threads, for that can take the disk milliseconds each.
    let settled = in_parallel(swapped, WRITERS, |(index, flight, old)| {
        (index, flight.finish_swap(old))
    });
    for (index, result) in settled {
        done[index] = Some(result);
    }
    if let Err(errno) = parents.sync_all() {
        for &index in batch {
            if matches!(done[index], Some(Ok(()))) {
                done[index] = Some(Err(errno.into()));
            }
        }
    }
}

/// The old file after an exchange.
struct ReplacedFile {
    /// The old file, held open so that letting go of it can come later.
    file: Option<File>,
    /// Whether the old file lies beside the new one now.
    aside: bool,
}

/// The folders of a batch, each opened once.
struct ParentFolders<'a> {
    root: &'a Path,
    open: HashMap<Option<RelPath>, Arc<OwnedFd>>,
}

impl<'a> ParentFolders<'a> {
    fn new(root: &'a Path) -> Self {
        Self {
            root,
            open: HashMap::new(),
        }
    }

    /// Returns the folder of a file, and makes it for a new file.
    fn folder_of(&mut self, write: &FileWrite) -> Result<Arc<OwnedFd>, WriteError> {
        let key = write.path.parent();
        if let Some(open) = self.open.get(&key) {
            return Ok(open.clone());
        }
        let root = open_root(self.root)?;
        let make = write.before.is_none() && write.after.is_some();
        let parent = open_parent(&root, &write.path, make)?.ok_or(WriteError::Changed)?;
        let parent = Arc::new(parent);
        self.open.insert(key, parent.clone());
        Ok(parent)
    }

    /// Makes the names in the folders durable.
    fn sync_all(self) -> rustix::io::Result<()> {
        let folders: Vec<Arc<OwnedFd>> = self.open.into_values().collect();
        let synced = in_parallel(folders, WRITERS, |folder| rustix::fs::fsync(&*folder));
        synced.into_iter().collect()
    }
}

impl<'a> PendingWrite<'a> {
    fn new(parents: &mut ParentFolders<'_>, write: &'a FileWrite) -> Result<Self, WriteError> {
        Ok(Self {
            write,
            parent: parents.folder_of(write)?,
            name: path_bytes(write.path.file_name()),
            aside: format!("{ASIDE}{}", uuid::Uuid::new_v4().simple()),
        })
    }

    /// Writes the new content beside the file.
    fn write_new(&self) -> Result<(), WriteError> {
        let Some(after) = &self.write.after else {
            return Ok(());
        };
        self.write_temporary(after)
            .inspect_err(|_| self.remove_temporary())
    }

    fn write_temporary(&self, after: &FileContent) -> Result<(), WriteError> {
        let parent = self.parent.as_fd();
        if after.mode == FileMode::Symlink {
            if link_leaves(&self.write.path, &after.bytes) {
                return Err(WriteError::LinkOutside);
            }
            return Ok(rustix::fs::symlinkat(&*after.bytes, parent, &self.aside)?);
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, &self.aside, flags, Mode::from_raw_mode(0o666))?;
        let mut file = File::from(file);
        file.write_all(&after.bytes)?;
        let old = self.write.before.as_ref().and_then(|_| self.open_old());
        set_attributes(&file, old.as_ref(), after.mode)?;
        file.sync_all()?;
        Ok(())
    }

    /// Opens the file to be replaced, for reading.
    fn open_old(&self) -> Option<File> {
        open_at(&*self.parent, &self.name).ok().map(File::from)
    }

    /// Exchanges the file for the new content, and keeps the old content beside it.
    fn swap_in(&self) -> Result<ReplacedFile, WriteError> {
        let file = self.open_old();
        let aside = self.swap_leased(file.as_ref())?;
        Ok(ReplacedFile { file, aside })
    }

    /// Exchanges the file under a lease. Returns whether the old content lies beside the file, and
    /// is not gone at once.
    fn swap_leased(&self, file: Option<&File>) -> Result<bool, WriteError> {
        // Whoever opens the file for writing from now on waits until the lease is gone.
        let lease = file.map(FileLease::take).transpose();
        let swapped = lease.and_then(|lease| Ok((self.swap_names()?, lease)));
        let (aside, lease) = swapped.inspect_err(|_| self.remove_temporary())?;
        // Said at once, not when the batch settles: until then whoever replaces the file again would do so
        // on top of ours, and what was replaced in the last moment would be gone.
        let replaced = file.is_some_and(|file| !self.is_temporary(file));
        if aside && (replaced || lease.is_some_and(|lease| lease.is_wanted())) {
            self.put_back();
            return Err(WriteError::Changed);
        }
        Ok(aside)
    }

    /// Returns whether the file beside the target is this very file.
    fn is_temporary(&self, file: &File) -> bool {
        let aside = rustix::fs::statat(&*self.parent, &self.aside, AtFlags::SYMLINK_NOFOLLOW);
        match (aside, rustix::fs::fstat(file)) {
            (Ok(aside), Ok(file)) => (aside.st_dev, aside.st_ino) == (file.st_dev, file.st_ino),
            _ => false,
        }
    }

    fn swap_names(&self) -> Result<bool, WriteError> {
        let (parent, aside) = (self.parent.as_fd(), self.aside.as_bytes());
        self.check_unchanged(&self.name, self.write.before.as_ref())?;
        let moved = match (&self.write.before, &self.write.after) {
            (_, None) => {
                rename_exactly(parent, &self.name, aside, RenameFlags::NOREPLACE).map(|_| true)
            }
            (None, Some(_)) => {
                rename_exactly(parent, aside, &self.name, RenameFlags::NOREPLACE).map(|_| false)
            }
            (Some(_), Some(_)) => rename_exactly(parent, aside, &self.name, RenameFlags::EXCHANGE),
        };
        match moved {
            Ok(aside) => Ok(aside),
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOENT) => Err(WriteError::Changed),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Checks that the old content is the expected one, and removes it.
    fn finish_swap(&self, old: ReplacedFile) -> Result<(), WriteError> {
        if old.aside {
            let expected = self.write.before.as_ref();
            if let Err(error) = self.check_unchanged(self.aside.as_bytes(), expected) {
                self.put_back();
                return Err(error);
            }
            self.remove_temporary();
        }
        drop(old.file);
        Ok(())
    }

    fn check_unchanged(
        &self,
        name: &[u8],
        expected: Option<&FileContent>,
    ) -> Result<(), WriteError> {
        let now = read_at(self.parent.as_fd(), name)?.map(|(content, _)| content);
        if now.as_ref() == expected {
            Ok(())
        } else {
            Err(WriteError::Changed)
        }
    }

    /// Puts the old file back: another program wrote to it in the last moment.
    fn put_back(&self) {
        let (parent, aside) = (self.parent.as_fd(), self.aside.as_bytes());
        if self.write.after.is_none() {
            // Where there is a new file already, it is the later one.
            self.left_behind(rename_exactly(
                parent,
                aside,
                &self.name,
                RenameFlags::NOREPLACE,
            ));
            return;
        }
        let back = rename_exactly(parent, aside, &self.name, RenameFlags::EXCHANGE);
        if back.is_ok()
            && self
                .check_unchanged(aside, self.write.after.as_ref())
                .is_err()
        {
            // Somebody replaced the new file already: theirs is the last word.
            self.left_behind(rename_exactly(
                parent,
                aside,
                &self.name,
                RenameFlags::empty(),
            ));
            return;
        }
        if back.is_ok() {
            self.remove_temporary();
        }
        self.left_behind(back);
    }

    fn left_behind(&self, result: rustix::io::Result<bool>) {
        if let Err(error) = result {
            let path = &self.write.path;
            tracing::warn!(%path, %error, kept = self.aside, "the file changed during the write; its version is kept beside it");
        }
    }

    /// Removes the file beside the target.
    fn remove_temporary(&self) {
        // The error that matters is another one; what is left has a telling name.
        let _ = rustix::fs::unlinkat(&*self.parent, &self.aside, AtFlags::empty());
    }
}

/// Renames within a folder, and says whether it was done as asked. Where the file system cannot
/// exchange two names or keep from replacing one, what was compared a moment before has to do.
fn rename_exactly(
    parent: BorrowedFd<'_>,
    from: &[u8],
    to: &[u8],
    how: RenameFlags,
) -> rustix::io::Result<bool> {
    match rustix::fs::renameat_with(parent, from, parent, to, how) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            rustix::fs::renameat(parent, from, parent, to).map(|()| false)
        }
        other => other.map(|()| true),
    }
}

/// Gives a new file the owner, the mode and the extended attributes of the one it replaces.
fn set_attributes(file: &File, old: Option<&File>, kind: FileMode) -> Result<(), WriteError> {
    let stat = old.and_then(|old| rustix::fs::fstat(old).ok());
    let old = old.filter(|_| {
        stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    });
    let mode = match (old, stat) {
        (Some(old), Some(stat)) => {
            let mode = keep_owner(file, &stat);
            keep_attributes(file, old);
            mode
        }
        _ => file.metadata()?.permissions().mode() & 0o777,
    };
    let mode = with_kind(mode, kind);
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Keeps owner and group if allowed, and returns the mode to go with them. A group that could not
/// be kept must not give another one its rights.
fn keep_owner(file: &File, old: &rustix::fs::Stat) -> u32 {
    let (user, group) = (
        rustix::fs::Uid::from_raw(old.st_uid),
        rustix::fs::Gid::from_raw(old.st_gid),
    );
    let mode = old.st_mode & 0o7777;
    if rustix::fs::fchown(file, Some(user), Some(group)).is_ok() {
        return mode;
    }
    // Owners other than oneself can be kept by root only; everybody else gets a file of their own, as
    // with any editor that saves by renaming.
    if rustix::fs::fchown(file, None, Some(group)).is_ok() {
        return mode & 0o777;
    }
    mode & 0o707 | (mode & 0o007) << 3
}

/// Keeps the extended attributes that may be kept: some are only the system's to set.
fn keep_attributes(file: &File, old: &File) {
    let mut names = vec![0; MAX_ATTRIBUTE];
    let Ok(length) = rustix::fs::flistxattr(old, names.as_mut_slice()) else {
        return;
    };
    names.truncate(length);
    let mut value = vec![0; MAX_ATTRIBUTE];
    for name in names
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        if let Ok(length) = rustix::fs::fgetxattr(old, name, value.as_mut_slice()) {
            let set = rustix::fs::fsetxattr(file, name, &value[..length], XattrFlags::empty());
            if let Err(error) = set {
                tracing::debug!(%error, "cannot keep an extended attribute");
            }
        }
    }
}

/// Returns whether a link at `path` with this target points out of the workspace, by its text. What it meets
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
