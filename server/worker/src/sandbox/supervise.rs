//! The launcher: makes the view, starts the program in it, and sees that nothing outlives it.
//!
//! Three processes. The *launcher* stays outside and ends with the daemon. Its child is the *init* of the
//! PID namespace: when it ends, for whatever reason, the kernel ends everything in the namespace,
//! whichever session or group it has moved to. The init's child is the program.

use std::{
    collections::HashSet,
    ffi::OsString,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::Path,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    pipe::{PipeFlags, pipe_with},
    process::{
        DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, kill_process, set_child_subreaper,
        set_dumpable_behavior, set_parent_process_death_signal, setsid, waitpid,
    },
};

use super::{
    confine::{self, AccessRules},
    control::LauncherSocket,
    groups, limits, mounts,
    processes::{list_descendants, measure_processes},
    sys,
    sys::ForkSide,
    syscalls::{self, SocketChoice},
    view::{Isolation, SandboxView},
};

/// Exit status when the view could not be made; the reason is on standard error.
pub(super) const NO_VIEW: i32 = 125;
/// Exit status when the program is there but could not be started.
const NOT_STARTED: i32 = 126;
/// Exit status when there is no such program.
const NOT_FOUND: i32 = 127;

/// A step that failed, in words.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub(super) struct StepError {
    what: String,
    source: io::Error,
}

/// Names a step for the reason a user may read.
pub(super) trait NamedStep<T> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> NamedStep<T> for Result<T, E> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|e| StepError {
            what: what(),
            source: e.into(),
        })
    }
}

/// `sandbox-exec [PROGRAM ARGUMENT…]`, with the control socket inherited: without a program it only
/// makes the view and prints what it noticed.
pub(super) fn launcher_main(args: impl Iterator<Item = OsString>) -> i32 {
    let Ok(socket) = LauncherSocket::inherited() else {
        report_error("this command is for internal use by the daemon");
        return 2;
    };
    let argv: Vec<OsString> = args.collect();
    match launch_program(&socket, &argv) {
        Ok(status) => status,
        Err(e) => {
            report_error(&e.to_string());
            NO_VIEW
        }
    }
}

/// Standard error is this command's only way to say something; there may be nobody left to read it.
fn report_error(what: &str) {
    let _ = writeln!(io::stderr(), "sandbox: {what}");
}

fn launch_program(socket: &LauncherSocket, argv: &[OsString]) -> Result<i32, StepError> {
    let view = &socket
        .receive_view()
        .step(|| "receive the description of the view".into())?;
    for entrance in &view.groups {
        groups::enter_group(Path::new(entrance))
            .step(|| "enter the resource group of the task".into())?;
    }
    let signals = sys::block_signals().step(|| "block signals".into())?;
    let made = mounts::make_view(view)?;
    if let (Some(ports), Isolation::Namespaces) = (&view.ports, view.isolation) {
        open_listeners(ports, socket)?;
    }
    if argv.is_empty() {
        let notes = serde_json::to_vec(&made.notes).unwrap_or_default();
        let _ = io::stdout().write_all(&notes);
    }
    // The init writes the program's raw wait status; its own exit status cannot carry signals. The
    // launcher's end of the other pipe closes when the launcher ends.
    let (status_read, status_write) =
        pipe_with(PipeFlags::CLOEXEC).step(|| "create a pipe".into())?;
    let (life_read, life_write) = pipe_with(PipeFlags::CLOEXEC).step(|| "create a pipe".into())?;
    match sys::fork_process().step(|| "start the init process".into())? {
        ForkSide::Child => {
            drop((status_read, life_write));
            let ends = InitEnds {
                socket,
                signals: &signals,
                status: &status_write,
                life: &life_read,
            };
            Ok(run_init(view, &made, argv, &ends))
        }
        ForkSide::Parent(init) => {
            drop((status_write, life_read));
            release_stdio(argv.is_empty());
            Ok(watch_over(init, socket, &signals, status_read))
        }
    }
}

/// Makes the loopback interface of a new network namespace usable, and hands its listeners out.
fn open_listeners(ports: &[u16], socket: &LauncherSocket) -> Result<(), StepError> {
    sys::bring_up_loopback().step(|| "start the loopback interface".into())?;
    for &port in ports {
        for address in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ] {
            match TcpListener::bind((address, port)) {
                Ok(listener) => socket
                    .send_listener(port, listener)
                    .step(|| format!("hand out port {port}"))?,
                Err(e) if address.is_ipv6() && lacks_address(&e) => {}
                Err(e) => return Err(e).step(|| format!("listen on port {port} inside")),
            }
        }
    }
    Ok(())
}

/// Whether the machine has no IPv6.
fn lacks_address(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)
    )
}

/// Lets go of the program's streams, so that whoever reads them sees when the *program* closes them.
fn release_stdio(keep_errors: bool) {
    use rustix::{
        fs::{Mode, OFlags, open},
        stdio,
    };
    if let Ok(null) = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        let _ = stdio::dup2_stdin(&null);
        let _ = stdio::dup2_stdout(&null);
        if !keep_errors {
            let _ = stdio::dup2_stderr(&null);
        }
    }
}

/// Waits for the init, passing signals on; ends it when the daemon ends.
fn watch_over(init: Pid, daemon: &LauncherSocket, signals: &OwnedFd, status: OwnedFd) -> i32 {
    loop {
        let mut fds = [
            PollFd::new(signals, PollFlags::IN),
            PollFd::new(daemon.descriptor(), PollFlags::IN),
        ];
        let polled = rustix::io::retry_on_intr(|| poll(&mut fds, None));
        if polled.is_err() || !fds[1].revents().is_empty() {
            // The daemon also lets go of a program whose init has ended. Otherwise the init follows: its
            // death signal is set.
            return match waitpid(Some(init), WaitOptions::NOHANG) {
                Ok(Some((_, ended))) => exit_status(ended, status),
                _ => NO_VIEW,
            };
        }
        match sys::next_signal(signals) {
            Ok(Some(signal)) => {
                let _ = kill_process(init, signal);
            }
            Ok(None) => {
                if let Ok(Some((_, ended))) = waitpid(Some(init), WaitOptions::NOHANG) {
                    return exit_status(ended, status);
                }
            }
            Err(_) => return NO_VIEW,
        }
    }
}

/// The status to end with: the program's, where the init came to report it.
fn exit_status(init: WaitStatus, status: OwnedFd) -> i32 {
    let mut raw = [0; 4];
    let mut status = std::fs::File::from(status);
    if status.read_exact(&mut raw).is_err() {
        if let Some(signal) = init.terminating_signal() {
            sys::die_by(signal);
        }
        return init.exit_status().unwrap_or(NO_VIEW);
    }
    let raw = i32::from_ne_bytes(raw);
    if libc::WIFSIGNALED(raw) {
        sys::die_by(libc::WTERMSIG(raw));
    }
    libc::WEXITSTATUS(raw)
}

/// The descriptors of the init.
struct InitEnds<'a> {
    socket: &'a LauncherSocket,
    /// The signals it reads.
    signals: &'a OwnedFd,
    /// Where it writes the program's raw wait status.
    status: &'a OwnedFd,
    /// Closed at the other end when the launcher has ended.
    life: &'a OwnedFd,
}

/// The first process inside.
fn run_init(
    view: &SandboxView,
    made: &mounts::MountedView,
    argv: &[OsString],
    ends: &InitEnds<'_>,
) -> i32 {
    let namespaces = view.isolation == Isolation::Namespaces;
    // Outside a PID namespace nothing ends the program's descendants but this process, so it must live
    // long enough to do it.
    let last_words = if namespaces {
        Signal::KILL
    } else {
        Signal::TERM
    };
    if let Err(e) = prepare_init(view, made, last_words, ends) {
        report_error(&e.to_string());
        return NO_VIEW;
    }
    if argv.is_empty() {
        return 0;
    }
    match sys::fork_process() {
        Ok(ForkSide::Child) => exec_program(argv),
        Ok(ForkSide::Parent(program)) => {
            release_stdio(false);
            let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
            reap_children(program, view, ends);
            if !namespaces {
                end_descendants();
            }
            0
        }
        Err(e) => {
            report_error(&format!("start a process: {e}"));
            NO_VIEW
        }
    }
}

/// Everything that must be in place before a foreign program runs.
fn prepare_init(
    view: &SandboxView,
    made: &mounts::MountedView,
    last_words: Signal,
    ends: &InitEnds<'_>,
) -> Result<(), StepError> {
    let _ = setsid();
    ends.socket
        .send_init()
        .step(|| "report to the daemon".into())?;
    let namespaces = view.isolation == Isolation::Namespaces;
    if namespaces {
        mounts::mount_proc()?;
    }
    limits::set_limits(view, namespaces).step(|| "set limits".into())?;
    if namespaces {
        mounts::protect_proc()?;
    } else {
        set_child_subreaper(Some(rustix::process::getpid())).step(|| "adopt orphans".into())?;
    }
    confine::drop_capabilities(namespaces).step(|| "drop capabilities".into())?;
    restrict_program(view, made)?;
    std::env::set_current_dir(&view.root).step(|| "enter the workspace".into())?;
    // Changes of credentials clear the death signal, so it comes after them. The launcher may have
    // ended meanwhile: then its end of the pipe is closed already.
    set_parent_process_death_signal(Some(last_words)).step(|| "follow the launcher".into())?;
    if has_ended(ends.life) {
        return Err(io::Error::other("it has exited")).step(|| "follow the launcher".into());
    }
    Ok(())
}

/// Takes from this process, and from all it starts, what the view does not need.
fn restrict_program(view: &SandboxView, made: &mounts::MountedView) -> Result<(), StepError> {
    let namespaces = view.isolation == Isolation::Namespaces;
    let closed = view.ports.as_deref();
    let rules = AccessRules {
        writable: &made.writable,
        readable: (!namespaces).then(|| confine::everything_but(&view.barred())),
        connect: closed.filter(|_| !namespaces),
    };
    let enforced = confine::restrict_access(&rules).step(|| "restrict access".into())?;
    if !enforced && !namespaces {
        return Err(io::Error::other("the kernel has no Landlock"))
            .step(|| "restrict access".into());
    }
    sys::leave_keyrings().step(|| "leave the user's keyrings".into())?;
    let sockets = match (view.isolation, closed) {
        (Isolation::Namespaces, _) => SocketChoice::Common,
        (Isolation::Landlock, None) => SocketChoice::Internet,
        (Isolation::Landlock, Some(_)) => SocketChoice::TcpOnly,
    };
    syscalls::restrict_syscalls(sockets).step(|| "restrict system calls".into())
}

/// Whether the launcher, which holds the other end, has ended.
fn has_ended(life: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(life, PollFlags::IN)];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)) != Ok(0)
}

/// Becomes the program.
fn exec_program(argv: &[OsString]) -> i32 {
    sys::close_others_on_exec();
    let Some((program, args)) = argv.split_first() else {
        return NOT_FOUND;
    };
    if let Err(e) = sys::unblock_signals() {
        report_error(&format!("let signals pass: {e}"));
        return NOT_STARTED;
    }
    // `exec` also resets the disposition of SIGPIPE.
    let e = std::process::Command::new(program).args(args).exec();
    report_error(&format!("{}: {e}", program.display()));
    if e.kind() == io::ErrorKind::NotFound {
        NOT_FOUND
    } else {
        NOT_STARTED
    }
}

/// Reaps whatever ends, passes signals on, until the program ends.
fn reap_children(program: Pid, view: &SandboxView, ends: &InitEnds<'_>) {
    loop {
        match sys::next_signal(ends.signals) {
            Ok(Some(signal)) => {
                let _ = kill_process(program, signal);
                // Without a PID namespace this is also how the launcher's death arrives.
                if has_ended(ends.life) {
                    return;
                }
            }
            Ok(None) => {
                while let Ok(Some((pid, ended))) = waitpid(None, WaitOptions::NOHANG) {
                    if pid == program {
                        report_excess(view, ends);
                        let _ = rustix::io::write(ends.status, &ended.as_raw().to_ne_bytes());
                        return;
                    }
                }
            }
            Err(_) => return,
        }
    }
}

/// Tells the daemon if the program has left more than it may have: one that cannot start another process often ends
/// before anybody has counted.
fn report_excess(view: &SandboxView, ends: &InitEnds<'_>) {
    let left = list_descendants(rustix::process::getpid());
    // The program itself, too.
    if measure_processes(&left).threads + 1 > view.limits.processes.into() {
        let _ = ends.socket.send_excess();
    }
}

/// Ends everything this process started or adopted. Best effort: a program that forks faster than it
/// is ended gets away; only a PID namespace is proof against that.
fn end_descendants() {
    let own = rustix::process::getpid();
    // What is stopped starts nothing, so the end can catch up with programs that start others.
    let mut stopped = HashSet::new();
    for _ in 0..100 {
        let found = list_descendants(own);
        let new: Vec<Pid> = found
            .into_iter()
            .filter(|pid| stopped.insert(*pid))
            .collect();
        for pid in &new {
            let _ = kill_process(*pid, Signal::STOP);
        }
        if new.is_empty() {
            break;
        }
    }
    for _ in 0..100 {
        for pid in list_descendants(own) {
            let _ = kill_process(pid, Signal::KILL);
        }
        // Ended children hand theirs to us; none left means all are gone.
        if waitpid(None, WaitOptions::empty()).is_err() {
            return;
        }
    }
}
