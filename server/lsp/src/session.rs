//! What one connection knows.

use std::{
    any::Any,
    future::Future,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use claudecluster_core::text::PositionEncoding;
use claudecluster_protocol::{ErrorBody, GoalId, api::Decision, goal::GoalView};
use lsp_types::{MessageType, Uri};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tower_lsp::Client;

use crate::{
    Backend, LspConfig,
    aside::Aside,
    client::Capabilities,
    documents::Documents,
    failure,
    leaving::Leaving,
    settings::Settings,
    stale::{Dirty, Stale},
    uri, words,
};

/// What one connection knows. Shared by its handlers, its background tasks, and the driver, which
/// sees it as an editor.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) config: LspConfig,
    pub(crate) documents: Documents,
    /// Where it is told what nobody waits for.
    pub(crate) aside: Arc<Aside>,
    /// Those that were closed a moment ago.
    pub(crate) leaving: Leaving,
    /// What is out of date in diagnostics and lenses.
    pub(crate) diagnostics: Stale,
    /// What is out of date in the hunks a client shows in its documents.
    pub(crate) pending: Stale,
    /// Texts that the driver has not looked at since they changed.
    pub(crate) settling: Stale,
    pub(crate) settings: Settings,
    capabilities: OnceLock<Capabilities>,
    roots: RwLock<Vec<PathBuf>>,
    attached: Mutex<Option<Box<dyn Any + Send + Sync>>>,
    /// Takes the process id of the client, once.
    parent: Mutex<Option<oneshot::Sender<u32>>>,
    shutdown: AtomicBool,
    closed: watch::Sender<bool>,
    /// Whether the client has been asked for its settings, whatever came of that.
    configured: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
    /// Held while a decision is checked, so that decisions are carried out in the order they came.
    pub(crate) arriving: tokio::sync::Mutex<()>,
    /// Takes decisions to where they are carried out; gone when the connection is over.
    decisions: Mutex<Option<mpsc::UnboundedSender<Decision>>>,
}

/// Ends what belongs to a session when the connection is over, however it ended.
pub(crate) struct Open(pub(crate) Arc<Session>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// No invariant spans two of the values behind one lock, so a panic elsewhere spoils nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(crate) fn new(
        client: Client,
        backend: Arc<dyn Backend>,
        config: LspConfig,
        parent: oneshot::Sender<u32>,
    ) -> Self {
        Self {
            client,
            backend,
            config,
            documents: Documents::default(),
            aside: Arc::default(),
            leaving: Leaving::default(),
            diagnostics: Stale::default(),
            pending: Stale::default(),
            settling: Stale::default(),
            settings: Settings::default(),
            capabilities: OnceLock::new(),
            roots: RwLock::default(),
            attached: Mutex::default(),
            parent: Mutex::new(Some(parent)),
            shutdown: AtomicBool::new(false),
            closed: watch::Sender::new(false),
            configured: watch::Sender::new(false),
            tasks: Mutex::default(),
            arriving: tokio::sync::Mutex::default(),
            decisions: Mutex::default(),
        }
    }

    /// What the client can do; the least before it has said so.
    pub(crate) fn capabilities(&self) -> &Capabilities {
        static NONE: OnceLock<Capabilities> = OnceLock::new();
        self.capabilities
            .get()
            .unwrap_or_else(|| NONE.get_or_init(Capabilities::default))
    }

    pub(crate) fn set_capabilities(&self, capabilities: Capabilities) {
        // `initialize` succeeds once, so there is nothing to replace.
        let _ = self.capabilities.set(capabilities);
    }

    pub(crate) fn encoding(&self) -> PositionEncoding {
        self.capabilities().encoding
    }

    /// The client's process: the connection ends when it does.
    pub(crate) fn set_parent(&self, pid: u32) {
        if let Some(parent) = lock(&self.parent).take() {
            let _ = parent.send(pid);
        }
    }

    /// Lets the driver see this editor.
    pub(crate) fn attach(self: &Arc<Self>) {
        let attached = self.backend.attach(self.clone());
        *lock(&self.attached) = Some(attached);
    }

    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        self.roots
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn change_roots(&self, removed: &[Uri], added: &[Uri]) {
        let mut roots = self.roots.write().unwrap_or_else(PoisonError::into_inner);
        let removed: Vec<_> = removed.iter().filter_map(uri::to_folder).collect();
        roots.retain(|root| !removed.contains(root));
        for root in added.iter().filter_map(uri::to_folder) {
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
    }

    /// Whether a workspace is one this editor has open.
    pub(crate) fn has_workspace(&self, workspace: &str) -> bool {
        self.roots().iter().any(|root| root == Path::new(workspace))
    }

    /// Asks the driver something that may read files: on a thread where that holds nobody up.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Backend) -> Result<T, ErrorBody> + Send + 'static,
    ) -> Result<T, ErrorBody> {
        let backend = self.backend.clone();
        let answer = tokio::task::spawn_blocking(move || question(&*backend));
        answer.await.unwrap_or_else(|_| {
            Err(ErrorBody::internal("the driver did not respond").hint("see its log"))
        })
    }

    /// What is known about a goal.
    pub(crate) async fn goal(&self, goal: &GoalId) -> Result<GoalView, ErrorBody> {
        let goal = goal.clone();
        self.ask(move |backend| backend.goal(&goal)).await
    }

    pub(crate) fn set_shutdown(&self) {
        self.shutdown.store(true, Ordering::SeqCst);
    }

    pub(crate) fn shutdown_received(&self) -> bool {
        self.shutdown.load(Ordering::SeqCst)
    }

    /// Where decisions arrive, in their order. What has arrived when the connection ends still does.
    pub(crate) fn take_decisions(&self) -> mpsc::UnboundedReceiver<Decision> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *lock(&self.decisions) = Some(sender);
        receiver
    }

    pub(crate) fn decide(&self, decision: Decision) {
        if let Some(decisions) = &*lock(&self.decisions) {
            // Received as long as the sender is there.
            let _ = decisions.send(decision);
        }
    }

    /// Runs until it is done or the connection is over.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        if !*self.closed.borrow() {
            tasks.spawn(task);
        }
    }

    /// Resolves when the connection is over.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // An error means the sender is gone, which it is not: `self` holds it.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    pub(crate) fn set_configured(&self) {
        self.configured.send_replace(true);
    }

    /// Resolves once the client has given its settings, or has not when asked.
    pub(crate) async fn configured(&self) {
        let mut configured = self.configured.subscribe();
        // An error means the sender is gone, which it is not: `self` holds it.
        let _ = configured.wait_for(|configured| *configured).await;
    }

    fn close(&self) {
        self.closed.send_replace(true);
        lock(&self.tasks).abort_all();
        lock(&self.decisions).take();
        let attached = lock(&self.attached).take();
        drop(attached);
    }

    /// Marks what is shown about pending changes as out of date.
    pub(crate) fn refresh(&self, dirty: Dirty) {
        self.diagnostics.mark(dirty.clone());
        self.settling.mark(dirty.clone());
        self.pending.mark(dirty);
    }

    pub(crate) async fn info(&self, message: impl std::fmt::Display + Send) {
        self.show(MessageType::Info, message).await;
    }

    pub(crate) async fn warn(&self, message: impl std::fmt::Display + Send) {
        self.show(MessageType::Warning, message).await;
    }

    pub(crate) async fn fail(&self, what: &str, error: &ErrorBody) {
        let message = format!("{what}: {}", failure::sentence(error));
        self.show(MessageType::Error, message).await;
    }

    async fn show(&self, kind: MessageType, message: impl std::fmt::Display + Send) {
        let message = words::unlinked(&message.to_string());
        self.client.show_message(kind, message).await;
    }
}
