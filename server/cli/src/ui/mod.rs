//! The output for people: text, colours, the live view.

pub(crate) mod board;
pub(crate) mod live;
pub(crate) mod plain;
pub(crate) mod render;
pub(crate) mod text;

use std::io::{self, IsTerminal, Write};

use anstream::AutoStream;
use claudecluster_driver::display_text::json;
use claudecluster_protocol::ErrorBody;
use serde::Serialize;

use crate::cli::{ColorChoice, GlobalArgs};

/// Writes the results of a command.
pub(crate) struct Ui {
    out: AutoStream<io::Stdout>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// Whether stdout is a terminal.
    pub(crate) terminal: bool,
    /// Whether a live view is possible: stdout is a terminal that can move its cursor.
    pub(crate) live: bool,
}

impl Ui {
    pub(crate) fn new(global: &GlobalArgs) -> Self {
        let choice = match global.color {
            // Looks at NO_COLOR, CLICOLOR, TERM and whether it is a terminal.
            ColorChoice::Auto => AutoStream::choice(&io::stdout()),
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let terminal = io::stdout().is_terminal();
        Self {
            out: AutoStream::new(io::stdout(), choice),
            json: global.json,
            quiet: global.quiet,
            terminal,
            live: terminal && !dumb && !global.json && !global.quiet,
        }
    }

    /// Returns whether a person looks at the output and can answer questions, in another terminal or an editor.
    pub(crate) fn is_attended(&self) -> bool {
        self.terminal && !self.json && !self.quiet && io::stdin().is_terminal()
    }

    /// Returns whether the output has colours.
    pub(crate) fn colors(&self) -> bool {
        !matches!(self.out.current_choice(), anstream::ColorChoice::Never)
    }

    /// Writes one line of styled text. Without colours, the styles are dropped. What could control the terminal
    /// beside styles is escaped, whoever made the line.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", text::escape_all_but_styles(text.as_ref()))
    }

    /// Writes one value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = json::escape_hidden(&serde_json::to_string(value)?);
        line.push('\n');
        self.bytes(line.as_bytes())
    }

    /// Writes bytes that are not ours: unchanged for programs and files, and escaped like text on a terminal.
    pub(crate) fn foreign_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.terminal {
            let text = String::from_utf8_lossy(bytes);
            return self.bytes(text::escape_controls(&text).as_bytes());
        }
        self.bytes(bytes)
    }

    /// Writes bytes unchanged.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Writes text with cursor movements and styles.
    pub(crate) fn raw(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// Prints an error and its hint: one line on stderr, and with `json` also one line of JSON on
/// stdout.
pub(crate) fn print_error(error: &ErrorBody, json: bool) {
    #[derive(Serialize)]
    struct Wrapped<'a> {
        error: &'a ErrorBody,
    }
    if json && let Ok(line) = serde_json::to_string(&Wrapped { error }) {
        let line = json::escape_hidden(&line);
        let _ = writeln!(io::stdout(), "{line}");
    }
    let message = text::one_line(&error.message);
    let hint = match &error.hint {
        Some(hint) => format!(" ({})", text::one_line(hint)),
        None => String::new(),
    };
    // Where stderr is gone too there is nobody left to tell.
    let _ = writeln!(io::stderr(), "claudecluster: {message}{hint}");
}
