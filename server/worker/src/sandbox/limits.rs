//! What the programs of a view may take of the machine.

use std::io;

use claudecluster_protocol::worker::ResourceLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The first kernel whose `pid_max` belongs to a PID namespace. Before, writing it changes the machine.
const OWN_PID_MAX: (u32, u32) = (6, 14);
/// The numbers that the kernel does not give out again once it has come round.
const RESERVED_PIDS: u32 = 300;
/// How much sooner than others a program of a view is ended when the machine is out of memory.
const SOONER: &str = "700";

/// Sets the limits of this process and all it starts. `own_pids` says whether it is the first process of a PID
/// namespace, with the right to set its limit and a `/proc` that can be written.
pub(super) fn set_limits(limits: &ResourceLimits, own_pids: bool) -> io::Result<()> {
    if own_pids && has_own_pid_max() {
        let most = limits.processes.saturating_add(RESERVED_PIDS);
        std::fs::write("/proc/sys/kernel/pid_max", most.to_string())?;
    }
    lower(Resource::Nproc, limits.processes.into())?;
    lower(Resource::Nofile, limits.open_files)?;
    if let Some(bytes) = limits.memory_bytes {
        lower(Resource::Data, bytes)?;
    }
    if let Some(bytes) = limits.disk_bytes {
        lower(Resource::Fsize, bytes)?;
    }
    // A core dump can be as large as the memory.
    lower(Resource::Core, 0)?;
    // The machine may refuse; then it ends whom it likes.
    let _ = std::fs::write("/proc/self/oom_score_adj", SOONER);
    Ok(())
}

/// Whether the number of processes of a PID namespace can be limited.
pub(super) fn has_own_pid_max() -> bool {
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
