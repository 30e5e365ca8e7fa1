//! The walk over a finished layer.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read},
    os::unix::{
        ffi::OsStringExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    rc::Rc,
};

use bytes::Bytes;
use claudecluster_protocol::{FileMode, RelPath};

use super::{
    Change, ChangeLimits, ChangeSet, Content, Refusal, Refused, ViewBase, links, renames,
    rules::Rules,
};
use crate::sandbox::layer::{Merged, Node, Seen};

/// Collects what the layer `upper` changes against `base`. Costs what was changed, not what exists.
/// Blocks.
pub fn collect(upper: &Path, base: &ViewBase, limits: &ChangeLimits) -> io::Result<ChangeSet> {
    let below = Merged::new(base.lowers.iter().cloned().chain([base.workspace.clone()]));
    let view = below.under(upper.to_path_buf());
    let rules = Rules::of_workspace(&base.workspace, &view)?;
    let mut collector = Collector {
        base,
        limits,
        view,
        set: ChangeSet::default(),
        bytes: 0,
    };
    let here = Here {
        path: PathBuf::new(),
        below,
        rules,
        sealed: false,
        ignored: false,
    };
    collector.folder(upper, &here)?;
    let mut set = collector.set;
    renames::detect(&mut set.changes);
    set.changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    set.refused.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(set)
}

/// A folder in the walk.
struct Here {
    /// Relative to the workspace.
    path: PathBuf,
    /// What was there before.
    below: Merged,
    rules: Rc<Rules>,
    /// Whether what was there before no longer shows unless this layer has it.
    sealed: bool,
    /// Whether it is ignored: then only tracked files in it count.
    ignored: bool,
}

struct Collector<'a> {
    base: &'a ViewBase,
    limits: &'a ChangeLimits,
    view: Merged,
    set: ChangeSet,
    bytes: u64,
}

impl Collector<'_> {
    /// One folder of the layer.
    fn folder(&mut self, dir: &Path, here: &Here) -> io::Result<()> {
        let mut names: Vec<OsString> = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort_unstable();
        for name in &names {
            if name == ".git" {
                self.set.touched_git |= here.path.as_os_str().is_empty() && steers(&dir.join(name));
                continue;
            }
            let path = here.path.join(name);
            if let Err(e) = self.entry(&dir.join(name), &path, name, here) {
                self.refuse(&path, Refusal::Unreadable(e.to_string()));
            }
        }
        if here.sealed {
            for name in here.below.names()? {
                if names.binary_search(&name).is_err() && name != ".git" {
                    let seen = here.below.child(&name)?;
                    self.gone(seen, &here.path.join(&name), here)?;
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, real: &Path, path: &Path, name: &OsStr, here: &Here) -> io::Result<()> {
        let before = here.below.child(name)?;
        match Node::at(real)? {
            Node::Absent => Ok(()),
            Node::Whiteout => self.gone(before, path, here),
            Node::Dir { opaque } => self.enter(real, path, before, opaque, here),
            Node::Special(what) => {
                if !self.leaves_out(path, false, here) {
                    self.refuse(path, Refusal::Special(what));
                }
                self.gone(before, path, here)
            }
            Node::File | Node::Symlink => {
                let before = match before {
                    Seen::Dir(_) => {
                        self.gone(before, path, here)?;
                        Seen::Absent
                    }
                    other => other,
                };
                if !self.leaves_out(path, false, here) {
                    self.changed(real, path, &before);
                }
                Ok(())
            }
        }
    }

    /// A folder of the layer that may cover one that was there before, or something else.
    fn enter(
        &mut self,
        real: &Path,
        path: &Path,
        before: Seen,
        opaque: bool,
        here: &Here,
    ) -> io::Result<()> {
        let below = match before {
            Seen::Dir(dir) => dir,
            other => {
                self.gone(other, path, here)?;
                Merged::default()
            }
        };
        let Some(ignored) = self.step_into(path, here) else {
            return Ok(());
        };
        let sealed = here.sealed || opaque;
        let shown = if sealed {
            Merged::default()
        } else {
            below.clone()
        };
        let rules = here
            .rules
            .enter(&self.base.workspace.join(path), &shown.under(real.into()))?;
        self.folder(
            real,
            &Here {
                path: path.into(),
                below,
                rules,
                sealed,
                ignored,
            },
        )
    }

    /// Something that was there before and is no longer.
    fn gone(&mut self, seen: Seen, path: &Path, here: &Here) -> io::Result<()> {
        match seen {
            Seen::Absent | Seen::Special => Ok(()),
            Seen::File(_) | Seen::Symlink(_) => {
                if !self.leaves_out(path, false, here) {
                    match read_seen(&seen, self.limits) {
                        Ok(before) => self.add(path, before, None),
                        Err(refusal) => self.refuse(path, refusal),
                    }
                }
                Ok(())
            }
            Seen::Dir(below) => {
                let Some(ignored) = self.step_into(path, here) else {
                    return Ok(());
                };
                // The rules that went away with the folder still say what in it did not count.
                let rules = here.rules.enter(&self.base.workspace.join(path), &below)?;
                let inside = Here {
                    path: path.into(),
                    below,
                    rules,
                    sealed: true,
                    ignored,
                };
                for name in inside.below.names()? {
                    if name != ".git" {
                        self.gone(inside.below.child(&name)?, &path.join(&name), &inside)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Whether a folder is ignored; `None` where nothing in it can count.
    fn step_into(&self, path: &Path, here: &Here) -> Option<bool> {
        let ignored = self.leaves_out(path, true, here);
        let tracked =
            || RelPath::from_path(path).is_ok_and(|path| self.base.tracked.any_within(&path));
        (!ignored || tracked()).then_some(ignored)
    }

    /// Whether git would not look at it.
    fn leaves_out(&self, path: &Path, is_dir: bool, here: &Here) -> bool {
        let ignored = here.ignored || here.rules.ignores(&self.base.workspace.join(path), is_dir);
        ignored
            && (is_dir
                || !RelPath::from_path(path).is_ok_and(|path| self.base.tracked.contains(&path)))
    }

    /// A file or link of the layer, which may have been there before.
    fn changed(&mut self, real: &Path, path: &Path, before: &Seen) {
        let read = || {
            let after = read(real, self.limits)?;
            let before = read_seen(before, self.limits)?;
            Ok((before, after))
        };
        match read() {
            Ok((before, Some(after))) => {
                if before.as_ref() == Some(&after) {
                    return;
                }
                if after.mode == FileMode::Symlink
                    && links::leaves(&self.view, &self.base.workspace, path, &after.bytes)
                {
                    let target = String::from_utf8_lossy(&after.bytes).into_owned();
                    return self.refuse(path, Refusal::LinkOutside(target));
                }
                self.add(path, before, Some(after));
            }
            Ok((_, None)) => {}
            Err(refusal) => self.refuse(path, refusal),
        }
    }

    fn add(&mut self, path: &Path, before: Option<Content>, after: Option<Content>) {
        let size = |content: &Option<Content>| content.as_ref().map_or(0, |c| c.bytes.len() as u64);
        let bytes = self.bytes + size(&before).max(size(&after));
        if self.set.changes.len() >= self.limits.files {
            return self.refuse(
                path,
                Refusal::TooManyFiles {
                    limit: self.limits.files,
                },
            );
        }
        if bytes > self.limits.total_bytes {
            return self.refuse(
                path,
                Refusal::TotalTooLarge {
                    limit: self.limits.total_bytes,
                },
            );
        }
        match RelPath::from_path(path) {
            Ok(path) => {
                self.bytes = bytes;
                self.set.changes.push(Change {
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

    fn refuse(&mut self, path: &Path, reason: Refusal) {
        match RelPath::from_path(path) {
            Ok(path) if self.set.refused.len() < self.limits.refusals => {
                self.set.refused.push(Refused { path, reason });
            }
            _ => self.set.refused_more += 1,
        }
    }
}

/// Whether something in a layer's `.git` could steer git, as opposed to its index, which it refreshes
/// whenever somebody asks for the status.
fn steers(git: &Path) -> bool {
    match fs::read_dir(git) {
        Ok(entries) => entries.flatten().any(|entry| entry.file_name() != "index"),
        Err(_) => true,
    }
}

fn read_seen(seen: &Seen, limits: &ChangeLimits) -> Result<Option<Content>, Refusal> {
    match seen {
        Seen::File(path) | Seen::Symlink(path) => read(path, limits),
        Seen::Absent | Seen::Dir(_) | Seen::Special => Ok(None),
    }
}

/// Reads a file or link. `None` where there is none (any more).
fn read(path: &Path, limits: &ChangeLimits) -> Result<Option<Content>, Refusal> {
    let unreadable = |e: io::Error| Refusal::Unreadable(e.to_string());
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(e)),
    };
    if meta.is_symlink() {
        let target = fs::read_link(path).map_err(unreadable)?;
        let bytes = Bytes::from(target.into_os_string().into_vec());
        return Ok(Some(Content {
            bytes,
            mode: FileMode::Symlink,
        }));
    }
    let too_large = |bytes| Refusal::FileTooLarge {
        bytes,
        limit: limits.file_bytes,
    };
    if meta.size() > limits.file_bytes {
        return Err(too_large(meta.size()));
    }
    // The real workspace may change between the two looks: neither follow a link nor wait for a pipe.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(unreadable)?;
    let mut bytes = Vec::with_capacity(usize::try_from(meta.size()).unwrap_or(0));
    file.take(limits.file_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > limits.file_bytes {
        return Err(too_large(bytes.len() as u64));
    }
    let executable = meta.mode() & 0o100 != 0;
    let mode = if executable {
        FileMode::Executable
    } else {
        FileMode::Regular
    };
    Ok(Some(Content {
        bytes: bytes.into(),
        mode,
    }))
}
