//! Conflicts, with what somebody typed and between tasks, resolved in every way there is.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use claudecluster_e2e::{Said, World, said};

use super::{id_of, numbered, ok, pending, propose, replace};

/// A world whose `$EDITOR` is this shell script; the file is its first argument.
fn with_editor(world: &mut World, script: &str) {
    let editor = world.dir.path().join("editor.sh");
    fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    world
        .env
        .push(("EDITOR".to_owned(), editor.display().to_string()));
}

/// Runs a command with something on its standard input.
fn with_stdin(world: &World, args: &[&str], input: &str) -> Said {
    let mut command: Command = world.command(args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    said(&child.wait_with_output().unwrap())
}

/// Takes the markers and what both started from out, and leaves both sides.
const TIDY: &str = "sed -i '/^<<<<<<< /d; /^||||||| /,/^=======$/d; /^>>>>>>> /d' \"$1\"";

#[test]
fn a_conflict_with_typed_text_is_resolved_in_every_way() {
    let mut world = World::new(&[("f.txt", &numbered(90))]);
    with_editor(&mut world, TIDY);
    let tens = [10, 20, 30, 40, 50, 60, 70].map(|n| n.to_string());
    let proposed: Vec<(String, String)> = tens
        .iter()
        .map(|n| (n.clone(), format!("proposed {n}")))
        .collect();
    let lines: Vec<(&str, &str)> = proposed
        .iter()
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    let goal = propose(&world, &[("t", &replace("f.txt", &lines))]);
    // Somebody writes in every one of these lines, and above them all.
    let mut typed = numbered(90);
    for n in &tens {
        typed = typed.replace(&format!("\n{n}\n"), &format!("\ntyped {n}\n"));
    }
    world.write("f.txt", format!("above\n{typed}"));

    let said = ok(&world, &["accept", &goal], 3);
    assert!(said.stdout.contains("7 conflicts left"), "{said:#?}");
    let id = |n: u32| id_of(&world, &goal, &format!("proposed {n}\n"));
    let shown = ok(&world, &["diff", &id(10), "--conflicts"], 0).stdout;
    for part in [
        "f.txt line 11",
        "now  yours",
        "typed 10",
        "proposed  by t",
        "proposed 10",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let one = ok(&world, &["accept", &id(10)], 3);
    assert!(
        one.stdout
            .contains(&format!("claudecluster resolve {}", id(10))),
        "{one:#?}"
    );

    ok(&world, &["resolve", &id(10), "--mine"], 0);
    ok(&world, &["resolve", &id(20), "--theirs"], 0);
    ok(&world, &["resolve", &id(30), "--both"], 0);
    ok(&world, &["resolve", &id(40), "--markers"], 0);
    let file = world.dir.path().join("chosen.txt");
    fs::write(&file, "chosen 50\nin two lines\n").unwrap();
    ok(
        &world,
        &["resolve", &id(50), "--text", file.to_str().unwrap()],
        0,
    );
    with_stdin(&world, &["resolve", &id(60), "--text", "-"], "chosen 60").expect(0);
    let said = ok(
        &world,
        &["resolve", &id(70), "--edit", "--reason", "both are right"],
        0,
    );
    assert!(said.stdout.contains("Resolved 1 hunk"), "{said:#?}");

    let text = world.read("f.txt");
    let (before, after) = text.split_once("<<<<<<<").unwrap();
    let (markers, after) = after.split_once(">>>>>>>").unwrap();
    let after = after.split_once('\n').unwrap().1;
    let expected = typed
        .replace("typed 20\n", "proposed 20\n")
        .replace("typed 30\n", "typed 30\nproposed 30\n")
        .replace("typed 50\n", "chosen 50\nin two lines\n")
        .replace("typed 60\n", "chosen 60\n")
        .replace("typed 70\n", "typed 70\nproposed 70\n");
    let (above, below) = expected.split_once("typed 40\n").unwrap();
    assert_eq!(before, format!("above\n{above}"));
    assert_eq!(after, below);
    let (mine, theirs) = markers.split_once("=======\n").unwrap();
    assert!(
        mine.contains("typed 40\n") && theirs.starts_with("proposed 40\n"),
        "{markers}"
    );
    assert!(pending(&world, &goal).is_empty());
    assert_eq!(world.goal(&goal)["state"], "landed");
}

#[test]
fn a_resolution_is_undone_and_done_again() {
    let world = World::new(&[("f.txt", &numbered(30))]);
    let goal = propose(&world, &[("t", &replace("f.txt", &[("10", "proposed")]))]);
    let typed = numbered(30).replace("\n10\n", "\ntyped\n");
    world.write("f.txt", &typed);
    let hunk = id_of(&world, &goal, "proposed");
    ok(&world, &["resolve", &hunk, "--both"], 0);
    let both = typed.replace("typed\n", "typed\nproposed\n");
    assert_eq!(world.read("f.txt"), both);
    ok(&world, &["undo", &hunk], 0);
    assert_eq!(world.read("f.txt"), typed);
    let hunks = pending(&world, &goal);
    assert_eq!(hunks[0]["status"], "conflict", "{hunks:#?}");
    ok(&world, &["redo", &goal], 0);
    assert_eq!(world.read("f.txt"), both);
}

#[test]
fn an_edit_that_is_not_finished_resolves_nothing() {
    let mut world = World::new(&[("f.txt", &numbered(30))]);
    let goal = propose(&world, &[("t", &replace("f.txt", &[("10", "proposed")]))]);
    let typed = numbered(30).replace("\n10\n", "\ntyped\n");
    world.write("f.txt", &typed);
    let hunk = id_of(&world, &goal, "proposed");
    let refused = |world: &World, status: i32, words: &str| -> Said {
        let said = ok(world, &["resolve", &hunk, "--edit"], status);
        assert!(said.stderr.contains(words), "{said:#?}");
        assert_eq!(world.read("f.txt"), typed);
        assert_eq!(pending(world, &goal).len(), 1);
        said
    };
    with_editor(&mut world, "true");
    refused(&world, 2, "the text was not changed");
    world.env.pop();
    with_editor(&mut world, "exit 1");
    refused(&world, 1, "failed: exit status: 1");
    world.env.pop();
    // What was written so far is kept, and the way to go on from there works.
    with_editor(&mut world, "sed -i '/^=======$/d; s/typed/chosen/' \"$1\"");
    let said = refused(&world, 2, "a conflict marker is still in the text: <<<<<<<");
    let kept = said
        .stderr
        .split_once("--text ")
        .unwrap()
        .1
        .trim_end()
        .trim_end_matches(')');
    let text = fs::read_to_string(kept).unwrap();
    assert!(text.contains("chosen\n"), "{text}");
    fs::write(kept, "chosen\n").unwrap();
    ok(&world, &["resolve", &hunk, "--text", kept], 0);
    fs::remove_file(kept).unwrap();
    assert_eq!(world.read("f.txt"), typed.replace("typed", "chosen"));
}

#[test]
fn text_that_changes_during_the_edit_is_not_written_over() {
    let mut world = World::new(&[("f.txt", &numbered(30))]);
    let goal = propose(&world, &[("t", &replace("f.txt", &[("10", "proposed")]))]);
    world.write("f.txt", numbered(30).replace("\n10\n", "\ntyped\n"));
    let hunk = id_of(&world, &goal, "proposed");
    let later = numbered(30).replace("\n10\n", "\ntyped, and more\n");
    let file = world.path("f.txt").display().to_string();
    with_editor(
        &mut world,
        &format!("{TIDY}; sed -i 's/^typed$/typed, and more/' {file}"),
    );
    let said = ok(&world, &["resolve", &hunk, "--edit"], 1);
    assert!(
        said.stderr.contains("f.txt has changed in the meantime"),
        "{said:#?}"
    );
    assert!(said.stderr.contains("--text"), "{said:#?}");
    assert_eq!(world.read("f.txt"), later);
}

#[test]
fn a_conflict_between_tasks_is_resolved() {
    for (way, text) in [
        ("--mine", "left"),
        ("--theirs", "right"),
        ("--both", "left\nright"),
    ] {
        let world = World::new(&[("f.txt", &numbered(30))]);
        let goal = propose(
            &world,
            &[
                (
                    "left",
                    &replace("f.txt", &[("10", "left"), ("20", "twenty")]),
                ),
                ("right", &replace("f.txt", &[("10", "right")])),
            ],
        );
        let said = ok(&world, &["accept", &goal], 3);
        assert!(said.stdout.contains("1 conflict left"), "{said:#?}");
        let landed = numbered(30)
            .replace("\n10\n", "\nleft\n")
            .replace("\n20\n", "\ntwenty\n");
        assert_eq!(world.read("f.txt"), landed);
        let shown = ok(&world, &["diff", &goal, "--conflicts"], 0).stdout;
        for part in ["f.txt line 10", "- left", "proposed  by right", "+ right"] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
        ok(&world, &["resolve", &id_of(&world, &goal, "right"), way], 0);
        assert_eq!(world.read("f.txt"), landed.replace("left", text), "{way}");
        assert_eq!(world.goal(&goal)["state"], "landed");
        ok(&world, &["undo", &goal], 0);
        assert_eq!(world.read("f.txt"), numbered(30), "{way}");
    }
}

#[test]
fn what_is_no_conflict_is_not_resolved() {
    let world = World::new(&[("f.txt", &numbered(30))]);
    let goal = propose(&world, &[("t", &replace("f.txt", &[("10", "ten")]))]);
    let ten = id_of(&world, &goal, "ten");
    for (args, status, words) in [
        (vec!["resolve", &goal, "--mine"], 2, "is not a hunk id"),
        (vec!["resolve", "g9.0000000000", "--mine"], 2, "g9"),
        (vec!["resolve", &ten], 2, "--mine"),
        (
            vec!["resolve", &ten, "--mine", "--theirs"],
            2,
            "cannot be used with",
        ),
        (vec!["resolve", &ten, "--edit"], 2, "is not in conflict"),
        (
            vec!["resolve", &ten, "--text", "no-such-file"],
            2,
            "pass an existing file",
        ),
    ] {
        let said = ok(&world, &args, status);
        assert!(said.stderr.contains(words), "{args:?}: {said:#?}");
    }
    assert_eq!(world.read("f.txt"), numbered(30));
    ok(&world, &["accept", &ten], 0);
}
