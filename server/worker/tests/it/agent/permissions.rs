//! Permission requests: what is asked, what the answers come to, and that waiting for a person is no
//! reason to end a session.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests is a test"
)]

use std::path::{Path, PathBuf};

use claudecluster_model::common_prefix;
use claudecluster_protocol::{
    Span, StopReason,
    event::AgentEvent,
    permission::{PermissionDecision, PermissionKind},
    plan::AgentName,
};
use claudecluster_worker::agent::{
    AgentSpec, PermissionQuestion, QuestionReply, ToolPermissions, ToolRequest,
};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::session::{PATIENCE, Run, Stage, claude};

fn faulty() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/agent/faulty-agent.sh")
}

/// Permissions under which `tools` are asked about.
fn asking(tools: &[&str], timeout: Span) -> ToolPermissions {
    ToolPermissions {
        ask: tools.iter().map(|&tool| tool.to_owned()).collect(),
        timeout,
        ..ToolPermissions::default()
    }
}

fn spec(stage: &Stage, fault: &str, permissions: ToolPermissions) -> AgentSpec {
    let mut spec = stage.spec(AgentName::ClaudeCode, &faulty(), "hello");
    spec.place.env.push(("FAULT".into(), fault.into()));
    spec.task.permissions = permissions;
    spec
}

fn say(ask: PermissionQuestion, decision: PermissionDecision, reason: Option<&str>) {
    let reason = reason.map(str::to_owned);
    let _ = ask.reply.send(QuestionReply { decision, reason });
}

/// A session that asks once, and what it says it was told.
async fn check(answer: impl FnOnce(PermissionQuestion), expected: &str) -> Run {
    let stage = Stage::new("rules: []");
    let permissions = asking(&["WebFetch"], Span::from_secs(50));
    let (questions, mut asks) = mpsc::unbounded_channel::<PermissionQuestion>();
    let spec = spec(&stage, "asks", permissions);
    let answering = async {
        let ask = asks.recv().await.unwrap();
        let wanted = ToolRequest {
            tool: "WebFetch".to_owned(),
            detail: "http://example.com/a".to_owned(),
            kind: Some(PermissionKind::Network),
            input: r#"{"prompt":"what","url":"http://example.com/a"}"#.to_owned(),
        };
        assert_eq!(ask.request, wanted);
        answer(ask);
    };
    let (run, ()) = tokio::join!(
        stage.run_asking(&spec, questions, CancellationToken::new()),
        answering
    );
    assert_eq!(run.report.stop, None, "{run:?}");
    assert_eq!(run.report.summary, expected);
    run
}

#[tokio::test]
async fn the_session_is_told_what_was_said() {
    let run = check(|ask| say(ask, PermissionDecision::Allow, None), "let").await;
    assert!(
        !run.events
            .iter()
            .any(|event| matches!(event, AgentEvent::Denied { .. }))
    );
    // What the developer denies is not missing: the session goes on without, and succeeds.
    let run = check(
        |ask| say(ask, PermissionDecision::Deny, Some("use the docs folder")),
        "The developer does not allow this: use the docs folder",
    )
    .await;
    let what = "WebFetch http://example.com/a".to_owned();
    assert!(run.events.contains(&AgentEvent::Denied { what }));
    check(
        |ask| say(ask, PermissionDecision::Deny, None),
        "The developer does not allow this use of WebFetch. Do without it.",
    )
    .await;
    check(
        drop,
        "There is nobody to allow this use of WebFetch. Do without it.",
    )
    .await;
}

#[tokio::test]
async fn with_nobody_to_ask_it_is_denied() {
    let stage = Stage::new("rules: []");
    let permissions = asking(&["WebFetch"], Span::from_secs(50));
    let run = stage.run(&spec(&stage, "asks", permissions)).await;
    assert_eq!(run.report.stop, None, "{run:?}");
    assert!(run.report.summary.starts_with("There is nobody"), "{run:?}");
}

#[tokio::test]
async fn answers_find_their_questions() {
    let stage = Stage::new("rules: []");
    let permissions = asking(&["WebFetch"], Span::from_secs(50));
    let (questions, mut asks) = mpsc::unbounded_channel::<PermissionQuestion>();
    let spec = spec(&stage, "asks-twice", permissions);
    let answering = async {
        let first = asks.recv().await.unwrap();
        let second = asks.recv().await.unwrap();
        assert_eq!(second.request.detail, "http://example.com/2");
        say(second, PermissionDecision::Deny, None);
        say(first, PermissionDecision::Allow, None);
    };
    let (run, ()) = tokio::join!(
        stage.run_asking(&spec, questions, CancellationToken::new()),
        answering
    );
    let mut told: Vec<&str> = run.report.summary.split_whitespace().collect();
    told.sort_unstable();
    assert_eq!(told, ["r1:allow", "r2:deny"], "{run:?}");
}

#[tokio::test]
async fn a_question_that_is_not_asked_any_more_is_closed() {
    let stage = Stage::new("rules: []");
    let permissions = asking(&["WebFetch"], Span::from_secs(50));
    let (questions, mut asks) = mpsc::unbounded_channel::<PermissionQuestion>();
    let spec = spec(&stage, "asks-and-goes-on", permissions);
    let closing = async {
        let mut first = asks.recv().await.unwrap();
        first.reply.closed().await;
        let second = asks.recv().await.unwrap();
        assert_eq!(second.request.detail, "http://example.com/b");
        say(second, PermissionDecision::Allow, None);
    };
    let (run, ()) = tokio::join!(
        stage.run_asking(&spec, questions, CancellationToken::new()),
        closing
    );
    assert_eq!(
        (run.report.stop, run.report.summary.as_str()),
        (None, "fine"),
        "{run:?}"
    );
}

/// The clocks of a session stand still while it waits for a person, and only then.
#[tokio::test]
async fn a_person_may_take_longer_than_an_agent() {
    let stage = Stage::new("rules: []");
    let permissions = asking(&["WebFetch"], Span(2_500));
    let (questions, mut asks) = mpsc::unbounded_channel::<PermissionQuestion>();
    let mut spec = spec(&stage, "asks", permissions);
    spec.task.limits.silence = Span(900);
    spec.task.limits.timeout = Span(2_000);
    let waiting = async { asks.recv().await.unwrap().reply.closed().await };
    let (run, ()) = tokio::join!(
        stage.run_asking(&spec, questions, CancellationToken::new()),
        waiting
    );
    assert_eq!(run.report.stop, None, "{run:?}");
    let told = "The developer was asked and did not answer within 2s 500ms";
    assert!(run.report.summary.starts_with(told), "{run:?}");

    let permissions = asking(&["WebFetch"], Span::from_secs(50));
    let (questions, mut asks) = mpsc::unbounded_channel::<PermissionQuestion>();
    spec.place.env.retain(|(name, _)| name != "FAULT");
    spec.place
        .env
        .push(("FAULT".into(), "asks-then-hangs".into()));
    spec.task.permissions = permissions;
    let answering = async { say(asks.recv().await.unwrap(), PermissionDecision::Allow, None) };
    let (run, ()) = tokio::join!(
        stage.run_asking(&spec, questions, CancellationToken::new()),
        answering
    );
    assert_eq!(run.report.stop, Some(StopReason::Silent), "{run:?}");
}

#[tokio::test]
async fn cancelling_does_not_wait_for_the_answer() {
    let stage = Stage::new("rules: []");
    let permissions = asking(&["WebFetch"], Span::from_secs(3600));
    let (questions, mut asks) = mpsc::unbounded_channel::<PermissionQuestion>();
    let mut spec = spec(&stage, "asks-then-hangs", permissions);
    spec.task.limits.exit = Span(700);
    let cancel = CancellationToken::new();
    let then = cancel.clone();
    let cancelling = async {
        let mut ask = asks.recv().await.unwrap();
        then.cancel();
        ask.reply.closed().await;
    };
    let (run, ()) = tokio::join!(stage.run_asking(&spec, questions, cancel), cancelling);
    assert_eq!(run.report.stop, Some(StopReason::Cancelled), "{run:?}");
}

const FETCHES: &str = r"
rules:
  - name: work
    when: {user: 'the task'}
    turns:
      - - tool: WebFetch
          input: {url: 'http://127.0.0.1:9/docs', prompt: what is it}
        - run: ls
      - - text: I did without.
";

/// The real Claude Code: asked tools are offered to the model, everything that is to be asked about is
/// asked about, and what the developer says reaches the model as the tool's result.
#[tokio::test]
async fn the_real_one_asks_and_goes_on() {
    let stage = Stage::new(FETCHES);
    let permissions = asking(&["WebFetch", "Bash"], Span::from_secs(50));
    let (questions, mut asks) = mpsc::unbounded_channel::<PermissionQuestion>();
    let mut spec = stage.spec(AgentName::ClaudeCode, &claude(), "Do the task.");
    spec.task.permissions = permissions;
    let answering = async {
        let mut wanted = Vec::new();
        for _ in 0..2 {
            let ask = asks.recv().await.unwrap();
            wanted.push((ask.request.tool.clone(), ask.request.detail.clone()));
            match ask.request.tool.as_str() {
                "WebFetch" => say(ask, PermissionDecision::Deny, Some("read docs/ instead")),
                _ => say(ask, PermissionDecision::Allow, None),
            }
        }
        wanted
    };
    let (run, wanted) = tokio::join!(
        stage.run_asking(&spec, questions, CancellationToken::new()),
        answering
    );
    assert_eq!(run.report.stop, None, "{run:?}");
    assert_eq!(run.report.summary, "I did without.");
    let wanted: Vec<(&str, &str)> = wanted.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert_eq!(
        wanted,
        [("WebFetch", "http://127.0.0.1:9/docs"), ("Bash", "ls")]
    );
    let server = stage.server.clone();
    let seen = tokio::task::spawn_blocking(move || {
        server.wait_until(PATIENCE, |requests| {
            requests.iter().filter(|request| request.is_turn()).count() == 2
        })
    });
    assert!(seen.await.unwrap());
    let turns = stage.server.turns();
    let offered = |turn: usize, name: &str| {
        let tools = turns[turn].json()["tools"].clone();
        tools
            .as_array()
            .unwrap()
            .iter()
            .any(|tool| tool["name"] == name)
    };
    assert!(offered(0, "WebFetch") && !offered(0, "WebSearch"));
    let last = turns[1].json()["messages"]
        .as_array()
        .unwrap()
        .last()
        .cloned();
    let result = last.unwrap()["content"]
        .as_array()
        .unwrap()
        .iter()
        .find(|block| block["is_error"] == true)
        .cloned()
        .unwrap();
    let told = "The developer does not allow this: read docs/ instead";
    assert_eq!(text_of(&result), told, "{result}");
}

fn text_of(result: &Value) -> String {
    match &result["content"] {
        Value::Array(blocks) => blocks[0]["text"].as_str().unwrap_or_default().to_owned(),
        text => text.as_str().unwrap_or_default().to_owned(),
    }
}

/// Configuration steers the tools of real sessions; nobody is asked where nothing says so.
#[tokio::test]
async fn the_real_one_offers_what_is_allowed() {
    let stage = Stage::new("rules: []");
    let offered = async |permissions: ToolPermissions| {
        let before = stage.server.turns().len();
        let mut spec = stage.spec(AgentName::ClaudeCode, &claude(), "hello");
        spec.task.permissions = permissions;
        let run = stage.run(&spec).await;
        assert_eq!(run.report.stop, None, "{run:?}");
        let tools = stage.server.turns()[before].json()["tools"].clone();
        let named = |name: &str| tools.as_array().unwrap().iter().any(|t| t["name"] == name);
        ["WebFetch", "WebSearch", "Bash"].map(named)
    };
    let tools = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let usual = offered(ToolPermissions::default()).await;
    assert_eq!(usual, [false, false, true]);
    let changed = offered(ToolPermissions {
        allow: tools(&["WebSearch"]),
        deny: tools(&["Bash"]),
        ..ToolPermissions::default()
    })
    .await;
    assert_eq!(changed, [false, true, false]);
}

/// What is asked about stands among the tools at the head of the prompt, the same for a planner and a fork
/// of its session.
#[tokio::test]
async fn the_real_ones_forks_share_its_tools() {
    let stage = Stage::new("rules: []");
    let spec = |prompt: &str, fork_of: Option<&str>| {
        let mut spec = stage.spec(AgentName::ClaudeCode, &claude(), prompt);
        spec.task.fork_of = fork_of.map(str::to_owned);
        spec.task.permissions = asking(&["WebFetch", "Bash"], Span::from_secs(50));
        spec
    };
    let planner = spec("Make a plan.", None);
    let planned = stage.run(&planner).await;
    assert_eq!(planned.report.stop, None, "{planned:?}");
    let forked = stage
        .run(&spec("Do it.", Some(&planner.task.session)))
        .await;
    assert_eq!(forked.report.stop, None, "{forked:?}");
    let turns = stage.server.turns();
    let [first, .., last] = turns.as_slice() else {
        panic!("{} requests were sent", turns.len())
    };
    assert_eq!(first.json()["tools"], last.json()["tools"]);
    let (all, of_fork) = (first.context(), last.context());
    let shared = common_prefix(&all, &of_fork);
    assert!(shared * 100 >= all.len() * 95, "{shared} of {}", all.len());
}
