//! The worker's side of a link: the loop that takes jobs, runs them, and reports.
//!
//! The same loop serves the daemon's own executor and `claudecluster worker`. It runs one job at a time. Whatever
//! ends the link ends the job with everything it started.

mod homes;
mod job;
mod layers;
mod place;
mod session;
mod stdio;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use claudecluster_protocol::{
    BlobId, ErrorBody, Span,
    event::AgentEvent,
    plan::AgentName,
    worker::{
        ContentPart, EVENT_WINDOW, EpochNumber, MessageFromWorker, MessageToWorker, OPEN_QUESTIONS,
        QuestionReply, WORKER_PROTOCOL, WorkerJob,
    },
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::job::{JobEnd, run_job};
pub use self::{
    place::{HiddenFolders, WorkerPlace},
    stdio::worker_main,
};
use crate::{
    agent::{PermissionQuestion, SessionChannels, SessionClocks},
    link::{LinkError, WorkerLinkEnd},
};

/// The hidden subcommand that serves a link over the standard streams.
pub const SUBCOMMAND: &str = "worker";

/// Messages to the daemon that wait before nothing else is taken on.
const QUEUE: usize = 64;
/// How long a report waits for the events before it.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// Contents that a job waits for at the same time.
const FETCHES: usize = 16;
/// The shortest time between two signs of life.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// Serves a link until it ends.
///
/// # Errors
/// Where the daemon does not keep to the protocol, or the stream breaks.
pub async fn serve(mut link: WorkerLinkEnd, place: Arc<WorkerPlace>) -> Result<(), LinkError> {
    let Some(heartbeat) = answer_hello(&mut link).await? else {
        return Ok(());
    };
    let mut alive = tokio::time::interval(heartbeat.to_duration().max(HEARTBEAT));
    alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            message = link.receiver.recv() => message,
            _ = alive.tick() => {
                // Where the daemon is gone, the next read says so.
                let _ = link.sender.send(Ok(MessageFromWorker::Alive)).await;
                continue;
            }
        };
        let (job, credit) = match message {
            None => return Ok(()),
            Some(Err(error)) => return Err(error),
            Some(Ok(MessageToWorker::Start { job, credit })) => (job, credit),
            // Of a job that has ended meanwhile.
            Some(Ok(
                MessageToWorker::Credit { .. }
                | MessageToWorker::Answer { .. }
                | MessageToWorker::Cancel { .. },
            )) => continue,
            Some(Ok(other)) => {
                return Err(send_refusal(&mut link, None, out_of_order(&other)).await);
            }
        };
        let epoch = job.epoch.number;
        if let Err(error) = place.check_job(&job) {
            let epoch = Some(epoch);
            // Where the daemon is gone, the next read says so.
            let _ = link
                .sender
                .send(Ok(MessageFromWorker::Refused { epoch, error }))
                .await;
            continue;
        }
        let span = tracing::error_span!("job", goal = %job.epoch.goal, work = ?job.epoch.work,
            attempt = job.epoch.attempt.0, epoch = epoch.0);
        let serving = serve_job(&mut link, &place, *job, credit, heartbeat);
        match serving.instrument(span).await {
            Ok(()) => {}
            Err(JobBreak::Closed) => return Ok(()),
            Err(JobBreak::Link(error @ LinkError::OutOfOrder(_))) => {
                return Err(send_refusal(&mut link, Some(epoch), error).await);
            }
            Err(JobBreak::Link(error)) => return Err(error),
        }
    }
}

/// Answers the daemon's hello; `None` if the link ends with it.
async fn answer_hello(link: &mut WorkerLinkEnd) -> Result<Option<Span>, LinkError> {
    let (version, heartbeat) = match link.receiver.recv().await {
        None => return Ok(None),
        Some(Err(error)) => return Err(error),
        Some(Ok(MessageToWorker::Hello { version, heartbeat })) => (version, heartbeat),
        Some(Ok(other)) => return Err(send_refusal(link, None, out_of_order(&other)).await),
    };
    if version != WORKER_PROTOCOL {
        let error = ErrorBody::environment(format!(
            "the daemon speaks version {version} of the worker protocol, this worker version \
             {WORKER_PROTOCOL}"
        ))
        .with_hint("use the same version of claudecluster on both sides");
        // The daemon may be gone, which is an end as well.
        let _ = link
            .sender
            .send(Ok(MessageFromWorker::Refused { epoch: None, error }))
            .await;
        return Ok(None);
    }
    let hello = MessageFromWorker::Hello {
        version: WORKER_PROTOCOL,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        agents: AgentName::ALL.to_vec(),
    };
    let sent = link.sender.send(Ok(hello)).await;
    Ok(sent.is_ok().then_some(heartbeat))
}

fn out_of_order(message: &MessageToWorker) -> LinkError {
    let text = serde_json::to_value(message).unwrap_or_default();
    let name = text["type"].as_str().unwrap_or("a message");
    LinkError::OutOfOrder(format!("`{name}` cannot come now"))
}

/// Tells the daemon why the link ends.
async fn send_refusal(
    link: &mut WorkerLinkEnd,
    epoch: Option<EpochNumber>,
    error: LinkError,
) -> LinkError {
    let body = ErrorBody::internal(error.to_string());
    let refusal = MessageFromWorker::Refused { epoch, error: body };
    // The daemon may be gone, which is an end as well.
    let _ = link.sender.send(Ok(refusal)).await;
    error
}

/// Why a job ends without its release.
enum JobBreak {
    /// The daemon has gone.
    Closed,
    Link(LinkError),
}

/// Asks the daemon for contents.
#[derive(Clone)]
pub(crate) struct ContentClient(mpsc::Sender<ContentRequest>);

struct ContentRequest {
    id: BlobId,
    reply: oneshot::Sender<Option<Bytes>>,
}

impl ContentClient {
    /// Gets a content; `None` if the daemon has none of that name.
    pub(crate) async fn get(&self, id: &BlobId) -> Option<Bytes> {
        let (reply, content) = oneshot::channel();
        let id = id.clone();
        self.0.send(ContentRequest { id, reply }).await.ok()?;
        content.await.ok().flatten()
    }
}

/// Runs a job to its release.
async fn serve_job(
    link: &mut WorkerLinkEnd,
    place: &WorkerPlace,
    job: WorkerJob,
    credit: u32,
    heartbeat: Span,
) -> Result<(), JobBreak> {
    let (events_in, events) = mpsc::channel(EVENT_WINDOW as usize);
    let (asks_in, asks) = mpsc::unbounded_channel();
    let (requests_in, requests) = mpsc::channel(FETCHES);
    let cancel = CancellationToken::new();
    let epoch = job.epoch.number;
    let mut server = JobServer {
        link,
        epoch,
        queue: VecDeque::from([MessageFromWorker::Accepted { epoch }]),
        credit,
        events,
        asks,
        requests,
        questions: BTreeMap::new(),
        asked: 0,
        awaited: HashMap::new(),
        cancel: cancel.clone(),
        offered: None,
        released: None,
        heartbeat: heartbeat.to_duration().max(HEARTBEAT),
        spoke: Instant::now(),
    };
    let channels = SessionChannels {
        events: events_in,
        questions: Some(asks_in),
        cancel,
        clocks: SessionClocks::default(),
    };
    let end = {
        let mut running = pin!(run_job(place, &job, channels, ContentClient(requests_in)));
        loop {
            tokio::select! {
                end = &mut running => break end,
                step = server.step() => step?,
            }
        }
    };
    let keep_layer = server.report_end(end).await?;
    place.release(&job.epoch, keep_layer).await;
    server
        .queue
        .push_back(MessageFromWorker::Released { epoch });
    while !server.queue.is_empty() {
        server.step().await?;
    }
    Ok(())
}

/// What passes over a link while a job runs.
struct JobServer<'a> {
    link: &'a mut WorkerLinkEnd,
    epoch: EpochNumber,
    /// What is to be sent.
    queue: VecDeque<MessageFromWorker>,
    /// Events that may be sent.
    credit: u32,
    events: mpsc::Receiver<AgentEvent>,
    asks: mpsc::UnboundedReceiver<PermissionQuestion>,
    requests: mpsc::Receiver<ContentRequest>,
    /// The questions that wait for an answer.
    questions: BTreeMap<u64, oneshot::Sender<QuestionReply>>,
    /// Questions so far.
    asked: u64,
    /// The contents that the job waits for.
    awaited: HashMap<BlobId, AwaitedContent>,
    cancel: CancellationToken,
    /// The contents of the report, once there is one.
    offered: Option<HashMap<BlobId, Bytes>>,
    /// Whether the layer is kept, once the daemon has said so.
    released: Option<bool>,
    heartbeat: Duration,
    /// When something was last sent.
    spoke: Instant,
}

/// What a turn of the loop is about.
enum ServeTurn {
    Came(Option<Result<MessageToWorker, LinkError>>),
    Sent,
    Event(AgentEvent),
    Asked(PermissionQuestion),
    GivenUp(u64),
    Wanted(ContentRequest),
    Quiet,
}

#[derive(Default)]
struct AwaitedContent {
    sofar: BytesMut,
    replies: Vec<oneshot::Sender<Option<Bytes>>>,
}

impl JobServer<'_> {
    /// Handles the next message, event, question or request. Nothing is lost where the future is dropped.
    async fn step(&mut self) -> Result<(), JobBreak> {
        let has_room = self.queue.len() < QUEUE;
        let may_ask = self.questions.len() < OPEN_QUESTIONS;
        let turn = tokio::select! {
            message = self.link.receiver.recv(), if has_room => ServeTurn::Came(message),
            permit = self.link.sender.reserve(), if !self.queue.is_empty() => match permit {
                Ok(permit) => {
                    if let Some(message) = self.queue.pop_front() {
                        permit.send(Ok(message));
                    }
                    ServeTurn::Sent
                }
                Err(_) => ServeTurn::Came(None),
            },
            Some(event) = self.events.recv(), if has_room && self.credit > 0 => ServeTurn::Event(event),
            Some(ask) = self.asks.recv(), if has_room && may_ask => ServeTurn::Asked(ask),
            question = first_given_up(&mut self.questions), if !self.questions.is_empty() => {
                ServeTurn::GivenUp(question)
            }
            Some(request) = self.requests.recv(), if has_room => ServeTurn::Wanted(request),
            () = sleep_until(self.spoke + self.heartbeat), if self.queue.is_empty() => ServeTurn::Quiet,
        };
        let epoch = self.epoch;
        match turn {
            ServeTurn::Came(Some(Ok(message))) => self.take_message(message)?,
            ServeTurn::Came(Some(Err(error))) => return Err(JobBreak::Link(error)),
            ServeTurn::Came(None) => return Err(JobBreak::Closed),
            ServeTurn::Sent => self.spoke = Instant::now(),
            ServeTurn::Event(event) => {
                self.credit -= 1;
                self.queue
                    .push_back(MessageFromWorker::Event { epoch, event });
            }
            ServeTurn::Asked(PermissionQuestion { request, reply }) => {
                self.asked += 1;
                let question = self.asked;
                self.questions.insert(question, reply);
                self.queue.push_back(MessageFromWorker::Question {
                    epoch,
                    question,
                    request,
                });
            }
            ServeTurn::GivenUp(question) => {
                self.queue
                    .push_back(MessageFromWorker::Withdrawn { epoch, question });
            }
            ServeTurn::Wanted(ContentRequest { id, reply }) => {
                let awaited = self.awaited.entry(id.clone()).or_default();
                awaited.replies.push(reply);
                if awaited.replies.len() == 1 {
                    self.queue.push_back(MessageFromWorker::Fetch { id });
                }
            }
            ServeTurn::Quiet => self.queue.push_back(MessageFromWorker::Alive),
        }
        Ok(())
    }

    fn take_message(&mut self, message: MessageToWorker) -> Result<(), JobBreak> {
        let about = match &message {
            MessageToWorker::Credit { epoch, .. }
            | MessageToWorker::Answer { epoch, .. }
            | MessageToWorker::Cancel { epoch }
            | MessageToWorker::Release { epoch, .. } => Some(*epoch),
            _ => None,
        };
        if about.is_some_and(|epoch| epoch != self.epoch) {
            tracing::warn!(
                about = about.unwrap_or_default().0,
                "a message about another epoch is dropped"
            );
            return Ok(());
        }
        match message {
            MessageToWorker::Credit { events, .. } => {
                self.credit = self.credit.saturating_add(events);
            }
            MessageToWorker::Answer {
                question, reply, ..
            } => {
                // Dropping the sender is the answer that there is nobody to ask.
                if let (Some(sender), Some(reply)) = (self.questions.remove(&question), reply) {
                    // The session may have stopped waiting in this moment.
                    let _ = sender.send(reply);
                }
            }
            MessageToWorker::Cancel { .. } => self.cancel.cancel(),
            MessageToWorker::Content(part) => self.take_content(part)?,
            MessageToWorker::Fetch { id } => {
                let Some(offered) = &self.offered else {
                    let fetch = MessageToWorker::Fetch { id };
                    return Err(JobBreak::Link(out_of_order(&fetch)));
                };
                let data = offered.get(&id).cloned();
                let part = ContentPart::from_content(id, data);
                self.queue.push_back(MessageFromWorker::Content(part));
            }
            MessageToWorker::Release { keep_layer, .. } if self.offered.is_some() => {
                self.released = Some(keep_layer);
            }
            other @ (MessageToWorker::Hello { .. }
            | MessageToWorker::Start { .. }
            | MessageToWorker::Release { .. }) => {
                return Err(JobBreak::Link(out_of_order(&other)));
            }
        }
        Ok(())
    }

    fn take_content(&mut self, part: ContentPart) -> Result<(), JobBreak> {
        let ContentPart { id, data, more } = part;
        // The job may have been cancelled since it asked, but then it still waits here.
        let Some(mut awaited) = self.awaited.remove(&id) else {
            let words = "a content came that was not asked for".to_owned();
            return Err(JobBreak::Link(LinkError::OutOfOrder(words)));
        };
        let data = data.map(|data| data.0);
        if more {
            awaited.sofar.extend_from_slice(&data.unwrap_or_default());
            self.awaited.insert(id, awaited);
            return Ok(());
        }
        let whole = match data {
            Some(bytes) if awaited.sofar.is_empty() => Some(bytes),
            Some(bytes) => {
                awaited.sofar.extend_from_slice(&bytes);
                Some(awaited.sofar.freeze())
            }
            None => None,
        };
        for reply in awaited.replies {
            // Whoever asked may have been cancelled.
            let _ = reply.send(whole.clone());
        }
        Ok(())
    }

    /// Reports, serves the report's contents, and returns whether the layer is to be kept.
    async fn report_end(&mut self, end: JobEnd) -> Result<bool, JobBreak> {
        let deadline = Instant::now() + LAST_EVENTS;
        while !self.events.is_empty() {
            match timeout_at(deadline, self.step()).await {
                Ok(step) => step?,
                Err(_) => break,
            }
        }
        self.events.close();
        self.asks.close();
        self.questions.clear();
        self.credit = 0;
        let (epoch, report) = (self.epoch, Box::new(end.report));
        self.offered = Some(end.contents);
        self.queue
            .push_back(MessageFromWorker::Report { epoch, report });
        loop {
            match self.released {
                Some(keep_layer) => return Ok(keep_layer),
                None => self.step().await?,
            }
        }
    }
}

/// Waits until the session no longer waits for one of its questions.
async fn first_given_up(questions: &mut BTreeMap<u64, oneshot::Sender<QuestionReply>>) -> u64 {
    poll_fn(|cx| {
        let given_up = questions.iter_mut().find_map(|(number, reply)| {
            let closed = reply.poll_closed(cx).is_ready();
            closed.then_some(*number)
        });
        match given_up {
            Some(number) => {
                questions.remove(&number);
                Poll::Ready(number)
            }
            None => Poll::Pending,
        }
    })
    .await
}
