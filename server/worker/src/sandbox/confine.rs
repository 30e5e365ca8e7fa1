//! Removes privileges from a program in a sandbox before it starts: capabilities and write access.

use std::{io, path::PathBuf};

use landlock::{
    ABI, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
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

/// What a program may reach by the kernel's access rules.
pub(super) struct AccessRules<'a> {
    /// The files and folders that may be written.
    pub(super) writable: &'a [PathBuf],
    /// The files and folders that may be read; `None` for all.
    pub(super) readable: Option<Vec<PathBuf>>,
    /// The TCP ports that may be connected to; `None` for all. With a list, no port may be listened on.
    pub(super) connect: Option<&'a [u16]>,
}

/// Makes the kernel refuse everything else, for this process and all it starts.
///
/// Signals and abstract sockets to processes outside are refused as well; older kernels enforce a part of
/// this. Returns whether anything is enforced.
pub(super) fn restrict_access(rules: &AccessRules<'_>) -> io::Result<bool> {
    rustix::thread::set_no_new_privs(true)?;
    let (reading, writing) = (AccessFs::from_read(ABI::V5), AccessFs::from_write(ABI::V5));
    let handled = match &rules.readable {
        Some(_) => reading | writing,
        None => writing,
    };
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)
        .and_then(|ruleset| match rules.connect {
            Some(_) => ruleset.handle_access(AccessNet::ConnectTcp | AccessNet::BindTcp),
            None => Ok(ruleset),
        })
        .and_then(|ruleset| ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(rules.writable, handled)))
        .and_then(|ruleset| {
            let readable = rules.readable.iter().flatten();
            ruleset.add_rules(path_beneath_rules(readable, reading))
        })
        .and_then(|ruleset| {
            let ports = rules.connect.unwrap_or_default().iter();
            let port = |&port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp));
            ruleset.add_rules(ports.map(port))
        })
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(io::Error::other)?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Lists the files and folders that together are everything but `barred`. The kernel's rules only allow, and
/// what a folder allows holds for all below it: so each folder on the way to what is barred is replaced by what
/// else lies in it. Such a folder cannot be listed. Links are left out, since rules are about what they lead to.
pub(super) fn everything_but(barred: &[PathBuf]) -> Vec<PathBuf> {
    let (mut open, mut readable) = (vec![PathBuf::from("/")], Vec::new());
    while let Some(folder) = open.pop() {
        if !barred.iter().any(|path| path.starts_with(&folder)) {
            readable.push(folder);
            continue;
        }
        if barred.contains(&folder) {
            continue;
        }
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let entries =
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
        open.extend(entries.map(|entry| entry.path()));
    }
    readable
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_some_is_what_lies_beside_the_way_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        for folder in ["a/b/secret/deep", "a/b/open", "a/c", "d"] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        std::fs::write(top.join("a/file"), "").unwrap();
        std::os::unix::fs::symlink(top.join("a/b/secret"), top.join("a/link")).unwrap();
        let barred = [top.join("a/b/secret"), top.join("d")];
        let mut readable = everything_but(&barred);
        readable.retain(|path| path.starts_with(&top));
        readable.sort();
        let expected = ["a/b/open", "a/c", "a/file"].map(|path| top.join(path));
        assert_eq!(readable, expected);
        assert!(everything_but(&[]) == [PathBuf::from("/")]);
    }
}
