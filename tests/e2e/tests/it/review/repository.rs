//! What happens to landed and pending work when git or a formatter writes the files.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use claudecluster_e2e::World;

use super::{bringing, counts, id_of, numbered, ok, pending, propose, replace};

#[test]
fn committed_work_is_kept_and_can_still_be_undone() {
    let world = World::new(&[("f.txt", &numbered(30))]);
    let script = replace("f.txt", &[("5", "five"), ("15", "fifteen")]) + "; echo new > new.txt";
    let goal = propose(&world, &[("t", &script)]);
    ok(&world, &["accept", &id_of(&world, &goal, "five")], 0);
    world.git(&["commit", "-qam", "five"]);
    // The rest of the proposal is not confused by that.
    assert_eq!(pending(&world, &goal).len(), 2);
    ok(&world, &["accept", &goal], 0);
    world.git(&["add", "-A"]);
    world.git(&["commit", "-qm", "the rest"]);
    assert_eq!(counts(&world, &goal)["landed"], 3);
    assert_eq!(world.goal(&goal)["state"], "landed");
    ok(&world, &["undo", &goal], 0);
    assert_eq!(world.read("f.txt"), numbered(30));
    assert_eq!(
        world.git(&["status", "--porcelain"]),
        " M f.txt\n D new.txt\n",
        "the commits stay, the files go back"
    );
    ok(&world, &["redo", &goal], 0);
    assert_eq!(world.git(&["status", "--porcelain"]), "");
}

#[test]
fn hunks_follow_a_branch_switch_or_conflict() {
    let world = World::new(&[("f.txt", &numbered(30)), ("other.txt", "x\n")]);
    let moved = format!("moved\ndown\nby three\n{}", numbered(30));
    for (branch, text) in [
        ("moved", Some(moved.clone())),
        ("changed", Some(numbered(30).replace("\n10\n", "\nTEN\n"))),
        ("without", None),
    ] {
        world.git(&["switch", "-q", "-c", branch, "main"]);
        match text {
            Some(text) => world.write("f.txt", text),
            None => fs::remove_file(world.path("f.txt")).unwrap(),
        }
        world.git(&["commit", "-qam", branch]);
    }
    world.git(&["switch", "-q", "main"]);
    let goal = propose(
        &world,
        &[("t", &replace("f.txt", &[("10", "ten"), ("20", "twenty")]))],
    );
    let ids = ["ten", "twenty"].map(|text| id_of(&world, &goal, text));
    let status = |text: &str| bringing(&world, &goal, text)["status"].clone();

    world.git(&["switch", "-q", "moved"]);
    let ten = bringing(&world, &goal, "ten");
    assert_eq!(
        (&ten["status"], &ten["startLine"]),
        (&"clean".into(), &12.into())
    );
    assert_eq!(
        ids,
        ["ten", "twenty"].map(|text| id_of(&world, &goal, text))
    );

    world.git(&["switch", "-q", "changed"]);
    assert_eq!(status("ten"), "conflict");
    assert_eq!(status("twenty"), "clean");
    ok(&world, &["accept", &goal], 3);
    let landed = numbered(30)
        .replace("\n10\n", "\nTEN\n")
        .replace("\n20\n", "\ntwenty\n");
    assert_eq!(world.read("f.txt"), landed);
    ok(&world, &["undo", &goal], 0);
    assert_eq!(world.git(&["status", "--porcelain"]), "");

    world.git(&["switch", "-q", "without"]);
    ok(&world, &["accept", &goal], 3);
    assert!(!world.has("f.txt"), "what is not there is not made");

    world.git(&["switch", "-q", "moved"]);
    ok(&world, &["accept", &goal], 0);
    assert_eq!(
        world.read("f.txt"),
        moved
            .replace("\n10\n", "\nten\n")
            .replace("\n20\n", "\ntwenty\n")
    );
    // The landed text goes with the branch, and comes with it.
    world.git(&["commit", "-qam", "landed"]);
    world.git(&["switch", "-q", "main"]);
    world.run(&["undo", &goal]);
    assert_eq!(
        world.read("f.txt"),
        numbered(30),
        "nothing to take back here"
    );
}

#[test]
fn a_stash_takes_landed_work_away_and_brings_it_again() {
    let world = World::new(&[("f.txt", &numbered(30))]);
    let goal = propose(
        &world,
        &[("t", &replace("f.txt", &[("10", "ten"), ("20", "twenty")]))],
    );
    ok(&world, &["accept", &id_of(&world, &goal, "ten")], 0);
    let ten = numbered(30).replace("\n10\n", "\nten\n");
    world.git(&["stash", "-q"]);
    // What is still pending is so against what is there now.
    assert_eq!(pending(&world, &goal).len(), 1);
    assert!(!ok(&world, &["diff", &goal], 0).stdout.contains("ten"));
    ok(&world, &["accept", &goal], 0);
    assert_eq!(
        world.read("f.txt"),
        numbered(30).replace("\n20\n", "\ntwenty\n")
    );
    ok(&world, &["undo", &id_of_landed(&world, &goal, 1)], 0);
    assert_eq!(world.read("f.txt"), numbered(30));
    world.git(&["stash", "pop", "-q"]);
    assert_eq!(world.read("f.txt"), ten);
    ok(&world, &["undo", &goal], 0);
    assert_eq!(world.read("f.txt"), numbered(30));
    for undo in 0..2 {
        ok(&world, &["redo", &goal], 0);
        assert!(world.read("f.txt").contains("\nten\n"), "{undo}");
    }
    let both = ten.replace("\n20\n", "\ntwenty\n");
    assert_eq!(world.read("f.txt"), both);
}

/// The hunk that landed as the `nth`.
fn id_of_landed(world: &World, goal: &str, nth: usize) -> String {
    let decided = &world.goal(goal)["decided"][nth];
    assert_eq!(decided["fate"], "landed", "{decided}");
    decided["id"].as_str().unwrap().to_owned()
}

const SOURCE: &str = "\
fn one(){
    use_it();
    let a=1;
    a
}

fn two(){
    let b=2;
    use_it();
    b
}

fn three(){
    let c=3;
    use_it();
    c
}
";

/// A formatter as people run it on a whole file: it puts spaces where they belong.
fn format_all(world: &World) -> String {
    let program = world.dir.path().join("format.sh");
    fs::write(
        &program,
        "#!/bin/sh\nsed -i 's/(){/() {/; s/ let \\([a-z]*\\)=\\(.*\\);/ let \\1 = \\2;/' \"$@\"\n",
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let status = Command::new(program).arg(world.path("f.rs")).status();
    assert!(status.unwrap().success());
    world.read("f.rs")
}

#[test]
fn a_formatter_confuses_neither_pending_nor_landed_work() {
    let world = World::new(&[("f.rs", SOURCE)]);
    // One change of a line that the formatter changes, one of a line that it leaves, one that is new.
    let script = "sed -i 's/let a=1;/let a=100;/; s/^    b$/    b + 1/; s/^    c$/    let d=4;\\n    c + d/' f.rs";
    let goal = propose(&world, &[("t", script)]);
    let formatted = format_all(&world);
    assert!(formatted.contains("let a = 1;"), "{formatted}");
    let status = |text: &str| bringing(&world, &goal, text)["status"].clone();
    assert_eq!(status("100"), "conflict");
    assert_eq!(status("c + d"), "clean");
    ok(&world, &["accept", &goal], 3);
    let landed = formatted
        .replace("    b\n", "    b + 1\n")
        .replace("    c\n", "    let d=4;\n    c + d\n");
    assert_eq!(world.read("f.rs"), landed);
    ok(
        &world,
        &["resolve", &id_of(&world, &goal, "100"), "--theirs"],
        0,
    );
    assert_eq!(world.read("f.rs"), landed.replace("a = 1", "a=100"));

    // Formatted again, the lines that landed are others: an undo leaves those and says so.
    let tidy = format_all(&world);
    assert!(
        tidy.contains("let d = 4;") && tidy.contains("let a = 100;"),
        "{tidy}"
    );
    let said = ok(&world, &["undo", &goal], 3);
    assert!(said.stdout.contains("not undone"), "{said:#?}");
    let text = world.read("f.rs");
    assert!(
        text.contains("    b\n") && !text.contains("b + 1"),
        "{text}"
    );
    assert!(text.contains("let d = 4;"), "{text}");
}
