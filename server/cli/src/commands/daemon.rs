//! `claudecluster daemon`

use std::{fs::OpenOptions, io::Write};

use claudecluster_protocol::{
    ErrorBody,
    api::{DaemonStatus, VERSION},
};
use claudecluster_service::TypedCalls;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use crate::{
    cli::DaemonAction,
    client::Started,
    config::Sources,
    daemon::{Daemon, start_log, wait_until_idle},
    failure::{Context as _, Exit, Outcome},
    home::Home,
    ui::text,
};

pub(super) async fn run(cx: &mut Context, action: DaemonAction) -> Outcome<Exit> {
    match action {
        DaemonAction::Start => start(cx).await,
        DaemonAction::Stop { force } => stop(cx, force).await,
        DaemonAction::Status => status(cx).await,
        DaemonAction::Run { on_demand: false } => serve(|| Ok(())).await,
        DaemonAction::Run { on_demand: true } => on_demand().await,
    }
}

async fn start(cx: &mut Context) -> Outcome<Exit> {
    let connection = cx.client()?.connect().await?;
    let pid = connection.welcome.pid;
    if cx.ui.json {
        cx.ui
            .json(&json!({"running": true, "pid": pid, "version": VERSION}))?;
    } else if !cx.ui.quiet {
        cx.ui.line(format!("the daemon runs (process {pid})"))?;
    }
    Ok(Exit::Done)
}

async fn stop(cx: &mut Context, force: bool) -> Outcome<Exit> {
    let client = cx.client()?;
    let said = match client.connect_running().await? {
        Some(connection) => {
            client.stop(connection, force).await?;
            "the daemon has ended"
        }
        None => "no daemon is running",
    };
    if cx.ui.json {
        cx.ui.json(&json!({"running": false}))?;
    } else if !cx.ui.quiet {
        cx.ui.line(said)?;
    }
    Ok(Exit::Done)
}

async fn status(cx: &mut Context) -> Outcome<Exit> {
    let Some(connection) = cx.client()?.connect_running().await? else {
        if cx.ui.json {
            cx.ui.json(&json!({"running": false}))?;
        } else {
            cx.ui
                .line("no daemon is running; the next command that needs one starts it")?;
        }
        return Ok(Exit::Failed);
    };
    let status = connection.status().await?;
    if cx.ui.json {
        let mut value = serde_json::to_value(&status).unwrap_or_default();
        value["running"] = json!(true);
        cx.ui.json(&value)?;
    } else {
        cx.ui.line(describe(&status))?;
    }
    Ok(Exit::Done)
}

/// The daemon's state in one line.
pub(super) fn describe(status: &DaemonStatus) -> String {
    let up = text::span(claudecluster_protocol::Span::secs(status.uptime_secs));
    format!(
        "version {}, process {}, up {up}; {} at work, {} running, {} attached; state in {}",
        status.version,
        status.pid,
        text::count(status.active_goals as usize, "goal"),
        text::count(status.running_attempts as usize, "attempt"),
        text::count(status.editors as usize, "editor"),
        text::one_line(&status.home),
    )
}

/// Is the daemon until somebody wants it to end. `ready` is called once it listens.
async fn serve(ready: impl FnOnce() -> Result<(), ErrorBody>) -> Outcome<Exit> {
    let home = Home::find()?;
    home.create()?;
    let sources = Sources::of_process()?;
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
        () = shared.stop.cancelled() => "asked to",
        () = idle => "nobody needs it",
        _ = terminated.recv() => "SIGTERM",
        _ = interrupted.recv() => "SIGINT",
    };
    tracing::info!(why, "daemon ends");
    drop(shared);
    daemon.end().await;
    Ok(Exit::Done)
}

/// The same, for a client that waits on our stdout: it hears when we are ready, or why we are not.
async fn on_demand() -> Outcome<Exit> {
    // A session of our own: no terminal's signals reach us.
    let _ = rustix::process::setsid();
    match serve(|| announce(&Started::Ready)).await {
        Err(crate::failure::Failure::Error(error)) => {
            tracing::error!(error = %error.message, "daemon failed");
            announce(&Started::Failed(error))?;
            Ok(Exit::Failed)
        }
        other => other,
    }
}

/// Says one line on stdout and closes it: the client's end of the pipe is gone soon.
fn announce(what: &Started) -> Result<(), ErrorBody> {
    let failed = "cannot say that the daemon is ready";
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
