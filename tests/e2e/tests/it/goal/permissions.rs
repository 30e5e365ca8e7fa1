//! Permission requests of real sessions, whose model is scripted: asked once for all who want the same,
//! answered from the command line, and asked again by the attempts of the next daemon.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use claudecluster_e2e::{
    World,
    live::{Live, plan_of, shell},
};
use serde_json::{Value, json};

/// Every task fetches the same page, goes on whatever comes of that, and writes a file.
const SCRIPT: &str = r"
rules:
  - name: task
    when: {userMatches: 'Work on one task of a goal: .* \((?<id>one|two|late)\)'}
    turns:
      - - tool: WebFetch
          input: {url: 'http://127.0.0.1:9/docs', prompt: what is it}
      - - write: {path: '{{id}}.txt', content: done}
      - - structured: {status: done, summary: 'did {{id}}'}
";

fn world() -> (World, claudecluster_model::Server) {
    let mut world = World::new(&[("README.md", "a project\n")]);
    world.with_claude_and("permissions.ask = [\"WebFetch\"]\n");
    let model = world.model(SCRIPT);
    (world, model)
}

fn task(id: &str, depends_on: &[&str]) -> Value {
    json!({"id": id, "instructions": "Fetch it.", "agent": "claude-code", "dependsOn": depends_on})
}

/// Waits until as many tasks share one request as given, and returns its id.
#[track_caller]
fn asked(goal: &mut Live, tasks: usize, known: &[&str]) -> String {
    let event = goal.until(|event| {
        let request = &event["request"];
        event["type"] == "permissionAsked"
            && request["taskIds"].as_array().unwrap().len() == tasks
            && !known.contains(&request["id"].as_str().unwrap())
    });
    event["request"]["id"].as_str().unwrap().to_owned()
}

/// Whether some request to the model brings a tool's result with these words.
fn told(model: &claudecluster_model::Server, words: &str) -> bool {
    let turns = model.turns();
    turns
        .iter()
        .any(|turn| turn.json()["messages"].to_string().contains(words))
}

#[test]
fn two_sessions_ask_once_and_again_after_a_crash() {
    let (world, model) = world();
    let plan = plan_of(&[
        task("one", &[]),
        task("two", &[]),
        task("late", &["one", "two"]),
    ]);
    let mut goal = Live::plan(&world, &plan, &[]);
    let first = asked(&mut goal, 2, &[]);
    let open = world.run(&["permissions", "--json"]).expect(0).json();
    assert_eq!(open.len(), 1, "{open:#?}");
    let request = &open[0];
    assert_eq!(request["tool"], "WebFetch");
    assert_eq!(request["detail"], "http://127.0.0.1:9/docs");
    assert_eq!(request["kind"], "network");
    let shown = world.run(&["show", "g1"]).expect(0).stdout;
    assert!(
        shown.contains(&format!("claudecluster allow {first}")),
        "{shown}"
    );
    let listed = world.run(&["goals", "--json"]).expect(0).json();
    assert_eq!(listed[0]["permissionsWaiting"], 1);
    // What was asked for can be looked at in full; it is what the answer is bound to.
    let show = world.goal("g1");
    assert_eq!(show["permissions"], json!([request]));

    world.kill_daemon();
    // Whatever needs the daemon starts the next one.
    world.run(&["goals"]).expect(0);
    goal.until(|event| event["type"] == "permissionWithdrawn" && event["requestId"] == first);
    let second = asked(&mut goal, 2, &[&first]);
    let late = world.run(&["allow", &first]).expect(1);
    assert!(
        late.stderr
            .contains("is no longer open: the worker has ended"),
        "{late:#?}"
    );
    world.run(&["allow", &second, "--goal"]).expect(0);
    let answered = goal.event("permissionAnswered");
    assert_eq!(
        (&answered["decision"], &answered["scope"], &answered["by"]),
        (&json!("allow"), &json!("goal"), &json!("the command line"))
    );
    let said = goal.end().expect(0);
    assert_eq!(said.outcome()["hunks"]["pending"], 3, "{said:#?}");
    // The last task asked the same, and the answer for the goal was there already.
    let asks = said.json();
    let asks = asks
        .iter()
        .filter(|event| event["type"] == "permissionAsked");
    let ids: std::collections::BTreeSet<&str> = asks
        .map(|event| event["request"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(!told(&model, "The developer does not allow this"));
}

#[test]
fn a_denial_reaches_the_model_and_nobody_else_waits_for_it() {
    let (world, model) = world();
    let plan = plan_of(&[task("one", &[]), shell("other", "echo x > other.txt", &[])]);
    let mut goal = Live::plan(&world, &plan, &["--jobs", "1"]);
    // The only place is held by a session that waits for a person; the other task runs all the same.
    let id = asked(&mut goal, 1, &[]);
    goal.until(|event| event["type"] == "attemptEnded" && event["taskId"] == "other");
    let open = world.run(&["permissions", "--json"]).expect(0).json();
    assert_eq!(open.len(), 1);
    let none = world.run(&["deny", "p99"]).expect(2);
    assert!(
        none.stderr.contains("claudecluster permissions"),
        "{none:#?}"
    );
    world
        .run(&["deny", &id, "--reason", "read docs/ instead"])
        .expect(0);
    let said = goal.end().expect(0);
    assert_eq!(said.outcome()["hunks"]["pending"], 2, "{said:#?}");
    assert!(told(
        &model,
        "The developer does not allow this: read docs/ instead"
    ));
    assert!(
        world
            .run(&["permissions"])
            .expect(0)
            .stdout
            .contains("No open permission requests")
    );
}

#[test]
fn cancelling_takes_back_what_was_asked() {
    let (world, _model) = world();
    let mut goal = Live::plan(&world, &plan_of(&[task("one", &[])]), &[]);
    let id = asked(&mut goal, 1, &[]);
    world.run(&["cancel", "g1"]).expect(0);
    goal.until(|event| event["type"] == "permissionWithdrawn" && event["requestId"] == id);
    assert_eq!(goal.end().status, 130);
}
