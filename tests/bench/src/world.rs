//! A daemon of its own, the scripted model, and whatever is run against them.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use claudecluster_model::{Script, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    options::Bench,
    output::Result,
    process::{self, Process},
};

/// A state folder with its daemon, which ends with it.
pub(crate) struct World {
    dir: TempDir,
    binary: PathBuf,
    /// The workspace that commands are about.
    pub(crate) root: PathBuf,
    pub(crate) model: Server,
}

impl World {
    /// In `root`, with a model that follows `script`.
    pub(crate) fn new(bench: &Bench, root: &Path, script: &str) -> Result<Self> {
        Self::logging(bench, root, script, "info")
    }

    /// The same, with a filter for what the daemon logs.
    pub(crate) fn logging(bench: &Bench, root: &Path, script: &str, log: &str) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("world-")
            .tempdir_in(&bench.dir)?;
        for folder in ["state", "user"] {
            fs::create_dir(dir.path().join(folder))?;
        }
        let config = format!(
            "maxParallel = 64\nretries = 0\nsandbox = \"overlay\"\nlog = {log:?}\n\
             [claude]\nprogram = {:?}\n",
            bench.claude.display().to_string()
        );
        fs::write(dir.path().join("config.toml"), config)?;
        Ok(Self {
            dir,
            binary: bench.binary.clone(),
            root: root.to_path_buf(),
            model: Server::start(Script::parse(script)?)?,
        })
    }

    /// A path beside the state folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The environment of every program in this world, and nothing else.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HOME", self.path("user").display().to_string()),
            (
                "CLAUDECLUSTER_HOME",
                self.path("state").display().to_string(),
            ),
            (
                "CLAUDECLUSTER_CONFIG",
                self.path("config.toml").display().to_string(),
            ),
            ("ANTHROPIC_BASE_URL", self.model.url()),
            ("ANTHROPIC_API_KEY", "bench".to_owned()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
        ]
    }

    /// A program in the workspace.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env_clear()
            .envs(self.environment())
            .stdin(Stdio::null());
        command
    }

    /// `claudecluster` with these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(&self.binary);
        command.args(args);
        command
    }

    /// Runs `claudecluster` and gives what it prints.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String> {
        process::output(&mut self.command(args))
    }

    /// Writes a plan and gives the arguments that run it.
    pub(crate) fn plan(&self, tasks: &[Value]) -> Result<[String; 4]> {
        let file = self.path("plan.json");
        fs::write(
            &file,
            json!({"goal": "measure", "tasks": tasks}).to_string(),
        )?;
        let file = file.display().to_string();
        Ok(["run".into(), "--json".into(), "--plan".into(), file])
    }

    /// Runs a plan to its end and gives its events; the last item is the outcome.
    pub(crate) fn run_plan(&self, tasks: &[Value]) -> Result<Vec<Value>> {
        let args = self.plan(tasks)?;
        events(&self.run(&args.each_ref().map(String::as_str))?)
    }

    /// Starts the daemon and gives its process.
    pub(crate) fn daemon(&self) -> Result<Process> {
        // Any command starts it.
        self.run(&["goals", "--json"])?;
        let status: Value = serde_json::from_str(&self.run(&["daemon", "status", "--json"])?)?;
        let pid = &status["pid"];
        process::read(&pid.to_string()).ok_or_else(|| format!("no daemon: {status}").into())
    }

    /// Ends the daemon and gives what it has logged.
    pub(crate) fn log(&self) -> Result<String> {
        self.stop()?;
        let mut text = String::new();
        for file in fs::read_dir(self.path("state").join("logs"))? {
            text.push_str(&fs::read_to_string(file?.path())?);
        }
        Ok(text)
    }

    /// Ends the daemon.
    pub(crate) fn stop(&self) -> Result {
        self.run(&["daemon", "stop", "--force"]).map(|_| ())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // There may be none.
        let _ = self.stop();
    }
}

/// Lines of JSON.
pub(crate) fn events(text: &str) -> Result<Vec<Value>> {
    let lines: std::result::Result<_, _> = text.lines().map(serde_json::from_str).collect();
    Ok(lines?)
}
