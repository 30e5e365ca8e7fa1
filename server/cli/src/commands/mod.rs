//! Runs the commands. Each has a file of its own.

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

/// Holds the options and the output that every command shares.
pub(crate) struct CommandContext {
    pub(crate) global: GlobalArgs,
    pub(crate) ui: Ui,
}

impl CommandContext {
    pub(crate) fn client(&self) -> Result<DaemonClient, ErrorBody> {
        Ok(DaemonClient::new(Home::find()?))
    }

    /// Returns the workspace of the command.
    pub(crate) fn workspace(&self) -> Result<PathBuf, ErrorBody> {
        workspace::find_workspace(self.global.workspace.as_deref())
    }
}

/// Names the runtime that a command needs.
pub(crate) enum RuntimeKind {
    /// One thread, for a client or less.
    Client,
    /// Several threads, for a daemon.
    Daemon,
}

pub(crate) fn runtime_kind(command: &CliCommand) -> RuntimeKind {
    match command {
        CliCommand::Demo(_)
        | CliCommand::Daemon {
            action: DaemonAction::Run { .. },
        } => RuntimeKind::Daemon,
        _ => RuntimeKind::Client,
    }
}

/// Runs a command.
pub(crate) async fn run_command(cli: CliArgs) -> CommandResult<CommandExit> {
    let cx = &mut CommandContext {
        global: cli.global.clone(),
        ui: Ui::new(&cli.global),
    };
    match cli.command {
        CliCommand::Lsp(args) => lsp::serve_lsp(cx, &args).await,
        CliCommand::Run(args) => run::run_goal(cx, *args).await,
        CliCommand::Goals => goals::list_goals(cx).await,
        CliCommand::Show(args) => show::show_goal(cx, &args.goal).await,
        CliCommand::Watch(args) => watch::run_watch(cx, args.goal).await,
        CliCommand::Logs(args) => logs::print_logs(cx, args).await,
        CliCommand::Diff(args) => diff::show_diff(cx, args).await,
        CliCommand::Accept(args) => decide::accept_changes(cx, args).await,
        CliCommand::Reject(args) => decide::reject_changes(cx, args).await,
        CliCommand::Undo(args) => decide::undo_changes(cx, args).await,
        CliCommand::Redo(args) => decide::redo_changes(cx, args).await,
        CliCommand::Resolve(args) => resolve::resolve_conflict(cx, args).await,
        CliCommand::Cancel(args) => steer::cancel_goal(cx, args.goal).await,
        CliCommand::Retry(args) => steer::retry_tasks(cx, args).await,
        CliCommand::Approve(args) => steer::approve_plan_or_task(cx, args).await,
        CliCommand::Permissions => permissions::list_permissions(cx).await,
        CliCommand::Allow(args) => permissions::allow_permission(cx, args).await,
        CliCommand::Deny(args) => permissions::deny_permission(cx, args).await,
        CliCommand::Plan(args) => plan::show_or_edit_plan(cx, args).await,
        CliCommand::Artifacts(args) => artifacts::run_artifacts(cx, args).await,
        CliCommand::Daemon { action } => daemon::run_daemon_command(cx, action).await,
        CliCommand::Doctor => doctor::run_doctor(cx).await,
        CliCommand::Demo(args) => demo::run_demo(cx, args).await,
        CliCommand::Config { action } => config::run_config_command(cx, &action),
        CliCommand::Completions { shell } => completions::print_completions(cx, shell),
    }
}
