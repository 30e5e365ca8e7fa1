//! Workers that try to get out, and what comes of each try. Programs play them here, which can do
//! whatever a session's shell can.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
};

use claudecluster_e2e::{
    World,
    live::{Guest, Live, Meet, plan_of, shell, sleepers},
};
use serde_json::Value;

/// A shell function that writes down whether something worked.
const TRY: &str = r#"try() { name=$1; shift; if ( "$@" ) >/dev/null 2>&1; then echo "$name yes"; else echo "$name no"; fi >> report.txt; }
put() { echo x > "$1"; }
"#;

/// The last attempt at the only task.
fn attempt(view: &Value) -> &Value {
    let attempts = view["tasksDetail"][0]["attempts"].as_array().unwrap();
    attempts.last().unwrap()
}

#[test]
fn what_a_worker_writes_elsewhere_is_forgotten_or_refused() {
    let world = World::new(&[("a.txt", "a\n")]);
    let dir = world.dir.path().canonicalize().unwrap();
    let sibling = dir.join("sibling");
    fs::create_dir(&sibling).unwrap();
    fs::write(world.user_home().join(".profile"), "mine\n").unwrap();
    symlink(&sibling, world.path("out")).unwrap();
    let before = fs::read(world.user_home().join(".profile")).unwrap();
    let script = format!(
        r#"{TRY}
        try absolute put {root}/absolute.txt
        try proc put /proc/1/root{root}/through-proc.txt
        try cwd put /proc/1/cwd/through-cwd.txt
        try home put {home}/.profile
        try homeNew put {home}/new
        try sibling put {sibling}/new
        try link put out/through-link
        try usr put /usr/bin/evil
        try etc put /etc/cron.d/evil
        try var put /var/lib/evil
        try root put /evil
        try pid1 sh -c 'kill -9 1; sleep 0.2; kill -0 $PPID'
        try mount mount -t tmpfs none /mnt
        try remount mount -o remount,rw /usr
        try disk mknod /dev/evil b 254 0
        try sysctl put /proc/sys/kernel/core_pattern
        try sysrq put /proc/sysrq-trigger
        "#,
        root = world.root().display(),
        home = world.user_home().display(),
        sibling = sibling.display(),
    );
    let said = world
        .run_plan(&plan_of(&[shell("t", &script, &[])]), &[])
        .expect(0);
    assert!(!world.has("absolute.txt"), "it is a proposal, not a write");
    world.run(&["accept", "g1"]).expect(0);
    let report = world.read("report.txt");
    for line in [
        "absolute yes",
        "home yes",
        "homeNew yes",
        "usr no",
        "etc no",
        "var no",
        "root no",
        "sysctl no",
        "sysrq no",
        "remount no",
    ] {
        assert!(
            report.lines().any(|l| l == line),
            "{line}: {report}\n{said:#?}"
        );
    }
    assert!(
        world.has("absolute.txt"),
        "the workspace has its own path inside"
    );
    assert_eq!(
        fs::read(world.user_home().join(".profile")).unwrap(),
        before
    );
    assert!(!world.user_home().join("new").exists());
    assert_eq!(fs::read_dir(&sibling).unwrap().count(), 0);
    for path in [
        "/usr/bin/evil",
        "/etc/cron.d/evil",
        "/var/lib/evil",
        "/evil",
        "/dev/evil",
    ] {
        assert!(fs::symlink_metadata(path).is_err(), "{path}");
    }
}

#[test]
fn the_daemon_is_not_there_for_workers() {
    let world = World::new(&[("a.txt", "a\n")]);
    let bin = claudecluster_e2e::part("CLAUDECLUSTER_BIN");
    // A socket of somebody else in the user's runtime folder.
    let runtime = world.dir.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    let _other = UnixListener::bind(runtime.join("other.sock")).unwrap();
    let script = format!(
        r#"{TRY}
        try list sh -c 'find {state} -type f -o -type s | grep -q .'
        try key cat {state}/daemon.json
        try socket test -e {state}/daemon.sock
        try journal cat {state}/journal.db
        try proc sh -c 'ls /proc/*/environ | while read f; do grep -q CLAUDECLUSTER_HOME= $f && exit 0; done; exit 1'
        try parents sh -c 'test $(ls -d /proc/[0-9]* | wc -l) -gt 40'
        CLAUDECLUSTER_HOME={state} CLAUDECLUSTER_CONFIG={config} try accept {bin} accept g1
        CLAUDECLUSTER_HOME={state} CLAUDECLUSTER_CONFIG={config} try stop {bin} daemon stop --force
        "#,
        state = world.home().display(),
        config = world.dir.path().join("config.toml").display(),
        bin = bin.display(),
    );
    world
        .run_plan(&plan_of(&[shell("t", &script, &[])]), &[])
        .expect(0);
    let pid = world.daemon();
    world.run(&["accept", "g1"]).expect(0);
    assert_eq!(world.daemon(), pid, "it has not been stopped");
    let report = world.read("report.txt");
    for name in [
        "list", "key", "socket", "journal", "proc", "parents", "accept",
    ] {
        let line = format!("{name} no");
        assert!(report.lines().any(|l| l == line), "{line}: {report}");
    }
}

#[test]
fn nobody_stays_behind() {
    let world = World::new(&[("a.txt", "a\n")]);
    let tag = format!("771{}", std::process::id());
    let script = format!(
        "(setsid sh -c 'trap \"\" TERM HUP INT; exec sleep {tag}' </dev/null >/dev/null 2>&1 &) \n\
         (nohup sleep {tag} </dev/null >/dev/null 2>&1 &)\n\
         echo b > a.txt"
    );
    let said = world
        .run_plan(&plan_of(&[shell("t", &script, &[])]), &["--apply"])
        .expect(0);
    assert_eq!(sleepers(&tag), 0, "{said:#?}");
    assert_eq!(world.read("a.txt"), "b\n");
}

#[test]
fn links_out_and_files_past_a_limit_fail_the_task() {
    for (script, name, words) in [
        (
            "ln -s /etc/passwd leak",
            "leak",
            "points outside the workspace",
        ),
        ("ln -s .. up", "up", "points outside the workspace"),
        (
            "mkdir d; ln -s ../../x d/leak",
            "d/leak",
            "points outside the workspace",
        ),
        ("truncate -s 200M huge.bin", "huge.bin", "limit"),
    ] {
        let world = World::new(&[("a.txt", "a\n")]);
        let script = format!("{script}; echo b > a.txt");
        let said = world
            .run_plan(&plan_of(&[shell("t", &script, &[])]), &["--apply"])
            .expect(1);
        let view = world.goal("g1");
        let last = attempt(&view);
        assert_eq!(last["stop"], "changesRefused", "{name}: {view:#}");
        let error = view["error"]["message"].as_str().unwrap();
        assert!(error.contains(name) && error.contains(words), "{error}");
        assert!(!world.has(name), "{said:#?}");
        assert_eq!(world.read("a.txt"), "a\n", "{name}");
        // The rest is kept, and lands when it is named.
        world.run(&["accept", "g1", "--file", name]);
        assert!(!world.has(name), "{name}");
        world.run(&["accept", "g1", "--task", "t"]);
        assert_eq!(world.read("a.txt"), "b\n", "{name}");
        assert!(!world.has(name), "{name}");
    }
}

#[test]
fn what_is_no_file_is_left_out_and_named() {
    let world = World::new(&[("a.txt", "a\n"), ("b.txt", "b\n")]);
    let script = "mkfifo pipe; rm b.txt; mkfifo b.txt; echo b > a.txt; \
                  perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"sock\", Listen => 1) or die'";
    world
        .run_plan(&plan_of(&[shell("t", script, &[])]), &["--apply"])
        .expect(0);
    assert_eq!(world.read("a.txt"), "b\n");
    assert!(!world.has("pipe") && !world.has("sock"));
    assert!(!world.has("b.txt"), "what the pipe replaced was deleted");
    let show = world.run(&["show", "g1"]).expect(0).stdout;
    for name in ["pipe", "sock"] {
        assert!(show.contains(name), "{name}: {show}");
    }
}

#[test]
fn gits_own_folder_stays_as_it_is() {
    for script in [
        "rm -rf .git",
        "mv .git .git2; echo evil > .git",
        "printf '[core]\\n\\tfsmonitor = touch pwned\\n' >> .git/config; echo x > .git/hooks/pre-commit",
        "git config user.name Evil; git commit -q --allow-empty -m evil || true; git gc -q || true",
    ] {
        let world = World::new(&[("a.txt", "a\n")]);
        let before = world.fingerprint();
        let script = format!("{script}; echo b > a.txt");
        world
            .run_plan(&plan_of(&[shell("t", &script, &[])]), &[])
            .expect(0);
        assert_eq!(world.fingerprint(), before, "{script}");
        world.run(&["accept", "g1"]);
        assert_eq!(world.read("a.txt"), "b\n", "{script}");
        world.run(&["accept", "g1", "--file", ".git/config"]);
        let config = world.read(".git/config");
        assert!(
            !config.contains("evil") && !config.contains("pwned"),
            "{script}"
        );
        assert_eq!(world.git(&["log", "--format=%s"]), "first\n", "{script}");
    }
}

#[test]
fn files_that_arm_themselves_wait_for_a_look() {
    let files = [
        ".vscode/tasks.json",
        ".idea/x.xml",
        ".CLAUDE/settings.json",
        ".mcp.json",
        ".gitmodules",
        ".gitattributes",
        ".husky/pre-commit",
        ".envrc",
        ".npmrc",
        ".cargo/config.toml",
        "rust-toolchain.toml",
        "x.code-workspace",
        ".devcontainer/devcontainer.json",
        ".github/workflows/x.yml",
        "CLAUDE.md",
        "sub/AGENTS.md",
        ".claudecluster.toml",
    ];
    let world = World::new(&[("a.txt", "a\n"), (".envrc", "old\n")]);
    let mut script = "echo b > a.txt\n".to_owned();
    for file in files {
        script.push_str(&format!(
            "mkdir -p \"$(dirname {file})\"; echo x > {file}\n"
        ));
    }
    let said = world
        .run_plan(&plan_of(&[shell("t", &script, &[])]), &["--apply"])
        .expect(3);
    assert_eq!(world.read("a.txt"), "b\n");
    for file in files.iter().filter(|file| **file != ".envrc") {
        assert!(!world.has(file), "{file}: {said:#?}");
    }
    assert_eq!(world.read(".envrc"), "old\n");
    let show = world.run(&["show", "g1"]).expect(0).stdout;
    assert!(show.contains(".envrc"), "{show}");
    world.run(&["accept", "g1", "--file", ".envrc"]);
    assert_eq!(world.read(".envrc"), "x\n");
    assert!(!world.has("CLAUDE.md"));
    world.run(&["reject", "g1"]).expect(0);
    assert_eq!(world.goal("g1")["state"], "landed");
}

#[test]
fn a_folder_that_became_a_link_is_not_written_through() {
    let world = World::new(&[("d/a.txt", "a\n"), ("d/b.txt", "b\n")]);
    let outside = world.dir.path().join("outside");
    world
        .run_plan(
            &plan_of(&[shell(
                "t",
                "echo A > d/a.txt; echo n > d/new.txt; rm d/b.txt",
                &[],
            )]),
            &[],
        )
        .expect(0);
    fs::rename(world.path("d"), &outside).unwrap();
    symlink(&outside, world.path("d")).unwrap();
    let said = world.run(&["accept", "g1"]);
    assert_ne!(said.status, 0, "{said:#?}");
    assert_eq!(fs::read_to_string(outside.join("a.txt")).unwrap(), "a\n");
    assert_eq!(fs::read_to_string(outside.join("b.txt")).unwrap(), "b\n");
    assert!(!outside.join("new.txt").exists());
    // Put back, it lands.
    fs::remove_file(world.path("d")).unwrap();
    fs::rename(&outside, world.path("d")).unwrap();
    world.run(&["accept", "g1"]).expect(0);
    assert_eq!(world.read("d/a.txt"), "A\n");
}

#[test]
fn a_task_that_fills_the_machine_with_files_is_stopped_at_its_limit() {
    let world = World::new(&[("a.txt", "a\n")]);
    world.configure("[limits]\nfiles = 100\n");
    let script = "i=0; while [ $i -lt 300 ]; do : > f$i; i=$((i+1)); done";
    world
        .run_plan(&plan_of(&[shell("t", script, &[])]), &["--apply"])
        .expect(1);
    let view = world.goal("g1");
    assert_eq!(attempt(&view)["stop"], "changesRefused", "{view:#}");
    let made = fs::read_dir(world.root()).unwrap().count();
    assert_eq!(made, 2, "a.txt and .git");
}

#[test]
fn two_workers_do_not_see_each_other() {
    let world = World::new(&[("a.txt", "a\n")]);
    let meet = Meet::new();
    let script = |own: &str| {
        format!(
            "echo {own} > /tmp/claudecluster-shared; : > started-{own}; {}; \
             cat /tmp/claudecluster-shared > seen-{own}.txt; ls >> seen-{own}.txt",
            meet.script(own)
        )
    };
    let plan = plan_of(&[
        shell("left", &script("left"), &[]),
        shell("right", &script("right"), &[]),
    ]);
    let live = Live::plan(&world, &plan, &["--apply"]);
    // Both run at this moment.
    let both = [meet.next(), meet.next()];
    both.into_iter().for_each(Guest::release);
    live.end().expect(0);
    for (own, other) in [("left", "right"), ("right", "left")] {
        let seen = world.read(format!("seen-{own}.txt"));
        assert!(seen.starts_with(&format!("{own}\n")), "{seen}");
        assert!(!seen.contains(other), "{seen}");
    }
    assert!(!std::path::Path::new("/tmp/claudecluster-shared").exists());
}
