//! `claudecluster lsp`: passes messages between the editor and the daemon, and outlives daemons.
//!
//! Architecture invariant: this module opens no TCP socket and decides nothing about the protocol.
//! [`claudecluster_lsp::proxy`] decides which state the next daemon needs, and which side learns of
//! a lost daemon.

use std::{io, time::Duration};

use claudecluster_lsp::{
    LspConfig,
    proxy::{EditorStage, FrameStream, ProxyOutput, SessionReplay, encode_frame},
};
use claudecluster_protocol::{ErrorBody, goal::EnvVar};
use tokio::{
    io::{
        AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, stdin,
        stdout,
    },
    sync::mpsc,
    time::sleep,
};

use crate::{
    client::{self, DaemonClient, DaemonLink},
    daemon::{FAREWELL, STOPPED},
    exit::{CommandExit, CommandFailure, CommandResult},
};

/// Limits the length of a header line. Real header lines have 30 bytes.
const HEADER_LIMIT: u64 = 16 << 10;
/// Limits the editor's messages that wait while a daemon is slow to read.
const QUEUE: usize = 64;
/// Lists the pauses before the tries to find or start a daemon.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];
/// Limits the daemons that may end in a row without a message of the editor. Beyond this limit,
/// another daemon does not help.
const LOSSES: u32 = 5;

/// Holds one message from the daemon.
#[derive(PartialEq, Eq, Debug)]
enum DaemonMessage {
    /// A message's body.
    Message(Vec<u8>),
    /// The server has ended with this exit status.
    Exit(u8),
    /// The daemon was asked to end.
    Stopped,
    /// The daemon has hung up without a word.
    Lost,
}

/// Gives the reason why the connection to a daemon ended.
enum SessionEnd {
    /// The server ended with this exit status, which the editor gets.
    Exit(u8),
    /// The daemon was asked to end.
    Stopped,
    /// The daemon is gone.
    Lost,
}

/// Holds a message of the editor, or the reply to input that is not one.
type EditorMessage = Result<Vec<u8>, Vec<u8>>;

/// Connects the editor to a daemon, and to the next daemon if that one ends, until the editor
/// leaves.
pub(crate) async fn run_lsp_proxy(
    client: &DaemonClient,
    env: Vec<EnvVar>,
) -> CommandResult<CommandExit> {
    let mut link = client.link_editor(env.clone()).await?;
    let (incoming, editor) = mpsc::channel(QUEUE);
    // Its thread blocks in a read that nothing ends; the process ends over it.
    tokio::spawn(read_editor(stdin(), incoming));
    // A client that reads nothing while it writes must not stop us from reading.
    let (to_editor, outgoing) = mpsc::unbounded_channel();
    let writing = tokio::spawn(write_editor(stdout(), outgoing));
    let mut pipe = LspProxy {
        mirror: SessionReplay::new(),
        editor,
        to_editor,
        heard: false,
    };
    let mut losses = 0;
    let status = loop {
        let stopped = match pipe.serve(link).await {
            SessionEnd::Exit(status) => break status,
            SessionEnd::Stopped => true,
            SessionEnd::Lost => false,
        };
        losses = if std::mem::take(&mut pipe.heard) {
            1
        } else {
            losses + 1
        };
        let lost = pipe.mirror.handle_loss();
        pipe.send_to_editor(lost);
        if pipe.mirror.stage() != EditorStage::Open {
            break 0;
        }
        if losses > LOSSES {
            return Err(pipe.give_up(client::daemon_lost()));
        }
        link = match pipe.next_daemon(client, &env, stopped).await {
            Ok(Some(link)) => link,
            Ok(None) => break u8::from(pipe.mirror.stage() != EditorStage::Exited),
            Err(error) => return Err(pipe.give_up(error)),
        };
    };
    drop(pipe);
    // What was said last is written before the process ends.
    let _ = writing.await;
    Ok(if status == 0 {
        CommandExit::Done
    } else {
        CommandExit::Failed
    })
}

struct LspProxy {
    mirror: SessionReplay,
    editor: mpsc::Receiver<EditorMessage>,
    to_editor: mpsc::UnboundedSender<Vec<u8>>,
    /// Whether the editor has sent a message to this daemon.
    heard: bool,
}

impl LspProxy {
    /// Passes messages between the editor and one daemon until one of the two is gone.
    async fn serve(&mut self, link: DaemonLink) -> SessionEnd {
        let DaemonLink {
            reader, mut writer, ..
        } = link;
        let (incoming, mut daemon) = mpsc::channel(QUEUE);
        let reading = tokio::spawn(read_daemon(reader, incoming));
        let replay = self.mirror.replay_session();
        let mut broken = write_frames(&mut writer, replay.daemon).await.is_err();
        let mut closed = false;
        let end = loop {
            let out = tokio::select! {
                said = daemon.recv() => match said.unwrap_or(DaemonMessage::Lost) {
                    DaemonMessage::Message(body) => self.mirror.handle_daemon(body),
                    DaemonMessage::Exit(status) => break SessionEnd::Exit(status),
                    DaemonMessage::Stopped => break SessionEnd::Stopped,
                    DaemonMessage::Lost => break SessionEnd::Lost,
                },
                message = self.editor.recv(), if !closed && !broken => match message {
                    Some(message) => {
                        self.heard = true;
                        self.take(message)
                    }
                    // The daemon must see the end, and it says then how it ended.
                    None => {
                        closed = true;
                        broken = writer.shutdown().await.is_err();
                        continue;
                    }
                },
            };
            // Where it cannot be written to there is still something to read, up to the end.
            broken |= write_frames(&mut writer, out.daemon).await.is_err();
            self.send_bodies(out.editor);
        };
        reading.abort();
        match end {
            SessionEnd::Stopped | SessionEnd::Lost if closed => SessionEnd::Exit(1),
            end => end,
        }
    }

    fn take(&mut self, message: EditorMessage) -> ProxyOutput {
        match message {
            Ok(body) => self.mirror.handle_editor(body),
            Err(reply) => ProxyOutput {
                editor: vec![reply],
                daemon: Vec::new(),
            },
        }
    }

    /// Finds or starts the next daemon while the editor continues. A daemon that was stopped on
    /// purpose starts again with the editor's next message. Returns `None` if the editor leaves
    /// meanwhile.
    async fn next_daemon(
        &mut self,
        client: &DaemonClient,
        env: &[EnvVar],
        stopped: bool,
    ) -> Result<Option<DaemonLink>, ErrorBody> {
        if stopped && !self.next_from_editor().await {
            return Ok(None);
        }
        let finding = find_daemon(client.clone(), env.to_vec());
        tokio::pin!(finding);
        loop {
            // An editor that says goodbye needs none.
            let wanted = self.mirror.stage() == EditorStage::Open;
            tokio::select! {
                link = &mut finding, if wanted => return link.map(Some),
                goes_on = self.next_from_editor() => if !goes_on {
                    return Ok(None);
                },
            }
        }
    }

    /// Handles the editor's next message without a daemon. Returns `false` if the editor sends no
    /// more.
    async fn next_from_editor(&mut self) -> bool {
        let Some(message) = self.editor.recv().await else {
            return false;
        };
        let out = self.take(message);
        self.send_to_editor(out);
        self.mirror.stage() != EditorStage::Exited
    }

    fn send_to_editor(&self, out: ProxyOutput) {
        self.send_bodies(out.editor);
    }

    fn send_bodies(&self, bodies: Vec<Vec<u8>>) {
        for body in bodies {
            // An editor that reads no more is gone, and its other pipe says so.
            let _ = self.to_editor.send(body);
        }
    }

    fn give_up(&mut self, mut error: ErrorBody) -> CommandFailure {
        let out = self.mirror.give_up(&error.message);
        self.send_to_editor(out);
        error.hint =
            Some("restart the language server in your editor; goals resume automatically".into());
        CommandFailure::Error(error)
    }
}

async fn find_daemon(client: DaemonClient, env: Vec<EnvVar>) -> Result<DaemonLink, ErrorBody> {
    let mut last = client::daemon_lost();
    for pause in PAUSES {
        sleep(pause).await;
        match client.link_editor(env.clone()).await {
            Ok(link) => return Ok(link),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn write_frames(
    writer: &mut (impl AsyncWrite + Unpin),
    bodies: Vec<Vec<u8>>,
) -> io::Result<()> {
    for body in bodies {
        writer.write_all(&encode_frame(&body)).await?;
    }
    Ok(())
}

/// Reads the editor's frames until its stream ends; the channel then closes.
async fn read_editor(mut stream: impl AsyncRead + Unpin, messages: mpsc::Sender<EditorMessage>) {
    let mut frames = FrameStream::new(LspConfig::default().max_message_bytes);
    while stream
        .read_buf(frames.buffer())
        .await
        .is_ok_and(|read| read > 0)
    {
        while let Some(message) = frames.next_message() {
            if messages.send(message).await.is_err() {
                return;
            }
        }
    }
}

async fn write_editor(
    mut stream: impl AsyncWrite + Unpin,
    mut bodies: mpsc::UnboundedReceiver<Vec<u8>>,
) {
    while let Some(body) = bodies.recv().await {
        let mut batch = encode_frame(&body);
        while let Ok(body) = bodies.try_recv() {
            batch.extend(encode_frame(&body));
        }
        let written = async {
            stream.write_all(&batch).await?;
            stream.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
}

async fn read_daemon(mut stream: impl AsyncBufRead + Unpin, messages: mpsc::Sender<DaemonMessage>) {
    loop {
        let said = read_message(&mut stream)
            .await
            .unwrap_or(DaemonMessage::Lost);
        let goes_on = matches!(said, DaemonMessage::Message(_));
        if messages.send(said).await.is_err() || !goes_on {
            return;
        }
    }
}

/// Reads the daemon's next message, or the reason for its end.
async fn read_message(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<DaemonMessage> {
    let mut line = Vec::new();
    let mut length = 0;
    loop {
        line.clear();
        let mut limited = (&mut *reader).take(HEADER_LIMIT);
        limited.read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Ok(DaemonMessage::Lost);
        }
        if let Some(said) = line.strip_prefix(FAREWELL.as_bytes()) {
            let said = String::from_utf8_lossy(said);
            return Ok(match said.trim() {
                STOPPED => DaemonMessage::Stopped,
                status => DaemonMessage::Exit(status.parse().unwrap_or(1)),
            });
        }
        if line == b"\r\n" {
            break;
        }
        length = content_length(&line).unwrap_or(length);
    }
    let mut body = Vec::new();
    (&mut *reader).take(length).read_to_end(&mut body).await?;
    Ok(if (body.len() as u64) < length {
        DaemonMessage::Lost
    } else {
        DaemonMessage::Message(body)
    })
}

fn content_length(line: &[u8]) -> Option<u64> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    name.eq_ignore_ascii_case("content-length")
        .then(|| value.trim().parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(input: &str, expected: &[DaemonMessage]) {
        let mut reader = tokio::io::BufReader::with_capacity(3, input.as_bytes());
        for said in expected {
            assert_eq!(read_message(&mut reader).await.unwrap(), *said);
        }
    }

    #[tokio::test]
    async fn messages_and_the_farewell_are_told_apart() {
        let text = "claudecluster-exit: 7\n{}";
        let framed = format!("Content-Length: 24\r\nX: y\r\n\r\n{text}");
        let message = || DaemonMessage::Message(text.into());
        check(&framed, &[message(), DaemonMessage::Lost]).await;
        let twice = format!("{framed}{framed}{FAREWELL}0\n");
        check(&twice, &[message(), message(), DaemonMessage::Exit(0)]).await;
        check(&format!("{FAREWELL}1\n"), &[DaemonMessage::Exit(1)]).await;
        check(&format!("{FAREWELL}{STOPPED}\n"), &[DaemonMessage::Stopped]).await;
        check("Content-Length: 10\r\n\r\n{}", &[DaemonMessage::Lost]).await;
    }
}
