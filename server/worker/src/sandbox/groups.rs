//! Resource groups: the kernel's own limits of memory and processes for all programs of a task together (cgroups).
//!
//! A daemon makes a folder of its own in each hierarchy that it may write, and in it one for each task. The launcher
//! enters the group of its task before anything else, so all that it starts is in it. A lock on the daemon's folder
//! says that the daemon lives; what others left is removed when one starts.

mod place;

use std::{
    fs,
    future::pending,
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::future::select_all;
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{FlockOperation, flock},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::io::{Interest, unix::AsyncFd};

use self::place::{Controller, GroupPlace};
use super::{breach::LimitKind, processes::to_pid, sys};

/// The prefix of the folders of daemons.
const PREFIX: &str = "claudecluster-";
/// The launcher and the init, which are in the group of their task.
const OWN_PROCESSES: u64 = 2;
/// How often the processes of a group are ended: new ones cannot start meanwhile.
const END_ROUNDS: usize = 8;

/// The place of a daemon's resource groups. Without one, limits are held by measuring.
#[derive(Debug)]
pub struct ResourceGroups {
    folders: Vec<DaemonFolder>,
    why_not: Option<String>,
    next: AtomicU64,
}

/// A daemon's folder in a hierarchy. The lock on it is held while the daemon lives.
#[derive(Debug)]
struct DaemonFolder {
    path: PathBuf,
    /// The group of the daemon itself.
    own: PathBuf,
    controller: Controller,
    _lock: OwnedFd,
}

impl ResourceGroups {
    /// Makes the daemon's folders where this process may, and removes those of daemons that have ended.
    pub fn open() -> Arc<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mounts = read("/proc/self/mountinfo");
        Arc::new(Self::open_in(&place::find_places(
            &mounts,
            &read("/proc/self/cgroup"),
        )))
    }

    fn open_in(places: &[GroupPlace]) -> Self {
        let (mut folders, mut reasons) = (Vec::new(), Vec::new());
        for place in places {
            // Of the two hierarchies the newer one comes first.
            if folders
                .iter()
                .any(|folder: &DaemonFolder| folder.controller.covers(place.controller))
            {
                continue;
            }
            match make_folder(place) {
                Ok(folder) => folders.push(folder),
                Err(error) => reasons.push(format!("{}: {error}", place.controller.name())),
            }
        }
        if places.is_empty() {
            reasons.push("this process is in no group with limits".to_owned());
        }
        let missing = !folders.iter().any(|folder| folder.controller.has_memory())
            || !folders
                .iter()
                .any(|folder| folder.controller.has_processes());
        Self {
            folders,
            why_not: missing.then(|| reasons.join("; ")),
            next: AtomicU64::new(1),
        }
    }

    /// Says why memory or processes have no group, as text for the user.
    pub fn why_not(&self) -> Option<&str> {
        self.why_not.as_deref()
    }

    /// Returns whether groups limit memory, and whether they limit processes.
    pub fn holds(&self) -> (bool, bool) {
        let any = |holds: fn(Controller) -> bool| {
            self.folders.iter().any(|folder| holds(folder.controller))
        };
        (any(Controller::has_memory), any(Controller::has_processes))
    }

    /// Makes the kernel ready to take a program into a group soon.
    ///
    /// In version 2, after a while without any, the kernel lets the first one wait until all processors have taken note,
    /// some 15 ms. To enter the group in which this process is already makes it begin with that, and moves nothing.
    pub(super) fn announce_program(&self) {
        let unified = |folder: &&DaemonFolder| folder.controller == Controller::Unified;
        if let Some(folder) = self.folders.iter().find(unified) {
            let own = folder.own.join(PROCESSES);
            let announce = move || {
                // Where that is refused, the program waits.
                let _ = enter_group(&own);
            };
            let _ = std::thread::Builder::new()
                .name("resource-group".into())
                .spawn(announce);
        }
    }

    /// Makes the group of a task; `None` where there is no place for one.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn make_group(
        self: &Arc<Self>,
        memory: u64,
        processes: u64,
    ) -> io::Result<Option<ResourceGroup>> {
        if self.folders.is_empty() {
            return Ok(None);
        }
        let name = format!("task-{}", self.next.fetch_add(1, Ordering::Relaxed));
        // What was made is removed where the rest cannot be.
        let mut group = ResourceGroup {
            folders: Vec::new(),
            _groups: self.clone(),
        };
        for folder in &self.folders {
            let path = folder.path.join(&name);
            fs::create_dir(&path)?;
            group.folders.push((path.clone(), folder.controller));
            folder
                .controller
                .set_limits(&path, memory, processes.saturating_add(OWN_PROCESSES))?;
        }
        Ok(Some(group))
    }
}

impl Drop for ResourceGroups {
    fn drop(&mut self) {
        for folder in &self.folders {
            remove_folders(&folder.path);
        }
    }
}

/// Makes the folder of this daemon in a hierarchy.
fn make_folder(place: &GroupPlace) -> io::Result<DaemonFolder> {
    let base = place.base()?;
    remove_leftovers(&base);
    let path = base.join(format!("{PREFIX}{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir(&path)?;
    let made = open_folder(&path).and_then(|lock| {
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        place.controller.prepare_parent(&path)?;
        try_group(&path, place.controller)?;
        Ok(lock)
    });
    match made {
        Ok(lock) => Ok(DaemonFolder {
            path,
            own: place.own.clone(),
            controller: place.controller,
            _lock: lock,
        }),
        Err(error) => {
            remove_folders(&path);
            Err(error)
        }
    }
}

/// Makes a group with limits, and moves a process into it that does nothing. The error is why that is not possible.
fn try_group(folder: &Path, controller: Controller) -> io::Result<()> {
    let path = folder.join("task-0");
    fs::create_dir(&path)?;
    controller.set_limits(&path, 1 << 30, 100)?;
    let mut idle = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let entered = fs::write(path.join(PROCESSES), idle.id().to_string());
    let _ = idle.kill();
    let _ = idle.wait();
    remove_folder(&path);
    entered
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    Ok(file.into())
}

/// Removes the folders of daemons that have ended. One in which something still runs stays.
fn remove_leftovers(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Ok(lock) = open_folder(&entry.path())
            && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            remove_folders(&entry.path());
        }
    }
}

/// Removes the folder of a daemon with those of its tasks. Files in them go with their folders.
fn remove_folders(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("task-") {
            remove_folder(&entry.path());
        }
    }
    remove_folder(path);
}

fn remove_folder(path: &Path) {
    if let Err(error) = fs::remove_dir(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        // The next daemon removes it.
        tracing::debug!(path = %path.display(), %error, "a resource group stays for now");
    }
}

/// The group of a task. Removed when it is dropped.
#[derive(Debug)]
pub(super) struct ResourceGroup {
    folders: Vec<(PathBuf, Controller)>,
    /// The folder of the daemon, which stays as long as one of a task.
    _groups: Arc<ResourceGroups>,
}

impl ResourceGroup {
    /// Lists the files by which a process enters the group.
    pub(super) fn entrances(&self) -> Vec<PathBuf> {
        let folders = self.folders.iter();
        folders
            .map(|(path, controller)| path.join(controller.entrance()))
            .collect()
    }

    /// Whether the group limits memory.
    pub(super) fn holds_memory(&self) -> bool {
        self.folders
            .iter()
            .any(|(_, controller)| controller.has_memory())
    }

    /// Whether the group limits processes.
    pub(super) fn holds_processes(&self) -> bool {
        let mut folders = self.folders.iter();
        folders.any(|(_, controller)| controller.has_processes())
    }

    /// Lists the processes of the group.
    pub(super) fn processes(&self) -> io::Result<Vec<Pid>> {
        let Some((path, _)) = self.folders.first() else {
            return Ok(Vec::new());
        };
        let listed = fs::read_to_string(path.join(PROCESSES))?;
        let pids = listed.lines().filter_map(|line| line.parse().ok());
        Ok(pids.filter_map(to_pid).collect())
    }

    /// Returns the limit that has been exceeded.
    pub(super) fn exceeded(&self) -> Option<LimitKind> {
        let mut folders = self.folders.iter();
        folders.find_map(|(path, controller)| controller.exceeded(path))
    }

    /// Returns whether the group has come to its limit of memory, where an event says that it is out of memory.
    pub(super) fn reached_memory(&self) -> bool {
        let mut folders = self.folders.iter();
        folders.any(|(path, controller)| controller.reached_memory(path))
    }

    /// Watches for limits that are exceeded.
    pub(super) fn watch(&self) -> io::Result<GroupEvents> {
        let mut events = Vec::new();
        for (path, controller) in &self.folders {
            for source in controller.events() {
                events.push((*source, open_event(path, *source)?));
            }
        }
        Ok(GroupEvents(events))
    }

    /// Ends all processes of the group. New ones cannot start any more where the group limits them.
    pub(super) fn end_all(&self) {
        for (path, controller) in &self.folders {
            if controller.has_processes() {
                let _ = fs::write(path.join("pids.max"), "0");
            }
        }
        for _ in 0..END_ROUNDS {
            let found = self.processes().unwrap_or_default();
            if found.is_empty() {
                return;
            }
            let open = |pid| Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?));
            let opened: Vec<(Pid, OwnedFd)> = found.into_iter().filter_map(open).collect();
            // An id may belong to another process by now. One that is still in the group is the one that is open.
            let still = self.processes().unwrap_or_default();
            for (_, process) in opened.iter().filter(|(pid, _)| still.contains(pid)) {
                let _ = pidfd_send_signal(process, Signal::KILL);
            }
        }
    }
}

impl Drop for ResourceGroup {
    fn drop(&mut self) {
        for (path, _) in &self.folders {
            remove_folder(path);
        }
    }
}

/// Lists the processes of a group, and takes new ones.
const PROCESSES: &str = "cgroup.procs";

/// Enters a group. Run by the launcher, which has one thread.
pub(super) fn enter_group(entrance: &Path) -> io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .open(entrance)
        .and_then(|mut file| io::Write::write_all(&mut file, b"0"))
}

/// Where the kernel says that something has happened in a group.
#[derive(Clone, Copy, Debug)]
pub(super) enum EventSource {
    /// A file whose content changes.
    File(&'static str),
    /// The counter of the older hierarchy for a group out of memory.
    OutOfMemory,
}

fn open_event(group: &Path, source: EventSource) -> io::Result<AsyncFd<OwnedFd>> {
    match source {
        EventSource::File(name) => {
            let file = fs::File::open(group.join(name))?;
            // Only what changes after the file was read is an event.
            io::Read::read_to_end(&mut &file, &mut Vec::new())?;
            sys::watch_descriptor(file.into(), Interest::PRIORITY)
        }
        EventSource::OutOfMemory => {
            let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let control = OwnedFd::from(fs::File::open(group.join("memory.oom_control"))?);
            let request = sys::descriptor_numbers([&counter, &control]);
            fs::write(group.join("cgroup.event_control"), request)?;
            sys::watch_descriptor(counter, Interest::READABLE)
        }
    }
}

/// The events of a group.
#[derive(Debug)]
pub(super) struct GroupEvents(Vec<(EventSource, AsyncFd<OwnedFd>)>);

impl GroupEvents {
    /// Waits for the next event, and returns where it came from.
    pub(super) async fn next(&self) -> io::Result<EventSource> {
        let waits = self.0.iter().map(|(source, event)| {
            Box::pin(async move {
                let mut ready = event.ready(Interest::READABLE | Interest::PRIORITY).await?;
                // An event of a file is over once the file is read; a counter is emptied.
                let mut text = [0; 512];
                let _ = rustix::io::pread(event.get_ref(), &mut text, 0)
                    .or_else(|_| rustix::io::read(event.get_ref(), &mut text));
                ready.clear_ready();
                Ok(*source)
            })
        });
        if self.0.is_empty() {
            return pending().await;
        }
        select_all(waits).await.0
    }
}

#[cfg(test)]
mod tests;
