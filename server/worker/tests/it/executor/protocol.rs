//! The order of messages, epochs, credit, and what is nonsense: with one side of a link played by hand.

use std::os::unix::fs::PermissionsExt as _;

use claudecluster_protocol::{
    ErrorBody, RelPath, StopReason,
    change::FileVersion,
    worker::{
        ContentPart, EVENT_WINDOW, MessageFromWorker, MessageToWorker, ReportedChange, ToolRequest,
        WORKER_PROTOCOL,
    },
};
use claudecluster_worker::{
    executor::{EpochNumbers, JobFailure, drive_job},
    link::{DaemonLinkEnd, LinkError, WorkerLinkEnd, in_process},
    serve::serve,
};

use super::*;

const OURS: EpochNumber = EpochNumber(7);
const EARLIER: EpochNumber = EpochNumber(6);

/// The job that the daemon's side drives in these tests.
fn numbered(fixture: &Fixture) -> WorkerJob {
    let mut job = job(fixture, "true");
    job.epoch.number = OURS;
    job
}

fn hello() -> MessageFromWorker {
    MessageFromWorker::Hello {
        version: WORKER_PROTOCOL,
        program: "test".into(),
        agents: Vec::new(),
    }
}

fn report(epoch: EpochNumber, report: JobReport) -> MessageFromWorker {
    let report = Box::new(report);
    MessageFromWorker::Report { epoch, report }
}

fn said(epoch: EpochNumber, text: &str) -> MessageFromWorker {
    let event = AgentEvent::Text { text: text.into() };
    MessageFromWorker::Event { epoch, event }
}

/// A worker played by hand, as far as the start of a job.
async fn begin(link: &mut WorkerLinkEnd) {
    let first = link.receiver.recv().await.unwrap().unwrap();
    assert!(matches!(first, MessageToWorker::Hello { .. }), "{first:?}");
    link.sender.send(Ok(hello())).await.unwrap();
    let start = link.receiver.recv().await.unwrap().unwrap();
    assert!(matches!(start, MessageToWorker::Start { .. }), "{start:?}");
    let accepted = MessageFromWorker::Accepted { epoch: OURS };
    link.sender.send(Ok(accepted)).await.unwrap();
}

/// Drives a job against messages that come whatever the daemon says.
async fn against(
    messages: Vec<MessageFromWorker>,
    watchers: usize,
) -> (Result<JobReport, JobFailure>, Vec<AgentEvent>) {
    let fixture = Fixture::new(&[]);
    let (mut daemon, mut worker) = in_process();
    let (ports, mut ends) = ports(Contents::new(), watchers);
    let playing = async {
        begin(&mut worker).await;
        for message in messages {
            // The daemon may have had enough.
            let _ = worker.sender.send(Ok(message)).await;
        }
        worker
    };
    let limits = DriveLimits {
        silence: Some(Duration::from_secs(1)),
        ..DriveLimits::default()
    };
    let driving = drive_job(&mut daemon, numbered(&fixture), ports, &limits);
    let (driven, _worker) = tokio::join!(driving, playing);
    let mut events = Vec::new();
    while let Ok(event) = ends.events.try_recv() {
        events.push(event);
    }
    (driven.map(|(report, _)| report), events)
}

async fn check(messages: Vec<MessageFromWorker>, stop: StopReason, words: &str) {
    let failure = against(messages, 1).await.0.unwrap_err();
    assert_eq!(failure.stop, stop, "{failure:?}");
    assert!(failure.words.contains(words), "{failure:?}");
}

#[tokio::test]
async fn what_belongs_to_another_epoch_is_dropped() {
    let late = JobReport::failed_with(StopReason::Refused, "late");
    let own = JobReport {
        summary: "own".into(),
        ..JobReport::default()
    };
    let refused = MessageFromWorker::Refused {
        epoch: Some(EARLIER),
        error: ErrorBody::internal("late"),
    };
    let messages = vec![
        said(EARLIER, "late"),
        report(EARLIER, late),
        refused,
        said(OURS, "own"),
        report(OURS, own.clone()),
    ];
    let (driven, events) = against(messages, 16).await;
    assert_eq!(driven, Ok(own));
    let text = "own".to_owned();
    assert_eq!(events, [AgentEvent::Text { text }]);
    let numbers = EpochNumbers::default();
    assert!(numbers.next() < numbers.next());
}

#[tokio::test]
async fn a_worker_drops_what_belongs_to_another_epoch() {
    let fixture = Fixture::new(&[]);
    let (mut daemon, worker) = in_process();
    let serving = tokio::spawn(serve(worker, Arc::new(place(&fixture, "w"))));
    start(&mut daemon, numbered(&fixture)).await;
    let cancel = MessageToWorker::Cancel { epoch: EARLIER };
    daemon.sender.send(Ok(cancel)).await.unwrap();
    let report = next_report(&mut daemon).await;
    assert_eq!(report.stop, None, "{}", report.summary);
    drop(daemon);
    serving.await.unwrap().unwrap();
}

/// A daemon played by hand, as far as the start of a job.
async fn start(link: &mut DaemonLinkEnd, job: WorkerJob) {
    let hello = MessageToWorker::Hello {
        version: WORKER_PROTOCOL,
        heartbeat: Span(100),
    };
    let job = Box::new(job);
    for message in [hello, MessageToWorker::Start { job, credit: 0 }] {
        link.sender.send(Ok(message)).await.unwrap();
    }
}

async fn next_report(link: &mut DaemonLinkEnd) -> JobReport {
    loop {
        match link.receiver.recv().await.unwrap().unwrap() {
            MessageFromWorker::Report { report, .. } => return *report,
            MessageFromWorker::Event { .. } => panic!("there is no credit for events"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn without_credit_events_wait_and_the_report_does_not() {
    let fixture = Fixture::new(&[]);
    let (mut daemon, worker) = in_process();
    let serving = tokio::spawn(serve(worker, Arc::new(place(&fixture, "w"))));
    let mut loud = numbered(&fixture);
    loud.gates = vec![Command::Argv(vec!["true".into()]); 3];
    start(&mut daemon, loud).await;
    let report = next_report(&mut daemon).await;
    assert_eq!(report.gates.len(), 3);
    drop(daemon);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_slow_watcher_holds_up_nobody() {
    let fixture = Fixture::new(&[]);
    let agent = fixture.workspace.join("talkative");
    let talkative = r#"#!/bin/sh
        case "$1" in --help) exit 0 ;; esac
        echo '{"type":"system","subtype":"init","session_id":"theirs","model":"m"}'
        yes '{"type":"assistant","message":{"content":[{"type":"text","text":"word"}]}}' | head -n 5000
        echo '{"type":"result","subtype":"success","is_error":false,"result":"fine"}'"#;
    std::fs::write(&agent, talkative).unwrap();
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, executor) in with_claude(&fixture, &agent) {
        let (ports, mut ends) = ports(Contents::new(), 1);
        let mut loud = job(&fixture, "");
        let session = loud.session.as_mut().unwrap();
        session.agent = AgentName::ClaudeCode;
        session.run = None;
        let finished = executor.run_job(loud, ports).await;
        let report = &finished.report;
        assert_eq!(
            (report.stop, report.summary.as_str()),
            (None, "fine"),
            "{name}"
        );
        finished.release(false).await;
        let mut told = 0;
        while ends.events.recv().await.is_some() {
            told += 1;
        }
        assert_eq!(told, 1, "{name}");
    }
}

#[tokio::test]
async fn nonsense_ends_a_job() {
    let broken = StopReason::BrokenStream;
    // One is taken, and credit goes back in larger steps.
    let many = (0..=EVENT_WINDOW).map(|_| said(OURS, "more"));
    check(many.collect(), broken, "more events than it may").await;
    check(vec![hello()], broken, "hello twice").await;
    let accepted = MessageFromWorker::Accepted { epoch: OURS };
    check(vec![accepted], broken, "accepted a job twice").await;
    let released = MessageFromWorker::Released { epoch: OURS };
    check(vec![released], broken, "not told to release").await;
    let id = BlobId::of_bytes(b"x");
    let part = ContentPart::from_content(id.clone(), Some(Bytes::from_static(b"x")));
    check(
        vec![MessageFromWorker::Content(part)],
        broken,
        "not asked for",
    )
    .await;
    let question = || MessageFromWorker::Question {
        epoch: OURS,
        question: 1,
        request: ToolRequest {
            tool: "t".into(),
            detail: String::new(),
            kind: None,
            input: String::new(),
        },
    };
    check(vec![question(), question()], broken, "one number").await;
    let changed = |path: &str| {
        let version = FileVersion {
            blob: id.clone(),
            mode: Default::default(),
        };
        let mut changed = JobReport {
            changes: vec![ReportedChange {
                path: RelPath::new(path).unwrap(),
                from: None,
                version: Some(version),
            }],
            ..JobReport::default()
        };
        changed.layer = Some(changed.layer_manifest().layer_id());
        report(OURS, changed)
    };
    check(vec![changed(".git/config")], broken, "belongs to git").await;
    // A content that is not what it is called, and one that does not come.
    let wrong = ContentPart::from_content(id.clone(), Some(Bytes::from_static(b"y")));
    let wrong = MessageFromWorker::Content(wrong);
    check(vec![changed("a"), wrong], broken, "not what its name says").await;
    let none = MessageFromWorker::Content(ContentPart::from_content(id.clone(), None));
    check(vec![changed("a"), none], broken, "has not got").await;
    let large = vec![0; ChangeLimits::default().file_bytes as usize + 1];
    let large = ContentPart::from_content(id.clone(), Some(large.into()));
    let large = MessageFromWorker::Content(large);
    check(vec![changed("a"), large], broken, "too large").await;
    let refused = MessageFromWorker::Refused {
        epoch: Some(OURS),
        error: ErrorBody::internal("no room"),
    };
    check(vec![refused], StopReason::SpawnFailed, "no room").await;
    check(Vec::new(), StopReason::Silent, "said nothing").await;
}

#[tokio::test]
async fn a_worker_gets_only_what_its_job_names() {
    let fixture = Fixture::new(&[]);
    let (mut daemon, mut worker) = in_process();
    let secret = Bytes::from_static(b"of another goal");
    let id = BlobId::of_bytes(&secret);
    let (ports, _ends) = ports(Contents::from([(id.clone(), secret)]), 16);
    let playing = async {
        begin(&mut worker).await;
        let fetch = MessageFromWorker::Fetch { id };
        worker.sender.send(Ok(fetch)).await.unwrap();
        let answer = worker.receiver.recv().await.unwrap().unwrap();
        let done = report(OURS, JobReport::default());
        worker.sender.send(Ok(done)).await.unwrap();
        answer
    };
    let limits = DriveLimits::default();
    let driving = drive_job(&mut daemon, numbered(&fixture), ports, &limits);
    let (driven, answer) = tokio::join!(driving, playing);
    driven.unwrap();
    let MessageToWorker::Content(part) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(part.data, None);
}

#[tokio::test]
async fn both_sides_have_one_version() {
    let fixture = Fixture::new(&[]);
    // A worker of another version.
    let (mut daemon, worker) = in_process();
    let (ports, _ends) = ports(Contents::new(), 16);
    let playing = async {
        let mut other = hello();
        if let MessageFromWorker::Hello { version, .. } = &mut other {
            *version += 1;
        }
        worker.sender.send(Ok(other)).await.unwrap();
    };
    let limits = DriveLimits::default();
    let driving = drive_job(&mut daemon, numbered(&fixture), ports, &limits);
    let failure = tokio::join!(driving, playing).0.unwrap_err();
    assert_eq!(failure.stop, StopReason::SpawnFailed);
    assert!(
        failure.words.contains("the same version of claudecluster"),
        "{failure:?}"
    );
    // A daemon of another version.
    let (mut daemon, worker) = in_process();
    let hello = MessageToWorker::Hello {
        version: WORKER_PROTOCOL + 1,
        heartbeat: Span(100),
    };
    daemon.sender.send(Ok(hello)).await.unwrap();
    serve(worker, Arc::new(place(&fixture, "w"))).await.unwrap();
    let answer = daemon.receiver.recv().await.unwrap().unwrap();
    let MessageFromWorker::Refused { epoch: None, error } = answer else {
        panic!("{answer:?}");
    };
    assert!(error.message.contains("version 2"), "{error}");
}

#[tokio::test]
async fn a_second_job_waits_for_the_first_ones_release() {
    let fixture = Fixture::new(&[]);
    let (mut daemon, worker) = in_process();
    let serving = tokio::spawn(serve(worker, Arc::new(place(&fixture, "w"))));
    start(&mut daemon, numbered(&fixture)).await;
    assert_eq!(next_report(&mut daemon).await.stop, None);
    let release = MessageToWorker::Release {
        epoch: OURS,
        keep_layer: false,
    };
    daemon.sender.send(Ok(release)).await.unwrap();
    let released = MessageFromWorker::Released { epoch: OURS };
    while daemon.receiver.recv().await.unwrap().unwrap() != released {}
    let mut second = job(&fixture, "sleep 1000");
    second.epoch = epoch("u", 1, 8);
    let job = Box::new(second.clone());
    daemon
        .sender
        .send(Ok(MessageToWorker::Start { job, credit: 0 }))
        .await
        .unwrap();
    let accepted = MessageFromWorker::Accepted {
        epoch: EpochNumber(8),
    };
    while daemon.receiver.recv().await.unwrap().unwrap() != accepted {}
    // Another one beside it is out of order, and the worker says so.
    let job = Box::new(second);
    daemon
        .sender
        .send(Ok(MessageToWorker::Start { job, credit: 0 }))
        .await
        .unwrap();
    let ended = serving.await.unwrap();
    assert!(matches!(ended, Err(LinkError::OutOfOrder(_))), "{ended:?}");
    let mut last = None;
    while let Some(message) = daemon.receiver.recv().await {
        last = Some(message.unwrap());
    }
    assert!(
        matches!(last, Some(MessageFromWorker::Refused { .. })),
        "{last:?}"
    );
}
