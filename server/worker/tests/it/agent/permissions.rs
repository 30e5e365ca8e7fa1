//! Permission requests: what is asked, what the answers come to, and that waiting for a person is no
//! reason to end a session.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests is a test"
)]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use claudecluster_protocol::{
    Span, StopReason,
    event::AgentEvent,
    permission::{PermissionDecision, PermissionKind},
    plan::AgentName,
};
use claudecluster_worker::agent::{AgentSpec, PermissionQuestion, ToolPermissions, ToolRequest};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::support::session::{Run, Stage, asking, say};

fn faulty() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/agent/faulty-agent.sh")
}

fn spec(stage: &Stage, fault: &str, permissions: ToolPermissions) -> AgentSpec {
    let mut spec = stage.spec(AgentName::ClaudeCode, &faulty(), "hello");
    spec.place.env.push(("FAULT".into(), fault.into()));
    spec.task.permissions = permissions;
    spec
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

/// A program of a session waits for an answer about a host: no clock of the session runs meanwhile, and all run
/// afterwards. Time is virtual; only the clocks of the session would make it pass by itself.
#[tokio::test(start_paused = true)]
async fn the_clocks_stand_while_a_program_waits_for_a_person() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    for (answered, expected) in [(true, None), (false, Some(StopReason::Silent))] {
        let stage = Stage::new("rules: []");
        let pipe = stage.folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let mut spec = spec(&stage, "waits-at-a-pipe", ToolPermissions::default());
        spec.place.env.push(("PIPE".into(), pipe.clone().into()));
        let stopped = stage.clocks.stop();
        let begun = Instant::now();
        let waiting = async {
            // Opens once the program reads.
            let open = move || std::fs::File::options().write(true).open(pipe);
            let mut pipe = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
            tokio::time::advance(DAY).await;
            if answered {
                std::io::Write::write_all(&mut pipe, b"x\n").unwrap();
                return (Some(stopped), pipe);
            }
            drop(stopped);
            (None, pipe)
        };
        let (run, _kept) = tokio::join!(stage.run(&spec), waiting);
        assert_eq!(run.report.stop, expected, "{run:?}");
        let limits = &spec.task.limits;
        let most = DAY + limits.silence.to_duration() + 3 * limits.exit.to_duration();
        assert!(
            (DAY..=most).contains(&begun.elapsed()),
            "{:?}",
            begun.elapsed()
        );
    }
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
