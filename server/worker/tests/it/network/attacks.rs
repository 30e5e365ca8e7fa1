//! Programs that try to get past a door: by odd notations, by names within a tunnel, by sheer number.

use claudecluster_protocol::{network::NetworkMode, permission::PermissionDecision};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::support::{Door, echo_when_done, mirror_heads, read_all, read_head, serve, tunnel_to};

const OK: &str = "HTTP/1.1 200 Connection Established";

/// A door behind which every name leads to one host, and that allows `a.example`.
async fn door_to(host: std::net::SocketAddr) -> Door {
    let tunnel = tunnel_to(host).await;
    let variables = [("https_proxy", format!("http://me:pw@{tunnel}"))];
    Door::with_upstream(NetworkMode::Closed, &["a.example", "c.example"], &variables)
}

/// Hosts that were denied, with their ports.
async fn denied(door: &Door) -> Vec<String> {
    let (hosts, _) = door.door.close().await;
    let denied = hosts.iter().filter(|host| host.denied > 0);
    denied
        .map(claudecluster_protocol::network::HostTraffic::address)
        .collect()
}

#[tokio::test]
async fn no_notation_of_this_machine_is_reached_or_asked_about() {
    let host = serve(|stream| async move { drop(stream) }).await;
    let port = host.port();
    let mut door = Door::new(NetworkMode::Ask, &[]);
    for name in [
        "localhost",
        "LOCALHOST.",
        "x.localhost",
        "127.0.0.1",
        "127.1",
        "127.000.000.001",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "2130706433",
        "127.255.255.254",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "169.254.169.254",
        "0xa9fea9fe",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254%25eth0]",
        "[fe80::1%eth0]",
        "%6c%6fcalhost",
        "\u{ff11}27.0.0.1",
        "1\u{2461}7.0.0.1",
        "127\u{3002}0\u{3002}0\u{3002}1",
        "localhost\u{00ad}",
        "me@localhost",
        "localhost:80",
        "localhost#",
        "localhost/",
        "",
        ".",
    ] {
        let (mut stream, status) = door.connect(&format!("{name}:{port}")).await;
        let text = read_all(&mut stream).await;
        let refused = ["HTTP/1.1 400", "HTTP/1.1 403"];
        assert!(
            refused.iter().any(|code| status.starts_with(code)),
            "{name}: {status} {text}"
        );
        // The same in a request that is passed on.
        let request = format!("GET http://{name}:{port}/ HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let mut stream = door.say(request.as_bytes()).await;
        let answer = read_all(&mut stream).await;
        assert!(
            refused.iter().any(|code| answer.starts_with(code)),
            "{name}: {answer}"
        );
        assert!(door.asked.try_recv().is_err(), "{name}");
    }
}

#[tokio::test]
async fn names_that_are_no_names_are_refused() {
    let mut door = Door::new(NetworkMode::Ask, &[]);
    let long = "a".repeat(64);
    let longest = format!("{}.example", "a.".repeat(200));
    for target in [
        "a.example:0",
        "a.example:65536",
        "a.example:-1",
        "a.example:4 43",
        "a.example:",
    ] {
        let (_, status) = door.connect(target).await;
        assert!(status.starts_with("HTTP/1.1 400"), "{target}: {status}");
    }
    for name in [
        long.as_str(),
        &longest,
        "a..example",
        "a b.example",
        "-\u{0}.example",
    ] {
        let (_, status) = door.connect(&format!("{name}:443")).await;
        assert!(status.starts_with("HTTP/1.1 400"), "{name}: {status}");
    }
    let mut stream = door
        .say(b"CONNECT \xff\xfe.example:443 HTTP/1.1\r\n\r\n")
        .await;
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 400"));
    // SOCKS, with names of the greatest length and of bytes that are no text.
    for name in [
        vec![b'a'; 255],
        vec![0xff; 9],
        Vec::new(),
        b"a\0.example".to_vec(),
    ] {
        let length = u8::try_from(name.len()).unwrap();
        let request = [&[5, 1, 0, 5, 1, 0, 3, length][..], &name, &[1, 187]].concat();
        let mut stream = door.say(&request).await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[..4], [5, 0, 5, 4], "{name:?}");
    }
    assert!(door.asked.try_recv().is_err());
    assert_eq!(door.door.close().await, (Vec::new(), 0));
}

#[tokio::test]
async fn who_is_asked_sees_what_a_name_really_is() {
    let mut door = Door::new(NetworkMode::Ask, &[]);
    for (name, shown) in [
        ("p\u{443}pi.org", "xn--ppi-dfd.org:443"),
        ("PYPI.org.", "pypi.org:443"),
        ("0x0a000005", "10.0.0.5:443"),
    ] {
        let _stream = door
            .say(format!("CONNECT {name}:443 HTTP/1.1\r\n\r\n").as_bytes())
            .await;
        assert_eq!(door.answer(PermissionDecision::Deny).await, shown);
    }
}

/// The greeting of TLS with the name of a host.
fn hello(name: &str) -> Vec<u8> {
    let sized = |bytes: &[u8]| {
        [
            &u16::try_from(bytes.len()).unwrap().to_be_bytes()[..],
            bytes,
        ]
        .concat()
    };
    let list = sized(&[&[0][..], &sized(name.as_bytes())].concat());
    let extensions = sized(&[&[0, 0][..], &sized(&list)].concat());
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &sized(&[0x13, 1]),
        &[1, 0],
        &extensions,
    ]
    .concat();
    let message = [&[1, 0][..], &sized(&body)].concat();
    [&[0x16, 3, 1][..], &sized(&message)].concat()
}

#[tokio::test]
async fn a_tunnel_is_for_the_host_that_was_asked_for() {
    let door = door_to(echo_when_done().await).await;
    let alert = "\u{15}\u{3}\u{3}\0\u{2}\u{2}p";
    for (name, is_passed) in [
        ("a.example", true),
        ("A.example.", true),
        // It is allowed itself.
        ("c.example", true),
        ("b.example", false),
        ("a.example.b.example", false),
        ("a.example\0", false),
    ] {
        let (mut stream, status) = door.connect("a.example:443").await;
        assert_eq!(status, OK);
        let greeting = hello(name);
        // In two pieces, as networks do.
        let (first, rest) = greeting.split_at(20);
        stream.write_all(first).await.unwrap();
        stream.write_all(rest).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_all(&mut stream).await;
        let expected = if is_passed {
            String::from_utf8(greeting).unwrap()
        } else {
            alert.to_owned()
        };
        assert_eq!(answer, expected, "{name:?}");
    }
    assert_eq!(
        denied(&door).await,
        ["a.example.b.example:443", "b.example:443"]
    );
}

#[tokio::test]
async fn other_protocols_pass_a_tunnel() {
    let door = door_to(
        serve(|mut stream| async move {
            stream.write_all(b"220 ready\r\n").await.unwrap();
            let mut said = [0; 4];
            stream.read_exact(&mut said).await.unwrap();
            stream.write_all(&said).await.unwrap();
        })
        .await,
    )
    .await;
    let (mut stream, _) = door.connect("a.example:443").await;
    let mut line = [0; 11];
    stream.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"220 ready\r\n");
    stream.write_all(b"QUIT").await.unwrap();
    assert_eq!(read_all(&mut stream).await, "QUIT");
}

#[tokio::test]
async fn requests_in_a_tunnel_name_its_host() {
    let door = door_to(mirror_heads().await).await;
    for (request, answer) in [
        (
            "GET /x?y HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\nA: b\r\n\r\n",
            "GET /x?y HTTP/1.1\r\nHost: a.example\r\nA: b\r\nConnection: close\r\n\r\n",
        ),
        (
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: close\r\n\r\n",
        ),
        ("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", "HTTP/1.1 403"),
        (
            "\r\nGET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
            "HTTP/1.1 403",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
            "HTTP/1.1 403",
        ),
        (
            "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "HTTP/1.1 403",
        ),
        (
            "GET / HTTP/1.1\nHost: b.example\n\n\r\n\r\n",
            "HTTP/1.1 403",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 403"),
        (
            "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "HTTP/1.1 403",
        ),
    ] {
        let (mut stream, status) = door.connect("a.example:80").await;
        assert_eq!(status, OK);
        stream.write_all(request.as_bytes()).await.unwrap();
        let said = read_all(&mut stream).await;
        let body = said.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(
            said.starts_with(answer) || body == answer,
            "{request:?}: {said}"
        );
    }
    // An endless head ends.
    let (mut stream, _) = door.connect("a.example:80").await;
    let _ = stream.write_all(&vec![b'a'; 100 << 10]).await;
    read_all(&mut stream).await;
    assert_eq!(denied(&door).await, ["b.example:80"]);
}

#[tokio::test]
async fn the_next_request_over_a_connection_does_not_reach_another_host() {
    // A host that would serve every request of a connection.
    let host = serve(|mut stream| async move {
        loop {
            let head = read_head(&mut stream).await;
            if head.is_empty() || head.contains("Connection: close") {
                let _ = stream.write_all(head.as_bytes()).await;
                return;
            }
            let _ = stream.write_all(head.as_bytes()).await;
        }
    })
    .await;
    let door = Door::new(NetworkMode::Closed, &[&host.to_string()]);
    let two = format!(
        "GET http://{host}/1 HTTP/1.1\r\nConnection: keep-alive\r\n\r\n\
         GET http://b.example/2 HTTP/1.1\r\nHost: b.example\r\n\r\n"
    );
    let mut stream = door.say(two.as_bytes()).await;
    let said = read_all(&mut stream).await;
    assert!(said.contains("/1") && !said.contains("b.example"), "{said}");
}

#[tokio::test]
async fn slow_and_silent_programs_do_not_stop_others() {
    let host = echo_when_done().await;
    let door = Door::new(NetworkMode::Closed, &[&host.to_string()]);
    let mut kept: Vec<TcpStream> = Vec::new();
    for n in 0..300 {
        let words: &[u8] = [&b""[..], b"C", b"\x05", b"CONNECT a:1 HTTP/1.1\r\nA: "][n % 4];
        kept.push(door.say(words).await);
    }
    let (mut stream, status) = door.connect(&host.to_string()).await;
    assert_eq!(status, OK);
    stream.write_all(b"x").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await, "x");
    drop(kept);
}

#[tokio::test]
async fn endless_heads_of_another_proxy_end() {
    let endless = serve(|mut stream| async move {
        // Ends when the door has had enough.
        while stream.write_all(&[b'a'; 4096]).await.is_ok() {}
    })
    .await;
    let variables = [("https_proxy", endless.to_string())];
    let door = Door::with_upstream(NetworkMode::Closed, &["a.example"], &variables);
    let (mut stream, status) = door.connect("a.example:443").await;
    assert_eq!(status, "HTTP/1.1 502 Bad Gateway");
    let text = read_all(&mut stream).await;
    assert!(text.contains("its answer is too long"), "{text}");
}

#[tokio::test]
async fn websockets_without_encryption_are_refused_with_the_way() {
    let door = Door::new(NetworkMode::Closed, &["a.example"]);
    let request =
        b"GET http://a.example/chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
    let mut stream = door.say(request).await;
    let said = read_all(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    assert!(
        said.contains("WebSockets need CONNECT and wss://"),
        "{said}"
    );
}
