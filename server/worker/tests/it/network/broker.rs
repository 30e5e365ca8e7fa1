//! The broker of a login: what a provider gets of a request, and what a session can make of the broker.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::Arc,
};

use claudecluster_protocol::{goal::EnvVar, network::NetworkPolicy};
use claudecluster_worker::{
    agent::{LoginHeader, LoginSecret, ProviderLogin, SessionChannels, SessionClocks},
    network::{DoorSetup, KeyBroker, ProviderHosts, TaskDoor, UpstreamProxies},
    sandbox::NetworkDoor as _,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
    sync::{Mutex, mpsc},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};
use tokio_util::sync::CancellationToken;

use super::support::{mirror_heads, read_all, read_head, serve};

/// A broker for a provider, and a session that uses it.
struct Broker {
    door: TaskDoor,
    address: SocketAddr,
    placeholder: String,
    /// Holds the other ends of the door's channels.
    _events: mpsc::Receiver<claudecluster_protocol::event::AgentEvent>,
}

impl Broker {
    fn new(base_url: &str) -> Self {
        Self::with_variables(base_url, &[])
    }

    /// A broker in an environment with these variables.
    fn with_variables(base_url: &str, variables: &[(&str, &str)]) -> Self {
        let get = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let upstream = UpstreamProxies::from_variables(get);
        let broker = KeyBroker::new(&login(base_url), get, &upstream).unwrap();
        let (events_in, events) = mpsc::channel(1024);
        let channels = SessionChannels {
            events: events_in,
            questions: None,
            cancel: CancellationToken::new(),
            clocks: SessionClocks::default(),
        };
        let door = TaskDoor::new(DoorSetup {
            policy: &NetworkPolicy::default(),
            provider: ProviderHosts::default(),
            upstream,
            broker: Some(broker),
            channels: &channels,
        });
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        door.listen(door.broker_port().unwrap(), listener);
        let variables = door.broker_variables(address.port());
        let placeholder = variables.iter().find(|(name, _)| name == "KEY").unwrap();
        Self {
            address,
            placeholder: placeholder.1.clone().into_string().unwrap(),
            door,
            _events: events,
        }
    }

    /// Sends the head of a request with the placeholder, and no more.
    async fn ask(&self, line: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: {}\r\n{headers}\r\n",
            self.placeholder
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// Returns the whole answer to a request without a body.
    async fn answer(&self, line: &str, headers: &str) -> String {
        let headers = format!("Connection: close\r\n{headers}");
        read_all(&mut self.ask(line, &headers).await).await
    }
}

fn login(base_url: &str) -> ProviderLogin {
    ProviderLogin {
        base_url: base_url.to_owned(),
        address_variable: "URL",
        secrets: vec![LoginSecret {
            variable: "KEY",
            header: LoginHeader::ApiKey,
            value: "the-real-key".to_owned(),
        }],
        headers: vec![("X-Team".to_owned(), "a".to_owned())],
        paths: &["/", "/v1/messages"],
        direct: Vec::new(),
        variables: vec![EnvVar {
            name: "OWN".to_owned(),
            value: "1".to_owned(),
        }],
    }
}

/// Returns a host that tells of each connection, and the connections.
async fn watched() -> (SocketAddr, mpsc::UnboundedReceiver<TcpStream>) {
    let (tell, connections) = mpsc::unbounded_channel();
    let address = serve(move |stream| {
        let tell = tell.clone();
        async move { tell.send(stream).unwrap() }
    })
    .await;
    (address, connections)
}

#[tokio::test]
async fn the_provider_gets_the_key_and_nobody_else() {
    let provider = mirror_heads().await;
    let broker = Broker::new(&format!("http://{provider}/gate/"));
    let variables = broker.door.broker_variables(4711);
    let value = |name: &str| {
        variables
            .iter()
            .find(|(known, _)| known == name)
            .unwrap()
            .1
            .to_str()
    };
    assert_eq!(value("URL"), Some("http://127.0.0.1:4711/gate"));
    assert_eq!(value("OWN"), Some("1"));
    assert!(!format!("{variables:?}").contains("the-real-key"));
    let answer = broker
        .answer(
            "POST /gate/v1/messages?beta=true",
            "X-Stays: 1\r\nX-Hop: 1\r\nConnection: x-hop\r\nCookie: a=b\r\nX-Team: mine\r\nContent-Length: 0\r\n",
        )
        .await;
    let (head, got) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let mut lines: Vec<&str> = got.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "POST /gate/v1/messages?beta=true HTTP/1.1");
    lines.sort_unstable();
    let host = format!("host: {provider}");
    assert_eq!(
        lines,
        [
            "content-length: 0",
            "cookie: a=b",
            &host,
            "x-api-key: the-real-key",
            "x-stays: 1",
            "x-team: a"
        ]
    );
    let (hosts, more) = broker.door.close().await;
    let counted: Vec<_> = hosts
        .iter()
        .map(|host| (host.host.as_str(), host.port, host.allowed))
        .collect();
    assert_eq!(
        (counted, more),
        (vec![("127.0.0.1", provider.port(), 1)], 0)
    );
    assert!(hosts[0].sent > 100 && hosts[0].received > 100, "{hosts:?}");
}

#[tokio::test]
async fn a_request_without_the_placeholder_goes_nowhere() {
    let (provider, mut connections) = watched().await;
    let broker = Broker::new(&format!("http://{provider}"));
    for headers in [
        "",
        "X-Api-Key: the-real-key\r\n",
        "X-Api-Key: placeholder-\r\n",
        "Authorization: Bearer the-real-key\r\n",
        &format!("Authorization: Bearer {}\r\n", broker.placeholder),
        &format!(
            "X-Api-Key: {}\r\nAuthorization: Bearer mine\r\n",
            broker.placeholder
        ),
        &format!("X-Other: {}\r\n", broker.placeholder),
    ] {
        let mut stream = TcpStream::connect(broker.address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{headers}: {answer}");
        assert!(
            answer.contains(r#""type":"authentication_error""#),
            "{answer}"
        );
        assert!(!answer.contains("the-real-key"), "{answer}");
    }
    // Another job's placeholder is as good as none.
    let other = Broker::new(&format!("http://{provider}"));
    let mut stolen = Broker::new(&format!("http://{provider}"));
    stolen.placeholder.clone_from(&other.placeholder);
    assert!(
        stolen
            .answer("GET /", "")
            .await
            .starts_with("HTTP/1.1 401 ")
    );
    assert!(connections.try_recv().is_err());
}

#[tokio::test]
async fn only_the_providers_own_paths_are_asked() {
    let (provider, mut connections) = watched().await;
    let (other, mut others) = watched().await;
    let broker = Broker::new(&format!("http://{provider}/gate"));
    for (line, status) in [
        (format!("GET http://{other}/gate/v1/messages"), 400),
        (format!("GET http://{provider}/gate/v1/messages"), 400),
        (format!("CONNECT {other}"), 400),
        ("GET /gate/../v1/messages".to_owned(), 400),
        ("GET /gate/v1/messages/%2e%2e/%2E%2E/admin".to_owned(), 400),
        ("GET /gate/v1/messages/..%2f..%2fadmin".to_owned(), 400),
        ("GET /gate/v1\\..\\admin".to_owned(), 400),
        ("GET /v1/messages".to_owned(), 404),
        ("GET /gateway/v1/messages".to_owned(), 404),
        ("GET /gate/v1/files".to_owned(), 404),
        ("GET /gate/v1/messages/batches".to_owned(), 404),
    ] {
        let answer = broker.answer(&line, &format!("Host: {other}\r\n")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {answer}"
        );
    }
    assert!(connections.try_recv().is_err());
    assert!(others.try_recv().is_err());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (other, mut others) = watched().await;
    let provider = serve(move |mut stream| async move {
        read_head(&mut stream).await;
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{other}/v1/messages\r\nSet-Cookie: s=1\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let broker = Broker::new(&format!("http://{provider}"));
    let answer = broker.answer("GET /v1/messages", "").await;
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    assert!(!answer.contains("set-cookie"), "{answer}");
    assert!(others.try_recv().is_err());
}

/// Reads until what was read ends with `end`.
async fn read_until(stream: &mut (impl tokio::io::AsyncRead + Unpin), end: &str) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        bytes.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn events_pass_one_by_one_in_both_directions() {
    let (provider, mut connections) = watched().await;
    let broker = Broker::new(&format!("http://{provider}"));
    let headers = "Transfer-Encoding: chunked\r\n";
    let mut session = broker.ask("POST /v1/messages", headers).await;
    // Each side waits for what the other has said last, so that nothing may be held back.
    session.write_all(b"5\r\nfirst\r\n").await.unwrap();
    let mut host = connections.recv().await.unwrap();
    read_until(&mut host, "first\r\n").await;
    session.write_all(b"6\r\nsecond\r\n").await.unwrap();
    read_until(&mut host, "second\r\n").await;
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    host.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut session, "\r\n\r\n").await;
    session.write_all(b"0\r\n\r\n").await.unwrap();
    read_until(&mut host, "0\r\n\r\n").await;
    for event in ["data: one\n\n", "data: two\n\n"] {
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        host.write_all(chunk.as_bytes()).await.unwrap();
        read_until(&mut session, event).await;
    }
}

#[tokio::test]
async fn large_bodies_pass() {
    const BYTES: usize = 48 << 20;
    let provider = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let mut got = 0;
        let mut buffer = vec![0; 64 << 10];
        while got < BYTES {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(buffer[..read].iter().all(|byte| *byte == b'x'));
            got += read;
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..BYTES / buffer.len() {
            buffer.fill(b'y');
            stream.write_all(&buffer).await.unwrap();
        }
    })
    .await;
    let broker = Broker::new(&format!("http://{provider}"));
    let headers = format!("Content-Length: {BYTES}\r\nConnection: close\r\n");
    let mut session = broker.ask("POST /v1/messages", &headers).await;
    let part = vec![b'x'; 64 << 10];
    for _ in 0..BYTES / part.len() {
        session.write_all(&part).await.unwrap();
    }
    let answer = read_all(&mut session).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert_eq!(body.len(), BYTES);
    assert!(body.bytes().all(|byte| byte == b'y'));
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_session() {
    let provider = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let broker = Broker::new(&format!("http://{provider}"));
    let answer = broker.answer("GET /v1/messages", "").await;
    assert!(answer.contains("half"), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_an_error_of_the_server() {
    // One that nobody listens at, and one that hangs up.
    let gone = {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap()
    };
    let silent = serve(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    for provider in [gone, silent] {
        let broker = Broker::new(&format!("http://{provider}"));
        let answer = broker.answer("GET /v1/messages", "").await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(answer.contains(r#""type":"api_error""#), "{answer}");
        assert!(answer.contains(&provider.to_string()), "{answer}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_provider_has_closed_is_opened_again() {
    let (provider, mut connections) = watched().await;
    let broker = Broker::new(&format!("http://{provider}"));
    let mut session = broker.ask("GET /v1/messages", "").await;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut host = connections.recv().await.unwrap();
    read_head(&mut host).await;
    host.write_all(answer).await.unwrap();
    read_until(&mut session, "ok").await;
    drop(host);
    let again = format!(
        "GET /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: {}\r\n\r\n",
        broker.placeholder
    );
    session.write_all(again.as_bytes()).await.unwrap();
    let mut host = connections.recv().await.unwrap();
    read_head(&mut host).await;
    host.write_all(answer).await.unwrap();
    read_until(&mut session, "ok").await;
}

/// Starts a provider that speaks TLS under the name of `localhost`; returns its certificate as well.
async fn encrypted_provider() -> (SocketAddr, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let chain = vec![CertificateDer::from(cert.der().to_vec())];
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            // A session that does not trust the provider hangs up.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            read_until(&mut stream, "x-api-key: the-real-key").await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    })
    .await;
    (address, cert.pem())
}

#[tokio::test]
async fn a_provider_is_trusted_by_its_certificate_alone() {
    let (provider, certificate) = encrypted_provider().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, certificate).unwrap();
    let base = format!("https://localhost:{}", provider.port());
    let answer = Broker::new(&base).answer("GET /v1/messages", "").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    let trusted = [("NODE_EXTRA_CA_CERTS", file.to_str().unwrap())];
    let answer = Broker::with_variables(&base, &trusted)
        .answer("GET /v1/messages", "")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn the_users_own_proxy_is_the_way_to_the_provider() {
    // The proxy alone knows where the provider is. It tells what it was asked for.
    let (provider, certificate) = encrypted_provider().await;
    let plain = mirror_heads().await;
    let (tell, asked) = mpsc::unbounded_channel();
    let asked = Mutex::new(asked);
    let proxy = serve(move |mut stream| {
        let tell = tell.clone();
        async move {
            let head = read_head(&mut stream).await;
            let line = head.lines().next().unwrap().to_owned();
            let is_tunnel = line.starts_with("CONNECT ");
            tell.send((line, head.to_ascii_lowercase())).unwrap();
            let host = if is_tunnel { provider } else { plain };
            let mut host = TcpStream::connect(host).await.unwrap();
            if is_tunnel {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            } else {
                host.write_all(head.as_bytes()).await.unwrap();
            }
            // Either side may hang up first.
            let _ = copy_bidirectional(&mut stream, &mut host).await;
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, certificate).unwrap();
    let proxy = format!("http://me:pass@{proxy}");
    let variables = [
        ("https_proxy", proxy.as_str()),
        ("http_proxy", &proxy),
        ("SSL_CERT_FILE", file.to_str().unwrap()),
    ];
    // The certificate is not the one of this name, so the key is not sent.
    let broker = Broker::with_variables("https://gateway.invalid", &variables);
    let answer = broker.answer("GET /v1/messages", "").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    let (line, head) = asked.lock().await.recv().await.unwrap();
    assert_eq!(line, "CONNECT gateway.invalid:443 HTTP/1.1");
    assert!(
        head.contains("proxy-authorization: basic") && !head.contains("the-real-key"),
        "{head}"
    );
    let broker = Broker::with_variables("http://gateway.invalid:8080", &variables);
    let answer = broker.answer("GET /v1/messages", "").await;
    assert!(answer.contains("x-api-key: the-real-key"), "{answer}");
    let (line, _) = asked.lock().await.recv().await.unwrap();
    assert_eq!(line, "GET http://gateway.invalid:8080/v1/messages HTTP/1.1");
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_said() {
    for (base, words) in [
        ("gateway.example", "relative URL without a base"),
        ("ftp://gateway.example", "`ftp` is neither https nor http"),
        ("http://", "empty host"),
    ] {
        let made = KeyBroker::new(&login(base), |_| None, &UpstreamProxies::default());
        let error = made.unwrap_err();
        assert!(
            error.contains(words) && error.contains("URL"),
            "{base}: {error}"
        );
    }
}
