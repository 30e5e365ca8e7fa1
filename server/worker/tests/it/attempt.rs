//! Whole attempts with the `command` agent: every one ends, classified, with what it changed.

#![allow(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, helpers included"
)]

use std::time::Duration;

use claudecluster_protocol::{
    Span, StopReason,
    event::AgentEvent,
    plan::{AgentName, Command},
};
use claudecluster_worker::{
    agent::{
        AgentLimits, AgentPlace, AgentSpec, AgentTask, SessionChannels, SessionClocks,
        ToolPermissions,
    },
    attempt::{self, AttemptReport, AttemptSpec},
    changes::{ChangeLimits, TrackedFiles},
    sandbox::SandboxChoice,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{self, Fixture};

fn spec(fixture: &Fixture, script: &str) -> AttemptSpec {
    AttemptSpec {
        sandbox: fixture.spec("layer", SandboxChoice::Auto),
        agent: AgentSpec {
            task: AgentTask {
                agent: AgentName::Command,
                prompt: String::new(),
                system: None,
                schema: None,
                model: None,
                session: String::new(),
                fork_of: None,
                unforked_prompt: None,
                run: Some(Command::Shell(script.into())),
                limits: AgentLimits {
                    timeout: Span::from_secs(60),
                    exit: Span(200),
                    ..AgentLimits::default()
                },
                permissions: ToolPermissions::default(),
            },
            place: AgentPlace::default(),
        },
        gates: Vec::new(),
        gate_env: Vec::new(),
        gate_timeout: Span::from_secs(60),
        view_timeout: Span::from_secs(300),
        network_wait: Duration::ZERO,
        tracked: TrackedFiles::default(),
        limits: ChangeLimits::default(),
        transcript: fixture.state.join("logs/transcript"),
    }
}

fn channels(events: mpsc::Sender<AgentEvent>, cancel: CancellationToken) -> SessionChannels {
    SessionChannels {
        events,
        questions: None,
        cancel,
        clocks: SessionClocks::default(),
    }
}

struct Run {
    report: AttemptReport,
    events: Vec<AgentEvent>,
    transcript: String,
}

impl Run {
    async fn of(spec: AttemptSpec) -> Self {
        let (sender, mut receiver) = mpsc::channel(1024);
        let report = attempt::run(spec, channels(sender, CancellationToken::new())).await;
        let mut events = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            events.push(event);
        }
        let transcript = std::fs::read(&report.transcript).unwrap_or_default();
        let transcript = String::from_utf8_lossy(&transcript).into_owned();
        Self {
            report,
            events,
            transcript,
        }
    }

    fn paths(&self) -> Vec<String> {
        self.report
            .changes
            .changes
            .iter()
            .map(|change| change.path.to_string())
            .collect()
    }
}

async fn check(script: &str, stop: Option<StopReason>, summary: &str, paths: &[&str]) -> Run {
    let fixture = Fixture::new(&[("a", "old\n"), ("b", "old\n")]);
    let run = Run::of(spec(&fixture, script)).await;
    assert_eq!(run.report.stop, stop, "{script}: {:?}", run.report.summary);
    assert!(
        run.report.summary.contains(summary),
        "{script}: {:?}",
        run.report.summary
    );
    assert_eq!(run.paths(), paths, "{script}");
    assert!(run.report.sandbox.is_some());
    run
}

#[tokio::test]
async fn every_end_has_its_class_and_keeps_its_changes() {
    let run = check("echo new > a; echo one; echo two >&2", None, "", &["a"]).await;
    assert!(run.transcript.contains("one\n") && run.transcript.contains("two\n"));
    check(
        "rm b; echo because; exit 3",
        Some(StopReason::ExitStatus),
        "because",
        &["b"],
    )
    .await;
    check(
        "echo new > a; kill -9 $$",
        Some(StopReason::ExitStatus),
        "signal: 9",
        &["a"],
    )
    .await;
    check(
        "no-such-program",
        Some(StopReason::ExitStatus),
        "not found",
        &[],
    )
    .await;
    check(
        "ln -s /etc c; echo new > a",
        Some(StopReason::ChangesRefused),
        "points out",
        &["a"],
    )
    .await;
    // What is left running in the background does not hold an attempt up.
    check("setsid sleep 1000 & echo new > a", None, "", &["a"]).await;
}

#[tokio::test]
async fn a_program_that_does_not_end_is_ended() {
    let fixture = Fixture::new(&[("a", "old\n")]);
    let mut spec = spec(
        &fixture,
        "trap '' TERM; echo new > a; while :; do sleep 1000; done",
    );
    // Long enough to begin, however busy the machine is.
    spec.agent.task.limits.timeout = Span::from_secs(3);
    let run = Run::of(spec).await;
    assert_eq!(run.report.stop, Some(StopReason::Timeout));
    assert_eq!(run.paths(), ["a"]);
}

#[tokio::test]
async fn cancelling_ends_the_whole_tree() {
    let fixture = Fixture::new(&[("a", "old\n")]);
    let mark = format!("claudecluster-cancel-{}", std::process::id());
    let script = format!("setsid sh -c 'echo up; exec -a {mark} sleep 1000' & sleep 1000");
    let mut spec = spec(&fixture, &script);
    spec.agent.task.run = Some(Command::Argv(vec![
        "bash".into(),
        "-c".into(),
        script.replace("sh -c", "bash -c"),
    ]));
    let (sender, mut receiver) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let attempt = tokio::spawn(attempt::run(spec, channels(sender, cancel.clone())));
    while let Some(event) = receiver.recv().await {
        if matches!(&event, AgentEvent::Output { text } if text.contains("up")) {
            break;
        }
    }
    cancel.cancel();
    let report = attempt.await.unwrap();
    assert_eq!(report.stop, Some(StopReason::Cancelled));
    assert!(!support::processes().iter().any(|line| line.contains(&mark)));
}

#[tokio::test]
async fn a_flood_is_bounded() {
    let fixture = Fixture::new(&[]);
    // One line of 300 MB that is not text either.
    let script = "head -c 300000000 /dev/zero | tr '\\0' '\\377'; echo; echo end";
    let run = Run::of(spec(&fixture, script)).await;
    assert_eq!(run.report.stop, None, "{}", run.report.summary);
    assert_eq!(run.report.summary, "end");
    assert!(run.transcript.len() < 64 << 20);
    let told: usize = run
        .events
        .iter()
        .map(|event| match event {
            AgentEvent::Output { text } => text.len(),
            _ => 0,
        })
        .sum();
    assert!(told < 8 << 20, "{told}");
}

#[tokio::test]
async fn gates_run_in_the_view_and_decide() {
    let fixture = Fixture::new(&[("a", "old\n")]);
    let mut spec = spec(&fixture, "echo new > a");
    let long = "for i in $(seq 30000); do echo line $i; done; echo $WHO; false";
    spec.gates = vec![
        Command::Shell("grep new a".into()),
        Command::Shell(long.into()),
        Command::Shell("sleep 1000".into()),
        Command::Argv(vec!["no-such-program".into()]),
    ];
    spec.gate_env = vec![("WHO".into(), "me".into())];
    spec.gate_timeout = Span::from_secs(5);
    let run = Run::of(spec).await;
    assert_eq!(run.report.stop, Some(StopReason::GateFailed));
    assert!(
        run.report.summary.contains("exited with 1"),
        "{}",
        run.report.summary
    );
    let passed: Vec<_> = run
        .report
        .gates
        .iter()
        .map(|gate| (gate.passed, gate.status))
        .collect();
    assert_eq!(
        passed,
        [
            (true, Some(0)),
            (false, Some(1)),
            (false, None),
            (false, Some(127))
        ]
    );
    assert!(run.report.gates[1].output.ends_with("line 30000\nme\n"));
    assert!(run.report.gates[1].output.len() <= 64 << 10);
    assert!(run.report.gates[2].output.contains("took longer"));
    assert_eq!(run.paths(), ["a"]);
}

#[tokio::test]
async fn what_cannot_start_is_classified() {
    let fixture = Fixture::new(&[("a", "")]);
    let mut overlap = spec(&fixture, "true");
    overlap.sandbox.layer = fixture.workspace.join("layer");
    let report = Run::of(overlap).await.report;
    assert_eq!(report.stop, Some(StopReason::Resources));
    assert!(
        report.summary.contains("CLAUDECLUSTER_HOME"),
        "{}",
        report.summary
    );
    let mut missing = spec(&fixture, "true");
    missing.sandbox.launcher = "/no/such/launcher".into();
    let report = Run::of(missing).await.report;
    assert_eq!(report.stop, Some(StopReason::Resources));
    assert!(
        report.summary.contains("/no/such/launcher"),
        "{}",
        report.summary
    );
    let mut nothing = spec(&fixture, "");
    nothing.sandbox.layer = fixture.state.join("other");
    assert_eq!(
        Run::of(nothing).await.report.stop,
        Some(StopReason::Refused)
    );
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let report = attempt::run(
        spec(&fixture, "true"),
        channels(mpsc::channel(1).0, cancelled),
    )
    .await;
    assert_eq!(report.stop, Some(StopReason::Cancelled));
}

#[tokio::test]
async fn a_dropped_attempt_leaves_nothing_running() {
    let fixture = Fixture::new(&[]);
    let mark = format!("claudecluster-drop-{}", std::process::id());
    let mut spec = spec(&fixture, "");
    let script = format!("echo up; exec -a {mark} sleep 1000");
    spec.agent.task.run = Some(Command::Argv(vec!["bash".into(), "-c".into(), script]));
    let (sender, mut receiver) = mpsc::channel(64);
    let attempt = tokio::spawn(attempt::run(
        spec,
        channels(sender, CancellationToken::new()),
    ));
    while let Some(event) = receiver.recv().await {
        if matches!(&event, AgentEvent::Output { text } if text.contains("up")) {
            break;
        }
    }
    attempt.abort();
    assert!(attempt.await.is_err());
    support::until(Duration::from_secs(10), || {
        !support::processes().iter().any(|line| line.contains(&mark))
    });
}
