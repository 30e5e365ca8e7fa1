//! Parts of the kernel that a worker has no use for.

use std::{fs, io, os::fd::AsRawFd};

use claudecluster_e2e::attack::AttackTargets;

use crate::{
    sys::{address, is_let_in, system_call},
    trick::Trick,
};

pub(crate) const TRICKS: &[Trick] = &[
    ("kernel-keyring-read", read_keyring),
    ("kernel-keyring-write", |_| add_key("claudecluster-evil")),
    ("kernel-request-key", |_| {
        let (kind, name) = (c"user", c"claudecluster-no-such-key");
        is_let_in(
            libc::SYS_request_key,
            [address(kind), address(name), 0, 0, 0, 0],
        )
    }),
    ("kernel-io-uring", |_| {
        let parameters = [0u8; 120];
        system_call(
            libc::SYS_io_uring_setup,
            [1, address(&parameters), 0, 0, 0, 0],
        )
        .map(drop)
    }),
    ("kernel-userfaultfd", |_| {
        system_call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0]).map(drop)
    }),
    ("kernel-bpf", |_| {
        // An array of one four-byte value.
        let attributes: [u32; 32] = std::array::from_fn(|i| [2, 4, 4, 1].get(i).map_or(0, |n| *n));
        is_let_in(libc::SYS_bpf, [0, address(&attributes), 128, 0, 0, 0])
    }),
    ("kernel-perf", |_| {
        // A software clock of this process.
        let attributes: [u32; 16] = std::array::from_fn(|i| if i < 2 { [1, 64][i] } else { 0 });
        let none = (-1_isize).cast_unsigned();
        system_call(
            libc::SYS_perf_event_open,
            [address(&attributes), 0, none, none, 0, 0],
        )
        .map(drop)
    }),
    ("kernel-user-namespace", |_| unshare(libc::CLONE_NEWUSER)),
    ("kernel-mount-namespace", |_| unshare(libc::CLONE_NEWNS)),
    ("kernel-network-namespace", |_| unshare(libc::CLONE_NEWNET)),
    ("kernel-clone-user-namespace", |_| {
        // Without a stack of its own and with its parent's descriptors, as a fork.
        let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
        match system_call(
            libc::SYS_clone,
            [usize::try_from(flags).unwrap_or(0), 0, 0, 0, 0, 0],
        )? {
            0 => std::process::exit(0),
            _ => Ok(()),
        }
    }),
    ("kernel-enter-namespace", |_| {
        let own = fs::File::open("/proc/self/ns/mnt")?;
        let fd = usize::try_from(own.as_raw_fd()).unwrap_or(0);
        is_let_in(libc::SYS_setns, [fd, 0, 0, 0, 0, 0])
    }),
    ("kernel-mount", |_| {
        // On a file, so that nothing is covered where it is allowed.
        let (kind, place) = (c"tmpfs", c"/etc/passwd");
        is_let_in(
            libc::SYS_mount,
            [
                address(kind),
                address(place),
                address(kind),
                usize::try_from(libc::MS_NOSUID).unwrap_or(0),
                0,
                0,
            ],
        )
    }),
    ("kernel-remount", |_| {
        let root = c"/";
        let flags = libc::MS_REMOUNT | libc::MS_BIND;
        system_call(
            libc::SYS_mount,
            [
                0,
                address(root),
                0,
                usize::try_from(flags).unwrap_or(0),
                0,
                0,
            ],
        )
        .map(drop)
    }),
    ("kernel-unmount", |_| {
        // Nothing is mounted there, which is said only to those who may unmount.
        is_let_in(libc::SYS_umount2, [address(c"/usr/bin"), 0, 0, 0, 0, 0])
    }),
    ("kernel-pivot-root", |_| {
        let here = c".";
        is_let_in(
            libc::SYS_pivot_root,
            [address(here), address(here), 0, 0, 0, 0],
        )
    }),
    ("kernel-new-filesystem", |_| {
        let kind = c"tmpfs";
        system_call(libc::SYS_fsopen, [address(kind), 0, 0, 0, 0, 0]).map(drop)
    }),
    ("kernel-clone-mount", |_| {
        let (root, clone) = (c"/", 1);
        system_call(
            libc::SYS_open_tree,
            [AT_FDCWD, address(root), clone, 0, 0, 0],
        )
        .map(drop)
    }),
    ("kernel-writable-mount", |_| {
        // Clears the read-only flag.
        let (root, attributes) = (c"/", [0u64, 1, 0, 0]);
        system_call(
            libc::SYS_mount_setattr,
            [AT_FDCWD, address(root), 0, address(&attributes), 32, 0],
        )
        .map(drop)
    }),
    ("kernel-open-by-handle", |_| {
        // The handle of this folder: 128 bytes behind their number and their kind.
        let handle = [128u32; 34];
        let mount = 0i32;
        system_call(
            libc::SYS_name_to_handle_at,
            [
                AT_FDCWD,
                address(c"."),
                address(&handle),
                address(&mount),
                0,
                0,
            ],
        )?;
        let here = fs::File::open(".")?;
        let fd = usize::try_from(here.as_raw_fd()).unwrap_or(0);
        is_let_in(
            libc::SYS_open_by_handle_at,
            [fd, address(&handle), 0, 0, 0, 0],
        )
    }),
    ("kernel-watch-everything", |_| {
        // The unprivileged form of fanotify may watch its own files; this one sees all of a mount.
        let notify_of_content = 4;
        system_call(libc::SYS_fanotify_init, [notify_of_content, 0, 0, 0, 0, 0]).map(drop)
    }),
    ("kernel-load-module", |_| {
        is_let_in(libc::SYS_init_module, [0, 0, address(c""), 0, 0, 0])
    }),
    ("kernel-kexec", |_| {
        is_let_in(libc::SYS_kexec_load, [0, 0, 0, 0, 0, 0])
    }),
    ("kernel-reboot", |_| {
        // Without the magic numbers nothing happens.
        is_let_in(libc::SYS_reboot, [0, 0, 0, 0, 0, 0])
    }),
    ("kernel-log", |_| {
        let buffer = [0u8; 16];
        let read_all = 3;
        system_call(libc::SYS_syslog, [read_all, address(&buffer), 16, 0, 0, 0]).map(drop)
    }),
    ("kernel-host-name", |_| {
        let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
        let name = name.trim_end();
        system_call(
            libc::SYS_sethostname,
            [address(name), name.len(), 0, 0, 0, 0],
        )
        .map(drop)
    }),
    ("kernel-accounting", |_| {
        system_call(libc::SYS_acct, [0, 0, 0, 0, 0, 0]).map(drop)
    }),
    ("kernel-swap", |_| {
        is_let_in(libc::SYS_swapon, [address(c"no-such-file"), 0, 0, 0, 0, 0])
    }),
    ("kernel-terminal-input", |_| push_terminal_input()),
    ("kernel-settings", |_| {
        let file = "/proc/sys/kernel/core_pattern";
        let same = fs::read(file)?;
        fs::write(file, same)
    }),
    ("kernel-control-groups", |_| {
        // Moves this process into the topmost group, out of every limit.
        fs::write(
            "/sys/fs/cgroup/cgroup.procs",
            std::process::id().to_string(),
        )
    }),
    ("kernel-devices", |_| {
        let devices = ["/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/vda"];
        let opened = devices.iter().find_map(|path| fs::File::open(path).ok());
        opened
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }),
    ("kernel-make-device", |_| {
        // Block device 254:0, which no machine has as a disk it needs.
        let (path, kind) = (c"disk", libc::S_IFBLK | 0o600);
        system_call(
            libc::SYS_mknodat,
            [
                AT_FDCWD,
                address(path),
                usize::try_from(kind).unwrap_or(0),
                254 << 8,
                0,
                0,
            ],
        )
        .map(drop)
    }),
];

const AT_FDCWD: usize = (libc::AT_FDCWD as isize).cast_unsigned();

fn unshare(flag: i32) -> io::Result<()> {
    let flag = usize::try_from(flag).unwrap_or(0);
    system_call(libc::SYS_unshare, [flag, 0, 0, 0, 0, 0]).map(drop)
}

/// The keyring that all processes of a user share.
const USER_KEYRING: usize = (-4_isize).cast_unsigned();

/// Adds a key to the user's keyring.
pub(crate) fn add_key(name: &str) -> io::Result<()> {
    let (kind, name, payload) = (c"user", std::ffi::CString::new(name)?, [1u8]);
    let args = [
        address(kind),
        address(name.as_c_str()),
        address(&payload),
        1,
        USER_KEYRING,
        0,
    ];
    system_call(libc::SYS_add_key, args).map(drop)
}

/// Removes a key from the user's keyring.
pub(crate) fn forget_key(name: &str) -> io::Result<()> {
    let (search, unlink) = (10, 9);
    let (kind, name) = (c"user", std::ffi::CString::new(name)?);
    let args = [
        search,
        USER_KEYRING,
        address(kind),
        address(name.as_c_str()),
        0,
        0,
    ];
    let key = usize::try_from(system_call(libc::SYS_keyctl, args)?).map_err(io::Error::other)?;
    system_call(libc::SYS_keyctl, [unlink, key, USER_KEYRING, 0, 0, 0]).map(drop)
}

/// Looks for the developer's key in the keyrings that a new session of the same user would share.
fn read_keyring(targets: &AttackTargets) -> io::Result<()> {
    let (search, kind) = (10, c"user");
    let name = std::ffi::CString::new(targets.key.as_str())?;
    for keyring in [-3_isize, -4, -5] {
        let args = [
            search,
            keyring.cast_unsigned(),
            address(kind),
            address(name.as_c_str()),
            0,
            0,
        ];
        if system_call(libc::SYS_keyctl, args).is_ok() {
            return Ok(());
        }
    }
    Err(io::Error::last_os_error())
}

/// Types a key into a terminal of its own, as it would into that of whoever started it.
fn push_terminal_input() -> io::Result<()> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let control = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&control)?;
    unlockpt(&control)?;
    let name = ptsname(&control, Vec::new())?;
    rustix::process::setsid()?;
    // Without `O_NOCTTY`: it becomes the terminal of this new session.
    let terminal = rustix::fs::open(
        name.as_c_str(),
        rustix::fs::OFlags::RDWR,
        rustix::fs::Mode::empty(),
    )?;
    let fd = usize::try_from(terminal.as_raw_fd()).unwrap_or(0);
    let request = usize::try_from(libc::TIOCSTI).unwrap_or(0);
    system_call(libc::SYS_ioctl, [fd, request, address(b"x"), 0, 0, 0]).map(drop)
}
