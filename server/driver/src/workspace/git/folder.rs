//! What lies in a repository's own folder, looked at before git reads it.
//!
//! Git opens and reads what is there and waits for a pipe, or reads a device until memory ends. A link to a file
//! is refused as well: the index is recorded, and of others git quotes lines in its errors. Links to folders are
//! left to git, for users make them (a shared `objects`, `.git` itself), and so is an old-style `HEAD`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use claudecluster_files::{
    EntryKind, FolderHandle, ForeignFileError, WalkLimits, WalkStep, read_named_file,
};

/// The most bytes of a file that names another one: `.git`, `HEAD`, `commondir`.
const POINTER_BYTES: u64 = 64 << 10;
/// The most bytes of a file of settings or patterns.
const SETTINGS_BYTES: u64 = 64 << 20;
/// The most bytes of an index or of packed references.
pub(crate) const INDEX_BYTES: u64 = 1 << 30;

/// Something that git must not read.
#[derive(Debug, thiserror::Error)]
#[error("{} {what}", path.display())]
pub(crate) struct UnreadableByGit {
    path: PathBuf,
    what: String,
}

impl UnreadableByGit {
    fn new(path: &Path, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// Files in the folder of one checkout.
const OF_CHECKOUT: [(&str, u64); 4] = [
    ("HEAD", POINTER_BYTES),
    ("commondir", POINTER_BYTES),
    ("config.worktree", SETTINGS_BYTES),
    ("info/sparse-checkout", SETTINGS_BYTES),
];
/// Files in the folder that all checkouts of a repository share.
const SHARED: [(&str, u64); 8] = [
    ("config", SETTINGS_BYTES),
    ("packed-refs", INDEX_BYTES),
    ("shallow", SETTINGS_BYTES),
    ("info/exclude", SETTINGS_BYTES),
    ("info/attributes", SETTINGS_BYTES),
    ("info/grafts", SETTINGS_BYTES),
    ("objects/info/alternates", SETTINGS_BYTES),
    ("objects/info/commit-graph", INDEX_BYTES),
];
/// Folders in it.
const FOLDERS: [&str; 6] = [
    "objects",
    "objects/pack",
    "objects/info",
    "refs",
    "refs/heads",
    "info",
];

/// Refuses a repository in which git would wait for a pipe, read a device, or read without end. What is missing,
/// git judges.
pub(crate) fn check_repository(workspace: &Path) -> Result<(), UnreadableByGit> {
    let Some(checkout) = checkout_folder(workspace)? else {
        return Ok(());
    };
    for (name, limit) in OF_CHECKOUT {
        check_file(&checkout.join(name), limit)?;
    }
    check_file(&checkout.join("index"), INDEX_BYTES)?;
    let shared = match read_pointer(&checkout.join("commondir"))? {
        Some(common) => checkout.join(common),
        None => checkout.clone(),
    };
    for (name, limit) in SHARED {
        check_file(&shared.join(name), limit)?;
    }
    for name in FOLDERS {
        check_folder(&shared.join(name))?;
    }
    if let Some(head) = read_pointer(&checkout.join("HEAD"))?
        && let Some(reference) = head.strip_prefix("ref: ")
        && !reference.split('/').any(|part| part == "..")
    {
        check_file(&shared.join(reference), POINTER_BYTES)?;
    }
    Ok(())
}

/// Returns the folder of the checkout that `workspace` lies in.
fn checkout_folder(workspace: &Path) -> Result<Option<PathBuf>, UnreadableByGit> {
    let found = workspace
        .ancestors()
        .map(|dir| dir.join(".git"))
        .find(|git| fs::symlink_metadata(git).is_ok());
    let Some(git) = found else {
        return Ok(None);
    };
    match fs::metadata(&git) {
        Ok(meta) if meta.is_dir() => return Ok(Some(git)),
        // A link that leads nowhere: git says so.
        Err(_) => return Ok(None),
        Ok(_) => {}
    }
    // Checkouts beside the first, and submodules.
    let Some(text) = read_pointer(&git)? else {
        return Ok(None);
    };
    let at = git.parent().unwrap_or(&git);
    Ok(text.strip_prefix("gitdir: ").map(|dir| at.join(dir)))
}

/// Reads a small file of one line; `None` if there is none.
fn read_pointer(path: &Path) -> Result<Option<String>, UnreadableByGit> {
    match read_named_file(path, POINTER_BYTES) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())),
        Err(ForeignFileError::Io(_)) => Ok(None),
        Err(error) => Err(UnreadableByGit::new(
            path,
            format!("cannot be read: {error}"),
        )),
    }
}

fn check_file(path: &Path, limit: u64) -> Result<(), UnreadableByGit> {
    // What cannot be looked at, git cannot read either, and says so.
    let Ok(stat) = rustix::fs::lstat(path) else {
        return Ok(());
    };
    match EntryKind::of(&stat) {
        EntryKind::File if u64::try_from(stat.st_size).unwrap_or(0) > limit => Err(
            UnreadableByGit::new(path, format!("has more than {limit} bytes")),
        ),
        EntryKind::File | EntryKind::Folder => Ok(()),
        EntryKind::Link if names_branch(path) => Ok(()),
        other => Err(UnreadableByGit::new(
            path,
            format!("is {other}, not a regular file"),
        )),
    }
}

/// Returns whether a link is a `HEAD` as git wrote it once: one that leads to a branch.
fn names_branch(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "HEAD")
        && fs::read_link(path).is_ok_and(|to| {
            to.starts_with("refs/heads") && !to.components().any(|part| part.as_os_str() == "..")
        })
}

fn check_folder(path: &Path) -> Result<(), UnreadableByGit> {
    let Ok(stat) = rustix::fs::stat(path) else {
        return Ok(());
    };
    match EntryKind::of(&stat) {
        EntryKind::Folder => Ok(()),
        other => Err(UnreadableByGit::new(
            path,
            format!("is {other}, not a folder"),
        )),
    }
}

/// Reads the index, which is recorded; `None` if there is none.
pub(crate) fn read_index(path: &Path) -> Result<Option<Vec<u8>>, ForeignFileError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
    };
    match FolderHandle::open(parent).and_then(|dir| dir.read_file(name, INDEX_BYTES)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Files of a work tree that git reads when it lists what has changed.
const READ_IN_TREE: [&str; 4] = [".gitignore", ".gitattributes", ".gitmodules", ".git"];

/// Returns why git is slow, where that is a pipe or a device it reads. A walk over everything: for a git that
/// takes long already.
pub(crate) fn find_endless_file(workspace: &Path) -> Option<String> {
    let top = workspace
        .ancestors()
        .find(|dir| fs::symlink_metadata(dir.join(".git")).is_ok())
        .unwrap_or(workspace);
    let own = checkout_folder(workspace).ok().flatten();
    let in_tree = |name: &Path| READ_IN_TREE.iter().any(|read| name == Path::new(read));
    find_endless(top, |path| {
        path.file_name().is_some_and(|name| in_tree(name.as_ref()))
    })
    .or_else(|| find_endless(&own?, |_| true))
}

fn find_endless(top: &Path, is_read: impl Fn(&Path) -> bool) -> Option<String> {
    let mut found = None;
    let folder = FolderHandle::open(top).ok()?;
    let walked = folder.walk(WalkLimits::default(), |entry| {
        let endless = matches!(entry.kind, EntryKind::Pipe | EntryKind::Device);
        if endless && is_read(entry.path) {
            let path = top.join(entry.path);
            found = Some(format!(
                "it waits for {}, which is {}",
                path.display(),
                entry.kind
            ));
            return Ok(WalkStep::End);
        }
        Ok::<_, ForeignFileError>(WalkStep::Into)
    });
    // A tree that is too deep to search is not searched further.
    drop(walked);
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::workspace::git::run_git;

    /// What the check says of a repository after `harm` was done to its folder.
    fn check(harm: impl FnOnce(&Path), expected: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        run_git(dir.path(), &["init", "-q", "-b", "main"]).unwrap();
        harm(&dir.path().join(".git"));
        let told = check_repository(dir.path()).map_err(|error| error.to_string());
        match expected {
            None => told.unwrap(),
            Some(expected) => {
                let told = told.unwrap_err();
                assert!(told.contains(expected), "{told}");
            }
        }
    }

    fn pipe(path: &Path) {
        let _ = fs::remove_file(path);
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    }

    #[test]
    fn what_git_would_wait_for_is_refused_and_links_of_users_are_not() {
        check(|_| {}, None);
        for name in [
            "HEAD",
            "index",
            "config",
            "packed-refs",
            "info/exclude",
            "refs/heads/main",
        ] {
            check(|git| pipe(&git.join(name)), Some("is a pipe"));
            let zero = |git: &Path| {
                let _ = fs::remove_file(git.join(name));
                symlink("/dev/zero", git.join(name)).unwrap();
            };
            check(zero, Some("is a symbolic link"));
            let sparse = |git: &Path| {
                fs::File::create(git.join(name))
                    .unwrap()
                    .set_len(1 << 40)
                    .unwrap();
            };
            check(sparse, Some("bytes"));
        }
        let file = |git: &Path| {
            fs::rename(git.join("objects"), git.join("elsewhere")).unwrap();
            pipe(&git.join("objects"));
        };
        check(file, Some("is a pipe, not a folder"));
        let linked = |git: &Path| {
            fs::rename(git.join("objects"), git.join("elsewhere")).unwrap();
            symlink("elsewhere", git.join("objects")).unwrap();
        };
        check(linked, None);
        let old_style = |git: &Path| {
            fs::remove_file(git.join("HEAD")).unwrap();
            symlink("refs/heads/main", git.join("HEAD")).unwrap();
        };
        check(old_style, None);
    }

    #[test]
    fn the_folders_of_a_second_checkout_are_looked_at_too() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        fs::create_dir(&first).unwrap();
        run_git(&first, &["init", "-q", "-b", "main"]).unwrap();
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        let commit = ["commit", "-q", "--allow-empty", "-m", "first"];
        run_git(&first, &[&who[..], &commit].concat()).unwrap();
        run_git(&first, &["worktree", "add", "-q", "../second"]).unwrap();
        check_repository(&second).unwrap();
        pipe(&first.join(".git/packed-refs"));
        check_repository(&second).unwrap_err();
    }

    #[test]
    fn the_pipe_that_git_waits_for_is_named() {
        let dir = tempfile::tempdir().unwrap();
        run_git(dir.path(), &["init", "-q"]).unwrap();
        pipe(&dir.path().join("pipe"));
        assert_eq!(find_endless_file(dir.path()), None);
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        pipe(&dir.path().join("a/b/.gitignore"));
        let told = find_endless_file(dir.path()).unwrap();
        assert!(told.contains("a/b/.gitignore, which is a pipe"), "{told}");
    }
}
