//! Paints a block of lines at the bottom of the terminal, again and again.

use std::fmt::Write as _;
use std::io;

use crossterm::{
    Command,
    cursor::{Hide, MoveToColumn, MoveUp, Show},
    terminal::{self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate},
};

use super::{
    Ui,
    text::{DIM, StyledLine},
};

/// Returns the terminal's size in columns and rows.
pub(crate) fn terminal_size() -> (usize, usize) {
    match terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns.into(), rows.into()),
        _ => (80, 24),
    }
}

/// Holds the widths of the lines on the screen.
#[derive(Debug, Default)]
pub(crate) struct LiveView {
    /// The columns of each painted line.
    painted: Vec<usize>,
}

impl LiveView {
    /// Paints lines over the lines painted before.
    pub(crate) fn paint(&mut self, ui: &mut Ui, lines: Vec<StyledLine>) -> io::Result<()> {
        let (columns, rows) = terminal_size();
        let lines = fit_rows(lines, rows.saturating_sub(1).max(1));
        let text = self.frame(&lines, columns);
        ui.raw(&text)
    }

    /// Leaves the painted lines on the screen and shows the cursor again.
    pub(crate) fn end(&mut self, ui: &mut Ui) -> io::Result<()> {
        self.painted.clear();
        let mut text = String::new();
        write_command(&mut text, Show);
        ui.raw(&text)
    }

    /// Returns the bytes that replace the last frame by this one, on a terminal of `columns`.
    fn frame(&mut self, lines: &[StyledLine], columns: usize) -> String {
        let mut text = String::new();
        write_command(&mut text, BeginSynchronizedUpdate);
        write_command(&mut text, Hide);
        // A terminal that became narrower has broken the old lines, so they take more rows.
        let rows: usize = self
            .painted
            .iter()
            .map(|width| width.div_ceil(columns.max(1)).max(1))
            .sum();
        write_command(&mut text, MoveToColumn(0));
        if rows > 0 {
            write_command(&mut text, MoveUp(u16::try_from(rows).unwrap_or(u16::MAX)));
        }
        write_command(&mut text, Clear(ClearType::FromCursorDown));
        self.painted.clear();
        for line in lines {
            self.painted.push(line.width());
            let _ = writeln!(text, "{}", line.styled());
        }
        write_command(&mut text, EndSynchronizedUpdate);
        text
    }
}

fn write_command(text: &mut String, command: impl Command) {
    // Writing to a string does not fail.
    let _ = command.write_ansi(text);
}

/// Shortens a block to `rows` lines: the first lines, and the number of the hidden ones.
fn fit_rows(mut lines: Vec<StyledLine>, rows: usize) -> Vec<StyledLine> {
    if lines.len() > rows {
        let hidden = lines.len() + 1 - rows;
        lines.truncate(rows - 1);
        lines.push(StyledLine::new().add(DIM, format!("   … {hidden} more")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::text::PLAIN;

    fn lines(count: usize, width: usize) -> Vec<StyledLine> {
        (0..count)
            .map(|_| StyledLine::new().add(PLAIN, "x".repeat(width)))
            .collect()
    }

    #[test]
    fn a_frame_covers_the_last_one_after_a_resize() {
        let mut live = LiveView::default();
        assert!(!live.frame(&lines(3, 60), 80).contains("\x1b[3A"));
        assert!(live.frame(&lines(3, 60), 80).contains("\x1b[3A"));
        // Each of the three lines takes two rows now.
        assert!(live.frame(&lines(2, 30), 40).contains("\x1b[6A"));
    }

    #[test]
    fn a_low_terminal_shows_the_first_lines() {
        let shown = fit_rows(lines(10, 1), 4);
        assert_eq!(shown.len(), 4);
        assert_eq!(shown[3].plain(), "   … 7 more");
    }
}
