//! Holds the programs of a task to the limits of the task.
//!
//! A resource group limits memory and processes, and says when one is reached. For open files and disk space the
//! kernel has no limit of a task and no event, and for the others not on every machine. Those are measured again and
//! again, each time after a pause that grows with what the last measure took.

use std::{
    future::pending,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use claudecluster_files::{ForeignFileError, measure_disk_use, run_with_deadline};
use claudecluster_protocol::worker::ResourceLimits;
use rustix::{
    process::Pid,
    time::{ClockId, clock_gettime},
};
use tokio::time::{Instant, sleep};

use super::{
    breach::{LimitBreach, LimitKind, size_text},
    groups::{EventSource, ResourceGroup, ResourceGroups},
    processes,
};

/// The pause between two measures of processes where they stand in for a resource group.
const CLOSE: Duration = Duration::from_millis(100);
/// The pause between two measures of processes where the kernel limits their number and memory.
const LOOSE: Duration = Duration::from_secs(1);
/// The pause between two measures of disk space.
const DISK: Duration = Duration::from_millis(500);
/// How many times longer than the processor's time for a measure of processes the pause after it is.
const PROCESS_SHARE: u32 = 20;
/// How many times longer than a measure of disk space the pause after it is.
const DISK_SHARE: u32 = 20;
/// How long a measure may take until another is tried: a file system can hang.
const DEADLINE: Duration = Duration::from_mins(2);

/// Holds the programs of a task to its limits.
#[derive(Debug)]
pub(super) struct LimitGuard {
    limits: ResourceLimits,
    /// The limit of memory, in bytes.
    memory: u64,
    group: Option<ResourceGroup>,
    /// The folders in which disk space counts.
    folders: Vec<PathBuf>,
    /// Bytes in those folders that are not the task's.
    before: AtomicU64,
    /// Bytes of files without names at the last measure.
    nameless: AtomicU64,
    /// Bytes in the folders at the last measure.
    written: AtomicU64,
    breach: OnceLock<LimitBreach>,
}

/// Returns the limit of a task's memory, in bytes.
pub(super) fn memory_limit(limits: &ResourceLimits) -> u64 {
    let most = processes::machine_memory() / 4 * 3;
    limits.memory_bytes.unwrap_or(most)
}

/// Returns the processor's time that this thread has taken.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Says by what each limit of a task holds on this machine, as text for the user.
pub fn describe_limits(limits: &ResourceLimits) -> String {
    let groups = ResourceGroups::open();
    let (memory, processes) = groups.holds();
    let disk = limits.disk_bytes;
    let disk = disk.map_or_else(|| "no limit".to_owned(), size_text);
    let (mut grouped, mut measured) = (Vec::new(), Vec::new());
    for (is_grouped, text) in [
        (
            memory,
            format!("memory {}", size_text(memory_limit(limits))),
        ),
        (processes, format!("processes {}", limits.processes)),
        (false, format!("open files {}", limits.open_files)),
        (false, format!("disk space {disk}")),
    ] {
        let list = if is_grouped {
            &mut grouped
        } else {
            &mut measured
        };
        list.push(text);
    }
    let measured = format!("measured: {}", measured.join(", "));
    let why_not = groups.why_not().map(|why| format!(" (no cgroup: {why})"));
    let grouped =
        (!grouped.is_empty()).then(|| format!("by the kernel (cgroup): {}; ", grouped.join(", ")));
    [
        grouped.unwrap_or_default(),
        measured,
        why_not.unwrap_or_default(),
    ]
    .concat()
}

impl LimitGuard {
    /// Makes the guard of a task whose programs write into `folders`.
    pub(super) fn new(
        limits: ResourceLimits,
        group: Option<ResourceGroup>,
        folders: Vec<PathBuf>,
    ) -> Self {
        Self {
            limits,
            memory: memory_limit(&limits),
            group,
            folders,
            before: AtomicU64::new(0),
            nameless: AtomicU64::new(0),
            written: AtomicU64::new(0),
            breach: OnceLock::new(),
        }
    }

    /// The resource group of the task.
    pub(super) fn group(&self) -> Option<&ResourceGroup> {
        self.group.as_ref()
    }

    /// Takes what is in the folders now as not written by the task.
    pub(super) async fn set_before(self: &Arc<Self>) {
        if self.limits.disk_bytes.is_some()
            && let Ok(bytes) = self.measure_folders(u64::MAX).await
        {
            self.before.store(bytes, Ordering::Relaxed);
        }
    }

    /// Waits until a program exceeds a limit of the task. `init` stands for the process that has started it.
    pub(super) async fn wait_for_breach(self: &Arc<Self>, init: &OwnedFd) -> LimitBreach {
        let init = processes::pid_of(init);
        let sampled = async {
            match init {
                Ok(init) => self.watch_processes(init).await,
                // It has ended already.
                Err(_) => pending().await,
            }
        };
        let limit = tokio::select! {
            limit = self.watch_group() => limit,
            limit = sampled => limit,
            limit = self.watch_disk() => limit,
        };
        self.record(limit)
    }

    /// Ends what the resource group of the task still holds.
    pub(super) fn end_group(&self) {
        if let Some(group) = &self.group {
            group.end_all();
        }
    }

    /// Returns the limit that the programs have exceeded, those that have ended included.
    pub(super) async fn breach(self: &Arc<Self>) -> Option<LimitBreach> {
        if let Some(breach) = self.breach.get() {
            return Some(*breach);
        }
        // A program may end before anybody hears that it was ended.
        let exceeded = self.group.as_ref().and_then(ResourceGroup::exceeded);
        let limit = match exceeded {
            Some(limit) => Some(limit),
            None => self.check_disk().await,
        };
        limit.map(|limit| self.record(limit))
    }

    /// Keeps that a limit has been exceeded.
    pub(super) fn record(&self, limit: LimitKind) -> LimitBreach {
        let most = match limit {
            LimitKind::Processes => self.limits.processes.into(),
            LimitKind::Memory => self.memory,
            LimitKind::OpenFiles => self.limits.open_files,
            LimitKind::Disk => self.limits.disk_bytes.unwrap_or(u64::MAX),
        };
        *self.breach.get_or_init(|| LimitBreach { limit, most })
    }

    async fn watch_group(&self) -> LimitKind {
        let Some(group) = &self.group else {
            return pending().await;
        };
        let events = match group.watch() {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(%error, "cannot follow a resource group");
                return pending().await;
            }
        };
        loop {
            if let Some(limit) = group.exceeded() {
                return limit;
            }
            match events.next().await {
                // Which program is ended, and that one was, is counted a moment later.
                Ok(EventSource::OutOfMemory) if group.reached_memory() => return LimitKind::Memory,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot follow a resource group");
                    return pending().await;
                }
            }
        }
    }

    async fn watch_processes(self: &Arc<Self>, init: Pid) -> LimitKind {
        let group = self.group.as_ref();
        let holds = group.is_some_and(|group| group.holds_memory() && group.holds_processes());
        let least = if holds { LOOSE } else { CLOSE };
        let mut pause = least;
        loop {
            sleep(pause).await;
            let guard = self.clone();
            let measured = run_with_deadline(DEADLINE, move || {
                let exceeded = guard.check_processes(init);
                // The thread is new. On a busy machine it waits much longer than it works.
                Ok::<_, ForeignFileError>((exceeded, processor_time()))
            });
            match measured.await {
                Ok((Some(limit), _)) => return limit,
                Ok((None, cost)) => pause = least.max(cost * PROCESS_SHARE),
                Err(error) => tracing::warn!(%error, "cannot measure the programs of a task"),
            }
        }
    }

    fn check_processes(&self, init: Pid) -> Option<LimitKind> {
        let group = self.group.as_ref();
        if let Some(limit) = group.and_then(ResourceGroup::exceeded) {
            return Some(limit);
        }
        let listed = group.and_then(|group| group.processes().ok());
        let pids = listed.unwrap_or_else(|| processes::list_descendants(init));
        let sum = processes::measure_processes(&pids);
        self.nameless.store(sum.nameless, Ordering::Relaxed);
        let written = self.written.load(Ordering::Relaxed);
        if !group.is_some_and(ResourceGroup::holds_processes)
            && sum.threads > self.limits.processes.into()
        {
            return Some(LimitKind::Processes);
        }
        if sum.open_files > self.limits.open_files {
            return Some(LimitKind::OpenFiles);
        }
        if self.is_too_much(written) {
            return Some(LimitKind::Disk);
        }
        if group.is_some_and(ResourceGroup::holds_memory) {
            return None;
        }
        let files = sum
            .unnamed_memory
            .saturating_add(processes::shared_folder_use(init));
        let exceeds = |sum: processes::MemoryUse| sum.total(files) > self.memory;
        // Processes that share much seem to take more than they do.
        (exceeds(processes::sum_resident(&pids)) && exceeds(processes::sum_proportional(&pids)))
            .then_some(LimitKind::Memory)
    }

    async fn watch_disk(self: &Arc<Self>) -> LimitKind {
        if self.limits.disk_bytes.is_none() {
            return pending().await;
        }
        let mut pause = DISK;
        loop {
            sleep(pause).await;
            let started = Instant::now();
            if let Some(limit) = self.check_disk().await {
                return limit;
            }
            pause = DISK.max(started.elapsed() * DISK_SHARE);
        }
    }

    async fn check_disk(self: &Arc<Self>) -> Option<LimitKind> {
        let limit = self.limits.disk_bytes?;
        let most = limit.saturating_add(self.before.load(Ordering::Relaxed));
        match self.measure_folders(most).await {
            Ok(bytes) => {
                self.written.store(bytes, Ordering::Relaxed);
                self.is_too_much(bytes).then_some(LimitKind::Disk)
            }
            // More files than can be counted are too many.
            Err(error) if error.is_limit() => Some(LimitKind::Disk),
            Err(error) => {
                tracing::warn!(%error, "cannot measure the disk space of a task");
                None
            }
        }
    }

    async fn measure_folders(&self, most: u64) -> Result<u64, ForeignFileError> {
        let folders = self.folders.clone();
        run_with_deadline(DEADLINE, move || measure_disk_use(&folders, most)).await
    }

    fn is_too_much(&self, written: u64) -> bool {
        let own = written.saturating_sub(self.before.load(Ordering::Relaxed));
        let nameless = self.nameless.load(Ordering::Relaxed);
        let disk = self.limits.disk_bytes;
        disk.is_some_and(|most| own.saturating_add(nameless) > most)
    }
}
