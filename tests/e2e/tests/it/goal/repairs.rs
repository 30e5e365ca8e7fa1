//! Repair tasks: work that does not fit goes back to a session before it is anybody's to sort out by hand.
//! With the built-in agent and with Claude Code, whose model is scripted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use claudecluster_e2e::{
    World,
    live::{Editor, Live, Meet, wait_for},
};
use serde_json::{Value, json};

const TEXT: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n";

fn task(agent: &str, id: &str) -> Value {
    json!({"id": id, "title": format!("Title of {id}"), "instructions": format!("Do {id}"), "agent": agent})
}

fn plan(tasks: &[Value]) -> Value {
    json!({"goal": "test", "tasks": tasks})
}

/// A world with this model.
fn world(rules: &str) -> (World, claudecluster_model::Server) {
    let mut world = World::new(&[("a.txt", TEXT)]);
    world.with_claude();
    let model = world.model(&format!("rules:\n{rules}"));
    (world, model)
}

/// What a worker of a planned task does.
fn does(id: &str, old: &str, new: &str) -> String {
    format!(
        r#"
  - name: {id}
    when: {{userMatches: 'Work on one task of a goal: .* \({id}\)'}}
    turns:
      - - read: a.txt
      - - edit: {{path: a.txt, old: "{old}", new: "{new}"}}
      - - structured: {{status: done, summary: Closing words of {id}.}}
"#
    )
}

/// What a repair does: `first` as a shell command, then an edit.
fn repairs(first: &str, old: &str, new: &str) -> String {
    format!(
        r#"
  - name: repair
    when: {{user: Work on a repair}}
    turns:
      - - run: {first:?}
      - - read: a.txt
      - - edit: {{path: a.txt, old: "{old}", new: "{new}"}}
      - - structured: {{status: done, summary: Repaired.}}
"#
    )
}

fn hunks(world: &World) -> Vec<Value> {
    world.goal("g1")["changes"].as_array().unwrap().clone()
}

fn task_of(goal: &Value, id: &str) -> Value {
    let tasks = goal["tasksDetail"].as_array().unwrap();
    tasks.iter().find(|task| task["id"] == id).cloned().unwrap()
}

/// Waits until what a repair made is in a proposal that had nothing clean left.
fn wait_for_amendment(world: &World) {
    wait_for("what was repaired", || {
        hunks(world).iter().any(|hunk| hunk["status"] == "clean")
    });
}

#[test]
fn tasks_that_disagree_are_brought_together_before_anybody_sees_it() {
    for agent in ["native", "claude-code"] {
        let rules = does("left", "four", "four, left")
            + &does("right", "four", "four, right")
            + &repairs("grep -q left a.txt", "four, left", "four, left and right");
        let (world, model) = world(&rules);
        // One after the other, so that it is certain whose text stands.
        let said = world
            .run_plan(
                &plan(&[task(agent, "left"), task(agent, "right")]),
                &["--apply", "--jobs", "1"],
            )
            .expect(0);
        assert_eq!(said.outcome()["state"], "landed", "{agent}: {said:#?}");
        assert_eq!(
            world.read("a.txt"),
            TEXT.replace("four", "four, left and right"),
            "{agent}"
        );
        let added = said
            .json()
            .into_iter()
            .find(|event| event["type"] == "taskAdded")
            .unwrap();
        assert_eq!(added["repair"]["cause"], "taskConflict");
        assert_eq!(added["repair"]["of"], json!(["right", "left"]));
        assert_eq!(added["task"]["agent"], agent);

        let turns = model.turns();
        let told = turns
            .iter()
            .find(|turn| turn.rule.as_deref() == Some("repair"))
            .unwrap();
        let told = told.json()["messages"].to_string();
        for part in [
            "Do left",
            "Closing words of left.",
            "Do right",
            "Closing words of right.",
            "> -four, left",
            "> +four, right",
        ] {
            assert!(told.contains(part), "{agent}: {part} in {told}");
        }
    }
}

#[test]
fn a_conflict_that_cannot_be_repaired_is_the_developers() {
    let rules = does("left", "four", "four, left")
        + &does("right", "four", "four, right")
        + r#"
  - name: repair
    when: {user: Work on a repair}
    answer:
      - structured: {status: blocked, summary: They exclude each other.}
"#;
    let (world, _model) = world(&rules);
    let tasks = plan(&[task("native", "left"), task("native", "right")]);
    let said = world.run_plan(&tasks, &["--jobs", "1"]).expect(3);
    assert_eq!(said.outcome()["state"], "proposed", "{said:#?}");
    let goal = world.goal("g1");
    let repair = task_of(&goal, "repair-1");
    assert_eq!(repair["state"], "failed");
    assert_eq!(
        repair["attempts"][0]["summary"], "They exclude each other.",
        "{repair:#}"
    );
    let conflicts: Vec<Value> = hunks(&world)
        .into_iter()
        .filter(|hunk| hunk["status"] == "conflict")
        .collect();
    assert_eq!(conflicts.len(), 1, "{conflicts:#?}");
    assert_eq!(conflicts[0]["newText"], "four, right\n");

    // Told not to, it asks nobody.
    let (world, model) = self::world(&rules);
    world.configure("[repair]\nconflicts = false\n");
    world.run_plan(&tasks, &["--jobs", "1"]).expect(3);
    let asked = model.turns();
    assert!(
        asked
            .iter()
            .all(|turn| turn.rule.as_deref() != Some("repair")),
        "nothing was asked to repair it"
    );
}

#[test]
fn programs_that_disagree_are_not_repaired() {
    let world = World::new(&[("a.txt", TEXT)]);
    let shell = |id: &str| json!({"id": id, "run": format!("sed -i s/four/{id}/ a.txt")});
    let said = world
        .run_plan(&plan(&[shell("left"), shell("right")]), &["--jobs", "1"])
        .expect(3);
    assert_eq!(said.outcome()["hunks"]["conflicts"], 1);
    let said = world
        .run(&["reject", "g1", "--reason", "no", "--json"])
        .expect(0);
    assert_eq!(said.json()[0]["repair"], Value::Null, "{said:#?}");
    assert_eq!(world.goal("g1")["state"], "rejected");
}

/// A hunk that was rejected with a reason is replaced by what its worker makes of the reason, in the text
/// as it is by then, with what the developer types before and after.
#[test]
fn a_reason_brings_a_better_hunk() {
    for agent in ["native", "claude-code"] {
        let meet = Meet::new();
        let rules = does("work", "two", "zwei") + &repairs(&meet.script("repair"), "two", "deux");
        let (world, model) = world(&rules);
        world.run_plan(&plan(&[task(agent, "work")]), &[]).expect(0);
        let mut editor = Editor::start(&world);
        editor.open(&world, "a.txt", &format!("typed, not saved\n{TEXT}"));
        let first = hunks(&world).remove(0);
        let said = world
            .run(&["reject", "g1", "--reason", "in French, please", "--json"])
            .expect(0);
        assert_eq!(said.json()[0]["repair"], "repair-1", "{said:#?}");
        let guest = meet.next();
        assert_eq!(world.goal("g1")["state"], "proposed", "more is to come");
        assert!(hunks(&world).is_empty(), "what was rejected is gone");
        let uri = format!("file://{}", world.path("a.txt").display());
        editor.notify(
            "textDocument/didChange",
            &json!({
                "textDocument": {"uri": uri, "version": 2},
                "contentChanges": [{"text": format!("typed, not saved\n{TEXT}and typed meanwhile\n")}],
            }),
        );
        let mut watch = Live::start(&world, &["watch", "g1", "--json"]);
        watch.event("taskAdded");
        guest.release();
        let amended = watch.event("amended");
        assert_eq!(amended["taskId"], "repair-1");
        assert_eq!(watch.end().expect(0).outcome()["state"], "proposed");

        let found = hunks(&world);
        assert_eq!(found.len(), 1, "{agent}: {found:#?}");
        assert_ne!(found[0]["id"], first["id"]);
        assert_eq!(found[0]["status"], "clean");
        assert_eq!(found[0]["oldText"], "two\n");
        assert_eq!(found[0]["newText"], "deux\n");
        assert_eq!(found[0]["startLine"], 2, "below what was typed");
        assert_eq!(found[0]["provenance"][0]["task"], "repair-1");
        let diff = world.run(&["diff", "g1"]).expect(0).stdout;
        assert!(!diff.contains("-typed"), "{agent}: {diff}");

        let turns = model.turns();
        let told = turns
            .iter()
            .find(|turn| turn.rule.as_deref() == Some("repair"))
            .unwrap();
        let told = told.json()["messages"].to_string();
        for part in [
            "in French, please",
            "> +zwei",
            // The session that made it goes on.
            "Work on one task of a goal: Title of work (work)",
        ] {
            assert!(told.contains(part), "{agent}: {part} in {told}");
        }
    }
}

/// What the developer typed before a repair began is part of the text it works on, and not of the
/// proposal. When the repair lands, what it made of such lines is what is there.
#[test]
fn lines_that_were_typed_before_can_be_moved() {
    let check = |command: &str, expected: &str| {
        let rules = does("work", "two", "zwei") + &repairs(command, "two", "deux");
        let (world, _model) = world(&rules);
        world
            .run_plan(&plan(&[task("native", "work")]), &[])
            .expect(0);
        world.write("a.txt", format!("typed\n{TEXT}"));
        world
            .run(&["reject", "g1", "--reason", "in French, please"])
            .expect(0);
        wait_for_amendment(&world);
        world.run(&["accept", "g1"]).expect(0);
        assert_eq!(world.read("a.txt"), expected, "{command}");
        assert_eq!(world.goal("g1")["state"], "landed");
    };
    let landed = TEXT.replace("two", "deux");
    check("true", &format!("typed\n{landed}"));
    check(
        "sed -i 1d a.txt && echo typed >>a.txt",
        &format!("{landed}typed\n"),
    );
    check("sed -i 1d a.txt", &landed);
    check(
        "sed -i s/typed/rephrased/ a.txt",
        &format!("rephrased\n{landed}"),
    );
}

#[test]
fn without_a_reason_nothing_comes_back() {
    let rules = does("work", "two", "zwei") + &repairs("true", "two", "deux");
    let (world, model) = world(&rules);
    let tasks = plan(&[task("native", "work")]);
    world.run_plan(&tasks, &[]).expect(0);
    world.run(&["reject", "g1"]).expect(0);
    assert_eq!(world.goal("g1")["state"], "rejected");
    world.run_plan(&tasks, &[]).expect(0);
    world
        .run(&["reject", "g2", "--reason", "never mind", "--no-repair"])
        .expect(0);
    assert_eq!(world.goal("g2")["state"], "rejected");
    let turns = model.turns();
    assert!(
        turns
            .iter()
            .all(|turn| turn.rule.as_deref() != Some("repair")),
        "nothing was asked"
    );
    assert_eq!(world.read("a.txt"), TEXT);
}

#[test]
fn a_repair_survives_the_daemon_and_is_cancelled_alone() {
    let meet = Meet::new();
    let rules = does("work", "two", "zwei") + &repairs(&meet.script("repair"), "two", "deux");
    let (world, _model) = world(&rules);
    world
        .run_plan(&plan(&[task("native", "work")]), &[])
        .expect(0);
    world
        .run(&["reject", "g1", "--reason", "in French"])
        .expect(0);
    let guest = meet.next();
    world.kill_daemon();
    guest.ended();
    // The next one takes it up.
    assert_eq!(world.goal("g1")["state"], "proposed");
    meet.next().release();
    wait_for_amendment(&world);
    assert_eq!(hunks(&world)[0]["newText"], "deux\n");

    world
        .run(&["reject", "g1", "--reason", "in Spanish"])
        .expect(0);
    let guest = meet.next();
    world.run(&["cancel", "g1"]).expect(0);
    guest.ended();
    wait_for("the goal's end", || world.goal("g1")["state"] == "rejected");
    let goal = world.goal("g1");
    assert_eq!(task_of(&goal, "repair-2")["state"], "cancelled");
    assert_eq!(task_of(&goal, "work")["state"], "succeeded");
    assert_eq!(world.read("a.txt"), TEXT);
}

/// Two hunks: one of them rejected in vain, the other one is decided as ever.
#[test]
fn a_repair_that_fails_changes_nothing() {
    let rules = r#"
  - name: work
    when: {userMatches: 'Work on one task of a goal'}
    turns:
      - - run: sed -i -e s/two/zwei/ -e s/six/sechs/ a.txt
      - - structured: {status: done, summary: Counted.}
  - name: repair
    when: {user: Work on a repair}
    answer:
      - structured: {status: blocked, summary: I know no French.}
"#;
    let (world, _model) = world(rules);
    world
        .run_plan(&plan(&[task("native", "work")]), &[])
        .expect(0);
    let first = hunks(&world)[0]["id"].as_str().unwrap().to_owned();
    let said = world.run(&["reject", &first, "--reason", "in French"]);
    assert_eq!(said.status, 0, "{said:#?}");
    wait_for("the repair's end", || {
        task_of(&world.goal("g1"), "repair-1")["state"] == "failed"
    });
    assert_eq!(hunks(&world).len(), 1);
    world.run(&["accept", "g1"]).expect(0);
    assert_eq!(world.goal("g1")["state"], "landed");
    assert_eq!(world.read("a.txt"), TEXT.replace("six", "sechs"));
}

/// A conflict with what was typed, handed over: both are in the text that comes back.
#[test]
fn a_conflict_can_be_handed_over() {
    let rules = does("work", "four", "vier") + &repairs("true", "mine", "mine, vier");
    let (world, model) = world(&rules);
    world
        .run_plan(&plan(&[task("native", "work")]), &[])
        .expect(0);
    world.write("a.txt", TEXT.replace("four", "mine"));
    let conflict = hunks(&world).remove(0);
    assert_eq!(conflict["status"], "conflict");
    let id = conflict["id"].as_str().unwrap();
    let said = world.run(&["resolve", id, "--repair"]);
    assert_eq!(said.status, 0, "{said:#?}");
    wait_for_amendment(&world);
    let found = hunks(&world);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["status"], "clean", "{found:#?}");
    assert_eq!(found[0]["oldText"], "mine\n");
    assert_eq!(found[0]["newText"], "mine, vier\n");
    let turns = model.turns();
    let told = turns
        .iter()
        .find(|turn| turn.rule.as_deref() == Some("repair"))
        .unwrap();
    let told = told.json()["messages"].to_string();
    for part in ["> +vier", "> mine"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    world.run(&["accept", "g1"]).expect(0);
    assert_eq!(world.read("a.txt"), TEXT.replace("four", "mine, vier"));
    assert_eq!(world.goal("g1")["state"], "landed");
}

#[test]
fn a_repair_costs_what_the_goal_may_cost() {
    // A million tokens of output cost more than a dollar with every model there is.
    let rules = r#"
  - name: work
    when: {user: Work on one task of a goal, turn: 1}
    usage: {input: 1000, output: 1000000}
    answer:
      - structured: {status: done, summary: Written.}
  - name: first
    when: {user: Work on one task of a goal}
    turns:
      - - run: sed -i s/two/zwei/ a.txt
"#;
    let (world, _model) = world(rules);
    let mut run = Live::plan(&world, &plan(&[task("native", "work")]), &["--budget", "1"]);
    run.until(|event| event["type"] == "outcome");
    run.end();
    assert_eq!(world.goal("g1")["state"], "proposed");
    let said = world
        .run(&["reject", "g1", "--reason", "in French", "--json"])
        .expect(0);
    let report = &said.json()[0];
    assert_eq!(report["repair"], Value::Null);
    let why = report["unrepaired"]["message"].as_str().unwrap();
    assert!(why.contains("cost limit"), "{why}");
    assert_eq!(world.goal("g1")["state"], "rejected");
}
