//! Makes text safe to print and fits it into lines.
//!
//! Agents' words and file names are input: they must not control the terminal.

use anstyle::{AnsiColor, Style};
use claudecluster_driver::secrets::SecretMask;
use claudecluster_protocol::{
    Span, StopReason, Timestamp,
    network::HostTraffic,
    permission::PermissionRequest,
    repair::{RepairCause, RepairSpec},
};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const RED: Style = AnsiColor::Red.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();
pub(crate) const BLUE: Style = AnsiColor::Blue.on_default();

pub(crate) use claudecluster_driver::display_text::terminal::{
    escape_all_but_styles, escape_controls,
};

/// Escapes a text like [`escape_controls`] and joins its lines.
pub(crate) fn one_line(text: &str) -> String {
    escape_controls(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Quotes a word for a shell if necessary, so that the user can copy a command that contains it.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", escape_controls(word).replace('\'', r"'\''"))
}

/// Holds a piece of a line in one style.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StyledPiece {
    pub(crate) style: Style,
    pub(crate) text: String,
}

/// Holds the styled pieces of a line, and measures their width.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct StyledLine(pub(crate) Vec<StyledPiece>);

impl StyledLine {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds text, escaped and without line ends. What looks like a secret is masked.
    #[must_use]
    pub(crate) fn add(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.push(style, text);
        self
    }

    pub(crate) fn push(&mut self, style: Style, text: impl AsRef<str>) {
        self.push_exact(style, SecretMask::default().mask(text.as_ref()));
    }

    /// Adds text of a change, in which nothing is masked.
    #[must_use]
    pub(crate) fn add_exact(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.push_exact(style, text);
        self
    }

    fn push_exact(&mut self, style: Style, text: impl AsRef<str>) {
        let text = escape_controls(text.as_ref()).replace(['\n', '\t'], " ");
        if !text.is_empty() {
            self.0.push(StyledPiece { style, text });
        }
    }

    /// Returns the width in columns.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|piece| piece.text.width()).sum()
    }

    /// Shortens the line to `width` columns, with an ellipsis if text was cut off.
    #[must_use]
    pub(crate) fn fit(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1);
        let mut cut = StyledLine::new();
        for piece in self.0 {
            let mut text = String::new();
            for c in piece.text.chars() {
                let columns = c.width().unwrap_or(0);
                if columns > left {
                    left = 0;
                    break;
                }
                left -= columns;
                text.push(c);
            }
            cut.push(piece.style, text);
            if left == 0 {
                break;
            }
        }
        if width > 0 {
            cut.push(DIM, "…");
        }
        cut
    }

    /// Returns the line without styles.
    #[cfg(test)]
    pub(crate) fn plain(&self) -> String {
        self.0.iter().map(|piece| piece.text.as_str()).collect()
    }

    /// Returns the line with styles.
    pub(crate) fn styled(&self) -> String {
        let mut out = String::new();
        for StyledPiece { style, text } in &self.0 {
            out.push_str(&format!("{style}{text}{style:#}"));
        }
        out
    }
}

/// Formats a duration: `0.4s`, `12s`, `3m 05s`, `2h 10m`.
pub(crate) fn duration_text(span: Span) -> String {
    let secs = span.0 / 1000;
    match secs {
        0..10 => format!("{}.{}s", secs, span.0 % 1000 / 100),
        10..60 => format!("{secs}s"),
        60..3600 => format!("{}m {:02}s", secs / 60, secs % 60),
        _ => format!("{}h {:02}m", secs / 3600, secs % 3600 / 60),
    }
}

/// Formats the time since a moment: `12s ago`, `5m ago`, `3h ago`, `2d ago`.
pub(crate) fn time_since(then: Timestamp, now: Timestamp) -> String {
    let secs = now.span_since(then).0 / 1000;
    match secs {
        0..60 => format!("{secs}s ago"),
        60..3600 => format!("{}m ago", secs / 60),
        3600..86400 => format!("{}h ago", secs / 3600),
        _ => format!("{}d ago", secs / 86400),
    }
}

/// Formats a size in bytes for people.
pub(crate) fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// The hosts that one line names. The rest is a number.
const HOSTS_SHOWN: usize = 8;

/// Names hosts of the network with what passed: `example.org:443 (1.2 KiB up, 3.4 MiB down)`.
pub(crate) fn hosts_text(hosts: &[HostTraffic], more: u64) -> String {
    let one = |host: &HostTraffic| {
        let address = one_line(&host.address());
        let passed = format!(
            "{} up, {} down",
            size_text(host.sent),
            size_text(host.received)
        );
        match (host.allowed, host.denied) {
            (0, _) => format!("{address} (denied)"),
            (_, 0) => format!("{address} ({passed})"),
            (_, denied) => format!("{address} ({passed}; {denied} denied)"),
        }
    };
    let mut named: Vec<String> = hosts.iter().take(HOSTS_SHOWN).map(one).collect();
    let rest = hosts.len().saturating_sub(HOSTS_SHOWN) as u64 + more;
    if rest > 0 {
        named.push(format!("and {rest} more"));
    }
    named.join(", ")
}

/// Formats a number with its noun: `1 file`, `2 files`.
pub(crate) fn counted(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// Describes in a few words why an attempt stopped.
pub(crate) fn stop_reason_text(reason: StopReason) -> &'static str {
    match reason {
        StopReason::SpawnFailed => "could not start",
        StopReason::Crashed => "crashed",
        StopReason::StartTimeout => "did not start in time",
        StopReason::Silent => "no output",
        StopReason::Timeout => "timed out",
        StopReason::BrokenStream => "output ended early",
        StopReason::Overloaded => "provider overloaded",
        StopReason::Auth => "key rejected",
        StopReason::Budget => "cost limit reached",
        StopReason::TurnLimit => "turn limit reached",
        StopReason::Refused => "declined",
        StopReason::ExitStatus => "exited with an error",
        StopReason::PermissionDenied => "permission denied",
        StopReason::GateFailed => "gate failed",
        StopReason::InvalidAnswer => "unusable answer",
        StopReason::ChangesRefused => "changes rejected",
        StopReason::DaemonRestart => "daemon restarted",
        StopReason::DaemonCrash => "daemon ended unexpectedly",
        StopReason::Cancelled => "cancelled",
        StopReason::Resources => "out of resources",
        StopReason::ResourceLimit => "over a limit",
    }
}

/// Describes a repair in a few words: its tasks, files and cause.
pub(crate) fn repair_text(repair: &RepairSpec) -> String {
    let of: Vec<&str> = repair.of.iter().map(AsRef::as_ref).collect();
    let of = of.join(", ");
    let files: Vec<String> = repair.files.iter().map(|path| path.display()).collect();
    let why = match repair.cause {
        RepairCause::TaskConflict => "conflicting changes",
        RepairCause::Rejected => "rejected",
        RepairCause::Conflict => "conflict with your text",
    };
    let reason = match &repair.reason {
        Some(reason) => format!(": {}", one_line(reason)),
        None => String::new(),
    };
    format!("repairs {of} in {} ({why}{reason})", files.join(" "))
}

/// Describes a permission request and the commands that answer it. The commands come first, so that
/// the end of a long line does not lose them.
pub(crate) fn permission_line(request: &PermissionRequest) -> StyledLine {
    let id = &request.id;
    // Two lines are not one: a command must not look like another.
    let detail = request.detail.replace('\n', " ⏎ ");
    StyledLine::new()
        .add(
            YELLOW,
            format!("? {} for permission", waiting_tasks(request)),
        )
        .add(DIM, format!(" (claudecluster allow {id} or deny {id}): "))
        .add(PLAIN, one_line(&format!("{} {detail}", request.tool)))
}

fn waiting_tasks(request: &PermissionRequest) -> String {
    let tasks: Vec<&str> = request.task_ids.iter().map(AsRef::as_ref).collect();
    match tasks.as_slice() {
        [] => "the planner is waiting".to_owned(),
        [task] => format!("{task} is waiting"),
        tasks => format!("{} are waiting", tasks.join(", ")),
    }
}

/// Returns the current time.
pub(crate) fn current_time() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{BlobId, GoalId, PermissionId, TaskId};

    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(
            escape_controls("a\x1b[31mb\u{202e}c\n"),
            "a\\u{1b}[31mb\\u{202e}c\n"
        );
        assert_eq!(one_line(" a\n b\t"), "a b");
    }

    #[test]
    fn a_permission_is_shown_with_its_answer() {
        let check = |tasks: &[&str], who: &str| {
            let request = PermissionRequest {
                id: PermissionId::new("p3"),
                goal_id: GoalId::new("g1"),
                task_ids: tasks.iter().map(|&id| TaskId::new(id)).collect(),
                tool: "Bash".into(),
                detail: "ls\nrm \x1b[2Jx".into(),
                kind: None,
                input: BlobId::new("b"),
                asked_at: Timestamp(0),
            };
            let rest = "(claudecluster allow p3 or deny p3): Bash ls ⏎ rm \\u{1b}[2Jx";
            let expected = format!("? {who} for permission {rest}");
            assert_eq!(permission_line(&request).plain(), expected);
        };
        check(&[], "the planner is waiting");
        check(&["a"], "a is waiting");
        check(&["a", "b"], "a, b are waiting");
    }

    #[test]
    fn lines_fit() {
        let line = |text: &str, width| StyledLine::new().add(PLAIN, text).fit(width).plain();
        assert_eq!(line("hello", 5), "hello");
        assert_eq!(line("hello!", 5), "hell…");
        // A wide character that would be cut in half goes.
        assert_eq!(line("日本語", 4), "日…");
        assert_eq!(line("hello", 0), "");
    }

    #[test]
    fn lengths_of_time_are_short() {
        for (ms, shown) in [
            (400, "0.4s"),
            (12_300, "12s"),
            (185_000, "3m 05s"),
            (7_800_000, "2h 10m"),
        ] {
            assert_eq!(duration_text(Span(ms)), shown);
        }
    }
}
