//! Runs a program that speaks a line protocol, and ends it within its deadlines.
//!
//! All agents that speak a line protocol are driven by this one loop. A [`LineProtocol`] gives the lines
//! their meaning; only this loop decides when to stop waiting:
//!
//! | phase | ends with | deadline | then |
//! |---|---|---|---|
//! | starting | the first line | `start` | `StartTimeout` |
//! | working | the result | `silence` since the last byte, `timeout` in all | `Silent`, `Timeout` |
//! | working, a program waits for a person | the answer | that of who asks | the clocks go on |
//! | working, a person is asked | the answer | the permissions' `timeout` | a denial; the session goes on |
//! | finished | the program's exit | `exit` | ended; the result counts |
//! | interrupting | the program's exit | half of `exit` | SIGTERM |
//! | terminating | the program's exit | `exit` (half after an interrupt) | SIGKILL |

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    process::{ExitStatus, Stdio},
    task::Poll,
};

use claudecluster_protocol::{Span, StopReason, event::AgentEvent, worker::OPEN_QUESTIONS};
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdout, Command},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    AgentLimits, ClockChange, ClockWatch, PermissionQuestion, QuestionReply, SessionChannels,
    ToolRequest, input_queue::InputQueue, text::clip_event,
};

/// The longest line that is taken for a message. Longer ones are nobody's intention.
const MAX_LINE: usize = 32 << 20;
/// The bytes of standard error that are kept for messages.
const TAIL: usize = 8 << 10;
/// The time the end of standard error may take to arrive once the program has exited.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(100);
/// Read at once.
const CHUNK: usize = 64 << 10;

/// The meaning of a program's lines.
pub(crate) trait LineProtocol: Send {
    /// Returns the lines to send first, without their ends.
    fn opening_lines(&mut self) -> Vec<String>;

    /// Handles one line from the program, without its end.
    fn receive_line(&mut self, line: &[u8]) -> LineEffects;

    /// Handles the answer to one of the program's questions.
    fn receive_answer(&mut self, _question: u64, _answer: QuestionAnswer) -> LineEffects {
        LineEffects::default()
    }

    /// Returns the line that asks the program to stop, if its protocol has one.
    fn interrupt_line(&mut self) -> Option<String> {
        None
    }
}

/// The effects of a line.
#[derive(Debug, Default)]
pub(crate) struct LineEffects {
    /// Lines to send.
    pub send: Vec<String>,
    /// Events for watchers.
    pub events: Vec<AgentEvent>,
    /// Questions that the program waits to have answered.
    pub questions: Vec<ProtocolQuestion>,
    /// The numbers of questions that the program no longer waits for.
    pub withdrawn: Vec<u64>,
    /// How the session continues.
    pub next: SessionControl,
}

/// A question that a program waits to have answered.
#[derive(Debug)]
pub(crate) struct ProtocolQuestion {
    /// The number the protocol gave the question.
    pub number: u64,
    /// The tool use to decide about.
    pub request: ToolRequest,
}

/// The answer to a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum QuestionAnswer {
    /// A person or a rule decided.
    Decided(QuestionReply),
    /// Nobody can decide: there is no approver, or the approver has gone.
    NoApprover,
    /// Nobody decided within this time.
    TimedOut(Span),
}

/// How a session continues after a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SessionControl {
    /// Wait for the next line.
    #[default]
    Continue,
    /// The line was the result: the program only has to exit.
    Finished,
    /// Waiting is pointless: end the program, for this reason.
    Abort(StopReason),
}

/// The end of a program's session.
#[derive(Debug, Default)]
pub(crate) struct SessionExit {
    /// The reason the program was ended from outside, if it was.
    pub stop: Option<StopReason>,
    /// The exit status of the program, if it is known.
    pub status: Option<ExitStatus>,
    /// The error that kept the program from starting.
    pub spawn_error: Option<std::io::Error>,
    /// Whether the program wrote a line at all.
    pub spoke: bool,
    /// Whether the output ended within a line or had a line that was too long.
    pub cut: bool,
    /// The end of the program's standard error.
    pub stderr: String,
}

impl SessionExit {
    /// Classifies and describes a session without a result.
    pub(crate) fn without_result(&self, name: &str, limits: &AgentLimits) -> (StopReason, String) {
        if let Some(error) = &self.spawn_error {
            let words = format!("cannot start {name}: {error}");
            return (StopReason::SpawnFailed, words);
        }
        let reason = self.stop.unwrap_or_else(|| match self.status {
            _ if self.cut => StopReason::BrokenStream,
            // What shells and launchers say where the program itself could not be run.
            Some(status) if !self.spoke && matches!(status.code(), Some(125..=127)) => {
                StopReason::SpawnFailed
            }
            _ => StopReason::Crashed,
        });
        let mut words = match reason {
            StopReason::StartTimeout => format!("{name} did not start within {}", limits.start),
            StopReason::Silent => format!("{name} produced no output for {}", limits.silence),
            StopReason::Timeout => format!("{name} took longer than {}", limits.timeout),
            StopReason::Cancelled => format!("{name} was cancelled"),
            StopReason::BrokenStream => format!("{name}'s output ended early"),
            StopReason::Resources => format!("cannot write {name}'s transcript"),
            _ => match self.status {
                Some(status) => format!("{name} ended without a result ({status})"),
                None => format!("{name} ended without a result"),
            },
        };
        let last = self
            .stderr
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty());
        if let Some(last) = last {
            words.push_str(": ");
            words.push_str(last.trim());
        }
        (reason, words)
    }
}

/// Starts `command` and drives its protocol until the program has ended.
///
/// Every byte it writes to standard output goes to `transcript`. Events are offered to `events`;
/// where nobody takes them in time they are dropped, because no watcher may hold up an attempt.
pub(crate) async fn drive_session(
    mut command: Command,
    protocol: &mut dyn LineProtocol,
    limits: &AgentLimits,
    answer_timeout: Span,
    transcript: &mut (dyn AsyncWrite + Unpin + Send),
    channels: &SessionChannels,
) -> SessionExit {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let spawned = command.spawn().and_then(ProgramStreams::of);
    let (child, streams) = match spawned {
        Ok(spawned) => spawned,
        Err(error) => {
            return SessionExit {
                spawn_error: Some(error),
                ..SessionExit::default()
            };
        }
    };
    let mut session = LineSession {
        child,
        input: Some(streams.input),
        phase: SessionPhase::Starting,
        deadline: Instant::now() + limits.start.to_duration(),
        end: Instant::now() + limits.timeout.to_duration(),
        lines: Vec::new(),
        searched: 0,
        deaf: false,
        tail: Vec::new(),
        ended: SessionExit::default(),
        waiting: Vec::new(),
        paused: Instant::now(),
        clocks: channels.clocks.watch(),
        protocol,
        limits,
        answer_timeout,
        transcript,
        channels,
    };
    for line in session.protocol.opening_lines() {
        session.send_line(line);
    }
    session
        .read_until_exit(streams.stdout, streams.stderr)
        .await;
    streams.writer.abort();
    session.into_exit()
}

struct ProgramStreams {
    input: InputQueue,
    writer: JoinHandle<()>,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

impl ProgramStreams {
    fn of(mut child: Child) -> std::io::Result<(Child, Self)> {
        let taken = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = taken else {
            return Err(std::io::Error::other("its standard streams are missing"));
        };
        let (input, writer) = InputQueue::new(stdin);
        let streams = Self {
            input,
            writer,
            stdout,
            stderr,
        };
        Ok((child, streams))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionPhase {
    Starting,
    Working,
    Finished,
    Interrupting,
    Terminating,
    Killed,
    /// The program has exited; another process may still hold its output open.
    Exited,
}

struct LineSession<'a> {
    child: Child,
    input: Option<InputQueue>,
    phase: SessionPhase,
    /// The deadline of the phase.
    deadline: Instant,
    /// The deadline of the session.
    end: Instant,
    lines: Vec<u8>,
    /// The length of the part of `lines` that is known to hold no line end.
    searched: usize,
    /// Whether further output of the program is ignored.
    deaf: bool,
    tail: Vec<u8>,
    ended: SessionExit,
    /// Questions that wait for an answer.
    waiting: Vec<PendingQuestion>,
    /// The time from which on somebody is waited for.
    paused: Instant,
    /// Tells that a program of the session waits for somebody.
    clocks: ClockWatch,
    protocol: &'a mut dyn LineProtocol,
    limits: &'a AgentLimits,
    /// The time an answer to a question may take.
    answer_timeout: Span,
    transcript: &'a mut (dyn AsyncWrite + Unpin + Send),
    channels: &'a SessionChannels,
}

/// A question that waits for an answer.
struct PendingQuestion {
    number: u64,
    deadline: Instant,
    answer: oneshot::Receiver<QuestionReply>,
}

/// The next answer, taken from those that wait; pending where none does.
async fn next_answer(waiting: &mut Vec<PendingQuestion>) -> (u64, QuestionAnswer) {
    poll_fn(|cx| {
        for at in 0..waiting.len() {
            if let Poll::Ready(said) = Pin::new(&mut waiting[at].answer).poll(cx) {
                let number = waiting.remove(at).number;
                return Poll::Ready((
                    number,
                    said.map_or(QuestionAnswer::NoApprover, QuestionAnswer::Decided),
                ));
            }
        }
        Poll::Pending
    })
    .await
}

impl LineSession<'_> {
    async fn read_until_exit(&mut self, mut stdout: ChildStdout, mut stderr: ChildStderr) {
        let channels = self.channels;
        let mut out = Vec::with_capacity(CHUNK);
        let mut err = Vec::with_capacity(TAIL);
        let (mut out_open, mut err_open) = (true, true);
        while out_open || self.phase != SessionPhase::Exited {
            out.clear();
            err.clear();
            let deadline = self.next_deadline();
            tokio::select! {
                // Deadlines first: a program that floods its output does not escape them.
                biased;
                () = channels.cancel.cancelled(), if self.is_live() => self.cancel_session(),
                () = sleep_until(deadline.unwrap_or(self.deadline)), if deadline.is_some() => {
                    if !self.handle_deadline() {
                        return;
                    }
                }
                (number, answer) = next_answer(&mut self.waiting) => self.deliver_answer(number, answer),
                change = self.clocks.changed() => match change {
                    ClockChange::Stopped if self.waiting.is_empty() => self.paused = Instant::now(),
                    ClockChange::Stopped => {}
                    ClockChange::Resumed(_) => self.resume_clocks(),
                },
                status = self.child.wait(), if self.phase != SessionPhase::Exited => {
                    self.ended.status = status.ok();
                    self.enter_phase(SessionPhase::Exited, self.limits.exit.to_duration());
                }
                read = stdout.read_buf(&mut out), if out_open => match read {
                    Ok(1..) => self.receive_output(&out).await,
                    _ => out_open = false,
                },
                read = stderr.read_buf(&mut err), if err_open => match read {
                    Ok(1..) => self.keep_tail(&err),
                    _ => err_open = false,
                },
            }
        }
        // Its last words may still be in the pipe; whoever else holds that open is not waited for.
        let rest = async {
            err.clear();
            while let Ok(1..) = stderr.read_buf(&mut err).await {
                self.keep_tail(&err);
                err.clear();
            }
        };
        // Either way there is no more to say.
        let _ = timeout(LAST_WORDS, rest).await;
    }

    fn is_live(&self) -> bool {
        matches!(self.phase, SessionPhase::Starting | SessionPhase::Working)
    }

    /// Returns what time limit ends next; `None` while the clocks stand.
    fn next_deadline(&self) -> Option<Instant> {
        // A person may take longer than an agent.
        if let Some(first) = self.waiting.iter().map(|one| one.deadline).min() {
            Some(first)
        } else if self.is_live() {
            (!self.clocks.is_stopped()).then(|| self.deadline.min(self.end))
        } else {
            Some(self.deadline)
        }
    }

    fn enter_phase(&mut self, phase: SessionPhase, within: std::time::Duration) {
        self.phase = phase;
        if !self.is_live() {
            // Who asked is not there to hear the answer.
            self.waiting.clear();
        }
        self.deadline = Instant::now() + within;
    }

    fn send_line(&mut self, line: String) {
        let fits = self.input.as_ref().is_none_or(|input| input.push(line));
        if !fits {
            // It asks without end and reads no answer.
            self.deaf = true;
            self.ended.cut = true;
            self.stop_session(StopReason::BrokenStream);
        }
    }

    /// Handles a deadline that has passed; returns `false` if there is nothing left to wait for.
    fn handle_deadline(&mut self) -> bool {
        if !self.waiting.is_empty() {
            self.expire_questions();
            return true;
        }
        let late = Instant::now() >= self.end;
        match self.phase {
            SessionPhase::Starting | SessionPhase::Working if late => {
                self.stop_session(StopReason::Timeout);
            }
            SessionPhase::Starting => self.stop_session(StopReason::StartTimeout),
            SessionPhase::Working => self.stop_session(StopReason::Silent),
            SessionPhase::Finished => self.terminate_program(self.limits.exit.to_duration()),
            SessionPhase::Interrupting => {
                self.terminate_program(self.limits.exit.to_duration() / 2);
            }
            SessionPhase::Terminating => {
                // It may have exited this very moment.
                let _ = self.child.start_kill();
                self.enter_phase(SessionPhase::Killed, self.limits.exit.to_duration());
            }
            SessionPhase::Killed | SessionPhase::Exited => return false,
        }
        true
    }

    /// Sends a question to the approver. The clocks of the session pause meanwhile.
    fn ask_approver(&mut self, question: ProtocolQuestion) {
        let ProtocolQuestion { number, request } = question;
        let (reply, answer) = oneshot::channel();
        let questions = self.channels.questions.as_ref();
        let questions = questions.filter(|_| self.waiting.len() < OPEN_QUESTIONS);
        let asked =
            questions.is_some_and(|to| to.send(PermissionQuestion { request, reply }).is_ok());
        if !asked {
            let step = self
                .protocol
                .receive_answer(number, QuestionAnswer::NoApprover);
            return self.apply_effects(step);
        }
        let now = Instant::now();
        if self.waiting.is_empty() && !self.clocks.is_stopped() {
            self.paused = now;
        }
        self.waiting.push(PendingQuestion {
            number,
            deadline: now + self.answer_timeout.to_duration(),
            answer,
        });
    }

    fn deliver_answer(&mut self, number: u64, answer: QuestionAnswer) {
        self.resume_clocks();
        let step = self.protocol.receive_answer(number, answer);
        self.apply_effects(step);
    }

    /// Resumes the clocks once nobody is waited for.
    fn resume_clocks(&mut self) {
        if self.waiting.is_empty() && !self.clocks.is_stopped() && self.is_live() {
            let now = Instant::now();
            self.end += now - self.paused;
            self.paused = now;
            let within = match self.phase {
                SessionPhase::Starting => self.limits.start,
                _ => self.limits.silence,
            };
            self.deadline = now + within.to_duration();
        }
    }

    /// Answers the questions whose deadline has passed.
    fn expire_questions(&mut self) {
        let now = Instant::now();
        let late = self.waiting.extract_if(.., |one| one.deadline <= now);
        let late: Vec<u64> = late.map(|one| one.number).collect();
        for number in late {
            self.deliver_answer(number, QuestionAnswer::TimedOut(self.answer_timeout));
        }
    }

    fn withdraw_question(&mut self, number: u64) {
        let before = self.waiting.len();
        self.waiting.retain(|one| one.number != number);
        if self.waiting.len() < before {
            self.resume_clocks();
        }
    }

    fn cancel_session(&mut self) {
        self.ended.stop = Some(StopReason::Cancelled);
        match self.protocol.interrupt_line() {
            Some(line) => {
                self.send_line(line);
                self.enter_phase(
                    SessionPhase::Interrupting,
                    self.limits.exit.to_duration() / 2,
                );
            }
            None => self.terminate_program(self.limits.exit.to_duration() / 2),
        }
    }

    fn stop_session(&mut self, reason: StopReason) {
        self.ended.stop.get_or_insert(reason);
        self.terminate_program(self.limits.exit.to_duration());
    }

    fn terminate_program(&mut self, grace: std::time::Duration) {
        self.input = None;
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
            // It may have exited this very moment.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        self.enter_phase(SessionPhase::Terminating, grace);
    }

    async fn receive_output(&mut self, chunk: &[u8]) {
        if self.deaf {
            return;
        }
        if self.is_live() {
            let silence = self.limits.silence.to_duration();
            let start = self.deadline;
            self.deadline = match self.phase {
                // A part of a line is no sign that it is ready.
                SessionPhase::Starting if !chunk.contains(&b'\n') => start,
                _ => Instant::now() + silence,
            };
        }
        if self.transcript.write_all(chunk).await.is_err() {
            self.deaf = true;
            self.stop_session(StopReason::Resources);
            return;
        }
        self.lines.extend_from_slice(chunk);
        let lines = std::mem::take(&mut self.lines);
        let mut from = 0;
        while let Some(at) = lines[from.max(self.searched)..]
            .iter()
            .position(|b| *b == b'\n')
        {
            let end = from.max(self.searched) + at;
            self.handle_line(&lines[from..end]);
            from = end + 1;
        }
        self.lines = lines;
        self.lines.drain(..from);
        self.searched = self.lines.len();
        if self.lines.len() > MAX_LINE {
            self.deaf = true;
            self.ended.cut = true;
            self.lines = Vec::new();
            self.stop_session(StopReason::BrokenStream);
        }
    }

    fn handle_line(&mut self, line: &[u8]) {
        self.ended.spoke = true;
        if self.phase == SessionPhase::Starting {
            self.enter_phase(SessionPhase::Working, self.limits.silence.to_duration());
        }
        let step = self
            .protocol
            .receive_line(line.strip_suffix(b"\r").unwrap_or(line));
        self.apply_effects(step);
    }

    fn apply_effects(&mut self, step: LineEffects) {
        for event in step.events {
            // Activity may be missed; an attempt may not be held up.
            let _ = self.channels.events.try_send(clip_event(event));
        }
        for line in step.send {
            self.send_line(line);
        }
        for number in step.withdrawn {
            self.withdraw_question(number);
        }
        if self.is_live() {
            for question in step.questions {
                self.ask_approver(question);
            }
        }
        match step.next {
            SessionControl::Continue => {}
            SessionControl::Finished => {
                self.input = None;
                if self.is_live() {
                    self.enter_phase(SessionPhase::Finished, self.limits.exit.to_duration());
                }
            }
            SessionControl::Abort(reason) if self.is_live() => self.stop_session(reason),
            SessionControl::Abort(_) => {}
        }
    }

    fn keep_tail(&mut self, chunk: &[u8]) {
        self.tail.extend_from_slice(chunk);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
    }

    fn into_exit(mut self) -> SessionExit {
        self.ended.cut |= !self.lines.is_empty();
        self.ended.stderr = String::from_utf8_lossy(&self.tail).into_owned();
        self.ended
    }
}
