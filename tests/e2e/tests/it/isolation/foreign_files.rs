//! Files that a repository or a worker leaves for the daemon to meet: links, pipes, devices, sparse files, folders
//! nested deeper than any stack.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::symlink, path::Path};

use claudecluster_e2e::{
    World,
    live::{Live, plan_of, shell},
};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What the daemon may have had of memory at most, in kilobytes. It has some 60 MB when it starts.
const MOST_MEMORY: u64 = 700 << 10;

/// What is put in the place of a file or folder.
#[derive(Clone, Copy, Debug)]
enum Trap {
    LinkToFile,
    LinkToFolder,
    LinkToZero,
    Pipe,
    Sparse,
}

const TRAPS: [Trap; 5] = [
    Trap::LinkToFile,
    Trap::LinkToFolder,
    Trap::LinkToZero,
    Trap::Pipe,
    Trap::Sparse,
];

impl Trap {
    fn set(self, at: &Path, outside: &Path) {
        let _ = fs::remove_file(at);
        let _ = fs::remove_dir_all(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        match self {
            Self::LinkToFile => symlink(outside.join("canary"), at).unwrap(),
            Self::LinkToFolder => symlink(outside, at).unwrap(),
            Self::LinkToZero => symlink("/dev/zero", at).unwrap(),
            Self::Pipe => {
                mknodat(CWD, at, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
            }
            Self::Sparse => fs::File::create(at).unwrap().set_len(1 << 40).unwrap(),
        }
    }
}

/// A world with a canary beside the workspace.
fn world() -> (World, std::path::PathBuf) {
    let world = World::new(&[("a.txt", "a\n"), ("d/b.txt", "b\n")]);
    let outside = world.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("canary"), "CANARY-TEXT\n").unwrap();
    (world, outside)
}

/// Checks that nothing came in or went out, that the daemon stayed small, and that it still stops.
fn assert_well(world: &World, outside: &Path, what: &str) {
    let canary = fs::read_to_string(outside.join("canary")).unwrap();
    assert_eq!(canary, "CANARY-TEXT\n", "{what}");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1, "{what}");
    let status = world.run(&["daemon", "status", "--json"]).expect(0).json();
    let pid = status[0]["pid"].as_u64().unwrap();
    let memory = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = memory
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < MOST_MEMORY, "{what}: the daemon had {peak} kB");
    world.run(&["daemon", "stop"]).expect(0);
}

#[test]
fn no_entry_of_a_repository_hangs_or_fills_a_goal() {
    let entries = [
        ".git/index",
        ".git/HEAD",
        ".git/config",
        ".git/objects",
        ".git/refs",
        ".git/info/exclude",
        ".git/packed-refs",
        ".gitignore",
        "d/.gitignore",
        "CLAUDE.md",
        "a.txt",
        ".claudecluster.toml",
    ];
    let (world, outside) = world();
    let plan = plan_of(&[shell("t", "echo made > made.txt", &[])]);
    let original = world.dir.path().join("original");
    copy_folder(&world.root(), &original);
    for entry in entries {
        for trap in TRAPS {
            let what = format!("{entry} as {trap:?}");
            fs::remove_dir_all(world.root()).unwrap();
            copy_folder(&original, &world.root());
            trap.set(&world.path(entry), &outside);
            // Whether it works or is refused with words, it ends.
            let said = world.run_plan(&plan, &[]);
            let text = format!("{said:?}");
            assert!(!text.contains("CANARY-TEXT"), "{what}: {text}");
            assert!(!text.contains("panicked"), "{what}: {text}");
        }
    }
    assert_well(&world, &outside, "after all of them");
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status();
    assert!(copied.unwrap().success());
}

#[test]
fn folders_nested_without_end_are_refused_by_name_and_tidied() {
    let (world, outside) = world();
    // In pieces that are put into each other: the kernel checks every folder above each new one.
    let deep = "p=$(printf 'd/%.0s' $(seq 199)); for i in $(seq 100); do \
        mkdir -p s/$p; if [ -e k ]; then mv -T k s/${p}d; fi; mv -T s k; done";
    let layer = format!("mkdir layer && cd layer && {deep}");
    let said = world.run_plan(&plan_of(&[shell("t", &layer, &[])]), &[]);
    let text = format!("{said:?}");
    assert!(text.contains("nested more than 512 deep"), "{text}");
    let elsewhere = format!("cd /tmp && {deep}");
    world
        .run_plan(&plan_of(&[shell("t", &elsewhere, &[])]), &[])
        .expect(0);
    world.run(&["daemon", "stop"]).expect(0);
    let plan = plan_of(&[shell("t", "echo made > made.txt", &[])]);
    let said = world.run_plan(&plan, &["--apply"]);
    said.expect(0);
    assert_eq!(world.read("made.txt"), "made\n");
    assert_well(&world, &outside, "after tidying");
}

#[test]
fn what_a_task_leaves_in_its_layer_harms_nobody() {
    let (world, outside) = world();
    let script = format!(
        "ln -s {outside}/canary link; ln -s {outside} folder; mkfifo pipe; ln -s /dev/zero zero; \
         truncate -s 1T sparse; mkfifo d/.gitignore; ln -sf /dev/zero .gitignore; echo made > made.txt",
        outside = outside.display()
    );
    let said = world.run_plan(&plan_of(&[shell("t", &script, &[])]), &[]);
    let text = format!("{said:?}");
    assert!(text.contains("outside the workspace"), "{text}");
    // A goal under way with all of it is cancelled.
    let busy = format!("{script}; sleep 600");
    let mut live = Live::plan(&world, &plan_of(&[shell("t", &busy, &[])]), &[]);
    live.event("attemptStarted");
    world.run(&["cancel", "g2"]).expect(0);
    live.end();
    assert_well(&world, &outside, "after a cancel");
}
