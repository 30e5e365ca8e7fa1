//! The `git` program, called so that neither the repository nor the user's configuration can make it
//! run anything.

mod folder;

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use claudecluster_protocol::{ErrorBody, RelPath};

use self::folder::UnreadableByGit;
pub(crate) use self::folder::read_index;
use super::bounded_process::{BoundedProcessError, ProcessLimits, run_bounded};

/// How much git may take: it reads what somebody else wrote.
const LIMITS: ProcessLimits = ProcessLimits {
    // A listing of the largest checkouts, from a cold disk.
    deadline: Duration::from_mins(2),
    patience: Duration::from_secs(2),
    output: 512 << 20,
    memory: 4 << 30,
};

/// Why git did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// There is no git.
    #[error("git is not installed")]
    Missing,
    /// It could not be started.
    #[error("cannot start git: {0}")]
    Start(io::Error),
    /// It was ended before it had answered.
    #[error("`git {command}` was ended: {reason}")]
    Ended {
        /// The arguments of the command.
        command: String,
        /// Why.
        reason: String,
    },
    /// It was not asked: it would not end.
    #[error("git cannot be used here: {0}")]
    Unreadable(#[from] UnreadableByGit),
    /// It exited with an error.
    #[error("`git {command}` failed: {stderr}")]
    Failed {
        /// The arguments of the command.
        command: String,
        /// Its error output.
        stderr: String,
    },
}

impl From<GitError> for ErrorBody {
    fn from(error: GitError) -> Self {
        let hint = match &error {
            GitError::Missing => "install git, for example with `apt install git`",
            GitError::Start(_) => "check the setup with: claudecluster doctor",
            GitError::Ended { .. } => {
                "remove what is no file from the workspace, then check that this ends: git status"
            }
            GitError::Unreadable(_) => {
                "replace it by a regular file, or clone the repository again: git clone"
            }
            GitError::Failed { .. } => "run `git status` in the workspace to see the problem",
        };
        ErrorBody::environment(error.to_string()).with_hint(hint)
    }
}

/// The arguments that every command begins with, which nobody needs to read.
const CONFIGURATION: usize = 10;

/// Returns a git command in `dir` that reads only the repository's own configuration, runs none of
/// its programs, and leaves no lock or index refresh behind.
fn git_command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    // Git finds its own programs and, for locale and time, nothing else.
    for name in ["HOME", "TZ", "SYSTEMROOT"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // A relative entry of PATH would find a program of the workspace.
    let search = std::env::var_os("PATH").unwrap_or_default();
    let absolute = std::env::split_paths(&search).filter(|folder| folder.is_absolute());
    if let Ok(path) = std::env::join_paths(absolute) {
        command.env("PATH", path);
    }
    command
        .envs([
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            // Older git does not know that one. Without a protocol there is no program to talk to.
            ("GIT_ALLOW_PROTOCOL", "none"),
        ])
        .args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
        ])
        .args([
            "-c",
            "protocol.ext.allow=never",
            "-c",
            "core.quotePath=false",
        ])
        // Who may use the folder is decided by who may read it; git asks because it would run hooks.
        .args(["-c", "safe.directory=*"])
        .current_dir(dir);
    command
}

/// Runs git and returns its output.
pub(crate) fn run_git<S: AsRef<OsStr>>(dir: &Path, args: &[S]) -> Result<Vec<u8>, GitError> {
    run_git_with(dir, args, &[])
}

/// Runs git with further environment variables.
pub(crate) fn run_git_with<S: AsRef<OsStr>>(
    dir: &Path,
    args: &[S],
    env: &[(&str, &OsStr)],
) -> Result<Vec<u8>, GitError> {
    let output = run_command(git_command(dir).args(args).envs(env.iter().copied()), dir)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words: Vec<_> = args
        .iter()
        .map(|arg| arg.as_ref().to_string_lossy())
        .collect();
    Err(GitError::Failed {
        command: words.join(" "),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn run_command(command: &mut Command, dir: &Path) -> Result<Output, GitError> {
    run_bounded(command, LIMITS, || folder::find_endless_file(dir)).map_err(|error| {
        let words = command
            .get_args()
            .skip(CONFIGURATION)
            .map(OsStr::to_string_lossy);
        match error {
            BoundedProcessError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                GitError::Missing
            }
            BoundedProcessError::Io(error) => GitError::Start(error),
            error => GitError::Ended {
                command: words.collect::<Vec<_>>().join(" "),
                reason: error.to_string(),
            },
        }
    })
}

/// `git status`, for which git compares the content of files that may have changed. It would convert them
/// first, by programs that the repository names.
pub(crate) fn status<S: AsRef<OsStr>>(dir: &Path, args: &[S]) -> Result<Vec<u8>, GitError> {
    let mut env = Vec::new();
    for (number, (key, value)) in without_filters(dir)?.into_iter().enumerate() {
        env.push((format!("GIT_CONFIG_KEY_{number}"), key));
        env.push((format!("GIT_CONFIG_VALUE_{number}"), value.into()));
    }
    env.push((
        "GIT_CONFIG_COUNT".into(),
        (env.len() / 2).to_string().into(),
    ));
    let env: Vec<(&str, &OsStr)> = env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_os_str()))
        .collect();
    run_git_with(dir, args, &env)
}

/// Returns the configuration that takes the programs away from every filter the repository defines. A file that
/// one of them would have converted counts as changed then, which costs a copy of it and nothing else.
fn without_filters(dir: &Path) -> Result<Vec<(OsString, &'static str)>, GitError> {
    let args = ["config", "--name-only", "-z", "--get-regexp", r"^filter\."];
    let found = run_command(git_command(dir).args(args), dir)?;
    // It fails where there is none, and where the configuration cannot be read: what needs it says so.
    let mut drivers: Vec<&[u8]> = found
        .stdout
        .split(|&b| b == 0)
        .filter_map(|name| name.get(..name.iter().rposition(|&b| b == b'.')?))
        .collect();
    drivers.sort_unstable();
    drivers.dedup();
    let off = [
        ("clean", ""),
        ("smudge", ""),
        ("process", ""),
        ("required", "false"),
    ];
    let of = |driver: &[u8]| {
        let driver = driver.to_owned();
        off.map(move |(key, value)| {
            let name = [&driver, b".".as_slice(), key.as_bytes()].concat();
            (OsString::from_vec(name), value)
        })
    };
    Ok(drivers.into_iter().flat_map(of).collect())
}

/// A repository as seen from a workspace.
#[derive(Clone, Debug)]
pub(crate) struct GitRepository {
    /// The workspace relative to the top of the work tree; empty at the top.
    pub(crate) prefix: Vec<u8>,
    /// The index file.
    pub(crate) index: PathBuf,
}

/// Returns the repository `workspace` lies in, if any.
pub(crate) fn find_repository(workspace: &Path) -> Result<Option<GitRepository>, ErrorBody> {
    folder::check_repository(workspace).map_err(GitError::from)?;
    let args = [
        "rev-parse",
        "--is-bare-repository",
        "--is-inside-git-dir",
        "--show-prefix",
        "--git-path",
        "index",
    ];
    let answer = match run_git(workspace, &args) {
        Ok(answer) => answer,
        // A `.git` that git itself does not understand is damage, not the absence of a repository.
        Err(GitError::Failed { stderr, .. })
            if stderr.contains("not a git repository") && !in_repository(workspace) =>
        {
            return Ok(None);
        }
        // Without git a workspace can be used unless it is a repository.
        Err(GitError::Missing) if !in_repository(workspace) => return Ok(None),
        Err(GitError::Failed { .. }) if bare(workspace) => return Err(bare_error(workspace)),
        Err(error) => return Err(error.into()),
    };
    let mut lines = answer.split(|&b| b == b'\n');
    if lines.next() == Some(b"true") || lines.next() == Some(b"true") {
        return Err(bare_error(workspace));
    }
    let prefix = lines.next().unwrap_or_default();
    let index = lines.next().unwrap_or_default();
    Ok(Some(GitRepository {
        prefix: prefix.strip_suffix(b"/").unwrap_or(prefix).to_vec(),
        index: workspace.join(to_path(index)),
    }))
}

fn in_repository(workspace: &Path) -> bool {
    workspace.ancestors().any(|dir| dir.join(".git").exists())
}

fn bare(workspace: &Path) -> bool {
    run_git(workspace, &["rev-parse", "--is-bare-repository"]).is_ok_and(|out| out == b"true\n")
}

fn bare_error(workspace: &Path) -> ErrorBody {
    ErrorBody::user(format!(
        "{} is a bare repository or a .git folder: it has no files to work on",
        workspace.display()
    ))
    .with_hint("create a checkout and run the command there: git worktree add ../checkout")
}

fn to_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(OsStr::from_bytes(bytes))
}

impl GitRepository {
    /// Returns a path relative to the top of the work tree, relative to the workspace instead.
    pub(crate) fn relative(&self, path: &[u8]) -> Option<RelPath> {
        let inside = if self.prefix.is_empty() {
            path
        } else {
            path.strip_prefix(self.prefix.as_slice())?
                .strip_prefix(b"/")?
        };
        RelPath::from_bytes(inside.strip_suffix(b"/").unwrap_or(inside)).ok()
    }

    /// Returns the state of `path` in an index: the object's id, and whether it is executable or a
    /// link.
    pub(crate) fn staged(
        &self,
        workspace: &Path,
        index: &Path,
        path: &RelPath,
    ) -> Result<Option<(String, claudecluster_protocol::FileMode)>, GitError> {
        use claudecluster_protocol::FileMode;
        let relative = path.to_path_buf();
        let args: [&OsStr; 6] = [
            OsStr::new("--literal-pathspecs"),
            OsStr::new("ls-files"),
            OsStr::new("-s"),
            OsStr::new("-z"),
            OsStr::new("--"),
            relative.as_os_str(),
        ];
        let out = run_git_with(workspace, &args, &[("GIT_INDEX_FILE", index.as_os_str())])?;
        // Of a folder git lists what is in it.
        let named = out.split(|&b| b == 0).find_map(|entry| {
            let tab = entry.iter().position(|&b| b == b'\t')?;
            let (head, name) = (&entry[..tab], &entry[tab + 1..]);
            (name == path.to_bytes()).then_some(head)
        });
        let Some(head) = named else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(head);
        let mut words = head.split(' ');
        let (Some(mode), Some(id)) = (words.next(), words.next()) else {
            return Ok(None);
        };
        Ok(match mode {
            "100755" => Some((id.to_owned(), FileMode::Executable)),
            "100644" => Some((id.to_owned(), FileMode::Regular)),
            "120000" => Some((id.to_owned(), FileMode::Symlink)),
            _ => None,
        })
    }
}

/// Returns the bytes of an object.
pub(crate) fn read_object(workspace: &Path, id: &str) -> Result<Vec<u8>, GitError> {
    run_git(workspace, &["cat-file", "blob", id])
}

/// Tracked paths that an ignore rule names: they count as changed although they are ignored.
pub(crate) fn tracked_but_ignored(workspace: &Path) -> Result<Vec<RelPath>, GitError> {
    let out = run_git(
        workspace,
        &["ls-files", "-i", "-c", "-z", "--exclude-standard"],
    )?;
    Ok(out
        .split(|&b| b == 0)
        .filter(|path| !path.is_empty())
        .filter_map(|path| RelPath::from_bytes(path).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_repositorys_filters_do_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        run_git(root, &["init", "-q"]).unwrap();
        fs::write(
            root.join(".gitattributes"),
            "* filter=e.v=il\nb filter=two\n",
        )
        .unwrap();
        for name in ["a", "b"] {
            fs::write(root.join(name), "1\n").unwrap();
        }
        run_git(root, &["add", "."]).unwrap();
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        run_git(root, &[&who[..], &["commit", "-qm", "first"]].concat()).unwrap();
        let canary = root.join(".git/canary");
        let trap = format!("touch {}; cat", canary.display());
        let config = fs::read_to_string(root.join(".git/config")).unwrap();
        let more = format!(
            "[filter \"e.v=il\"]\nclean = \"{trap}\"\nrequired = true\n\
             [filter \"two\"]\nprocess = \"{trap}\"\nrequired\n"
        );
        fs::write(root.join(".git/config"), config + &more).unwrap();
        for name in ["a", "b"] {
            fs::write(root.join(name), "2\n").unwrap();
        }
        let args = ["status", "--porcelain"];
        assert_eq!(status(root, &args).unwrap(), b" M a\n M b\n");
        assert!(!canary.exists());
        run_git(root, &args).unwrap_err();
        assert!(canary.exists(), "the trap works");
    }

    #[test]
    fn git_that_waits_for_a_pipe_is_ended_and_the_pipe_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        run_git(root, &["init", "-q"]).unwrap();
        fs::write(root.join("a"), "").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join(".gitignore"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        let ended = status(root, &["status", "--porcelain"]).unwrap_err();
        let told = ended.to_string();
        assert!(
            told.starts_with("`git status --porcelain` was ended"),
            "{told}"
        );
        assert!(told.contains(".gitignore, which is a pipe"), "{told}");
    }

    #[test]
    fn nothing_is_fetched() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        run_git(root, &["init", "-q"]).unwrap();
        let canary = root.join(".git/canary");
        let config = fs::read_to_string(root.join(".git/config")).unwrap();
        let more = format!(
            "[remote \"origin\"]\nurl = {}\npromisor = true\nuploadpack = \"touch {}; false\"\n\
             [extensions]\npartialClone = origin\n[protocol]\nallow = always\n\
             [protocol \"file\"]\nallow = always\n",
            root.display(),
            canary.display()
        );
        let config = config.replace("repositoryformatversion = 0", "repositoryformatversion = 1");
        fs::write(root.join(".git/config"), config + &more).unwrap();
        let missing = "1234567890123456789012345678901234567890";
        read_object(root, missing).unwrap_err();
        // As git before it knew GIT_NO_LAZY_FETCH.
        let args = ["cat-file", "blob", missing];
        let _ = run_command(
            git_command(root).args(args).env_remove("GIT_NO_LAZY_FETCH"),
            root,
        )
        .unwrap();
        assert!(!canary.exists());
        let mut open = git_command(root);
        open.env_remove("GIT_NO_LAZY_FETCH");
        open.env_remove("GIT_ALLOW_PROTOCOL");
        let _ = run_command(open.args(args), root).unwrap();
        assert!(canary.exists(), "the trap works");
    }
}
