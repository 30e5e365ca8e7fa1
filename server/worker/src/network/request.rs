//! What a program says first: whom it wants to reach, in HTTP or SOCKS.

use std::{io, net::IpAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use url::Url;

use super::{
    host::{HostName, HostPort},
    tunnel::{TunnelStart, read_on},
};

/// How long a program may take to say whom it wants to reach.
const GREETING: Duration = Duration::from_secs(20);
/// The longest head of an HTTP request.
const HEAD_BYTES: usize = 64 << 10;
/// The most headers of an HTTP request.
const HEADERS: usize = 128;
/// Headers that are between a program and its proxy, and not the host's business.
const HOP_HEADERS: [&str; 7] = [
    "host",
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "keep-alive",
    "te",
    "upgrade",
];

/// How a program wants to be answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Speech {
    /// HTTP, with a tunnel to the host.
    Tunnel,
    /// HTTP, with a request that is passed on.
    PlainHttp(PlainRequest),
    /// SOCKS, version 5.
    Socks,
}

/// A request in plain HTTP that is passed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PlainRequest {
    method: String,
    url: Url,
    minor: u8,
    headers: Vec<u8>,
}

/// What a program wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ProxyRequest {
    pub(super) target: HostPort,
    pub(super) speech: Speech,
    /// What the program calls itself.
    pub(super) program: Option<String>,
    /// What it has sent behind the request.
    pub(super) early: Vec<u8>,
}

/// Why a request is not served.
#[derive(Debug)]
pub(super) enum RequestError {
    /// The program has gone, or takes too long.
    Gone,
    /// What it says has no meaning; it has been told so.
    Refused,
}

impl From<io::Error> for RequestError {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads what a program wants, and tells HTTP and SOCKS apart by the first byte.
pub(super) async fn read_request(stream: &mut TcpStream) -> Result<ProxyRequest, RequestError> {
    let reading = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(RequestError::Gone);
        }
        match first[0] {
            5 => read_socks(stream).await,
            4 => {
                // Version 4 has no names; its answer says that the request is rejected.
                stream.write_all(&[0, 0x5b, 0, 0, 0, 0, 0, 0]).await?;
                Err(RequestError::Refused)
            }
            _ => read_http(stream).await,
        }
    };
    timeout(GREETING, reading)
        .await
        .unwrap_or(Err(RequestError::Gone))
}

async fn read_socks(stream: &mut TcpStream) -> Result<ProxyRequest, RequestError> {
    let (_version, count) = (stream.read_u8().await?, stream.read_u8().await?);
    let mut methods = vec![0; count.into()];
    stream.read_exact(&mut methods).await?;
    if !methods.contains(&0) {
        stream.write_all(&[5, 0xff]).await?;
        return Err(RequestError::Refused);
    }
    stream.write_all(&[5, 0]).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, command, _, kind] = head;
    let host = match kind {
        1 => Ok(HostName::Address(IpAddr::from(
            stream.read_u32().await?.to_be_bytes(),
        ))),
        4 => HostName::parse(&IpAddr::from(stream.read_u128().await?.to_be_bytes()).to_string()),
        3 => {
            let mut name = vec![0; stream.read_u8().await?.into()];
            stream.read_exact(&mut name).await?;
            let name = String::from_utf8(name).map_err(|error| error.to_string());
            name.and_then(|name| HostName::parse(&name))
        }
        _ => {
            answer_socks(stream, SocksAnswer::AddressKind).await?;
            return Err(RequestError::Refused);
        }
    };
    let port = stream.read_u16().await?;
    if version != 5 || command != 1 {
        answer_socks(stream, SocksAnswer::Command).await?;
        return Err(RequestError::Refused);
    }
    let Ok(host) = host else {
        answer_socks(stream, SocksAnswer::Unreachable).await?;
        return Err(RequestError::Refused);
    };
    Ok(ProxyRequest {
        target: HostPort { host, port },
        speech: Speech::Socks,
        program: None,
        early: Vec::new(),
    })
}

/// The answers of SOCKS.
#[derive(Clone, Copy, Debug)]
pub(super) enum SocksAnswer {
    /// The connection is there.
    Granted = 0,
    /// It is not allowed by the rules.
    Denied = 2,
    /// The host cannot be reached.
    Unreachable = 4,
    /// Only connections are made.
    Command = 7,
    /// The kind of address is unknown.
    AddressKind = 8,
}

/// Answers a program that speaks SOCKS.
pub(super) async fn answer_socks(stream: &mut TcpStream, answer: SocksAnswer) -> io::Result<()> {
    stream
        .write_all(&[5, answer as u8, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
}

/// Answers a program that speaks HTTP, and ends.
pub(super) async fn answer_http(
    stream: &mut TcpStream,
    status: &str,
    text: &str,
) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}\n",
        text.len() + 1
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

async fn read_http(stream: &mut TcpStream) -> Result<ProxyRequest, RequestError> {
    let mut head = Vec::with_capacity(1024);
    let end = loop {
        if head.len() >= HEAD_BYTES {
            return refuse_http(stream, "431 Request Header Fields Too Large").await;
        }
        let searched = head.len();
        if stream.read_buf(&mut head).await? == 0 {
            return Err(RequestError::Gone);
        }
        if let Some(end) = end_of_head(&head, searched) {
            break end;
        }
    };
    let early = head.split_off(end);
    match parse_head(&head) {
        Some(request) => Ok(ProxyRequest { early, ..request }),
        None => refuse_http(stream, "400 Bad Request").await,
    }
}

/// Finds the end of a head of which so many bytes have been searched.
fn end_of_head(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    let found = bytes[from..]
        .windows(4)
        .position(|four| four == b"\r\n\r\n");
    found.map(|at| from + at + 4)
}

/// Reads the head of a request that a program makes in a tunnel to a host, without encryption. The connection ends
/// with the answer, as with requests to the proxy.
pub(super) async fn read_inner_head(
    stream: &mut TcpStream,
    mut said: Vec<u8>,
    target: &HostPort,
) -> io::Result<TunnelStart> {
    let mut searched = 0;
    let end = loop {
        if let Some(end) = end_of_head(&said, searched) {
            break Some(end);
        }
        searched = said.len();
        if searched >= HEAD_BYTES || read_on(stream, &mut said).await? == 0 {
            break None;
        }
    };
    let early = end.map(|end| said.split_off(end)).unwrap_or_default();
    let refused = |named| {
        let text = "claudecluster: without encryption, a request has to name the host of its tunnel, and the \
                    connection cannot be upgraded: use https:// or wss://\n";
        let length = text.len();
        let answer = format!(
            "HTTP/1.1 403 Not allowed by claudecluster\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        )
        .into_bytes();
        TunnelStart::Refused { named, answer }
    };
    if end.is_none() {
        return Ok(refused(None));
    }
    Ok(match parse_inner_head(&said, target) {
        Ok(request) => {
            let mut head = request.head(target, None);
            head.extend_from_slice(&early);
            TunnelStart::Passed(head)
        }
        Err(named) => refused(named),
    })
}

/// Reads the head of a request in a tunnel. The error is the other host that it names, if it names one.
fn parse_inner_head(head: &[u8], target: &HostPort) -> Result<PlainRequest, Option<HostPort>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    if !request.parse(head).is_ok_and(|parsed| parsed.is_complete()) {
        return Err(None);
    }
    let (Some(method), Some(path), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(None);
    };
    let hosts = request.headers.iter();
    for header in hosts.filter(|header| header.name.eq_ignore_ascii_case("host")) {
        let text = std::str::from_utf8(header.value).map_err(|_| None)?;
        let named = HostPort::parse(text.trim(), Some(80)).map_err(|_| None)?;
        if named != *target {
            return Err(Some(named));
        }
    }
    let url = format!("http://{target}{path}");
    let url = Url::parse(&url).ok().filter(|_| path.starts_with('/'));
    if wants_websocket(request.headers) {
        return Err(None);
    }
    Ok(PlainRequest {
        method: method.to_owned(),
        url: url.ok_or(None)?,
        minor,
        headers: kept_headers(request.headers),
    })
}

/// Returns whether a request wants to go on in another protocol than HTTP. Other upgrades may be ignored.
fn wants_websocket(headers: &[httparse::Header<'_>]) -> bool {
    let mut upgrades = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("upgrade"));
    upgrades.any(|header| header.value.to_ascii_lowercase().starts_with(b"websocket"))
}

/// Returns the lines of the headers that are the host's business.
fn kept_headers(headers: &[httparse::Header<'_>]) -> Vec<u8> {
    let mut kept = Vec::new();
    let named = connection_options(headers);
    for header in headers {
        let name = header.name.to_ascii_lowercase();
        if HOP_HEADERS.contains(&name.as_str()) || named.contains(&name) {
            continue;
        }
        kept.extend_from_slice(header.name.as_bytes());
        kept.extend_from_slice(b": ");
        kept.extend_from_slice(header.value);
        kept.extend_from_slice(b"\r\n");
    }
    kept
}

async fn refuse_http(stream: &mut TcpStream, status: &str) -> Result<ProxyRequest, RequestError> {
    let text = "this is the proxy of claudecluster: it takes CONNECT, requests with an absolute http:// \
                address, and SOCKS 5; WebSockets need CONNECT and wss://";
    answer_http(stream, status, text).await?;
    Err(RequestError::Refused)
}

/// Reads the head of a request; `None` if it has no meaning.
fn parse_head(head: &[u8]) -> Option<ProxyRequest> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    if !request.parse(head).ok()?.is_complete() {
        return None;
    }
    let (method, path, minor) = (request.method?, request.path?, request.version?);
    let program = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("user-agent"));
    let program = program.map(|header| String::from_utf8_lossy(header.value).into_owned());
    if method == "CONNECT" {
        return Some(ProxyRequest {
            target: HostPort::parse(path, None).ok()?,
            speech: Speech::Tunnel,
            program,
            early: Vec::new(),
        });
    }
    if wants_websocket(request.headers) {
        return None;
    }
    let url = Url::parse(path).ok().filter(|url| url.scheme() == "http")?;
    let target = HostPort {
        host: HostName::parse(url.host_str()?).ok()?,
        port: url.port_or_known_default()?,
    };
    Some(ProxyRequest {
        target,
        speech: Speech::PlainHttp(PlainRequest {
            method: method.to_owned(),
            url,
            minor,
            headers: kept_headers(request.headers),
        }),
        program,
        early: Vec::new(),
    })
}

/// Lists the headers that a request says are between it and its proxy. Those that frame its body never are.
fn connection_options(headers: &[httparse::Header<'_>]) -> Vec<String> {
    let connection = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("connection"));
    let values = connection.filter_map(|header| std::str::from_utf8(header.value).ok());
    let names = values.flat_map(|value| value.split(','));
    names
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !matches!(name.as_str(), "content-length" | "transfer-encoding"))
        .collect()
}

impl PlainRequest {
    /// Returns the head as the host, or another proxy, gets it. The connection ends with the answer, because the
    /// next request over it could be for another host.
    pub(super) fn head(&self, target: &HostPort, to_proxy: Option<Option<&str>>) -> Vec<u8> {
        let Self {
            method,
            url,
            minor,
            headers,
        } = self;
        let host = match target.port {
            80 => match target.to_string().strip_suffix(":80") {
                Some(host) => host.to_owned(),
                None => target.to_string(),
            },
            _ => target.to_string(),
        };
        let query = url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let path = format!("{}{query}", url.path());
        let path = match to_proxy {
            Some(_) => format!("http://{host}{path}"),
            None => path,
        };
        let mut head = format!("{method} {path} HTTP/1.{minor}\r\nHost: {host}\r\n").into_bytes();
        head.extend_from_slice(headers);
        if let Some(Some(authorization)) = to_proxy {
            head.extend_from_slice(format!("Proxy-Authorization: {authorization}\r\n").as_bytes());
        }
        head.extend_from_slice(b"Connection: close\r\n\r\n");
        head
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "expectations are written in place"
    )]
    fn check(head: &str, expected: Expect) {
        let head = head.replace('\n', "\r\n");
        let shown = match parse_head(head.as_bytes()) {
            None => "refused".to_owned(),
            Some(ProxyRequest {
                target,
                speech: Speech::PlainHttp(request),
                program,
                ..
            }) => {
                let passed = String::from_utf8(request.head(&target, None)).unwrap();
                format!("{target} {program:?}\n{}", passed.replace("\r\n", "\n"))
            }
            Some(ProxyRequest {
                target, program, ..
            }) => format!("tunnel to {target} {program:?}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn heads_are_read() {
        check(
            "CONNECT Example.ORG:443 HTTP/1.1\nHost: x\nUser-Agent: curl/8\n\n",
            expect![[r#"tunnel to example.org:443 Some("curl/8")"#]],
        );
        check(
            "CONNECT [::1]:443 HTTP/1.1\n\n",
            expect!["tunnel to [::1]:443 None"],
        );
        check(
            "POST http://a.example:8080/x?y=1 HTTP/1.1\nHost: evil.example\nConnection: X-Hop, content-length\n\
             X-Hop: 1\nProxy-Authorization: Basic x\nContent-Length: 3\nAccept: */*\n\n",
            expect![[r#"
                a.example:8080 None
                POST /x?y=1 HTTP/1.1
                Host: a.example:8080
                Content-Length: 3
                Accept: */*
                Connection: close

            "#]],
        );
        check(
            "GET http://a.example HTTP/1.0\n\n",
            expect![[r#"
                a.example:80 None
                GET / HTTP/1.0
                Host: a.example
                Connection: close

            "#]],
        );
        for head in [
            "GET / HTTP/1.1\n\n",
            "GET https://a.example/ HTTP/1.1\n\n",
            "GET ftp://a.example/ HTTP/1.1\n\n",
            "CONNECT a.example HTTP/1.1\n\n",
            "CONNECT a.example:0 HTTP/1.1\n\n",
            "CONNECT a b:443 HTTP/1.1\n\n",
            "CONNECT user@a.example:443 HTTP/1.1\n\n",
            "GET http://a.example/ HTTP/1.1\nConnection: Upgrade\nUpgrade: WebSocket\n\n",
            // What different readers read differently.
            "GET http://a.example/ HTTP/1.1\nA: b\n folded\n\n",
            "GET http://a.example/ HTTP/1.1\nHost : a.example\n\n",
            "GET http://a.example/ HTTP/1.1\nA: b\rGET http://b.example/ HTTP/1.1\n\n",
            "GET http://a.example/\0 HTTP/1.1\n\n",
            "GET  http://a.example/ HTTP/1.1\n\n",
            "GET http://a.example/ HTTP/2.0\n\n",
            "PRI * HTTP/2.0\n\n",
            "nonsense\n\n",
        ] {
            check(head, expect!["refused"]);
        }
    }

    #[test]
    fn another_proxy_gets_the_whole_address() {
        let head = b"GET http://a.example/x HTTP/1.1\r\n\r\n";
        let request = parse_head(head).unwrap();
        let Speech::PlainHttp(plain) = request.speech else {
            panic!("it is plain HTTP");
        };
        let head = plain.head(&request.target, Some(Some("Basic x")));
        let expected = "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\
                        Proxy-Authorization: Basic x\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(head).unwrap(), expected);
    }
}
