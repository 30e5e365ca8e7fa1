//! The built-in agent, as the process it is, against the scripted model.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

use std::{path::Path, sync::Arc};

use claudecluster_protocol::{Span, StopReason, Usd, event::AgentEvent, plan::AgentName};
use claudecluster_worker::agent::AgentSpec;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::session::{PATIENCE, Run, Stage};

fn spec(stage: &Stage, prompt: &str) -> AgentSpec {
    let program = Path::new(env!("CARGO_BIN_EXE_sandbox-launcher"));
    stage.spec(AgentName::Native, program, prompt)
}

fn schema() -> Value {
    json!({"type": "object", "required": ["summary"], "properties": {"summary": {"type": "string"}}})
}

const WORK: &str = r"
rules:
  - when: {user: 'the task'}
    turns:
      - - text: Let me look.
        - tool: list
        - tool: search
          input: {pattern: 'fn \w+'}
        - read: src/main.rs
      - - edit: {path: src/main.rs, old: '{}', new: '{ work(); }'}
        - write: {path: new/file.txt, content: hello}
        - run: 'cat new/file.txt; echo key=$ANTHROPIC_API_KEY'
        - write: {path: ../outside.txt, content: no}
      - - structured: {wrong: true}
      - - structured: {summary: it works}
";

#[tokio::test]
async fn does_a_task_and_reports_it() {
    let stage = Stage::new(WORK);
    stage.write("src/main.rs", "fn main() {}\n");
    let mut spec = spec(&stage, "Do the task.");
    spec.task.schema = Some(schema());
    let run = stage.run(&spec).await;
    assert_eq!(run.report.stop, None, "{run:?}");
    assert_eq!(run.report.summary, "it works");
    assert_eq!(run.report.answer, Some(json!({"summary": "it works"})));
    assert_eq!(run.report.session.as_ref(), Some(&spec.task.session));
    assert_eq!(run.report.usage.turns, 4);
    assert!(run.report.usage.cost_usd > Usd::ZERO && run.report.usage.cache_read_tokens > 0);
    assert_eq!(stage.read("src/main.rs"), "fn main() { work(); }\n");
    assert_eq!(stage.read("new/file.txt"), "hello");
    assert!(!stage.folder.path().join("outside.txt").exists());
    let said = AgentEvent::Text {
        text: "Let me look.".to_owned(),
    };
    let output = AgentEvent::Output {
        text: "hellokey=\n".to_owned(),
    };
    assert!(
        run.events.contains(&said) && run.events.contains(&output),
        "{:?}",
        run.events
    );

    let turns = stage.server.turns();
    let results: Vec<Value> = turns[1].json()["messages"][2]["content"]
        .as_array()
        .unwrap()
        .clone();
    let texts: Vec<&str> = results
        .iter()
        .map(|r| r["content"].as_str().unwrap())
        .collect();
    assert_eq!(
        texts,
        [
            "src/main.rs\n",
            "src/main.rs:1:fn main() {}\n",
            "fn main() {}\n"
        ]
    );
    let refused = &turns[2].json()["messages"][4]["content"][3];
    assert_eq!(refused["is_error"], true);
    assert!(
        turns
            .iter()
            .all(|r| r.session.as_deref() == Some(spec.task.session.as_str()))
    );
}

#[tokio::test]
async fn words_alone_end_a_session_without_a_schema() {
    let stage = Stage::new("rules: [{answer: [{text: All is well.}]}]");
    let run = stage.run(&spec(&stage, "hello")).await;
    assert_eq!(
        (run.report.stop, run.report.summary.as_str()),
        (None, "All is well.")
    );
}

#[tokio::test]
async fn a_fork_starts_where_its_parent_ended() {
    let stage = Stage::new(
        r"
rules:
  - when: {user: 'Make a plan'}
    turns: [[{read: a.txt}], [{structured: {summary: planned}}]]
  - when: {user: 'Task one'}
    answer: [{structured: {summary: one}}]
",
    );
    stage.write("a.txt", &"line\n".repeat(2000));
    let mut planner = spec(&stage, "Make a plan.");
    planner.task.schema = Some(schema());
    let planned = stage.run(&planner).await;
    let mut fork = spec(&stage, "Task one");
    fork.task.schema = Some(schema());
    fork.task.fork_of = Some(planner.task.session.clone());
    let forked = stage.run(&fork).await;
    assert_eq!(forked.report.summary, "one", "{forked:?}");
    let usage = (forked.report.usage, planned.report.usage);
    assert!(
        usage.0.cost_usd < usage.1.cost_usd && usage.0.cache_read_tokens > 2000,
        "{usage:?}"
    );

    let bodies: Vec<Value> = stage.server.turns().iter().map(|r| r.json()).collect();
    let (parent, child) = (&bodies[1], &bodies[2]);
    assert_eq!(child["tools"], parent["tools"]);
    assert_eq!(child["system"], parent["system"]);
    assert_eq!(child["messages"][1], parent["messages"][1]);
}

async fn check(
    script: &str,
    change: impl FnOnce(&mut AgentSpec),
    expected: Option<StopReason>,
) -> Run {
    let stage = Stage::new(script);
    let mut spec = spec(&stage, "hello");
    change(&mut spec);
    let run = stage.run(&spec).await;
    assert_eq!(run.report.stop, expected, "{script}: {run:?}");
    run
}

#[tokio::test]
async fn failures_have_their_class() {
    for status in [401, 403] {
        let script = format!("rules: [{{error: {{status: {status}}}}}]");
        let run = check(&script, |_| (), Some(StopReason::Auth)).await;
        assert!(run.report.summary.contains("ANTHROPIC_API_KEY"), "{run:?}");
    }
    let script = "rules: [{error: {status: 400, message: too long}}]";
    let run = check(script, |_| (), Some(StopReason::Refused)).await;
    assert!(run.report.summary.contains("too long"), "{run:?}");
    let script = "rules: [{error: {status: 429, retryAfter: 3600}}]";
    let run = check(script, |_| (), Some(StopReason::Overloaded)).await;
    assert_eq!(run.report.retry_after, Some(Span::from_secs(3600)));
    let script = "rules: [{stopReason: refusal, answer: [{text: I will not.}]}]";
    check(script, |_| (), Some(StopReason::Refused)).await;
    let endless = "rules: [{answer: [{run: 'true'}]}]";
    check(
        endless,
        |spec| spec.task.limits.max_turns = 3,
        Some(StopReason::TurnLimit),
    )
    .await;
    let cheap = |spec: &mut AgentSpec| spec.task.limits.budget = Some(Usd::from_micros(1));
    check(endless, cheap, Some(StopReason::Budget)).await;
    let words = "rules: [{answer: [{text: no}]}]";
    check(
        words,
        |spec| spec.task.schema = Some(schema()),
        Some(StopReason::InvalidAnswer),
    )
    .await;
    let no_key = |spec: &mut AgentSpec| {
        spec.place
            .env
            .retain(|(name, _)| name != "ANTHROPIC_API_KEY");
    };
    check(words, no_key, Some(StopReason::Auth)).await;
    let orphan = |spec: &mut AgentSpec| spec.task.fork_of = Some("nobody".to_owned());
    check(words, orphan, Some(StopReason::Crashed)).await;
}

#[tokio::test]
async fn overload_and_broken_streams_pass() {
    let script =
        "rules: [{times: 1, error: {status: 529}}, {times: 1, error: {status: 429, retryAfter: 1}},
        {times: 1, cut: 3, answer: [{text: cut}]}, {times: 1, malformed: 3, answer: [{text: bad}]},
        {answer: [{text: fine}]}]";
    let run = check(script, |_| (), None).await;
    assert_eq!(run.report.summary, "fine");
    assert_eq!(run.report.usage.turns, 1);
    let wait = Some(Span::from_secs(1));
    assert!(
        run.events.contains(&AgentEvent::RateLimited { wait }),
        "{:?}",
        run.events
    );
}

#[tokio::test]
async fn cancelling_ends_it_and_keeps_what_it_cost() {
    let stage = Stage::new(
        "rules: [{when: {turn: 0}, answer: [{run: 'true'}]}, {hold: never, answer: [{text: x}]}]",
    );
    let spec = spec(&stage, "hello");
    let cancel = CancellationToken::new();
    let (server, then) = (Arc::clone(&stage.server), cancel.clone());
    let waiting = tokio::task::spawn_blocking(move || {
        assert!(server.wait_until(PATIENCE, |requests| requests.len() == 2));
        then.cancel();
    });
    let run = stage.run_until(&spec, cancel).await;
    waiting.await.unwrap();
    assert_eq!(run.report.stop, Some(StopReason::Cancelled), "{run:?}");
    assert_eq!(run.report.usage.turns, 1);
    // The conversation up to there can be continued.
    assert!(
        stage
            .home()
            .join(format!("native/{}.json", spec.task.session))
            .exists()
    );
}
