//! Connects commands to the daemon.

mod start;

use std::{io, time::Duration};

use async_trait::async_trait;
use claudecluster_protocol::{
    ErrorBody, EventSeq, GoalId,
    api::{Answer, Call, ConnectionPurpose, DaemonFile, Hello, Reply, Request, VERSION, Welcome},
    event::StreamItem,
};
use claudecluster_service::{TypedCalls, unexpected_answer};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Mutex,
    time::timeout,
};

use crate::{exit::ErrorContext, home::Home};

pub(crate) use start::StartReport;

/// Limits the wait for a greeting. A daemon that works greets within milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Finds the daemon of a state folder.
#[derive(Clone, Debug)]
pub(crate) struct DaemonClient {
    home: Home,
}

/// The result of looking for a daemon.
pub(crate) enum DaemonLookup {
    /// A daemon of our version answers.
    Ready(DaemonLink),
    /// A daemon of another version answers.
    Other(DaemonLink),
    /// No daemon runs.
    None,
}

/// Holds an open connection after the exchange of [`Hello`] and [`Welcome`].
pub(crate) struct DaemonLink {
    pub(crate) reader: BufReader<OwnedReadHalf>,
    pub(crate) writer: OwnedWriteHalf,
    pub(crate) welcome: Welcome,
}

impl DaemonClient {
    pub(crate) fn new(home: Home) -> Self {
        Self { home }
    }

    /// Looks for a daemon and starts none.
    pub(crate) async fn find(&self, purpose: ConnectionPurpose) -> Result<DaemonLookup, ErrorBody> {
        let Some(file) = self.home.read_daemon_file() else {
            return Ok(DaemonLookup::None);
        };
        let found = self.greet(&file, purpose.clone()).await;
        match self.home.read_daemon_file() {
            // The next daemon has taken the place of the one that the file named: its secret is
            // another one.
            Some(newer) if found.is_err() && newer != file => self.greet(&newer, purpose).await,
            _ => found,
        }
    }

    /// Exchanges greetings with the daemon that `file` names.
    async fn greet(
        &self,
        file: &DaemonFile,
        purpose: ConnectionPurpose,
    ) -> Result<DaemonLookup, ErrorBody> {
        let stream = match UnixStream::connect(&file.socket).await {
            Ok(stream) => stream,
            // A daemon that is gone leaves its socket behind, or not even that.
            Err(e) if is_gone(&e) => return Ok(DaemonLookup::None),
            Err(e) => {
                return Err(ErrorBody::environment(format!(
                    "cannot reach the daemon at {}: {e}",
                    file.socket
                )));
            }
        };
        exchange_greetings(stream, file, purpose).await
    }

    /// Opens a connection for requests, and starts a daemon if none runs.
    pub(crate) async fn connect(&self) -> Result<DaemonConnection, ErrorBody> {
        Ok(DaemonConnection::new(
            self.link(ConnectionPurpose::Requests).await?,
        ))
    }

    /// Opens a connection for requests to a running daemon, if there is one.
    pub(crate) async fn connect_running(&self) -> Result<Option<DaemonConnection>, ErrorBody> {
        Ok(match self.find(ConnectionPurpose::Requests).await? {
            DaemonLookup::Ready(link) | DaemonLookup::Other(link) => {
                Some(DaemonConnection::new(link))
            }
            DaemonLookup::None => None,
        })
    }

    /// Streams the events of one goal, or of all, after `after` and from then on. `attended` says that
    /// somebody who can answer questions looks at them.
    pub(crate) async fn watch(
        &self,
        goal_id: Option<GoalId>,
        after: Option<EventSeq>,
        attended: bool,
    ) -> Result<WatchStream, ErrorBody> {
        let connection = self.connect().await?;
        let mut lines = connection.lines.into_inner();
        let id = lines
            .send(Call::Watch {
                goal_id,
                after,
                attended,
            })
            .await?;
        Ok(WatchStream { lines, id })
    }
}

/// Sends each call on a connection of its own, and starts a daemon if none runs.
#[async_trait]
impl TypedCalls for DaemonClient {
    async fn send_call(&self, call: Call) -> Result<Answer, ErrorBody> {
        self.connect().await?.send_call(call).await
    }
}

/// Exchanges the greetings of a new connection. A daemon that hangs up meanwhile was ending.
async fn exchange_greetings(
    stream: UnixStream,
    file: &DaemonFile,
    purpose: ConnectionPurpose,
) -> Result<DaemonLookup, ErrorBody> {
    let own = rustix::process::geteuid().as_raw();
    let peer = stream
        .peer_cred()
        .context("cannot determine who owns the daemon's socket")?
        .uid();
    if peer != own {
        return Err(ErrorBody::environment(format!(
            "the socket {} belongs to another user (uid {peer})",
            file.socket
        ))
        .with_hint("set CLAUDECLUSTER_HOME to a folder that only you can write"));
    }
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let hello = Hello {
        version: VERSION.to_owned(),
        purpose,
        secret: file.secret.clone(),
    };
    let mut line = String::new();
    let greeted = async {
        write_line(&mut writer, &hello).await?;
        reader.read_line(&mut line).await
    };
    let hung = |_| Err(io::Error::other("no response"));
    match timeout(PATIENCE, greeted).await.unwrap_or_else(hung) {
        Ok(0) => return Ok(DaemonLookup::None),
        Ok(_) => {}
        Err(e) if is_gone(&e) => return Ok(DaemonLookup::None),
        Err(e) => {
            return Err(
                ErrorBody::environment(format!("the daemon is not responding: {e}"))
                    .with_hint(format!("stop it with: kill {}", file.pid)),
            );
        }
    }
    let welcome: Welcome = serde_json::from_str(&line).map_err(|_| {
        ErrorBody::environment("another program is listening on the daemon's socket")
            .with_hint(format!("stop process {}, then try again", file.pid))
    })?;
    let same = welcome.version == VERSION;
    if let (true, Some(error)) = (same, &welcome.error) {
        return Err(error.clone());
    }
    let link = DaemonLink {
        reader,
        writer,
        welcome,
    };
    Ok(if same {
        DaemonLookup::Ready(link)
    } else {
        DaemonLookup::Other(link)
    })
}

fn is_gone(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
    )
}

async fn write_line(writer: &mut OwnedWriteHalf, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

/// Sends requests, one at a time.
pub(crate) struct DaemonConnection {
    lines: Mutex<RequestLines>,
    pub(crate) welcome: Welcome,
}

/// Reads and writes requests and replies as lines of a socket.
struct RequestLines {
    reader: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    last_id: u64,
}

impl DaemonConnection {
    fn new(link: DaemonLink) -> Self {
        Self {
            lines: Mutex::new(RequestLines {
                reader: link.reader.lines(),
                writer: link.writer,
                last_id: 0,
            }),
            welcome: link.welcome,
        }
    }

    /// Waits until the daemon hangs up.
    async fn closed(self) {
        let mut lines = self.lines.into_inner();
        while let Ok(Some(_)) = lines.reader.next_line().await {}
    }
}

#[async_trait]
impl TypedCalls for DaemonConnection {
    async fn send_call(&self, call: Call) -> Result<Answer, ErrorBody> {
        let mut lines = self.lines.lock().await;
        let id = lines.send(call).await?;
        lines.next_answer(id).await?.ok_or_else(daemon_lost)
    }
}

impl RequestLines {
    async fn send(&mut self, call: Call) -> Result<u64, ErrorBody> {
        self.last_id += 1;
        let id = self.last_id;
        write_line(&mut self.writer, &Request { id, call })
            .await
            .map_err(|_| daemon_lost())?;
        Ok(id)
    }

    /// Returns the next answer to request `id`, or `None` once the daemon has hung up. Dropping
    /// this future loses nothing.
    async fn next_answer(&mut self, id: u64) -> Result<Option<Answer>, ErrorBody> {
        loop {
            let Ok(Some(line)) = self.reader.next_line().await else {
                return Ok(None);
            };
            let reply: Reply = serde_json::from_str(&line)
                .map_err(|e| ErrorBody::internal(format!("cannot read the daemon's reply: {e}")))?;
            if reply.id == id {
                return reply.result.map(Some);
            }
        }
    }
}

/// Streams the items of a watch.
pub(crate) struct WatchStream {
    lines: RequestLines,
    id: u64,
}

impl WatchStream {
    /// Returns the next item, or `None` once the daemon has ended. Dropping this future loses
    /// nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<StreamItem>, ErrorBody> {
        match self.lines.next_answer(self.id).await? {
            Some(Answer::Item { item }) => Ok(Some(item)),
            Some(other) => Err(unexpected_answer(&other)),
            None => Ok(None),
        }
    }
}

/// Returns the error for a daemon that hung up before it answered.
pub(crate) fn daemon_lost() -> ErrorBody {
    ErrorBody::environment("the daemon stopped before it answered").with_hint(
        "nothing is lost: the next command restarts it and goals resume; \
         run `claudecluster doctor` to find its log",
    )
}
