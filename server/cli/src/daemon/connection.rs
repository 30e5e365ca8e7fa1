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
    api::{ConnectionPurpose, Reply, Request},
    goal::EnvVar,
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{OwnedSemaphorePermit, mpsc},
};

use super::{
    DaemonState,
    greeting::{self, FAREWELL, GreetedClient, STOPPED, read_line, write_line},
    requests::answer_request,
};

/// Limits the length of a request. It can hold a plan with its instructions.
const REQUEST_LIMIT: u64 = 64 << 20;
/// Limits the replies that wait for a slow client. Beyond this limit, the client's requests wait
/// too.
const QUEUE: usize = 64;

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

/// Serves a connection. `turn` is its place among those that have not greeted yet.
pub(super) async fn serve_connection(
    stream: UnixStream,
    shared: Arc<DaemonState>,
    turn: Option<OwnedSemaphorePermit>,
) {
    let greeted = tokio::select! {
        () = shared.stop.cancelled() => None,
        greeted = greeting::receive_greeting(stream, &shared.secret) => greeted,
    };
    drop(turn);
    let Some(GreetedClient {
        reader,
        writer,
        purpose,
        version_error,
    }) = greeted
    else {
        return;
    };
    let _counted = ClientCount::new(&shared);
    match purpose {
        // The protocol they speak has no version of ours: a pipe that is older goes on with us.
        ConnectionPurpose::Lsp { env } => serve_editor(reader, writer, shared, env).await,
        // A client of another version may still ask how we are and to make way for its own.
        ConnectionPurpose::Requests => {
            serve_requests(reader, writer, shared, version_error).await;
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
            line = read_line(&mut reader, REQUEST_LIMIT) => line,
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
