//! Agents that go wrong: every session ends, in its class.

#![allow(clippy::panic, reason = "a helper of tests is a test")]

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use claudecluster_protocol::{
    Span,
    StopReason::{self, *},
    event::AgentEvent,
    plan::AgentName,
    worker::OPEN_QUESTIONS,
};
use claudecluster_worker::agent::{
    AgentLimits, AgentReport, SessionChannels, SessionClocks, registry,
};
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

use crate::support::session::{Bare, PATIENCE, Run, Stage, asking};

/// Which deadline is short enough to be reached.
#[derive(Clone, Copy)]
enum Short {
    None,
    Start,
    Silence,
    Timeout,
    Exit,
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/agent/faulty-agent.sh")
}

async fn play(agent: AgentName, fault: &str, short: Short) -> Run {
    let stage = Stage::new("rules: []");
    let mut spec = stage.spec(agent, &program(), &"long ".repeat(100_000));
    spec.place.env.push(("FAULT".into(), fault.into()));
    let (long, brief) = (Span::from_secs(50), Span(700));
    let pick = |wanted: bool| if wanted { brief } else { long };
    spec.task.limits = AgentLimits {
        start: pick(matches!(short, Short::Start)),
        silence: pick(matches!(short, Short::Silence)),
        timeout: pick(matches!(short, Short::Timeout)),
        // Ending what does not end by itself takes two of these at most.
        exit: pick(!matches!(short, Short::None)),
        ..spec.task.limits
    };
    let run = tokio::time::timeout(PATIENCE, stage.run(&spec)).await;
    run.unwrap_or_else(|_| panic!("{fault} outlasted its deadlines"))
}

async fn check(fault: &str, short: Short, expected: Option<StopReason>, summary: &str) -> Run {
    let run = play(AgentName::ClaudeCode, fault, short).await;
    assert_eq!(run.report.stop, expected, "{fault}: {:?}", run.report);
    assert!(
        run.report.summary.contains(summary),
        "{fault}: {:?}",
        run.report
    );
    run
}

#[tokio::test]
async fn those_that_end_without_a_result() {
    check("exit-0", Short::None, Some(Crashed), "exit status: 0").await;
    check(
        "exit-1",
        Short::None,
        Some(Crashed),
        "exit status: 1): something is wrong",
    )
    .await;
    check("exit-127", Short::None, Some(SpawnFailed), "127").await;
    check("killed", Short::None, Some(Crashed), "signal: 9").await;
    check("segfault", Short::None, Some(Crashed), "signal: 11").await;
    check(
        "exit-after-init",
        Short::None,
        Some(Crashed),
        "without a result",
    )
    .await;
    check("cut", Short::None, Some(BrokenStream), "ended early").await;
    check("garbage", Short::None, Some(BrokenStream), "").await;
    check("odd-result", Short::None, Some(Crashed), "").await;
}

#[tokio::test]
async fn those_that_do_not_end() {
    check(
        "never-starts",
        Short::Start,
        Some(StartTimeout),
        "did not start within 700ms",
    )
    .await;
    check(
        "half-a-line-then-nothing",
        Short::Start,
        Some(StartTimeout),
        "",
    )
    .await;
    check(
        "silent",
        Short::Silence,
        Some(Silent),
        "produced no output for 700ms",
    )
    .await;
    check("ignores-term", Short::Silence, Some(Silent), "").await;
    check("closes-stdout", Short::Silence, Some(Silent), "").await;
    check(
        "endless",
        Short::Timeout,
        Some(Timeout),
        "took longer than 700ms",
    )
    .await;
    check("dribble", Short::Timeout, Some(Timeout), "").await;
}

#[tokio::test]
async fn a_giant_line_is_not_kept() {
    let run = check("giant-line", Short::Exit, Some(BrokenStream), "ended early").await;
    assert!(run.transcript.len() < 64 << 20);
}

#[tokio::test]
async fn those_that_are_only_odd() {
    let odd = [
        "giant-stderr",
        "garbage-then-fine",
        "invalid-utf8",
        "unknown",
        "two-results",
        "fails-after-result",
    ];
    for fault in odd {
        let run = check(fault, Short::None, None, "fine").await;
        // Its own name for the session is not taken: programs inside can write to its stream.
        let session = run.report.session.as_deref();
        assert!(
            session.is_some_and(|id| id != "theirs"),
            "{fault}: {session:?}"
        );
    }
    for fault in [
        "hang-after-result",
        "ignores-term-after-result",
        "leaves-somebody-behind",
    ] {
        check(fault, Short::Exit, None, "fine").await;
    }
}

#[tokio::test]
async fn every_request_is_answered() {
    check("asks-for-the-unknown", Short::None, None, "fine").await;
    let run = check(
        "asks-for-the-denied",
        Short::None,
        Some(PermissionDenied),
        "",
    )
    .await;
    let what = "WebFetch http://example.com".to_owned();
    assert!(
        run.events.contains(&AgentEvent::Denied { what }),
        "{:?}",
        run.events
    );
}

#[tokio::test]
async fn one_that_asks_without_end_is_ended() {
    check(
        "asks-without-end",
        Short::Exit,
        Some(BrokenStream),
        "ended early",
    )
    .await;
}

#[tokio::test]
async fn nobody_is_asked_more_than_they_can_answer() {
    let ask = async |fault: &str| {
        let stage = Stage::new("rules: []");
        let mut spec = stage.spec(AgentName::ClaudeCode, &program(), "hello");
        spec.place.env.push(("FAULT".into(), fault.into()));
        spec.task.permissions = asking(&["WebFetch"], Span::from_secs(60));
        let (asks, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let running = stage.run_asking(&spec, asks, CancellationToken::new());
        let run = tokio::time::timeout(PATIENCE, running).await.unwrap();
        assert_eq!(run.report.stop, None, "{fault}: {run:?}");
        let mut number = 0;
        while asked.recv().await.is_some() {
            number += 1;
        }
        number
    };
    assert_eq!(ask("asks-everybody-at-once").await, OPEN_QUESTIONS);
    assert_eq!(ask("asks-about-a-giant").await, 0);
}

#[tokio::test]
async fn numbers_without_measure_harm_nobody() {
    let run = check("numbers-without-measure", Short::None, None, "fine").await;
    let AgentReport {
        usage,
        inheritance,
        session,
        ..
    } = run.report;
    assert_eq!(usage.input_tokens, u64::MAX);
    assert_eq!(usage.output_tokens, 0);
    assert_eq!(inheritance.model, None);
    assert!(session.is_some_and(|id| !id.contains('/')));
}

#[tokio::test]
async fn the_providers_refusals() {
    check("unauthorized", Short::None, Some(Auth), "ANTHROPIC_API_KEY").await;
    let run = check("used-up", Short::None, Some(Overloaded), "limit reached").await;
    assert!(run.report.retry_after.is_some());
}

#[tokio::test]
async fn cancelling_needs_nobodys_consent() {
    for fault in ["ignores-term", "silent", "never-starts", "endless"] {
        let stage = Stage::new("rules: []");
        let mut spec = stage.spec(AgentName::ClaudeCode, &program(), "hello");
        spec.place.env.push(("FAULT".into(), fault.into()));
        spec.task.limits.exit = Span(700);
        let cancel = CancellationToken::new();
        cancel.cancel();
        let run = tokio::time::timeout(PATIENCE, stage.run_until(&spec, cancel))
            .await
            .unwrap();
        assert_eq!(run.report.stop, Some(Cancelled), "{fault}: {run:?}");
    }
}

/// A disk that is full.
struct Full;

impl AsyncWrite for Full {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn without_a_transcript_it_does_not_go_on() {
    let stage = Stage::new("rules: []");
    let mut spec = stage.spec(AgentName::ClaudeCode, &program(), "hello");
    spec.place.env.push(("FAULT".into(), "silent".into()));
    let (events, _watcher) = tokio::sync::mpsc::channel(9);
    let launch = Bare(stage.root());
    let channels = SessionChannels {
        events,
        questions: None,
        cancel: CancellationToken::new(),
        clocks: SessionClocks::default(),
    };
    let report = registry().run(&spec, &launch, &mut Full, &channels).await;
    assert_eq!(report.stop, Some(Resources), "{report:?}");
}

#[tokio::test]
async fn a_program_that_is_not_there() {
    let stage = Stage::new("rules: []");
    for agent in [AgentName::ClaudeCode, AgentName::Native] {
        let spec = stage.spec(agent, &PathBuf::from("/no/such/program"), "hello");
        let run = stage.run(&spec).await;
        assert_eq!(run.report.stop, Some(SpawnFailed), "{run:?}");
    }
}

#[tokio::test]
async fn the_built_in_agents_half_is_as_careful() {
    let cases = [
        ("exit-1", Short::None, Some(Crashed)),
        ("garbage", Short::None, Some(BrokenStream)),
        ("cut", Short::None, Some(BrokenStream)),
        ("never-starts", Short::Start, Some(StartTimeout)),
        ("native-silent", Short::Silence, Some(Silent)),
        ("native-two-reports", Short::None, None),
    ];
    for (fault, short, expected) in cases {
        let run = play(AgentName::Native, fault, short).await;
        assert_eq!(run.report.stop, expected, "{fault}: {run:?}");
    }
}
