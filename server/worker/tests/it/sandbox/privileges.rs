//! Sandboxes made by somebody who may do less, or in a place that is arranged differently. Each test runs
//! itself again as that somebody.

#![allow(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, helpers included"
)]

use std::{fs, path::Path, process::Command};

use claudecluster_protocol::{ErrorBody, goal::SandboxKind};
use claudecluster_worker::sandbox::{self, Sandbox, SandboxChoice};

use super::control::HelloDoor;
use crate::support::{self, Fixture, ok, runs_inside, sh};

/// What every sandbox must do, whoever makes it.
async fn check(sandbox: Sandbox, fixture: &Fixture) {
    let outside = fixture.dir.path().join("outside");
    fs::write(&outside, "mine").unwrap();
    let script = format!(
        "echo new > a; echo x > {outside}; echo x > ~/leak; echo x > {workspace}/a; \
         rm -f {outside}; rm -rf d; echo ok; mktemp > /dev/null && echo tmp",
        outside = outside.display(),
        workspace = fixture.workspace.display(),
    );
    let output = sh(&sandbox, &script).await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "ok\ntmp\n",
        "{output:?}"
    );
    let same_path = sandbox.kind() == SandboxKind::Overlay || sandbox.why().contains("namespaces");
    let layer = sandbox.finish().await.unwrap();
    assert_eq!(fs::read_to_string(&outside).unwrap(), "mine");
    assert_eq!(
        fs::read_to_string(fixture.workspace.join("a")).unwrap(),
        "old"
    );
    let home = std::env::var_os("HOME").unwrap();
    assert!(!Path::new(&home).join("leak").exists());
    let set = fixture.changes(&layer.dir, &[]);
    let changes: Vec<_> = set
        .changes
        .iter()
        .map(|c| (c.path.as_str(), c.after.as_ref().map(|c| c.bytes.as_ref())))
        .collect();
    let text: &[u8] = if same_path { b"x\n" } else { b"new\n" };
    assert_eq!(changes, [("a", Some(text)), ("d/e", None)]);
}

#[tokio::test]
async fn a_plain_user_gets_an_overlay() {
    let wrapper: &[&str] = if rustix::process::geteuid().is_root() {
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]
    } else {
        &["env"]
    };
    if !runs_inside(module_path!(), "a_plain_user_gets_an_overlay", wrapper) {
        return;
    }
    assert!(!rustix::process::geteuid().is_root());
    let fixture = Fixture::new(&[("a", "old"), ("d/e", "")]);
    let probe = sandbox::probe(&support::launcher(), &fixture.state, SandboxChoice::Auto).await;
    assert_eq!(probe.kind, Some(SandboxKind::Overlay), "{probe:?}");
    let sandbox = fixture.overlay("layer").await;
    assert_eq!(
        ok(&sandbox, "id -u").await.trim(),
        rustix::process::geteuid().as_raw().to_string()
    );
    check(sandbox, &fixture).await;
    let copy = Sandbox::prepare(fixture.spec("copy", SandboxChoice::Copy))
        .await
        .unwrap();
    check(copy, &fixture).await;
}

#[tokio::test]
async fn without_namespaces_there_is_an_isolated_copy_and_a_reason() {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && \
                  exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
    let wrapper = ["unshare", "-Ur", "sh", "-c", script, "sh"];
    if !runs_inside(
        module_path!(),
        "without_namespaces_there_is_an_isolated_copy_and_a_reason",
        &wrapper,
    ) {
        return;
    }
    let fixture = Fixture::new(&[("a", "old"), ("d/e", "")]);
    let refused = Sandbox::prepare(fixture.spec("layer", SandboxChoice::Overlay))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("user namespace"), "{refused}");
    // A weaker isolation is never chosen silently.
    let refused = Sandbox::prepare(fixture.spec("layer", SandboxChoice::Auto))
        .await
        .unwrap_err();
    let hint = ErrorBody::from(&refused).hint.unwrap();
    for command in [
        "sysctl -w user.max_user_namespaces=",
        "claudecluster config set sandbox copy",
    ] {
        assert!(hint.contains(command), "{hint}");
    }
    let sandbox = Sandbox::prepare(fixture.spec("layer", SandboxChoice::Copy))
        .await
        .unwrap();
    assert_eq!(sandbox.kind(), SandboxKind::Copy);
    for word in ["Landlock", "user namespace"] {
        assert!(sandbox.why().contains(word), "{}", sandbox.why());
    }
    // Nothing is left running here either.
    let mark = format!("escapee-c-{}", std::process::id());
    ok(
        &sandbox,
        &format!("setsid bash -c 'exec -a {mark} sleep 1000' > /dev/null & sleep 0.1"),
    )
    .await;
    assert!(
        !support::processes()
            .iter()
            .any(|line| line.starts_with(&mark))
    );
    check(sandbox, &fixture).await;
    check_landlock(&fixture).await;
}

/// What Landlock and the filter of calls keep away where nothing else does.
async fn check_landlock(fixture: &Fixture) {
    let home = std::env::var_os("HOME").unwrap();
    let ssh = Path::new(&home).join(".ssh");
    fs::create_dir(&ssh).unwrap();
    fs::write(ssh.join("id"), "canary").unwrap();
    fs::write(Path::new(&home).join("plain"), "plain").unwrap();
    fs::write(fixture.state.join("journal"), "canary").unwrap();
    let _socket =
        std::os::unix::net::UnixListener::bind(fixture.dir.path().join("socket")).unwrap();
    let machine = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut spec = fixture.spec("closed", SandboxChoice::Copy);
    spec.network = Some(std::sync::Arc::<HelloDoor>::default());
    let sandbox = Sandbox::prepare(spec).await.unwrap();
    let script = format!(
        "cat ~/.ssh/id {state}/journal; cat ~/plain; \
         perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) or print \"\\nno local\";\
           socket(S, AF_INET, SOCK_DGRAM, 0) or print \" no udp\";\
           socket(S, AF_INET, SOCK_STREAM, 0) or die;\
           connect(S, sockaddr_in({port}, INADDR_LOOPBACK)) or print \" no tcp\\n\"'; \
         bash -c 'exec 9<>/dev/tcp/${{https_proxy#http://}}' 2> /dev/null; \
         proxy=${{https_proxy#http://}}; \
         bash -c \"exec 9<>/dev/tcp/127.0.0.1/${{proxy#*:}} && head -c 6 <&9\"",
        state = fixture.state.display(),
        port = machine.local_addr().unwrap().port(),
    );
    let output = sh(&sandbox, &script).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "plain\nno local no udp no tcp\nhello\n", "{output:?}");
    sandbox.finish().await.unwrap();
}

#[tokio::test]
async fn objects_that_are_a_link_are_not_shown() {
    let fixture = Fixture::new(&[(".git/HEAD", "ref: refs/heads/main\n")]);
    fs::create_dir(fixture.state.join("00")).unwrap();
    fs::write(fixture.state.join("00/journal"), "canary").unwrap();
    std::os::unix::fs::symlink(&fixture.state, fixture.workspace.join(".git/objects")).unwrap();
    let sandbox = Sandbox::prepare(fixture.spec("layer", SandboxChoice::Copy))
        .await
        .unwrap();
    let script =
        "ls -A /dev/git-objects; cat .git/objects/00/journal /dev/git-objects/00/journal; true";
    assert_eq!(ok(&sandbox, script).await, "");
}

#[tokio::test]
async fn mounts_inside_the_workspace_stay() {
    if !runs_inside(
        module_path!(),
        "mounts_inside_the_workspace_stay",
        &["unshare", "-Urm"],
    ) {
        return;
    }
    let fixture = Fixture::new(&[("a", "old"), ("sub/disk/covered", ""), ("one", "")]);
    let disk = fixture.workspace.join("sub/disk");
    let run = |program: &str, args: &[&Path]| {
        assert!(
            Command::new(program).args(args).status().unwrap().success(),
            "{program} {args:?}"
        );
    };
    run(
        "mount",
        &[
            Path::new("-t"),
            Path::new("tmpfs"),
            Path::new("tmpfs"),
            &disk,
        ],
    );
    fs::write(disk.join("x"), "real").unwrap();
    fs::write(disk.join("y"), "real").unwrap();
    let file = fixture.dir.path().join("file");
    fs::write(&file, "bound").unwrap();
    run(
        "mount",
        &[Path::new("--bind"), &file, &fixture.workspace.join("one")],
    );
    let sandbox = fixture.overlay("layer").await;
    assert!(
        sandbox.why().contains("one is read-only"),
        "{}",
        sandbox.why()
    );
    let script =
        "cat one; echo x > one; ls sub/disk; echo new > sub/disk/x; rm sub/disk/y; echo new > a";
    assert_eq!(ok(&sandbox, script).await, "boundx\ny\n");
    let layer = sandbox.finish().await.unwrap();
    assert_eq!(fs::read_to_string(disk.join("x")).unwrap(), "real");
    assert_eq!(fs::read_to_string(&file).unwrap(), "bound");
    let set = fixture.changes(&layer.dir, &[]);
    let paths: Vec<_> = set
        .changes
        .iter()
        .map(|c| (c.path.as_str(), c.after.is_some()))
        .collect();
    assert_eq!(
        paths,
        [("a", true), ("sub/disk/x", true), ("sub/disk/y", false)]
    );
    let mut spec = fixture.spec("next", SandboxChoice::Overlay);
    spec.lowers = vec![layer.dir];
    let next = Sandbox::prepare(spec).await.unwrap();
    assert_eq!(ok(&next, "cat sub/disk/x; ls sub/disk").await, "new\nx\n");
}
