//! HTTP and SOCKS through a door.

use claudecluster_protocol::{
    event::AgentEvent,
    network::{HostTraffic, NetworkMode},
    permission::PermissionDecision,
    worker::QuestionReply,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::{Door, echo_when_done, mirror_heads, read_all, read_head, tunnel_to};

const OK: &str = "HTTP/1.1 200 Connection Established";

/// The greeting of SOCKS 5 and a request for an address.
fn socks_to(address: std::net::SocketAddr) -> Vec<u8> {
    let std::net::IpAddr::V4(ip) = address.ip() else {
        panic!("the hosts of these tests have addresses of version 4");
    };
    let mut bytes = vec![5, 1, 0, 5, 1, 0, 1];
    bytes.extend(ip.octets());
    bytes.extend(address.port().to_be_bytes());
    bytes
}

#[tokio::test]
async fn a_tunnel_keeps_half_closed_connections_and_counts_bytes() {
    let host = echo_when_done().await;
    let door = Door::new(NetworkMode::Closed, &[&host.to_string()]);
    let (mut stream, status) = door.connect(&host.to_string()).await;
    assert_eq!(status, OK);
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await, "hello");
    let (hosts, more) = door.door.close().await;
    let expected = HostTraffic {
        allowed: 1,
        sent: 5,
        received: 5,
        ..HostTraffic::new("127.0.0.1", host.port())
    };
    assert_eq!((hosts, more), (vec![expected], 0));
}

#[tokio::test]
async fn what_is_sent_with_the_request_is_not_lost() {
    let host = echo_when_done().await;
    let door = Door::new(NetworkMode::Closed, &[&host.to_string()]);
    let request = format!("CONNECT {host} HTTP/1.1\r\n\r\nearly");
    let mut stream = door.say(request.as_bytes()).await;
    stream.write_all(b" late").await.unwrap();
    stream.shutdown().await.unwrap();
    read_head(&mut stream).await;
    assert_eq!(read_all(&mut stream).await, "early late");
}

#[tokio::test]
async fn a_program_that_has_said_all_is_still_served() {
    let host = echo_when_done().await;
    let door = Door::new(NetworkMode::Closed, &[&host.to_string()]);
    for _ in 0..50 {
        let request = format!("CONNECT {host} HTTP/1.1\r\n\r\nall");
        let mut stream = door.say(request.as_bytes()).await;
        stream.shutdown().await.unwrap();
        read_head(&mut stream).await;
        assert_eq!(read_all(&mut stream).await, "all");
    }
}

#[tokio::test]
async fn socks_reaches_what_http_reaches() {
    let host = echo_when_done().await;
    let door = Door::new(NetworkMode::Closed, &[&host.to_string()]);
    let mut stream = door.say(&socks_to(host)).await;
    let mut granted = [0; 12];
    stream.read_exact(&mut granted).await.unwrap();
    assert_eq!(granted[..4], [5, 0, 5, 0]);
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await, "hello");
}

#[tokio::test]
async fn socks_says_that_a_host_is_denied() {
    let door = Door::new(NetworkMode::Closed, &[]);
    let name = b"\x05\x01\x00\x05\x01\x00\x03\x0bexample.org\x01\xbb";
    let mut stream = door.say(name).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[..4], [5, 0, 5, 2]);
    let (hosts, _) = door.door.close().await;
    let expected = HostTraffic {
        denied: 1,
        ..HostTraffic::new("example.org", 443)
    };
    assert_eq!(hosts, [expected]);
}

#[tokio::test]
async fn a_denied_program_is_told_what_to_do() {
    let mut door = Door::new(NetworkMode::Closed, &["example.org"]);
    for (target, part) in [
        ("EXAMPLE.net:443", "network.allow example.net"),
        ("example.org:8443", "network.allow example.org:8443"),
        ("169.254.169.254:80", "network.allow 169.254.169.254"),
        ("0x7f.1:80", "config add network.loopback 80"),
        ("localhost:5432", "config add network.loopback 5432"),
    ] {
        let (mut stream, status) = door.connect(target).await;
        assert!(
            status.starts_with("HTTP/1.1 403 Not allowed by claudecluster: "),
            "{status}"
        );
        let text = read_all(&mut stream).await;
        assert!(text.contains(part), "{target}: {text}");
    }
    assert!(door.asked.try_recv().is_err());
    let told = door.events.recv().await.unwrap();
    let expected = AgentEvent::Connection {
        host: "example.net".into(),
        port: 443,
        allowed: false,
        connections: 1,
        sent: 0,
        received: 0,
    };
    assert_eq!(told, expected);
}

#[tokio::test]
async fn plain_requests_are_passed_on_to_the_host_they_name() {
    let host = mirror_heads().await;
    let door = Door::new(NetworkMode::Closed, &[&host.to_string()]);
    let request = format!(
        "GET http://{host}/a?b=c HTTP/1.1\r\nHost: evil.example\r\nProxy-Connection: keep-alive\r\n\
         Accept: */*\r\n\r\n"
    );
    let mut stream = door.say(request.as_bytes()).await;
    read_head(&mut stream).await;
    let expected =
        format!("GET /a?b=c HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    assert_eq!(read_all(&mut stream).await, expected);
}

#[tokio::test]
async fn nonsense_is_answered_and_costs_nothing() {
    let door = Door::new(NetworkMode::Ask, &[]);
    for (request, answer) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "HTTP/1.1 400"),
        (b"\x16\x03\x01\r\n\r\n".to_vec(), "HTTP/1.1 400"),
        (b"CONNECT [::1 HTTP/1.1\r\n\r\n".to_vec(), "HTTP/1.1 400"),
        (vec![b'a'; 100 << 10], "HTTP/1.1 431"),
        // SOCKS 4; SOCKS 5 with a password only, with a command that listens, with an unknown kind.
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00".to_vec(), "\0["),
        (b"\x05\x01\x02".to_vec(), "\x05\u{fffd}"),
        (
            b"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50".to_vec(),
            "\x05\0\x05\x07",
        ),
        (b"\x05\x01\x00\x05\x01\x00\x09".to_vec(), "\x05\0\x05\x08"),
    ] {
        let mut stream = TcpStream::connect(door.proxy).await.unwrap();
        // The door may stop reading before all of it is written.
        let _ = stream.write_all(&request).await;
        let said = read_all(&mut stream).await;
        // Unread input resets the connection, and may take the answer with it.
        assert!(
            said.starts_with(answer) || request.len() > 64 << 10,
            "{said:?}"
        );
    }
    assert_eq!(door.door.close().await, (Vec::new(), 0));
}

#[tokio::test]
async fn a_host_that_is_asked_about_is_asked_about_once() {
    let host = echo_when_done().await;
    // Loopback is never asked about, so the host is behind another proxy.
    let tunnel = tunnel_to(host).await;
    let variables = [("https_proxy", format!("http://me:pw@{tunnel}"))];
    let mut door = Door::with_upstream(NetworkMode::Ask, &[], &variables);
    let request = b"CONNECT 192.0.2.7:8443 HTTP/1.1\r\nUser-Agent: tool/1\r\n\r\n";
    let (mut first, mut second) = (door.say(request).await, door.say(request).await);
    let detail = door.answer(PermissionDecision::Allow).await;
    assert_eq!(detail, "192.0.2.7:8443 — tool/1");
    for stream in [&mut first, &mut second] {
        assert!(read_head(stream).await.starts_with(OK));
        stream.write_all(b"x").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(read_all(stream).await, "x");
    }
    let (_, status) = door.connect("192.0.2.7:8443").await;
    assert_eq!(status, OK);
    assert!(door.asked.try_recv().is_err());
    assert!(!door.clocks.are_stopped());
}

#[tokio::test]
async fn a_denial_holds_for_the_job() {
    let mut door = Door::new(NetworkMode::Ask, &[]);
    let request = b"CONNECT example.org:443 HTTP/1.1\r\n\r\n";
    let mut stream = door.say(request).await;
    door.answer(PermissionDecision::Deny).await;
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 403"));
    let (_, status) = door.connect("example.org:443").await;
    assert!(status.starts_with("HTTP/1.1 403"), "{status}");
    assert!(door.asked.try_recv().is_err());
}

#[tokio::test]
async fn a_program_that_gives_up_meets_the_answer_later() {
    let mut door = Door::new(NetworkMode::Ask, &[]);
    let request = b"CONNECT example.org:443 HTTP/1.1\r\n\r\n";
    let stream = door.say(request).await;
    let question = door.asked.recv().await.unwrap();
    assert!(door.clocks.are_stopped());
    drop(stream);
    door.clocks.run_again().await;
    let mut stream = door.say(request).await;
    let (decision, reason) = (PermissionDecision::Deny, None);
    question
        .reply
        .send(QuestionReply { decision, reason })
        .unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 403"));
    assert!(door.asked.try_recv().is_err());
}

#[tokio::test]
async fn the_end_of_a_job_withdraws_its_questions() {
    let mut door = Door::new(NetworkMode::Ask, &[]);
    let _stream = door.say(b"CONNECT example.org:443 HTTP/1.1\r\n\r\n").await;
    let mut question = door.asked.recv().await.unwrap();
    door.door.close().await;
    question.reply.closed().await;
}

#[tokio::test]
async fn another_proxy_is_gone_through() {
    let host = mirror_heads().await;
    let tunnel = tunnel_to(host).await;
    let variables = [
        ("https_proxy", format!("http://me:pw@{tunnel}")),
        ("http_proxy", host.to_string()),
    ];
    let allow = ["192.0.2.7:8080", "192.0.2.8:8443"];
    let door = Door::with_upstream(NetworkMode::Closed, &allow, &variables);
    // Plain requests go to it as they are.
    let mut stream = door
        .say(b"GET http://192.0.2.7:8080/x HTTP/1.1\r\n\r\n")
        .await;
    read_head(&mut stream).await;
    let said = read_all(&mut stream).await;
    assert!(
        said.starts_with("GET http://192.0.2.7:8080/x HTTP/1.1\r\nHost: 192.0.2.7:8080\r\n"),
        "{said}"
    );
    // All else in a tunnel, with the password of the environment.
    let (mut stream, status) = door.connect("192.0.2.8:8443").await;
    assert_eq!(status, OK);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    read_head(&mut stream).await;
    assert_eq!(read_all(&mut stream).await, "GET / HTTP/1.1\r\n\r\n");
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_a_bad_gateway() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let door = Door::new(NetworkMode::Closed, &[&gone.to_string(), "nowhere.invalid"]);
    for target in [gone.to_string(), "nowhere.invalid:443".to_owned()] {
        let (_, status) = door.connect(&target).await;
        assert_eq!(status, "HTTP/1.1 502 Bad Gateway", "{target}");
    }
    // Neither was denied nor reached.
    assert_eq!(door.door.close().await, (Vec::new(), 0));
}

#[tokio::test]
async fn large_transfers_arrive_whole() {
    let host = echo_when_done().await;
    let door = Door::new(NetworkMode::Closed, &[&host.to_string()]);
    let (mut stream, _) = door.connect(&host.to_string()).await;
    let sent: Vec<u8> = (0..8_000_000_u32).map(|n| ((n * 31) >> 3) as u8).collect();
    let (mut reading, mut writing) = stream.split();
    let mut got = Vec::new();
    let write = async {
        writing.write_all(&sent).await.unwrap();
        writing.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(reading.read_to_end(&mut got), write);
    read.unwrap();
    assert!(sent == got);
}

#[tokio::test]
async fn many_connections_are_served_in_turn() {
    let host = echo_when_done().await;
    let door = Door::new(NetworkMode::Closed, &[&host.to_string()]);
    let target = host.to_string();
    let one = async || {
        let (mut stream, status) = door.connect(&target).await;
        assert_eq!(status, OK);
        stream.write_all(b"x").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(read_all(&mut stream).await, "x");
    };
    futures::future::join_all((0..700).map(|_| one())).await;
    let (hosts, _) = door.door.close().await;
    assert_eq!(hosts[0].allowed, 700);
}

#[tokio::test]
async fn closing_the_door_ends_connections() {
    let host = echo_when_done().await;
    let door = Door::new(NetworkMode::Closed, &[&host.to_string()]);
    let (mut stream, _) = door.connect(&host.to_string()).await;
    stream.write_all(b"hello").await.unwrap();
    let (hosts, _) = door.door.close().await;
    assert_eq!(hosts[0].allowed, 1);
    assert_eq!(read_all(&mut stream).await, "");
    assert!(TcpStream::connect(door.proxy).await.is_err());
}
