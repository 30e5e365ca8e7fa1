//! The door of one job: takes connections of programs and serves each to its end.

use std::{
    ffi::OsString,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use claudecluster_protocol::network::{HostTraffic, NetworkPolicy};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use super::{
    broker::KeyBroker,
    dial::{DialError, HostDialer, Reached},
    host::{HostName, HostPort},
    ledger::TrafficLedger,
    provider::ProviderHosts,
    questions::HostQuestions,
    relay::relay,
    request::{ProxyRequest, SocksAnswer, Speech, answer_http, answer_socks, read_request},
    rules::{HostVerdict, NetworkRules},
    tunnel::{TunnelStart, check_tunnel},
    upstream::UpstreamProxies,
    variables::door_variables,
};
use crate::{agent::SessionChannels, sandbox::NetworkDoor};

/// The connections of one job that are served at once. Further ones wait.
const CONNECTIONS: usize = 512;
/// The port of the proxy inside. It is not among those that systems give out by themselves.
const PROXY_PORT: u16 = 61_180;
/// How long the last connections of a job may take to be counted.
const LAST_COUNTS: Duration = Duration::from_secs(2);

/// What a door is made from.
pub struct DoorSetup<'a> {
    /// The policy of the job.
    pub policy: &'a NetworkPolicy,
    /// What the job's agent needs of its provider.
    pub provider: ProviderHosts,
    /// The proxies of the user's environment.
    pub upstream: UpstreamProxies,
    /// The broker of the session's login.
    pub broker: Option<KeyBroker>,
    /// Who is asked and told.
    pub channels: &'a SessionChannels,
}

/// Serves the network of one job. Dropping it ends every connection.
#[derive(Debug)]
pub struct TaskDoor {
    state: Arc<DoorState>,
    runtime: Handle,
    proxy_port: u16,
    broker_port: Option<u16>,
    ports: Vec<u16>,
}

#[derive(Debug)]
struct DoorState {
    broker: Option<Arc<KeyBroker>>,
    dialer: HostDialer,
    ledger: Arc<TrafficLedger>,
    slots: Arc<Semaphore>,
    tracker: TaskTracker,
    ended: CancellationToken,
}

impl TaskDoor {
    /// Makes the door of a job. Call it within the runtime that serves it.
    pub fn new(setup: DoorSetup<'_>) -> Self {
        let DoorSetup {
            policy,
            provider,
            upstream,
            broker,
            channels,
        } = setup;
        let mut loopback = policy.loopback.clone();
        loopback.extend_from_slice(&provider.loopback);
        loopback.sort_unstable();
        loopback.dedup();
        let policy = NetworkPolicy {
            loopback,
            ..policy.clone()
        };
        let rules = NetworkRules::new(&policy, &provider.rules);
        let ended = CancellationToken::new();
        let questions = HostQuestions::new(
            channels.questions.clone(),
            channels.clocks.clone(),
            policy.answer_timeout.to_duration(),
            ended.clone(),
        );
        let mut free = (PROXY_PORT..=u16::MAX).filter(|port| !rules.loopback().contains(port));
        let proxy_port = free.next().unwrap_or(PROXY_PORT);
        let broker_port = free.next().filter(|_| broker.is_some());
        let own = [Some(proxy_port), broker_port].into_iter().flatten();
        let ports = own.chain(policy.loopback).collect();
        Self {
            state: Arc::new(DoorState {
                broker: broker.map(Arc::new),
                dialer: HostDialer {
                    rules,
                    questions,
                    upstream,
                },
                ledger: Arc::new(TrafficLedger::new(channels.events.clone())),
                slots: Arc::new(Semaphore::new(CONNECTIONS)),
                tracker: TaskTracker::new(),
                ended,
            }),
            runtime: Handle::current(),
            proxy_port,
            broker_port,
            ports,
        }
    }

    /// Returns the port inside of the broker, if the session has one.
    pub fn broker_port(&self) -> Option<u16> {
        self.broker_port
    }

    /// Returns the variables that lead the session to the broker at a port of its loopback address.
    pub fn broker_variables(&self, port: u16) -> Vec<(OsString, OsString)> {
        let broker = self.state.broker.as_ref();
        broker.map_or_else(Vec::new, |broker| broker.variables(port))
    }

    /// Ends every connection, and returns the counts of all there were, with the number of connections to
    /// hosts that are not counted one by one.
    pub async fn close(&self) -> (Vec<HostTraffic>, u64) {
        self.state.ended.cancel();
        self.state.tracker.close();
        if timeout(LAST_COUNTS, self.state.tracker.wait())
            .await
            .is_err()
        {
            tracing::debug!("connections of a job end late; they are not counted");
        }
        self.state.ledger.totals()
    }
}

impl NetworkDoor for TaskDoor {
    fn ports(&self) -> Vec<u16> {
        self.ports.clone()
    }

    fn own_ports(&self) -> Vec<u16> {
        [Some(self.proxy_port), self.broker_port]
            .into_iter()
            .flatten()
            .collect()
    }

    fn listen(&self, port: u16, listener: StdListener) {
        let _runtime = self.runtime.enter();
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| TcpListener::from_std(listener));
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(port, %error, "cannot serve a port of a sandbox");
                return;
            }
        };
        let kind = match port {
            port if port == self.proxy_port => InnerPort::Proxy,
            port if Some(port) == self.broker_port => InnerPort::Broker,
            port => InnerPort::Loopback(port),
        };
        let serving = accept_all(self.state.clone(), kind, listener);
        self.state.tracker.spawn(serving.in_current_span());
    }

    fn variables(&self) -> Vec<(OsString, OsString)> {
        door_variables(self.proxy_port)
    }
}

impl Drop for TaskDoor {
    fn drop(&mut self) {
        self.state.ended.cancel();
    }
}

/// What a port inside is for.
#[derive(Clone, Copy, Debug)]
enum InnerPort {
    Proxy,
    Broker,
    /// The same port of the machine's loopback address.
    Loopback(u16),
}

/// Takes connections until the door or the program has ended. While too many are served, the others wait in the
/// listener's queue.
async fn accept_all(state: Arc<DoorState>, kind: InnerPort, listener: TcpListener) {
    loop {
        let accepted = async {
            let slot = state.slots.clone().acquire_owned().await.ok()?;
            Some((slot, listener.accept().await))
        };
        let accepted = tokio::select! {
            () = state.ended.cancelled() => return,
            accepted = accepted => accepted,
        };
        let Some((slot, accepted)) = accepted else {
            return;
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(&error) => {
                tracing::debug!(%error, "cannot take a connection of a sandbox");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            // The listener was shut down: its program has ended.
            Err(_) => return,
        };
        let served = state.clone();
        let serving = async move {
            let _slot = slot;
            tokio::select! {
                () = served.ended.cancelled() => {}
                served = serve_connection(&served, kind, stream) => {
                    if let Err(error) = served {
                        tracing::trace!(%error, "a connection of a sandbox broke");
                    }
                }
            }
        };
        state.tracker.spawn(serving.in_current_span());
    }
}

/// Returns whether another try at taking a connection may succeed: the machine is short of something, or the
/// connection has gone meanwhile.
fn is_passing(error: &io::Error) -> bool {
    let short = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::ECONNABORTED,
        libc::EPERM,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| short.contains(&code))
}

async fn serve_connection(
    state: &DoorState,
    kind: InnerPort,
    mut stream: TcpStream,
) -> io::Result<()> {
    // Delays small messages otherwise; where it cannot be set they are delayed.
    let _ = stream.set_nodelay(true);
    match kind {
        InnerPort::Proxy => {
            let Ok(request) = read_request(&mut stream).await else {
                return Ok(());
            };
            serve_request(state, stream, request).await
        }
        InnerPort::Broker => match &state.broker {
            Some(broker) => broker.serve(stream, &state.ledger).await,
            None => Ok(()),
        },
        InnerPort::Loopback(port) => serve_loopback(state, stream, port).await,
    }
}

/// Connects a program to a port of the machine's loopback address.
async fn serve_loopback(state: &DoorState, stream: TcpStream, port: u16) -> io::Result<()> {
    let target = HostPort {
        host: HostName::Address(Ipv4Addr::LOCALHOST.into()),
        port,
    };
    let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let mut reached = Err(io::ErrorKind::ConnectionRefused.into());
    for address in addresses {
        reached = TcpStream::connect((address, port)).await;
        if reached.is_ok() {
            break;
        }
    }
    let host = reached?;
    // As for the other side.
    let _ = host.set_nodelay(true);
    let counts = state.ledger.open_connection(target);
    relay(stream, host, &[], &counts).await
}

async fn serve_request(
    state: &DoorState,
    mut stream: TcpStream,
    request: ProxyRequest,
) -> io::Result<()> {
    let plain_http = matches!(request.speech, Speech::PlainHttp(_));
    let program = request.program.as_deref();
    let decided = tokio::select! {
        // A program may have said all it has to say and still listen. Only while somebody is asked does that
        // count as leaving.
        biased;
        decided = state.dialer.decide(&request.target, program) => decided,
        () = program_left(&stream) => return Ok(()),
    };
    let reached = match decided {
        Ok(()) => {
            let dialer = &state.dialer;
            dialer.reach(&request.target, program, plain_http).await
        }
        Err(error) => Err(error),
    };
    let reached = match reached {
        Ok(reached) => reached,
        Err(error) => {
            if matches!(error, DialError::Denied(_)) {
                state.ledger.count_denied(&request.target);
            }
            return answer_error(&mut stream, &request, &error).await;
        }
    };
    let counts = state.ledger.open_connection(request.target.clone());
    let (host, to_proxy) = match reached {
        Reached::Host(host) => (host, None),
        Reached::Proxy(host, proxy) => (host, Some(proxy.authorization)),
    };
    let early = match &request.speech {
        Speech::Tunnel => {
            let granted = b"HTTP/1.1 200 Connection Established\r\n\r\n";
            stream.write_all(granted).await?;
            request.early
        }
        Speech::Socks => {
            answer_socks(&mut stream, SocksAnswer::Granted).await?;
            request.early
        }
        Speech::PlainHttp(plain) => {
            let to_proxy = to_proxy.as_ref().map(Option::as_deref);
            let mut head = plain.head(&request.target, to_proxy);
            head.extend_from_slice(&request.early);
            return relay(stream, host, &head, &counts).await;
        }
    };
    let target = &request.target;
    let is_allowed =
        |named: &HostPort| state.dialer.rules.judge_host(named) == HostVerdict::Allowed;
    match check_tunnel(&mut stream, &host, target, early, is_allowed).await? {
        TunnelStart::Passed(early) => relay(stream, host, &early, &counts).await,
        TunnelStart::Refused { named, answer } => {
            if let Some(named) = named {
                state.ledger.count_denied(&named);
            }
            stream.write_all(&answer).await?;
            stream.shutdown().await
        }
    }
}

/// Waits until a program that waits for an answer has gone. One that has sent more is taken to be there.
async fn program_left(stream: &TcpStream) {
    let mut next = [0];
    match stream.peek(&mut next).await {
        Ok(0) | Err(_) => {}
        Ok(_) => std::future::pending().await,
    }
}

async fn answer_error(
    stream: &mut TcpStream,
    request: &ProxyRequest,
    error: &DialError,
) -> io::Result<()> {
    if request.speech == Speech::Socks {
        let answer = match error {
            DialError::Denied(_) => SocksAnswer::Denied,
            DialError::Unresolved(_) | DialError::Unreachable(_) => SocksAnswer::Unreachable,
        };
        return answer_socks(stream, answer).await;
    }
    match error {
        DialError::Denied(why) => {
            // Many programs show the words of the status and nothing else.
            let status = format!("403 Not allowed by claudecluster: {}", request.target);
            let (setting, value) = request.target.allowing_setting();
            let text = format!(
                "claudecluster: {why}\nTo allow it, run outside of this sandbox:\n    claudecluster config add \
                 {setting} {value}"
            );
            answer_http(stream, &status, &text).await
        }
        DialError::Unresolved(why) | DialError::Unreachable(why) => {
            answer_http(stream, "502 Bad Gateway", &format!("claudecluster: {why}")).await
        }
    }
}
