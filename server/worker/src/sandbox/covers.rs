//! Covers over the files of the machine that programs must not read.

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use super::{
    overlay::{attach_tree, clone_tree, mount_tmpfs},
    secrets::without_secret_lines,
    supervise::{NamedStep, StepError},
    view::{HiddenSecret, SandboxView, SecretCover},
};

/// Where covers are made: a folder of the sandbox's own `/dev`, removed when they are in place.
const WORKBENCH: &str = "/dev/covers";

/// The bytes of the longest file that is shown without some lines.
const LONGEST_SHOWN: u64 = 256 << 10;

/// Covers the secrets of a view. Called when everything else is mounted and can still be written.
pub(super) fn cover_secrets(view: &SandboxView) -> Result<(), StepError> {
    if view.secrets.is_empty() {
        return Ok(());
    }
    let bench = Path::new(WORKBENCH);
    let empty = bench.join("empty");
    std::fs::create_dir_all(&empty).step(|| "make covers".into())?;
    // One mount for all folders: each file system of its own would take time.
    let (folder, file) = (clone_tree(&empty, false)?, Path::new("/dev/null"));
    for (number, secret) in view.secrets.iter().enumerate() {
        let path = Path::new(&secret.path);
        // It is gone, or lies in what is covered already.
        let Ok(meta) = std::fs::metadata(path) else {
            continue;
        };
        let parts = open_shown(secret)?;
        match secret.cover {
            _ if meta.is_dir() && !parts.is_empty() => {
                mount_tmpfs(path, c"mode=0755,size=64k")?;
            }
            _ if meta.is_dir() => attach_copy(&folder, path)?,
            SecretCover::Lines => match read_shown_lines(path) {
                Some(lines) => {
                    let cover = bench.join(number.to_string());
                    std::fs::write(&cover, lines).step(|| "make a cover".into())?;
                    attach_tree(&clone_tree(&cover, false)?, path)?;
                }
                None => attach_tree(&clone_tree(file, false)?, path)?,
            },
            SecretCover::File | SecretCover::Folder => {
                attach_tree(&clone_tree(file, false)?, path)?;
            }
        }
        for (path, tree) in &parts {
            attach_tree(tree, path)?;
        }
    }
    // What is mounted elsewhere stays.
    std::fs::remove_dir_all(bench).step(|| "clear the covers".into())
}

/// Mounts another copy of an empty folder.
fn attach_copy(folder: &OwnedFd, path: &Path) -> Result<(), StepError> {
    use rustix::mount::{OpenTreeFlags, open_tree};
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let copy = open_tree(folder, "", flags).step(|| "copy a cover".into())?;
    attach_tree(&copy, path)
}

/// Opens the parts of a folder that stay visible, before it is covered.
fn open_shown(secret: &HiddenSecret) -> Result<Vec<(PathBuf, OwnedFd)>, StepError> {
    let shown = secret.shown.iter().map(PathBuf::from);
    shown
        .map(|path| clone_tree(&path, true).map(|tree| (path, tree)))
        .collect()
}

/// Reads what of a file may be seen; `None` if it cannot be read or is too long.
fn read_shown_lines(path: &Path) -> Option<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(LONGEST_SHOWN + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().ok()?;
    (text.len() as u64 <= LONGEST_SHOWN).then(|| without_secret_lines(&text))
}
