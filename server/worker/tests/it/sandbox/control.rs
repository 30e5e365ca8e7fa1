//! What programs inside learn of the daemon, and what it hands in.

#![allow(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, helpers included"
)]

use std::{
    ffi::OsString,
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use claudecluster_worker::{
    launch::{ProgramLauncher, argv},
    sandbox::{NetworkDoor, PrivateMount, Sandbox, SandboxChoice},
};

use crate::support::{Fixture, ok, runs_inside, sh};

/// Says "hello" to whoever connects, until its listeners are shut down.
#[derive(Debug, Default)]
pub(super) struct HelloDoor {
    ended: Arc<AtomicUsize>,
    threads: std::sync::Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl NetworkDoor for HelloDoor {
    fn ports(&self) -> Vec<u16> {
        vec![3128]
    }

    fn own_ports(&self) -> Vec<u16> {
        self.ports()
    }

    fn listen(&self, port: u16, listener: TcpListener) {
        assert_eq!(port, 3128);
        let ended = Arc::clone(&self.ended);
        let serve = move || {
            while let Ok((mut stream, _)) = listener.accept() {
                stream.write_all(b"hello\n").unwrap();
            }
            ended.fetch_add(1, Ordering::SeqCst);
        };
        self.threads.lock().unwrap().push(std::thread::spawn(serve));
    }

    fn variables(&self) -> Vec<(OsString, OsString)> {
        vec![("https_proxy".into(), "http://127.0.0.1:3128".into())]
    }
}

async fn check_door() {
    let fixture = Fixture::new(&[]);
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let door = Arc::new(HelloDoor::default());
    let mut spec = fixture.spec("layer", SandboxChoice::Overlay);
    spec.network = Some(Arc::<HelloDoor>::clone(&door));
    let sandbox = Sandbox::prepare(spec).await.unwrap();
    let greet = "exec 9<>/dev/tcp/127.0.0.1/3128 && cat <&9 | head -c 6";
    // Each program has a network of its own, with the same ports.
    for _ in 0..2 {
        assert_eq!(ok(&sandbox, &format!("bash -c '{greet}'")).await, "hello\n");
    }
    let script = format!("exec 9<>/dev/tcp/127.0.0.1/{port}");
    for script in [script.as_str(), "exec 9<>/dev/tcp/192.0.2.1/80"] {
        let output = sh(&sandbox, &format!("bash -c '{script}'")).await;
        assert!(!output.status.success(), "{script}: {output:?}");
    }
    assert_eq!(
        ok(&sandbox, "echo $https_proxy").await,
        "http://127.0.0.1:3128\n"
    );
    sandbox.finish().await.unwrap();
    let threads = std::mem::take(&mut *door.threads.lock().unwrap());
    let count = threads.len();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(count >= 5, "{count}");
    assert_eq!(door.ended.load(Ordering::SeqCst), count);
}

#[tokio::test]
async fn the_network_is_what_the_door_serves() {
    check_door().await;
}

#[tokio::test]
async fn the_network_of_a_plain_user_is_what_the_door_serves() {
    let wrapper: &[&str] = &[
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let wrapper = if rustix::process::geteuid().is_root() {
        wrapper
    } else {
        &["env"]
    };
    let name = "the_network_of_a_plain_user_is_what_the_door_serves";
    if runs_inside(module_path!(), name, wrapper) {
        check_door().await;
    }
}

#[tokio::test]
async fn command_lines_inside_tell_nothing_of_the_daemon() {
    let fixture = Fixture::new(&[]);
    for kind in [SandboxChoice::Overlay, SandboxChoice::Copy] {
        let sandbox = Sandbox::prepare(fixture.spec(&format!("{kind:?}"), kind))
            .await
            .unwrap();
        let script = "for f in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do \
                      tr '\\0' '\\n' < $f 2>/dev/null; done";
        let said = ok(&sandbox, script).await;
        assert!(said.contains("sandbox-exec\n"), "{said}");
        let pid = std::process::id().to_string();
        for line in said.lines() {
            let state = fixture.state.to_str().unwrap();
            assert!(!line.contains(state) && line != pid, "{line}");
        }
        // Nor is there a descriptor that leads to it.
        assert_eq!(ok(&sandbox, "ls /proc/self/fd | wc -l").await, "4\n");
    }
}

#[tokio::test]
async fn private_folders_are_shown_at_a_neutral_path() {
    let fixture = Fixture::new(&[]);
    for kind in [SandboxChoice::Overlay, SandboxChoice::Copy] {
        let source = fixture.state.join("home");
        let mut spec = fixture.spec(&format!("{kind:?}"), kind);
        spec.mounts = vec![PrivateMount {
            source: source.clone(),
            target: "/run/claudecluster/agent".into(),
        }];
        let sandbox = Sandbox::prepare(spec).await.unwrap();
        let inside = sandbox.path_inside(&source.join("kept"));
        assert_eq!(inside, Path::new("/run/claudecluster/agent/kept"));
        assert_eq!(sandbox.path_inside(Path::new("/etc")), Path::new("/etc"));
        let script = format!(
            "echo {kind:?} > {}; ls {}; echo x > /run/claudecluster/x",
            inside.display(),
            source.display()
        );
        let output = sh(&sandbox, &script).await;
        assert!(output.stdout.is_empty(), "{output:?}");
        let mut kept = String::new();
        let mut file = fs::File::open(source.join("kept")).unwrap();
        file.read_to_string(&mut kept).unwrap();
        assert_eq!(kept, format!("{kind:?}\n"));
        let gates = sandbox.without_mounts();
        let mut gate = gates.command(&argv(["ls", "/run/claudecluster"]), &gates.base_env());
        assert!(!gate.output().await.unwrap().status.success());
        sandbox.finish().await.unwrap();
    }
}
