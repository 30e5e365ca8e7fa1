//! What the processes of a task take of the machine, measured in `/proc`.
//!
//! The daemon measures from outside: it sees the processes of a task in its own `/proc`, whatever they do inside.

use std::{
    collections::HashSet,
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::process::Pid;

/// What the kernel appends to the path of an open file without a name.
const NAMELESS: &[u8] = b" (deleted)";
/// The paths of open files that are in memory.
const IN_MEMORY: [&[u8]; 3] = [b"/memfd:", b"/dev/shm/", b"/dev/zero"];
/// The unit of the kernel's block counts.
const BLOCK: u64 = 512;

/// What some processes take together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct ProcessUse {
    /// Processes and threads.
    pub(super) threads: u64,
    /// Open files, those of each process counted.
    pub(super) open_files: u64,
    /// Bytes of files on a disk that are open and have no name any more.
    pub(super) nameless: u64,
    /// Bytes of files in memory that are open and have no name.
    pub(super) unnamed_memory: u64,
}

/// Lists all that a process has started and that still runs, itself left out.
///
/// What loses its parent meanwhile is found the next time, with the one that adopts it.
pub(super) fn list_descendants(top: Pid) -> Vec<Pid> {
    let (mut found, mut next) = (Vec::new(), 0);
    let mut known = HashSet::from([top]);
    let mut looked = Some(top);
    while let Some(pid) = looked {
        for thread in list_threads(pid) {
            let listed = fs::read_to_string(thread.join("children")).unwrap_or_default();
            let children = listed
                .split_whitespace()
                .filter_map(|word| word.parse().ok());
            found.extend(children.filter_map(to_pid).filter(|pid| known.insert(*pid)));
        }
        looked = found.get(next).copied();
        next += 1;
    }
    found
}

/// Adds up what processes take. Those that end meanwhile count what was seen of them.
pub(super) fn measure_processes(pids: &[Pid]) -> ProcessUse {
    let (mut sum, mut files) = (ProcessUse::default(), HashSet::new());
    for pid in pids {
        sum.threads += list_threads(*pid).len() as u64;
        for entry in fs::read_dir(folder_of(*pid).join("fd"))
            .into_iter()
            .flatten()
        {
            sum.open_files += 1;
            let Some(path) = entry.ok().map(|entry| entry.path()) else {
                continue;
            };
            // Pipes, sockets and files with names are the most, and the path alone tells them.
            let Ok(target) = fs::read_link(&path) else {
                continue;
            };
            let target = target.as_os_str().as_encoded_bytes();
            if !target.ends_with(NAMELESS) {
                continue;
            }
            let Ok(meta) = fs::metadata(&path) else {
                continue;
            };
            if meta.is_file() && meta.nlink() == 0 && files.insert((meta.dev(), meta.ino())) {
                let bytes = meta.blocks().saturating_mul(BLOCK);
                if IN_MEMORY.iter().any(|start| target.starts_with(start)) {
                    sum.unnamed_memory = sum.unnamed_memory.saturating_add(bytes);
                } else {
                    sum.nameless = sum.nameless.saturating_add(bytes);
                }
            }
        }
    }
    sum
}

/// Bytes of memory that processes have, once as own memory and once as memory that files or others share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct MemoryUse {
    own: u64,
    shared: u64,
}

impl MemoryUse {
    /// Returns the sum, where files in memory take `files` bytes, whether or not they are mapped.
    pub(super) fn total(self, files: u64) -> u64 {
        self.own.saturating_add(self.shared.max(files))
    }
}

/// Adds up the resident memory of processes. What several share counts for each: this is never less than they have.
pub(super) fn sum_resident(pids: &[Pid]) -> MemoryUse {
    sum_fields(pids, "status", "RssAnon:", "RssShmem:")
}

/// Adds up the memory of processes, in which what several share counts once. Slower than [`sum_resident`].
pub(super) fn sum_proportional(pids: &[Pid]) -> MemoryUse {
    sum_fields(pids, "smaps_rollup", "Pss_Anon:", "Pss_Shmem:")
}

fn sum_fields(pids: &[Pid], file: &str, own: &str, shared: &str) -> MemoryUse {
    let mut sum = MemoryUse::default();
    for pid in pids {
        let Ok(text) = fs::read_to_string(folder_of(*pid).join(file)) else {
            continue;
        };
        for line in text.lines() {
            let bytes = |name: &str| {
                let value = line.strip_prefix(name)?.trim().strip_suffix(" kB")?;
                value.parse::<u64>().ok()?.checked_mul(1 << 10)
            };
            sum.own = sum.own.saturating_add(bytes(own).unwrap_or(0));
            sum.shared = sum.shared.saturating_add(bytes(shared).unwrap_or(0));
        }
    }
    sum
}

/// Returns the bytes that the view of a process has in its folder of shared memory; none where it has no view.
pub(super) fn shared_folder_use(init: Pid) -> u64 {
    let folder = folder_of(init).join("root/dev/shm");
    let outside = fs::metadata("/dev/shm").map(|meta| meta.dev());
    let is_own = fs::metadata(&folder).is_ok_and(|meta| outside.is_ok_and(|dev| dev != meta.dev()));
    let stat = rustix::fs::statvfs(&folder).ok().filter(|_| is_own);
    stat.map_or(0, |stat| {
        let blocks = stat.f_blocks.saturating_sub(stat.f_bfree);
        blocks.saturating_mul(stat.f_frsize)
    })
}

/// Returns the id of the process that a descriptor stands for.
pub(super) fn pid_of(process: &OwnedFd) -> io::Result<Pid> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()))?;
    let mut lines = info.lines().filter_map(|line| line.strip_prefix("Pid:"));
    let pid = lines.next().and_then(|pid| pid.trim().parse().ok());
    pid.and_then(to_pid)
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Takes a number of the kernel as the id of a process. It writes −1 for one that has ended.
pub(super) fn to_pid(number: i32) -> Option<Pid> {
    (number > 0).then(|| Pid::from_raw(number)).flatten()
}

/// The memory of this machine, in bytes.
pub(super) fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit).saturating_mul(info.totalram)
}

fn folder_of(pid: Pid) -> PathBuf {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string())
}

fn list_threads(pid: Pid) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder_of(pid).join("task"));
    let entries = listed.into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        process::{Command, Stdio},
    };

    use super::*;

    /// The processes of a script that says when all of them run, and ends when its input ends.
    fn with_processes<T>(script: &str, look: impl FnOnce(&[Pid]) -> T) -> T {
        let mut program = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = program.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 6]).unwrap();
        let top = Pid::from_child(&program);
        let mut pids = list_descendants(top);
        pids.push(top);
        let seen = look(&pids);
        drop(program.stdin.take());
        program.wait().unwrap();
        seen
    }

    #[test]
    fn memory_that_processes_share_counts_once() {
        // Five copies of a shell that has 30 MB.
        let script = "exec 4<&0; x=$(head -c 30M /dev/zero | tr '\\0' x); \
                      for i in 1 2 3 4 5; do (read y <&4; :) & done; echo ready; wait";
        with_processes(script, |pids| {
            assert_eq!(pids.len(), 6);
            let (seeming, real) = (sum_resident(pids).total(0), sum_proportional(pids).total(0));
            assert!(seeming >= 6 * (30 << 20), "{seeming}");
            assert!(real < seeming / 2, "{real} of {seeming}");
            assert!(real >= 30 << 20, "{real}");
        });
    }

    #[test]
    fn open_files_without_a_name_are_measured() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let script = format!(
            "exec 4> {0}; rm {0}; head -c 3M /dev/zero >&4; sync; (read y <&0) & echo ready; read y",
            file.display()
        );
        let sum = with_processes(&script, measure_processes);
        assert!((3 << 20..4 << 20).contains(&sum.nameless), "{sum:?}");
        assert!(sum.open_files >= 4, "{sum:?}");
        assert!(sum.threads >= 1, "{sum:?}");
    }
}
