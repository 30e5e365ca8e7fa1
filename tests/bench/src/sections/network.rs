//! Connections through the door of a job, against the same connections without it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use claudecluster_protocol::network::{NetworkMode, NetworkPolicy};
use claudecluster_worker::{
    agent::{SessionChannels, SessionClocks},
    network::{DoorSetup, ProviderHosts, TaskDoor, UpstreamProxies},
    sandbox::NetworkDoor as _,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    options::Bench,
    output::Result,
    stats::{Samples, timed},
    table::{Row, Table, Target, Unit},
};

/// Asks the host for one byte back.
const PING: u8 = b'p';
/// Asks the host for the big transfer.
const SEND: u8 = b's';
/// What is written and read at once.
const CHUNK: usize = 256 << 10;

pub(crate) fn measure(bench: &Bench, table: &mut Table) -> Result {
    let bytes: u64 = if bench.quick { 64 << 20 } else { 2 << 30 };
    let host = start_host(bytes)?;
    // As in the daemon, which has a thread for each processor.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let (_door, proxy) = runtime.block_on(async { open_door(host) })?;
    let (mut more, mut direct, mut share) =
        (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..bench.rounds {
        for _ in 0..bench.often() * 20 {
            let (_, plain) = timed(|| ping(TcpStream::connect(host)?))?;
            let (_, through) = timed(|| ping(connect_through(proxy, host)?))?;
            direct.time(plain);
            more.push(millis(through) - millis(plain));
        }
        let (_, plain) = timed(|| receive(TcpStream::connect(host)?, bytes))?;
        let (_, through) = timed(|| receive(connect_through(proxy, host)?, bytes))?;
        share.push(100.0 * plain.as_secs_f64() / through.as_secs_f64());
    }
    table.add(
        Row::new(
            "connection through the door: what it adds",
            Unit::Millis,
            more,
        )
        .against("the connection without it", direct)
        .target(Target::AtMost(1.0)),
    );
    let what = format!("throughput through the door, {} MB", bytes >> 20);
    table.add(Row::new(what, Unit::Percent, share).target(Target::AtLeast(90.0)));
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Starts a host that does what the first byte of a connection says. It ends with the process.
fn start_host(bytes: u64) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever measures notices what is missing.
            thread::spawn(move || drop(answer(stream, bytes)));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, bytes: u64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wanted = [0];
    stream.read_exact(&mut wanted)?;
    if wanted[0] == PING {
        return stream.write_all(&wanted);
    }
    let chunk = vec![7; CHUNK];
    for _ in 0..bytes / CHUNK as u64 {
        stream.write_all(&chunk)?;
    }
    Ok(())
}

/// Opens the door of a job that may reach the host. Call it within the runtime that serves it.
fn open_door(host: SocketAddr) -> Result<(Arc<TaskDoor>, SocketAddr)> {
    let policy = NetworkPolicy {
        mode: NetworkMode::Closed,
        allow: vec![host.to_string()],
        ..NetworkPolicy::default()
    };
    let channels = SessionChannels {
        events: mpsc::channel(1).0,
        questions: None,
        cancel: CancellationToken::new(),
        clocks: SessionClocks::default(),
    };
    let door = Arc::new(TaskDoor::new(DoorSetup {
        policy: &policy,
        provider: ProviderHosts::default(),
        upstream: UpstreamProxies::default(),
        broker: None,
        channels: &channels,
    }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let proxy = listener.local_addr()?;
    let port = door.ports().first().copied().unwrap_or_default();
    door.listen(port, listener);
    Ok((door, proxy))
}

/// Opens a tunnel, as programs in a sandbox do.
fn connect_through(proxy: SocketAddr, host: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(proxy)?;
    write!(stream, "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    let mut head = BufReader::new(&mut stream);
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    // The host says nothing by itself, so nothing of it is in the reader.
    Ok(stream)
}

fn ping(mut stream: TcpStream) -> Result {
    stream.write_all(&[PING])?;
    let mut said = [0];
    stream.read_exact(&mut said)?;
    Ok(())
}

fn receive(mut stream: TcpStream, bytes: u64) -> Result {
    stream.write_all(&[SEND])?;
    let (mut chunk, mut received) = (vec![0; CHUNK], 0);
    loop {
        match stream.read(&mut chunk)? {
            0 => break,
            read => received += read as u64,
        }
    }
    if received == bytes {
        return Ok(());
    }
    Err(format!("{received} of {bytes} bytes came").into())
}
