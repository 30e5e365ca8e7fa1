//! The server as a client sees it, over plain sockets.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use claudecluster_model::{Script, Server};
use serde_json::{Value, json};

fn start(script: &str) -> Server {
    Server::start(Script::parse(script).unwrap()).unwrap()
}

/// Sends a request and reads until the server closes: head and body.
fn send(server: &Server, method: &str, path: &str, body: &str) -> (String, String) {
    let url = server.url();
    let address = url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         x-api-key: hidden\r\nauthorization: Bearer hidden\r\nx-claude-code-session-id: s-1\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // A connection that breaks gives what came before.
    let _ = socket.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_ascii_lowercase(), body.to_owned())
}

fn message(user: &str, stream: bool) -> String {
    json!({"model": "m", "stream": stream, "tools": [{"name": "Read"}],
        "messages": [{"role": "user", "content": user}]})
    .to_string()
}

fn ask(server: &Server, user: &str, stream: bool) -> (String, String) {
    send(
        server,
        "POST",
        "/v1/messages?beta=true",
        &message(user, stream),
    )
}

#[test]
fn answers_in_one_piece_and_as_a_stream() {
    let server = start("rules: [{name: hi, answer: [{text: hello}]}]");
    let (head, body) = ask(&server, "x", false);
    assert!(
        head.starts_with("http/1.1 200") && head.contains("application/json"),
        "{head}"
    );
    let whole: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(whole["content"][0]["text"], "hello");
    assert_eq!(whole["stop_reason"], "end_turn");
    let (head, body) = ask(&server, "x", true);
    assert!(head.contains("text/event-stream"), "{head}");
    let kinds: Vec<&str> = body
        .lines()
        .filter_map(|l| l.strip_prefix("event: "))
        .collect();
    let expected = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn answers_what_else_agents_ask() {
    let server = start("rules: []");
    for (method, path, status) in [
        ("HEAD", "/", "200"),
        ("GET", "/", "200"),
        ("GET", "/v1/models?limit=3", "200"),
        ("POST", "/v1/messages/count_tokens", "200"),
        ("GET", "/elsewhere", "404"),
        ("POST", "/v1/messages", "400"),
    ] {
        let (head, _) = send(&server, method, path, "{\"not\": ");
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{method} {path}: {head}"
        );
    }
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn records_everything_but_secrets() {
    let server = start("rules: [{name: first, times: 1, answer: []}]");
    ask(&server, "one", false);
    ask(&server, "two", false);
    let requests = server.turns();
    assert_eq!(requests[0].body, message("one", false));
    assert_eq!(requests[0].rule.as_deref(), Some("first"));
    assert_eq!(requests[1].rule, None);
    assert_eq!(requests[1].session.as_deref(), Some("s-1"));
    assert_eq!(requests[1].path, "/v1/messages?beta=true");
    assert!(!format!("{requests:?}").contains("hidden"));
}

#[test]
fn fails_as_told() {
    let server = start(
        "rules:
          - {when: {user: busy}, times: 1, error: {status: 429, retryAfter: 7}}
          - {when: {user: cut}, cut: 2, answer: [{text: a}]}
          - {when: {user: bad}, malformed: 3, answer: [{text: a}]}",
    );
    let (head, body) = ask(&server, "busy", true);
    assert!(
        head.starts_with("http/1.1 429") && head.contains("retry-after: 7"),
        "{head}"
    );
    assert!(body.contains("rate_limit_error"), "{body}");
    let (head, _) = ask(&server, "busy", true);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let (_, body) = ask(&server, "cut", true);
    assert!(body.contains("content_block_start") && !body.contains("content_block_delta"));
    // Cut off, not ended: the last chunk of the transfer is missing.
    assert!(!body.ends_with("0\r\n\r\n"), "{body}");
    let (_, body) = ask(&server, "bad", true);
    let broken = |line: &str| {
        line.strip_prefix("data: ")
            .is_some_and(|data| serde_json::from_str::<Value>(data).is_err())
    };
    assert_eq!(body.lines().filter(|line| broken(line)).count(), 1);
}

#[test]
fn holds_until_released_and_until_all_are_there() {
    let server = start(
        "rules:
          - {when: {user: hold}, hold: gate, answer: [{text: a}]}
          - {when: {user: both}, together: 2, answer: [{text: b}]}",
    );
    std::thread::scope(|scope| {
        let held = scope.spawn(|| ask(&server, "hold", false).1);
        assert!(server.wait_until(Duration::from_secs(60), |all| all.len() == 1));
        assert!(!held.is_finished());
        server.release("gate");
        assert!(held.join().unwrap().contains("\"a\""));
        let both = [(); 2].map(|()| scope.spawn(|| ask(&server, "both", false).1));
        for answer in both {
            assert!(answer.join().unwrap().contains("\"b\""));
        }
    });
}

#[test]
fn many_streams_at_once() {
    let words = "word ".repeat(2000);
    let server = start(&format!(
        "{{defaults: {{pause: 1ms}}, rules: [{{together: 64, answer: [{{text: '{words}'}}]}}]}}"
    ));
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..64)
            .map(|_| scope.spawn(|| ask(&server, "x", true).1))
            .collect();
        for stream in streams {
            let body = stream.join().unwrap();
            assert!(body.contains("message_stop"));
            assert_eq!(body.matches("content_block_delta\"").count(), 50);
        }
    });
}

#[test]
fn ends_when_dropped() {
    let server = start("rules: [{hold: never, answer: []}]");
    let url = server.url();
    let waiting = std::thread::scope(|scope| {
        let asked = &server;
        let waiting = scope.spawn(move || ask(asked, "x", true));
        assert!(server.wait_until(Duration::from_secs(60), |all| all.len() == 1));
        server.release("never");
        waiting.join().unwrap().0
    });
    assert!(waiting.starts_with("http/1.1 200"));
    drop(server);
    assert!(TcpStream::connect(url.strip_prefix("http://").unwrap()).is_err());
}
