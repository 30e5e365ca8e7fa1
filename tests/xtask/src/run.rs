//! Running programs, with errors that name the command.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Errors are read by people and end the run, so text is all they need.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    // This crate lies two folders below it.
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}

/// Cargo's folder for what it builds.
pub(crate) fn target() -> Result<PathBuf> {
    // Cargo has put this program into a folder below it.
    let this = std::env::current_exe()?;
    let target = this.parent().and_then(Path::parent);
    Ok(target
        .ok_or("this program is not in cargo's target folder")?
        .to_path_buf())
}

/// The cargo that runs this program, started at the top of the repository.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// A program started at the top of the repository.
pub(crate) fn program(name: impl AsRef<Path>, args: &[&str]) -> Command {
    let mut command = Command::new(name.as_ref());
    command.args(args).current_dir(root());
    command
}

/// Runs a command, showing it and what it prints.
pub(crate) fn run(command: &mut Command) -> Result {
    let line = line_of(command);
    eprintln!("$ {line}");
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|e| cannot_start(&line, &e))?;
    if !status.success() {
        return Err(format!("`{line}` failed with {status}").into());
    }
    Ok(())
}

/// Runs a command without showing it and returns what it prints on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = line_of(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| cannot_start(&line, &e))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{line}` failed with {}:\n{why}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether a program is there and answers.
pub(crate) fn answers(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

fn cannot_start(line: &str, error: &io::Error) -> String {
    format!("`{line}` could not be started: {error}")
}
