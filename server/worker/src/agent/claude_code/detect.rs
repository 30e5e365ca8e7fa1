//! Finds Claude Code and asks what it can do. Probes run outside every workspace (R18).

use std::{
    collections::HashMap,
    ffi::OsStr,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, mpsc},
    time::{Duration, SystemTime},
};

use claudecluster_files::FolderHandle;

/// The time a probe may take. On an idle machine it takes half a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// The oldest release that is used. Earlier ones cannot be told which tools to offer, run shell commands
/// that they take for harmless without asking, whatever the settings say, or cannot fork a session under an
/// id of ours.
const OLDEST: [u32; 3] = [2, 0, 73];

/// Whether there is a Claude Code, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClaudeDetection {
    /// The path of the program.
    pub(super) path: Option<PathBuf>,
    /// The version, such as `2.1.197`.
    pub(super) version: Option<String>,
    /// The reason it cannot be used, and what to do.
    pub(super) problem: Option<String>,
}

impl ClaudeDetection {
    /// Returns whether it can be used.
    pub(super) fn is_usable(&self) -> bool {
        self.path.is_some() && self.problem.is_none()
    }
}

/// Looks for Claude Code: at `program` where that is given, else on `PATH` and where its installers
/// put it. Blocks for about half a second while it is asked for its version.
pub(super) fn detect_program(program: Option<&Path>) -> ClaudeDetection {
    let Some(path) = find_program(program, None) else {
        let problem = match program {
            Some(path) => format!("there is no program {}", path.display()),
            None => "not installed; install it with: npm install -g @anthropic-ai/claude-code"
                .to_owned(),
        };
        return ClaudeDetection {
            problem: Some(problem),
            ..ClaudeDetection::default()
        };
    };
    match run_probe(&path, "--version") {
        Ok(output) => ClaudeDetection {
            version: output.split_whitespace().next().map(str::to_owned),
            path: Some(path),
            problem: find_version_problem(&output),
        },
        Err(problem) => ClaudeDetection {
            path: Some(path),
            version: None,
            problem: Some(problem),
        },
    }
}

/// Returns what is wrong with a version, given the program's answer to `--version`. A version in another form
/// is taken for a recent one.
fn find_version_problem(output: &str) -> Option<String> {
    let shown = output.split_whitespace().next()?;
    let version: Vec<u32> = shown
        .split(['.', '-', '+'])
        .map_while(|part| part.parse().ok())
        .collect();
    let [major, minor, patch] = OLDEST;
    (version.len() >= 3 && version[..3] < OLDEST[..]).then(|| {
        format!(
            "version {shown} is too old: {major}.{minor}.{patch} or newer is needed; update it with \
             `npm install -g @anthropic-ai/claude-code`"
        )
    })
}

/// The program of Claude Code: `program` where that is given, else what is on `PATH` or where its
/// installers put it. `search` is the `PATH` to look in, the daemon's own where there is none. Asks
/// nothing of it.
pub(super) fn find_program(program: Option<&Path>, search: Option<&OsStr>) -> Option<PathBuf> {
    let search = search
        .map(OsStr::to_owned)
        .or_else(|| std::env::var_os("PATH"));
    let folders: Vec<PathBuf> = std::env::split_paths(&search.unwrap_or_default()).collect();
    let name = match program {
        Some(path) if path.components().count() > 1 => {
            return is_program(path).then(|| path.to_owned());
        }
        Some(name) => name,
        None => Path::new("claude"),
    };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let installed = home
        .iter()
        .flat_map(|home| [home.join(".local/bin"), home.join(".claude/local")]);
    folders
        .into_iter()
        .chain(installed)
        // A relative entry of PATH would find a program of the workspace.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Runs `path argument` and returns its output.
fn run_probe(path: &Path, argument: &str) -> Result<String, String> {
    let shown = path.display();
    let keep = ["PATH", "HOME", "LD_LIBRARY_PATH"];
    let kept = keep
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut child = Command::new(path)
        .arg(argument)
        .current_dir("/")
        .env_clear()
        .envs(kept)
        .env("DISABLE_AUTOUPDATER", "1")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start {shown}: {error}"))?;
    let (send, output) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let read = stdout.take(1 << 20).read_to_end(&mut text);
            // Nobody listens any more where it took too long.
            let _ = send.send(read.map(|_| text));
        });
    }
    let read = output.recv_timeout(PATIENCE);
    if read.is_err() {
        // It may have exited meanwhile.
        let _ = child.kill();
    }
    let status = child.wait();
    match (read, status) {
        (Ok(Ok(text)), Ok(status)) if status.success() => {
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        (Err(_), _) => Err(format!(
            "{shown} did not answer within {} s",
            PATIENCE.as_secs()
        )),
        (_, Ok(status)) => Err(format!("`{shown} {argument}` failed ({status})")),
        (_, Err(error)) => Err(format!("`{shown} {argument}` failed: {error}")),
    }
}

/// Runs `path` for its version, then for its help.
fn ask_version_and_help(path: &Path) -> Result<String, String> {
    let version = run_probe(path, "--version")?;
    let version = version.lines().next().unwrap_or_default();
    Ok(format!("{version}\n{}", run_probe(path, "--help")?))
}

/// The flags a Claude Code knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClaudeFeatures {
    /// Those that its help lists. The text is its version, an end of line, and its help.
    Listed(Arc<str>),
    /// The program did not list its flags; a recent release is assumed.
    Unknown,
}

type KnownFeatures = HashMap<PathBuf, (Option<SystemTime>, ClaudeFeatures)>;
static KNOWN: LazyLock<Mutex<KnownFeatures>> = LazyLock::new(Mutex::default);

static KEPT_IN: OnceLock<PathBuf> = OnceLock::new();

/// Keeps what programs answer in this folder, so that the next daemon does not have to ask: Claude
/// Code takes half a second to print its help. Only the first call counts.
pub(super) fn remember_in(folder: &Path) {
    // The folder of a process does not change.
    let _ = KEPT_IN.set(folder.to_owned());
}

/// A program's answer on disk.
struct CachedHelp {
    file: PathBuf,
    /// The first lines of a file that is about the program as it is now.
    stamp: String,
}

impl CachedHelp {
    /// `None` where nothing is kept, or nobody can tell whether the program has changed.
    fn of(program: &Path, changed: Option<SystemTime>) -> Option<Self> {
        let since = changed?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Self {
            file: KEPT_IN.get()?.join("claude-features.txt"),
            stamp: format!("{}\n{}\n", program.display(), since.as_nanos()),
        })
    }

    fn read(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        text.strip_prefix(&self.stamp).map(str::to_owned)
    }

    /// Where it cannot be written the program is asked again next time.
    fn write(&self, help: &str) {
        let text = format!("{}{help}", self.stamp);
        let (Some(folder), Some(name)) = (self.file.parent(), self.file.file_name()) else {
            return;
        };
        let written = FolderHandle::open(folder)
            .and_then(|folder| folder.write_private(name, text.as_bytes()));
        if let Err(error) = written {
            tracing::debug!(%error, "cannot cache the help output of Claude Code");
        }
    }
}

impl ClaudeFeatures {
    /// Asks `program`, once for as long as its file does not change.
    pub(super) async fn of(program: &Path) -> Self {
        let path = program.to_owned();
        let asked = tokio::task::spawn_blocking(move || Self::ask(path)).await;
        asked.unwrap_or(Self::Unknown)
    }

    fn ask(path: PathBuf) -> Self {
        let changed = std::fs::metadata(&path)
            .and_then(|found| found.modified())
            .ok();
        // Held while asking: sessions that start together ask once.
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, features)) = known.get(&path)
            && *at == changed
        {
            return features.clone();
        }
        let kept = CachedHelp::of(&path, changed);
        let features = match kept.as_ref().and_then(CachedHelp::read) {
            Some(help) => Self::Listed(help.into()),
            None => match ask_version_and_help(&path) {
                Ok(help) if help.contains("--") => {
                    if let Some(kept) = &kept {
                        kept.write(&help);
                    }
                    Self::Listed(help.into())
                }
                _ => Self::Unknown,
            },
        };
        known.insert(path, (changed, features.clone()));
        features
    }

    /// Whether `flag` may be passed.
    pub(super) fn has(&self, flag: &str) -> bool {
        let Self::Listed(help) = self else {
            return true;
        };
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
        help.match_indices(flag)
            .any(|(at, _)| help[at + flag.len()..].chars().next().is_none_or(is_end))
    }

    /// Returns why this Claude Code cannot be used, and what to do.
    pub(super) fn find_problem(&self) -> Option<String> {
        let Self::Listed(text) = self else {
            return None;
        };
        find_version_problem(text.lines().next().unwrap_or_default()).or_else(|| {
            let missing = self.missing()?;
            Some(format!(
                "this version is too old: it does not support {missing}; update it with \
                 `npm install -g @anthropic-ai/claude-code`"
            ))
        })
    }

    /// The first flag that must be there and is not.
    fn missing(&self) -> Option<&'static str> {
        let needed = [
            "--input-format",
            "--output-format",
            "--permission-mode",
            "--strict-mcp-config",
            "--setting-sources",
            "--session-id",
            "--fork-session",
            "--tools",
            "--settings",
            "--json-schema",
        ];
        needed.into_iter().find(|flag| !self.has(flag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_whole_words() {
        let features = ClaudeFeatures::Listed("  --model <m>\n  --fork-session   x".into());
        assert!(features.has("--model") && features.has("--fork-session"));
        assert!(!features.has("--mod") && !features.has("--fork"));
        assert_eq!(features.missing(), Some("--input-format"));
        assert_eq!(ClaudeFeatures::Unknown.missing(), None);
    }

    #[test]
    fn old_releases_are_refused() {
        let check = |output: &str, usable: bool| {
            let problem = find_version_problem(output);
            assert_eq!(problem.is_none(), usable, "{output}: {problem:?}");
        };
        check("2.0.73 (Claude Code)", true);
        check("2.1.0 (Claude Code)", true);
        check("2.0.72 (Claude Code)", false);
        check("1.9.99", false);
        check("2.0.72-beta", false);
        check("10.0.0", true);
        check("latest", true);
        check("2.0", true);
        check("", true);
        let features = ClaudeFeatures::Listed("2.0.72 (Claude Code)\n --tools".into());
        assert!(features.find_problem().unwrap().contains("2.0.72"));
        let features = ClaudeFeatures::Listed("2.0.73 (Claude Code)\n --tools".into());
        assert!(features.find_problem().unwrap().contains("--input-format"));
        assert_eq!(ClaudeFeatures::Unknown.find_problem(), None);
    }

    #[test]
    fn answers_are_kept_for_a_program_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let kept = |stamp: &str| CachedHelp {
            file: folder.path().join("help.txt"),
            stamp: stamp.to_owned(),
        };
        assert_eq!(kept("claude\n1\n").read(), None);
        kept("claude\n1\n").write("--model");
        assert_eq!(kept("claude\n1\n").read().as_deref(), Some("--model"));
        assert_eq!(kept("claude\n2\n").read(), None, "it has changed since");
    }

    #[test]
    fn what_is_missing_is_said() {
        let found = detect_program(Some(Path::new("/no/such/claude")));
        assert!(!found.is_usable());
        assert!(found.problem.unwrap().contains("/no/such/claude"));
    }
}
