//! A door on a listener of the test's own, and hosts behind it.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::Arc,
};

use claudecluster_protocol::{
    Span,
    event::AgentEvent,
    network::{NetworkMode, NetworkPolicy},
    permission::PermissionDecision,
    worker::QuestionReply,
};
use claudecluster_worker::{
    agent::{PermissionQuestion, SessionChannels, SessionClocks},
    network::{DoorSetup, ProviderHosts, TaskDoor, UpstreamProxies},
    sandbox::NetworkDoor as _,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// A door, and whom it asks and tells.
pub(super) struct Door {
    pub(super) door: Arc<TaskDoor>,
    pub(super) proxy: SocketAddr,
    pub(super) asked: mpsc::UnboundedReceiver<PermissionQuestion>,
    pub(super) events: mpsc::Receiver<AgentEvent>,
    pub(super) clocks: SessionClocks,
}

impl Door {
    pub(super) fn new(mode: NetworkMode, allow: &[&str]) -> Self {
        Self::with_upstream(mode, allow, &[])
    }

    /// A door in an environment with these variables.
    pub(super) fn with_upstream(
        mode: NetworkMode,
        allow: &[&str],
        variables: &[(&str, String)],
    ) -> Self {
        Self::of_policy(
            &NetworkPolicy {
                mode,
                ..policy(allow)
            },
            variables,
        )
    }

    /// The door of a job that may reach these hosts and ports of this machine, and nothing else.
    pub(super) fn closed(allow: &[&str], loopback: &[u16]) -> Self {
        let policy = NetworkPolicy {
            loopback: loopback.to_vec(),
            ..policy(allow)
        };
        Self::of_policy(&policy, &[])
    }

    fn of_policy(policy: &NetworkPolicy, variables: &[(&str, String)]) -> Self {
        let (events_in, events) = mpsc::channel(1024);
        let (ask, asked) = mpsc::unbounded_channel();
        let clocks = SessionClocks::default();
        let channels = SessionChannels {
            events: events_in,
            questions: Some(ask),
            cancel: CancellationToken::new(),
            clocks: clocks.clone(),
        };
        let upstream = UpstreamProxies::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        });
        let door = Arc::new(TaskDoor::new(DoorSetup {
            policy,
            provider: ProviderHosts::default(),
            upstream,
            broker: None,
            channels: &channels,
        }));
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = listener.local_addr().unwrap();
        door.listen(door.ports()[0], listener);
        Self {
            door,
            proxy,
            asked,
            events,
            clocks,
        }
    }

    /// Sends a request to the door.
    pub(super) async fn say(&self, request: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream
    }

    /// Asks for a tunnel, and returns it with the status line.
    pub(super) async fn connect(&self, target: &str) -> (TcpStream, String) {
        let mut stream = self
            .say(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes())
            .await;
        let head = read_head(&mut stream).await;
        let status = head.lines().next().unwrap_or_default().to_owned();
        (stream, status)
    }

    /// Answers the next question; returns what it was about.
    pub(super) async fn answer(&mut self, decision: PermissionDecision) -> String {
        let question = self.asked.recv().await.unwrap();
        let reason = None;
        question
            .reply
            .send(QuestionReply { decision, reason })
            .unwrap();
        question.request.detail
    }
}

fn policy(allow: &[&str]) -> NetworkPolicy {
    NetworkPolicy {
        mode: NetworkMode::Closed,
        allow: allow.iter().map(|&rule| rule.to_owned()).collect(),
        answer_timeout: Span::from_secs(600),
        ..NetworkPolicy::default()
    }
}

/// Reads to the end of a head, and nothing more.
pub(super) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Reads everything there is to come.
pub(super) async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset ends it as well.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Starts a host that sends back what it gets, once it has got all of it.
pub(super) async fn echo_when_done() -> SocketAddr {
    serve(|mut stream| async move {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await
}

/// Starts a host that answers each request with the head it got.
pub(super) async fn mirror_heads() -> SocketAddr {
    serve(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{head}",
            head.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await
}

/// Serves connections to a port of the loopback address, each in a task of its own.
pub(super) async fn serve<F, W>(work: F) -> SocketAddr
where
    F: Fn(TcpStream) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(work(stream));
        }
    });
    address
}

/// Starts a proxy that wants a password, and leads every tunnel to one host.
pub(super) async fn tunnel_to(host: SocketAddr) -> SocketAddr {
    serve(move |mut stream| async move {
        let head = read_head(&mut stream).await;
        if !head.contains("Proxy-Authorization: Basic bWU6cHc=\r\n") {
            stream
                .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                .await
                .unwrap();
            return;
        }
        let mut host = TcpStream::connect(host).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // Either side may go first.
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut host).await;
    })
    .await
}
