//! The hierarchies of groups that this machine has, and the files by which each sets limits.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::EventSource;
use crate::sandbox::{breach::LimitKind, mount_table::unescape_path};

/// A set of limits that one hierarchy has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Controller {
    /// Memory and processes in the one hierarchy of version 2.
    Unified,
    /// Memory in version 1.
    Memory,
    /// Processes in version 1.
    Processes,
}

impl Controller {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unified => "cgroup v2",
            Self::Memory => "cgroup v1 memory",
            Self::Processes => "cgroup v1 pids",
        }
    }

    pub(super) fn has_memory(self) -> bool {
        self != Self::Processes
    }

    pub(super) fn has_processes(self) -> bool {
        self != Self::Memory
    }

    /// Whether this one makes `other` needless.
    pub(super) fn covers(self, other: Self) -> bool {
        self == Self::Unified || self == other
    }

    /// Returns the file by which a process with one thread enters a group itself.
    ///
    /// In version 1 a thread moves alone, for which the kernel waits for nobody. A process as a whole waits until all
    /// processors have taken note, some 15 ms after a while without any.
    pub(super) fn entrance(self) -> &'static str {
        match self {
            Self::Unified => super::PROCESSES,
            Self::Memory | Self::Processes => "tasks",
        }
    }

    /// Lets groups below `parent` have limits.
    pub(super) fn prepare_parent(self, parent: &Path) -> io::Result<()> {
        match self {
            Self::Unified => fs::write(parent.join(SUBTREE), "+memory +pids"),
            Self::Memory | Self::Processes => Ok(()),
        }
    }

    /// Sets the limits of a group.
    pub(super) fn set_limits(self, group: &Path, memory: u64, processes: u64) -> io::Result<()> {
        let set = |name: &str, value: &str| fs::write(group.join(name), value);
        let (memory, processes) = (memory.to_string(), processes.to_string());
        match self {
            Self::Unified => {
                set("memory.max", &memory)?;
                // Where there is swap, what goes there counts too. One program that is ended brings down the others.
                let _ = set("memory.swap.max", "0");
                let _ = set("memory.oom.group", "1");
                set("pids.max", &processes)
            }
            Self::Memory => {
                set("memory.limit_in_bytes", &memory)?;
                // What is swapped out would not count. The counter of memory with swap hides which limit was reached.
                let _ = set("memory.swappiness", "0");
                Ok(())
            }
            Self::Processes => set("pids.max", &processes),
        }
    }

    /// Returns where the kernel says that a limit was reached.
    pub(super) fn events(self) -> &'static [EventSource] {
        match self {
            Self::Unified => &[
                EventSource::File("memory.events"),
                EventSource::File("pids.events"),
            ],
            Self::Memory => &[EventSource::OutOfMemory],
            // There is no event on every kernel: the daemon looks whenever it measures.
            Self::Processes => &[],
        }
    }

    /// Returns whether the group has come to its limit of memory, which alone is no harm: files are forgotten then.
    pub(super) fn reached_memory(self, group: &Path) -> bool {
        let reached = fs::read_to_string(group.join("memory.failcnt"));
        self == Self::Memory && reached.is_ok_and(|count| count.trim() != "0")
    }

    /// Returns the limit of a group that has been exceeded.
    pub(super) fn exceeded(self, group: &Path) -> Option<LimitKind> {
        let count = |name: &str, key: &str| {
            let text = fs::read_to_string(group.join(name)).unwrap_or_default();
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            let found = lines.find(|(name, _)| *name == key);
            found
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or(0u64)
        };
        let memory = match self {
            Self::Unified => count("memory.events", "oom") > 0,
            // A program may also be ended because the machine, or a group above, is out of memory.
            Self::Memory => {
                count("memory.oom_control", "oom_kill") > 0 && self.reached_memory(group)
            }
            Self::Processes => false,
        };
        if memory {
            return Some(LimitKind::Memory);
        }
        (self.has_processes() && count("pids.events", "max") > 0).then_some(LimitKind::Processes)
    }
}

/// Lists what the groups below one limit.
const SUBTREE: &str = "cgroup.subtree_control";

/// Where this process is in a hierarchy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GroupPlace {
    pub(super) controller: Controller,
    /// The top of the hierarchy, as far as it is visible.
    pub(super) top: PathBuf,
    /// The group of this process.
    pub(super) own: PathBuf,
}

impl GroupPlace {
    /// Finds the group below which a daemon may make its own.
    ///
    /// In version 2 a group with processes has no groups with limits below it. So it is the nearest group above that
    /// has handed the limits down, which needs the right to move processes within it.
    pub(super) fn base(&self) -> io::Result<PathBuf> {
        if self.controller != Controller::Unified {
            return Ok(self.own.clone());
        }
        let hands_down = |group: &&Path| {
            let text = fs::read_to_string(group.join(SUBTREE)).unwrap_or_default();
            let mut names = ["memory", "pids"].into_iter();
            names.all(|name| text.split_whitespace().any(|word| word == name))
        };
        let mut above = self.own.ancestors();
        let base = above
            .by_ref()
            .take_while(|group| group.starts_with(&self.top))
            .find(hands_down)
            .ok_or_else(|| io::Error::other("no group above hands memory and pids down"))?;
        access(base.join(super::PROCESSES), Access::WRITE_OK)?;
        Ok(base.to_owned())
    }
}

/// Finds the hierarchies with limits, the newer version first, in the kernel's table of mounts and its list of the
/// groups of this process.
pub(super) fn find_places(mounts: &str, groups: &str) -> Vec<GroupPlace> {
    let mut places = Vec::new();
    for (controller, kind, option, name) in [
        (Controller::Unified, "cgroup2", "", ""),
        (Controller::Memory, "cgroup", "memory", "memory"),
        (Controller::Processes, "cgroup", "pids", "pids"),
    ] {
        let Some((root, top)) = mounts.lines().find_map(|line| mount_of(line, kind, option)) else {
            continue;
        };
        let path = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (names, path) = (parts.next()?, parts.next()?);
            names.split(',').any(|given| given == name).then_some(path)
        });
        // A group outside of what is mounted here cannot be reached.
        let below = path.and_then(|path| Path::new(path).strip_prefix(&root).ok());
        if let Some(below) = below {
            places.push(GroupPlace {
                controller,
                own: top.join(below).components().collect(),
                top,
            });
        }
    }
    places
}

/// Returns the root and the mount point of a mount of this kind that has an option.
fn mount_of(line: &str, kind: &str, option: &str) -> Option<(PathBuf, PathBuf)> {
    let (place, system) = line.split_once(" - ")?;
    let (mut place, mut system) = (place.split(' ').skip(3), system.split(' '));
    let options = (system.next()? == kind).then(|| system.nth(1))??;
    if !option.is_empty() && !options.split(',').any(|given| given == option) {
        return None;
    }
    let mut path = || Some(unescape_path(place.next()?.as_bytes()));
    Some((path()?, path()?))
}
