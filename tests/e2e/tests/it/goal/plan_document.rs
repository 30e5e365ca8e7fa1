//! Plans that somebody looks at before they run: as a document in a real Neovim, in an editor of their own
//! on the command line, and task by task.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt};

use claudecluster_e2e::World;
use serde_json::{Value, json};

fn waiting() -> World {
    let world = World::new(&[("base.txt", "base\n")]);
    let said = world
        .run_plan(
            &json!({"goal": "numbers", "tasks": [
                {"id": "first", "run": "echo one > one.txt"},
                {"id": "second", "run": "cat one.txt > two.txt", "dependsOn": ["first"]},
            ]}),
            &["--plan-only"],
        )
        .expect(3);
    assert_eq!(said.outcome()["state"], "awaitingApproval");
    world
}

/// The files a goal proposes, once it has settled.
fn proposed(world: &World) -> Vec<String> {
    world.run(&["watch", "g1", "--quiet"]).expect(0);
    let view = world
        .run(&["show", "g1", "--json"])
        .expect(0)
        .json()
        .remove(0);
    let changes = view["changes"].as_array().unwrap();
    let paths = changes.iter().map(|hunk| hunk["path"].as_str().unwrap());
    paths.map(str::to_owned).collect()
}

#[test]
fn a_plan_is_corrected_and_approved_in_neovim() {
    let mut world = waiting();
    let output = world.neovim("plan.lua", &[]);
    assert_eq!(output.status, 0, "{}", output.stderr);

    assert_eq!(proposed(&world), ["one.txt", "three.txt"]);
    // What was written is its reader's, and nobody else's.
    let document = world.home().join("plans/g1.plan.json");
    let text = fs::read_to_string(&document).unwrap();
    assert!(text.contains("two.txt"), "{text}");
    let mode = fs::metadata(&document).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_plan_is_changed_in_an_editor_of_ones_own() {
    let mut world = waiting();
    let printed = world.run(&["plan", "g1"]).expect(0);
    let plan: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(plan["tasks"][1]["id"], "second");

    let editor = |world: &mut World, script: &str| {
        let file = world.dir.path().join("editor");
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        world.env.retain(|(name, _)| name != "EDITOR");
        world
            .env
            .push(("EDITOR".to_owned(), file.display().to_string()));
    };
    editor(&mut world, "true");
    let left = world.run(&["plan", "g1", "--edit"]).expect(3);
    assert!(left.stdout.contains("The plan is unchanged"), "{left:?}");

    editor(&mut world, r#"sed -i 's/"first"$/"second"/' "$1""#);
    let refused = world.run(&["plan", "g1", "--edit"]).expect(2);
    assert!(refused.stderr.contains("depends on itself"), "{refused:?}");
    let kept = refused.stderr.split("--plan ").nth(1).unwrap();
    let kept = kept.trim_end().trim_end_matches(')');
    assert!(
        fs::read_to_string(kept).unwrap().contains("two.txt"),
        "{kept}"
    );
    fs::remove_file(kept).unwrap();

    editor(&mut world, r#"sed -i 's/two\.txt/three.txt/' "$1""#);
    world.run(&["plan", "g1", "--edit"]).expect(0);
    assert_eq!(proposed(&world), ["one.txt", "three.txt"]);
    world.run(&["plan", "g1", "--edit"]).expect(2);
}

#[test]
fn a_paused_task_waits_for_its_approval_and_survives_the_daemon() {
    let world = World::new(&[("base.txt", "base\n")]);
    let plan = json!({"tasks": [
        {"id": "first", "run": "echo one > one.txt"},
        {"id": "second", "run": "cat one.txt > two.txt", "dependsOn": ["first"], "pause": true},
        {"id": "third", "run": "cat two.txt > three.txt", "dependsOn": ["second"]},
    ]});
    let waits = world.run_plan(&plan, &[]).expect(3);
    assert_eq!(waits.outcome()["state"], "running");
    let shown = world.run(&["show", "g1"]).expect(0);
    for part in [
        "g1 paused",
        "waiting for approval",
        "claudecluster approve g1 --task second",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {shown:?}");
    }
    let watched = world.run(&["watch", "g1"]).expect(3);
    assert!(
        watched.stdout.contains("approve g1 --task second"),
        "{watched:?}"
    );
    let goals = world.run(&["goals", "--json"]).expect(0).json();
    assert_eq!(goals[0]["paused"], 1);

    // What waits for somebody keeps no daemon from ending, and is taken up by the next.
    world.run(&["daemon", "stop"]).expect(0);
    for (task, expected) in [("third", "is waiting"), ("first", "its state is succeeded")] {
        let refused = world.run(&["approve", "g1", "--task", task]).expect(2);
        assert!(refused.stderr.contains(expected), "{refused:?}");
    }
    world.run(&["approve", "g1", "--task", "second"]).expect(0);
    assert_eq!(proposed(&world), ["one.txt", "three.txt", "two.txt"]);
}
