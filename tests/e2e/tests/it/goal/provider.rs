//! What the model's provider does to a goal: limits on money, overload, broken streams. With Claude Code
//! and with the built-in agent.

use claudecluster_e2e::{Said, World};
use serde_json::{Value, json};

/// One task, for this agent.
fn plan(agent: &str) -> Value {
    json!({"goal": "test", "tasks": [{
        "id": "t", "title": "Write it", "instructions": "Write b into a.txt",
        "agent": agent, "writes": ["a.txt"],
    }]})
}

const WORK: &str = r#"
  - name: work
    when: {user: Work on one task}
    turns:
      - - run: echo b > a.txt
      - - structured: {status: done, summary: Written.}
"#;

/// Runs the plan with this agent, and these rules before the one that does the work.
fn run(agent: &str, rules: &str, more: &[&str]) -> (World, Said, Vec<String>) {
    let mut world = World::new(&[("a.txt", "a\n")]);
    world.with_claude();
    let model = world.model(&format!("rules:\n{rules}{WORK}"));
    let said = world.run_plan(&plan(agent), more);
    let rules = model
        .turns()
        .into_iter()
        .filter_map(|turn| turn.rule)
        .collect();
    (world, said, rules)
}

/// What is answered first does not decide how it ends.
fn check_recovers(agent: &str, rules: &str) {
    let (world, said, used) = run(agent, rules, &["--apply"]);
    let said = said.expect(0);
    assert_eq!(said.outcome()["state"], "landed", "{agent}: {used:?}");
    assert_eq!(world.read("a.txt"), "b\n");
    assert_eq!(used[0], "first", "{agent}: {used:?}");
}

#[test]
fn overload_passes() {
    for agent in ["claude-code", "native"] {
        for status in [429, 529] {
            let rule = format!(
                "  - {{name: first, when: {{user: Work on one task}}, times: 2, \
                 error: {{status: {status}, retryAfter: 0}}}}"
            );
            check_recovers(agent, &rule);
        }
    }
}

#[test]
fn a_stream_that_is_cut_is_asked_for_again() {
    for agent in ["claude-code", "native"] {
        let rule = "  - {name: first, when: {user: Work on one task}, times: 1, cut: 3, \
                    answer: [{text: 'a long answer that does not come to its end'}]}";
        check_recovers(agent, rule);
    }
}

#[test]
fn the_budget_ends_a_goal_with_its_own_status() {
    for agent in ["claude-code", "native"] {
        // A million tokens of output cost more than a dollar with every model there is.
        let rule = "  - {name: dear, when: {user: Work on one task}, \
                    usage: {input: 1000, output: 1000000}, answer: [{run: 'echo half > half.txt'}]}";
        let (world, said, used) = run(agent, rule, &["--apply", "--budget", "1"]);
        let said = said.expect(4);
        assert_eq!(said.outcome()["state"], "failed", "{agent}");
        assert!(used.len() < 5, "{agent} goes on: {used:?}");
        assert!(
            said.outcome()["costUsd"].as_f64().unwrap() >= 1.0,
            "{agent}"
        );
        let goal = world.goal("g1");
        let attempts = goal["tasksDetail"][0]["attempts"].as_array().unwrap();
        assert_eq!(
            attempts.len(),
            1,
            "{agent}: money is not spent again: {goal:#}"
        );
        assert_eq!(attempts[0]["stop"], "budget", "{agent}: {goal:#}");
        let hint = goal["error"]["hint"].as_str().unwrap();
        assert!(hint.contains("--budget"), "{agent}: {hint}");
        assert!(!world.has("half.txt"));
    }
}
