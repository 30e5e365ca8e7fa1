//! Links: messages in both directions, by value in this process or as lines of JSON over a byte stream.

use std::io;

use claudecluster_protocol::{
    StopReason,
    worker::{JobReport, LINE_BYTES, MessageFromWorker, MessageToWorker},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{
        AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader,
    },
    sync::mpsc,
    task::JoinHandle,
};
use tracing::Instrument as _;

/// Messages that wait in one direction of a link.
const WAITING: usize = 16;
/// A line buffer that has grown beyond this is given back.
const KEPT_BUFFER: usize = 1 << 20;

/// One end of a connection between a daemon and a worker.
#[derive(Debug)]
pub struct LinkEnd<Out, In> {
    /// Takes what is sent. It never holds an error.
    pub sender: mpsc::Sender<Result<Out, LinkError>>,
    /// Gives what has come. Ends when the other side has ended, and after an error.
    pub receiver: mpsc::Receiver<Result<In, LinkError>>,
}

/// The daemon's end.
pub type DaemonLinkEnd = LinkEnd<MessageToWorker, MessageFromWorker>;
/// The worker's end.
pub type WorkerLinkEnd = LinkEnd<MessageFromWorker, MessageToWorker>;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A line is longer than any message.
    #[error("a line has more than {LINE_BYTES} bytes")]
    TooLong,
    /// A line is no message.
    #[error("a line is not a message: {0}")]
    NotAMessage(String),
    /// A message came that cannot come now.
    #[error("a message came out of order: {0}")]
    OutOfOrder(String),
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}

/// Returns both ends of a link inside this process. It carries values: nothing is encoded or copied.
pub fn in_process() -> (DaemonLinkEnd, WorkerLinkEnd) {
    let (to_worker, from_daemon) = mpsc::channel(WAITING);
    let (to_daemon, from_worker) = mpsc::channel(WAITING);
    let daemon = LinkEnd {
        sender: to_worker,
        receiver: from_worker,
    };
    let worker = LinkEnd {
        sender: to_daemon,
        receiver: from_daemon,
    };
    (daemon, worker)
}

/// A message that can be written as lines.
pub trait WireMessage: Serialize + DeserializeOwned + Send + 'static {
    /// Returns the messages that carry the same in lines of bearable length.
    fn into_parts(self) -> Vec<Self> {
        vec![self]
    }

    /// Returns what is sent if the message is too long for a line; `None` ends the link.
    fn shortened(&self) -> Option<Self> {
        None
    }
}

impl WireMessage for MessageToWorker {
    fn into_parts(self) -> Vec<Self> {
        match self {
            Self::Content(part) => part.split_parts().into_iter().map(Self::Content).collect(),
            other => vec![other],
        }
    }
}

impl WireMessage for MessageFromWorker {
    fn into_parts(self) -> Vec<Self> {
        match self {
            Self::Content(part) => part.split_parts().into_iter().map(Self::Content).collect(),
            other => vec![other],
        }
    }

    fn shortened(&self) -> Option<Self> {
        let Self::Report { epoch, report } = self else {
            return None;
        };
        let words = format!("the report of the attempt is longer than {LINE_BYTES} bytes");
        let short = JobReport {
            usage: report.usage,
            sandbox: report.sandbox,
            ..JobReport::failed_with(StopReason::ChangesRefused, words)
        };
        Some(Self::Report {
            epoch: *epoch,
            report: Box::new(short),
        })
    }
}

/// The tasks behind a link over a byte stream. Dropping them ends the link.
#[derive(Debug)]
pub struct LinkTasks {
    reading: JoinHandle<()>,
    writing: JoinHandle<()>,
}

impl LinkTasks {
    /// Waits until everything that was sent is written. The link's sender must be gone.
    pub async fn written(&mut self) {
        // It ends by itself, or has panicked, which is logged.
        let _ = (&mut self.writing).await;
    }
}

impl Drop for LinkTasks {
    fn drop(&mut self) {
        self.reading.abort();
        self.writing.abort();
    }
}

/// Returns a link over a byte stream. Both directions are bounded: who does not read is not written to.
pub fn over_lines<Out: WireMessage, In: WireMessage>(
    reader: impl AsyncRead + Send + Unpin + 'static,
    writer: impl AsyncWrite + Send + Unpin + 'static,
) -> (LinkEnd<Out, In>, LinkTasks) {
    let (sender, outgoing) = mpsc::channel(WAITING);
    let (incoming, receiver) = mpsc::channel(WAITING);
    let reader = BufReader::with_capacity(64 << 10, reader);
    let reading = read_messages(reader, incoming);
    let writing = write_messages(writer, outgoing);
    let tasks = LinkTasks {
        reading: tokio::spawn(reading.in_current_span()),
        writing: tokio::spawn(writing.in_current_span()),
    };
    (LinkEnd { sender, receiver }, tasks)
}

async fn read_messages<In: WireMessage>(
    mut reader: impl AsyncBufRead + Unpin,
    incoming: mpsc::Sender<Result<In, LinkError>>,
) {
    let mut line = Vec::new();
    loop {
        let message = match read_line(&mut reader, &mut line).await {
            Ok(false) => return,
            Ok(true) => serde_json::from_slice(&line)
                .map_err(|error| LinkError::NotAMessage(error.to_string())),
            Err(error) => Err(error),
        };
        let last = message.is_err();
        if incoming.send(message).await.is_err() || last {
            return;
        }
        line.clear();
        if line.capacity() > KEPT_BUFFER {
            line = Vec::new();
        }
    }
}

/// Reads a line without its end; `false` at the end of the stream.
async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> Result<bool, LinkError> {
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return if line.is_empty() {
                Ok(false)
            } else {
                Err(LinkError::NotAMessage("it breaks off".to_owned()))
            };
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(chunk.len());
        if line.len() + taken >= LINE_BYTES {
            return Err(LinkError::TooLong);
        }
        line.extend_from_slice(&chunk[..taken]);
        reader.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            return Ok(true);
        }
    }
}

async fn write_messages<Out: WireMessage>(
    mut writer: impl AsyncWrite + Unpin,
    mut outgoing: mpsc::Receiver<Result<Out, LinkError>>,
) {
    while let Some(message) = outgoing.recv().await {
        let Ok(message) = message else { break };
        for part in message.into_parts() {
            let Some(line) = encoded(&part) else {
                tracing::error!("a message to the other side of a link is too long; the link ends");
                return;
            };
            if let Err(error) = writer.write_all(&line).await {
                tracing::debug!(%error, "the other side of a link does not read");
                return;
            }
        }
        if writer.flush().await.is_err() {
            return;
        }
    }
    // The other side may have gone already.
    let _ = writer.shutdown().await;
}

/// Returns a message as a line, or what is sent in its place.
fn encoded<Out: WireMessage>(message: &Out) -> Option<Vec<u8>> {
    let line = |message: &Out| {
        let mut line = serde_json::to_vec(message).ok()?;
        line.push(b'\n');
        (line.len() <= LINE_BYTES).then_some(line)
    };
    line(message).or_else(|| line(&message.shortened()?))
}
