//! Repositories to measure in: always the same bytes, made once and kept.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{output::Result, process};

/// Part of the kept folder's name: a change of the content makes a new one.
const VERSION: u32 = 1;

/// How many files a repository has, and how they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) folders: u32,
    /// In each folder.
    pub(crate) files: u32,
}

impl Shape {
    /// Twenty files.
    pub(crate) const SMALL: Shape = Shape {
        folders: 2,
        files: 10,
    };

    /// At most a thousand files in a folder.
    pub(crate) fn of_files(count: u32) -> Self {
        let folders = count.div_ceil(1_000).max(1);
        Self {
            folders,
            files: count / folders,
        }
    }

    /// The path of a file, counted from 0.
    pub(crate) fn path(self, folder: u32, file: u32) -> String {
        format!("part-{folder:02}/file-{file:04}.txt")
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files", self.folders * self.files)
    }
}

/// The committed repository of that shape, as it was after its only commit.
pub(crate) fn repository(dir: &Path, shape: Shape) -> Result<PathBuf> {
    let root = dir.join(format!(
        "repository-{VERSION}-{}x{}",
        shape.folders, shape.files
    ));
    if root.is_dir() {
        // A run that was stopped may have left something.
        reset(&root)?;
        return Ok(root);
    }
    crate::output::say(&format!("  making a repository with {shape}"));
    let making = tempfile::Builder::new().prefix("making-").tempdir_in(dir)?;
    for folder in 0..shape.folders {
        fs::create_dir(making.path().join(format!("part-{folder:02}")))?;
        for file in 0..shape.files {
            fs::write(
                making.path().join(shape.path(folder, file)),
                content(folder, file)?,
            )?;
        }
    }
    git(making.path(), &["init", "-q", "-b", "main"])?;
    git(making.path(), &["add", "-A"])?;
    git(making.path(), &["commit", "-q", "-m", "first"])?;
    fs::rename(making.keep(), &root)?;
    // Renaming does not change what git compares, but the index was written in the same moment as the
    // files: read once, and written again, it is what an index usually is.
    std::thread::sleep(std::time::Duration::from_secs(1));
    git(&root, &["status", "--porcelain"])?;
    Ok(root)
}

/// Takes back whatever is not committed.
pub(crate) fn reset(root: &Path) -> Result {
    git(root, &["worktree", "prune"])?;
    git(root, &["reset", "-q", "--hard"])?;
    git(root, &["clean", "-fdqx"])?;
    Ok(())
}

fn content(folder: u32, file: u32) -> Result<String> {
    let mut text = String::new();
    // Between 8 and 40 lines, differing from file to file.
    let lines = 8 + (folder * 31 + file * 17) % 33;
    for line in 0..lines {
        let number = folder * 1_000_003 + file * 1_009 + line * 7;
        writeln!(text, "line {line}: {number:x}")?;
    }
    Ok(text)
}

/// `git` as it comes, without this user's configuration.
pub(crate) fn git_command(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args([
            "-c",
            "user.name=Bench",
            "-c",
            "user.email=bench@example.com",
        ])
        .args(args)
        .current_dir(root)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null());
    command
}

pub(crate) fn git(root: &Path, args: &[&str]) -> Result<String> {
    process::output(&mut git_command(root, args))
}
