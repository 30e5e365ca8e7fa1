//! Runs the real program with a home of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A user with an empty home, who leaves no daemon behind.
pub(crate) struct User {
    dir: tempfile::TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl User {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["home", "config", "project"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A folder to work in.
    pub(crate) fn project(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    /// The user's configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("config/claudecluster/config.toml")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claudecluster"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path().join("home"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("CLAUDECLUSTER_HOME", self.state())
            .current_dir(self.project())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.said(self.command(args).output().unwrap())
    }

    /// The same, with something on stdin.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Said {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        self.said(child.wait_with_output().unwrap())
    }

    /// What a command said, with this user's folder as `~`.
    fn said(&self, output: Output) -> Said {
        let place = self.dir.path().to_string_lossy().into_owned();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&place, "~");
        Said {
            status: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, name: &str, content: &str) {
        write(&self.project().join(name), content);
    }

    /// Writes the configuration file.
    pub(crate) fn configure(&self, content: &str) {
        write(&self.config(), content);
    }
}

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.command(&["daemon", "stop", "--force"]).output();
    }
}
