//! Files, links and folders that take each other's place.

use std::os::unix::fs::symlink;

use claudecluster_e2e::World;

use super::{ok, propose};

/// What lies in the workspace, but git's folder: files with their text, links with their target.
fn tree(world: &World) -> String {
    let script = "find . -path ./.git -prune -o -type l -printf '%P -> %l\\n' -o -type f -printf '%P ' -exec cat {} \\; \
                  | sort";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).current_dir(world.root());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// Lands a task's change, takes it back, and lands it again.
#[track_caller]
fn check(make: impl Fn(&World), script: &str, expected: &str) {
    let world = World::new(&[
        ("a", "a\n"),
        ("d/one", "one\n"),
        ("d/deep/two", "two\n"),
        ("v2/x", "two\n"),
    ]);
    symlink("v2", world.path("latest")).unwrap();
    make(&world);
    world.git(&["add", "-A"]);
    world.git(&["commit", "-qm", "more"]);
    let before = tree(&world);
    let goal = propose(&world, &[("change", script)]);
    ok(&world, &["show", &goal], 0);
    ok(&world, &["diff", &goal], 0);
    ok(&world, &["accept", &goal], 0);
    assert_eq!(tree(&world), expected, "{script}");
    assert_eq!(world.goal(&goal)["state"], "landed");
    ok(&world, &["undo", &goal], 0);
    assert_eq!(tree(&world), before, "{script}, taken back");
}

#[test]
fn a_link_that_becomes_a_folder_leaves_what_it_led_to() {
    check(
        |_| {},
        "rm latest; mkdir latest; echo three > latest/x",
        "a a\nd/deep/two two\nd/one one\nlatest/x three\nv2/x two\n",
    );
}

#[test]
fn a_file_becomes_a_folder_and_a_folder_a_file() {
    check(
        |_| {},
        "rm a; mkdir -p a/b; echo b > a/b/c; rm -r d; echo file > d",
        "a/b/c b\nd file\nlatest -> v2\nv2/x two\n",
    );
}

#[test]
fn a_folder_becomes_a_link_to_where_its_files_went() {
    check(
        |_| {},
        "mv d elsewhere; ln -s elsewhere d",
        "a a\nd -> elsewhere\nelsewhere/deep/two two\nelsewhere/one one\nlatest -> v2\nv2/x two\n",
    );
}

#[test]
fn a_file_moves_into_a_folder_of_its_own_name() {
    let text: String = (0..40).map(|n| format!("line {n}\n")).collect();
    let tree = format!("a/a {text}");
    let world = World::new(&[("a", &text)]);
    let goal = propose(&world, &[("move", "mv a b; mkdir a; mv b a/a")]);
    ok(&world, &["accept", &goal], 0);
    assert_eq!(world.read("a/a"), text, "{tree}");
    ok(&world, &["undo", &goal], 0);
    assert_eq!(world.read("a"), text);
}
