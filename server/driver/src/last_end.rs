//! How the last daemon ended. A daemon that is told to stop says so in a file, and the next one takes that away:
//! work during which there was none may be what ended the daemon.

use std::{io, path::Path};

use claudecluster_protocol::StopReason;

/// The file, in the state folder.
const STOPPED: &str = "stopped";

/// Returns how the last daemon ended: [`StopReason::DaemonRestart`] if it was stopped, [`StopReason::DaemonCrash`]
/// if not. The next call says the latter unless [`record_stop`] is called before.
pub(crate) fn take_last_end(home: &Path) -> StopReason {
    match std::fs::remove_file(home.join(STOPPED)) {
        Ok(()) => StopReason::DaemonRestart,
        Err(error) if error.kind() == io::ErrorKind::NotFound => StopReason::DaemonCrash,
        Err(error) => {
            tracing::warn!(%error, "cannot tell how the last daemon ended");
            StopReason::DaemonCrash
        }
    }
}

/// Records that the daemon was told to stop.
pub(crate) fn record_stop(home: &Path) {
    if let Err(error) = std::fs::write(home.join(STOPPED), []) {
        tracing::warn!(%error, "cannot record that the daemon was stopped; the next one will take it for a crash");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_known_once() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(take_last_end(home.path()), StopReason::DaemonCrash);
        record_stop(home.path());
        assert_eq!(take_last_end(home.path()), StopReason::DaemonRestart);
        assert_eq!(take_last_end(home.path()), StopReason::DaemonCrash);
    }
}
