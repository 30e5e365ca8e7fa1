//! Runs one program to its end: for the `command` agent and for gates.
//!
//! Whatever it writes, memory stays bounded: its output is kept as a tail, and told to watchers a few
//! times a second at most.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use claudecluster_protocol::{StopReason, event::AgentEvent};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    process::{Child, Command},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::agent::{ClockChange, SessionChannels};

/// The bytes of the end of the output that are kept.
pub(crate) const TAIL: usize = 64 << 10;
/// The bytes that go to a transcript.
const TRANSCRIPT: usize = 16 << 20;
/// The bytes one event carries; of faster output only the end is sent.
const TOLD: usize = 4 << 10;
/// The shortest time between two events.
const PAUSE: Duration = Duration::from_millis(100);
/// Read at once.
const CHUNK: usize = 16 << 10;

/// The deadlines of a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProgramDeadlines {
    /// From its start to its end.
    pub(crate) timeout: Duration,
    /// From SIGTERM to SIGKILL, and from its exit to the end of its output.
    pub(crate) exit: Duration,
}

/// The way a program ended.
#[derive(Debug)]
pub(crate) enum ProgramEnd {
    /// The program exited by itself.
    Exited(ExitStatus),
    /// The program could not be started or waited for.
    Failed(io::Error),
    /// The output could not be written to the transcript.
    NoTranscript(io::Error),
    /// The program was ended because it took too long.
    TimedOut,
    /// The program was ended because the run was cancelled.
    Cancelled,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct EndedProgram {
    pub(crate) end: ProgramEnd,
    /// The end of what it wrote to both streams, in the order it came.
    pub(crate) tail: Vec<u8>,
}

/// The class of an error of the machine.
pub(crate) fn class_of(error: &io::Error) -> StopReason {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull
        | Kind::QuotaExceeded
        | Kind::OutOfMemory
        | Kind::PermissionDenied
        | Kind::ReadOnlyFilesystem
        | Kind::FileTooLarge => StopReason::Resources,
        _ => match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::EIO) => StopReason::Resources,
            _ => StopReason::SpawnFailed,
        },
    }
}

/// Runs `command`, whose arguments and environment are set. Ends it, with everything it started, when
/// it takes too long, when it is cancelled, and when this future is dropped.
pub(crate) async fn run_program(
    mut command: Command,
    deadlines: ProgramDeadlines,
    transcript: Option<&mut (dyn AsyncWrite + Unpin + Send)>,
    channels: &SessionChannels,
) -> EndedProgram {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => {
            return EndedProgram {
                end: ProgramEnd::Failed(e),
                tail: Vec::new(),
            };
        }
    };
    let mut output = ProgramOutput {
        tail: Vec::new(),
        untold: Vec::new(),
        told_at: None,
        written: 0,
        transcript,
        events: &channels.events,
    };
    let end = await_end(&mut child, deadlines, &mut output, channels).await;
    output.tell_watchers(true);
    let mut tail = output.tail;
    cut_front(&mut tail, TAIL);
    EndedProgram { end, tail }
}

/// Why a program is being ended.
enum ShutdownStage {
    No,
    Asked(ProgramEnd),
    Killed(ProgramEnd),
}

async fn await_end(
    child: &mut Child,
    deadlines: ProgramDeadlines,
    output: &mut ProgramOutput<'_, '_>,
    channels: &SessionChannels,
) -> ProgramEnd {
    let cancel = &channels.cancel;
    let mut clocks = channels.clocks.watch();
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut deadline = Instant::now() + deadlines.timeout;
    let mut ending = ShutdownStage::No;
    let mut status = None;
    loop {
        let told = output.next_telling();
        // Somebody is waited for, and may take longer than a program.
        let stands = clocks.is_stopped() && matches!(ending, ShutdownStage::No) && status.is_none();
        tokio::select! {
            // Deadlines first: a program that floods its output does not escape them.
            biased;
            () = cancel.cancelled(), if matches!(ending, ShutdownStage::No) && status.is_none() => {
                send_term(child);
                ending = ShutdownStage::Asked(ProgramEnd::Cancelled);
                deadline = Instant::now() + deadlines.exit;
            }
            change = clocks.changed() => {
                if let (ClockChange::Resumed(stood), ShutdownStage::No, None) = (change, &ending, &status) {
                    deadline += stood;
                }
            }
            () = sleep_until(deadline), if !stands => {
                // It has ended; somebody else holds its streams open.
                if status.is_some() {
                    break;
                }
                deadline = Instant::now() + deadlines.exit;
                ending = match escalate_end(child, ending) {
                    Ok(ending) => ending,
                    Err(end) => return end,
                };
            }
            ended = child.wait(), if status.is_none() => {
                status = Some(ended);
                deadline = Instant::now() + deadlines.exit;
            }
            read = read_chunk(&mut stdout, &mut out), if stdout.is_some() => match read {
                Some(length) => if let Err(e) = output.take_output(&out[..length]).await {
                    return ProgramEnd::NoTranscript(e);
                },
                None => stdout = None,
            },
            read = read_chunk(&mut stderr, &mut err), if stderr.is_some() => match read {
                Some(length) => if let Err(e) = output.take_output(&err[..length]).await {
                    return ProgramEnd::NoTranscript(e);
                },
                None => stderr = None,
            },
            () = sleep_until(told.unwrap_or(deadline)), if told.is_some() => output.tell_watchers(false),
        }
        if status.is_some() && stdout.is_none() && stderr.is_none() {
            break;
        }
    }
    match (ending, status) {
        (ShutdownStage::Asked(end) | ShutdownStage::Killed(end), _) => end,
        (ShutdownStage::No, Some(Ok(status))) => ProgramEnd::Exited(status),
        (ShutdownStage::No, Some(Err(e))) => ProgramEnd::Failed(e),
        (ShutdownStage::No, None) => ProgramEnd::TimedOut,
    }
}

/// Ends the program the next harder way, after a deadline. The error is the end if no harder way is left.
fn escalate_end(child: &mut Child, ending: ShutdownStage) -> Result<ShutdownStage, ProgramEnd> {
    match ending {
        ShutdownStage::No => {
            send_term(child);
            Ok(ShutdownStage::Asked(ProgramEnd::TimedOut))
        }
        ShutdownStage::Asked(end) => {
            // It may have ended this very moment.
            let _ = child.start_kill();
            Ok(ShutdownStage::Killed(end))
        }
        ShutdownStage::Killed(end) => Err(end),
    }
}

/// Asks the program to end.
fn send_term(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = id.and_then(Pid::from_raw) {
        // It may have ended this very moment.
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Reads the next bytes; `None` at the end.
async fn read_chunk<R: AsyncRead + Unpin>(
    stream: &mut Option<R>,
    buffer: &mut [u8],
) -> Option<usize> {
    let length = stream.as_mut()?.read(buffer).await.ok()?;
    (length > 0).then_some(length)
}

struct ProgramOutput<'t, 'e> {
    tail: Vec<u8>,
    /// Output that watchers have not been told.
    untold: Vec<u8>,
    told_at: Option<Instant>,
    written: usize,
    transcript: Option<&'t mut (dyn AsyncWrite + Unpin + Send)>,
    events: &'e mpsc::Sender<AgentEvent>,
}

impl ProgramOutput<'_, '_> {
    async fn take_output(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tail.extend_from_slice(bytes);
        // Moving the rest to the front each time would cost more than the memory.
        if self.tail.len() > 2 * TAIL {
            cut_front(&mut self.tail, TAIL);
        }
        self.untold.extend_from_slice(bytes);
        cut_front(&mut self.untold, TOLD);
        if self.next_telling().is_some_and(|at| at <= Instant::now()) {
            self.tell_watchers(false);
        }
        let Some(transcript) = &mut self.transcript else {
            return Ok(());
        };
        if self.written < TRANSCRIPT {
            let fitting = bytes.len().min(TRANSCRIPT - self.written);
            transcript.write_all(&bytes[..fitting]).await?;
            self.written += fitting;
            if self.written == TRANSCRIPT {
                transcript.write_all(b"\n[the rest is left out]\n").await?;
            }
        }
        Ok(())
    }

    /// When there is something to tell.
    fn next_telling(&self) -> Option<Instant> {
        (!self.untold.is_empty()).then(|| self.told_at.map_or_else(Instant::now, |at| at + PAUSE))
    }

    /// Tells whole lines, and at the end or where lines are long whatever there is. Where nobody takes
    /// it in time it is dropped: no watcher may hold up a program.
    fn tell_watchers(&mut self, all: bool) {
        self.told_at = Some(Instant::now());
        let line_end = self.untold.iter().rposition(|&byte| byte == b'\n');
        let until = match line_end {
            _ if all => self.untold.len(),
            Some(at) => at + 1,
            None => self.untold.len(),
        };
        if until == 0 {
            return;
        }
        let told: Vec<u8> = self.untold.drain(..until).collect();
        let text = String::from_utf8_lossy(&told).into_owned();
        let _ = self.events.try_send(AgentEvent::Output { text });
    }
}

/// Leaves at most the last `most` bytes, from a line's start where there is one.
fn cut_front(bytes: &mut Vec<u8>, most: usize) {
    if bytes.len() <= most {
        return;
    }
    let from = bytes.len() - most;
    let line = bytes[from..]
        .iter()
        .position(|&byte| byte == b'\n')
        .map(|at| from + at + 1);
    bytes.drain(..line.filter(|&at| at < bytes.len()).unwrap_or(from));
}

/// The last lines of an output, for a summary.
pub(crate) fn last_lines(tail: &[u8]) -> String {
    const LINES: usize = 20;
    const BYTES: usize = 2 << 10;
    let mut end = tail.trim_ascii_end().to_vec();
    cut_front(&mut end, BYTES);
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::agent::SessionClocks;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Runs a program that waits for a line of a pipe for a day, while its clock stands. Time is virtual; only the
    /// clock of the program would make it pass by itself.
    async fn check(answered: bool, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let clocks = SessionClocks::default();
        let channels = SessionChannels {
            events: mpsc::channel(64).0,
            questions: None,
            cancel: CancellationToken::new(),
            clocks: clocks.clone(),
        };
        let deadlines = ProgramDeadlines {
            timeout: Duration::from_secs(60),
            exit: Duration::from_secs(5),
        };
        let mut command = Command::new("sh");
        command.args(["-c", "read -r line <pipe && exit 7"]);
        command.current_dir(folder.path());
        let (stopped, begun) = (clocks.stop(), Instant::now());
        let waiting = async {
            // Opens once the program reads.
            let open = move || std::fs::File::options().write(true).open(pipe);
            let mut pipe = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
            tokio::time::advance(DAY).await;
            if answered {
                pipe.write_all(b"x\n").unwrap();
                return (Some(stopped), pipe);
            }
            drop(stopped);
            (None, pipe)
        };
        let running = run_program(command, deadlines, None, &channels);
        let (ended, _kept) = tokio::join!(running, waiting);
        let end = match ended.end {
            ProgramEnd::Exited(status) => format!("exited with {:?}", status.code()),
            ProgramEnd::TimedOut => "timed out".to_owned(),
            _ => "ended otherwise".to_owned(),
        };
        assert_eq!(end, expected);
        let most = DAY + deadlines.timeout + 3 * deadlines.exit;
        assert!((DAY..=most).contains(&begun.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_person_may_take_longer_than_a_program() {
        check(true, "exited with Some(7)").await;
        check(false, "timed out").await;
    }
}
