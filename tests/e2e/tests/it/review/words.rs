//! Different words of one line, changed by the developer and a task, or by two tasks.

use claudecluster_e2e::World;

use super::{counts, id_of, ok, pending, propose, replace};

/// A file with this line in it.
fn file(line: &str) -> String {
    format!("first\n\n{line}\n\nlast\n")
}

const BASE: &str = "let x = sum(a, b);";
const TYPED: &str = "let total = sum(a, b);";
const PROPOSED: &str = "let x = sum(a, b, c);";
const BOTH: &str = "let total = sum(a, b, c);";

fn world(words: &str) -> World {
    let world = World::new(&[("f.txt", &file(BASE))]);
    world.configure(&format!(
        "[review]\nmergeWords = \"{words}\"\n\n[repair]\nconflicts = false\n"
    ));
    world
}

#[test]
fn the_words_of_both_are_offered_and_taken() {
    let world = world("suggest");
    let goal = propose(&world, &[("t", &replace("f.txt", &[(BASE, PROPOSED)]))]);
    world.write("f.txt", file(TYPED));
    let hunk = id_of(&world, &goal, PROPOSED);
    // Nothing that was merged within a line lands by itself.
    ok(&world, &["accept", &goal], 3);
    assert_eq!(world.read("f.txt"), file(TYPED));
    let shown = ok(&world, &["diff", &goal, "--conflicts"], 0).stdout;
    let lines = format!("  merged  word by word\n  + {BOTH}\n");
    for part in [&lines, "--merged|--mine"] {
        assert!(shown.contains(part), "{shown}");
    }
    ok(&world, &["resolve", &hunk, "--merged"], 0);
    assert_eq!(world.read("f.txt"), file(BOTH));
    assert_eq!(world.goal(&goal)["state"], "landed");
    ok(&world, &["undo", &goal], 0);
    assert_eq!(world.read("f.txt"), file(TYPED));
    assert_eq!(pending(&world, &goal)[0]["status"], "conflict");
    ok(&world, &["redo", &goal], 0);
    assert_eq!(world.read("f.txt"), file(BOTH));
}

#[test]
fn they_land_by_themselves_where_that_is_wanted() {
    let world = world("on");
    let goal = propose(&world, &[("t", &replace("f.txt", &[(BASE, PROPOSED)]))]);
    world.write("f.txt", file(TYPED));
    assert_eq!(counts(&world, &goal)["conflicts"], 0);
    // The diff is what lands.
    let diff = ok(&world, &["diff", &goal], 0).stdout;
    assert!(diff.contains(&format!("-{TYPED}\n+{BOTH}\n")), "{diff}");
    ok(&world, &["accept", &goal], 0);
    assert_eq!(world.read("f.txt"), file(BOTH));
    ok(&world, &["undo", &goal], 0);
    assert_eq!(world.read("f.txt"), file(TYPED));
}

#[test]
fn nothing_is_offered_where_that_is_switched_off() {
    let world = world("off");
    let goal = propose(&world, &[("t", &replace("f.txt", &[(BASE, PROPOSED)]))]);
    world.write("f.txt", file(TYPED));
    let hunk = &pending(&world, &goal)[0];
    assert!(hunk["merged"].is_null(), "{hunk}");
    let id = hunk["id"].as_str().unwrap();
    let said = world.run(&["resolve", id, "--merged"]);
    assert_ne!(said.status, 0, "{said:#?}");
    let told = format!("{}{}", said.stdout, said.stderr);
    assert!(told.contains("review.mergeWords"), "{told}");
    assert_eq!(world.read("f.txt"), file(TYPED));
}

#[test]
fn two_tasks_that_change_one_line_agree_without_a_repair() {
    let rename = replace("f.txt", &[(BASE, TYPED)]);
    let extend = replace("f.txt", &[(BASE, PROPOSED)]);
    let tasks = [("rename", rename.as_str()), ("extend", extend.as_str())];
    let world = world("on");
    let goal = propose(&world, &tasks);
    assert_eq!(counts(&world, &goal)["conflicts"], 0);
    ok(&world, &["accept", &goal], 0);
    assert_eq!(world.read("f.txt"), file(BOTH));

    // Where it is offered only, the second one is an alternative that comes with both.
    let world = self::world("suggest");
    let goal = propose(&world, &tasks);
    assert_eq!(counts(&world, &goal)["conflicts"], 1);
    ok(
        &world,
        &["resolve", &id_of(&world, &goal, PROPOSED), "--merged"],
        0,
    );
    assert_eq!(world.read("f.txt"), file(BOTH));
    ok(&world, &["undo", &goal], 0);
    assert_eq!(world.read("f.txt"), file(BASE));
}
