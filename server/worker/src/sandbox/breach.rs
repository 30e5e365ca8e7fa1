//! Limits of a task that were exceeded.

use std::fmt;

/// A limit of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LimitKind {
    /// Processes and threads.
    Processes,
    /// Bytes of memory.
    Memory,
    /// Open files.
    OpenFiles,
    /// Bytes of disk space.
    Disk,
}

impl LimitKind {
    /// The setting's name.
    fn setting(self) -> &'static str {
        match self {
            Self::Processes => "limits.processes",
            Self::Memory => "limits.memoryBytes",
            Self::OpenFiles => "limits.openFiles",
            Self::Disk => "limits.diskBytes",
        }
    }

    fn counts_bytes(self) -> bool {
        matches!(self, Self::Memory | Self::Disk)
    }
}

/// A limit that a task has exceeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitBreach {
    pub(super) limit: LimitKind,
    pub(super) most: u64,
}

impl fmt::Display for LimitBreach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limit, most) = (self.limit, self.most);
        let setting = limit.setting();
        let shown = if limit.counts_bytes() {
            size_text(most)
        } else {
            most.to_string()
        };
        let more = most.saturating_mul(2);
        write!(
            f,
            "the task used more than {setting} ({shown}); if it needs more, run: \
             claudecluster config set {setting} {more} && claudecluster daemon stop"
        )
    }
}

/// A number of bytes for people.
pub(super) fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut tenths, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    match tenths {
        0 => format!("{whole} {}", UNITS[unit]),
        _ => format!("{whole}.{tenths} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_names_the_setting_and_the_command() {
        let check = |limit, most, expected: &str| {
            let said = LimitBreach { limit, most }.to_string();
            assert_eq!(said, expected);
        };
        check(
            LimitKind::Memory,
            4 << 30,
            "the task used more than limits.memoryBytes (4 GiB); if it needs more, run: \
             claudecluster config set limits.memoryBytes 8589934592 && claudecluster daemon stop",
        );
        check(
            LimitKind::Processes,
            4096,
            "the task used more than limits.processes (4096); if it needs more, run: \
             claudecluster config set limits.processes 8192 && claudecluster daemon stop",
        );
    }

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (64 << 30, "64 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }
}
