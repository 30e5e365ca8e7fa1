//! What the tool prints, and the errors that end it.

use std::error::Error;

/// Errors are read by people and end the run, so text is all they need.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Prints a line about progress.
#[expect(clippy::print_stderr, reason = "this is a command-line tool")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// Prints a result.
#[expect(clippy::print_stdout, reason = "this is a command-line tool")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}
