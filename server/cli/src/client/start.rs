//! Starts the daemon on demand: once for all clients that want it at the same moment, and without
//! polling.

use std::{
    fs::{File, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    process::Stdio,
    time::Duration,
};

use claudecluster_protocol::{
    ErrorBody,
    api::{Call, ConnectionPurpose, VERSION},
    goal::EnvVar,
};
use claudecluster_service::TypedCalls;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    task::spawn_blocking,
    time::timeout,
};

use super::{DaemonClient, DaemonConnection, DaemonLink, DaemonLookup};
use crate::{exit::ErrorContext, home::Home};

/// Limits the time for a daemon's start. A journal of any length is read within it, so a longer
/// start hangs.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Limits the time in which a daemon without work ends.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Reports the start of a daemon, as one line on its stdout before it closes that stream.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StartReport {
    /// The daemon listens.
    Ready,
    /// The daemon cannot work.
    Failed(ErrorBody),
}

impl DaemonClient {
    /// Connects to a daemon of our version, and starts one if none runs.
    pub(crate) async fn link(&self, purpose: ConnectionPurpose) -> Result<DaemonLink, ErrorBody> {
        if let DaemonLookup::Ready(link) = self.find(purpose.clone()).await? {
            return Ok(link);
        }
        // Everybody who finds none comes here. The first starts one while the others wait, and
        // they find it when it is their turn.
        let home = self.home.clone();
        let _turn = in_background(move || home.lock_start()).await??;
        match self.find(purpose.clone()).await? {
            DaemonLookup::Ready(link) => return Ok(link),
            DaemonLookup::Other(link) => {
                drop(link);
                self.replace().await?;
            }
            DaemonLookup::None => self.let_go().await,
        }
        spawn_daemon(&self.home).await?;
        match self.find(purpose.clone()).await? {
            DaemonLookup::Ready(link) => Ok(link),
            DaemonLookup::Other(_) | DaemonLookup::None => {
                Err(ErrorBody::internal("the daemon started and then stopped")
                    .with_hint(format!("its log is in {}", self.home.logs().display())))
            }
        }
    }

    /// Connects an editor to a daemon. The editor's protocol has no version of ours, so a newer
    /// daemon serves it as well. Such a daemon may have replaced an older one while the editor was
    /// open.
    pub(crate) async fn link_editor(&self, env: Vec<EnvVar>) -> Result<DaemonLink, ErrorBody> {
        let purpose = ConnectionPurpose::Lsp { env };
        match self.find(purpose.clone()).await? {
            DaemonLookup::Ready(link) => Ok(link),
            DaemonLookup::Other(link)
                if version_numbers(&link.welcome.version) > version_numbers(VERSION) =>
            {
                Ok(link)
            }
            DaemonLookup::Other(_) | DaemonLookup::None => self.link(purpose).await,
        }
    }

    /// Waits for a daemon that is ending: it has removed its address but still holds the state
    /// folder. If it keeps the folder, the start of the next daemon fails with that error.
    async fn let_go(&self) {
        let home = self.home.clone();
        let _ = timeout(STOP_LIMIT, in_background(move || home.wait_for_store())).await;
    }

    /// Stops a daemon of an older version if it has no work.
    async fn replace(&self) -> Result<(), ErrorBody> {
        let Some(connection) = self.connect_running().await? else {
            return Ok(());
        };
        let theirs = connection.welcome.version.clone();
        if version_numbers(&theirs) > version_numbers(VERSION) {
            return Err(ErrorBody::environment(format!(
                "a newer daemon is running (version {theirs}; this program is version {VERSION})"
            ))
            .with_hint(
                "use the newer program, or stop the daemon with: claudecluster daemon stop",
            ));
        }
        self.stop(connection, false).await.map_err(|e| {
            ErrorBody::environment(format!(
                "a daemon of version {theirs} is still working (this program is version {VERSION}): {e}"
            ))
            .with_hint("wait for its goals to finish, or stop it with: claudecluster daemon stop --force")
        })
    }

    /// Stops a daemon and waits until it has released the state folder.
    pub(crate) async fn stop(
        &self,
        connection: DaemonConnection,
        force: bool,
    ) -> Result<(), ErrorBody> {
        let pid = connection.welcome.pid;
        connection.send_for_done(Call::Stop { force }).await?;
        let home = self.home.clone();
        let gone = async {
            connection.closed().await;
            in_background(move || home.wait_for_store()).await
        };
        match timeout(STOP_LIMIT, gone).await {
            Ok(waited) => waited?.context("cannot tell whether the daemon has stopped"),
            Err(_) => Err(ErrorBody::environment("the daemon is not stopping")
                .with_hint(format!("stop it with: kill {pid}"))),
        }
    }
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ErrorBody> {
    spawn_blocking(work)
        .await
        .map_err(|_| ErrorBody::internal("a background task failed"))
}

/// Returns the numbers of a version. They compare as versions do.
fn version_numbers(version: &str) -> Vec<u64> {
    let plain = version.split(['-', '+']).next().unwrap_or(version);
    plain
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

/// Starts a daemon and returns once it listens.
async fn spawn_daemon(home: &Home) -> Result<(), ErrorBody> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let mut child = Command::new(program)
        .args(["daemon", "run", "--on-demand"])
        .env("CLAUDECLUSTER_HOME", home.dir())
        // It outlives the folder it happens to be started in.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr_log(home)?)
        .spawn()
        .context("cannot start the daemon")?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| ErrorBody::internal("cannot read the daemon's output"))?;
    let mut line = String::new();
    let read = timeout(START_LIMIT, BufReader::new(stdout).read_line(&mut line)).await;
    let log = home.logs();
    match (read, serde_json::from_str::<StartReport>(&line)) {
        (Ok(Ok(_)), Ok(StartReport::Ready)) => Ok(()),
        (Ok(Ok(_)), Ok(StartReport::Failed(error))) => Err(error),
        (Err(_), _) => {
            // Whoever hangs while starting would keep the folder for ever.
            let _ = child.start_kill();
            Err(
                ErrorBody::environment("the daemon did not become ready in time")
                    .with_hint(format!("its log is in {}", log.display())),
            )
        }
        _ => Err(
            ErrorBody::environment("the daemon exited before it was ready").with_hint(format!(
                "its error output is in {}",
                home.stderr_log().display()
            )),
        ),
    }
}

fn stderr_log(home: &Home) -> Result<File, ErrorBody> {
    let path = home.stderr_log();
    let open = || {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(file)
    };
    let opened: io::Result<File> = open();
    opened.context(format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::version_numbers;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version_numbers("0.10.0") > version_numbers("0.9.9"));
        assert!(version_numbers("0.1.0-rc.1") == version_numbers("0.1.0"));
        assert!(version_numbers("nonsense") < version_numbers("0.0.1"));
    }
}
