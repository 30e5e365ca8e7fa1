//! Goals through the real Claude Code, whose model is scripted: the planner, parallel sessions forked
//! from it, and what lands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use claudecluster_e2e::World;
use serde_json::Value;

const GREET: &str = "def greet(name):\n    return 'hello ' + name\n";
const PARSE: &str = "def parse(text):\n    return text.split(',')\n";
const SHOW: &str = "def show(items):\n    print(items)\n";

/// A planner that answers a wrong plan first, three tasks that only go on once all three run, and a
/// fourth that needs them all.
const SCRIPT: &str = r#"
rules:
  - name: plan
    when: {user: Plan this goal, tools: [StructuredOutput]}
    turns:
      - - text: Let me look at the project.
        - read: greet.py
      - - read: parse.py
      - - structured:
            status: done
            summary: Three files, then a readme.
            plan:
              gates: ["grep -q typed greet.py && test -f README.md"]
              tasks:
                - {id: greet, title: Greet politely, instructions: Change greet, writes: [greet.py]}
                - {id: parse, title: Strip fields, instructions: Change parse, writes: [parse.py]}
                - {id: show, title: Show lines, instructions: Change show, writes: [show.py]}
                - {id: readme, title: Write the readme, instructions: Describe it, writes: [README.md], dependsOn: [greet, parse, shwo]}
  - name: repair
    when: {user: 'there is no task "shwo"; did you mean "show"'}
    turns:
      - - structured:
            status: done
            summary: Corrected.
            plan:
              gates: ["grep -q typed greet.py && test -f README.md"]
              tasks:
                - {id: greet, title: Greet politely, instructions: Change greet, writes: [greet.py]}
                - {id: parse, title: Strip fields, instructions: Change parse, writes: [parse.py]}
                - {id: show, title: Show lines, instructions: Change show, writes: [show.py]}
                - {id: readme, title: Write the readme, instructions: Describe it, writes: [README.md], dependsOn: [greet, parse, show]}
  - name: together
    when: {userMatches: 'Work on one task of a goal: .* \((greet|parse|show)\)', turn: 0}
    together: 3
    times: 3
    answer:
      - text: I start.
      - run: git status --short
  - name: greet
    when: {userMatches: 'Work on one task of a goal: .* \(greet\)'}
    turns:
      - []
      - - edit: {path: greet.py, old: "'hello '", new: "'good day '"}
      - - structured: {status: done, summary: Greets politely now.}
  - name: parse
    when: {userMatches: 'Work on one task of a goal: .* \(parse\)'}
    turns:
      - []
      - - edit: {path: parse.py, old: "text.split(',')", new: "[f.strip() for f in text.split(',')]"}
      - - structured: {status: done, summary: Strips fields now.}
  - name: show
    when: {userMatches: 'Work on one task of a goal: .* \(show\)'}
    turns:
      - []
      - - read: show.py
      - - write: {path: show.py, content: "def show(items):\n    for item in items:\n        print(item)\n"}
      - - structured: {status: done, summary: Shows lines now.}
  - name: readme
    when: {userMatches: 'Work on one task of a goal: .* \(readme\)'}
    turns:
      - - run: cat greet.py parse.py show.py > README.md
      - - structured: {status: done, summary: Wrote the readme.}
"#;

fn world() -> World {
    let mut world = World::new(&[
        ("greet.py", GREET),
        ("parse.py", PARSE),
        ("show.py", SHOW),
        ("CLAUDE.md", "Never use the letter q.\n"),
    ]);
    world.with_claude();
    world.write("greet.py", format!("# typed, not committed\n{GREET}"));
    world
}

#[test]
fn a_goal_becomes_a_plan_becomes_parallel_sessions_becomes_landed_files() {
    let mut world = world();
    let model = world.model(SCRIPT);
    let said = world.run(&["run", "--json", "--apply", "make", "it", "nicer"]);
    let requests: Vec<String> = model
        .turns()
        .iter()
        .map(|r| format!("{:?}", r.rule))
        .collect();
    let said = {
        assert_eq!(said.status, 0, "{said:#?}\n{requests:?}");
        said
    };
    assert_eq!(said.outcome()["state"], "landed");
    assert_eq!(
        world.read("greet.py"),
        format!(
            "# typed, not committed\n{}",
            GREET.replace("hello", "good day")
        )
    );
    assert!(world.read("parse.py").contains("f.strip()"));
    let readme = world.read("README.md");
    for part in ["good day", "f.strip()", "for item in items"] {
        assert!(
            readme.contains(part),
            "the join sees its parents' work: {readme}"
        );
    }
    assert_eq!(world.git(&["diff", "--cached"]), "", "nothing was staged");

    let events: Vec<Value> = said.json();
    let kinds: Vec<&str> = events
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    for kind in [
        "goalSubmitted",
        "snapshotTaken",
        "planRefused",
        "planned",
        "gated",
        "reviewed",
    ] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    assert!(said.outcome()["costUsd"].as_f64().unwrap() > 0.0);
    let logs = world.run(&["logs", "g1", "parse"]).expect(0).stdout;
    assert!(logs.contains("Strips fields now."), "{logs}");
}

#[test]
fn workers_share_the_planners_context() {
    let mut world = world();
    let model = world.model(SCRIPT);
    world
        .run(&["run", "--json", "make", "it", "nicer"])
        .expect(0);
    let turns = model.turns();
    let of = |rule: &str| {
        turns
            .iter()
            .rev()
            .find(|turn| turn.rule.as_deref() == Some(rule))
            .unwrap()
    };
    let workers: Vec<Value> = turns
        .iter()
        .filter(|turn| turn.rule.as_deref() == Some("together"))
        .map(claudecluster_model::Recorded::json)
        .collect();
    assert_eq!(workers.len(), 3);
    // The session that planned, and the one that repaired its plan, which is a fork itself.
    for session in ["plan", "repair"] {
        let request = of(session).json();
        let planner = context(&request);
        assert!(
            planner.contains("Never use the letter q."),
            "the project's instructions are there"
        );
        for worker in &workers {
            assert_eq!(
                worker["model"], request["model"],
                "caches are a model's own"
            );
            let worker = context(worker);
            let same = planner
                .bytes()
                .zip(worker.bytes())
                .take_while(|(a, b)| a == b)
                .count();
            let share = same as f64 / planner.len() as f64;
            let all = planner.len();
            assert!(
                share >= 0.95,
                "{session}: {share} of {all} bytes are shared"
            );
        }
    }
}

/// What the provider caches of a request, in the order in which it caches it.
fn context(request: &Value) -> String {
    let mut text = request["tools"].to_string();
    text.push_str(&request["system"].to_string());
    for message in request["messages"].as_array().unwrap() {
        text.push_str(&without_marks(message).to_string());
    }
    text
}

/// Cache marks move with the conversation and are no part of what is cached.
fn without_marks(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, _)| *key != "cache_control")
                .map(|(key, value)| (key.clone(), without_marks(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_marks).collect()),
        other => other.clone(),
    }
}

#[test]
fn a_wrong_key_fails_at_once_and_says_what_to_do() {
    let mut world = world();
    let _model = world.model("rules: [{name: no, error: {status: 401}}]");
    let said = world.run(&["run", "--json", "make it nicer"]).expect(1);
    let view = world
        .run(&["show", "g1", "--json"])
        .expect(0)
        .json()
        .remove(0);
    let error = &view["error"];
    assert!(
        error["hint"]
            .as_str()
            .unwrap()
            .contains("ANTHROPIC_API_KEY"),
        "{error} {said:#?}"
    );
}

#[test]
fn no_agent_is_an_error_that_says_how_to_get_one() {
    let mut world = World::new(&[]);
    let tools = world.dir.path().join("bin");
    std::fs::create_dir(&tools).unwrap();
    let git = String::from_utf8(
        std::process::Command::new("sh")
            .args(["-c", "command -v git"])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    std::os::unix::fs::symlink(git.trim(), tools.join("git")).unwrap();
    world
        .env
        .push(("PATH".to_owned(), tools.display().to_string()));
    let said = world.run(&["run", "do something"]);
    assert_eq!(said.status, 1, "{said:#?}");
    assert!(
        said.stderr
            .contains("install it with: npm install -g @anthropic-ai/claude-code"),
        "{said:#?}"
    );
}
