//! Walks over a finished layer.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use bytes::Bytes;
use claudecluster_files::{EntryKind, ForeignFileError, read_open_file};
use claudecluster_protocol::{FileMode, RelPath};

use super::{
    ChangeLimits, ChangeSet, CollectedChange, FileContent, RefusalReason, RefusedChange, ViewBase,
    links, renames, rules::IgnoreRules,
};
use crate::sandbox::layer::{LayerNode, LayerPath, LayerStack, StackEntry};

/// The most folders within each other that are walked. Longer paths than these make are no use to any program.
const MOST_DEPTH: usize = 512;
/// The most bytes of a path that is walked: the kernel takes 4,095, with that of the layer in front.
const MOST_PATH_BYTES: usize = 3_000;
/// How much of a path that is too deep is told.
const TOLD_DEPTH: usize = 8;
/// The most entries of a layer, and of what it covers, that are looked at.
const MOST_ENTRIES: usize = 1_000_000;

/// Collects the changes of the layer `upper` against `base`. The cost depends on what was changed, not on
/// the size of the workspace. Blocks.
pub fn collect_changes(
    upper: &Path,
    base: &ViewBase,
    limits: &ChangeLimits,
) -> io::Result<ChangeSet> {
    let layers = base.lowers.iter().chain([&base.workspace]);
    let below = LayerStack::new(layers.map(PathBuf::as_path))?;
    let upper = LayerPath::open(upper)?;
    let view = below.under(upper.clone());
    let rules = IgnoreRules::of_workspace(&base.workspace, &view)?;
    let mut collector = ChangeCollector {
        base,
        limits,
        view,
        set: ChangeSet::default(),
        bytes: 0,
        entries: MOST_ENTRIES,
        waiting: Vec::new(),
    };
    let here = WalkedFolder {
        path: PathBuf::new(),
        below,
        rules,
        sealed: false,
        ignored: false,
    };
    collector.walk_folder(&upper, &here)?;
    collector.walk_rest();
    let mut set = collector.set;
    renames::detect_renames(&mut set.changes);
    set.changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    set.refused.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(set)
}

/// A folder that waits to be walked. A list, not the stack of calls: a program can nest folders deeper than any
/// stack is.
enum WaitingFolder {
    /// One of the layer.
    InLayer {
        /// The folder itself.
        real: LayerPath,
        here: WalkedFolder,
    },
    /// One from before, with everything in it gone.
    Gone(WalkedFolder),
}

/// A folder in the walk.
struct WalkedFolder {
    /// Relative to the workspace.
    path: PathBuf,
    /// The folder as it was before the attempt.
    below: LayerStack,
    rules: Rc<IgnoreRules>,
    /// Whether entries from before are hidden unless this layer has them.
    sealed: bool,
    /// Whether the folder is ignored: then only its tracked files count.
    ignored: bool,
}

struct ChangeCollector<'a> {
    base: &'a ViewBase,
    limits: &'a ChangeLimits,
    view: LayerStack,
    set: ChangeSet,
    bytes: u64,
    /// How many more entries are looked at.
    entries: usize,
    waiting: Vec<WaitingFolder>,
}

impl ChangeCollector<'_> {
    /// Walks the folders that wait, those inside others first.
    fn walk_rest(&mut self) {
        while let Some(next) = self.waiting.pop() {
            let (walked, path) = match next {
                WaitingFolder::InLayer { real, here } => {
                    (self.walk_folder(&real, &here), here.path)
                }
                WaitingFolder::Gone(here) => (self.walk_gone(&here), here.path),
            };
            if let Err(error) = walked {
                self.refuse_path(&path, RefusalReason::Unreadable(error.to_string()));
            }
        }
    }

    /// Has a folder walked later, unless it lies too deep.
    fn walk_later(&mut self, folder: WaitingFolder) {
        let (WaitingFolder::InLayer { here, .. } | WaitingFolder::Gone(here)) = &folder;
        let path = &here.path;
        if path.components().count() >= MOST_DEPTH || path.as_os_str().len() > MOST_PATH_BYTES {
            // Its own name can be too long to be told.
            let told: PathBuf = path.components().take(TOLD_DEPTH).collect();
            return self.refuse_path(&told, RefusalReason::TooDeep { limit: MOST_DEPTH });
        }
        self.waiting.push(folder);
    }

    /// Takes entries off the number that is looked at; returns `false` where there are too many.
    fn take_entries(&mut self, count: usize, path: &Path) -> bool {
        match self.entries.checked_sub(count) {
            Some(left) => self.entries = left,
            None => {
                self.waiting.clear();
                let limit = MOST_ENTRIES;
                self.refuse_path(path, RefusalReason::TooManyEntries { limit });
                return false;
            }
        }
        true
    }

    /// Walks one folder of the layer.
    fn walk_folder(&mut self, dir: &LayerPath, here: &WalkedFolder) -> io::Result<()> {
        let listed = dir.open_folder()?.entries(MOST_ENTRIES)?;
        let mut names: Vec<OsString> = listed.into_iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        if !self.take_entries(names.len(), &here.path) {
            return Ok(());
        }
        for name in &names {
            if name == ".git" {
                self.set.touched_git |=
                    here.path.as_os_str().is_empty() && steers_git(&dir.join(name));
                continue;
            }
            let path = here.path.join(name);
            if let Err(e) = self.collect_entry(&dir.join(name), &path, name, here) {
                self.refuse_path(&path, RefusalReason::Unreadable(e.to_string()));
            }
        }
        if here.sealed {
            for name in here.below.names()? {
                if names.binary_search(&name).is_err() && name != ".git" {
                    let seen = here.below.child(&name)?;
                    self.collect_deletion(seen, &here.path.join(&name), here)?;
                }
            }
        }
        Ok(())
    }

    fn collect_entry(
        &mut self,
        real: &LayerPath,
        path: &Path,
        name: &OsStr,
        here: &WalkedFolder,
    ) -> io::Result<()> {
        let before = here.below.child(name)?;
        match real.node()? {
            LayerNode::Absent => Ok(()),
            LayerNode::Whiteout => self.collect_deletion(before, path, here),
            LayerNode::Dir { opaque } => self.collect_folder(real, path, before, opaque, here),
            LayerNode::Special(what) => {
                if !self.leaves_out(path, false, here) {
                    self.refuse_path(path, RefusalReason::Special(what));
                }
                self.collect_deletion(before, path, here)
            }
            LayerNode::File | LayerNode::Symlink => {
                let before = match before {
                    StackEntry::Dir(_) => {
                        self.collect_deletion(before, path, here)?;
                        StackEntry::Absent
                    }
                    other => other,
                };
                if !self.leaves_out(path, false, here) {
                    self.collect_change(real, path, &before);
                }
                Ok(())
            }
        }
    }

    /// Collects a folder of the layer, which may cover an earlier folder or file.
    fn collect_folder(
        &mut self,
        real: &LayerPath,
        path: &Path,
        before: StackEntry,
        opaque: bool,
        here: &WalkedFolder,
    ) -> io::Result<()> {
        let below = match before {
            StackEntry::Dir(dir) => dir,
            other => {
                self.collect_deletion(other, path, here)?;
                LayerStack::default()
            }
        };
        let Some(ignored) = self.step_into(path, here) else {
            return Ok(());
        };
        let sealed = here.sealed || opaque;
        let shown = if sealed {
            LayerStack::default()
        } else {
            below.clone()
        };
        let rules = here
            .rules
            .with_folder(&self.base.workspace.join(path), &shown.under(real.clone()))?;
        self.walk_later(WaitingFolder::InLayer {
            real: real.clone(),
            here: WalkedFolder {
                path: path.into(),
                below,
                rules,
                sealed,
                ignored,
            },
        });
        Ok(())
    }

    /// Collects the deletion of an earlier entry.
    fn collect_deletion(
        &mut self,
        seen: StackEntry,
        path: &Path,
        here: &WalkedFolder,
    ) -> io::Result<()> {
        match seen {
            StackEntry::Absent | StackEntry::Special => Ok(()),
            StackEntry::File(_) | StackEntry::Symlink(_) => {
                if !self.leaves_out(path, false, here) {
                    match read_entry(&seen, self.limits) {
                        Ok(before) => self.add_change(path, before, None),
                        Err(refusal) => self.refuse_path(path, refusal),
                    }
                }
                Ok(())
            }
            StackEntry::Dir(below) => {
                let Some(ignored) = self.step_into(path, here) else {
                    return Ok(());
                };
                // The rules that went away with the folder still say what in it did not count.
                let rules = here
                    .rules
                    .with_folder(&self.base.workspace.join(path), &below)?;
                self.walk_later(WaitingFolder::Gone(WalkedFolder {
                    path: path.into(),
                    below,
                    rules,
                    sealed: true,
                    ignored,
                }));
                Ok(())
            }
        }
    }

    /// Collects the deletion of everything in an earlier folder.
    fn walk_gone(&mut self, here: &WalkedFolder) -> io::Result<()> {
        let names = here.below.names()?;
        if !self.take_entries(names.len(), &here.path) {
            return Ok(());
        }
        for name in names {
            if name != ".git" {
                let seen = here.below.child(&name)?;
                self.collect_deletion(seen, &here.path.join(&name), here)?;
            }
        }
        Ok(())
    }

    /// Returns whether a folder is ignored; `None` if nothing in it can count.
    fn step_into(&self, path: &Path, here: &WalkedFolder) -> Option<bool> {
        let ignored = self.leaves_out(path, true, here);
        let tracked =
            || RelPath::from_path(path).is_ok_and(|path| self.base.tracked.any_within(&path));
        (!ignored || tracked()).then_some(ignored)
    }

    /// Returns whether git would ignore the path.
    fn leaves_out(&self, path: &Path, is_dir: bool, here: &WalkedFolder) -> bool {
        let ignored = here.ignored || here.rules.ignores(&self.base.workspace.join(path), is_dir);
        ignored
            && (is_dir
                || !RelPath::from_path(path).is_ok_and(|path| self.base.tracked.contains(&path)))
    }

    /// Collects a file or link of the layer, which may have existed before.
    fn collect_change(&mut self, real: &LayerPath, path: &Path, before: &StackEntry) {
        let read = || {
            let after = read_file(real, self.limits)?;
            let before = read_entry(before, self.limits)?;
            Ok((before, after))
        };
        match read() {
            Ok((before, Some(after))) => {
                if before.as_ref() == Some(&after) {
                    return;
                }
                if after.mode == FileMode::Symlink
                    && links::leads_outside(&self.view, &self.base.workspace, path, &after.bytes)
                {
                    let target = String::from_utf8_lossy(&after.bytes).into_owned();
                    return self.refuse_path(path, RefusalReason::LinkOutside(target));
                }
                self.add_change(path, before, Some(after));
            }
            Ok((_, None)) => {}
            Err(refusal) => self.refuse_path(path, refusal),
        }
    }

    fn add_change(&mut self, path: &Path, before: Option<FileContent>, after: Option<FileContent>) {
        let size =
            |content: &Option<FileContent>| content.as_ref().map_or(0, |c| c.bytes.len() as u64);
        let bytes = self.bytes + size(&before).max(size(&after));
        if self.set.changes.len() >= self.limits.files {
            return self.refuse_path(
                path,
                RefusalReason::TooManyFiles {
                    limit: self.limits.files,
                },
            );
        }
        if bytes > self.limits.total_bytes {
            return self.refuse_path(
                path,
                RefusalReason::TotalTooLarge {
                    limit: self.limits.total_bytes,
                },
            );
        }
        match RelPath::from_path(path) {
            Ok(path) => {
                self.bytes = bytes;
                self.set.changes.push(CollectedChange {
                    path,
                    from: None,
                    before,
                    after,
                });
            }
            // A name the system gave is one that can be written.
            Err(e) => tracing::error!("{}: {e}", path.display()),
        }
    }

    fn refuse_path(&mut self, path: &Path, reason: RefusalReason) {
        match RelPath::from_path(path) {
            Ok(path) if self.set.refused.len() < self.limits.refusals => {
                self.set.refused.push(RefusedChange { path, reason });
            }
            _ => self.set.refused_more += 1,
        }
    }
}

/// Returns whether a layer's `.git` holds anything that could steer git. The index does not count: git
/// refreshes it on every status.
fn steers_git(git: &LayerPath) -> bool {
    match git
        .open_folder()
        .and_then(|folder| folder.entries(MOST_ENTRIES))
    {
        Ok(entries) => entries.iter().any(|entry| entry.name != "index"),
        Err(_) => true,
    }
}

fn read_entry(
    seen: &StackEntry,
    limits: &ChangeLimits,
) -> Result<Option<FileContent>, RefusalReason> {
    match seen {
        StackEntry::File(path) | StackEntry::Symlink(path) => read_file(path, limits),
        StackEntry::Absent | StackEntry::Dir(_) | StackEntry::Special => Ok(None),
    }
}

/// Reads a file or link; `None` if there is none any more.
fn read_file(
    path: &LayerPath,
    limits: &ChangeLimits,
) -> Result<Option<FileContent>, RefusalReason> {
    let read = || {
        let kind = path.stat()?.as_ref().map(EntryKind::of);
        if kind == Some(EntryKind::Link) {
            let bytes = Bytes::from(path.read_link()?.into_vec());
            let mode = FileMode::Symlink;
            return Ok(FileContent { bytes, mode });
        }
        let (file, stat) = path.open_file()?;
        let bytes = read_open_file(file, &stat, limits.file_bytes)?.into();
        let mode = if stat.st_mode & 0o100 == 0 {
            FileMode::Regular
        } else {
            FileMode::Executable
        };
        Ok::<_, ForeignFileError>(FileContent { bytes, mode })
    };
    match read() {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(ForeignFileError::TooLarge { limit }) => {
            let stat = path.stat().ok().flatten();
            let size = stat.and_then(|stat| u64::try_from(stat.st_size).ok());
            let bytes = size.unwrap_or(limit + 1);
            Err(RefusalReason::FileTooLarge { bytes, limit })
        }
        Err(error) => Err(RefusalReason::Unreadable(error.to_string())),
    }
}
