//! Bytes that are passed from one connection to another.
//!
//! A connection that carries much is passed on by the kernel, from socket to socket through a pipe: nothing is copied
//! into this process. Most carry little, and two descriptors for each of them would be too many.

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};

/// Bytes that are copied at once.
const BUFFER: usize = 64 << 10;
/// Bytes after which the kernel passes the rest on.
const COPIED: u64 = 1 << 20;
/// Bytes that the kernel is asked to hold between the two. It may allow less.
const PIPE: usize = 1 << 20;

/// Passes bytes on until there are no more, then says so. `count` grows by what has been read.
pub(super) async fn pass_on(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut copied = 0;
    loop {
        if copied >= COPIED
            && let Ok(pipe) = KernelPipe::open()
        {
            drop(buffer);
            pipe.pass_on(from.as_ref(), to.as_ref(), count).await?;
            break;
        }
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        copied += read as u64;
        count.fetch_add(read as u64, Ordering::Relaxed);
        to.write_all(&buffer[..read]).await?;
    }
    to.shutdown().await
}

/// What the kernel holds between two connections.
struct KernelPipe {
    end: OwnedFd,
    start: OwnedFd,
    size: usize,
}

impl KernelPipe {
    fn open() -> io::Result<Self> {
        let (end, start) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user has so much for all pipes together; a smaller one does too.
        let size = fcntl_setpipe_size(&start, PIPE).unwrap_or(BUFFER);
        Ok(Self { end, start, size })
    }

    async fn pass_on(&self, from: &TcpStream, to: &TcpStream, count: &AtomicU64) -> io::Result<()> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        loop {
            // The pipe is empty, so only the connection can make this wait.
            let take = || Ok(splice(from, None, &self.start, None, self.size, flags)?);
            let mut held = from.async_io(Interest::READABLE, take).await?;
            if held == 0 {
                return Ok(());
            }
            count.fetch_add(held as u64, Ordering::Relaxed);
            while held > 0 {
                let give = || Ok(splice(&self.end, None, to, None, held, flags)?);
                held -= to.async_io(Interest::WRITABLE, give).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Two ends of a connection.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (one, other) = tokio::join!(connecting, listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    #[tokio::test]
    async fn all_bytes_arrive_however_many_they_are() {
        for length in [0, 1, BUFFER + 1, 1 << 20, (1 << 20) + 1, 9 << 20] {
            let sent: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let (mut program, mut inner) = connection().await;
            let (mut outer, mut host) = connection().await;
            let count = AtomicU64::new(0);
            let (mut from, _) = inner.split();
            let (_, mut to) = outer.split();
            let sending = async {
                program.write_all(&sent).await.unwrap();
                program.shutdown().await.unwrap();
            };
            let receiving = async {
                let mut received = Vec::new();
                host.read_to_end(&mut received).await.unwrap();
                received
            };
            let passing = pass_on(&mut from, &mut to, &count);
            let ((), received, passed) = tokio::join!(sending, receiving, passing);
            passed.unwrap();
            assert!(received == sent, "{length} bytes");
            assert_eq!(count.into_inner(), sent.len() as u64);
        }
    }

    #[tokio::test]
    async fn an_end_that_goes_away_ends_it() {
        let (mut program, mut inner) = connection().await;
        let (mut outer, host) = connection().await;
        drop(host);
        let passing = tokio::spawn(async move {
            let (mut from, mut to) = (inner.split().0, outer.split().1);
            pass_on(&mut from, &mut to, &AtomicU64::new(0)).await
        });
        let bytes = vec![7; 64 << 10];
        while program.write_all(&bytes).await.is_ok() {}
        passing.await.unwrap().unwrap_err();
    }
}
