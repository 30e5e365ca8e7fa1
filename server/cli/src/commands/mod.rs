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
    cli::{CliArgs, CliCommand, DaemonAction, GlobalArgs},
    client::DaemonClient,
    exit::{CommandExit, CommandResult},
    home::Home,
    ui::Ui,
    workspace,
};

/// What every command works with.
pub(crate) struct CommandContext {
    pub(crate) global: GlobalArgs,
    pub(crate) ui: Ui,
}

impl CommandContext {
    pub(crate) fn client(&self) -> Result<DaemonClient, ErrorBody> {
        Ok(DaemonClient::new(Home::find()?))
    }

    /// The workspace the command is about.
    pub(crate) fn workspace(&self) -> Result<PathBuf, ErrorBody> {
        workspace::find(self.global.workspace.as_deref())
    }
}

/// Which runtime a command needs.
pub(crate) enum RuntimeKind {
    /// A client, or less: one thread.
    Client,
    /// A daemon: several.
    Daemon,
}

pub(crate) fn runtime(command: &CliCommand) -> RuntimeKind {
    match command {
        CliCommand::Demo(_)
        | CliCommand::Daemon {
            action: DaemonAction::Run { .. },
        } => RuntimeKind::Daemon,
        _ => RuntimeKind::Client,
    }
}

/// Runs a command.
pub(crate) async fn run(cli: CliArgs) -> CommandResult<CommandExit> {
    let cx = &mut CommandContext {
        global: cli.global.clone(),
        ui: Ui::new(&cli.global),
    };
    match cli.command {
        CliCommand::Lsp(args) => lsp::run(cx, &args).await,
        CliCommand::Run(args) => run::run(cx, *args).await,
        CliCommand::Goals => goals::run(cx).await,
        CliCommand::Show(args) => show::run(cx, &args.goal).await,
        CliCommand::Watch(args) => watch::run(cx, args.goal).await,
        CliCommand::Logs(args) => logs::run(cx, args).await,
        CliCommand::Diff(args) => diff::run(cx, args).await,
        CliCommand::Accept(args) => decide::accept(cx, args).await,
        CliCommand::Reject(args) => decide::reject(cx, args).await,
        CliCommand::Undo(args) => decide::undo(cx, args).await,
        CliCommand::Redo(args) => decide::redo(cx, args).await,
        CliCommand::Resolve(args) => resolve::run(cx, args).await,
        CliCommand::Cancel(args) => steer::cancel(cx, args.goal).await,
        CliCommand::Retry(args) => steer::retry(cx, args).await,
        CliCommand::Approve(args) => steer::approve(cx, args).await,
        CliCommand::Permissions => permissions::list(cx).await,
        CliCommand::Allow(args) => permissions::allow(cx, args).await,
        CliCommand::Deny(args) => permissions::deny(cx, args).await,
        CliCommand::Plan(args) => plan::run(cx, args).await,
        CliCommand::Artifacts(args) => artifacts::run(cx, args).await,
        CliCommand::Daemon { action } => daemon::run(cx, action).await,
        CliCommand::Doctor => doctor::run(cx).await,
        CliCommand::Demo(args) => demo::run(cx, args).await,
        CliCommand::Config { action } => config::run(cx, &action),
        CliCommand::Completions { shell } => completions::run(cx, shell),
    }
}
