//! Sockets and hosts outside.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixStream},
    },
    time::Duration,
};

use rustix::net::{AddressFamily, SocketType, socket};

use crate::trick::Trick;

pub(crate) const TRICKS: &[Trick] = &[
    ("socket-daemon", |targets| {
        let mut stream = UnixStream::connect(targets.state.join("daemon.sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"{}\n")?;
        let mut answer = [0; 64];
        stream.read(&mut answer).map(drop)
    }),
    ("socket-by-path", |targets| {
        UnixStream::connect(&targets.socket).map(drop)
    }),
    ("socket-abstract", |targets| {
        let address = SocketAddr::from_abstract_name(&targets.abstract_socket)?;
        UnixStream::connect_addr(&address).map(drop)
    }),
    ("socket-loopback", |targets| {
        TcpStream::connect(("127.0.0.1", targets.tcp_port)).map(drop)
    }),
    ("socket-loopback-6", |targets| {
        TcpStream::connect(("::1", targets.tcp_port)).map(drop)
    }),
    ("socket-send-datagram", |targets| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.send_to(b"x", ("127.0.0.1", targets.udp_port))?;
        // Nothing tells whether it came; the test knows.
        Ok(())
    }),
    ("socket-listen", |_| {
        // What is listened on inside is inside: the test looks from outside.
        TcpListener::bind("0.0.0.0:0").map(drop)
    }),
    ("socket-packet", |_| {
        socket(AddressFamily::PACKET, SocketType::RAW, None)
            .map(drop)
            .map_err(Into::into)
    }),
    ("socket-raw", |_| {
        socket(
            AddressFamily::INET,
            SocketType::RAW,
            Some(rustix::net::ipproto::ICMP),
        )
        .map(drop)
        .map_err(Into::into)
    }),
    ("socket-virtual-machine", |_| {
        socket(AddressFamily::VSOCK, SocketType::STREAM, None)
            .map(drop)
            .map_err(Into::into)
    }),
];
