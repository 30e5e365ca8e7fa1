//! Sandboxes with real namespaces.

#![allow(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, helpers included"
)]

use std::{
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use claudecluster_protocol::{FileMode, RelPath};
use claudecluster_worker::{
    launch::{ProgramLauncher, argv},
    sandbox::{LayerFile, LayerState, Sandbox, SandboxChoice, write_layer},
};
use tokio::io::AsyncReadExt;

use crate::support::{self, Fixture, ok, sh};

#[tokio::test]
async fn writes_stay_in_the_layer() {
    let fixture = Fixture::new(&[("src/a.txt", "old"), ("src/b.txt", "gone soon")]);
    let before = fs::metadata(fixture.workspace.join("src/a.txt")).unwrap();
    let sandbox = fixture.overlay("layer").await;
    let script =
        "pwd; echo new > src/a.txt; rm src/b.txt; mkdir made; echo x > made/c; cat src/a.txt";
    let said = ok(&sandbox, script).await;
    assert_eq!(said, format!("{}\nnew\n", fixture.workspace.display()));
    // A second program sees what the first one did.
    assert_eq!(ok(&sandbox, "cat made/c; ls src").await, "x\na.txt\n");
    let layer = sandbox.finish().await.unwrap();
    let after = fs::metadata(fixture.workspace.join("src/a.txt")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_eq!(
        fs::read_to_string(fixture.workspace.join("src/a.txt")).unwrap(),
        "old"
    );
    assert!(!fixture.workspace.join("made").exists());
    assert_eq!(fs::read_to_string(layer.dir.join("made/c")).unwrap(), "x\n");
}

#[tokio::test]
async fn the_rest_of_the_machine_takes_no_writes() {
    let fixture = Fixture::new(&[("a", "")]);
    fs::write(fixture.state.join("secret"), "token").unwrap();
    let mut spec = fixture.spec("layer", SandboxChoice::Overlay);
    spec.writable = vec![fixture.state.join("home")];
    let sandbox = Sandbox::prepare(spec).await.unwrap();
    let outside = fixture.dir.path().join("outside");
    let script = format!(
        "echo x > {outside}; echo x > /etc/claudecluster-test; echo x > $HOME/claudecluster-test; \
         ls -A {state}; cat {state}/secret; echo kept > {state}/home/kept; \
         mount -o remount,rw / ; umount {state}; true",
        outside = outside.display(),
        state = fixture.state.display(),
    );
    let output = sh(&sandbox, &script).await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "home\n",
        "{output:?}"
    );
    assert!(!outside.exists());
    assert!(!Path::new("/etc/claudecluster-test").exists());
    let home = std::env::var_os("HOME").unwrap();
    assert!(!Path::new(&home).join("claudecluster-test").exists());
    assert_eq!(
        fs::read_to_string(fixture.state.join("home/kept")).unwrap(),
        "kept\n"
    );
    sandbox.finish().await.unwrap();
}

#[tokio::test]
async fn only_its_own_processes_and_no_disks_are_visible() {
    let fixture = Fixture::new(&[]);
    let sandbox = fixture.overlay("layer").await;
    let said = ok(
        &sandbox,
        "ls /dev; ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm",
    )
    .await;
    let (devices, rest) = said.split_once("zero\n").unwrap();
    for line in devices.lines() {
        let known = [
            "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        ];
        assert!(
            known.contains(&line) || ["stdout", "tty", "urandom"].contains(&line),
            "{line}"
        );
    }
    let count: u32 = rest.lines().next().unwrap().parse().unwrap();
    assert!(count < 8, "{rest}");
    for script in [
        "echo x > /proc/sys/kernel/hostname",
        "echo x > /proc/sys/kernel/core_pattern",
        "mknod disk b 254 0",
        "mount -t tmpfs tmpfs /mnt",
        "chroot /",
        "echo x > /sys/kernel/uevent_helper",
        "ls /run/dbus /run/docker.sock /run/user",
    ] {
        assert!(!sh(&sandbox, script).await.status.success(), "{script}");
    }
    ok(
        &sandbox,
        "echo x > /dev/null; head -c 8 /dev/urandom > f; echo x > /dev/shm/x; test -c /dev/tty",
    )
    .await;
}

/// A program that has moved to a session of its own, and the launcher over it.
async fn escapee(sandbox: &Sandbox, mark: &str) -> tokio::process::Child {
    let script = format!("setsid bash -c 'echo up; exec -a {mark} sleep 1000' & exec sleep 1000");
    let mut command = sandbox.command(&argv(["bash", "-c", &script]), &sandbox.base_env());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 3];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .await
        .unwrap();
    support::until(Duration::from_secs(10), || is_running(mark));
    child
}

fn is_running(mark: &str) -> bool {
    support::processes()
        .iter()
        .any(|line| line.starts_with(mark))
}

#[tokio::test]
async fn nothing_outlives_the_launcher() {
    let fixture = Fixture::new(&[]);
    let sandbox = fixture.overlay("layer").await;
    let mark = format!("escapee-a-{}", std::process::id());
    let mut child = escapee(&sandbox, &mark).await;
    child.kill().await.unwrap();
    // `finish` is what waits until the kernel is done.
    sandbox.finish().await.unwrap();
    assert!(!is_running(&mark));
}

#[tokio::test]
async fn nothing_outlives_the_daemon() {
    const MARK: &str = "TEST_MARK";
    if let Some(mark) = std::env::var_os(MARK) {
        // The daemon of this test: it starts a program and never ends by itself.
        let fixture = Fixture::new(&[]);
        let sandbox = fixture.overlay("layer").await;
        let _child = escapee(&sandbox, mark.to_str().unwrap()).await;
        return std::future::pending().await;
    }
    let mark = format!("escapee-b-{}", std::process::id());
    let mut daemon = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::isolation::nothing_outlives_the_daemon"])
        .env(MARK, &mark)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    support::until(Duration::from_secs(10), || is_running(&mark));
    daemon.kill().await.unwrap();
    support::until(Duration::from_secs(10), || !is_running(&mark));
}

#[tokio::test]
async fn signals_and_statuses_pass_through() {
    let fixture = Fixture::new(&[]);
    let sandbox = fixture.overlay("layer").await;
    // A program starts with no signal blocked.
    let blocked = ok(&sandbox, "grep SigBlk /proc/self/status").await;
    assert_eq!(blocked, "SigBlk:\t0000000000000000\n");
    assert_eq!(sh(&sandbox, "exit 42").await.status.code(), Some(42));
    assert_eq!(
        sh(&sandbox, "kill -SEGV $$").await.status.signal(),
        Some(libc::SIGSEGV)
    );
    assert_eq!(
        support::run(&sandbox, &argv(["/nowhere"]))
            .await
            .status
            .code(),
        Some(127)
    );
    assert_eq!(
        support::run(&sandbox, &argv(["/etc/passwd"]))
            .await
            .status
            .code(),
        Some(126)
    );
    let script = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done";
    let mut command = sandbox.command(&argv(["sh", "-c", script]), &sandbox.base_env());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 3]).await.unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).await.unwrap();
    assert_eq!(
        (rest.as_str(), child.wait().await.unwrap().code()),
        ("bye\n", Some(7))
    );
}

#[tokio::test]
async fn layers_stack_and_joins_see_both_parents() {
    let fixture = Fixture::new(&[("a", "0"), ("b", "0"), ("d/x", "0")]);
    let seed = fixture.state.join("seed");
    let unsaved = LayerFile {
        path: RelPath::new("a").unwrap(),
        state: LayerState::Present {
            bytes: "unsaved".into(),
            mode: FileMode::Regular,
        },
    };
    write_layer(&seed, &[unsaved]).unwrap();
    let mut layers = Vec::new();
    for (name, script) in [
        ("left", "cat a; echo left > l; rm -r d"),
        ("right", "cat a; echo right > b"),
    ] {
        let mut spec = fixture.spec(name, SandboxChoice::Overlay);
        spec.lowers = vec![seed.clone()];
        let sandbox = Sandbox::prepare(spec).await.unwrap();
        assert_eq!(ok(&sandbox, script).await, "unsaved");
        layers.push(sandbox.finish().await.unwrap().dir);
    }
    layers.push(seed);
    for kind in [SandboxChoice::Overlay, SandboxChoice::Copy] {
        let mut spec = fixture.spec(&format!("{kind:?}"), kind);
        spec.lowers = layers.clone();
        let sandbox = Sandbox::prepare(spec).await.unwrap();
        assert_eq!(
            ok(&sandbox, "ls; cat a b l; rm l; mkdir d; echo again > d/y").await,
            "a\nb\nl\nunsavedright\nleft\n"
        );
        let layer = sandbox.finish().await.unwrap();
        let set = fixture.changes(&layer.dir, &layers);
        let paths: Vec<_> = set
            .changes
            .iter()
            .map(|c| (c.path.as_str(), c.after.is_some()))
            .collect();
        assert_eq!(paths, [("d/y", true), ("l", false)], "{kind:?}");
    }
}

#[tokio::test]
async fn names_are_only_names() {
    let name = "w:s,lower\\dir= \n'$(touch pwn)`id`\u{202e}";
    let long = "n".repeat(255);
    let fixture = Fixture::named(name, &[("a", "old")]);
    let odd: [&[u8]; 6] = [
        b"-rf",
        b"bad\xff\xfe",
        b"$(touch pwn)",
        b"\x1b[31m\n",
        "\u{202e}x".as_bytes(),
        long.as_bytes(),
    ];
    for kind in [SandboxChoice::Overlay, SandboxChoice::Copy] {
        let sandbox = Sandbox::prepare(fixture.spec(&format!("{kind:?}"), kind))
            .await
            .unwrap();
        for name in odd {
            let name = OsString::from_vec([b"./", name].concat());
            let args = [argv(["cp", "a"]), vec![name]].concat();
            assert!(support::run(&sandbox, &args).await.status.success());
        }
        let layer = sandbox.finish().await.unwrap();
        let mut found: Vec<_> = fixture
            .changes(&layer.dir, &[])
            .changes
            .iter()
            .map(|c| c.path.to_bytes())
            .collect();
        found.sort();
        let mut expected = odd.map(<[u8]>::to_vec);
        expected.sort();
        assert_eq!(found, expected, "{kind:?}");
    }
}

#[tokio::test]
async fn git_works_and_its_folder_is_not_a_change() {
    let fixture = Fixture::new(&[("a", "old\n"), (".gitignore", "skip\n"), ("skip/big", "x")]);
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command
            .current_dir(&fixture.workspace)
            .args(["-c", "user.name=n", "-c", "user.email=e"])
            .args(args);
        assert!(command.output().unwrap().status.success(), "{args:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    let index = fs::read(fixture.workspace.join(".git/index")).unwrap();
    for kind in [SandboxChoice::Overlay, SandboxChoice::Copy] {
        let sandbox = Sandbox::prepare(fixture.spec(&format!("{kind:?}"), kind))
            .await
            .unwrap();
        let script = "echo new >> a; git status --porcelain; git log --format=%s; git stash -q; \
                      git stash pop -q; mkdir -p sub/.git; echo x > sub/.git/config; echo y > sub/f; \
                      mv .git/hooks h; rm -r h; echo x > .git/config; echo z > skip/big";
        assert_eq!(ok(&sandbox, script).await, " M a\none\n", "{kind:?}");
        let layer = sandbox.finish().await.unwrap();
        let set = fixture.changes(&layer.dir, &[]);
        let paths: Vec<_> = set
            .changes
            .iter()
            .map(|change| change.path.as_str())
            .collect();
        assert_eq!(paths, ["a", "sub/f"], "{kind:?}");
        assert_eq!(set.touched_git, kind == SandboxChoice::Overlay);
    }
    assert_eq!(
        fs::read(fixture.workspace.join(".git/index")).unwrap(),
        index
    );
    git(&["diff", "--quiet"]);
}

#[tokio::test]
async fn folders_in_each_others_way_are_refused_or_hidden() {
    let fixture = Fixture::new(&[("a", "")]);
    let workspace = fixture.workspace.clone();
    let check =
        async |layer: PathBuf, hidden: Vec<PathBuf>, writable: Vec<PathBuf>, expected: bool| {
            let mut spec = fixture.spec("layer", SandboxChoice::Overlay);
            (spec.layer, spec.hidden, spec.writable) = (layer, hidden, writable);
            let prepared = Sandbox::prepare(spec).await;
            assert_eq!(prepared.is_ok(), expected, "{prepared:?}");
            prepared.ok()
        };
    let state = workspace.join(".state");
    check(workspace.join("layer"), vec![], vec![], false).await;
    check(
        fixture.state.join("l"),
        vec![fixture.dir.path().into()],
        vec![],
        false,
    )
    .await;
    check(
        fixture.state.join("l"),
        vec![],
        vec![workspace.join("in")],
        false,
    )
    .await;
    check(
        fixture.state.join("l"),
        vec![],
        vec![fixture.dir.path().into()],
        false,
    )
    .await;
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("token"), "secret").unwrap();
    let inside = check(state.join("layer"), vec![state.clone()], vec![], true)
        .await
        .unwrap();
    assert_eq!(ok(&inside, "echo new > a; ls -A .state").await, "");
    let layer = inside.finish().await.unwrap();
    assert_eq!(fixture.changes(&layer.dir, &[]).changes.len(), 1);
}

#[tokio::test]
async fn tools_may_fill_their_caches_and_nothing_leaks_out() {
    let fixture = Fixture::new(&[
        (
            "Cargo.toml",
            "[package]\nname = \"probe\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
        ),
        ("src/main.rs", "fn main() { println!(\"built\"); }\n"),
        (".gitignore", "target\n"),
    ]);
    let sandbox = fixture.overlay("layer").await;
    let script = "cargo build -q --offline 2>&1 && ./target/debug/probe && mkdir -p ~/.cache/x && \
                  echo x > ~/.cache/x/claudecluster-test && mktemp -d && git config --global a.b c";
    let said = ok(&sandbox, script).await;
    assert!(said.starts_with("built\n"), "{said}");
    assert!(!Path::new(said.lines().last().unwrap()).exists());
    let layer = sandbox.finish().await.unwrap();
    let set = fixture.changes(&layer.dir, &[]);
    let paths: Vec<_> = set
        .changes
        .iter()
        .map(|change| change.path.as_str())
        .collect();
    assert_eq!(paths, ["Cargo.lock"]);
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    assert!(!home.join(".cache/x/claudecluster-test").exists());
}
