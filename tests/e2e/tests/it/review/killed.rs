//! The daemon is killed again and again while it lands, undoes and lands again.

use std::{process::Stdio, thread, time::Duration};

use claudecluster_e2e::{World, wait_for};
use serde_json::Value;

use super::{numbered, propose};

const FILES: usize = 40;

/// What a file is with nothing of the goal in it, and with all of it.
fn texts() -> (String, String) {
    let base = numbered(20);
    let merged = base
        .replace("\n5\n", "\nfive\n")
        .replace("\n15\n", "\n15\nand a half\n");
    (base, merged)
}

fn name(n: usize) -> String {
    format!("f{n:02}.txt")
}

/// How often it is killed; more with `CLAUDECLUSTER_TORTURE_CYCLES`.
fn cycles() -> u64 {
    let cycles = std::env::var("CLAUDECLUSTER_TORTURE_CYCLES").ok();
    cycles.map_or(12, |cycles| cycles.parse().unwrap())
}

/// Numbers that differ enough from each other, the same in every run.
fn scatter(n: u64) -> u64 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

/// In which files the goal has landed by the disk, and that nothing else has happened to any of them.
fn landed_on_disk(world: &World, typed: &[Vec<String>]) -> Vec<bool> {
    let (base, merged) = texts();
    let landed = |(n, typed): (usize, &Vec<String>)| {
        let text = world.read(name(n));
        let typed = typed.concat();
        let landed = text == format!("{merged}{typed}");
        assert!(
            landed || text == format!("{base}{typed}"),
            "{}: {text}",
            name(n)
        );
        landed
    };
    typed.iter().enumerate().map(landed).collect()
}

/// In which files it has landed by the ledger.
fn landed_by_ledger(world: &World, goal: &str) -> Vec<bool> {
    let goal = world.goal(goal);
    let pending: Vec<&str> = goal["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hunk| {
            assert_eq!(hunk["status"], "clean", "{hunk}");
            hunk["path"].as_str().unwrap()
        })
        .collect();
    let hunks = |n: usize| pending.iter().filter(|path| **path == name(n)).count();
    (0..FILES)
        .map(|n| {
            let left = hunks(n);
            assert!(
                [0, 2].contains(&left),
                "{left} hunks pending in {}",
                name(n)
            );
            left == 0
        })
        .collect()
}

#[test]
fn a_daemon_that_is_killed_while_it_decides_loses_and_repeats_nothing() {
    let (base, merged) = texts();
    let names: Vec<String> = (0..FILES).map(name).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), base.as_str())).collect();
    let world = World::new(&files);
    let script = "sed -i 's/^5$/five/; s/^15$/15\\nand a half/' f*.txt";
    let goal = propose(&world, &[("t", script)]);
    let mut typed = vec![Vec::new(); FILES];
    for cycle in 0..cycles() {
        // Somebody goes on writing, between the decisions.
        for k in 0..4 {
            let n = usize::try_from(scatter(cycle * 4 + k)).unwrap() % FILES;
            typed[n].push(format!("typed in cycle {cycle}, {k}\n"));
            let text = world.read(name(n)) + typed[n].last().unwrap();
            world.write(name(n), text);
        }
        let verb = ["accept", "undo", "redo"][usize::try_from(scatter(cycle) % 3).unwrap()];
        let mut command = world.command(&[verb, &goal]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut client = command.spawn().unwrap();
        // Between the request and the answer lie tens of milliseconds: somewhere in there.
        thread::sleep(Duration::from_millis(scatter(cycle + 1000) % 120));
        world.kill_daemon();
        // It says what became of it, or that the daemon is gone; what counts is what is there.
        client.wait().unwrap();
        let by_ledger = landed_by_ledger(&world, &goal);
        let on_disk = landed_on_disk(&world, &typed);
        assert_eq!(by_ledger, on_disk, "cycle {cycle}: {verb}");
        // What lay half-written beside the files goes while the next daemon is already there.
        wait_for("the end of what was half-written", || {
            world.git(&["ls-files", "--others"]).is_empty()
        });
    }
    // The ledger is whole: everything lands, goes back and lands again, each once.
    for (verb, text) in [("accept", &merged), ("undo", &base), ("redo", &merged)] {
        world.run(&[verb, &goal]).expect(0);
        for (n, typed) in typed.iter().enumerate() {
            assert_eq!(world.read(name(n)), format!("{text}{}", typed.concat()));
        }
    }
    let hunks: Value = world.goal(&goal)["hunks"].clone();
    assert_eq!(hunks["landed"], 2 * FILES, "{hunks}");
}
