//! A program that reads what somebody else wrote: with a deadline, limited output and limited memory.

use std::{
    fs::File,
    io::{self, Read as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Resource, Rlimit, Signal},
};

/// Why a program was not run to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BoundedProcessError {
    /// It could not be started, or its output could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ran too long.
    #[error("it did not end within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// It wrote too much.
    #[error("it wrote more than {0} bytes")]
    TooLarge(usize),
    /// Whoever was asked in between had a reason to end it.
    #[error("{0}")]
    Ended(String),
}

/// How much a program may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessLimits {
    /// How long it may run.
    pub(crate) deadline: Duration,
    /// When somebody is asked whether there is a reason to end it.
    pub(crate) patience: Duration,
    /// The bytes it may write, on each of its two outputs.
    pub(crate) output: usize,
    /// The bytes of memory it may have for itself; what it maps from files does not count.
    pub(crate) memory: u64,
}

/// How long a killed program is waited for. One that hangs in the kernel is left behind.
const KILLED: Duration = Duration::from_secs(2);

/// Runs a program to its end, or kills it with its children. Once, after the time of `patience`, `why_end` is
/// asked for a reason to end it at once. Blocks.
pub(crate) fn run_bounded(
    command: &mut Command,
    limits: ProcessLimits,
    why_end: impl FnOnce() -> Option<String>,
) -> Result<Output, BoundedProcessError> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that its children end with it.
        .process_group(0)
        .spawn()?;
    let mut process = BoundedProcess::new(child, limits)?;
    let answer = process.read_to_end(why_end);
    if answer.is_err() {
        process.kill_group();
    }
    answer
}

struct BoundedProcess {
    child: Option<Child>,
    handle: OwnedFd,
    limits: ProcessLimits,
    started: Instant,
}

impl BoundedProcess {
    fn new(mut child: Child, limits: ProcessLimits) -> Result<Self, BoundedProcessError> {
        let pid = Pid::from_child(&child);
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty());
        let handle = handle.map_err(|errno| {
            // Nothing to watch it by: it must not run unwatched.
            let _ = child.kill();
            let _ = child.wait();
            io::Error::from(errno)
        })?;
        let memory = Rlimit {
            current: Some(limits.memory),
            maximum: Some(limits.memory),
        };
        // A lower limit that somebody else set stays.
        let lower = rustix::process::getrlimit(Resource::Data).maximum;
        if lower.is_none_or(|lower| lower > limits.memory) {
            // Where it has ended already there is nothing to limit.
            let _ = rustix::process::prlimit(Some(pid), Resource::Data, memory);
        }
        Ok(Self {
            child: Some(child),
            handle,
            limits,
            started: Instant::now(),
        })
    }

    fn read_to_end(
        &mut self,
        why_end: impl FnOnce() -> Option<String>,
    ) -> Result<Output, BoundedProcessError> {
        let Some(child) = self.child.as_mut() else {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
        };
        let mut stdout = OutputPipe::new(child.stdout.take().map(OwnedFd::from))?;
        let mut stderr = OutputPipe::new(child.stderr.take().map(OwnedFd::from))?;
        let mut why_end = Some(why_end);
        loop {
            let open: Vec<_> = stdout.open().into_iter().chain(stderr.open()).collect();
            let closed = open.is_empty();
            let waited = if closed {
                self.wait_for(&[self.handle.as_fd()], why_end.is_some())?
            } else {
                self.wait_for(&open, why_end.is_some())?
            };
            if waited && closed {
                break;
            }
            if !waited {
                if self.started.elapsed() >= self.limits.deadline {
                    return Err(BoundedProcessError::TooSlow(self.limits.deadline));
                }
                if let Some(reason) = why_end.take().and_then(|ask| ask()) {
                    return Err(BoundedProcessError::Ended(reason));
                }
                continue;
            }
            stdout.read_available(self.limits.output)?;
            stderr.read_available(self.limits.output)?;
        }
        let status = match self.child.take() {
            Some(mut child) => child.wait()?,
            None => return Err(io::Error::from(io::ErrorKind::NotFound).into()),
        };
        Ok(Output {
            status,
            stdout: stdout.bytes,
            stderr: stderr.bytes,
        })
    }

    /// Waits until one of the descriptors has something, or until it is time to ask or to give up.
    fn wait_for(&self, open: &[BorrowedFd<'_>], ask: bool) -> Result<bool, BoundedProcessError> {
        let until = if ask {
            self.limits.patience.min(self.limits.deadline)
        } else {
            self.limits.deadline
        };
        let left = until.saturating_sub(self.started.elapsed());
        wait_readable(open, left)
    }

    fn kill_group(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // Not waited for yet, so that its number is still its own.
        let _ = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
        if wait_readable(&[self.handle.as_fd()], KILLED).is_ok_and(|ended| ended) {
            let _ = child.wait();
        } else {
            tracing::warn!(
                pid = child.id(),
                "a program hangs in the kernel and is left behind"
            );
        }
    }
}

fn wait_readable(open: &[BorrowedFd<'_>], limit: Duration) -> Result<bool, BoundedProcessError> {
    let mut polled: Vec<_> = open
        .iter()
        .map(|fd| PollFd::new(fd, PollFlags::IN))
        .collect();
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match poll(&mut polled, Some(&limit)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(true),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}

/// One output of a program, as far as it was read.
struct OutputPipe {
    pipe: Option<File>,
    bytes: Vec<u8>,
}

impl OutputPipe {
    fn new(pipe: Option<OwnedFd>) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self {
            pipe: pipe.map(File::from),
            bytes: Vec::new(),
        })
    }

    fn open(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is there, and closes the pipe at its end.
    fn read_available(&mut self, limit: usize) -> Result<(), BoundedProcessError> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        let room = (limit + 1).saturating_sub(self.bytes.len());
        let read = pipe.take(room as u64).read_to_end(&mut self.bytes);
        if self.bytes.len() > limit {
            return Err(BoundedProcessError::TooLarge(limit));
        }
        match read {
            Ok(_) => self.pipe = None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ProcessLimits = ProcessLimits {
        deadline: Duration::from_mins(1),
        patience: Duration::from_mins(1),
        output: 1 << 20,
        memory: 1 << 30,
    };

    fn run(script: &str, limits: ProcessLimits) -> Result<Output, BoundedProcessError> {
        run_bounded(Command::new("sh").args(["-c", script]), limits, || None)
    }

    #[test]
    fn a_program_that_ends_gives_both_outputs_and_its_status() {
        let output = run("echo out; echo err >&2; exit 3", LIMITS).unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(3));
        // More than a pipe holds.
        let output = run("head -c 1000000 /dev/zero", LIMITS).unwrap();
        assert_eq!(output.stdout.len(), 1_000_000);
    }

    #[test]
    fn a_program_over_a_limit_is_killed_with_its_children() {
        let soon = ProcessLimits {
            deadline: Duration::from_millis(50),
            ..LIMITS
        };
        // The child holds the output open. It would be waited for if it lived.
        let slow = run("sleep 1000 & sleep 1000", soon).unwrap_err();
        assert!(matches!(slow, BoundedProcessError::TooSlow(_)), "{slow}");
        let silent = run("exec >&- 2>&-; sleep 1000", soon).unwrap_err();
        assert!(
            matches!(silent, BoundedProcessError::TooSlow(_)),
            "{silent}"
        );
        let loud = run("cat /dev/zero", LIMITS).unwrap_err();
        assert!(matches!(loud, BoundedProcessError::TooLarge(_)), "{loud}");
        let small = ProcessLimits {
            memory: 64 << 20,
            ..LIMITS
        };
        let large = run(
            // The limit comes when the program runs already.
            "until [ \"$(ulimit -d)\" = 65536 ]; do :; done; dd if=/dev/zero of=/dev/null bs=200M count=1",
            small,
        )
        .unwrap();
        assert!(!large.status.success());
    }

    #[test]
    fn a_reason_to_end_a_slow_program_is_asked_for_once() {
        let impatient = ProcessLimits {
            patience: Duration::ZERO,
            ..LIMITS
        };
        let why = || Some("a reason".to_owned());
        let ended = run_bounded(Command::new("sleep").arg("1000"), impatient, why).unwrap_err();
        assert_eq!(ended.to_string(), "a reason");
        let output = run_bounded(Command::new("sh").args(["-c", "echo x"]), impatient, || {
            None
        });
        assert_eq!(output.unwrap().stdout, b"x\n");
    }
}
