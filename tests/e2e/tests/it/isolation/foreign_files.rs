//! Files that a repository or a worker leaves for the daemon to meet: links, pipes, devices, sparse files, folders
//! nested deeper than any stack.

use std::fs;

use claudecluster_e2e::{
    World,
    live::{Live, Meet, plan_of, shell},
    machine::{Machine, TestUser},
    traps::{CANARY, DEEP, Outside, Trap, copy_folder},
};
use serde_json::{Value, json};

/// A world with a canary beside the workspace.
fn world() -> (World, Outside) {
    let world = World::new(&[("a.txt", "a\n"), ("d/b.txt", "b\n")]);
    let outside = Outside::beside(&world);
    (world, outside)
}

#[test]
fn no_entry_of_a_repository_hangs_or_fills_a_goal() {
    // Of git's own folder each by itself: the first that cannot be read ends the goal.
    let of_git = [
        ".git",
        ".git/index",
        ".git/HEAD",
        ".git/config",
        ".git/objects",
        ".git/objects/pack",
        ".git/objects/info/alternates",
        ".git/objects/OBJECT",
        ".git/refs",
        ".git/refs/heads/main",
        ".git/info",
        ".git/info/exclude",
        ".git/info/attributes",
        ".git/packed-refs",
        ".git/commondir",
        ".git/modules",
        ".git/worktrees",
        ".git/shallow",
    ];
    let (world, outside) = world();
    let plan = plan_of(&[shell("t", "echo made > made.txt", &[])]);
    let original = world.dir.path().join("original");
    let head = world.git(&["rev-parse", "HEAD"]);
    let object = format!("{}/{}", &head[..2], head[2..].trim());
    copy_folder(&world.root(), &original);
    let check = |entries: &[&str], trap: Trap| {
        let what = format!("{entries:?} as {trap:?}");
        fs::remove_dir_all(world.root()).unwrap();
        copy_folder(&original, &world.root());
        for entry in entries {
            trap.set(&world.path(entry.replace("OBJECT", &object)), &outside);
        }
        // Whether it works or is refused with words, it ends.
        let said = world.run_plan(&plan, &[]);
        let text = format!("{said:?}");
        assert!(!text.contains(CANARY), "{what}: {text}");
        assert!(!text.contains("panicked"), "{what}: {text}");
        outside.assert_untouched(&what);
    };
    // Each entry meets three of the traps, and each trap six of the entries: all pairs would take minutes.
    let traps = Trap::available();
    for (number, entry) in of_git.iter().enumerate() {
        for turn in 0..3 {
            check(&[entry], traps[(number + turn * 3) % traps.len()]);
        }
    }
    // What git, the daemon or an agent reads in the work tree, all at once.
    let of_tree = [
        "CLAUDE.md",
        "AGENTS.md",
        ".claude",
        "d/.gitattributes",
        ".gitmodules",
        ".mailmap",
        "a.txt",
        "d/b.txt",
    ];
    let patterns = [".gitignore", "d/.gitignore", ".gitattributes"];
    for trap in traps {
        check(&of_tree, trap);
        check(&patterns, trap);
        check(&[".claudecluster.toml"], trap);
        check(&["d"], trap);
    }
    outside.assert_well(&world, "after all of them");
}

#[test]
fn folders_nested_without_end_are_refused_by_name_and_tidied() {
    let (world, outside) = world();
    let layer = format!("{DEEP}; deep layer");
    let said = world.run_plan(&plan_of(&[shell("t", &layer, &[])]), &[]);
    let text = format!("{said:?}");
    assert!(text.contains("nested more than 512 deep"), "{text}");
    let elsewhere = format!("{DEEP}; deep /tmp/t");
    world
        .run_plan(&plan_of(&[shell("t", &elsewhere, &[])]), &[])
        .expect(0);
    world.run(&["daemon", "stop"]).expect(0);
    let plan = plan_of(&[shell("t", "echo made > made.txt", &[])]);
    let said = world.run_plan(&plan, &["--apply"]);
    said.expect(0);
    assert_eq!(world.read("made.txt"), "made\n");
    outside.assert_well(&world, "after tidying");
}

/// Makes folders with megabytes of patterns each, and some that are as long as is read.
const PATTERNS: &str = "for n in $(seq 8); do mkdir -p p$n q$n; \
    seq -f '*a*%.0f*[b-x]?*c' 1 200000 > p$n/.gitignore; head -c 200000 p$n/.gitignore > q$n/.gitignore; done;";

/// What a task may leave: all that is no file is left out, and what is one lands.
const LEFT: &str = "mkfifo pipe; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => q(sock), Listen => 1)'; \
    rm -r d; echo no-folder > d; rm a.txt; mkdir a.txt; echo in > a.txt/in.txt; mkfifo a.txt/.gitignore; \
    ln made.txt hard.txt; mkdir closed; echo x > closed/x; chmod 000 closed/x closed;";

/// A goal with a task that leaves what it can, one that leaves what is refused, one that builds on the first, and gates
/// that leave the same.
fn hostile_plan(outside: &Outside) -> Value {
    let refused = format!(
        "ln -s {outside}/canary link; ln -s {outside} folder; ln -s /dev/zero zero; truncate -s 60G sparse; \
         mkfifo d/.gitignore; ln -sf /dev/zero .gitignore; {PATTERNS} echo other > other.txt",
        outside = outside.folder.display()
    );
    // What gates leave in a task's view is part of its change; those of the goal have a view that is thrown away.
    let gate = |more: &str| {
        let script = format!("mkfifo p2; rm -rf .git; mkfifo .git; {more} test -f made.txt");
        json!(["sh", "-c", script])
    };
    let mut plan = plan_of(&[
        shell("left", &format!("echo made > made.txt; {LEFT}"), &[]),
        shell("refused", &refused, &[]),
        shell(
            "next",
            "grep -q no-folder d && cat made.txt > next.txt",
            &["left"],
        ),
    ]);
    plan["tasks"][0]["gates"] = json!([gate("")]);
    plan["gates"] = json!([gate("ln -s /dev/zero z2; truncate -s 60G s2;")]);
    plan
}

fn check_layers(machine: Machine, user: TestUser) {
    let what = format!("{machine:?} {user:?}");
    let (mut world, outside) = world();
    world.configure(if machine == Machine::Container {
        "sandbox = \"copy\"\n"
    } else {
        ""
    });
    world.place(machine, user);
    let plan = hostile_plan(&outside);
    let said = world.run_plan(&plan, &[]);
    let text = format!("{what}: {said:?}");
    assert!(text.contains("outside the workspace"), "{text}");
    assert!(
        !text.contains(CANARY) && !text.contains("panicked"),
        "{text}"
    );
    // Tried again, and met again by a daemon that was killed meanwhile.
    world.run(&["retry", "g1"]).expect(0);
    world.kill_daemon();
    world.run(&["daemon", "start"]).expect(0);
    world.run(&["watch", "g1", "--json"]);
    let shown = world.run(&["show", "g1"]).expect(0).stdout;
    assert!(
        shown.contains("no-folder") || shown.contains(" d "),
        "{shown}"
    );
    world.run(&["accept", "g1"]);
    assert_eq!(world.read("made.txt"), "made\n", "{text}");
    assert_eq!(world.read("next.txt"), "made\n", "{text}");
    assert!(
        !world.has("pipe") && !world.has("sock") && !world.has("link"),
        "{text}"
    );
    world.run(&["undo", "g1"]);
    world.run(&["redo", "g1"]);
    world.run(&["reject", "g1"]);
    outside.assert_untouched(&text);
    // A goal under way with all of it is cancelled, by a daemon that finds it.
    let meet = Meet::new();
    let busy = format!("{LEFT} mkfifo .gitignore; {}", meet.script("busy"));
    let live = Live::plan(&world, &plan_of(&[shell("t", &busy, &[])]), &[]);
    let first = meet.next();
    world.kill_daemon();
    drop((live, first));
    world.run(&["daemon", "start"]).expect(0);
    let second = meet.next();
    world.run(&["cancel", "g2"]).expect(0);
    second.ended();
    outside.assert_well(&world, &format!("{what}, after a cancel"));
}

#[test]
fn what_a_task_leaves_in_its_layer_harms_nobody() {
    check_layers(Machine::Whole, TestUser::Own);
}

#[test]
fn what_a_task_leaves_harms_nobody_on_lesser_machines() {
    for machine in [Machine::NoOverlay, Machine::Container] {
        for user in TestUser::available() {
            check_layers(machine, *user);
        }
    }
}
