//! Processes outside: the daemon, the launcher, and one that has nothing to do with it.

use std::{
    fs::{self, OpenOptions},
    io,
    process::{Command, Stdio},
};

use claudecluster_e2e::attack::AttackTargets;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::{
    sys::{address, system_call},
    trick::Trick,
};

pub(crate) const TRICKS: &[Trick] = &[
    ("process-signal-daemon", |targets| {
        signal(targets.daemon, &targets.state.to_string_lossy())
    }),
    ("process-signal-bystander", |targets| {
        signal(targets.bystander, "sleep")
    }),
    ("process-signal-all", |_| {
        // Everything that may be signalled but this process and the first.
        rustix::process::test_kill_process(pid(1)?)?;
        kill_process(pid(1)?, Signal::KILL)?;
        Err(io::Error::other("the first process goes on"))
    }),
    ("process-trace", |targets| {
        attack_each(targets, |pid| {
            let attach = 16;
            system_call(libc::SYS_ptrace, [attach, pid, 0, 0, 0, 0]).map(drop)
        })
    }),
    ("process-read-memory", |targets| {
        let buffer = [0u8; 8];
        let own = [address(&buffer), buffer.len()];
        attack_each(targets, |pid| {
            let other = [address(&buffer), buffer.len()];
            let args = [pid, address(&own), 1, address(&other), 1, 0];
            system_call(libc::SYS_process_vm_readv, args).map(drop)
        })
    }),
    ("process-write-memory", |targets| {
        attack_each(targets, |pid| {
            OpenOptions::new()
                .write(true)
                .open(format!("/proc/{pid}/mem"))
                .map(drop)
        })
    }),
    ("process-compare", |targets| {
        attack_each(targets, |pid| {
            let own = usize::try_from(std::process::id()).unwrap_or(0);
            system_call(libc::SYS_kcmp, [own, pid, 0, 0, 0, 0]).map(drop)
        })
    }),
    ("process-take-descriptor", |targets| {
        attack_each(targets, |number| {
            let process = pidfd_open(
                pid(u32::try_from(number).unwrap_or(0))?,
                PidfdFlags::empty(),
            )?;
            let fd = usize::try_from(std::os::fd::AsRawFd::as_raw_fd(&process)).unwrap_or(0);
            system_call(libc::SYS_pidfd_getfd, [fd, 0, 0, 0, 0, 0]).map(drop)
        })
    }),
    ("process-open-descriptors", |targets| {
        attack_each(targets, |pid| {
            for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
                OpenOptions::new().write(true).open(entry?.path())?;
            }
            Ok(())
        })
    }),
    ("process-read-environment", |targets| {
        attack_each(targets, |pid| {
            fs::read(format!("/proc/{pid}/environ")).map(drop)
        })
    }),
    ("process-overwrite-program", |targets| {
        attack_each(targets, |pid| {
            OpenOptions::new()
                .append(true)
                .open(format!("/proc/{pid}/exe"))
                .map(drop)
        })
    }),
    ("process-root-folder", |targets| {
        attack_each(targets, |pid| {
            fs::read(format!("/proc/{pid}/root{}", targets.journal().display())).map(drop)
        })
    }),
    ("process-inherited-descriptors", |_| {
        // Only the standard ones are there; the folder that is listed is one more.
        let mut more = Vec::new();
        for entry in fs::read_dir("/proc/self/fd")? {
            let name = entry?.file_name();
            let number: i32 = name.to_string_lossy().parse().map_err(io::Error::other)?;
            if number > 3 {
                more.push(number);
            }
        }
        if more.is_empty() {
            Err(io::Error::other("none"))
        } else {
            Ok(())
        }
    }),
    ("process-many", |_| {
        // As many as a limit allows, and never more than two hundred.
        let mut children = Vec::new();
        for _ in 0..200 {
            let child = Command::new("sleep")
                .arg("1")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()?;
            children.push(child);
        }
        children.into_iter().try_for_each(|mut child| child.kill())
    }),
    ("process-stays", |targets| {
        // Left behind on purpose, in a session of its own. The test looks for it.
        Command::new("setsid")
            .args(["sh", "-c", "trap '' TERM HUP INT; exec sleep \"$0\""])
            .arg(&targets.sleeper)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(drop)
    }),
];

fn pid(number: u32) -> io::Result<Pid> {
    let number = i32::try_from(number).map_err(io::Error::other)?;
    Pid::from_raw(number).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Ends a process by its number. The number may be another's inside: the command line tells.
fn signal(number: u32, word: &str) -> io::Result<()> {
    let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
    kill_process(pid(number)?, Signal::TERM)?;
    // Inside a PID namespace the number is nobody's or one of our own.
    if String::from_utf8_lossy(&line).contains(word) {
        Ok(())
    } else {
        Err(io::Error::other("it was another process"))
    }
}

/// Tries the same on the daemon, the bystander, and the processes between the daemon and this one.
fn attack_each(
    targets: &AttackTargets,
    attack: impl Fn(usize) -> io::Result<()>,
) -> io::Result<()> {
    let mut last = Err(io::ErrorKind::NotFound.into());
    for number in [targets.daemon, targets.bystander, 1] {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        if number != 1 && line.is_empty() {
            // Not visible. Tried all the same, by number.
            let _ = attack(usize::try_from(number).unwrap_or(0));
            continue;
        }
        last = attack(usize::try_from(number).unwrap_or(0));
        if last.is_ok() {
            return last;
        }
    }
    last
}
