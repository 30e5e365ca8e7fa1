//! The commands, a file each.

mod artifacts;
mod completions;
mod config;
mod conflicts;
mod daemon;
mod decide;
mod demo;
mod diff;
mod doctor;
mod editor;
mod goals;
mod logs;
mod lsp;
mod permissions;
mod plan;
mod resolve;
mod run;
mod selection;
mod show;
mod steer;
mod summary;
mod watch;

use std::path::PathBuf;

use claudecluster_protocol::ErrorBody;

use crate::{
    cli::{Cli, Command, DaemonAction, Global},
    client::Client,
    failure::{Exit, Outcome},
    home::Home,
    ui::Ui,
    workspace,
};

/// What every command works with.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) ui: Ui,
}

impl Context {
    pub(crate) fn client(&self) -> Result<Client, ErrorBody> {
        Ok(Client::new(Home::find()?))
    }

    /// The workspace the command is about.
    pub(crate) fn workspace(&self) -> Result<PathBuf, ErrorBody> {
        workspace::find(self.global.workspace.as_deref())
    }
}

/// Which runtime a command needs.
pub(crate) enum Runtime {
    /// A client, or less: one thread.
    Client,
    /// A daemon: several.
    Daemon,
}

pub(crate) fn runtime(command: &Command) -> Runtime {
    match command {
        Command::Demo(_)
        | Command::Daemon {
            action: DaemonAction::Run { .. },
        } => Runtime::Daemon,
        _ => Runtime::Client,
    }
}

/// Runs a command.
pub(crate) async fn run(cli: Cli) -> Outcome<Exit> {
    let cx = &mut Context {
        global: cli.global.clone(),
        ui: Ui::new(&cli.global),
    };
    match cli.command {
        Command::Lsp(args) => lsp::run(cx, &args).await,
        Command::Run(args) => run::run(cx, *args).await,
        Command::Goals => goals::run(cx).await,
        Command::Show(args) => show::run(cx, &args.goal).await,
        Command::Watch(args) => watch::run(cx, args.goal).await,
        Command::Logs(args) => logs::run(cx, args).await,
        Command::Diff(args) => diff::run(cx, args).await,
        Command::Accept(args) => decide::accept(cx, args).await,
        Command::Reject(args) => decide::reject(cx, args).await,
        Command::Undo(args) => decide::undo(cx, args).await,
        Command::Redo(args) => decide::redo(cx, args).await,
        Command::Resolve(args) => resolve::run(cx, args).await,
        Command::Cancel(args) => steer::cancel(cx, args.goal).await,
        Command::Retry(args) => steer::retry(cx, args).await,
        Command::Approve(args) => steer::approve(cx, args).await,
        Command::Permissions => permissions::list(cx).await,
        Command::Allow(args) => permissions::allow(cx, args).await,
        Command::Deny(args) => permissions::deny(cx, args).await,
        Command::Plan(args) => plan::run(cx, args).await,
        Command::Artifacts(args) => artifacts::run(cx, args).await,
        Command::Daemon { action } => daemon::run(cx, action).await,
        Command::Doctor => doctor::run(cx).await,
        Command::Demo(args) => demo::run(cx, args).await,
        Command::Config { action } => config::run(cx, &action),
        Command::Completions { shell } => completions::run(cx, shell),
    }
}
