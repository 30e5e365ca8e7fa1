//! Workers that die, hang or talk nonsense, and questions on their way through a pipe.

use claudecluster_protocol::{
    StopReason,
    permission::{PermissionDecision, PermissionKind},
    worker::{LINE_BYTES, MessageFromWorker, MessageToWorker, QuestionReply},
};
use claudecluster_worker::link::{LinkEnd, LinkError, LinkTasks, WireMessage, over_lines};

use super::*;
use crate::support::{processes, until};

/// An executor whose worker is a shell script.
fn scripted(fixture: &Fixture, script: &str) -> PipeExecutor {
    let mut executor = pipe(fixture, "scripted");
    executor.program = "sh".into();
    executor.args = vec!["-c".into(), script.into()];
    executor.limits = DriveLimits {
        start: Duration::from_secs(5),
        silence: Some(Duration::from_secs(1)),
        ..executor.limits
    };
    executor
}

const HELLO: &str = r#"echo '{"type":"hello","version":1,"program":"sh","agents":[]}'"#;
const ACCEPTED: &str = r#"read -r start; echo '{"type":"accepted","epoch":1}'"#;

async fn check(script: &str, stop: StopReason, words: &str) {
    let fixture = Fixture::new(&[]);
    let executor = scripted(&fixture, script);
    let (report, _) = run(&executor, job(&fixture, "true"), Contents::new(), false).await;
    assert_eq!(report.stop, Some(stop), "{script}: {}", report.summary);
    assert!(
        report.summary.contains(words),
        "{script}: {}",
        report.summary
    );
}

#[tokio::test]
async fn a_worker_that_goes_wrong_ends_the_attempt_in_its_class() {
    let accepted = format!("read -r hello; {HELLO}; {ACCEPTED}");
    check(
        "echo no room >&2; exit 1",
        StopReason::SpawnFailed,
        "no room",
    )
    .await;
    check("exec sleep 1000", StopReason::StartTimeout, "did not start").await;
    check(
        "echo Segmentation violation",
        StopReason::BrokenStream,
        "not a message",
    )
    .await;
    check(
        &format!("{accepted}; exit 0"),
        StopReason::Crashed,
        "before its report",
    )
    .await;
    check(
        &format!("{accepted}; kill -9 $$"),
        StopReason::Crashed,
        "before its report",
    )
    .await;
    check(
        &format!("{accepted}; exec sleep 1000"),
        StopReason::Silent,
        "said nothing",
    )
    .await;
    check(
        &format!("{accepted}; echo; sleep 9"),
        StopReason::BrokenStream,
        "not a message",
    )
    .await;
    let cut = format!(r#"{accepted}; printf '{{"type":"alive"'"#);
    check(&cut, StopReason::BrokenStream, "breaks off").await;
    let long = format!(
        "{accepted}; head -c {} /dev/zero | tr '\\0' x; sleep 9",
        LINE_BYTES + 1
    );
    check(&long, StopReason::BrokenStream, "more than").await;
    let fixture = Fixture::new(&[]);
    let mut missing = pipe(&fixture, "missing");
    missing.program = "/no/such/worker".into();
    let (report, _) = run(&missing, job(&fixture, "true"), Contents::new(), false).await;
    assert_eq!(report.stop, Some(StopReason::SpawnFailed));
    assert!(
        report.summary.contains("/no/such/worker"),
        "{}",
        report.summary
    );
}

/// A job that says that it is up and then waits under a name of its own.
fn waiting(fixture: &Fixture, mark: &str) -> WorkerJob {
    let mut job = job(fixture, "");
    let script = format!("echo new > a; echo up; exec -a {mark} sleep 1000");
    let run = Command::Argv(vec!["bash".into(), "-c".into(), script]);
    job.session.as_mut().unwrap().run = Some(run);
    job
}

async fn is_up(ends: &mut Ends) {
    loop {
        let event = ends.events.recv().await.unwrap();
        if matches!(&event, AgentEvent::Output { text } if text.contains("up")) {
            return;
        }
    }
}

#[tokio::test]
async fn a_cancelled_job_reports_what_it_changed() {
    let fixture = Fixture::new(&[("a", "old\n")]);
    let mark = format!("claudecluster-cancelled-{}", std::process::id());
    for executor in [&local(&fixture, "l") as &dyn Executor, &pipe(&fixture, "p")] {
        let (ports, mut ends) = ports(Contents::new(), 64);
        let cancelling = async {
            is_up(&mut ends).await;
            ends.cancel.cancel();
        };
        let running = executor.run_job(waiting(&fixture, &mark), ports);
        let (finished, ()) = tokio::join!(running, cancelling);
        assert_eq!(finished.report.stop, Some(StopReason::Cancelled));
        assert_eq!(finished.report.changes.len(), 1);
        finished.release(false).await;
        assert!(!processes().iter().any(|line| line.contains(&mark)));
    }
}

/// The process id of the worker on a state folder.
fn worker_of(state: &str) -> String {
    let wanted = format!("worker --state {state} ");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = entries.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&wanted)
            .then(|| entry.file_name().into_string().unwrap())
    });
    pids.next().unwrap()
}

#[tokio::test]
async fn a_killed_worker_takes_its_programs_along() {
    let fixture = Fixture::new(&[("a", "old\n")]);
    let mark = format!("claudecluster-killed-{}", std::process::id());
    let executor = pipe(&fixture, "p");
    let state = fixture.state.join("p").display().to_string();
    let (ports, mut ends) = ports(Contents::new(), 64);
    let killing = async {
        is_up(&mut ends).await;
        let pid = worker_of(&state);
        let killed = std::process::Command::new("kill")
            .args(["-KILL", &pid])
            .status();
        assert!(killed.unwrap().success());
    };
    let running = executor.run_job(waiting(&fixture, &mark), ports);
    let (finished, ()) = tokio::join!(running, killing);
    assert_eq!(finished.report.stop, Some(StopReason::Crashed));
    until(Duration::from_secs(10), || {
        !processes().iter().any(|line| line.contains(&mark))
    });
    // The next job of the same attempt finds nothing of it.
    let again = job(&fixture, "cat a | tail -1");
    let (report, _) = run(&executor, again, Contents::new(), false).await;
    assert_eq!((report.stop, report.summary.as_str()), (None, "old"));
}

#[tokio::test]
async fn questions_and_answers_pass_through() {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/agent/faulty-agent.sh");
    let fixture = Fixture::new(&[]);
    for (name, executor) in with_claude(&fixture, &agent) {
        let answers = [
            Some(PermissionDecision::Allow),
            Some(PermissionDecision::Deny),
            None,
        ];
        for (number, answer) in answers.into_iter().enumerate() {
            let (ports, mut ends) = ports(Contents::new(), 64);
            let mut asking = job(&fixture, "");
            asking.epoch = epoch(&format!("t{number}"), 1, 1);
            let session = asking.session.as_mut().unwrap();
            session.agent = AgentName::ClaudeCode;
            session.run = None;
            session.prompt = "hello".into();
            session.permissions.ask = vec!["WebFetch".into()];
            let fault = claudecluster_protocol::goal::EnvVar {
                name: "FAULT".into(),
                value: "asks".into(),
            };
            asking.session_env = JobEnv(vec![fault]);
            let answering = async {
                let ask = ends.asks.recv().await.unwrap();
                assert_eq!(ask.request.detail, "http://example.com/a");
                assert_eq!(ask.request.kind, Some(PermissionKind::Network));
                if let Some(decision) = answer {
                    let reason = None;
                    let _ = ask.reply.send(QuestionReply { decision, reason });
                }
            };
            let (finished, ()) = tokio::join!(executor.run_job(asking, ports), answering);
            let expected = match answer {
                Some(PermissionDecision::Allow) => "let",
                Some(PermissionDecision::Deny) => "The developer does not allow",
                None => "There is nobody to allow",
            };
            let report = &finished.report;
            assert_eq!(report.stop, None, "{name}: {}", report.summary);
            assert!(
                report.summary.contains(expected),
                "{name}: {}",
                report.summary
            );
            assert_eq!(finished.contents.len(), 1, "the transcript");
            finished.release(true).await;
        }
    }
}

/// Both ends of a link over a pipe in memory.
fn piped<Out: WireMessage, In: WireMessage>()
-> (LinkEnd<Out, In>, tokio::io::DuplexStream, LinkTasks) {
    let (ours, theirs) = tokio::io::duplex(1 << 10);
    let (reader, writer) = tokio::io::split(ours);
    let (link, tasks) = over_lines(reader, writer);
    (link, theirs, tasks)
}

#[tokio::test]
async fn a_link_does_not_read_ahead_without_bound() {
    let (mut link, mut theirs, _tasks) = piped::<MessageToWorker, MessageFromWorker>();
    let mut sent = 0;
    let line = b"{\"type\":\"alive\"}\n".repeat(64);
    // Nobody takes the messages, so at some point nothing more goes in.
    let flooding = async {
        loop {
            tokio::io::AsyncWriteExt::write_all(&mut theirs, &line)
                .await
                .unwrap();
            sent += line.len();
        }
    };
    let flooded = tokio::time::timeout(Duration::from_millis(300), flooding).await;
    assert!(flooded.is_err());
    assert!(sent < 256 << 10, "{sent} bytes were taken");
    let first = link.receiver.recv().await.unwrap().unwrap();
    assert_eq!(first, MessageFromWorker::Alive);
}

#[tokio::test]
async fn a_report_that_is_too_long_says_so() {
    let (link, theirs, _tasks) = piped::<MessageFromWorker, MessageToWorker>();
    let report = Box::new(JobReport {
        summary: "x".repeat(LINE_BYTES),
        ..JobReport::default()
    });
    let epoch = EpochNumber(1);
    let (reader, writer) = tokio::io::split(theirs);
    let (mut other, _others) = over_lines::<MessageToWorker, MessageFromWorker>(reader, writer);
    link.sender
        .send(Ok(MessageFromWorker::Report { epoch, report }))
        .await
        .unwrap();
    let came = other.receiver.recv().await.unwrap();
    let Ok(MessageFromWorker::Report { report, .. }) = came else {
        panic!("{came:?}");
    };
    assert_eq!(report.stop, Some(StopReason::ChangesRefused));
    assert!(report.summary.contains("longer than"), "{}", report.summary);
    drop(link);
    assert!(!matches!(
        other.receiver.recv().await,
        Some(Err(LinkError::TooLong))
    ));
}
