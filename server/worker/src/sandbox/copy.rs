//! The view as a private copy, where an overlay cannot be had.
//!
//! Copied is what git does not ignore, and of the rest what is small. Large ignored folders are left
//! out and named to the user: a link to the real ones would let programs write them.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt, symlink},
    },
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ignore::{WalkBuilder, WalkState};

use super::layer::{LayerNode, make_whiteout, remove_path, set_opaque};

/// The largest ignored folder or file that is copied.
const IGNORED_BYTES: u64 = 8 << 20;
/// The most entries of an ignored folder that is copied.
const IGNORED_ENTRIES: u64 = 2_000;

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
    fn of(meta: &fs::Metadata) -> Self {
        let rest = (meta.ctime(), meta.ctime_nsec(), meta.size(), meta.mode());
        Self {
            inode: meta.ino(),
            rest: (!meta.is_dir()).then_some(rest),
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
    copier.copy_ignored(workspace, tree)?;
    copier.copy_git(objects)?;
    for lower in lowers.iter().rev() {
        copier.apply_layer(lower, tree)?;
    }
    let mut manifest = BTreeMap::new();
    record_stamps(tree, Path::new(""), &mut manifest)?;
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

    /// Copies what git does not ignore.
    fn copy_visible(&self) -> io::Result<()> {
        let walk = WalkBuilder::new(self.workspace)
            .hidden(false)
            .ignore(false)
            .require_git(false)
            .threads(std::thread::available_parallelism().map_or(2, |n| n.get().min(8)))
            .build_parallel();
        let failed = Mutex::new(None);
        walk.run(|| {
            Box::new(|entry| {
                // A folder that cannot be read is left out; so is one that just went away.
                let Ok(entry) = entry else {
                    return WalkState::Continue;
                };
                let path = entry.path();
                if entry.depth() == 0 {
                    return WalkState::Continue;
                }
                if self.skips(path) {
                    return WalkState::Skip;
                }
                let target = self
                    .tree
                    .join(path.strip_prefix(self.workspace).unwrap_or(path));
                match self.copy_entry(path, &target) {
                    Ok(()) => WalkState::Continue,
                    Err(e) => {
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
                        WalkState::Quit
                    }
                }
            })
        });
        failed
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .map_or(Ok(()), Err)
    }

    /// Copies the small ones of the entries that git ignores.
    fn copy_ignored(&self, from: &Path, to: &Path) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(from) else {
            return Ok(());
        };
        for entry in entries {
            let entry = entry?;
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            if self.skips(&path) {
                continue;
            }
            let is_dir = entry.file_type()?.is_dir();
            match fs::symlink_metadata(&target) {
                Ok(_) if is_dir => self.copy_ignored(&path, &target)?,
                Ok(_) => {}
                Err(_)
                    if is_small(
                        &path,
                        &mut IGNORED_BYTES.clone(),
                        &mut IGNORED_ENTRIES.clone(),
                    ) =>
                {
                    self.copy_tree(&path, &target)?;
                }
                Err(_) => self.leave_out(&path),
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
        for entry in fs::read_dir(&real)? {
            let name = entry?.file_name();
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
        if fs::symlink_metadata(to).is_ok_and(|meta| meta.is_dir()) {
            let Ok(entries) = fs::read_dir(from) else {
                return Ok(());
            };
            for entry in entries {
                let name = entry?.file_name();
                self.copy_tree(&from.join(&name), &to.join(&name))?;
            }
        }
        Ok(())
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
            match fs::OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NOFOLLOW)
                .open(from)
            {
                Ok(file) => self.copy_content(file, &meta, to),
                Err(_) => {
                    self.leave_out(from);
                    Ok(())
                }
            }
        } else {
            Ok(())
        }
    }

    fn copy_content(&self, mut from: fs::File, meta: &fs::Metadata, to: &Path) -> io::Result<()> {
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
        if !shared {
            io::copy(&mut from, &mut file)?;
        }
        // The owner must be able to read and write the copy; the time keeps build tools from building
        // everything again.
        let mode = meta.mode() & 0o777 | 0o600;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        file.set_modified(meta.modified()?)
    }

    /// Applies a layer to the copy.
    fn apply_layer(&self, layer: &Path, tree: &Path) -> io::Result<()> {
        for entry in fs::read_dir(layer)? {
            let name = entry?.file_name();
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
                    self.apply_layer(&path, &target)?;
                }
                LayerNode::Whiteout => remove_path(&target)?,
                LayerNode::File | LayerNode::Symlink => {
                    remove_path(&target)?;
                    self.copy_entry(&path, &target)?;
                }
                LayerNode::Absent | LayerNode::Special(_) => {}
            }
        }
        Ok(())
    }
}

/// Returns whether `path` stays within both limits, and subtracts its size from them.
fn is_small(path: &Path, bytes: &mut u64, entries: &mut u64) -> bool {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return false;
    };
    let size = if meta.is_dir() { 0 } else { meta.size() };
    if size > *bytes || *entries == 0 {
        return false;
    }
    *bytes -= size;
    *entries -= 1;
    if !meta.is_dir() {
        return true;
    }
    let Ok(mut inside) = fs::read_dir(path) else {
        return false;
    };
    inside.all(|entry| entry.is_ok_and(|entry| is_small(&entry.path(), bytes, entries)))
}

fn record_stamps(
    dir: &Path,
    below: &Path,
    into: &mut BTreeMap<PathBuf, EntryStamp>,
) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if path.as_os_str().as_bytes() == b".git" {
            continue;
        }
        let meta = entry.metadata()?;
        if meta.is_dir() {
            record_stamps(&entry.path(), &path, into)?;
        }
        into.insert(path, EntryStamp::of(&meta));
    }
    Ok(())
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
        match fs::symlink_metadata(tree.join(path)) {
            Ok(meta) if EntryStamp::of(&meta) == *stamp => {}
            Ok(meta) => {
                move_entry(tree, upper, path)?;
                if meta.is_dir() {
                    set_opaque(&upper.join(path))?;
                }
                done = Some(path);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_parents(tree, upper, path)?;
                make_whiteout(&upper.join(path))?;
                done = Some(path);
            }
            Err(e) => return Err(e),
        }
    }
    move_new_entries(copied, tree, upper, Path::new(""))
}

fn move_new_entries(
    copied: &WorkspaceCopy,
    tree: &Path,
    upper: &Path,
    below: &Path,
) -> io::Result<()> {
    for entry in fs::read_dir(tree.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if path.as_os_str().as_bytes() == b".git" {
            continue;
        }
        if !copied.manifest.contains_key(&path) {
            move_entry(tree, upper, &path)?;
        } else if entry.file_type()?.is_dir() {
            move_new_entries(copied, tree, upper, &path)?;
        }
    }
    Ok(())
}

fn move_entry(tree: &Path, upper: &Path, path: &Path) -> io::Result<()> {
    make_parents(tree, upper, path)?;
    fs::rename(tree.join(path), upper.join(path))
}

fn make_parents(tree: &Path, upper: &Path, path: &Path) -> io::Result<()> {
    let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    else {
        return Ok(());
    };
    if upper.join(parent).is_dir() {
        return Ok(());
    }
    make_parents(tree, upper, parent)?;
    fs::create_dir(upper.join(parent))?;
    // An overlay shows the upper folder's permissions.
    let permissions = fs::metadata(tree.join(parent))?.permissions();
    fs::set_permissions(upper.join(parent), permissions)
}
