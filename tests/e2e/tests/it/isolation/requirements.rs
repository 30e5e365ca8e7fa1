//! Rules that other tools of this kind have broken. `docs/security.md` lists them with the tests that hold each.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, mem::MaybeUninit, path::Path};

use claudecluster_e2e::{
    World,
    live::{Editor, Live, plan_of, shell},
};
use rustix::fs::inotify;

/// The sockets that listen on the machine's own network, or receive datagrams there, by inode.
fn listening() -> BTreeSet<String> {
    let mut inodes = BTreeSet::new();
    for (table, listens) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", ""), ("udp6", "")] {
        let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if listens.is_empty() || fields[3] == listens {
                inodes.insert(fields[9].to_owned());
            }
        }
    }
    inodes
}

/// What of that a process holds.
fn held_by(pid: u32) -> Vec<String> {
    let listening = listening();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|target| {
            let target = target.to_str()?;
            let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
            listening.contains(inode).then(|| target.to_owned())
        })
        .collect()
}

#[test]
fn no_process_of_ours_listens_on_the_network() {
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let seen = held_by(std::process::id());
    assert!(!seen.is_empty(), "the check sees what listens");
    drop(own);
    let world = World::new(&[("a.txt", "a\n")]);
    let editor = Editor::start(&world);
    let daemon = world.daemon();
    assert_eq!(held_by(editor.pid()), [""; 0]);
    assert_eq!(held_by(daemon), [""; 0]);
    // With a worker, whose network the daemon serves.
    let plan = plan_of(&[shell("t", "echo b > a.txt; sleep 600", &[])]);
    let mut live = Live::plan(&world, &plan, &[]);
    live.event("attemptStarted");
    assert_eq!(held_by(editor.pid()), [""; 0]);
    assert_eq!(held_by(daemon), [""; 0]);
    world.run(&["cancel", "g1"]).expect(0);
    live.end();
}

#[test]
fn nothing_is_written_to_the_machines_temporary_folder() {
    let mut world = World::new(&[("a.txt", "a\n")]);
    let temporary = world.dir.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    world
        .env
        .push(("TMPDIR".to_owned(), temporary.display().to_string()));
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, &temporary, events).unwrap();
    let plan = plan_of(&[shell("t", "echo b > a.txt; echo new > new.txt", &[])]);
    world.run_plan(&plan, &["--apply"]).expect(0);
    for command in [
        &["show", "g1"][..],
        &["diff", "g1"],
        &["logs", "g1"],
        &["undo", "g1"],
        &["doctor"],
        &["daemon", "stop"],
    ] {
        world.run(command);
    }
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    let first = reader.next().map(|event| format!("{event:?}"));
    assert_eq!(
        first.map_err(|error| error.kind()),
        Err(std::io::ErrorKind::WouldBlock)
    );
}

/// Where a shell is started: by the built-in agent, inside the sandbox, and by the demo, for its own project.
const SHELLS: [&str; 2] = [
    "server/cli/src/commands/demo.rs",
    "server/worker/src/agent/native/command.rs",
];

#[test]
fn the_daemon_starts_no_shell() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let mut open = vec![root.join("server")];
    let mut found = BTreeSet::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                if ["new(\"sh\")", "new(\"bash\")", "/bin/sh", "/bin/bash"]
                    .iter()
                    .any(|shell| code.contains(shell))
                {
                    let inner = path.strip_prefix(root).unwrap();
                    found.insert(inner.to_str().unwrap().to_owned());
                }
            }
        }
    }
    assert_eq!(found, SHELLS.map(str::to_owned).into());
}
