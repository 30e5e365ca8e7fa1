//! Starts a program as on a machine that offers less: `claudecluster-restricted MACHINE PROGRAM [ARGUMENT…]`.
//!
//! A filter of system calls takes away what a kernel, a container runtime or a distribution takes away. The program
//! and all it starts meet the same errors as there.

use std::{
    collections::BTreeMap,
    error::Error,
    ffi::OsString,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use claudecluster_e2e::machine::Machine;
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

type SyscallRules = BTreeMap<i64, Vec<SeccompRule>>;

/// Every flag of `clone` and `unshare` that makes a namespace.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | NEW_TIME;
const NEW_TIME: i32 = 0x80;

/// What container runtimes leave to root.
const CONTAINER_KEEPS: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

fn main() -> ExitCode {
    let error = become_program().err().map(|error| error.to_string());
    report_error(&error.unwrap_or_default());
    ExitCode::FAILURE
}

#[expect(
    clippy::print_stderr,
    reason = "the test that started it shows the error"
)]
fn report_error(error: &str) {
    eprintln!("claudecluster-restricted: {error}");
}

fn become_program() -> Result<std::convert::Infallible, Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let machine = args.next().and_then(|name| name.into_string().ok());
    let machine = machine.and_then(|name| Machine::ALL.into_iter().find(|m| m.name() == name));
    let machine = machine.ok_or("the first argument names no machine")?;
    let program: OsString = args.next().ok_or("the second argument is the program")?;
    if machine == Machine::Container {
        drop_capabilities()?;
    }
    for (errno, rules) in refused_calls(machine)? {
        if !rules.is_empty() {
            install_filter(errno, rules)?;
        }
    }
    Err(Command::new(program).args(args).exec().into())
}

/// Returns the system calls that this machine refuses, by the error they get.
fn refused_calls(machine: Machine) -> Result<[(i32, SyscallRules); 3], Box<dyn Error>> {
    let (mut forbidden, mut missing) = (SyscallRules::new(), SyscallRules::new());
    let mut unknown = SyscallRules::new();
    match machine {
        Machine::Whole => {}
        Machine::NoUserNamespaces => {
            refuse_namespaces(libc::CLONE_NEWUSER, &mut forbidden)?;
            missing.insert(libc::SYS_clone3, Vec::new());
        }
        Machine::Container => {
            refuse_namespaces(NAMESPACES, &mut forbidden)?;
            // As container runtimes do: the flags are behind a pointer, and programs fall back to `clone`.
            missing.insert(libc::SYS_clone3, Vec::new());
            for call in [
                libc::SYS_setns,
                libc::SYS_mount,
                libc::SYS_umount2,
                libc::SYS_pivot_root,
                libc::SYS_open_tree,
                libc::SYS_move_mount,
                libc::SYS_fsopen,
                libc::SYS_fsconfig,
                libc::SYS_fsmount,
                libc::SYS_fspick,
                libc::SYS_mount_setattr,
            ] {
                forbidden.insert(call, Vec::new());
            }
        }
        Machine::NoLandlock => {
            for call in [
                libc::SYS_landlock_create_ruleset,
                libc::SYS_landlock_add_rule,
                libc::SYS_landlock_restrict_self,
            ] {
                missing.insert(call, Vec::new());
            }
        }
        Machine::NoOverlay => {
            // Nothing else is made by `fsopen`. The older call names its file system behind a pointer, but only
            // an overlay is mounted without a flag.
            missing.insert(libc::SYS_fsopen, Vec::new());
            let no_flag = SeccompCondition::new(3, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
            unknown.insert(libc::SYS_mount, vec![SeccompRule::new(vec![no_flag])?]);
        }
    }
    Ok([
        (libc::EPERM, forbidden),
        (libc::ENOSYS, missing),
        (libc::ENODEV, unknown),
    ])
}

/// Refuses `clone` and `unshare` with any of these flags.
fn refuse_namespaces(flags: i32, rules: &mut SyscallRules) -> Result<(), Box<dyn Error>> {
    let mut of_flags = Vec::new();
    for bit in 0..31 {
        let flag = u64::from(1u32 << bit);
        if u64::from(flags.unsigned_abs()) & flag != 0 {
            let given = SeccompCmpOp::MaskedEq(flag);
            let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, given, flag)?;
            of_flags.push(SeccompRule::new(vec![condition])?);
        }
    }
    // The low byte of the flags of `clone` is a signal; `CLONE_NEWTIME` is for `unshare` alone.
    let of_clone = of_flags.iter().skip(usize::from(flags & NEW_TIME != 0));
    rules.insert(libc::SYS_clone, of_clone.cloned().collect());
    rules.insert(libc::SYS_unshare, of_flags);
    Ok(())
}

fn install_filter(errno: i32, rules: SyscallRules) -> Result<(), Box<dyn Error>> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refused = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}

/// Leaves root the capabilities it has in a container. For others there is nothing to drop.
fn drop_capabilities() -> Result<(), Box<dyn Error>> {
    let held = rustix::thread::capabilities(None)?;
    if held.effective.is_empty() {
        return Ok(());
    }
    for capability in CapabilitySet::all().difference(CONTAINER_KEEPS).iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // An older kernel does not know it.
            Err(rustix::io::Errno::INVAL) => {}
            other => other?,
        }
    }
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: held.effective.intersection(CONTAINER_KEEPS),
            permitted: held.permitted.intersection(CONTAINER_KEEPS),
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}
