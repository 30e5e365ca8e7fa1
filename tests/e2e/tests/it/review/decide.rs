//! Accept and reject: by hunk, file and task, in any order, with several goals on one file.

use claudecluster_e2e::World;
use serde_json::{Value, json};

use super::{bringing, counts, id_of, numbered, ok, pending, propose, propose_with, replace};

#[test]
fn any_order_of_accepting_gives_the_same_text() {
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]];
    let merged = numbered(30)
        .replace("\n3\n", "\nthree\n")
        .replace("\n4\n", "\n4\nand a half\n")
        .replace("\n17\n18\n", "\n")
        .replace("\n30\n", "\nthirty\n");
    for order in orders {
        let world = World::new(&[("f.txt", &numbered(30))]);
        let goal = propose(
            &world,
            &[
                ("top", &replace("f.txt", &[("3", "three")])),
                ("bottom", "sed -i '17,18d; s/^30$/thirty/' f.txt"),
                ("middle", "sed -i 's/^4$/4\\nand a half/' f.txt"),
            ],
        );
        let hunks: Vec<String> = pending(&world, &goal)
            .iter()
            .map(|hunk| hunk["id"].as_str().unwrap().to_owned())
            .collect();
        // Two that touch may be one.
        assert!((3..=4).contains(&hunks.len()), "{hunks:?}");
        for hunk in order.into_iter().filter_map(|at| hunks.get(at)) {
            // Somebody writes elsewhere in between: a hunk keeps its id and finds its place.
            let text = format!("above {hunk}\n{}", world.read("f.txt"));
            world.write("f.txt", text);
            ok(&world, &["accept", hunk], 0);
        }
        let text = world.read("f.txt");
        let (above, rest) = text.split_at(text.find("1\n2\n").unwrap());
        assert_eq!(above.lines().count(), hunks.len());
        assert_eq!(rest, merged);
        assert_eq!(world.goal(&goal)["state"], "landed");
    }
}

#[test]
fn a_hunk_a_file_and_a_task_are_accepted_by_name() {
    let world = World::new(&[("a.txt", &numbered(30)), ("b.txt", &numbered(9))]);
    let left = replace("a.txt", &[("2", "two"), ("20", "twenty")]);
    let right = replace("a.txt", &[("10", "ten")]) + "; echo more >> b.txt; echo new > c.txt";
    let goal = propose(&world, &[("left", &left), ("right", &right)]);
    let two = id_of(&world, &goal, "two");

    let said = ok(&world, &["accept", &two], 0);
    assert!(said.stdout.contains("Applied 1 hunk"), "{said:#?}");
    assert_eq!(
        world.read("a.txt"),
        numbered(30).replace("\n2\n", "\ntwo\n")
    );
    // `--hunk` says the same, and a hunk that is gone is an error that says where to look.
    let gone = ok(&world, &["accept", &goal, "--hunk", &two], 1);
    assert!(
        gone.stderr.contains(&format!("claudecluster diff {goal}")),
        "{gone:#?}"
    );
    let other = id_of(&world, &goal, "ten");
    let both = ok(&world, &["accept", &two, "--hunk", &other], 2);
    assert!(
        both.stderr.contains("cannot select two hunks at once"),
        "{both:#?}"
    );

    ok(&world, &["accept", &goal, "--file", "b.txt"], 0);
    assert_eq!(world.read("b.txt"), numbered(9) + "more\n");
    assert!(!world.has("c.txt"));
    ok(&world, &["accept", &goal, "--task", "left"], 0);
    assert!(world.read("a.txt").contains("twenty") && !world.read("a.txt").contains("ten\n"));
    ok(&world, &["accept", &goal, "--task", "right"], 0);
    assert_eq!(world.read("c.txt"), "new\n");
    assert!(world.read("a.txt").contains("\nten\n"));
    assert_eq!(
        counts(&world, &goal),
        json!({"pending": 0, "landed": 5, "rejected": 0, "conflicts": 0, "undone": 0})
    );
    // What has landed is listed with those who made it, also where several made one file.
    let decided = world.goal(&goal)["decided"].clone();
    let made_by = |id: &str| {
        let hunks = decided.as_array().unwrap().iter();
        let found: Vec<_> = hunks.filter(|hunk| hunk["id"] == id).collect();
        (found[0]["fate"].clone(), found[0]["tasks"].clone())
    };
    assert_eq!(made_by(&two), ("landed".into(), json!(["left"])));
    assert_eq!(made_by(&other), ("landed".into(), json!(["right"])));
}

#[test]
fn what_was_rejected_never_comes_back_by_itself() {
    let world = World::new(&[("f.txt", &numbered(30))]);
    let script = replace("f.txt", &[("2", "two"), ("10", "ten"), ("20", "twenty")]);
    let goal = propose(&world, &[("t", &script)]);
    let ten = id_of(&world, &goal, "ten");
    let said = ok(
        &world,
        &["reject", &ten, "--no-repair", "--reason", "keep digits"],
        0,
    );
    assert!(said.stdout.contains("Rejected 1 hunk"), "{said:#?}");
    assert_eq!(world.read("f.txt"), numbered(30));

    let absent = || {
        let hunks = pending(&world, &goal);
        assert_eq!(hunks.len(), 2, "{hunks:#?}");
        assert!(!ok(&world, &["diff", &goal], 0).stdout.contains("+ten"));
    };
    absent();
    // Not when the text around it moves, not in another daemon, not with everything else.
    world.write("f.txt", numbered(30).replace("\n9\n", "\nnine\n"));
    absent();
    world.kill_daemon();
    absent();
    ok(&world, &["accept", &goal], 0);
    let text = world.read("f.txt");
    assert!(text.contains("nine\n10\n11\n") && text.contains("two") && text.contains("twenty"));
    assert_eq!(counts(&world, &goal)["rejected"], 1);
    let decided = &world.goal(&goal)["decided"];
    let rejected: Vec<_> = decided
        .as_array()
        .unwrap()
        .iter()
        .filter(|hunk| hunk["fate"] == "rejected")
        .collect();
    assert_eq!(rejected.len(), 1, "{decided:#}");
    assert_eq!(rejected[0]["id"], ten);
    assert_eq!(rejected[0]["tasks"], json!(["t"]));
}

#[test]
fn rejecting_a_task_leaves_the_others_work() {
    let world = World::new(&[("f.txt", &numbered(30))]);
    let goal = propose(
        &world,
        &[
            ("left", &replace("f.txt", &[("2", "two"), ("20", "twenty")])),
            ("right", &replace("f.txt", &[("10", "ten")])),
        ],
    );
    ok(&world, &["reject", &goal, "--task", "left"], 0);
    ok(&world, &["accept", &goal], 0);
    assert_eq!(
        world.read("f.txt"),
        numbered(30).replace("\n10\n", "\nten\n")
    );
}

#[test]
fn what_is_kept_apart_says_so_in_every_view() {
    let world = World::new(&[("in.txt", "1\n"), ("out.txt", "1\n")]);
    let script =
        "echo 2 > in.txt; echo 2 > out.txt; mkdir -p .vscode; echo '{}' > .vscode/tasks.json";
    let goal = propose_with(&world, &[("t", script)], &["--file", "in.txt"]);
    let held = |path: &str| {
        let hunks = pending(&world, &goal);
        let hunk = hunks.iter().find(|hunk| hunk["path"] == path).unwrap();
        hunk["held"].clone()
    };
    assert_eq!(held("in.txt"), json!(null));
    assert_eq!(held("out.txt"), json!(["outOfScope"]));
    assert_eq!(
        held(".vscode/tasks.json"),
        json!(["outOfScope", "selfArming"])
    );
    let show = ok(&world, &["show", &goal], 0).stdout;
    for words in [
        "outside the goal's scope",
        "outside the goal's scope, can make tools run code",
    ] {
        assert!(show.contains(words), "{words}\n{show}");
    }
    // The diff has them, for this is where they are looked at, and says it beside what git applies.
    let diff = ok(&world, &["diff", &goal], 0);
    assert!(diff.stdout.contains("b/out.txt") && !diff.stdout.contains("outside"));
    assert!(
        diff.stderr
            .contains("held for review: out.txt: outside the goal's scope"),
        "{diff:#?}"
    );
    let json = ok(&world, &["diff", &goal, "--json"], 0).json().remove(0);
    assert_eq!(json["hunks"].as_array().unwrap().len(), 3);

    let said = ok(&world, &["accept", &goal], 3);
    assert!(
        said.stdout.contains("2 changes held for review"),
        "{said:#?}"
    );
    assert!(
        said.stdout
            .contains("claudecluster accept g1 --file .vscode/tasks.json"),
        "{said:#?}"
    );
    assert_eq!(world.read("in.txt") + &world.read("out.txt"), "2\n1\n");
    ok(&world, &["accept", &goal, "--file", "out.txt"], 0);
    let task = bringing(&world, &goal, "{}");
    ok(&world, &["accept", task["id"].as_str().unwrap()], 0);
    assert_eq!(world.read(".vscode/tasks.json"), "{}\n");
}

#[test]
fn files_that_run_by_themselves_are_held_or_marked() {
    let world = World::new(&[("old.git/HEAD", "ref: refs/heads/main\n")]);
    world.configure("review.hold = [\"*.sql\"]");
    let script = "mkdir -p new.git/objects new.git/refs old.git/objects; \
        echo 'ref: refs/heads/main' > new.git/HEAD; echo x > new.git/objects/x; echo x > new.git/refs/x; \
        echo x > old.git/objects/x; echo x > old.git/config; \
        echo x > a.sql; echo x > build.rs; echo x > plain.txt";
    let goal = propose(&world, &[("t", script)]);
    let hunks = pending(&world, &goal);
    let of = |path: &str| hunks.iter().find(|hunk| hunk["path"] == path).unwrap();
    let check = |path: &str, held: Value, runs: Option<&str>| {
        let hunk = of(path);
        assert_eq!(hunk["held"], held, "{path}");
        let said = hunk["runs"].as_str();
        assert!(
            said.is_some() == runs.is_some() && said.unwrap_or("").contains(runs.unwrap_or("")),
            "{path}: {said:?}"
        );
    };
    let repository = Some("git takes a folder with HEAD");
    check("new.git/HEAD", json!(["selfArming"]), repository);
    check("old.git/objects/x", json!(["selfArming"]), repository);
    check("old.git/config", json!(["selfArming"]), repository);
    // Without its head, it is no repository.
    check("new.git/objects/x", json!(null), None);
    check("a.sql", json!(["listed"]), None);
    check("build.rs", json!(null), Some("when the project is built"));
    check("plain.txt", json!(null), None);

    let show = ok(&world, &["show", &goal], 0).stdout;
    for words in ["listed in review.hold", "runs it when the project is built"] {
        assert!(show.contains(words), "{words}\n{show}");
    }
    let diff = ok(&world, &["diff", &goal], 0);
    let mark = "look at build.rs: a compiler or build tool runs it when the project is built";
    assert!(diff.stderr.contains(mark), "{diff:#?}");

    let said = ok(&world, &["accept", &goal], 3);
    assert!(
        said.stdout.contains("4 changes held for review"),
        "{said:#?}"
    );
    for (path, landed) in [
        ("build.rs", true),
        ("plain.txt", true),
        ("new.git/objects/x", true),
        ("new.git/HEAD", false),
        ("old.git/objects/x", false),
        ("old.git/config", false),
        ("a.sql", false),
    ] {
        assert_eq!(world.root().join(path).exists(), landed, "{path}");
    }
    ok(&world, &["accept", &goal, "--file", "a.sql"], 0);
    assert_eq!(world.read("a.sql"), "x\n");
}

#[test]
fn a_diff_shows_what_it_is_asked_for() {
    let world = World::new(&[("a.txt", &numbered(30)), ("b.txt", "b\n")]);
    let left = replace("a.txt", &[("2", "two")]) + "; git mv b.txt c.txt";
    let right = replace("a.txt", &[("10", "ten"), ("20", "twenty")]);
    let goal = propose(&world, &[("left", &left), ("right", &right)]);
    let added = |more: &[&str]| -> Vec<String> {
        let diff = ok(&world, &[&["diff"], more].concat(), 0).stdout;
        diff.lines()
            .filter(|line| line.starts_with(['+', 'r']) && !line.starts_with("+++"))
            .map(str::to_owned)
            .collect()
    };
    let moved = ["rename from b.txt", "rename to c.txt"];
    assert_eq!(
        added(&[&goal]),
        [&["+two", "+ten", "+twenty"][..], &moved].concat()
    );
    assert_eq!(added(&[&goal, "--task", "right"]), ["+ten", "+twenty"]);
    assert_eq!(added(&[&goal, "--file", "c.txt"]), moved);
    let ten = id_of(&world, &goal, "ten");
    assert_eq!(added(&[&ten]), ["+ten"]);
    assert_eq!(added(&[&goal, "--hunk", &ten]), ["+ten"]);
    let none = ok(&world, &["diff", &format!("{goal}.0000000000")], 1);
    assert!(
        none.stderr.contains("there is no pending hunk"),
        "{none:#?}"
    );

    // What one hunk's diff says, git makes of the file just as an accept does.
    let patch = world.dir.path().join("ten.patch");
    std::fs::write(&patch, ok(&world, &["diff", &ten], 0).stdout).unwrap();
    world.git(&["apply", patch.to_str().unwrap()]);
    let by_git = world.read("a.txt");
    world.git(&["checkout", "-q", "a.txt"]);
    ok(&world, &["accept", &ten], 0);
    assert_eq!(world.read("a.txt"), by_git);
}

#[test]
fn several_goals_wait_on_one_file() {
    let world = World::new(&[("f.txt", &numbered(30))]);
    let first = propose(
        &world,
        &[("one", &replace("f.txt", &[("2", "two"), ("10", "ten")]))],
    );
    let second = propose(
        &world,
        &[(
            "other",
            &replace("f.txt", &[("10", "TEN"), ("20", "twenty")]),
        )],
    );
    ok(&world, &["accept", &first], 0);
    // What both wanted differently is a conflict now, the rest is not.
    let said = ok(&world, &["accept", &second], 3);
    assert!(said.stdout.contains("1 conflict left"), "{said:#?}");
    assert!(
        said.stdout.contains(&format!("diff {second} --conflicts")),
        "{said:#?}"
    );
    let text = world.read("f.txt");
    assert!(text.contains("\nten\n") && text.contains("\ntwenty\n") && text.contains("\ntwo\n"));

    let conflicts = ok(&world, &["diff", &second, "--conflicts"], 0).stdout;
    for part in [
        "f.txt line 10",
        "ten",
        "TEN",
        "by other",
        "claudecluster resolve",
    ] {
        assert!(conflicts.contains(part), "{part}\n{conflicts}");
    }
    ok(&world, &["reject", &second], 0);
    assert_eq!(world.read("f.txt"), text);
    assert_eq!(world.goal(&first)["state"], "landed");
}
