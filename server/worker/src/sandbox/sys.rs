//! The system calls no library wraps safely. Everything here but what says otherwise runs in the
//! launcher's process, which has a single thread.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use rustix::{
    process::{Pid, Signal},
    thread::UnshareFlags,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Moves this process into new namespaces.
#[expect(
    unsafe_code,
    reason = "the safe wrapper is deprecated because of threads"
)]
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the flags never contain FILES, and the process has one thread.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(Into::into)
}

/// The side of a fork this process is on.
pub(super) enum ForkSide {
    /// The new process.
    Child,
    /// The old one, with the new one's id.
    Parent(Pid),
}

/// Forks this process; both continue here.
#[expect(unsafe_code, reason = "fork has no safe wrapper")]
pub(super) fn fork_process() -> io::Result<ForkSide> {
    // SAFETY: the process has one thread, so the child may do everything its parent could.
    match unsafe { libc::fork() } {
        0 => Ok(ForkSide::Child),
        // A negative number is no id: asked for one, the library panics.
        failed if failed < 0 => Err(io::Error::last_os_error()),
        pid => Pid::from_raw(pid)
            .map(ForkSide::Parent)
            .ok_or_else(io::Error::last_os_error),
    }
}

/// Sets and clears the read-only flag of a mount, or of everything mounted at and below a path.
#[expect(unsafe_code, reason = "mount_setattr has no safe wrapper")]
pub(super) fn set_read_only(path: &Path, read_only: bool, recursive: bool) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flag = libc::MOUNT_ATTR_RDONLY;
    let attr = libc::mount_attr {
        attr_set: if read_only { flag } else { 0 },
        attr_clr: if read_only { 0 } else { flag },
        propagation: 0,
        userns_fd: 0,
    };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: both pointers live through the call, and the size is that of the structure.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Signals that a supervisor passes on.
const FORWARDED: [libc::c_int; 6] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// Blocks the signals that [`next_signal`] then reads from the descriptor.
#[expect(unsafe_code, reason = "signal sets have no safe wrapper")]
pub(super) fn block_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before anything reads it, and the descriptor is
    // new and owned by nobody else.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        for signal in FORWARDED.into_iter().chain([libc::SIGCHLD]) {
            libc::sigaddset(&raw mut set, signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Lets every signal reach this process again, as a program expects that starts.
#[expect(unsafe_code, reason = "signal sets have no safe wrapper")]
pub(super) fn unblock_signals() -> io::Result<()> {
    // SAFETY: the set is initialised by sigemptyset before anything reads it.
    let set = unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Waits for the next signal. `None` for SIGCHLD.
pub(super) fn next_signal(signals: &OwnedFd) -> io::Result<Option<Signal>> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    rustix::io::retry_on_intr(|| rustix::io::read(signals, &mut info))?;
    // `ssi_signo` is the structure's first field.
    let number = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
    Ok(Signal::from_named_raw(number).filter(|signal| *signal != Signal::CHILD))
}

/// Drops a capability of this process and of all processes it will start.
#[expect(
    unsafe_code,
    reason = "the library's wrapper knows no capabilities newer than itself"
)]
pub(super) fn drop_bounding(capability: u32) -> io::Result<()> {
    // SAFETY: PR_CAPBSET_DROP reads one integer.
    match unsafe {
        libc::prctl(
            libc::PR_CAPBSET_DROP,
            libc::c_ulong::from(capability),
            0,
            0,
            0,
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Marks every descriptor but the standard ones to be closed by the next `exec`.
#[expect(unsafe_code, reason = "close_range has no safe wrapper")]
pub(super) fn close_others_on_exec() {
    // SAFETY: CLOEXEC closes nothing now. Where the kernel lacks the call, descriptors made by the
    // standard library carry the flag already.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
    }
}

/// Gives this process a session keyring of its own, so that it holds none of the user's keys.
#[expect(unsafe_code, reason = "keyrings have no safe wrapper")]
pub(super) fn leave_keyrings() -> io::Result<()> {
    // SAFETY: without a name the call reads no memory.
    let joined = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        _ if joined >= 0 => Ok(()),
        // No keys in this kernel, or nobody in this container may use them.
        Some(libc::ENOSYS | libc::EPERM) => Ok(()),
        _ => Err(error),
    }
}

/// Takes over an inherited descriptor that must be a socket, so that programs do not inherit it.
#[expect(
    unsafe_code,
    reason = "an inherited descriptor is a number until somebody owns it"
)]
pub(super) fn take_socket(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: nothing in this process, which has just started, owns this number; it is borrowed only
    // to look at what is there.
    let there = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::net::sockopt::socket_type(there)?;
    rustix::io::fcntl_setfd(there, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: as above, and it is open.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Returns the numbers of descriptors, as some files of the kernel take them.
pub(super) fn descriptor_numbers(descriptors: [&OwnedFd; 2]) -> String {
    let [first, second] = descriptors.map(AsRawFd::as_raw_fd);
    format!("{first} {second}")
}

/// Registers a descriptor with the runtime. Used by the daemon.
#[expect(
    unsafe_code,
    reason = "a descriptor of another type could be closed while it is registered"
)]
pub(super) fn watch_descriptor(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the registration owns the descriptor, so it stays open and the same until both end.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(Into::into)
}

/// Makes every start of `command` fail with `error`. Used by the daemon.
#[expect(
    unsafe_code,
    reason = "steps between fork and exec have no safe wrapper"
)]
pub(super) fn refuse_to_start(command: &mut tokio::process::Command, error: &io::Error) {
    let code = error.raw_os_error().unwrap_or(libc::EIO);
    // SAFETY: the step neither allocates nor locks.
    unsafe {
        command.pre_exec(move || Err(io::Error::from_raw_os_error(code)));
    }
}

/// Starts the loopback interface of this process's network namespace.
#[expect(unsafe_code, reason = "the interface's flags have no safe wrapper")]
pub(super) fn bring_up_loopback() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: all bits zero are a valid request; the name ends with a zero; the kernel reads and
    // writes nothing but the structure, which lives through both calls.
    unsafe {
        let mut request = std::mem::zeroed::<libc::ifreq>();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = from.cast_signed();
        }
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The constant is small.
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Ends this process by `signal`, so that its parent sees the same status.
#[expect(unsafe_code, reason = "signal dispositions have no safe wrapper")]
pub(super) fn die_by(signal: i32) {
    // SAFETY: the default disposition runs no code of this process; a core dump of a supervisor would
    // help nobody, so its size is limited to nothing.
    unsafe {
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(signal, libc::SIG_DFL);
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::raise(signal);
    }
}

/// Returns the path by which the kernel finds an open descriptor: short, and free of characters that mount
/// options give a meaning to.
pub(super) fn descriptor_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
