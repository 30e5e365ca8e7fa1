//! The loop of a connection: reads frames, calls handlers in order, and writes frames.
//!
//! The loop replaces `tower_lsp::Server`, which
//! - lets a fifth request wait for one of four slow ones;
//! - can deadlock with a client that replies late;
//! - ends the process on a panic or a malformed frame.
//!
//! The handler of each message is polled once, in the order of the wire, before the next message is
//! read. A handler that is not ready then continues in a task of its own.

pub(crate) mod client_process;
pub(crate) mod frame;
pub(crate) mod message;
pub(crate) mod notify_queue;
pub(crate) mod skipped;

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt, future::BoxFuture};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
};
use tower::Service;
use tower_lsp::{
    ClientSocket, LanguageServer, LspService,
    jsonrpc::{ErrorCode, Id, Request, Response},
};
use tracing::{Instrument, Span, field, info_span};

use self::{
    frame::{FrameDecoder, WireFrame},
    message::{IncomingMessage, error_reply, parse_message},
    notify_queue::NotifyQueue,
};

/// The size in bytes at which a batch of messages is written.
const BATCH: usize = 256 * 1024;
/// The protocol's error for a request that cannot be carried out, which the editor shows to its user.
const REQUEST_FAILED: i64 = -32803;
/// How long the remaining messages may take to be written after `exit`.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of a connection for the exit status of its process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// `shutdown`, then `exit`.
    Clean,
    /// `exit` without `shutdown`, or the editor disconnected.
    Unclean,
}

impl ExitStatus {
    /// Returns the exit status as the protocol defines it.
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Unclean => 1,
        }
    }
}

/// The reason why a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConnectionEnd {
    /// The client sent `exit`.
    Exit {
        /// Whether the client sent `shutdown` before, and it succeeded.
        after_shutdown: bool,
    },
    /// The stream from the client ended or failed.
    Eof,
    /// The client no longer reads.
    Unreachable,
    /// The client's process ended.
    ClientExited,
}

enum OutgoingMessage {
    Response(Response),
    /// The writer stops after the messages that are already queued.
    Stop,
}

/// Serves one connection until it ends.
///
/// The client receives the requests of its socket, replies, and the notifications of the queue.
/// `client_exit` resolves when the client's process ends. `max_body` is in bytes.
pub(crate) async fn run_connection<R, W, S>(
    (reader, writer): (R, W),
    service: LspService<S>,
    (socket, notify_queue): (ClientSocket, Arc<NotifyQueue>),
    client_exit: impl Future<Output = ()>,
    max_body: usize,
) -> ConnectionEnd
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
    S: LanguageServer,
{
    let (requests, replies) = socket.split();
    let (outgoing, queue) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    // In the set, so that dropping this future ends the writer as well.
    let mut writing = JoinSet::new();
    writing.spawn(write_messages(writer, requests, queue, notify_queue).in_current_span());

    let mut connection = WireConnection {
        service,
        replies,
        outgoing: outgoing.clone(),
        arrived: Instant::now(),
        shutdown: false,
    };
    let end = tokio::select! {
        biased;
        // The messages of the client come before its end: an editor sends `exit` and ends at once.
        end = read_messages(reader, &mut connection, &mut tasks, max_body) => end,
        _ = writing.join_next() => ConnectionEnd::Unreachable,
        () = client_exit => ConnectionEnd::ClientExited,
    };
    tasks.abort_all();
    if matches!(end, ConnectionEnd::Exit { .. }) {
        let _ = outgoing.send(OutgoingMessage::Stop);
        // A client that sent `exit` and stopped reading must not keep the connection alive.
        let _ = tokio::time::timeout(EXIT_TIMEOUT, writing.join_next()).await;
    }
    end
}

/// Reads messages and runs their handlers until the client exits or the stream ends.
async fn read_messages<R, S, P>(
    mut reader: R,
    connection: &mut WireConnection<S, P>,
    tasks: &mut JoinSet<()>,
    max_body: usize,
) -> ConnectionEnd
where
    R: AsyncRead + Unpin,
    S: LanguageServer,
    P: Sink<Response> + Unpin,
{
    let mut decoder = FrameDecoder::new(max_body);
    loop {
        while let Some(frame) = decoder.next_frame() {
            let outcome = match frame {
                WireFrame::Malformed(why) => {
                    HandlerOutcome::Reply(error_reply(Id::Null, ErrorCode::ParseError, why))
                }
                WireFrame::TooLong { why, reply_id } => too_long_reply(why, reply_id),
                WireFrame::Body(body) => connection.handle_message(&body).await,
            };
            match outcome {
                HandlerOutcome::Nothing => {}
                HandlerOutcome::Reply(response) => connection.send_reply(response),
                HandlerOutcome::Pending(rest) => {
                    let outgoing = connection.outgoing.clone();
                    tasks.spawn(async move {
                        if let Some(response) = rest.await {
                            let _ = outgoing.send(OutgoingMessage::Response(response));
                        }
                    });
                }
                HandlerOutcome::Exit => {
                    return ConnectionEnd::Exit {
                        after_shutdown: connection.shutdown,
                    };
                }
            }
        }
        while tasks.try_join_next().is_some() {}
        match reader.read_buf(decoder.read_buffer()).await {
            Ok(0) | Err(_) => return ConnectionEnd::Eof,
            Ok(_) => connection.arrived = Instant::now(),
        }
    }
}

/// The result of handling a message up to the first wait of its handler.
enum HandlerOutcome {
    Nothing,
    Reply(Response),
    /// The rest of a handler that has to wait.
    Pending(BoxFuture<'static, Option<Response>>),
    Exit,
}

/// Returns the reply to a message that was skipped; a client's own reply gets none.
fn too_long_reply(why: String, reply_id: Option<Value>) -> HandlerOutcome {
    let id = reply_id.map(|id| serde_json::from_value(id).unwrap_or(Id::Null));
    let code = match &id {
        Some(Id::Null) | None => ErrorCode::ParseError,
        Some(_) => ErrorCode::ServerError(REQUEST_FAILED),
    };
    id.map_or(HandlerOutcome::Nothing, |id| {
        HandlerOutcome::Reply(error_reply(id, code, why))
    })
}

/// The state that only the loop reads and writes.
struct WireConnection<S, P> {
    service: LspService<S>,
    /// Passes the client's replies to the requests of the server.
    replies: P,
    outgoing: mpsc::UnboundedSender<OutgoingMessage>,
    /// When the bytes that are being handled were read.
    arrived: Instant,
    /// Whether the client has sent `shutdown`, and it succeeded.
    shutdown: bool,
}

impl<S: LanguageServer, P: Sink<Response> + Unpin> WireConnection<S, P> {
    fn send_reply(&self, response: Response) {
        // Fails only when the writer has ended, which ends the connection.
        let _ = self.outgoing.send(OutgoingMessage::Response(response));
    }

    async fn handle_message(&mut self, body: &[u8]) -> HandlerOutcome {
        match parse_message(body) {
            Ok(IncomingMessage::Request(request)) if request.method() == "exit" => {
                HandlerOutcome::Exit
            }
            Ok(IncomingMessage::Request(request)) => self.start_handler(request),
            Ok(IncomingMessage::Response(response)) => {
                // Never waits: the sink hands the response to the request that waits for it.
                let _ = self.replies.send(response).await;
                HandlerOutcome::Nothing
            }
            Err(response) => HandlerOutcome::Reply(*response),
        }
    }

    /// Starts a handler and runs it to its first wait.
    fn start_handler(&mut self, request: Request) -> HandlerOutcome {
        let id = request.id().cloned();
        let method = request.method().to_owned();
        let is_shutdown = method == "shutdown";
        let span = request_span(&request);
        let entered = span.enter();
        // The log shows on request how long each message delayed the messages behind it.
        let traced = tracing::enabled!(tracing::Level::TRACE).then(|| method.clone());
        let service = &mut self.service;
        let started = std::panic::catch_unwind(AssertUnwindSafe(|| service.call(request)));
        let Ok(future) = started else {
            return panic_reply(id, &method).map_or(HandlerOutcome::Nothing, HandlerOutcome::Reply);
        };
        let mut rest = async move {
            match AssertUnwindSafe(future).catch_unwind().await {
                Ok(Ok(response)) => response,
                Ok(Err(_exited)) => None,
                Err(_) => panic_reply(id, &method),
            }
        }
        .boxed();
        // Outside tokio's budget: a handler must not be postponed because earlier messages of the same
        // read have used the budget up, or the order of the wire would be lost.
        let outcome = match tokio::task::unconstrained(&mut rest).now_or_never() {
            Some(Some(response)) => HandlerOutcome::Reply(response),
            Some(None) => HandlerOutcome::Nothing,
            None => HandlerOutcome::Pending(rest.instrument(span.clone()).boxed()),
        };
        let failed = matches!(&outcome, HandlerOutcome::Reply(reply) if reply.is_error());
        self.shutdown |= is_shutdown && !failed;
        if let Some(method) = traced {
            let nanos = u64::try_from(self.arrived.elapsed().as_nanos()).unwrap_or(u64::MAX);
            tracing::trace!(method, nanos, "handled");
        }
        drop(entered);
        outcome
    }
}

/// Creates the span of a message. Its handler records the goal and the hunk once they are known.
fn request_span(request: &Request) -> Span {
    let span = info_span!(
        "request",
        method = request.method(),
        id = request.id().map(field::display),
        document = field::Empty,
        goal = field::Empty,
        hunk = field::Empty,
    );
    if !span.is_disabled()
        && let Some(uri) = request
            .params()
            .and_then(|params| params.pointer("/textDocument/uri")?.as_str())
    {
        span.record("document", uri);
    }
    span
}

/// Creates the reply to a request whose handler panicked. The panic hook has reported the panic.
fn panic_reply(id: Option<Id>, method: &str) -> Option<Response> {
    tracing::error!(method, "a request handler panicked");
    id.map(|id| {
        let why = format!("the server failed while handling {method}; see its log");
        error_reply(id, ErrorCode::InternalError, why)
    })
}

/// Writes messages in batches.
///
/// The order of preference is: requests and notifications of the server, replies, queued notifications.
async fn write_messages<W, Q>(
    mut writer: W,
    mut requests: Q,
    mut queue: mpsc::UnboundedReceiver<OutgoingMessage>,
    notify_queue: Arc<NotifyQueue>,
) -> std::io::Result<()>
where
    W: AsyncWrite + Unpin,
    Q: Stream<Item = Request> + Unpin,
{
    let mut batch = Vec::new();
    let mut requests_open = true;
    loop {
        let mut stop = tokio::select! {
            biased;
            request = requests.next(), if requests_open => {
                match request {
                    Some(request) => append_message(&mut batch, &request),
                    None => requests_open = false,
                }
                false
            }
            out = queue.recv() => append_outgoing(&mut batch, out),
            body = notify_queue.next_body() => {
                append_frame(&mut batch, &body);
                false
            }
        };
        while batch.len() < BATCH {
            if let Some(Some(request)) = requests.next().now_or_never() {
                append_message(&mut batch, &request);
            } else if let Ok(out) = queue.try_recv() {
                stop |= append_outgoing(&mut batch, Some(out));
            } else if !stop && let Some(body) = notify_queue.pop() {
                append_frame(&mut batch, &body);
            } else {
                break;
            }
        }
        writer.write_all(&batch).await?;
        writer.flush().await?;
        batch.clear();
        batch.shrink_to(BATCH);
        if stop {
            return Ok(());
        }
    }
}

/// Appends a reply to the batch. Returns whether the writer stops after this batch.
fn append_outgoing(batch: &mut Vec<u8>, out: Option<OutgoingMessage>) -> bool {
    match out {
        Some(OutgoingMessage::Response(response)) => {
            append_message(batch, &response);
            false
        }
        Some(OutgoingMessage::Stop) | None => true,
    }
}

/// Appends a body and its header to the batch.
fn append_frame(batch: &mut Vec<u8>, body: &[u8]) {
    batch.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    batch.extend_from_slice(body);
}

fn append_message<T: serde::Serialize>(batch: &mut Vec<u8>, message: &T) {
    match serde_json::to_vec(message) {
        Ok(body) => append_frame(batch, &body),
        // Cannot happen for a message that was made of JSON values.
        Err(error) => tracing::error!(%error, "cannot write a message"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn queued_notifications_are_written_after_requests_and_replies() {
        let notify_queue = Arc::new(NotifyQueue::default());
        let uri = lsp_types::Uri::parse("file:///a").unwrap();
        notify_queue.push(&uri, "queued", &"x".repeat(BATCH));
        let (queue, outgoing) = mpsc::unbounded_channel();
        let reply = |id| OutgoingMessage::Response(Response::from_ok(Id::Number(id), Value::Null));
        for id in [1, 2] {
            assert!(queue.send(reply(id)).is_ok());
        }
        let asked = futures::stream::iter([Request::build("asked").finish()]);
        let (ours, mut theirs) = tokio::io::duplex(4 * BATCH);
        let writing = tokio::spawn(write_messages(ours, asked, outgoing, notify_queue.clone()));
        let mut decoder = FrameDecoder::new(2 * BATCH);
        let mut heard = Vec::new();
        while heard.len() < 4 {
            theirs.read_buf(decoder.read_buffer()).await.unwrap();
            while let Some(WireFrame::Body(body)) = decoder.next_frame() {
                let message: Value = serde_json::from_slice(&body).unwrap();
                heard.push(message.get("method").unwrap_or(&message["id"]).clone());
            }
        }
        assert_eq!(
            Value::from(heard),
            serde_json::json!(["asked", 1, 2, "queued"])
        );
        // The writer stops even if notifications are queued.
        assert!(queue.send(OutgoingMessage::Stop).is_ok());
        writing.await.unwrap().unwrap();
    }
}
