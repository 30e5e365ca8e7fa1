//! The view as a private copy, where an overlay cannot be had.
//!
//! Copied is what git does not ignore, and of the rest what is small. Large ignored folders are left
//! out and named to the user: a link to the real ones would let programs write them.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read as _},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, symlink},
    },
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use claudecluster_files::{
    EntryKind, FolderHandle, ForeignFileError, WalkLimits, WalkStep, open_regular_file,
};
use rustix::{fs::Stat, io::Errno};

use super::layer::{LayerNode, LayerStack, make_whiteout, remove_path, set_opaque};
use crate::changes::rules::IgnoreRules;

/// The largest ignored folder or file that is copied.
const IGNORED_BYTES: u64 = 8 << 20;
/// The most entries of an ignored folder that is copied.
const IGNORED_ENTRIES: usize = 2_000;
/// The largest file that is copied where its blocks cannot be shared. A sparse one would fill the disk.
const COPIED_BYTES: u64 = 4 << 30;
/// The most folders within each other that are copied.
const COPIED_DEPTH: usize = 512;
/// A copy has no more than was copied, and what layers put in it.
const COPY_LIMITS: WalkLimits = WalkLimits {
    depth: 2 * COPIED_DEPTH,
    entries: usize::MAX,
    bytes: u64::MAX,
};
/// Threads that copy files.
const COPIERS: usize = 8;

/// A copy as it was before any program saw it.
#[derive(Debug, Default)]
pub(super) struct WorkspaceCopy {
    manifest: BTreeMap<PathBuf, EntryStamp>,
    /// The paths of the workspace that are not in the copy.
    pub(super) left_out: Vec<PathBuf>,
}

/// Metadata that changes whenever an entry is touched. Any write, and any change of mode or name, changes the
/// time of the last status change, which no program can set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct EntryStamp {
    inode: u64,
    /// `None` for folders, which change with their entries.
    rest: Option<(i64, i64, u64, u32)>,
}

impl EntryStamp {
    fn of(stat: &Stat) -> Self {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let nanos = i64::try_from(stat.st_ctime_nsec).unwrap_or(0);
        let rest = (stat.st_ctime, nanos, size, stat.st_mode);
        Self {
            inode: stat.st_ino,
            rest: (EntryKind::of(stat) != EntryKind::Folder).then_some(rest),
        }
    }
}

/// Copies `workspace`, without the folders in `skip`, to `tree`, applies `lowers` (the one that wins
/// first), and remembers what is there. Its repository reads old objects from `objects`.
pub(super) fn copy_workspace(
    workspace: &Path,
    tree: &Path,
    lowers: &[PathBuf],
    skip: &[PathBuf],
    objects: &Path,
) -> io::Result<WorkspaceCopy> {
    remove_path(tree)?;
    fs::create_dir_all(tree)?;
    let copier = WorkspaceCopier {
        workspace,
        tree,
        skip,
        reflink: AtomicBool::new(true),
        left_out: Mutex::default(),
    };
    copier.copy_visible()?;
    copier.copy_ignored()?;
    copier.copy_git(objects)?;
    for lower in lowers.iter().rev() {
        copier.apply_layer(lower, tree)?;
    }
    let manifest = record_stamps(tree)?;
    let mut left_out = copier
        .left_out
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    left_out.sort_unstable();
    Ok(WorkspaceCopy { manifest, left_out })
}

struct WorkspaceCopier<'a> {
    workspace: &'a Path,
    tree: &'a Path,
    skip: &'a [PathBuf],
    /// Whether the file system may be able to share blocks between files.
    reflink: AtomicBool,
    left_out: Mutex<Vec<PathBuf>>,
}

impl WorkspaceCopier<'_> {
    fn skips(&self, path: &Path) -> bool {
        path == self.workspace.join(".git") || self.skip.iter().any(|skip| skip == path)
    }

    fn leave_out(&self, path: &Path) {
        let path = path
            .strip_prefix(self.workspace)
            .unwrap_or(path)
            .to_path_buf();
        self.left_out
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(path);
    }

    /// Copies what git does not ignore: folders and links first, then the content of files on many threads.
    fn copy_visible(&self) -> io::Result<()> {
        let view = LayerStack::new([self.workspace.to_path_buf()]);
        let rules = IgnoreRules::of_workspace(self.workspace, &view)?;
        let mut files = Vec::new();
        let mut waiting = vec![(self.workspace.to_path_buf(), 0usize, rules)];
        while let Some((folder, depth, rules)) = waiting.pop() {
            // A folder that cannot be read is left out; so is one that just went away.
            let Ok(entries) = list(&folder) else {
                continue;
            };
            for (name, kind) in entries {
                let path = folder.join(&name);
                let is_dir = kind == EntryKind::Folder;
                if self.skips(&path) || name == ".git" && depth == 0 || rules.ignores(&path, is_dir)
                {
                    continue;
                }
                match kind {
                    EntryKind::Folder if depth + 1 >= COPIED_DEPTH => self.leave_out(&path),
                    EntryKind::Folder => {
                        self.copy_entry(&path, &self.target(&path))?;
                        let inside = LayerStack::new([path.clone()]);
                        let rules = rules.with_folder(&path, &inside)?;
                        waiting.push((path, depth + 1, rules));
                    }
                    EntryKind::File => files.push(path),
                    _ => self.copy_entry(&path, &self.target(&path))?,
                }
            }
        }
        self.copy_files(&files)
    }

    /// Copies files on several threads.
    fn copy_files(&self, files: &[PathBuf]) -> io::Result<()> {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get().min(COPIERS));
        let next = AtomicUsize::new(0);
        let copy = || {
            while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.copy_entry(path, &self.target(path))?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(copy)).collect();
            let ended = running.into_iter().map(|thread| {
                let panicked = |_| Err(io::Error::other("a thread that copies files panicked"));
                thread.join().unwrap_or_else(panicked)
            });
            ended.collect()
        })
    }

    /// The place of a path of the workspace in the copy.
    fn target(&self, path: &Path) -> PathBuf {
        self.tree
            .join(path.strip_prefix(self.workspace).unwrap_or(path))
    }

    /// Copies the small ones of the entries that git ignores.
    fn copy_ignored(&self) -> io::Result<()> {
        let mut waiting = vec![self.workspace.to_path_buf()];
        while let Some(folder) = waiting.pop() {
            let Ok(entries) = list(&folder) else {
                continue;
            };
            for (name, kind) in entries {
                let path = folder.join(&name);
                if self.skips(&path) {
                    continue;
                }
                let target = self.target(&path);
                match fs::symlink_metadata(&target) {
                    Ok(_) if kind == EntryKind::Folder => waiting.push(path),
                    Ok(_) => {}
                    Err(_) if is_small(&path) => self.copy_tree(&path, &target)?,
                    Err(_) => self.leave_out(&path),
                }
            }
        }
        Ok(())
    }

    /// Copies the repository's own folder, which reads the real objects from `objects`.
    fn copy_git(&self, objects: &Path) -> io::Result<()> {
        let (real, copy) = (self.workspace.join(".git"), self.tree.join(".git"));
        match fs::symlink_metadata(&real) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return self.copy_entry(&real, &copy),
            Err(_) => return Ok(()),
        }
        fs::create_dir_all(copy.join("objects/info"))?;
        for (name, _) in list(&real)? {
            let path = real.join(&name);
            match name.to_str() {
                Some("objects") => {}
                // Stores of their own that may be as large as the repository.
                Some("modules" | "lfs" | "worktrees") => self.leave_out(&path),
                _ => self.copy_tree(&path, &copy.join(&name))?,
            }
        }
        let mut objects = objects.as_os_str().as_bytes().to_vec();
        objects.push(b'\n');
        fs::write(copy.join("objects/info/alternates"), objects)
    }

    /// Copies a file, or a folder with everything in it.
    fn copy_tree(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.copy_entry(from, to)?;
        if !fs::symlink_metadata(to).is_ok_and(|meta| meta.is_dir()) {
            return Ok(());
        }
        let Ok(folder) = FolderHandle::open(from) else {
            return Ok(());
        };
        folder.walk(WalkLimits::default(), |entry| {
            self.copy_entry(&from.join(entry.path), &to.join(entry.path))?;
            Ok::<_, io::Error>(WalkStep::Into)
        })
    }

    /// Copies one entry without its content. Entries that cannot be read or no longer exist are left out.
    fn copy_entry(&self, from: &Path, to: &Path) -> io::Result<()> {
        let Ok(meta) = fs::symlink_metadata(from) else {
            return Ok(());
        };
        if meta.is_dir() {
            match fs::create_dir(to) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            }
        } else if meta.is_symlink() {
            symlink(fs::read_link(from)?, to)
        } else if meta.is_file() {
            match open_regular_file(from) {
                Ok((file, _)) => self.copy_content(from, file, &meta, to),
                Err(_) => {
                    self.leave_out(from);
                    Ok(())
                }
            }
        } else {
            Ok(())
        }
    }

    fn copy_content(
        &self,
        path: &Path,
        mut from: fs::File,
        meta: &fs::Metadata,
        to: &Path,
    ) -> io::Result<()> {
        let mut file = fs::File::create_new(to)?;
        let shared = self.reflink.load(Ordering::Relaxed)
            && meta.size() > 0
            && match rustix::fs::ioctl_ficlone(&file, &from) {
                Ok(()) => true,
                Err(_) => {
                    self.reflink.store(false, Ordering::Relaxed);
                    false
                }
            };
        if !shared && meta.size() > COPIED_BYTES {
            drop(file);
            self.leave_out(path);
            return fs::remove_file(to);
        }
        if !shared {
            // It may grow meanwhile.
            io::copy(&mut from.by_ref().take(COPIED_BYTES), &mut file)?;
        }
        // The owner must be able to read and write the copy; the time keeps build tools from building
        // everything again.
        let mode = meta.mode() & 0o777 | 0o600;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        file.set_modified(meta.modified()?)
    }

    /// Applies a layer to the copy.
    fn apply_layer(&self, layer: &Path, tree: &Path) -> io::Result<()> {
        let mut waiting = vec![(layer.to_path_buf(), tree.to_path_buf(), 0usize)];
        while let Some((layer, tree, depth)) = waiting.pop() {
            if depth >= COPIED_DEPTH {
                let limit = COPIED_DEPTH;
                return Err(ForeignFileError::TooDeep { limit }.into());
            }
            for (name, _) in list(&layer)? {
                if name == OsStr::new(".git") {
                    continue;
                }
                let (path, target) = (layer.join(&name), tree.join(&name));
                match LayerNode::at(&path)? {
                    LayerNode::Dir { opaque } => {
                        let there = fs::symlink_metadata(&target).is_ok_and(|meta| meta.is_dir());
                        if opaque || !there {
                            remove_path(&target)?;
                            fs::create_dir(&target)?;
                        }
                        waiting.push((path, target, depth + 1));
                    }
                    LayerNode::Whiteout => remove_path(&target)?,
                    LayerNode::File | LayerNode::Symlink => {
                        remove_path(&target)?;
                        self.copy_entry(&path, &target)?;
                    }
                    LayerNode::Absent | LayerNode::Special(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// Lists a folder.
fn list(folder: &Path) -> io::Result<Vec<(OsString, EntryKind)>> {
    let entries = FolderHandle::open(folder)?.entries(WalkLimits::default().entries)?;
    Ok(entries
        .into_iter()
        .map(|entry| (entry.name, entry.kind))
        .collect())
}

/// Returns whether an ignored entry is small enough to be copied.
fn is_small(path: &Path) -> bool {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return false;
    };
    if !meta.is_dir() {
        return meta.size() <= IGNORED_BYTES;
    }
    let limits = WalkLimits {
        depth: COPIED_DEPTH,
        entries: IGNORED_ENTRIES,
        bytes: IGNORED_BYTES,
    };
    FolderHandle::open(path).is_ok_and(|folder| {
        folder
            .walk(limits, |_| Ok::<_, ForeignFileError>(WalkStep::Into))
            .is_ok()
    })
}

/// Records everything that is in the copy.
fn record_stamps(tree: &Path) -> io::Result<BTreeMap<PathBuf, EntryStamp>> {
    let mut stamps = BTreeMap::new();
    FolderHandle::open(tree)?.walk(COPY_LIMITS, |entry| {
        if entry.path.as_os_str() == ".git" {
            return Ok(WalkStep::Past);
        }
        stamps.insert(entry.path.to_owned(), EntryStamp::of(entry.stat));
        Ok::<_, ForeignFileError>(WalkStep::Into)
    })?;
    Ok(stamps)
}

/// Moves the changed entries of `tree` to `upper`, in the format of an overlay's upper directory. The copy
/// is useless afterwards.
pub(super) fn collect_layer(copied: &WorkspaceCopy, tree: &Path, upper: &Path) -> io::Result<()> {
    fs::create_dir_all(upper)?;
    // What is below a folder that was removed or replaced needs no entry of its own.
    let mut done: Option<&Path> = None;
    for (path, stamp) in &copied.manifest {
        if done.is_some_and(|done| path.starts_with(done)) {
            continue;
        }
        match rustix::fs::lstat(tree.join(path)) {
            Ok(stat) if EntryStamp::of(&stat) == *stamp => {}
            Ok(stat) => {
                move_entry(tree, upper, path)?;
                if EntryKind::of(&stat) == EntryKind::Folder {
                    set_opaque(&upper.join(path))?;
                }
                done = Some(path);
            }
            Err(Errno::NOENT) => {
                make_parents(tree, upper, path)?;
                make_whiteout(&upper.join(path))?;
                done = Some(path);
            }
            Err(e) => return Err(e.into()),
        }
    }
    move_new_entries(copied, tree, upper)
}

/// Moves what a program made. Whole folders go at once, however deep.
fn move_new_entries(copied: &WorkspaceCopy, tree: &Path, upper: &Path) -> io::Result<()> {
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        for (name, kind) in list(&tree.join(&below))? {
            let path = below.join(name);
            if path.as_os_str() == ".git" {
                continue;
            }
            if !copied.manifest.contains_key(&path) {
                move_entry(tree, upper, &path)?;
            } else if kind == EntryKind::Folder {
                waiting.push(path);
            }
        }
    }
    Ok(())
}

fn move_entry(tree: &Path, upper: &Path, path: &Path) -> io::Result<()> {
    make_parents(tree, upper, path)?;
    fs::rename(tree.join(path), upper.join(path))
}

fn make_parents(tree: &Path, upper: &Path, path: &Path) -> io::Result<()> {
    let above: Vec<&Path> = path
        .ancestors()
        .skip(1)
        .filter(|parent| !parent.as_os_str().is_empty())
        .take_while(|parent| !upper.join(parent).is_dir())
        .collect();
    for parent in above.into_iter().rev() {
        fs::create_dir(upper.join(parent))?;
        // An overlay shows the upper folder's permissions.
        let permissions = fs::metadata(tree.join(parent))?.permissions();
        fs::set_permissions(upper.join(parent), permissions)?;
    }
    Ok(())
}
