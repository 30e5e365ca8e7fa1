//! What the programs of a view may take of the machine, as far as the kernel limits it by itself.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::view::SandboxView;

/// The first kernel whose `pid_max` belongs to a PID namespace. Before, writing it changes the machine.
const OWN_PID_MAX: (u32, u32) = (6, 14);
/// The numbers that the kernel does not give out again once it has come round.
const RESERVED_PIDS: u32 = 300;
/// How many processes more than the limit can start, so that it is seen to be exceeded.
const SPARE: u32 = 64;
/// How much sooner than others a program of a view is ended when the machine is out of memory.
const SOONER: &str = "700";

/// Sets the limits of this process and all it starts. `own_pids` says whether it is the first process of a PID
/// namespace, with the right to set its limit and a `/proc` that can be written.
pub(super) fn set_limits(view: &SandboxView, own_pids: bool) -> io::Result<()> {
    let limits = &view.limits;
    let processes = limits.processes.saturating_add(SPARE);
    if own_pids && has_own_pid_max() {
        let most = processes.saturating_add(RESERVED_PIDS);
        std::fs::write("/proc/sys/kernel/pid_max", most.to_string())?;
    }
    if own_pids {
        // Shared memory that nothing has mapped is seen nowhere. Not every kernel lets a namespace limit it.
        let pages = view.shared_memory() / rustix::param::page_size() as u64;
        let _ = std::fs::write("/proc/sys/kernel/shmall", pages.to_string());
    }
    lower(Resource::Nproc, processes.into())?;
    lower(Resource::Nofile, limits.open_files)?;
    if let Some(bytes) = limits.memory_bytes.filter(|_| view.groups.is_empty()) {
        // What a single program could take between two measures.
        lower(Resource::Data, bytes.saturating_mul(2))?;
    }
    // A core dump can be as large as the memory.
    lower(Resource::Core, 0)?;
    // The machine may refuse; then it ends whom it likes.
    let _ = std::fs::write("/proc/self/oom_score_adj", SOONER);
    Ok(())
}

/// Whether the number of processes of a PID namespace can be limited.
fn has_own_pid_max() -> bool {
    let name = rustix::system::uname();
    name.release().to_str().is_ok_and(|release| {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse::<u32>().ok();
        matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) >= OWN_PID_MAX)
    })
}

/// Lowers a limit to `most`; a lower one stays.
fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let least = |value: Option<u64>| Some(value.map_or(most, |value| value.min(most)));
    let new = Rlimit {
        current: least(now.current),
        maximum: least(now.maximum),
    };
    Ok(setrlimit(resource, new)?)
}
