//! Makes system calls that a sandbox denies, and prints how each ends.

#![expect(clippy::print_stdout, reason = "the test reads what this prints")]

/// Makes one call and prints its name with the number of its error, 0 if it succeeded.
#[expect(unsafe_code, reason = "the calls have no safe wrapper")]
fn try_call(name: &str, call: i64, arguments: [i64; 5]) {
    let [a, b, c, d, e] = arguments;
    // SAFETY: no argument of the list below is a pointer that the kernel could write through, but null.
    let result = unsafe { libc::syscall(call, a, b, c, d, e) };
    let error = std::io::Error::last_os_error().raw_os_error();
    let number = if result == -1 { error.unwrap_or(-1) } else { 0 };
    println!("{name} {number}");
}

/// The body of the subcommand `make-calls`.
pub(crate) fn make_calls() -> i32 {
    let new_user = i64::from(libc::CLONE_NEWUSER);
    let signal = i64::from(libc::SIGCHLD);
    for (name, call, arguments) in [
        ("ptrace", libc::SYS_ptrace, [0; 5]),
        (
            "process_vm_readv",
            libc::SYS_process_vm_readv,
            [1, 0, 0, 0, 0],
        ),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [0; 5]),
        ("keyctl", libc::SYS_keyctl, [0, -3, 0, 0, 0]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        ("userfaultfd", libc::SYS_userfaultfd, [1, 0, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0; 5]),
        ("perf_event_open", libc::SYS_perf_event_open, [0; 5]),
        ("mount", libc::SYS_mount, [0; 5]),
        ("umount2", libc::SYS_umount2, [0; 5]),
        ("fsopen", libc::SYS_fsopen, [0; 5]),
        ("open_tree", libc::SYS_open_tree, [0; 5]),
        ("unshare-user", libc::SYS_unshare, [new_user, 0, 0, 0, 0]),
        ("unshare-time", libc::SYS_unshare, [0x80, 0, 0, 0, 0]),
        (
            "clone-user",
            libc::SYS_clone,
            [new_user | signal, 0, 0, 0, 0],
        ),
        ("clone3", libc::SYS_clone3, [0; 5]),
        ("setns", libc::SYS_setns, [0; 5]),
        (
            "personality",
            libc::SYS_personality,
            [0x040_0000, 0, 0, 0, 0],
        ),
        ("tiocsti", libc::SYS_ioctl, [0, 0x5412, 0, 0, 0]),
        ("tiocsti-high", libc::SYS_ioctl, [0, 0x1_0000_5412, 0, 0, 0]),
        ("tioclinux", libc::SYS_ioctl, [0, 0x541C, 0, 0, 0]),
        ("socket-vsock", libc::SYS_socket, [40, 1, 0, 0, 0]),
        ("socket-packet", libc::SYS_socket, [17, 3, 0, 0, 0]),
        ("socket-alg", libc::SYS_socket, [38, 5, 0, 0, 0]),
        ("socket-audit", libc::SYS_socket, [16, 3, 9, 0, 0]),
        ("socket-route", libc::SYS_socket, [16, 3, 0, 0, 0]),
        ("socket-unix", libc::SYS_socket, [1, 1, 0, 0, 0]),
        ("socket-udp", libc::SYS_socket, [2, 2, 0, 0, 0]),
        ("socket-tcp6", libc::SYS_socket, [10, 1, 0, 0, 0]),
        ("socketpair-vsock", libc::SYS_socketpair, [40, 1, 0, 0, 0]),
        ("x32-getpid", 0x4000_0000 | libc::SYS_getpid, [0; 5]),
        (
            "personality-query",
            libc::SYS_personality,
            [0xffff_ffff, 0, 0, 0, 0],
        ),
    ] {
        try_call(name, call, arguments);
    }
    0
}
