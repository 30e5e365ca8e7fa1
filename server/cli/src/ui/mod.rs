//! The output for people: text, colours, the live view.

pub(crate) mod board;
pub(crate) mod live;
pub(crate) mod plain;
pub(crate) mod render;
pub(crate) mod text;

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
};

use anstream::AutoStream;
use claudecluster_driver::{display_text::json, secrets::SecretMask};
use claudecluster_protocol::ErrorBody;
use serde::Serialize;
use serde_json::Value;

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
    /// beside styles is escaped, whoever made the line, and what looks like a secret is masked.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.exact_line(mask_secrets(text.as_ref()))
    }

    /// Writes one line of a change. Nothing is masked: whoever accepts a change has to see what it is.
    pub(crate) fn exact_line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", text::escape_all_but_styles(text.as_ref()))
    }

    /// Writes one value as one line of JSON. What looks like a secret in its texts is masked.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.exact_json(&masked_value(value)?)
    }

    /// Writes one value with changes as one line of JSON. Nothing is masked.
    pub(crate) fn exact_json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = json::escape_hidden(&serde_json::to_string(value)?);
        line.push('\n');
        self.bytes(line.as_bytes())
    }

    /// Writes what a session has said: escaped like text on a terminal, and as it is for programs and files, but for
    /// what looks like a secret.
    pub(crate) fn foreign_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = SecretMask::default().mask_bytes(bytes);
        if self.terminal {
            let text = String::from_utf8_lossy(&bytes);
            return self.bytes(text::escape_controls(&text).as_bytes());
        }
        self.bytes(&bytes)
    }

    /// Writes a document that can be edited: as it is for programs and files, masked for people.
    pub(crate) fn document(&mut self, text: &str) -> io::Result<()> {
        if self.terminal {
            return self.bytes(mask_secrets(text).as_bytes());
        }
        self.bytes(text.as_bytes())
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

/// Masks what looks like a secret in a text for people.
pub(crate) fn mask_secrets(text: &str) -> Cow<'_, str> {
    SecretMask::default().mask(text)
}

/// Returns a value with its texts masked.
fn masked_value(value: &impl Serialize) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(value)?;
    let mut open = vec![&mut value];
    while let Some(next) = open.pop() {
        match next {
            Value::String(text) => {
                if let Cow::Owned(masked) = mask_secrets(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => open.extend(items),
            Value::Object(members) => open.extend(members.values_mut()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    Ok(value)
}

/// Prints an error and its hint: one line on stderr, and with `json` also one line of JSON on
/// stdout.
pub(crate) fn print_error(error: &ErrorBody, json: bool) {
    #[derive(Serialize)]
    struct Wrapped<'a> {
        error: &'a ErrorBody,
    }
    let masked = masked_value(&Wrapped { error }).and_then(|value| serde_json::to_string(&value));
    if json && let Ok(line) = masked {
        let line = json::escape_hidden(&line);
        let _ = writeln!(io::stdout(), "{line}");
    }
    let message = text::one_line(&mask_secrets(&error.message));
    let hint = match &error.hint {
        Some(hint) => format!(" ({})", text::one_line(&mask_secrets(hint))),
        None => String::new(),
    };
    // Where stderr is gone too there is nobody left to tell.
    let _ = writeln!(io::stderr(), "claudecluster: {message}{hint}");
}
