//! `claudecluster daemon`

use std::{fs::OpenOptions, io::Write};

use claudecluster_protocol::{
    ErrorBody,
    api::{DaemonStatus, VERSION},
};
use claudecluster_service::TypedCalls;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::CommandContext;
use crate::{
    cli::DaemonAction,
    client::StartReport,
    config::ConfigSources,
    daemon::{Daemon, start_log, wait_until_idle},
    exit::{CommandExit, CommandResult, ErrorContext as _},
    home::Home,
    ui::text,
};

pub(super) async fn run_daemon_command(
    cx: &mut CommandContext,
    action: DaemonAction,
) -> CommandResult<CommandExit> {
    match action {
        DaemonAction::Start => start_daemon(cx).await,
        DaemonAction::Stop { force } => stop_daemon(cx, force).await,
        DaemonAction::Status => print_daemon_status(cx).await,
        DaemonAction::Run { on_demand: false } => serve_until_stopped(|| Ok(())).await,
        DaemonAction::Run { on_demand: true } => on_demand().await,
    }
}

async fn start_daemon(cx: &mut CommandContext) -> CommandResult<CommandExit> {
    let connection = cx.client()?.connect().await?;
    let pid = connection.welcome.pid;
    if cx.ui.json {
        cx.ui
            .json(&json!({"running": true, "pid": pid, "version": VERSION}))?;
    } else if !cx.ui.quiet {
        cx.ui
            .line(format!("The daemon is running (process {pid})"))?;
    }
    Ok(CommandExit::Done)
}

async fn stop_daemon(cx: &mut CommandContext, force: bool) -> CommandResult<CommandExit> {
    let client = cx.client()?;
    let said = match client.connect_running().await? {
        Some(connection) => {
            client.stop(connection, force).await?;
            "The daemon has stopped"
        }
        None => "No daemon is running",
    };
    if cx.ui.json {
        cx.ui.json(&json!({"running": false}))?;
    } else if !cx.ui.quiet {
        cx.ui.line(said)?;
    }
    Ok(CommandExit::Done)
}

async fn print_daemon_status(cx: &mut CommandContext) -> CommandResult<CommandExit> {
    let Some(connection) = cx.client()?.connect_running().await? else {
        if cx.ui.json {
            cx.ui.json(&json!({"running": false}))?;
        } else {
            cx.ui
                .line("No daemon is running; commands start it when needed")?;
        }
        return Ok(CommandExit::Failed);
    };
    let status = connection.status().await?;
    if cx.ui.json {
        let mut value = serde_json::to_value(&status).unwrap_or_default();
        value["running"] = json!(true);
        cx.ui.json(&value)?;
    } else {
        cx.ui.line(describe_status(&status))?;
    }
    Ok(CommandExit::Done)
}

/// Describes the daemon's state in one line.
pub(super) fn describe_status(status: &DaemonStatus) -> String {
    let up = text::duration_text(claudecluster_protocol::Span::from_secs(status.uptime_secs));
    format!(
        "version {}, process {}, up {up}; {} active, {} running, {} connected; state folder {}",
        status.version,
        status.pid,
        text::counted(status.active_goals as usize, "goal"),
        text::counted(status.running_attempts as usize, "attempt"),
        text::counted(status.editors as usize, "editor"),
        text::one_line(&status.home),
    )
}

/// Runs the daemon until it is asked to end. Calls `ready` once it listens.
async fn serve_until_stopped(
    ready: impl FnOnce() -> Result<(), ErrorBody>,
) -> CommandResult<CommandExit> {
    let home = Home::find()?;
    home.create()?;
    let sources = ConfigSources::of_process()?;
    let settings = sources.load(None)?.settings;
    let filter = std::env::var("CLAUDECLUSTER_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let _log = start_log(&home, &filter.unwrap_or(settings.log))?;
    let mut terminated = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let daemon = Daemon::start(home, sources).await?;
    ready()?;
    let shared = daemon.shared().clone();
    let idle = wait_until_idle(shared.clone(), settings.daemon.idle_timeout.to_duration());
    let why = tokio::select! {
        () = shared.stop.cancelled() => "requested",
        () = idle => "idle",
        _ = terminated.recv() => "SIGTERM",
        _ = interrupted.recv() => "SIGINT",
    };
    tracing::info!(why, "daemon stopping");
    drop(shared);
    daemon.end().await;
    Ok(CommandExit::Done)
}

/// Runs the daemon for a client that waits on our stdout. That client learns when the daemon is
/// ready, or why it is not.
async fn on_demand() -> CommandResult<CommandExit> {
    // A session of our own: no terminal's signals reach us.
    let _ = rustix::process::setsid();
    match serve_until_stopped(|| announce_start(&StartReport::Ready)).await {
        Err(crate::exit::CommandFailure::Error(error)) => {
            tracing::error!(error = %error.message, "daemon failed");
            announce_start(&StartReport::Failed(error))?;
            Ok(CommandExit::Failed)
        }
        other => other,
    }
}

/// Prints one line on stdout and closes it: the client soon drops its end of the pipe.
fn announce_start(what: &StartReport) -> Result<(), ErrorBody> {
    let failed = "cannot report that the daemon is ready";
    let mut line = serde_json::to_vec(what).context(failed)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    // A client that was killed meanwhile is no reason to end.
    let _ = out.write_all(&line).and_then(|()| out.flush());
    let null = OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .context(failed)?;
    rustix::stdio::dup2_stdout(&null).context(failed)
}
