//! Programs, and what the system says about running ones.

use std::{collections::BTreeMap, fs, process::Command};

use crate::output::Result;

/// What a program that must succeed prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .map_err(|error| format!("cannot start {:?}: {error}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    Err(format!("{command:?} ended with {status}:\n{text}{errors}").into())
}

/// Waits until the disk has taken everything written so far, so that what one side leaves behind does
/// not slow the other side down.
pub(crate) fn settle() -> Result {
    output(&mut Command::new("sync")).map(|_| ())
}

/// A running process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    parent: u32,
    pub(crate) argv: Vec<String>,
}

impl Process {
    /// Memory in use, shared pages included, in megabytes.
    pub(crate) fn rss(&self) -> Result<f64> {
        self.kilobytes("status", "VmRSS:")
    }

    /// Memory in use, of shared pages only its share, in megabytes.
    pub(crate) fn pss(&self) -> Result<f64> {
        self.kilobytes("smaps_rollup", "Pss:")
    }

    fn kilobytes(&self, file: &str, key: &str) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.pid))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next());
        let number = number.ok_or_else(|| format!("/proc/{}/{file} has no {key}", self.pid))?;
        Ok(number.parse::<f64>()? / 1024.0)
    }

    /// Whether it is, as opposed to carries as arguments, this subcommand of ours.
    pub(crate) fn is(&self, subcommand: &str) -> bool {
        self.argv.get(1).is_some_and(|arg| arg == subcommand)
    }
}

/// All processes that `pid` started, and those that they started.
pub(crate) fn descendants(pid: u32) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<Process>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(process) = entry.file_name().to_str().and_then(read) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut found = children.remove(&pid).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = found.get(next) {
        let more = children.remove(&process.pid).unwrap_or_default();
        found.extend(more);
        next += 1;
    }
    found
}

/// A process by itself; `None` where it has ended meanwhile.
pub(crate) fn read(pid: &str) -> Option<Process> {
    let pid: u32 = pid.parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name stands in parentheses and may hold anything.
    let (_, after) = stat.rsplit_once(')')?;
    let parent = after.split_whitespace().nth(1)?.parse().ok()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let argv = String::from_utf8_lossy(&line)
        .split_terminator('\0')
        .map(str::to_owned)
        .collect();
    Some(Process { pid, parent, argv })
}
