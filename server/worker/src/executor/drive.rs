//! The daemon's side of a link: one loop that runs one job.
//!
//! | state | ends with | deadline | then |
//! |---|---|---|---|
//! | opening | the worker's hello | `start` | `StartTimeout` |
//! | running | the report | all deadlines of the job, added up | `Timeout` |
//! | running, cancelled | the report | those of ending a session and reading its changes | `Cancelled` |
//! | fetching | the last content of the report | as for running | `Timeout` |
//! | any | any message | `silence` since the last one | `Silent` |
//!
//! The loop never waits for one side while the other one waits for it: what is to be sent waits in a queue,
//! which is bounded because the worker is not read while the queue is long.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use claudecluster_protocol::{
    BlobId, Span, StopReason,
    event::AgentEvent,
    worker::{
        ContentPart, EVENT_WINDOW, EpochNumber, JobReport, LayerManifest, MessageFromWorker,
        MessageToWorker, OPEN_QUESTIONS, QuestionReply, WORKER_PROTOCOL, WorkerJob,
    },
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};

use super::{JobPorts, check::check_report};
use crate::{
    agent::PermissionQuestion,
    attempt,
    link::{DaemonLinkEnd, LinkError},
};

/// Messages to the worker that wait before the worker is no longer read.
const QUEUE: usize = 64;
/// Contents of a report that are asked for at the same time.
const FETCHES: usize = 8;
/// Events taken before their credit is given back.
const CREDIT_STEP: u32 = EVENT_WINDOW / 4;
/// The largest transcript that is taken, in bytes.
const TRANSCRIPT: u64 = 4 << 30;
/// How long watchers may take for the last events of a job that has ended.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// Messages about other jobs that are logged.
const LATE_LOGGED: u32 = 8;

/// What the daemon allows a worker beside what a job says.
#[derive(Clone, Copy, Debug)]
pub struct DriveLimits {
    /// From the start of the worker to its hello.
    pub start: Duration,
    /// How often the worker gives a sign of life.
    pub heartbeat: Span,
    /// The longest silence; `None` where the end of the link is certain to be noticed.
    pub silence: Option<Duration>,
}

impl Default for DriveLimits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(30),
            heartbeat: Span::from_secs(10),
            silence: Some(Duration::from_secs(30)),
        }
    }
}

/// Why a job has no report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobFailure {
    /// The class.
    pub stop: StopReason,
    /// In words.
    pub words: String,
}

fn failure(stop: StopReason, words: impl Into<String>) -> JobFailure {
    JobFailure {
        stop,
        words: words.into(),
    }
}

fn nonsense(words: &str) -> JobFailure {
    failure(
        StopReason::BrokenStream,
        format!("the worker does not keep to the protocol: {words}"),
    )
}

/// Runs a job over a link, and gives its checked report with the contents that it names.
pub async fn drive_job(
    link: &mut DaemonLinkEnd,
    job: WorkerJob,
    ports: JobPorts,
    limits: &DriveLimits,
) -> Result<(JobReport, HashMap<BlobId, Bytes>), JobFailure> {
    let opening = exchange_hellos(link, limits);
    match timeout(limits.start, opening).await {
        Ok(opened) => opened?,
        Err(_) => {
            return Err(failure(
                StopReason::StartTimeout,
                format!("the worker did not start within {:?}", limits.start),
            ));
        }
    }
    let now = Instant::now();
    let mut drive = JobDrive {
        epoch: job.epoch.number,
        deadline: now + attempt::longest_job(&job),
        silence: limits.silence,
        heard: now,
        queue: VecDeque::new(),
        events: VecDeque::new(),
        credit: EVENT_WINDOW,
        taken: 0,
        questions: HashMap::new(),
        served: job
            .layers
            .iter()
            .map(|layer| layer.manifest.clone())
            .collect(),
        accepted: false,
        cancelled: false,
        late: 0,
        fetch: None,
        ports,
        job,
        link,
    };
    drive.queue.push_back(MessageToWorker::Start {
        job: Box::new(drive.job.clone()),
        credit: EVENT_WINDOW,
    });
    drive.served.extend(drive.job.base.clone());
    let (report, contents) = loop {
        drive.step().await?;
        if let Some(done) = drive.take_fetched() {
            break done;
        }
    };
    drive.offer_last_events().await;
    let contents = verify_contents(contents).await?;
    Ok((report, contents))
}

/// Sends the daemon's hello and checks the worker's.
async fn exchange_hellos(link: &mut DaemonLinkEnd, limits: &DriveLimits) -> Result<(), JobFailure> {
    let hello = MessageToWorker::Hello {
        version: WORKER_PROTOCOL,
        heartbeat: limits.heartbeat,
    };
    // Where it has ended already, what it said before says why.
    let _ = link.sender.send(Ok(hello)).await;
    match link.receiver.recv().await {
        Some(Ok(MessageFromWorker::Hello { version, .. })) if version == WORKER_PROTOCOL => Ok(()),
        Some(Ok(MessageFromWorker::Hello { version, .. })) => Err(failure(
            StopReason::SpawnFailed,
            format!(
                "the worker speaks version {version} of the worker protocol, this daemon version \
                 {WORKER_PROTOCOL}; use the same version of claudecluster on both sides"
            ),
        )),
        Some(Ok(MessageFromWorker::Refused { error, .. })) => {
            let hint = error.hint.map(|hint| format!("; {hint}"));
            let words = format!("{}{}", error.message, hint.unwrap_or_default());
            Err(failure(StopReason::SpawnFailed, words))
        }
        Some(Ok(_)) => Err(nonsense("its first message is no hello")),
        Some(Err(error)) => Err(nonsense(&error.to_string())),
        None => Err(failure(
            StopReason::SpawnFailed,
            "the worker ended before it said anything",
        )),
    }
}

/// A job under way.
struct JobDrive<'a> {
    link: &'a mut DaemonLinkEnd,
    job: WorkerJob,
    ports: JobPorts,
    epoch: EpochNumber,
    deadline: Instant,
    silence: Option<Duration>,
    /// When the last message came.
    heard: Instant,
    /// What is to be sent.
    queue: VecDeque<MessageToWorker>,
    /// What watchers have not taken yet.
    events: VecDeque<AgentEvent>,
    /// Events that the worker may still send.
    credit: u32,
    /// Events that watchers have taken since credit was last given back.
    taken: u32,
    questions: HashMap<u64, oneshot::Receiver<QuestionReply>>,
    /// The contents that the worker may have.
    served: HashSet<BlobId>,
    accepted: bool,
    cancelled: bool,
    /// Messages about other jobs.
    late: u32,
    /// The report, once there is one.
    fetch: Option<ReportFetch>,
}

/// What a turn of the loop is about.
enum DriveTurn {
    TooLate,
    Silent,
    Cancelled,
    Sent,
    Gone,
    Came(Option<Result<MessageFromWorker, LinkError>>),
    Told,
    Answered(u64, Option<QuestionReply>),
}

/// A report whose contents are being fetched.
struct ReportFetch {
    report: JobReport,
    wanted: VecDeque<BlobId>,
    parts: HashMap<BlobId, BytesMut>,
    contents: HashMap<BlobId, Bytes>,
    /// Bytes of changed files so far.
    bytes: u64,
}

impl JobDrive<'_> {
    /// Handles the next message, answer, event or deadline.
    async fn step(&mut self) -> Result<(), JobFailure> {
        let silent = self.silence.map(|silence| self.heard + silence);
        let turn = tokio::select! {
            () = sleep_until(self.deadline) => DriveTurn::TooLate,
            () = sleep_until(silent.unwrap_or(self.deadline)), if silent.is_some() => DriveTurn::Silent,
            () = self.ports.channels.cancel.cancelled(), if !self.cancelled => DriveTurn::Cancelled,
            permit = self.link.sender.reserve(), if !self.queue.is_empty() => match permit {
                Ok(permit) => {
                    if let Some(message) = self.queue.pop_front() {
                        permit.send(Ok(message));
                    }
                    DriveTurn::Sent
                }
                Err(_) => DriveTurn::Gone,
            },
            message = self.link.receiver.recv(), if self.queue.len() < QUEUE => DriveTurn::Came(message),
            permit = self.ports.channels.events.reserve(), if !self.events.is_empty() => {
                // Where nobody watches any more, events are taken all the same.
                if let (Some(event), Ok(permit)) = (self.events.pop_front(), permit) {
                    permit.send(event);
                }
                DriveTurn::Told
            }
            (question, reply) = next_reply(&mut self.questions), if !self.questions.is_empty() => {
                DriveTurn::Answered(question, reply)
            }
        };
        let epoch = self.epoch;
        match turn {
            DriveTurn::Sent => Ok(()),
            DriveTurn::TooLate => Err(self.too_late()),
            DriveTurn::Silent => Err(failure(
                StopReason::Silent,
                format!(
                    "the worker said nothing for {:?}",
                    self.silence.unwrap_or_default()
                ),
            )),
            DriveTurn::Cancelled => {
                self.cancelled = true;
                self.queue.push_back(MessageToWorker::Cancel { epoch });
                let end = Instant::now() + attempt::longest_end(&self.job);
                self.deadline = self.deadline.min(end);
                Ok(())
            }
            DriveTurn::Gone => Err(self.last_refusal().await),
            DriveTurn::Came(Some(Ok(message))) => {
                self.heard = Instant::now();
                self.take_message(message).await
            }
            DriveTurn::Came(Some(Err(error))) => Err(nonsense(&error.to_string())),
            DriveTurn::Came(None) => Err(worker_died()),
            DriveTurn::Told => {
                self.taken += 1;
                self.give_credit();
                Ok(())
            }
            DriveTurn::Answered(question, reply) => {
                let answer = MessageToWorker::Answer {
                    epoch,
                    question,
                    reply,
                };
                self.queue.push_back(answer);
                Ok(())
            }
        }
    }

    fn too_late(&self) -> JobFailure {
        if self.cancelled {
            return failure(
                StopReason::Cancelled,
                "the worker did not end the cancelled attempt in time",
            );
        }
        failure(
            StopReason::Timeout,
            "the worker outlasted every deadline of the attempt",
        )
    }

    /// Returns why the worker takes no more messages: its last message may say so.
    async fn last_refusal(&mut self) -> JobFailure {
        let last = async {
            while let Some(message) = self.link.receiver.recv().await {
                match message {
                    Ok(MessageFromWorker::Refused { error, .. }) => {
                        return failure(StopReason::SpawnFailed, error.message);
                    }
                    Ok(_) => {}
                    Err(error) => return nonsense(&error.to_string()),
                }
            }
            worker_died()
        };
        timeout(LAST_EVENTS, last)
            .await
            .unwrap_or_else(|_| worker_died())
    }

    fn give_credit(&mut self) {
        if self.taken >= CREDIT_STEP {
            let (epoch, events) = (self.epoch, std::mem::take(&mut self.taken));
            self.credit += events;
            self.queue
                .push_back(MessageToWorker::Credit { epoch, events });
        }
    }

    /// Handles a message from the worker.
    async fn take_message(&mut self, message: MessageFromWorker) -> Result<(), JobFailure> {
        let is_ours = |epoch: EpochNumber| epoch == self.epoch;
        let about = epoch_of(&message);
        if about.is_some_and(|epoch| !is_ours(epoch)) {
            self.late += 1;
            if self.late <= LATE_LOGGED {
                let (late, current) = (about.unwrap_or_default().0, self.epoch.0);
                tracing::warn!(late, current, "a message about another epoch is dropped");
            }
            return Ok(());
        }
        match message {
            MessageFromWorker::Alive => Ok(()),
            MessageFromWorker::Hello { .. } => Err(nonsense("it said hello twice")),
            MessageFromWorker::Refused { error, .. } => {
                Err(failure(StopReason::SpawnFailed, error.message))
            }
            MessageFromWorker::Accepted { .. } if !self.accepted => {
                self.accepted = true;
                Ok(())
            }
            _ if !self.accepted => Err(nonsense("it speaks of a job before it has accepted it")),
            MessageFromWorker::Accepted { .. } => Err(nonsense("it accepted a job twice")),
            MessageFromWorker::Content(part) => {
                let Some(fetch) = &mut self.fetch else {
                    return Err(nonsense("it sent a content that was not asked for"));
                };
                let taken = fetch.take_part(part, &self.job);
                taken.map_err(|words| nonsense(&words))?;
                self.fetch_more();
                Ok(())
            }
            _ if self.fetch.is_some() => Err(nonsense("it went on after its report")),
            MessageFromWorker::Event { event, .. } => self.take_event(event),
            MessageFromWorker::Question {
                question, request, ..
            } => {
                if self.questions.len() >= OPEN_QUESTIONS {
                    return Err(nonsense("it has too many open questions"));
                }
                let (reply, answer) = oneshot::channel();
                if let Some(questions) = &self.ports.channels.questions {
                    // Where nobody listens any more, the reply is dropped, which is an answer.
                    let _ = questions.send(PermissionQuestion { request, reply });
                }
                if self.questions.insert(question, answer).is_some() {
                    return Err(nonsense("two of its questions have one number"));
                }
                Ok(())
            }
            MessageFromWorker::Withdrawn { question, .. } => {
                // It may have been answered in this moment.
                self.questions.remove(&question);
                Ok(())
            }
            MessageFromWorker::Fetch { id } => self.serve_content(id).await,
            MessageFromWorker::Report { report, .. } => self.take_report(*report),
            MessageFromWorker::Released { .. } => Err(nonsense(
                "it released a job that it was not told to release",
            )),
        }
    }

    fn take_event(&mut self, event: AgentEvent) -> Result<(), JobFailure> {
        let Some(credit) = self.credit.checked_sub(1) else {
            return Err(nonsense("it sent more events than it may"));
        };
        self.credit = credit;
        self.events.push_back(event);
        Ok(())
    }

    /// Sends a content that the job names, itself or in a layer's manifest.
    async fn serve_content(&mut self, id: BlobId) -> Result<(), JobFailure> {
        let mut data = None;
        if self.served.contains(&id) {
            let (contents, wanted) = (self.ports.contents.clone(), id.clone());
            data = read_content(contents, wanted).await?;
        } else {
            tracing::warn!(%id, "a worker asked for a content that its job does not name");
        }
        let is_layer = self.job.layers.iter().any(|layer| layer.manifest == id);
        if let (true, Some(bytes)) = (is_layer, &data) {
            let manifest = LayerManifest::from_bytes(bytes)
                .map_err(|error| failure(StopReason::SpawnFailed, error.to_string()))?;
            let files = manifest.0.into_values().flatten();
            self.served.extend(files.map(|version| version.blob));
        }
        let part = ContentPart::from_content(id, data);
        self.queue.push_back(MessageToWorker::Content(part));
        Ok(())
    }

    fn take_report(&mut self, report: JobReport) -> Result<(), JobFailure> {
        check_report(&self.job, &report)
            .map_err(|rule| nonsense(&format!("its report is refused: {rule}")))?;
        self.questions.clear();
        let changed = report
            .changes
            .iter()
            .filter_map(|change| change.version.as_ref());
        let named = changed
            .map(|version| &version.blob)
            .chain(&report.transcript);
        let mut known = HashSet::new();
        let wanted = named.filter(|id| known.insert(*id)).cloned().collect();
        self.fetch = Some(ReportFetch {
            report,
            wanted,
            parts: HashMap::new(),
            contents: HashMap::new(),
            bytes: 0,
        });
        self.fetch_more();
        Ok(())
    }

    fn fetch_more(&mut self) {
        let Some(fetch) = &mut self.fetch else {
            return;
        };
        while fetch.parts.len() < FETCHES
            && let Some(id) = fetch.wanted.pop_front()
        {
            fetch.parts.insert(id.clone(), BytesMut::new());
            self.queue.push_back(MessageToWorker::Fetch { id });
        }
    }

    /// Returns the report once all its contents are here.
    fn take_fetched(&mut self) -> Option<(JobReport, HashMap<BlobId, Bytes>)> {
        let fetch = self.fetch.as_mut()?;
        if !fetch.wanted.is_empty() || !fetch.parts.is_empty() {
            return None;
        }
        let contents = std::mem::take(&mut fetch.contents);
        Some((std::mem::take(&mut fetch.report), contents))
    }

    /// Offers the last events to watchers. Slow watchers miss them.
    async fn offer_last_events(&mut self) {
        let events = std::mem::take(&mut self.events);
        let sender = &self.ports.channels.events;
        let told = async {
            for event in events {
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        };
        if timeout(LAST_EVENTS, told).await.is_err() {
            tracing::debug!("watchers are too slow for the last events of a job");
        }
    }
}

impl ReportFetch {
    /// Adds a part of a content of the report. The error says which rule it breaks.
    fn take_part(&mut self, part: ContentPart, job: &WorkerJob) -> Result<(), String> {
        let ContentPart { id, data, more } = part;
        let Some(bytes) = data else {
            return Err(format!("it has not got {id}, which its report names"));
        };
        let Some(sofar) = self.parts.get_mut(&id) else {
            return Err("it sent a content that was not asked for".to_owned());
        };
        let is_transcript = self.report.transcript.as_ref() == Some(&id);
        let limit = if is_transcript {
            TRANSCRIPT
        } else {
            job.change_limits.file_bytes
        };
        let length = (sofar.len() + bytes.0.len()) as u64;
        if !is_transcript {
            self.bytes += bytes.0.len() as u64;
        }
        if length > limit || self.bytes > job.change_limits.total_bytes {
            return Err("a content of its report is too large".to_owned());
        }
        if more {
            sofar.extend_from_slice(&bytes.0);
            return Ok(());
        }
        let whole = match self.parts.remove(&id) {
            Some(mut sofar) if !sofar.is_empty() => {
                sofar.extend_from_slice(&bytes.0);
                sofar.freeze()
            }
            // It came in one piece, which is not copied.
            _ => bytes.0,
        };
        self.contents.insert(id, whole);
        Ok(())
    }
}

fn worker_died() -> JobFailure {
    failure(StopReason::Crashed, "the worker ended before its report")
}

/// Returns the job that a message is about.
fn epoch_of(message: &MessageFromWorker) -> Option<EpochNumber> {
    match message {
        MessageFromWorker::Accepted { epoch }
        | MessageFromWorker::Event { epoch, .. }
        | MessageFromWorker::Question { epoch, .. }
        | MessageFromWorker::Withdrawn { epoch, .. }
        | MessageFromWorker::Report { epoch, .. }
        | MessageFromWorker::Released { epoch } => Some(*epoch),
        MessageFromWorker::Refused { epoch, .. } => *epoch,
        MessageFromWorker::Hello { .. }
        | MessageFromWorker::Alive
        | MessageFromWorker::Fetch { .. }
        | MessageFromWorker::Content(_) => None,
    }
}

/// Waits for the next answer; `None` in it where whoever was asked has gone.
async fn next_reply(
    questions: &mut HashMap<u64, oneshot::Receiver<QuestionReply>>,
) -> (u64, Option<QuestionReply>) {
    poll_fn(|cx| {
        let answered =
            questions
                .iter_mut()
                .find_map(|(number, answer)| match Pin::new(answer).poll(cx) {
                    Poll::Ready(reply) => Some((*number, reply.ok())),
                    Poll::Pending => None,
                });
        match answered {
            Some((number, reply)) => {
                questions.remove(&number);
                Poll::Ready((number, reply))
            }
            None => Poll::Pending,
        }
    })
    .await
}

async fn read_content(
    contents: Arc<dyn super::ContentSource>,
    id: BlobId,
) -> Result<Option<Bytes>, JobFailure> {
    match tokio::task::spawn_blocking(move || contents.read(&id)).await {
        Ok(read) => read.map_err(|error| JobFailure::from(&error)),
        Err(_) => Err(failure(
            StopReason::Crashed,
            "reading a content failed for a reason of our own making",
        )),
    }
}

/// Compares every content with its name.
async fn verify_contents(
    contents: HashMap<BlobId, Bytes>,
) -> Result<HashMap<BlobId, Bytes>, JobFailure> {
    let checked = tokio::task::spawn_blocking(move || {
        let wrong = contents
            .iter()
            .any(|(id, bytes)| BlobId::of_bytes(bytes) != *id);
        (!wrong).then_some(contents)
    });
    match checked.await {
        Ok(Some(contents)) => Ok(contents),
        Ok(None) => Err(nonsense("a content is not what its name says")),
        Err(_) => Err(failure(
            StopReason::Crashed,
            "checking a report failed for a reason of our own making",
        )),
    }
}
