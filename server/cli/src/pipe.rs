//! `claudecluster lsp`: bytes from the editor to the daemon and back.
//!
//! Architecture invariant: this opens no TCP socket and knows no message of the protocol. It looks
//! at nothing but the lengths of frames, to find what the daemon says behind the last one.

use claudecluster_protocol::{ErrorBody, api::Purpose, goal::EnvVar};
use tokio::io::{self, AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    client::{self, Client},
    daemon::FAREWELL,
    failure::{Context, Exit, Failure, Outcome},
};

/// The longest header line; real ones have 30 bytes.
const HEADER_LIMIT: u64 = 16 << 10;

/// How the daemon's side of the pipe ended.
#[derive(PartialEq, Eq, Debug)]
enum End {
    /// The server has ended with this exit status.
    Said(u8),
    /// The daemon has hung up without a word.
    Lost,
}

/// Connects the editor's pipe with the daemon until one of them ends.
pub(crate) async fn run(client: &Client, env: Vec<EnvVar>) -> Outcome<Exit> {
    let link = client.link(Purpose::Lsp { env }).await?;
    let (mut from_daemon, mut to_daemon) = (link.reader, link.writer);
    // Its thread blocks in a read that nothing ends; the process ends over it.
    let upwards = tokio::spawn(async move {
        let mut stdin = io::stdin();
        let copied = io::copy(&mut stdin, &mut to_daemon).await;
        // The daemon must see the end, and it says then how it ended.
        let _ = to_daemon.shutdown().await;
        copied.map(|_| ())
    });
    let end = downwards(&mut from_daemon, &mut io::stdout()).await;
    upwards.abort();
    match end.context("the editor's pipe broke")? {
        End::Said(0) => Ok(Exit::Done),
        End::Said(_) => Ok(Exit::Failed),
        End::Lost => Err(Failure::Error(lost())),
    }
}

fn lost() -> ErrorBody {
    let mut error = client::lost();
    error.hint =
        Some("restart the language server in your editor; goals resume by themselves".into());
    error
}

/// Copies frames until the daemon hangs up.
async fn downwards(
    reader: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<End> {
    let mut line = Vec::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            let mut limited = (&mut *reader).take(HEADER_LIMIT);
            limited.read_until(b'\n', &mut line).await?;
            if line.last() != Some(&b'\n') {
                return Ok(End::Lost);
            }
            if let Some(code) = line.strip_prefix(FAREWELL.as_bytes()) {
                let code = String::from_utf8_lossy(code).trim().parse().unwrap_or(1);
                return Ok(End::Said(code));
            }
            writer.write_all(&line).await?;
            if line == b"\r\n" {
                break;
            }
            length = content_length(&line).unwrap_or(length);
        }
        let copied = io::copy(&mut (&mut *reader).take(length), writer).await?;
        writer.flush().await?;
        if copied < length {
            return Ok(End::Lost);
        }
    }
}

fn content_length(line: &[u8]) -> Option<u64> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    name.eq_ignore_ascii_case("content-length")
        .then(|| value.trim().parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(input: &str, expected: &str, end: End) {
        let mut out = Vec::new();
        let mut reader = tokio::io::BufReader::with_capacity(3, input.as_bytes());
        assert_eq!(downwards(&mut reader, &mut out).await.unwrap(), end);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[tokio::test]
    async fn frames_pass_and_the_farewell_does_not() {
        let frame = "Content-Length: 24\r\nX: y\r\n\r\nclaudecluster-exit: 7\n{}\n";
        check(frame, frame, End::Lost).await;
        let twice = format!("{frame}{frame}");
        check(&format!("{twice}{FAREWELL}0\n"), &twice, End::Said(0)).await;
        check(&format!("{FAREWELL}1\n"), "", End::Said(1)).await;
        check(
            "Content-Length: 10\r\n\r\n{}",
            "Content-Length: 10\r\n\r\n{}",
            End::Lost,
        )
        .await;
    }
}
