//! What a program says first in a tunnel: whom it names there has to be whom it asked for.
//!
//! Large content networks serve all their customers at every address. A program that may reach one of them could
//! name another in the handshake of TLS, or in a request of HTTP, and reach that. So the names in the clear are
//! compared with the host that was allowed. What is encrypted is not looked into, and other protocols pass.

use std::{io, time::Duration};

use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use super::{
    host::{HostName, HostPort},
    request::read_inner_head,
};

/// How long a program may take to finish what it says first.
const GREETING: Duration = Duration::from_secs(20);
/// The longest greeting of TLS.
const HELLO_BYTES: usize = 64 << 10;
/// The port on which hosts speak HTTP without encryption.
const HTTP_PORT: u16 = 80;
/// The first byte of a handshake of TLS.
const TLS: u8 = 0x16;
/// The alert of TLS that says that a name is unknown, and ends the connection.
const UNKNOWN_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];

/// How a tunnel begins.
#[derive(Debug)]
pub(super) enum TunnelStart {
    /// These bytes go to the host, and all others after them.
    Passed(Vec<u8>),
    /// The program names another host.
    Refused {
        /// The host, if it has a name.
        named: Option<HostPort>,
        /// What the program is told.
        answer: Vec<u8>,
    },
}

/// Reads what a program says first in a tunnel to a host with a name, until it is known whom it names. A host that
/// speaks first is not made to wait. `early` has been read already.
pub(super) async fn check_tunnel(
    program: &mut TcpStream,
    host: &TcpStream,
    target: &HostPort,
    early: Vec<u8>,
    is_allowed: impl Fn(&HostPort) -> bool,
) -> io::Result<TunnelStart> {
    let (mut said, mut first) = (early, [0]);
    loop {
        match said.first() {
            None => {}
            Some(&TLS) => match read_hello(&said) {
                ClientHello::Partial if said.len() < HELLO_BYTES => {}
                ClientHello::Partial | ClientHello::Broken => return Ok(refuse_hello(None)),
                ClientHello::Whole(names) => {
                    let named = |name: &String| {
                        let host = HostName::parse(name).ok()?;
                        let port = target.port;
                        Some(HostPort { host, port })
                    };
                    let mut others = names.iter().map(named);
                    let other = others.find(|named| {
                        let known = named.as_ref();
                        !known.is_some_and(|named| named == target || is_allowed(named))
                    });
                    return Ok(match other {
                        Some(other) => refuse_hello(other),
                        None => TunnelStart::Passed(std::mem::take(&mut said)),
                    });
                }
            },
            Some(_) if target.port == HTTP_PORT => {
                let said = std::mem::take(&mut said);
                return read_inner_head(program, said, target).await;
            }
            Some(_) => return Ok(TunnelStart::Passed(std::mem::take(&mut said))),
        }
        tokio::select! {
            biased;
            read = read_on(program, &mut said) => if read? == 0 {
                return Ok(TunnelStart::Passed(std::mem::take(&mut said)));
            },
            // Hosts of TLS and HTTP listen first.
            spoken = host.peek(&mut first), if said.is_empty() => {
                spoken?;
                return Ok(TunnelStart::Passed(Vec::new()));
            }
        }
    }
}

/// Reads more of what a program says. What has begun has to go on soon.
pub(super) async fn read_on(program: &mut TcpStream, said: &mut Vec<u8>) -> io::Result<usize> {
    if said.is_empty() {
        return program.read_buf(said).await;
    }
    let read = timeout(GREETING, program.read_buf(said)).await;
    read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn refuse_hello(named: Option<HostPort>) -> TunnelStart {
    let answer = UNKNOWN_NAME.to_vec();
    TunnelStart::Refused { named, answer }
}

/// What is known of the greeting of a program that speaks TLS.
#[derive(PartialEq, Eq, Debug)]
enum ClientHello {
    /// More has to come.
    Partial,
    /// It is none.
    Broken,
    /// The names of hosts in it.
    Whole(Vec<String>),
}

/// Reads the greeting of TLS from records that may split it anywhere.
fn read_hello(bytes: &[u8]) -> ClientHello {
    let mut message = Vec::new();
    let mut rest = bytes;
    let body = loop {
        if let [kind, a, b, c, body @ ..] = message.as_slice() {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if *kind != 1 || length > HELLO_BYTES {
                return ClientHello::Broken;
            }
            if let Some(body) = body.get(..length) {
                break body;
            }
        }
        match rest {
            [TLS, 3, _, a, b, more @ ..] => {
                let length = usize::from(u16::from_be_bytes([*a, *b]));
                let Some((fragment, after)) = more.split_at_checked(length) else {
                    return ClientHello::Partial;
                };
                message.extend_from_slice(fragment);
                rest = after;
            }
            [] | [TLS] | [TLS, 3, ..] => return ClientHello::Partial,
            _ => return ClientHello::Broken,
        }
    };
    read_names(body).map_or(ClientHello::Broken, ClientHello::Whole)
}

/// Reads the names of hosts from the body of a greeting.
fn read_names(body: &[u8]) -> Option<Vec<String>> {
    // A version and a random number, then the session, ciphers and compressions.
    let rest = body.get(34..)?;
    let (_session, rest) = take_sized(rest, 1)?;
    let (_ciphers, rest) = take_sized(rest, 2)?;
    let (_compressions, rest) = take_sized(rest, 1)?;
    let mut names = Vec::new();
    if rest.is_empty() {
        return Some(names);
    }
    let (mut extensions, _) = take_sized(rest, 2)?;
    while let [a, b, rest @ ..] = extensions {
        let (extension, after) = take_sized(rest, 2)?;
        extensions = after;
        if (*a, *b) != (0, 0) {
            continue;
        }
        let (mut list, _) = take_sized(extension, 2)?;
        while let [_kind, rest @ ..] = list {
            let (name, after) = take_sized(rest, 2)?;
            names.push(String::from_utf8(name.to_vec()).ok()?);
            list = after;
        }
    }
    extensions.is_empty().then_some(names)
}

/// Splits off bytes that stand behind their length.
fn take_sized(bytes: &[u8], length_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(length_bytes)?;
    let length = length
        .iter()
        .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sized(length_bytes: usize, bytes: &[u8]) -> Vec<u8> {
        let length = bytes.len().to_be_bytes();
        [&length[length.len() - length_bytes..], bytes].concat()
    }

    /// A greeting that names these hosts, in records of at most this length.
    fn hello(names: &[&str], record: usize) -> Vec<u8> {
        let entries = names
            .iter()
            .map(|name| [&[0][..], &sized(2, name.as_bytes())].concat());
        let list = sized(2, &entries.collect::<Vec<_>>().concat());
        let mut extensions = [&[0, 43][..], &sized(2, &[2, 3, 4])].concat();
        if !names.is_empty() {
            extensions.extend([&[0, 0][..], &sized(2, &list)].concat());
        }
        let body = [
            &[3, 3][..],
            &[7; 32],
            &sized(1, &[1; 32]),
            &sized(2, &[0x13, 1]),
            &sized(1, &[0]),
            &sized(2, &extensions),
        ]
        .concat();
        let message = [&[1][..], &sized(3, &body)].concat();
        let records = message
            .chunks(record)
            .map(|part| [&[TLS, 3, 1][..], &sized(2, part)].concat());
        records.collect::<Vec<_>>().concat()
    }

    #[test]
    fn names_are_read_however_they_are_split() {
        for names in [&[][..], &["a.example"], &["a.example", "b.example"]] {
            for record in [1, 7, 50, 4096] {
                let bytes = hello(names, record);
                let whole = names.iter().map(|&name| name.to_owned()).collect();
                assert_eq!(read_hello(&bytes), ClientHello::Whole(whole));
                for end in 1..bytes.len() {
                    assert_eq!(read_hello(&bytes[..end]), ClientHello::Partial, "{end}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_greeting_is_broken() {
        let good = hello(&["a.example"], 4096);
        let mut other_message = good.clone();
        other_message[5] = 2;
        let mut too_long = good.clone();
        too_long[6] = 1;
        let mut bad_list = good;
        let last = bad_list.len() - 10;
        bad_list[last] = 200;
        for bytes in [other_message, too_long, bad_list, vec![TLS, 9, 9]] {
            assert_eq!(read_hello(&bytes), ClientHello::Broken);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read_hello(&[&[TLS, 3, 1], bytes.as_slice()].concat());
            let _ = read_names(&bytes);
        }
    }
}
