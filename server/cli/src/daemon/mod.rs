//! The daemon: one driver behind a local socket.

mod connection;
mod daily_log;
mod greeting;
mod idle;
mod log;
mod peer;
mod requests;
mod secret;
mod service;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use claudecluster_driver::Driver;
use claudecluster_protocol::{
    ErrorBody,
    api::{DaemonFile, SocketSecret, VERSION},
};
use claudecluster_service::{Caller, ServiceClient};
use tokio::{
    net::UnixListener,
    sync::{Semaphore, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::service::DaemonService;
use crate::{
    config::ConfigSources, driver_setup, exit::ErrorContext, folder_registry::FolderRegistry,
    home::Home,
};

pub(crate) use greeting::{FAREWELL, STOPPED};
pub(crate) use idle::wait_until_idle;
pub(crate) use log::start_log;

/// Limits the time for connections to send their last replies.
const LINGER: Duration = Duration::from_secs(2);

/// Limits the connections that have not greeted yet. Others wait in the socket's queue, which costs
/// the daemon nothing.
const STRANGERS: usize = 64;

/// Holds a running daemon. `claudecluster daemon run` does nothing else; `demo` runs one beside its
/// own work.
pub(crate) struct Daemon {
    shared: Arc<DaemonState>,
    home: Home,
    socket: PathBuf,
    /// The private folder of the socket, if its usual path is too long.
    _socket_dir: Option<tempfile::TempDir>,
    tasks: TaskTracker,
    /// The store. It keeps the state folder locked until everything has ended.
    _store: claudecluster_driver::store::Store,
}

/// Holds the state that connections share.
pub(crate) struct DaemonState {
    pub(crate) driver: Driver,
    /// The service that answers the socket's requests.
    pub(crate) service: Arc<DaemonService>,
    /// The secret that every client has to show.
    pub(crate) secret: SocketSecret,
    /// Cancelled once the daemon is asked to end.
    pub(crate) stop: CancellationToken,
    /// The number of connected clients.
    pub(crate) clients: watch::Sender<usize>,
    /// The folder for the diffs that editors show.
    pub(crate) diffs: PathBuf,
    /// The folder for the plans that editors show.
    pub(crate) plans: PathBuf,
}

impl Daemon {
    /// Locks the state folder, starts the driver and listens.
    pub(crate) async fn start(home: Home, sources: ConfigSources) -> Result<Self, ErrorBody> {
        home.create()?;
        let settings = sources.load(None)?.settings;
        let folders = FolderRegistry::of_user();
        folders.register(home.dir());
        let (driver, store) =
            driver_setup::start_driver(&home, sources, settings, folders.clone()).await?;
        // What an earlier daemon wrote for editors that are gone with it.
        let _ = fs::remove_dir_all(home.diffs());
        let service = ServiceClient::new(Arc::new(driver.clone()), Caller::daemon());
        if let Err(error) = claudecluster_lsp::tidy_plans(&service, &home.plans()).await {
            tracing::warn!(%error, "cannot remove the plan documents of finished goals");
        }
        let (socket, socket_dir) = home.socket()?;
        if let Some(dir) = &socket_dir {
            folders.register(dir.path());
        }
        let listener = bind_socket(&socket)?;
        let secret = secret::create_secret()?;
        home.write_daemon_file(&DaemonFile {
            pid: std::process::id(),
            version: VERSION.to_owned(),
            socket: socket.to_string_lossy().into_owned(),
            secret: Some(secret.clone()),
            http: None,
            token: None,
        })?;
        let stop = CancellationToken::new();
        let shared = Arc::new(DaemonState {
            service: Arc::new(DaemonService::new(driver.clone(), stop.clone())),
            driver,
            secret,
            stop,
            clients: watch::Sender::new(0),
            diffs: home.diffs(),
            plans: home.plans(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(accept_connections(listener, shared.clone(), tasks.clone()));
        tracing::info!(version = VERSION, home = %home.dir().display(), "daemon ready");
        Ok(Self {
            shared,
            home,
            socket,
            _socket_dir: socket_dir,
            tasks,
            _store: store,
        })
    }

    pub(crate) fn shared(&self) -> &Arc<DaemonState> {
        &self.shared
    }

    /// Ends everything. The next daemon resumes the active goals.
    pub(crate) async fn end(self) {
        // From here on nobody finds this daemon any more; whoever looks for one waits for the
        // store and starts the next.
        self.home.remove_daemon_file(std::process::id());
        let _ = fs::remove_file(&self.socket);
        self.shared.stop.cancel();
        self.shared.driver.shutdown().await;
        self.tasks.close();
        if tokio::time::timeout(LINGER, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("connections did not close in time");
        }
        tracing::info!("daemon ended");
    }
}

/// Binds the socket. An existing file of that name belongs to a dead daemon, since this one holds
/// the store.
fn bind_socket(socket: &Path) -> Result<UnixListener, ErrorBody> {
    let shown = socket.display();
    match fs::remove_file(socket) {
        Ok(()) => tracing::info!(socket = %shown, "removed a stale daemon socket"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => {
            return Err(ErrorBody::environment(format!(
                "cannot remove {shown}: {e}"
            )));
        }
    }
    // Its folder is 0700, so nobody gets in between the two steps.
    let listener = UnixListener::bind(socket).context(format!("cannot listen on {shown}"))?;
    fs::set_permissions(socket, Permissions::from_mode(0o600))
        .context(format!("cannot make {shown} private"))?;
    Ok(listener)
}

/// Accepts connections until the daemon ends. Each has its own task, so a failure or panic ends
/// only that connection.
async fn accept_connections(listener: UnixListener, shared: Arc<DaemonState>, tasks: TaskTracker) {
    let stop = shared.stop.clone();
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    loop {
        let accepting = async {
            let turn = strangers.clone().acquire_owned().await;
            (turn, listener.accept().await)
        };
        let (turn, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepting => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // A panic ends this task only; the hook has logged it.
                tasks.spawn(connection::serve_connection(
                    stream,
                    shared.clone(),
                    turn.ok(),
                ));
            }
            Err(e) => {
                // Out of descriptors, most likely. They come back when connections end.
                tracing::warn!(error = %e, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
