//! Bytes between a program and a host.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional_with_sizes},
    net::TcpStream,
    time::sleep,
};

use super::ledger::ConnectionCounts;

/// How long nothing may pass over a connection.
const IDLE: Duration = Duration::from_secs(3600);
/// Bytes that are passed on at once, in each direction.
const BUFFER: usize = 256 << 10;

/// A stream that counts the bytes that pass over it.
pub(super) struct CountedStream<S> {
    pub(super) stream: S,
    pub(super) read: Arc<AtomicU64>,
    pub(super) written: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        self.read.fetch_add(read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.written.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Passes bytes on in both directions until both have ended. Each ends by itself: one side may have said all it
/// has to say and still listen. `early` came from the program before the host was reached.
pub(super) async fn relay(
    mut program: TcpStream,
    host: TcpStream,
    early: &[u8],
    counts: &ConnectionCounts,
) -> io::Result<()> {
    let mut host = CountedStream {
        stream: host,
        read: counts.received.clone(),
        written: counts.sent.clone(),
    };
    host.write_all(early).await?;
    tokio::select! {
        copied = copy_bidirectional_with_sizes(&mut program, &mut host, BUFFER, BUFFER) => {
            copied.map(drop)
        }
        () = idle_too_long(counts) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Waits until nothing has passed for too long.
async fn idle_too_long(counts: &ConnectionCounts) {
    let passed = || {
        let (sent, received) = (&counts.sent, &counts.received);
        (
            sent.load(Ordering::Relaxed),
            received.load(Ordering::Relaxed),
        )
    };
    let mut before = passed();
    loop {
        sleep(IDLE).await;
        let now = passed();
        if now == before {
            return;
        }
        before = now;
    }
}
