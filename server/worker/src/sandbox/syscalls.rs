//! The system calls that programs in a sandbox cannot make: a second wall behind mounts and namespaces.
//!
//! A list of what is denied rather than of what is allowed, because any toolchain may run here. Denied
//! calls fail with an error, so that programs can say what is wrong or do without.

use std::{collections::BTreeMap, io};

use seccompiler::{
    BpfProgram, SeccompAction,
    SeccompCmpArgLen::Dword,
    SeccompCmpOp::{self, Eq, MaskedEq, Ne},
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

/// Calls that reach other processes, the kernel, or mounts. They fail as for a user without privileges.
const FORBIDDEN: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Keys of the user that the kernel holds.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Mounts.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Newer calls that programs do without where the kernel is old. `clone3` is one because its flags lie
/// in memory, where a filter cannot see them.
const ABSENT: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
];

/// The flags of `clone` and `unshare` that make namespaces. The one for time lies where `clone` has the
/// signal, so it exists for `unshare` alone.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
const NEW_TIME: u32 = 0x80;

/// Requests to a terminal that put text into its input, as if somebody had typed it.
const TYPED: [u32; 2] = [0x5412, 0x541C];

/// What a process may pretend to be: itself, and the kinds that debuggers and sanitizers ask for.
const PERSONALITIES: [u32; 6] = [0, u32::MAX, 0x8, 0x2_0000, 0x2_0008, 0x4_0000];

/// The sockets that programs may make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SocketChoice {
    /// Local sockets and those of the internet protocols.
    Common,
    /// Those of the internet protocols: where no namespace keeps local sockets of the machine away.
    Internet,
    /// TCP alone: where the kernel's access rules close the network, which say nothing of UDP.
    TcpOnly,
}

/// Denies the calls for this process and all it starts. Nothing undoes it.
pub(super) fn restrict_syscalls(sockets: SocketChoice) -> io::Result<()> {
    for program in filters(sockets)? {
        seccompiler::apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

fn filters(sockets: SocketChoice) -> io::Result<Vec<BpfProgram>> {
    let mut forbidden: SyscallRules = FORBIDDEN.iter().map(|&call| (call, Vec::new())).collect();
    let has_flag = |flag: u32| (0, MaskedEq(flag.into()), flag);
    for flag in NAMESPACES.map(i32::cast_unsigned) {
        deny_if(&mut forbidden, libc::SYS_clone, &[has_flag(flag)])?;
        deny_if(&mut forbidden, libc::SYS_unshare, &[has_flag(flag)])?;
    }
    deny_if(&mut forbidden, libc::SYS_unshare, &[has_flag(NEW_TIME)])?;
    for request in TYPED {
        deny_if(&mut forbidden, libc::SYS_ioctl, &[(1, Eq, request)])?;
    }
    let others = PERSONALITIES.map(|kind| (0, Ne, kind));
    deny_if(&mut forbidden, libc::SYS_personality, &others)?;
    let absent = ABSENT.iter().map(|&call| (call, Vec::new())).collect();
    let mut programs = vec![
        compile_filter(forbidden, libc::EPERM)?,
        compile_filter(socket_rules(sockets)?, libc::EAFNOSUPPORT)?,
        compile_filter(absent, libc::ENOSYS)?,
    ];
    if cfg!(target_arch = "x86_64") {
        programs.push(x32_filter());
    }
    Ok(programs)
}

/// Families that a sandbox has no use for are ways into the kernel or the machine's hypervisor.
fn socket_rules(sockets: SocketChoice) -> io::Result<SyscallRules> {
    let mut rules = SyscallRules::new();
    let [unix, inet, inet6, netlink] = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ]
    .map(i32::cast_unsigned);
    let others = [unix, inet, inet6, netlink].map(|family| (0, Ne, family));
    deny_if(&mut rules, libc::SYS_socket, &others)?;
    deny_if(&mut rules, libc::SYS_socketpair, &others)?;
    let route = libc::NETLINK_ROUTE.cast_unsigned();
    deny_if(
        &mut rules,
        libc::SYS_socket,
        &[(0, Eq, netlink), (2, Ne, route)],
    )?;
    if sockets != SocketChoice::Common {
        deny_if(&mut rules, libc::SYS_socket, &[(0, Eq, unix)])?;
    }
    if sockets == SocketChoice::TcpOnly {
        for family in [inet, inet6] {
            // The type shares its number with flags.
            let stream = libc::SOCK_STREAM.cast_unsigned();
            for kind in (0..=0xf).filter(|&kind| kind != stream) {
                let denied = [(0, Eq, family), (1, MaskedEq(0xf), kind)];
                deny_if(&mut rules, libc::SYS_socket, &denied)?;
            }
            let tcp = libc::IPPROTO_TCP.cast_unsigned();
            let other = [(0, Eq, family), (2, Ne, 0), (2, Ne, tcp)];
            deny_if(&mut rules, libc::SYS_socket, &other)?;
        }
    }
    Ok(rules)
}

/// The rules of each call; without a rule it is denied whatever its arguments are.
type SyscallRules = BTreeMap<i64, Vec<SeccompRule>>;

/// Denies a call whose arguments, by number, compare like this. The kernel reads the lower half of each
/// that is listed here.
fn deny_if(
    rules: &mut SyscallRules,
    call: i64,
    arguments: &[(u8, SeccompCmpOp, u32)],
) -> io::Result<()> {
    let conditions = arguments.iter().map(|(number, op, value)| {
        SeccompCondition::new(*number, Dword, op.clone(), u64::from(*value))
    });
    let rule = conditions
        .collect::<Result<Vec<_>, _>>()
        .and_then(SeccompRule::new)
        .map_err(io::Error::other)?;
    rules.entry(call).or_default().push(rule);
    Ok(())
}

/// Calls of another architecture end the process: they have other numbers.
fn compile_filter(rules: SyscallRules, errno: i32) -> io::Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let action = SeccompAction::Errno(errno.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, action, arch)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
}

/// Denies the calls of x32, which have this architecture's mark and numbers of their own.
fn x32_filter() -> BpfProgram {
    const FIRST: u32 = 0x4000_0000;
    const LOAD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let step = |code, jt, k| sock_filter { code, jt, jf: 0, k };
    // `jt` steps are left out when the number is at least `k`.
    vec![
        step(LOAD, 0, 0),
        step(JUMP_IF_AT_LEAST, 1, FIRST),
        step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        step(
            RETURN,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(),
        ),
    ]
}
