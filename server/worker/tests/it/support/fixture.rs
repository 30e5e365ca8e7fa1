//! A workspace in a private folder, and programs run in sandboxes over it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use claudecluster_worker::{
    changes::{self, ChangeLimits, ChangeSet, TrackedFiles, ViewBase},
    launch::{ProgramLauncher, argv},
    sandbox::{Sandbox, SandboxChoice, SandboxSpec},
};

/// The launcher built for these tests, or the copy of it that another user can run.
pub(crate) fn launcher() -> PathBuf {
    std::env::var_os("TEST_LAUNCHER")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_sandbox-launcher").into())
        .into()
}

/// Whether this is the second run. If not, does it: this test alone, started by `wrapper`.
pub(crate) fn runs_inside(module: &str, test: &str, wrapper: &[&str]) -> bool {
    if std::env::var_os("TEST_INSIDE").is_some() {
        return true;
    }
    // Where other users can reach the programs.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (exe, copied) = (dir.path().join("test"), dir.path().join("launcher"));
    fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    fs::copy(launcher(), &copied).unwrap();
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
    let (_, module) = module.split_once("::").unwrap();
    let name = format!("{module}::{test}");
    let words = wrapper.iter().map(Path::new).chain([exe.as_path()]);
    let words: Vec<_> = words.collect();
    let output = Command::new(words[0])
        .args(&words[1..])
        .args(["--exact", &name, "--nocapture"])
        .env("TEST_INSIDE", "1")
        .env("TEST_LAUNCHER", &copied)
        .env("HOME", &home)
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
    false
}

/// A workspace beside a state folder.
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) workspace: PathBuf,
    pub(crate) state: PathBuf,
}

impl Fixture {
    /// With these files in the workspace.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self::named("workspace", files)
    }

    /// In a workspace of that name.
    pub(crate) fn named(name: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let fixture = Self {
            workspace: top.join(name),
            state: top.join("state"),
            dir,
        };
        fs::create_dir_all(&fixture.workspace).unwrap();
        fs::create_dir_all(&fixture.state).unwrap();
        for (path, text) in files {
            fixture.write(path, text);
        }
        fixture
    }

    /// Writes a file into the real workspace.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.workspace.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The description of a sandbox whose layer has that name.
    pub(crate) fn spec(&self, layer: &str, preference: SandboxChoice) -> SandboxSpec {
        SandboxSpec {
            hidden: vec![self.state.clone()],
            preference,
            ..SandboxSpec::new(self.workspace.clone(), self.state.join(layer), launcher())
        }
    }

    /// A sandbox with an overlay.
    pub(crate) async fn overlay(&self, layer: &str) -> Sandbox {
        Sandbox::prepare(self.spec(layer, SandboxChoice::Overlay))
            .await
            .unwrap()
    }

    /// What a layer changes.
    pub(crate) fn changes(&self, upper: &Path, lowers: &[PathBuf]) -> ChangeSet {
        let base = ViewBase {
            workspace: self.workspace.clone(),
            lowers: lowers.to_vec(),
            tracked: TrackedFiles::default(),
        };
        changes::collect_changes(upper, &base, &ChangeLimits::default()).unwrap()
    }
}

/// Runs a script in a sandbox.
pub(crate) async fn sh(sandbox: &Sandbox, script: &str) -> Output {
    run(sandbox, &argv(["sh", "-c", script])).await
}

/// Runs a program in a sandbox.
pub(crate) async fn run(sandbox: &Sandbox, argv: &[OsString]) -> Output {
    let mut command = sandbox.command(argv, &sandbox.base_env());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.output().await.unwrap()
}

/// Runs a script that must succeed, and gives what it prints.
pub(crate) async fn ok(sandbox: &Sandbox, script: &str) -> String {
    let output = sh(sandbox, script).await;
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The command lines of all processes.
pub(crate) fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

/// Waits until something that has no event to wait for is true.
pub(crate) fn until(at_most: std::time::Duration, mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + at_most;
    while !done() {
        assert!(
            std::time::Instant::now() < deadline,
            "it did not become true"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
