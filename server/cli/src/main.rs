//! The `claudecluster` program: its commands, the daemon, and the pipe between an editor and the
//! daemon.
//!
//! Architecture invariant: commands reach the daemon by its socket only. `daemon` is the one module
//! that holds a driver. `demo` starts such a daemon inside its own process, and also talks to it
//! over the socket.

mod cli;
mod client;
mod commands;
mod config;
mod daemon;
mod driver_setup;
mod exit;
mod folder_registry;
mod home;
mod lsp_proxy;
mod plan_file;
mod ui;
mod watch;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use claudecluster_protocol::ErrorBody;

use cli::CliArgs;
use commands::RuntimeKind;
use exit::{CommandExit, CommandFailure, CommandResult};

fn main() -> ExitCode {
    if let Some(status) = driver_setup::run_hidden_command(std::env::args_os()) {
        return driver_setup::process_exit_code(status);
    }
    let cli = match CliArgs::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report_usage(&error),
    };
    let json = cli.global.json;
    let exit = match run_command(cli) {
        Ok(exit) => exit,
        Err(CommandFailure::Unread) => CommandExit::Done,
        Err(CommandFailure::Error(error)) => {
            ui::print_error(&error, json);
            exit::exit_of_error(&error)
        }
    };
    ExitCode::from(exit as u8)
}

/// Runs a command on the runtime that the command needs.
fn run_command(cli: CliArgs) -> CommandResult<CommandExit> {
    let mut builder = match commands::runtime_kind(&cli.command) {
        RuntimeKind::Client => tokio::runtime::Builder::new_current_thread(),
        RuntimeKind::Daemon => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let cpus = std::thread::available_parallelism().map_or(2, usize::from);
            builder.worker_threads(cpus.clamp(2, 4));
            builder
        }
    };
    let runtime = builder.enable_all().build().map_err(|e| {
        ErrorBody::environment(format!("cannot start the runtime: {e}"))
            .with_hint("check the limits on open files and processes (ulimit -a)")
    })?;
    let exit = runtime.block_on(commands::run_command(cli));
    // A thread may be blocked reading stdin for ever; the process ends without it.
    runtime.shutdown_background();
    exit
}

/// Prints the output of clap: help and version on stdout, mistakes on stderr.
fn report_usage(error: &clap::Error) -> ExitCode {
    let asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let json = std::env::args_os()
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json");
    if json && !asked_for {
        let text = error.to_string();
        // The first paragraph: the lines after the first one name what is missing.
        let lines = text.lines().map(str::trim);
        let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let message = lines.join(" ");
        let message = message
            .strip_prefix("error: ")
            .unwrap_or(&message)
            .to_owned();
        ui::print_error(
            &ErrorBody::user(message)
                .with_hint("list commands and options with: claudecluster --help"),
            true,
        );
    } else {
        // Where nobody reads it there is nobody to tell.
        let _ = error.print();
    }
    ExitCode::from(if asked_for {
        CommandExit::Done
    } else {
        CommandExit::Usage
    } as u8)
}
