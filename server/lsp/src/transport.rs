//! The transport: frames in, frames out, and the order in between.
//!
//! It stands in for the framework's own loop, which starves requests behind four slow ones, can
//! deadlock with a client that answers late, and ends the process on a panic or a malformed frame.
//! Each message's handler is polled once, in the order of the wire, before the next message is
//! looked at; what is not ready then goes on beside it.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt, future::BoxFuture};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tower::Service;
use tower_lsp::{
    ClientSocket, LanguageServer, LspService,
    jsonrpc::{Error, ErrorCode, Id, Request, Response},
};

use crate::{
    aside::Aside,
    frame::{Decoder, Frame},
    parent,
};

/// A batch of messages is written out when it has grown to this many bytes.
const BATCH: usize = 256 * 1024;
/// How long the last messages may take to be written after `exit`.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a server process should exit with for this connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// `shutdown`, then `exit`.
    Clean,
    /// `exit` without `shutdown`, or the editor went away.
    Unclean,
}

impl ExitStatus {
    /// The exit status as the protocol defines it.
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Unclean => 1,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// The client said `exit`.
    Exit,
    /// The stream from the client ended or failed.
    Eof,
    /// The client no longer reads.
    Unreachable,
    /// The client's process died.
    ParentDied,
}

enum Outgoing {
    Response(Response),
    /// Write what is there, then stop.
    Last,
}

/// Serves one connection until it ends. The client hears what comes out of its socket and what is told it
/// aside; `parent` receives its process id.
pub(crate) async fn run<R, W, S>(
    (reader, writer): (R, W),
    service: LspService<S>,
    (socket, aside): (ClientSocket, Arc<Aside>),
    parent: oneshot::Receiver<u32>,
    max_body: usize,
) -> Ended
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
    writing.spawn(write_all(writer, requests, queue, aside));

    let mut connection = Connection {
        service,
        replies,
        outgoing: outgoing.clone(),
        arrived: Instant::now(),
    };
    let parent_death = async {
        match parent.await {
            Ok(pid) => parent::death_of(pid).await,
            Err(_) => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        biased;
        // First what the client said, last that it died: an editor says goodbye and is gone.
        ended = read_all(reader, &mut connection, &mut tasks, max_body) => ended,
        _ = writing.join_next() => Ended::Unreachable,
        () = parent_death => Ended::ParentDied,
    };
    tasks.abort_all();
    if ended == Ended::Exit {
        let _ = outgoing.send(Outgoing::Last);
        // A client that said goodbye and stopped reading must not keep the connection alive.
        let _ = tokio::time::timeout(LAST_WORDS, writing.join_next()).await;
    }
    ended
}

async fn read_all<R, S, P>(
    mut reader: R,
    connection: &mut Connection<S, P>,
    tasks: &mut JoinSet<()>,
    max_body: usize,
) -> Ended
where
    R: AsyncRead + Unpin,
    S: LanguageServer,
    P: Sink<Response> + Unpin,
{
    let mut decoder = Decoder::new(max_body);
    loop {
        while let Some(frame) = decoder.next() {
            let next = match frame {
                Frame::Malformed(why) => {
                    Next::Reply(complaint(Id::Null, ErrorCode::ParseError, why))
                }
                Frame::Body(body) => connection.message(&body).await,
            };
            match next {
                Next::Nothing => {}
                Next::Reply(response) => connection.send(response),
                Next::Later(rest) => {
                    let outgoing = connection.outgoing.clone();
                    tasks.spawn(async move {
                        if let Some(response) = rest.await {
                            let _ = outgoing.send(Outgoing::Response(response));
                        }
                    });
                }
                Next::Exit => return Ended::Exit,
            }
        }
        while tasks.try_join_next().is_some() {}
        match reader.read_buf(&mut decoder.buffer).await {
            Ok(0) | Err(_) => return Ended::Eof,
            Ok(_) => connection.arrived = Instant::now(),
        }
    }
}

/// What follows from a message.
enum Next {
    Nothing,
    Reply(Response),
    Later(BoxFuture<'static, Option<Response>>),
    Exit,
}

struct Connection<S, P> {
    service: LspService<S>,
    /// Takes the client's replies to whoever asked.
    replies: P,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    /// When the bytes that are looked at now had been read.
    arrived: Instant,
}

impl<S: LanguageServer, P: Sink<Response> + Unpin> Connection<S, P> {
    fn send(&self, response: Response) {
        // Fails only when the writer has ended, which ends the connection.
        let _ = self.outgoing.send(Outgoing::Response(response));
    }

    async fn message(&mut self, body: &[u8]) -> Next {
        match parse(body) {
            Ok(Incoming::Request(request)) if request.method() == "exit" => Next::Exit,
            Ok(Incoming::Request(request)) => self.call(request),
            Ok(Incoming::Response(response)) => {
                // Never waits: it hands the response to whoever asked.
                let _ = self.replies.send(response).await;
                Next::Nothing
            }
            Err(response) => Next::Reply(*response),
        }
    }

    /// Starts the handler and runs it to its first real wait.
    fn call(&mut self, request: Request) -> Next {
        let id = request.id().cloned();
        let method = request.method().to_owned();
        // Whoever asks the log for it learns how long each message kept the ones behind it waiting.
        let told = tracing::enabled!(tracing::Level::TRACE).then(|| method.clone());
        let service = &mut self.service;
        let started = std::panic::catch_unwind(AssertUnwindSafe(|| service.call(request)));
        let Ok(future) = started else {
            return panicked(id, &method).map_or(Next::Nothing, Next::Reply);
        };
        let mut rest = async move {
            match AssertUnwindSafe(future).catch_unwind().await {
                Ok(Ok(response)) => response,
                Ok(Err(_exited)) => None,
                Err(_) => panicked(id, &method),
            }
        }
        .boxed();
        // Outside tokio's budget: a handler must not be put off because earlier messages of the same
        // read used the budget up, or the order of the wire would be lost.
        let next = match tokio::task::unconstrained(&mut rest).now_or_never() {
            Some(Some(response)) => Next::Reply(response),
            Some(None) => Next::Nothing,
            None => Next::Later(rest),
        };
        if let Some(method) = told {
            let nanos = u64::try_from(self.arrived.elapsed().as_nanos()).unwrap_or(u64::MAX);
            tracing::trace!(method, nanos, "handled");
        }
        next
    }
}

/// The panic itself has been reported by the panic hook.
fn panicked(id: Option<Id>, method: &str) -> Option<Response> {
    tracing::error!(method, "a request handler panicked");
    id.map(|id| {
        let why = format!("the server failed while handling {method}; see its log");
        complaint(id, ErrorCode::InternalError, why)
    })
}

fn complaint(id: Id, code: ErrorCode, message: String) -> Response {
    Response::from_error(
        id,
        Error {
            code,
            message: message.into(),
            data: None,
        },
    )
}

enum Incoming {
    Request(Request),
    Response(Response),
}

fn parse(body: &[u8]) -> Result<Incoming, Box<Response>> {
    let refuse = |id, code, message: String| Box::new(complaint(id, code, message));
    let mut message: Map<String, Value> = match from_json(body) {
        Ok(Value::Object(message)) => message,
        Ok(_) => {
            let why = "a message must be one JSON object".to_owned();
            return Err(refuse(Id::Null, ErrorCode::InvalidRequest, why));
        }
        Err(e) => {
            let why = format!("the message is not valid JSON: {e}");
            return Err(refuse(Id::Null, ErrorCode::ParseError, why));
        }
    };
    let id = match message.remove("id") {
        None => None,
        Some(id) => Some(serde_json::from_value::<Id>(id).map_err(|_| {
            let why = "an id must be a whole number or a string".to_owned();
            refuse(Id::Null, ErrorCode::InvalidRequest, why)
        })?),
    };
    match (message.remove("method"), id) {
        (Some(Value::String(method)), id) => {
            let mut request = Request::build(method);
            if let Some(params) = message.remove("params") {
                request = request.params(params);
            }
            if let Some(id) = id {
                request = request.id(id);
            }
            Ok(Incoming::Request(request.finish()))
        }
        (None, Some(id)) => Ok(Incoming::Response(match message.remove("error") {
            Some(error) if !error.is_null() => Response::from_error(id, lenient_error(&error)),
            // Some clients leave out a result that is null.
            _ => Response::from_ok(id, message.remove("result").unwrap_or_default()),
        })),
        (_, id) => {
            let why = "a message needs a method, or an id and a result".to_owned();
            Err(refuse(
                id.unwrap_or_default(),
                ErrorCode::InvalidRequest,
                why,
            ))
        }
    }
}

fn lenient_error(error: &Value) -> Error {
    Error::deserialize(error).unwrap_or_else(|_| Error {
        code: ErrorCode::InternalError,
        message: error.to_string().into(),
        data: None,
    })
}

/// Parses JSON, lone surrogates included: editors written in JavaScript send them for text that has
/// them, and refusing the change would leave the document wrong from then on.
pub(crate) fn from_json(body: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(body).or_else(|error| {
        if error.is_eof() {
            return Err(error);
        }
        match replace_lone_surrogates(body) {
            Some(body) => serde_json::from_slice(&body),
            None => Err(error),
        }
    })
}

/// Replaces `\uD800`…`\uDFFF` without a partner by U+FFFD, which is as long in UTF-16. `None` if
/// there is none.
fn replace_lone_surrogates(body: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| -> Option<u32> {
        let escape = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
    };
    let mut out = body.to_vec();
    let mut changed = false;
    let mut at = 0;
    while at < body.len() {
        let (length, lone) = match (body[at], unit(at)) {
            (_, Some(0xD800..=0xDBFF)) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => {
                (12, false)
            }
            (_, Some(0xD800..=0xDFFF)) => (6, true),
            (b'\\', _) => (2, false),
            _ => (1, false),
        };
        if lone {
            out[at + 2..at + 6].copy_from_slice(b"fffd");
            changed = true;
        }
        at += length;
    }
    changed.then_some(out)
}

/// Writes messages in batches: those the server starts before replies, and what is told aside when there is
/// nothing else.
async fn write_all<W, Q>(
    mut writer: W,
    mut requests: Q,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
    aside: Arc<Aside>,
) -> std::io::Result<()>
where
    W: AsyncWrite + Unpin,
    Q: Stream<Item = Request> + Unpin,
{
    let mut batch = Vec::new();
    let mut requests_open = true;
    loop {
        let mut last = tokio::select! {
            biased;
            request = requests.next(), if requests_open => {
                match request {
                    Some(request) => encode(&mut batch, &request),
                    None => requests_open = false,
                }
                false
            }
            out = queue.recv() => push(&mut batch, out),
            body = aside.next() => {
                frame(&mut batch, &body);
                false
            }
        };
        while batch.len() < BATCH {
            if let Some(Some(request)) = requests.next().now_or_never() {
                encode(&mut batch, &request);
            } else if let Ok(out) = queue.try_recv() {
                last |= push(&mut batch, Some(out));
            } else if !last && let Some(body) = aside.take() {
                frame(&mut batch, &body);
            } else {
                break;
            }
        }
        writer.write_all(&batch).await?;
        writer.flush().await?;
        batch.clear();
        batch.shrink_to(BATCH);
        if last {
            return Ok(());
        }
    }
}

/// Adds a reply to the batch. `true` if nothing comes after it.
fn push(batch: &mut Vec<u8>, out: Option<Outgoing>) -> bool {
    match out {
        Some(Outgoing::Response(response)) => {
            encode(batch, &response);
            false
        }
        Some(Outgoing::Last) | None => true,
    }
}

fn frame(batch: &mut Vec<u8>, body: &[u8]) {
    batch.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    batch.extend_from_slice(body);
}

fn encode<T: serde::Serialize>(batch: &mut Vec<u8>, message: &T) {
    match serde_json::to_vec(message) {
        Ok(body) => frame(batch, &body),
        // Cannot happen for a message that was made of JSON values.
        Err(error) => tracing::error!(%error, "cannot write a message"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_do_not_cost_a_change() {
        let check = |json: &str, expected: &str| {
            let value = from_json(json.as_bytes()).unwrap();
            assert_eq!(value, Value::String(expected.into()), "{json}");
        };
        check(r#""a\ud800b""#, "a\u{fffd}b");
        check(r#""\udc00\ud83d\ude00""#, "\u{fffd}\u{1f600}");
        check(r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}");
        // A backslash before the `u` is text, not an escape.
        check(r#""\\ud800\ud800""#, "\\ud800\u{fffd}");
        assert!(from_json(br#"{"a":}"#).is_err());
    }

    #[tokio::test]
    async fn what_is_told_aside_lets_everything_else_pass() {
        let aside = Arc::new(Aside::default());
        let uri = lsp_types::Uri::parse("file:///a").unwrap();
        aside.tell(&uri, "aside", &"x".repeat(BATCH));
        let (queue, outgoing) = mpsc::unbounded_channel();
        let reply = |id| Outgoing::Response(Response::from_ok(Id::Number(id), Value::Null));
        for id in [1, 2] {
            assert!(queue.send(reply(id)).is_ok());
        }
        let asked = futures::stream::iter([Request::build("asked").finish()]);
        let (ours, mut theirs) = tokio::io::duplex(4 * BATCH);
        let writing = tokio::spawn(write_all(ours, asked, outgoing, aside.clone()));
        let mut decoder = Decoder::new(2 * BATCH);
        let mut heard = Vec::new();
        while heard.len() < 4 {
            theirs.read_buf(&mut decoder.buffer).await.unwrap();
            while let Some(Frame::Body(body)) = decoder.next() {
                let message: Value = serde_json::from_slice(&body).unwrap();
                heard.push(message.get("method").unwrap_or(&message["id"]).clone());
            }
        }
        assert_eq!(
            Value::from(heard),
            serde_json::json!(["asked", 1, 2, "aside"])
        );
        // Its last words are the end, whatever is still to be told.
        assert!(queue.send(Outgoing::Last).is_ok());
        writing.await.unwrap().unwrap();
    }

    #[test]
    fn messages_are_told_apart() {
        let kind = |json: &str| match parse(json.as_bytes()) {
            Ok(Incoming::Request(r)) => format!("{} {:?}", r.method(), r.id()),
            Ok(Incoming::Response(r)) => format!("reply {:?} {}", r.id(), r.is_ok()),
            Err(r) => r
                .error()
                .map(|e| e.code.code().to_string())
                .unwrap_or_default(),
        };
        assert_eq!(kind(r#"{"method":"a"}"#), "a None");
        assert_eq!(
            kind(r#"{"id":"x","method":"a","params":[]}"#),
            "a Some(String(\"x\"))"
        );
        assert_eq!(kind(r#"{"id":3,"result":null}"#), "reply Number(3) true");
        assert_eq!(kind(r#"{"id":3}"#), "reply Number(3) true");
        assert_eq!(
            kind(r#"{"id":3,"result":null,"error":{"code":1,"message":"m"}}"#),
            "reply Number(3) false"
        );
        assert_eq!(kind(r#"{"id":3,"error":"odd"}"#), "reply Number(3) false");
        assert_eq!(kind(r#"{"id":{},"method":"a"}"#), "-32600");
        assert_eq!(kind(r#"{}"#), "-32600");
        assert_eq!(kind(r#"[]"#), "-32600");
        assert_eq!(kind(r#"{"method""#), "-32700");
        assert_eq!(kind(&"[".repeat(10_000)), "-32700");
    }
}
