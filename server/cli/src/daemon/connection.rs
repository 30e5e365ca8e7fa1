//! Serves one connection, from its first line to its end.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use claudecluster_lsp::{ExitStatus, LspConfig};
use claudecluster_protocol::{
    ErrorBody,
    api::{ConnectionPurpose, Hello, Reply, Request, VERSION, Welcome},
    goal::EnvVar,
};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

use super::{DaemonState, requests::answer_request};

/// Limits the length of a client's line. A request can hold a plan with its instructions.
const LINE_LIMIT: u64 = 64 << 20;
/// Limits the replies that wait for a slow client. Beyond this limit, the client's requests wait
/// too.
const QUEUE: usize = 64;

/// Starts the last line of an editor's connection, after the last frame: the exit status of the
/// server follows. Frames start with a header, so no frame starts like this.
pub(crate) const FAREWELL: &str = "claudecluster-exit: ";
/// Replaces the exit status if the daemon ends before the editor does.
pub(crate) const STOPPED: &str = "stopped";

/// Counts a client while it is connected.
struct ClientCount(Arc<DaemonState>);

impl ClientCount {
    fn new(shared: &Arc<DaemonState>) -> Self {
        shared.clients.send_modify(|count| *count += 1);
        Self(shared.clone())
    }
}

impl Drop for ClientCount {
    fn drop(&mut self) {
        self.0.clients.send_modify(|count| *count -= 1);
    }
}

pub(super) async fn serve_connection(stream: UnixStream, shared: Arc<DaemonState>) {
    let _counted = ClientCount::new(&shared);
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own => {}
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "refused a connection from another user");
            return;
        }
        Err(e) => {
            tracing::warn!(error = %e, "refused a connection from an unknown user");
            return;
        }
    }
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let hello = match read_line(&mut reader).await {
        Ok(Some(line)) => serde_json::from_slice::<Hello>(&line).map_err(|e| e.to_string()),
        Ok(None) => return,
        Err(e) => Err(e.to_string()),
    };
    let error = match &hello {
        Ok(hello) if hello.version == VERSION => None,
        Ok(hello) => Some(
            ErrorBody::environment(format!(
                "the daemon is version {VERSION}, but the client is version {}",
                hello.version
            ))
            .with_hint("stop the daemon with: claudecluster daemon stop"),
        ),
        Err(e) => Some(ErrorBody::user(format!(
            "the first line is not a valid greeting: {e}"
        ))),
    };
    let welcome = Welcome {
        version: VERSION.to_owned(),
        pid: std::process::id(),
        error: error.clone(),
    };
    if write_line(&mut writer, &welcome).await.is_err() {
        return;
    }
    match (hello, error) {
        (Err(_), _) => {}
        (
            Ok(Hello {
                purpose: ConnectionPurpose::Lsp { env },
                ..
            }),
            // The protocol they speak has no version of ours: a pipe that is older goes on with us.
            _,
        ) => serve_editor(reader, writer, shared, env).await,
        // A client of another version may still ask how we are and to make way for its own.
        (
            Ok(Hello {
                purpose: ConnectionPurpose::Requests,
                ..
            }),
            other,
        ) => {
            serve_requests(reader, writer, shared, other).await;
        }
    }
}

/// Serves requests, each in its own task, until the client hangs up or the daemon ends.
async fn serve_requests(
    mut reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    shared: Arc<DaemonState>,
    limited: Option<ErrorBody>,
) {
    let (replies, mut queue) = mpsc::channel::<Reply>(QUEUE);
    let mut tasks = tokio::task::JoinSet::new();
    let writing = tokio::spawn(async move {
        while let Some(reply) = queue.recv().await {
            if write_line(&mut writer, &reply).await.is_err() {
                break;
            }
        }
    });
    let stop = shared.stop.clone();
    loop {
        let line = tokio::select! {
            () = stop.cancelled() => break,
            line = read_line(&mut reader) => line,
        };
        let request = match line {
            Ok(Some(line)) => serde_json::from_slice::<Request>(&line).map_err(|e| e.to_string()),
            Ok(None) => break,
            Err(e) => Err(e.to_string()),
        };
        match request {
            Ok(request) => {
                let (shared, replies) = (shared.clone(), replies.clone());
                let limited = limited.clone();
                tasks.spawn(answer_request(request, shared, replies, limited));
            }
            Err(e) => {
                let error = ErrorBody::user(format!("invalid request: {e}"));
                let _ = replies
                    .send(Reply {
                        id: 0,
                        result: Err(error),
                    })
                    .await;
                break;
            }
        }
        // Those that are done are forgotten, so that a long connection does not grow.
        while tasks.try_join_next().is_some() {}
    }
    // Nobody waits for the rest: watches, and calls of a client that is gone.
    tasks.shutdown().await;
    drop(replies);
    let _ = writing.await;
}

/// Serves an editor, then sends the server's exit status, so that the pipe can pass it on.
async fn serve_editor(
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    shared: Arc<DaemonState>,
    env: Vec<EnvVar>,
) {
    let config = LspConfig {
        env,
        diffs: Some(shared.diffs.clone()),
        plans: Some(shared.plans.clone()),
        ..LspConfig::default()
    };
    let writer = SharedWriter(Arc::new(Mutex::new(writer)));
    let service = Arc::new(shared.driver.clone());
    let serving = claudecluster_lsp::serve(reader, writer.clone(), service, config);
    let said = tokio::select! {
        () = shared.stop.cancelled() => STOPPED.to_owned(),
        status = serving => match status {
            ExitStatus::Clean => "0".to_owned(),
            ExitStatus::Unclean => "1".to_owned(),
        },
    };
    let mut writer = writer;
    let farewell = format!("{FAREWELL}{said}\n");
    let _ = writer.write_all(farewell.as_bytes()).await;
}

/// Shares a writer with the server, so that the writer outlives the server.
#[derive(Clone)]
struct SharedWriter(Arc<Mutex<OwnedWriteHalf>>);

impl SharedWriter {
    fn with<T>(&self, f: impl FnOnce(Pin<&mut OwnedWriteHalf>) -> T) -> T {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(Pin::new(&mut *inner))
    }
}

impl AsyncWrite for SharedWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|inner| inner.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|inner| inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The farewell is still to come.
        Poll::Ready(Ok(()))
    }
}

/// Reads one line without its line end. Returns `None` if the client has hung up.
async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = reader.take(LINE_LIMIT).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(Some(line)),
        _ if read as u64 == LINE_LIMIT => Err(io::Error::other("the line is too long")),
        _ => Ok(None),
    }
}

async fn write_line(writer: &mut OwnedWriteHalf, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    writer.write_all(&line).await
}
