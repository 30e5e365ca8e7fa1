//! Sockets of the machine: a worker connects to none of them, wherever they are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::net::{UnixDatagram, UnixListener},
    path::{Path, PathBuf},
    process::Command,
};

use claudecluster_e2e::{
    World,
    live::{plan_of, shell},
};
use serde_json::Value;

/// A program that says for each of its arguments whether it can connect to that socket.
const CONNECT: &str = r#"use IO::Socket::UNIX;
for my $path (@ARGV) {
    my $said = "no";
    for my $type (SOCK_STREAM, SOCK_DGRAM) {
        $said = "yes" if IO::Socket::UNIX->new(Type => $type, Peer => $path);
    }
    print "$path $said\n";
}
"#;

/// A daemon with its state folder at another place than usual.
fn world_at(state: &Path, runtime: &Path) -> World {
    let mut world = World::new(&[("a.txt", "a\n")]);
    for folder in [state, runtime] {
        fs::create_dir_all(folder).unwrap();
    }
    for (name, folder) in [("CLAUDECLUSTER_HOME", state), ("XDG_RUNTIME_DIR", runtime)] {
        let folder = folder.to_str().unwrap().to_owned();
        world.env.push((name.to_owned(), folder));
    }
    world
}

fn start_daemon(world: &World, state: &Path) -> PathBuf {
    world.run(&["daemon", "start"]).expect(0);
    let file = fs::read_to_string(state.join("daemon.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    file["socket"].as_str().unwrap().into()
}

fn check(sandbox: &str) {
    // Neither below a temporary folder nor in the user's home, which are covered anyway.
    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = elsewhere.path().canonicalize().unwrap();
    let other_state = place.join("other");
    let other = world_at(&other_state, &place.join("run"));
    let own_state = place.join("long".repeat(30));
    let own = world_at(&own_state, &place.join("r"));
    own.configure(&format!("sandbox = \"{sandbox}\"\n"));

    let services = ["stream", "with space"].map(|name| place.join(name));
    let streams = [
        services[0].clone(),
        services[1].clone(),
        own.path("in-workspace.sock"),
        own.user_home().join("in-home.sock"),
        own.dir.path().join("in-tmp.sock"),
    ];
    let _listeners = streams
        .each_ref()
        .map(|path| UnixListener::bind(path).unwrap());
    let datagram = place.join("datagram");
    let _datagram = UnixDatagram::bind(&datagram).unwrap();
    let mut sockets = streams.to_vec();
    sockets.push(datagram);
    sockets.push(start_daemon(&other, &other_state));
    sockets.push(start_daemon(&own, &own_state));
    assert!(
        !sockets[7].starts_with(&own_state),
        "the socket is not in a folder with such a long path"
    );

    let program = own.dir.path().join("connect.pl");
    fs::write(&program, CONNECT).unwrap();
    let outside = Command::new("perl").arg(&program).args(&sockets).output();
    let outside = String::from_utf8(outside.unwrap().stdout).unwrap();
    assert_eq!(
        outside.matches(" yes\n").count(),
        sockets.len(),
        "{outside}"
    );

    let quoted = sockets.iter().map(|path| format!("'{}'", path.display()));
    let script = format!(
        "perl {program} {sockets} > report.txt\n\
         for f in {other}/daemon.json {other}/journal.db {own}/daemon.json; do cat $f && echo \"$f yes\"; done >> report.txt\n\
         ls /tmp/claudecluster-$(id -u)/* >> report.txt || true",
        program = program.display(),
        sockets = quoted.collect::<Vec<_>>().join(" "),
        other = other_state.display(),
        own = own_state.display(),
    );
    let plan = plan_of(&[shell("t", &script, &[])]);
    let said = own.run_plan(&plan, &[]).expect(0);
    own.run(&["accept", "g1"]).expect(0);
    let report = own.read("report.txt");
    let expected = sockets
        .iter()
        .map(|path| format!("{} no\n", path.display()));
    assert_eq!(report, expected.collect::<String>(), "{sandbox}: {said:#?}");
    let kind = &own.goal("g1")["tasksDetail"][0]["attempts"][0]["sandbox"];
    assert_eq!(kind.as_str(), Some(sandbox), "{said:#?}");
}

#[test]
fn no_socket_is_reached_from_an_overlay() {
    check("overlay");
}

#[test]
fn no_socket_is_reached_from_a_copy() {
    check("copy");
}
