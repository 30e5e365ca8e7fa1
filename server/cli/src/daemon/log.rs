//! The daemon's log: one file a day, for seven days.

use std::sync::Once;

use claudecluster_protocol::ErrorBody;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::{EnvFilter, filter::ParseError};

use super::daily_log::DailyLog;
use crate::{exit::ErrorContext, home::Home};

/// Writes the buffered lines when dropped.
pub(crate) struct LogGuard {
    _worker: WorkerGuard,
}

/// Starts the log. The configuration's reader does not know the syntax of `filter`, so this
/// function checks it.
pub(crate) fn start_log(home: &Home, filter: &str) -> Result<LogGuard, ErrorBody> {
    let filter = EnvFilter::try_new(filter).map_err(|e: ParseError| {
        ErrorBody::config(format!("`log`: invalid filter {filter:?}: {e}")).with_hint(
            "use a level such as \"info\", or a filter such as \"info,claudecluster_driver=debug\"",
        )
    })?;
    let files = DailyLog::open(home.logs())
        .context(format!("cannot write the log to {}", home.logs().display()))?;
    let (writer, worker) = tracing_appender::non_blocking(files);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false)
        .init();
    log_panics();
    Ok(LogGuard { _worker: worker })
}

/// Writes panics to the log with their place, and to nothing that a client could see.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let trace = std::backtrace::Backtrace::capture();
            tracing::error!(%panic, %trace, "panic");
        }));
    });
}
