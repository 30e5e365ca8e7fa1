//! The exchange of greetings: who may talk to the daemon, before anything is held for them.

use std::{
    fmt, io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use claudecluster_protocol::{
    ErrorBody,
    api::{ConnectionPurpose, Hello, Reply, Request, SocketSecret, VERSION, Welcome},
};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::{peer, secret};

/// Limits the time for a greeting. A client sends it at once.
const GREETING_TIME: Duration = Duration::from_secs(10);
/// Limits the length of a greeting, which contains the variables of an editor's environment.
const GREETING_LIMIT: u64 = 256 << 10;
/// How many refused connections are logged one by one. From then on each time their number has doubled.
const LOGGED_REFUSALS: u64 = 32;

/// Starts the last line of an editor's connection, after the last frame: the exit status of the
/// server follows. Frames start with a header, so no frame starts like this.
pub(crate) const FAREWELL: &str = "claudecluster-exit: ";
/// Replaces the exit status if the daemon ends before the editor does.
pub(crate) const STOPPED: &str = "stopped";

/// Holds a client that may talk to the daemon.
pub(super) struct GreetedClient {
    pub(super) reader: BufReader<OwnedReadHalf>,
    pub(super) writer: OwnedWriteHalf,
    pub(super) purpose: ConnectionPurpose,
    /// The error for most requests of a client of another version.
    pub(super) version_error: Option<ErrorBody>,
}

/// Exchanges greetings with a client. Returns `None` if the client was refused or said nothing in
/// time; it has been told why as far as it can be.
pub(super) async fn receive_greeting(
    stream: UnixStream,
    secret: &SocketSecret,
) -> Option<GreetedClient> {
    let peer = peer::check_peer(&stream);
    if let Err(refusal) = &peer {
        log_refusal(peer_pid(&stream), refusal);
    }
    let refusal = match peer {
        Ok(()) => None,
        Err(peer::PeerRefusal::OtherUser(_)) => return None,
        Err(refusal) => Some(refuse_peer(&refusal)),
    };
    let pid = peer_pid(&stream);
    let (reader, writer) = stream.into_split();
    let mut client = UnknownClient {
        reader: BufReader::new(reader),
        writer,
        pid,
    };
    let greeted = timeout(GREETING_TIME, client.exchange(secret, refusal)).await;
    match greeted {
        Ok(greeted) => {
            let (purpose, version_error) = greeted?;
            Some(GreetedClient {
                reader: client.reader,
                writer: client.writer,
                purpose,
                version_error,
            })
        }
        Err(_) => {
            log_refusal(pid, &"it did not greet in time");
            None
        }
    }
}

/// Logs a refused connection. Only some of many are logged, so that a client cannot fill the disk with them.
fn log_refusal(pid: Option<i32>, why: &dyn fmt::Display) {
    static REFUSED: AtomicU64 = AtomicU64::new(0);
    let number = REFUSED.fetch_add(1, Ordering::Relaxed) + 1;
    if number <= LOGGED_REFUSALS || number.is_power_of_two() {
        tracing::warn!(pid, number, "refused a connection: {why}");
    }
}

fn peer_pid(stream: &UnixStream) -> Option<i32> {
    stream.peer_cred().ok().and_then(|peer| peer.pid())
}

/// Returns the error for a process that is not where it should be.
fn refuse_peer(refusal: &peer::PeerRefusal) -> ErrorBody {
    ErrorBody::environment(format!("the daemon refuses this process: {refusal}")).with_hint(
        "run claudecluster and its daemon on the same side of the container or sandbox; \
         from a Flatpak use: flatpak-spawn --host claudecluster",
    )
}

struct UnknownClient {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    pid: Option<i32>,
}

impl UnknownClient {
    /// Reads the greeting and answers it. Returns `None` if the connection ends with it.
    async fn exchange(
        &mut self,
        secret: &SocketSecret,
        refusal: Option<ErrorBody>,
    ) -> Option<(ConnectionPurpose, Option<ErrorBody>)> {
        let hello = match read_line(&mut self.reader, GREETING_LIMIT).await {
            Ok(Some(line)) => serde_json::from_slice::<Hello>(&line).map_err(|e| e.to_string()),
            Ok(None) => return None,
            Err(e) => Err(e.to_string()),
        };
        let hello = match hello {
            Ok(hello) => hello,
            Err(why) => {
                let why = format!("the first line is not a valid greeting: {why}");
                self.welcome(Some(ErrorBody::user(why))).await?;
                return None;
            }
        };
        let version_error = (hello.version != VERSION).then(|| refuse_version(&hello.version));
        let refusal = refusal.or_else(|| {
            (!secret::is_secret(secret, hello.secret.as_ref())).then(|| {
                log_refusal(self.pid, &"it came without the daemon's secret");
                match &version_error {
                    // A program from before the secret cannot show it.
                    Some(error) if hello.secret.is_none() => error.clone(),
                    _ => refuse_secret(),
                }
            })
        });
        if let Some(error) = refusal {
            self.welcome(Some(error.clone())).await?;
            self.refuse(hello.purpose, version_error.is_some(), error)
                .await;
            return None;
        }
        self.welcome(version_error.clone()).await?;
        Some((hello.purpose, version_error))
    }

    async fn welcome(&mut self, error: Option<ErrorBody>) -> Option<()> {
        let welcome = Welcome {
            version: VERSION.to_owned(),
            pid: std::process::id(),
            error,
        };
        write_line(&mut self.writer, &welcome).await.ok()
    }

    /// Ends a refused connection in the way that a client expects which does not look at the
    /// welcome's error: one of another version.
    async fn refuse(&mut self, purpose: ConnectionPurpose, other_version: bool, error: ErrorBody) {
        match purpose {
            _ if !other_version => {}
            // Its program has been replaced meanwhile: the editor starts the new one.
            ConnectionPurpose::Lsp { .. } => {
                let farewell = format!("{FAREWELL}1\n");
                let _ = self.writer.write_all(farewell.as_bytes()).await;
            }
            ConnectionPurpose::Requests => {
                let line = read_line(&mut self.reader, GREETING_LIMIT).await;
                let Ok(Some(line)) = line else { return };
                if let Ok(Request { id, .. }) = serde_json::from_slice(&line) {
                    let result = Err(error);
                    let _ = write_line(&mut self.writer, &Reply { id, result }).await;
                }
            }
        }
    }
}

fn refuse_version(client: &str) -> ErrorBody {
    ErrorBody::environment(format!(
        "the daemon is version {VERSION}, but the client is version {client}"
    ))
    .with_hint(
        "use the program of the daemon's version, or stop the daemon with that one: \
         claudecluster daemon stop",
    )
}

fn refuse_secret() -> ErrorBody {
    ErrorBody::environment("the daemon refuses this client: it does not show the daemon's secret")
        .with_hint(format!(
            "update claudecluster and restart your editor; if daemon.json in the state folder was \
             changed, stop the daemon with: kill {}",
            std::process::id()
        ))
}

/// Reads one line of at most `limit` bytes, without its line end. Returns `None` if the client has
/// hung up.
pub(super) async fn read_line(
    reader: &mut BufReader<OwnedReadHalf>,
    limit: u64,
) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = reader.take(limit).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(Some(line)),
        _ if read as u64 == limit => Err(io::Error::other("the line is too long")),
        _ => Ok(None),
    }
}

/// Writes a message as one line.
pub(super) async fn write_line(
    writer: &mut OwnedWriteHalf,
    message: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn start(secret: &SocketSecret) -> (tokio::task::JoinHandle<bool>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let secret = secret.clone();
        let greeted = async move { receive_greeting(ours, &secret).await.is_some() };
        (tokio::spawn(greeted), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_whole_greeting_ends_at_the_deadline() {
        let secret = secret::create_secret().unwrap();
        for said in ["", "{\"version\":"] {
            let begun = Instant::now();
            let (greeting, mut client) = start(&secret);
            client.write_all(said.as_bytes()).await.unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            assert_eq!((heard, greeting.await.unwrap()), (Vec::new(), false));
            assert!(begun.elapsed() >= GREETING_TIME);
        }
    }

    #[tokio::test]
    async fn a_greeting_without_an_end_is_refused_at_its_limit() {
        let secret = secret::create_secret().unwrap();
        let (greeting, client) = start(&secret);
        let (from_daemon, mut to_daemon) = client.into_split();
        let flood = tokio::spawn(async move {
            let mut sent = 0_u64;
            while to_daemon.write_all(&[b'x'; 4096]).await.is_ok() {
                sent += 4096;
            }
            sent
        });
        let mut heard = String::new();
        let mut from_daemon = BufReader::new(from_daemon);
        from_daemon.read_line(&mut heard).await.unwrap();
        assert!(!greeting.await.unwrap());
        assert!(heard.contains("the line is too long"), "{heard}");
        // A buffer of the reader and one of the socket at most.
        assert!(flood.await.unwrap() < 4 * GREETING_LIMIT);
    }
}
