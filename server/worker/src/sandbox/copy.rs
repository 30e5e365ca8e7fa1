//! The view as a private copy, where an overlay cannot be had.
//!
//! Copied is what git does not ignore, and of the rest what is small. Large ignored folders are left
//! out and named to the user: a link to the real ones would let programs write them.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read as _, Write as _},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use claudecluster_files::{EntryKind, FolderHandle, ForeignFileError, WalkLimits, WalkStep};
use rustix::fs::Stat;

use super::layer::{LayerNode, LayerPath, LayerStack, make_whiteout, remove_path, set_opaque};
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
        source: LayerPath::open(workspace)?,
        workspace,
        tree: FolderHandle::open(tree)?,
        skip,
        reflink: AtomicBool::new(true),
        left_out: Mutex::default(),
    };
    copier.copy_visible()?;
    copier.copy_ignored()?;
    copier.copy_git(objects)?;
    for lower in lowers.iter().rev() {
        copier.apply_layer(&LayerPath::open(lower)?)?;
    }
    let manifest = record_stamps(&copier.tree)?;
    let mut left_out = copier
        .left_out
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    left_out.sort_unstable();
    Ok(WorkspaceCopy { manifest, left_out })
}

/// Copies from a workspace, which other programs change meanwhile: what was a folder a moment ago can be a link. So
/// both sides are reached through no link. An entry has the same path below the workspace and below the copy.
struct WorkspaceCopier<'a> {
    source: LayerPath,
    workspace: &'a Path,
    tree: FolderHandle,
    skip: &'a [PathBuf],
    /// Whether the file system may be able to share blocks between files.
    reflink: AtomicBool,
    left_out: Mutex<Vec<PathBuf>>,
}

impl WorkspaceCopier<'_> {
    fn skips(&self, path: &Path) -> bool {
        path == Path::new(".git") || self.skip.contains(&self.workspace.join(path))
    }

    fn leave_out(&self, path: &Path) {
        self.left_out
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(path.to_path_buf());
    }

    /// Copies what git does not ignore: folders and links first, then the content of files on many threads.
    fn copy_visible(&self) -> io::Result<()> {
        let view = LayerStack::of_one(self.source.clone());
        let rules = IgnoreRules::of_workspace(self.workspace, &view)?;
        let mut files = Vec::new();
        let mut waiting = vec![(self.source.clone(), 0usize, rules)];
        while let Some((folder, depth, rules)) = waiting.pop() {
            // A folder that cannot be read is left out; so is one that just went away.
            let Ok(entries) = list(&folder) else {
                continue;
            };
            for (name, kind) in entries {
                let entry = folder.join(&name);
                let path = self.workspace.join(entry.below());
                let is_dir = kind == EntryKind::Folder;
                if self.skips(entry.below()) || rules.ignores(&path, is_dir) {
                    continue;
                }
                match kind {
                    EntryKind::Folder if depth + 1 >= COPIED_DEPTH => self.leave_out(entry.below()),
                    EntryKind::Folder => {
                        if self.copy_entry(&entry)? != Some(EntryKind::Folder) {
                            continue;
                        }
                        let inside = LayerStack::of_one(entry.clone());
                        let rules = rules.with_folder(&path, &inside)?;
                        waiting.push((entry, depth + 1, rules));
                    }
                    EntryKind::File => files.push(entry),
                    _ => {
                        self.copy_entry(&entry)?;
                    }
                }
            }
        }
        self.copy_files(&files)
    }

    /// Copies files on several threads.
    fn copy_files(&self, files: &[LayerPath]) -> io::Result<()> {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get().min(COPIERS));
        let next = AtomicUsize::new(0);
        let copy = || {
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.copy_entry(file)?;
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

    /// Copies the small ones of the entries that git ignores.
    fn copy_ignored(&self) -> io::Result<()> {
        let mut waiting = vec![self.source.clone()];
        while let Some(folder) = waiting.pop() {
            let Ok(entries) = list(&folder) else {
                continue;
            };
            for (name, kind) in entries {
                let entry = folder.join(&name);
                if self.skips(entry.below()) {
                    continue;
                }
                match self.tree.kind(entry.below())? {
                    Some(EntryKind::Folder) if kind == EntryKind::Folder => waiting.push(entry),
                    Some(_) => {}
                    None if is_small(&entry) => self.copy_tree(&entry)?,
                    None => self.leave_out(entry.below()),
                }
            }
        }
        Ok(())
    }

    /// Copies the repository's own folder, which reads the real objects from `objects`.
    fn copy_git(&self, objects: &Path) -> io::Result<()> {
        let real = self.source.join(".git");
        match self.copy_entry(&real)? {
            Some(EntryKind::Folder) => {}
            _ => return Ok(()),
        }
        for folder in [".git/objects", ".git/objects/info"] {
            self.tree.make_folder_with(folder, 0o777)?;
        }
        for (name, _) in list(&real)? {
            let entry = real.join(&name);
            match name.to_str() {
                Some("objects") => {}
                // Stores of their own that may be as large as the repository.
                Some("modules" | "lfs" | "worktrees") => self.leave_out(entry.below()),
                _ => self.copy_tree(&entry)?,
            }
        }
        let mut objects = objects.as_os_str().as_bytes().to_vec();
        objects.push(b'\n');
        let alternates = self.tree.create_file(".git/objects/info/alternates", 0o644);
        alternates?.write_all(&objects)
    }

    /// Copies a file, or a folder with everything in it.
    fn copy_tree(&self, from: &LayerPath) -> io::Result<()> {
        if self.copy_entry(from)? != Some(EntryKind::Folder) {
            return Ok(());
        }
        let Ok(folder) = from.open_folder() else {
            return Ok(());
        };
        folder.walk(WalkLimits::default(), |entry| {
            let is_folder = self.copy_entry(&from.join(entry.path))? == Some(EntryKind::Folder);
            let step = if is_folder {
                WalkStep::Into
            } else {
                WalkStep::Past
            };
            Ok::<_, io::Error>(step)
        })
    }

    /// Copies one entry to the same path of the copy, of a folder only itself. Returns what has been copied. Entries
    /// that cannot be read or no longer exist are left out.
    fn copy_entry(&self, from: &LayerPath) -> io::Result<Option<EntryKind>> {
        let Ok(Some(stat)) = from.stat() else {
            return Ok(None);
        };
        let (kind, to) = (EntryKind::of(&stat), from.below());
        match kind {
            EntryKind::Folder => drop(self.tree.make_folder_with(to, 0o777)?),
            EntryKind::Link => match from.read_link() {
                Ok(target) => self.tree.create_link(to, &target)?,
                Err(_) => return Ok(None),
            },
            EntryKind::File => match from.open_file() {
                Ok((file, stat)) => self.copy_content(&file, &stat, to)?,
                Err(_) => {
                    self.leave_out(to);
                    return Ok(None);
                }
            },
            EntryKind::Pipe | EntryKind::Socket | EntryKind::Device => return Ok(None),
        }
        Ok(Some(kind))
    }

    fn copy_content(&self, from: &fs::File, stat: &Stat, to: &Path) -> io::Result<()> {
        let mut file = self.tree.create_file(to, 0o666)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let shared = self.reflink.load(Ordering::Relaxed)
            && size > 0
            && match rustix::fs::ioctl_ficlone(&file, from) {
                Ok(()) => true,
                Err(_) => {
                    self.reflink.store(false, Ordering::Relaxed);
                    false
                }
            };
        if !shared && size > COPIED_BYTES {
            drop(file);
            self.leave_out(to);
            return Ok(self.tree.remove(to)?);
        }
        if !shared {
            // It may grow meanwhile.
            io::copy(&mut from.take(COPIED_BYTES), &mut file)?;
        }
        // The owner must be able to read and write the copy; the time keeps build tools from building
        // everything again.
        let mode = stat.st_mode & 0o777 | 0o600;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.set_modified(from.metadata()?.modified()?)
    }

    /// Applies a layer to the copy.
    fn apply_layer(&self, layer: &LayerPath) -> io::Result<()> {
        let mut waiting = vec![(layer.clone(), 0usize)];
        while let Some((folder, depth)) = waiting.pop() {
            if depth >= COPIED_DEPTH {
                let limit = COPIED_DEPTH;
                return Err(ForeignFileError::TooDeep { limit }.into());
            }
            let entries = match list(&folder) {
                Ok(entries) => entries,
                // A task may have closed it; an overlay shows it closed as well.
                Err(_) if depth > 0 => {
                    self.leave_out(folder.below());
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (name, _) in entries {
                if name == OsStr::new(".git") {
                    continue;
                }
                let entry = folder.join(&name);
                let path = entry.below();
                match entry.node()? {
                    LayerNode::Dir { opaque } => {
                        let there = self.tree.kind(path)? == Some(EntryKind::Folder);
                        if opaque || !there {
                            self.remove_copied(path)?;
                            self.tree.make_folder_with(path, 0o777)?;
                        }
                        waiting.push((entry, depth + 1));
                    }
                    LayerNode::Whiteout => self.remove_copied(path)?,
                    LayerNode::File | LayerNode::Symlink => {
                        self.remove_copied(path)?;
                        self.copy_entry(&entry)?;
                    }
                    LayerNode::Absent | LayerNode::Special(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Removes an entry of the copy, if it is there.
    fn remove_copied(&self, path: &Path) -> io::Result<()> {
        match self.tree.remove(path) {
            Err(error) if error.is_not_found() => Ok(()),
            removed => Ok(removed?),
        }
    }
}

/// Lists a folder.
fn list(folder: &LayerPath) -> io::Result<Vec<(OsString, EntryKind)>> {
    let entries = folder
        .open_folder()?
        .entries(WalkLimits::default().entries)?;
    Ok(entries
        .into_iter()
        .map(|entry| (entry.name, entry.kind))
        .collect())
}

/// Returns whether an ignored entry is small enough to be copied.
fn is_small(entry: &LayerPath) -> bool {
    let Ok(Some(stat)) = entry.stat() else {
        return false;
    };
    if EntryKind::of(&stat) != EntryKind::Folder {
        return u64::try_from(stat.st_size).unwrap_or(0) <= IGNORED_BYTES;
    }
    let limits = WalkLimits {
        depth: COPIED_DEPTH,
        entries: IGNORED_ENTRIES,
        bytes: IGNORED_BYTES,
    };
    entry.open_folder().is_ok_and(|folder| {
        folder
            .walk(limits, |_| Ok::<_, ForeignFileError>(WalkStep::Into))
            .is_ok()
    })
}

/// Records everything that is in the copy.
fn record_stamps(tree: &FolderHandle) -> io::Result<BTreeMap<PathBuf, EntryStamp>> {
    let mut stamps = BTreeMap::new();
    tree.walk(COPY_LIMITS, |entry| {
        if entry.path.as_os_str() == ".git" {
            return Ok(WalkStep::Past);
        }
        stamps.insert(entry.path.to_owned(), EntryStamp::of(entry.stat));
        Ok::<_, ForeignFileError>(WalkStep::Into)
    })?;
    Ok(stamps)
}

/// Moves the changed entries of `tree` to `upper`, in the format of an overlay's upper directory. The copy
/// is useless afterwards. Where there is no PID namespace, a program may still be changing it: nothing is reached
/// through a link.
pub(super) fn collect_layer(copied: &WorkspaceCopy, tree: &Path, upper: &Path) -> io::Result<()> {
    fs::create_dir_all(upper)?;
    let collector = CopyCollector {
        tree: LayerPath::open(tree)?,
        root: FolderHandle::open(tree)?,
        layer: FolderHandle::open(upper)?,
        upper,
    };
    // What is below a folder that was removed or replaced needs no entry of its own.
    let mut done: Option<&Path> = None;
    for (path, stamp) in &copied.manifest {
        if done.is_some_and(|done| path.starts_with(done)) {
            continue;
        }
        match collector.root.stat(path)? {
            Some(stat) if EntryStamp::of(&stat) == *stamp => {}
            Some(stat) => {
                collector.move_entry(path)?;
                if EntryKind::of(&stat) == EntryKind::Folder {
                    set_opaque(&upper.join(path))?;
                }
                done = Some(path);
            }
            None => {
                collector.make_parents(path)?;
                make_whiteout(&upper.join(path))?;
                done = Some(path);
            }
        }
    }
    collector.move_new_entries(copied)
}

/// The folders of a copy and of the layer that is made of it.
struct CopyCollector<'a> {
    tree: LayerPath,
    root: FolderHandle,
    layer: FolderHandle,
    upper: &'a Path,
}

impl CopyCollector<'_> {
    /// Moves what a program made. Whole folders go at once, however deep.
    fn move_new_entries(&self, copied: &WorkspaceCopy) -> io::Result<()> {
        let mut waiting = vec![self.tree.clone()];
        while let Some(folder) = waiting.pop() {
            for (name, kind) in list(&folder)? {
                let entry = folder.join(name);
                let path = entry.below();
                if path.as_os_str() == ".git" {
                    continue;
                }
                if !copied.manifest.contains_key(path) {
                    self.move_entry(path)?;
                } else if kind == EntryKind::Folder {
                    waiting.push(entry);
                }
            }
        }
        Ok(())
    }

    fn move_entry(&self, path: &Path) -> io::Result<()> {
        self.make_parents(path)?;
        Ok(self.root.move_entry(path, &self.layer, path)?)
    }

    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let above: Vec<&Path> = path
            .ancestors()
            .skip(1)
            .filter(|parent| !parent.as_os_str().is_empty())
            .take_while(|parent| !self.upper.join(parent).is_dir())
            .collect();
        for parent in above.into_iter().rev() {
            let made = self.layer.make_folder_with(parent, 0o777)?;
            // An overlay shows the upper folder's permissions.
            let stat = self.root.stat(parent)?;
            let mode = stat.map_or(0o755, |stat| stat.st_mode & 0o7777);
            rustix::fs::fchmod(&made, rustix::fs::Mode::from_raw_mode(mode))?;
        }
        Ok(())
    }
}
