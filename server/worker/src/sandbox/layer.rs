//! Layers: folders in the format of an overlay's upper directory.
//!
//! A layer holds what is new or changed, under the same names as in the workspace. A file that is
//! gone is a *whiteout*: a character device 0:0, or, where those cannot be made, an empty file with
//! the attribute `user.overlay.whiteout`, which newer kernels understand as well. A folder with the
//! attribute `user.overlay.opaque` = `y` shows nothing of what is below it.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use claudecluster_files::{FolderHandle, ForeignFileError};
use claudecluster_protocol::{FileMode, RelPath};
use rustix::{
    fs::{CWD, FileType, Mode, Stat, XattrFlags, lgetxattr, lsetxattr, mknodat},
    io::Errno,
};

use super::SandboxError;

/// The most names in one folder that are listed.
const MOST_NAMES: usize = 4_000_000;
const OPAQUE: &str = "user.overlay.opaque";
const WHITEOUT: &str = "user.overlay.whiteout";

/// One file of a layer that is written by hand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayerFile {
    /// The file.
    pub path: RelPath,
    /// The state of the file in this layer.
    pub state: LayerState,
}

/// The state of a file in a layer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LayerState {
    /// The layer has the file.
    Present {
        /// The content; for a symbolic link its target.
        bytes: Bytes,
        /// The kind and permission of the file.
        mode: FileMode,
    },
    /// The layer deletes the file of the layers below.
    Deleted,
}

/// Writes a layer into `dir`, which is made where it does not exist: the seed layer with unsaved
/// buffers, or the merged layer of a join. Where one file is given twice, the later one counts.
pub fn write_layer(dir: &Path, files: &[LayerFile]) -> Result<(), SandboxError> {
    fs::create_dir_all(dir).map_err(SandboxError::io("create the layer", dir))?;
    let layer = LayerPath::open(dir).map_err(SandboxError::io("open the layer", dir))?;
    // Deletions first: a file may be replaced by a folder that holds new files.
    let deleted = |file: &&LayerFile| file.state == LayerState::Deleted;
    for file in files
        .iter()
        .filter(deleted)
        .chain(files.iter().filter(|f| !deleted(f)))
    {
        let path = dir.join(file.path.to_path_buf());
        write_file(dir, &layer, &path, &file.state)
            .map_err(SandboxError::io("write the layer's", &path))?;
    }
    Ok(())
}

fn write_file(dir: &Path, layer: &LayerPath, path: &Path, state: &LayerState) -> io::Result<()> {
    match state {
        LayerState::Deleted => {
            if make_parents(dir, layer, path, false)? {
                make_whiteout(path)?;
            }
            Ok(())
        }
        LayerState::Present { bytes, mode } => {
            make_parents(dir, layer, path, true)?;
            remove_path(path)?;
            write_new(path, bytes, *mode)
        }
    }
}

/// Makes the folders above `path`.
///
/// If one of them is deleted in this layer, `replace` turns it into a folder that shows nothing from below.
/// Without `replace` nothing is made, and the result is `false`.
fn make_parents(dir: &Path, layer: &LayerPath, path: &Path, replace: bool) -> io::Result<bool> {
    let Some(parent) = path.parent() else {
        return Ok(true);
    };
    let Ok(below) = parent.strip_prefix(dir) else {
        return Ok(true);
    };
    let (mut at, mut node) = (dir.to_path_buf(), layer.clone());
    for part in below.components() {
        at.push(part);
        node = node.join(part);
        match node.node()? {
            LayerNode::Dir { .. } => {}
            LayerNode::Absent => fs::create_dir(&at)?,
            _ if !replace => return Ok(false),
            node => {
                remove_path(&at)?;
                fs::create_dir(&at)?;
                if matches!(node, LayerNode::Whiteout) {
                    set_opaque(&at)?;
                }
            }
        }
    }
    Ok(true)
}

/// Writes a file that does not exist yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: FileMode) -> io::Result<()> {
    let permission = match mode {
        FileMode::Symlink => return symlink(OsStr::from_bytes(bytes), path),
        FileMode::Regular => 0o644,
        FileMode::Executable => 0o755,
    };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(permission)
        .open(path)?;
    io::Write::write_all(&mut file, bytes)?;
    // The mask of the daemon must not take the executable bits away.
    file.set_permissions(fs::Permissions::from_mode(permission))
}

/// Removes a file or a folder with its content, if there is one, even where programs, or the kernel, left folders
/// in it that cannot be entered.
pub(crate) fn remove_path(path: &Path) -> io::Result<()> {
    Ok(claudecluster_files::remove_path(path)?)
}

/// Marks `path` as deleted in a layer.
pub(crate) fn make_whiteout(path: &Path) -> io::Result<()> {
    remove_path(path)?;
    match mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0) {
        Ok(()) => Ok(()),
        Err(Errno::PERM | Errno::ACCESS | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
            fs::File::create_new(path)?;
            lsetxattr(path, WHITEOUT, b"y", XattrFlags::empty())?;
            // The kernel looks for such files only in folders that say so.
            if let Some(parent) = path.parent().filter(|parent| !is_opaque(parent)) {
                lsetxattr(parent, OPAQUE, b"x", XattrFlags::empty())?;
            }
            Ok(())
        }
        Err(e) => Err(e.into()),
    }
}

/// Makes a folder hide everything in the layers below it.
pub(crate) fn set_opaque(dir: &Path) -> io::Result<()> {
    Ok(lsetxattr(dir, OPAQUE, b"y", XattrFlags::empty())?)
}

fn is_opaque(dir: &Path) -> bool {
    let mut value = [0u8; 2];
    matches!(lgetxattr(dir, OPAQUE, &mut value), Ok(1) if value[0] == b'y')
}

/// The entry of one name in one layer.
#[derive(Debug)]
pub(crate) enum LayerNode {
    Absent,
    Whiteout,
    Dir {
        opaque: bool,
    },
    File,
    Symlink,
    /// Socket, pipe or device.
    Special(&'static str),
}

/// An entry of a layer or a workspace: below a folder that is held open, and reached through no link, whatever changes
/// meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct LayerPath {
    root: Arc<FolderHandle>,
    below: PathBuf,
}

impl LayerPath {
    /// Opens the folder of a layer, by a path that is trusted.
    pub(crate) fn open(layer: &Path) -> io::Result<Self> {
        let root = Arc::new(FolderHandle::open(layer)?);
        let below = PathBuf::new();
        Ok(Self { root, below })
    }

    /// Returns the path below the layer.
    pub(crate) fn below(&self) -> &Path {
        &self.below
    }

    /// Returns an entry of this folder.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> Self {
        Self {
            root: self.root.clone(),
            below: self.below.join(name),
        }
    }

    /// Opens this folder for listing.
    pub(crate) fn open_folder(&self) -> Result<FolderHandle, ForeignFileError> {
        self.root.open_folder(&self.below)
    }

    /// Opens this file for reading.
    pub(crate) fn open_file(&self) -> Result<(File, Stat), ForeignFileError> {
        self.root.open_file(&self.below)
    }

    /// Reads this file, of at most `limit` bytes.
    pub(crate) fn read_file(&self, limit: u64) -> Result<Vec<u8>, ForeignFileError> {
        self.root.read_file(&self.below, limit)
    }

    /// Returns the target of this link.
    pub(crate) fn read_link(&self) -> Result<OsString, ForeignFileError> {
        self.root.read_link(&self.below)
    }

    /// Returns the metadata; `None` if there is nothing.
    pub(crate) fn stat(&self) -> Result<Option<Stat>, ForeignFileError> {
        self.root.stat(&self.below)
    }

    /// Returns what the entry means in a layer.
    pub(crate) fn node(&self) -> io::Result<LayerNode> {
        let Some(stat) = self.stat()? else {
            return Ok(LayerNode::Absent);
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => LayerNode::Dir {
                opaque: self.is_opaque(),
            },
            FileType::Symlink => LayerNode::Symlink,
            FileType::RegularFile if stat.st_size == 0 && self.has_whiteout() => {
                LayerNode::Whiteout
            }
            FileType::RegularFile => LayerNode::File,
            FileType::CharacterDevice if stat.st_rdev == 0 => LayerNode::Whiteout,
            FileType::Fifo => LayerNode::Special("named pipe"),
            FileType::Socket => LayerNode::Special("socket"),
            _ => LayerNode::Special("device"),
        })
    }

    fn is_opaque(&self) -> bool {
        let value = self.root.attribute(&self.below, OPAQUE);
        matches!(value, Ok(Some(value)) if value == b"y")
    }

    fn has_whiteout(&self) -> bool {
        matches!(self.root.attribute(&self.below, WHITEOUT), Ok(Some(_)))
    }
}

/// One folder of a stack of layers, as an overlay would show it: the folders that make it up, the one
/// that wins first.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerStack(Vec<LayerPath>);

/// The entry of one name in a [`LayerStack`], as an overlay would show it.
#[derive(Debug)]
pub(crate) enum StackEntry {
    Absent,
    Dir(LayerStack),
    File(LayerPath),
    Symlink(LayerPath),
    Special,
}

impl LayerStack {
    /// Returns the root folder of a stack of layers.
    ///
    /// # Errors
    /// One of them cannot be opened.
    pub(crate) fn new<'a>(layers: impl IntoIterator<Item = &'a Path>) -> io::Result<Self> {
        let mut kept = Vec::new();
        for layer in layers {
            let layer = LayerPath::open(layer)?;
            let opaque = layer.is_opaque();
            kept.push(layer);
            if opaque {
                break;
            }
        }
        Ok(Self(kept))
    }

    /// Returns a folder that nothing lies below.
    pub(crate) fn of_one(folder: LayerPath) -> Self {
        Self(vec![folder])
    }

    /// Returns the entry `name` of this folder.
    pub(crate) fn child(&self, name: &OsStr) -> io::Result<StackEntry> {
        let mut dirs = Vec::new();
        for dir in &self.0 {
            let path = dir.join(name);
            match path.node()? {
                LayerNode::Absent => {}
                LayerNode::Dir { opaque } => {
                    dirs.push(path);
                    if opaque {
                        break;
                    }
                }
                // Under a folder, anything else is hidden by it, with all that is below.
                _ if !dirs.is_empty() => break,
                LayerNode::Whiteout => return Ok(StackEntry::Absent),
                LayerNode::File => return Ok(StackEntry::File(path)),
                LayerNode::Symlink => return Ok(StackEntry::Symlink(path)),
                LayerNode::Special(_) => return Ok(StackEntry::Special),
            }
        }
        Ok(if dirs.is_empty() {
            StackEntry::Absent
        } else {
            StackEntry::Dir(Self(dirs))
        })
    }

    /// Returns the entry at a path below this folder.
    pub(crate) fn at(&self, path: &Path) -> io::Result<StackEntry> {
        let mut seen = StackEntry::Dir(self.clone());
        for part in path.iter() {
            let StackEntry::Dir(dir) = seen else {
                return Ok(StackEntry::Absent);
            };
            seen = dir.child(part)?;
        }
        Ok(seen)
    }

    /// Lists the names in this folder, including those of deleted files.
    pub(crate) fn names(&self) -> io::Result<BTreeSet<OsString>> {
        let mut names = BTreeSet::new();
        for dir in &self.0 {
            let entries = dir.open_folder()?.entries(MOST_NAMES)?;
            names.extend(entries.into_iter().map(|entry| entry.name));
        }
        Ok(names)
    }

    /// Returns this folder with `top` as its uppermost layer.
    pub(crate) fn under(&self, top: LayerPath) -> Self {
        let opaque = top.is_opaque();
        let mut dirs = vec![top];
        if !opaque {
            dirs.extend(self.0.iter().cloned());
        }
        Self(dirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &'static str) -> LayerFile {
        let bytes = Bytes::from_static(text.as_bytes());
        let state = LayerState::Present {
            bytes,
            mode: FileMode::Regular,
        };
        LayerFile {
            path: RelPath::new(path).unwrap(),
            state,
        }
    }

    fn gone(path: &str) -> LayerFile {
        LayerFile {
            path: RelPath::new(path).unwrap(),
            state: LayerState::Deleted,
        }
    }

    /// All files of a stack with their text.
    fn listing(dir: &LayerStack, prefix: &str) -> Vec<String> {
        let mut all = Vec::new();
        for name in dir.names().unwrap() {
            let path = format!("{prefix}{}", name.display());
            match dir.child(&name).unwrap() {
                StackEntry::Dir(dir) => all.extend(listing(&dir, &format!("{path}/"))),
                StackEntry::File(real) => {
                    let text = String::from_utf8(real.read_file(99).unwrap()).unwrap();
                    all.push(format!("{path}={text}"));
                }
                StackEntry::Absent => {}
                other => panic!("{other:?}"),
            }
        }
        all
    }

    #[test]
    fn stacks_show_what_an_overlay_shows() {
        let check = |layers: &[&[LayerFile]], expected: &[&str]| {
            let top = tempfile::tempdir().unwrap();
            let dirs: Vec<_> = (0..layers.len())
                .map(|i| top.path().join(i.to_string()))
                .collect();
            for (dir, files) in dirs.iter().zip(layers) {
                write_layer(dir, files).unwrap();
            }
            let stack = LayerStack::new(dirs.iter().map(PathBuf::as_path)).unwrap();
            assert_eq!(listing(&stack, ""), expected);
        };
        let below = [file("a", "1"), file("d/x", "1"), file("d/y", "1")];
        check(&[&[file("a", "2")], &below], &["a=2", "d/x=1", "d/y=1"]);
        check(&[&[gone("a"), gone("d/x")], &below], &["d/y=1"]);
        check(&[&[gone("d")], &below], &["a=1"]);
        check(&[&[file("d", "file")], &below], &["a=1", "d=file"]);
        // A deleted folder with a new file in it shows nothing from below.
        check(&[&[gone("d"), file("d/z", "2")], &below], &["a=1", "d/z=2"]);
        check(
            &[&[file("a/in", "2")], &below],
            &["a/in=2", "d/x=1", "d/y=1"],
        );
        check(&[&[gone("d"), gone("d/x")], &below], &["a=1"]);
        check(
            &[&[file("d/x", "3")], &[gone("d")], &below],
            &["a=1", "d/x=3"],
        );
    }
}
