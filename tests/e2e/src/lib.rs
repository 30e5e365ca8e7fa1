//! The whole thing under test: the real binary, a state folder of its own, a real git repository, and
//! where agents are wanted the real Claude Code against the scripted model.
//!
//! `cargo xtask test` provides the parts. A missing one is an error that says so; nothing is skipped.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "everything here runs inside tests, where a panic is how a failure is reported"
)]

pub mod attack;
pub mod canaries;
pub mod greetings;
pub mod hosts;
pub mod live;
pub mod machine;
pub mod neovim;
pub mod places;
pub mod terminal;
pub mod traps;

use std::{
    ffi::OsStr,
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use machine::{Machine, TestUser};

/// The path of a part that `cargo xtask test` provides.
///
/// # Panics
///
/// Where it is not provided, with the command that brings it.
pub fn part(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    let path = path.unwrap_or_else(|| {
        panic!(
            "{variable} is not set; run the tests with `cargo xtask test`, which brings the part"
        )
    });
    assert!(
        path.exists(),
        "{variable} is {}, which does not exist",
        path.display()
    );
    path
}

/// A program of this crate, which is built beside the product.
///
/// # Panics
///
/// If it is not there.
pub fn helper(name: &str) -> PathBuf {
    let path = part("CLAUDECLUSTER_BIN").with_file_name(name);
    assert!(
        path.is_file(),
        "{} is missing; run the tests with `cargo xtask test`",
        path.display()
    );
    path
}

/// A workspace and a daemon of its own. Both go when it is dropped.
pub struct World {
    /// Everything lies in here.
    pub dir: TempDir,
    /// Environment beside the fixed one.
    pub env: Vec<(String, String)>,
    /// Who runs commands, where it is not whoever runs the tests.
    user: Option<u32>,
    /// The machine that commands run on, if it offers less than this one.
    machine: Option<Machine>,
}

/// The user and the group that own nothing.
const NOBODY: u32 = 65534;

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Said {
    /// The lines of its output as JSON.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{self:#?}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The last line of its output as JSON: the outcome.
    pub fn outcome(&self) -> Value {
        let outcome = self
            .json()
            .pop()
            .unwrap_or_else(|| panic!("no output: {self:#?}"));
        assert_eq!(outcome["type"], "outcome", "{self:#?}");
        outcome
    }

    /// Itself, if it ended with this status.
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }
}

impl World {
    /// A git repository with these files, committed.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let world = Self::without_git(files);
        world.git(&["init", "-q", "-b", "main"]);
        world.git(&["add", "-A"]);
        world.git(&["commit", "-q", "--allow-empty", "-m", "first"]);
        world
    }

    /// A folder with these files.
    pub fn without_git(files: &[(&str, &str)]) -> Self {
        let world = Self {
            dir: tempfile::Builder::new()
                .prefix("cc-e2e-")
                .tempdir()
                .unwrap(),
            env: Vec::new(),
            user: None,
            machine: None,
        };
        for folder in [world.root(), world.home(), world.user_home()] {
            fs::create_dir_all(folder).unwrap();
        }
        world.configure("");
        for (path, text) in files {
            world.write(path, text);
        }
        world
    }

    /// The workspace.
    pub fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("project")
    }

    /// The state folder.
    pub fn home(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("state")
    }

    /// The user's home folder.
    pub fn user_home(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("user")
    }

    /// The file in the workspace.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file of the workspace.
    pub fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A file of the workspace.
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether a file is there.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// Runs git in the workspace.
    pub fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
            .args(["-c", "core.quotePath=false"])
            .args(args)
            .current_dir(self.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The environment of every program in this world, and nothing else.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut env = vec![
            ("HOME".to_owned(), self.user_home().display().to_string()),
            (
                "CLAUDECLUSTER_HOME".to_owned(),
                self.home().display().to_string(),
            ),
            (
                "CLAUDECLUSTER_CONFIG".to_owned(),
                self.dir.path().join("config.toml").display().to_string(),
            ),
            (
                "CLAUDECLUSTER_NETWORK_LOOPBACK".to_owned(),
                places::place_ports().to_owned(),
            ),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
        ];
        env.extend(self.env.iter().cloned());
        env
    }

    /// Writes the user's configuration.
    pub fn configure(&self, toml: &str) {
        fs::write(self.dir.path().join("config.toml"), toml).unwrap();
    }

    /// `claudecluster` with these arguments, not started yet.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let program = part("CLAUDECLUSTER_BIN");
        let mut command = match self.machine {
            Some(machine) => {
                let mut command = Command::new(helper("claudecluster-restricted"));
                command.arg(machine.name()).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .args(args)
            .current_dir(self.root())
            .env_clear()
            .envs(self.environment())
            .stdin(Stdio::null());
        self.as_user(command)
    }

    /// Makes a command one of whoever runs the product in this world.
    pub fn as_user(&self, mut command: Command) -> Command {
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Gives files, and what is in folders, to whoever runs the product in this world.
    pub fn own(&self, paths: &[&Path]) {
        if let Some(user) = self.user {
            let given = Command::new("chown")
                .args(["-R", "-h", &format!("{user}:{user}")])
                .args(paths)
                .status()
                .unwrap();
            assert!(given.success());
        }
    }

    /// Runs everything from now on as on this machine and as this user.
    pub fn place(&mut self, machine: Machine, user: TestUser) {
        self.machine = Some(machine).filter(|machine| *machine != Machine::Whole);
        if user == TestUser::Nobody {
            self.give_to_nobody();
        }
    }

    /// Where the tests run as root, gives everything in this world to a user without rights, who runs the
    /// commands from now on.
    pub fn give_to_nobody(&mut self) {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return;
        }
        self.user = Some(NOBODY);
        self.own(&[self.dir.path()]);
    }

    /// Runs `claudecluster`.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Said {
        said(&self.command(args).output().unwrap())
    }

    /// Writes a plan file outside the workspace and returns its path.
    pub fn plan(&self, plan: &Value) -> String {
        let path = self.dir.path().join("plan.json");
        fs::write(&path, plan.to_string()).unwrap();
        path.display().to_string()
    }

    /// Runs a plan.
    pub fn run_plan(&self, plan: &Value, more: &[&str]) -> Said {
        let file = self.plan(plan);
        self.run(&[&["run", "--json", "--plan", &file], more].concat())
    }

    /// Starts the scripted model and makes it the one that agents talk to.
    pub fn model(&mut self, script: &str) -> claudecluster_model::Server {
        let server = {
            let script = claudecluster_model::Script::parse(script).unwrap();
            claudecluster_model::Server::start(script).unwrap()
        };
        self.env
            .push(("ANTHROPIC_BASE_URL".to_owned(), server.url()));
        self.env
            .push(("ANTHROPIC_API_KEY".to_owned(), "test-key".to_owned()));
        server
    }

    /// Makes the real Claude Code the one that is found.
    pub fn with_claude(&mut self) {
        self.with_claude_and("");
    }

    /// The same, beside other settings.
    pub fn with_claude_and(&mut self, settings: &str) {
        let program = part("CLAUDECLUSTER_TEST_CLAUDE").display().to_string();
        self.configure(&format!("claude.program = {program:?}\n{settings}"));
    }

    /// Everything about the workspace that must not change before something lands: content, modes and
    /// times of every file, git's own folder included.
    pub fn fingerprint(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![self.root()];
        while let Some(path) = open.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_dir() {
                open.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
                String::new()
            } else if meta.is_symlink() {
                format!("{:?}", fs::read_link(&path).unwrap())
            } else {
                format!("{:?}", fs::read(&path).unwrap())
            };
            found.push(format!(
                "{} {:o} {}.{} {content}",
                path.display(),
                meta.mode(),
                meta.mtime(),
                meta.mtime_nsec()
            ));
        }
        found.sort();
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::env::var_os("CLAUDECLUSTER_BIN").is_none() {
            return;
        }
        // The daemon of a test that failed goes as well; whether it was there at all does not matter.
        let _ = self.command(&["daemon", "stop", "--force"]).output();
        if std::thread::panicking()
            && let Ok(logs) = fs::read_dir(self.home().join("logs"))
        {
            for log in logs.flatten() {
                let text = fs::read_to_string(log.path()).unwrap_or_default();
                eprint(&format!("--- {}\n{text}", log.path().display()));
            }
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the test runner shows it with the failure"
)]
fn eprint(text: &str) {
    eprintln!("{text}");
}

/// What a program that has ended said.
pub fn said(output: &Output) -> Said {
    Said {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits for what another process does; there is no event to wait for from outside.
///
/// # Panics
///
/// When it does not come.
#[track_caller]
pub fn wait_for(what: &str, there: impl FnMut() -> bool) {
    assert!(comes(there), "{what} did not come within 30 s");
}

/// Whether something that another process does comes within half a minute.
pub fn comes(mut there: impl FnMut() -> bool) -> bool {
    for _ in 0..600 {
        if there() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}
