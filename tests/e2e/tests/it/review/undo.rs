//! Landings taken back and made again, with what was typed since.

use claudecluster_e2e::World;
use serde_json::json;

use super::{counts, id_of, numbered, ok, pending, propose, replace};

/// Two tasks with two hunks each, all of which have landed.
fn landed() -> (World, String, [String; 4]) {
    let world = World::new(&[("f.txt", &numbered(40))]);
    let goal = propose(
        &world,
        &[
            (
                "left",
                &replace("f.txt", &[("5", "five"), ("25", "twenty-five")]),
            ),
            (
                "right",
                &replace("f.txt", &[("15", "fifteen"), ("35", "thirty-five")]),
            ),
        ],
    );
    let hunks = ["five\n", "fifteen\n", "twenty-five\n", "thirty-five\n"].map(|text| {
        let hunks = pending(&world, &goal);
        let hunk = hunks.iter().find(|hunk| hunk["newText"] == text).unwrap();
        hunk["id"].as_str().unwrap().to_owned()
    });
    ok(&world, &["accept", &goal], 0);
    (world, goal, hunks)
}

/// The file as it is with some lines in words, and with what was typed.
fn text(words: &[u32], typed: bool) -> String {
    let mut text = numbered(40);
    for (number, word) in [
        (5, "five"),
        (15, "fifteen"),
        (25, "twenty-five"),
        (35, "thirty-five"),
    ] {
        if words.contains(&number) {
            text = text.replace(&format!("\n{number}\n"), &format!("\n{word}\n"));
        }
    }
    if typed {
        text = format!(
            "typed above\n{}",
            text.replace("\n20\n", "\n20\ntyped between\n")
        );
    }
    text
}

fn type_something(world: &World) {
    let now = world.read("f.txt");
    let typed = now.replace("\n20\n", "\n20\ntyped between\n");
    world.write("f.txt", format!("typed above\n{typed}"));
}

#[test]
fn a_goal_is_undone_and_done_again_around_what_was_typed() {
    let (world, goal, _) = landed();
    type_something(&world);
    let said = ok(&world, &["undo", &goal], 0);
    assert!(said.stdout.contains("Undid 4 hunks"), "{said:#?}");
    assert_eq!(world.read("f.txt"), text(&[], true));
    assert_eq!(
        counts(&world, &goal),
        json!({"pending": 4, "landed": 0, "rejected": 0, "conflicts": 0, "undone": 4})
    );
    assert_eq!(world.goal(&goal)["state"], "proposed");
    let said = ok(&world, &["redo", &goal], 0);
    assert!(said.stdout.contains("Reapplied 4 hunks"), "{said:#?}");
    assert_eq!(world.read("f.txt"), text(&[5, 15, 25, 35], true));
    assert_eq!(world.goal(&goal)["state"], "landed");
    // Again and again, and never more than once.
    ok(&world, &["undo", &goal], 0);
    let said = ok(&world, &["undo", &goal], 0);
    assert!(said.stdout.contains("nothing to undo"), "{said:#?}");
    assert_eq!(world.read("f.txt"), text(&[], true));
    // What is undone is pending: an accept lands it as well, and then there is nothing to do again.
    ok(&world, &["accept", &goal], 0);
    assert_eq!(world.read("f.txt"), text(&[5, 15, 25, 35], true));
    let said = ok(&world, &["redo", &goal], 1);
    assert!(
        said.stderr.contains("have been undone") && said.stderr.contains("claudecluster accept"),
        "{said:#?}"
    );
    assert_eq!(world.read("f.txt"), text(&[5, 15, 25, 35], true));
}

#[test]
fn one_hunk_is_undone_and_the_others_stay() {
    let (world, goal, [_, fifteen, _, _]) = landed();
    type_something(&world);
    ok(&world, &["undo", &fifteen], 0);
    assert_eq!(world.read("f.txt"), text(&[5, 25, 35], true));
    // It keeps its name, and is pending again.
    assert_eq!(id_of(&world, &goal, "fifteen"), fifteen);
    let show = ok(&world, &["show", &goal], 0).stdout;
    let line = show.lines().find(|line| line.contains(&fifteen)).unwrap();
    assert!(line.contains("undone"), "{show}");
    ok(&world, &["redo", &fifteen], 0);
    assert_eq!(world.read("f.txt"), text(&[5, 15, 25, 35], true));
    ok(&world, &["undo", &goal, "--hunk", &fifteen], 0);
    // The rest of the goal goes without it.
    ok(&world, &["undo", &goal], 0);
    assert_eq!(world.read("f.txt"), text(&[], true));
    ok(&world, &["redo", &fifteen], 0);
    assert_eq!(world.read("f.txt"), text(&[15], true));
}

#[test]
fn one_tasks_work_is_undone_and_the_others_stays() {
    let (world, goal, _) = landed();
    type_something(&world);
    ok(&world, &["undo", &goal, "--task", "left"], 0);
    assert_eq!(world.read("f.txt"), text(&[15, 35], true));
    ok(&world, &["redo", &goal, "--task", "left"], 0);
    assert_eq!(world.read("f.txt"), text(&[5, 15, 25, 35], true));
    ok(&world, &["undo", &goal, "--file", "f.txt"], 0);
    assert_eq!(world.read("f.txt"), text(&[], true));
}

#[test]
fn what_was_changed_since_is_left_and_said() {
    let (world, goal, [five, ..]) = landed();
    let mine = world.read("f.txt").replace("\nfive\n", "\nFIVE, by hand\n");
    world.write("f.txt", &mine);
    let said = ok(&world, &["undo", &five], 3);
    assert!(said.stdout.contains("1 hunk not undone"), "{said:#?}");
    assert_eq!(world.read("f.txt"), mine, "nothing of it is lost");
    // The others go all the same, one by one.
    ok(&world, &["undo", &goal, "--task", "right"], 0);
    assert_eq!(
        world.read("f.txt"),
        text(&[5, 25], false).replace("\nfive\n", "\nFIVE, by hand\n")
    );
}

#[test]
fn an_undo_survives_the_daemon() {
    let (world, goal, [five, ..]) = landed();
    type_something(&world);
    ok(&world, &["undo", &five], 0);
    world.kill_daemon();
    ok(&world, &["undo", &goal], 0);
    assert_eq!(world.read("f.txt"), text(&[], true));
    world.kill_daemon();
    // The undo made last is the first that is taken back.
    ok(&world, &["redo", &goal], 0);
    assert_eq!(world.read("f.txt"), text(&[15, 25, 35], true));
    ok(&world, &["redo", &goal], 0);
    assert_eq!(world.read("f.txt"), text(&[5, 15, 25, 35], true));
}

#[test]
fn two_goals_are_undone_in_any_order() {
    for order in [[0, 1], [1, 0]] {
        let world = World::new(&[("f.txt", &numbered(40))]);
        let goals = [("5", "five"), ("15", "fifteen")].map(|line| {
            let goal = propose(&world, &[("t", &replace("f.txt", &[line]))]);
            ok(&world, &["accept", &goal], 0);
            goal
        });
        type_something(&world);
        ok(&world, &["undo", &goals[order[0]]], 0);
        let left = [15, 5][order[0]];
        assert_eq!(world.read("f.txt"), text(&[left], true));
        ok(&world, &["undo", &goals[order[1]]], 0);
        assert_eq!(world.read("f.txt"), text(&[], true));
    }
}
