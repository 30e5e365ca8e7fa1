//! The transcript of an attempt: a file of the daemon's that is cut off at a limit.

use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    fs::File,
    io::{AsyncWrite, BufWriter},
};

/// The most that is kept of what an attempt writes, in bytes. A program can write without end, and the whole of it
/// becomes an artifact.
pub(crate) const TRANSCRIPT_BYTES: u64 = 128 << 20;

/// Writes a transcript. What exceeds the limit is dropped, and the attempt goes on.
#[derive(Debug)]
pub(crate) struct TranscriptWriter<W> {
    inner: W,
    left: u64,
}

impl TranscriptWriter<BufWriter<File>> {
    /// Opens a transcript, which is made with its folder, or added to.
    pub(crate) async fn open(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            let mut builder = tokio::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(dir).await?;
        }
        let file = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .await?;
        let written = file.metadata().await?.len();
        Ok(Self::new(
            BufWriter::new(file),
            TRANSCRIPT_BYTES.saturating_sub(written),
        ))
    }
}

impl<W> TranscriptWriter<W> {
    fn new(inner: W, left: u64) -> Self {
        Self { inner, left }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for TranscriptWriter<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let fits = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        if fits == 0 {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, &bytes[..fits]);
        if let Poll::Ready(Ok(count)) = written {
            self.left -= count as u64;
            if self.left == 0 {
                tracing::warn!("a transcript has reached its limit and is cut off");
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_transcript_ends_at_its_limit() {
        let mut kept = Vec::new();
        let mut writer = TranscriptWriter::new(&mut kept, 10);
        for _ in 0..3 {
            writer.write_all(b"1234567").await.unwrap();
        }
        writer.flush().await.unwrap();
        assert_eq!(kept, b"1234567123");
    }
}
