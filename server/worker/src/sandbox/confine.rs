//! Removes privileges from a program in a sandbox before it starts: capabilities and write access.

use std::{io, path::PathBuf};

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::sys;

/// The capabilities that root keeps: enough to unpack archives and drop to other users, nothing that reaches mounts,
/// devices, other processes' memory or the kernel.
const ROOT_KEEPS: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// Drops the capabilities that could undo the mounts. Without this a program that runs as root could mount the
/// workspace writable again.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let keep = if rustix::process::geteuid().is_root() {
        ROOT_KEEPS
    } else {
        CapabilitySet::empty()
    };
    for capability in 0..64u32 {
        if keep.bits() & (1 << capability) == 0 {
            match sys::drop_bounding(capability) {
                // The first number the kernel does not know: there are no more.
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => break,
                other => other?,
            }
        }
    }
    let held = rustix::thread::capabilities(None)?;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: held.effective.intersection(keep),
            permitted: held.permitted.intersection(keep),
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// Makes the kernel refuse writes outside `writable`, for this process and all it starts.
///
/// Signals and abstract sockets to processes outside are refused as well; older kernels enforce a part of
/// this. Returns whether anything is enforced.
pub(super) fn restrict_writes(writable: &[PathBuf]) -> io::Result<bool> {
    rustix::thread::set_no_new_privs(true)?;
    let rights = AccessFs::from_write(ABI::V5);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(rights)
        .and_then(|ruleset| ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(writable, rights)))
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(io::Error::other)?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// The version of the kernel's Landlock interface.
#[expect(unsafe_code, reason = "the library does not tell the version it found")]
pub(super) fn landlock_version() -> Option<u32> {
    // SAFETY: with this flag the call reads no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            1u32,
        )
    };
    u32::try_from(version).ok().filter(|&version| version > 0)
}
