//! The state of one editor connection.

pub(crate) mod capabilities;
pub(crate) mod decision_queue;
pub(crate) mod dirty_queue;
pub(crate) mod settings;
mod tasks;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use claudecluster_core::display_text::line as plain_text;
use claudecluster_core::text::PositionEncoding;
use claudecluster_protocol::{ErrorBody, GoalId, editor::SECTION, goal::GoalView};
use claudecluster_service::{
    Caller, EditorAttachment, EditorService, LiveTexts, ServiceClient, TypedCalls,
};
use lsp_types::{ConfigurationItem, MessageType, ShowDocumentParams, Uri};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio::sync::SetOnce;
use tower_lsp::Client;
use tracing::Span;

use self::{
    capabilities::EditorCapabilities,
    decision_queue::DecisionQueue,
    dirty_queue::{DirtyMark, DirtyQueue},
    settings::SettingsStore,
    tasks::ConnectionTasks,
};
use crate::{
    blocking::run_blocking,
    config::LspConfig,
    documents::{OpenDocuments, closing::ClosingDocuments},
    failure,
    transport::notify_queue::NotifyQueue,
    uri,
};

/// The state of one editor connection.
///
/// The handlers of the loop, the background tasks and the driver share it; the driver uses it as an
/// [`Editor`](claudecluster_service::Editor). State that only the loop needs, such as whether the
/// client has asked for a shutdown, belongs to [`crate::transport`].
pub(crate) struct EditorSession {
    pub(crate) client: Client,
    pub(crate) config: LspConfig,
    pub(crate) documents: OpenDocuments,
    /// Notifications that must not delay replies.
    pub(crate) notify_queue: Arc<NotifyQueue>,
    /// Documents that were closed a moment ago.
    pub(crate) closing_documents: ClosingDocuments,
    /// Documents whose diagnostics and code lenses are out of date.
    pub(crate) diagnostics_queue: DirtyQueue,
    /// Documents whose displayed pending hunks are out of date.
    pub(crate) pending_queue: DirtyQueue,
    /// Documents in which the driver has to look for undone changes.
    pub(crate) undo_check_queue: DirtyQueue,
    pub(crate) settings: SettingsStore,
    pub(crate) decisions: DecisionQueue,
    pub(crate) tasks: ConnectionTasks,
    /// The process id of the client, once the client has given it.
    pub(crate) client_process: SetOnce<u32>,
    /// Set once the client has given its settings or has failed to.
    pub(crate) settings_known: SetOnce<()>,
    editor_service: Arc<dyn EditorService>,
    /// The service with this editor as its caller.
    service: OnceLock<ServiceClient<dyn EditorService>>,
    capabilities: OnceLock<EditorCapabilities>,
    roots: RwLock<Vec<PathBuf>>,
    /// Detaches this editor from the driver when dropped.
    attachment: Mutex<Option<EditorAttachment>>,
    /// The span of the connection, which holds its number and the client's name.
    span: Span,
}

/// Closes a session when dropped, however the connection ended.
pub(crate) struct SessionGuard(pub(crate) Arc<EditorSession>);

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.tasks.close();
        let attachment = self.0.attachment.lock().take();
        drop(attachment);
    }
}

impl EditorSession {
    /// Creates a session within the current span, which is the span of the connection.
    pub(crate) fn new(
        client: Client,
        editor_service: Arc<dyn EditorService>,
        config: LspConfig,
        decisions: DecisionQueue,
    ) -> Self {
        Self {
            client,
            config,
            documents: OpenDocuments::default(),
            notify_queue: Arc::default(),
            closing_documents: ClosingDocuments::default(),
            diagnostics_queue: DirtyQueue::default(),
            pending_queue: DirtyQueue::default(),
            undo_check_queue: DirtyQueue::default(),
            settings: SettingsStore::default(),
            decisions,
            tasks: ConnectionTasks::new(Span::current()),
            client_process: SetOnce::new(),
            settings_known: SetOnce::new(),
            editor_service,
            service: OnceLock::new(),
            capabilities: OnceLock::new(),
            roots: RwLock::default(),
            attachment: Mutex::default(),
            span: Span::current(),
        }
    }

    /// Returns the client's capabilities; none before `initialize`.
    pub(crate) fn capabilities(&self) -> &EditorCapabilities {
        static NONE: OnceLock<EditorCapabilities> = OnceLock::new();
        self.capabilities
            .get()
            .unwrap_or_else(|| NONE.get_or_init(EditorCapabilities::default))
    }

    /// Sets the client's capabilities, for `initialize`.
    pub(crate) fn set_capabilities(&self, capabilities: EditorCapabilities) {
        self.span.record("client", &capabilities.name);
        // `initialize` succeeds once, so there is nothing to replace.
        let _ = self.capabilities.set(capabilities);
    }

    /// Returns the unit of the client's columns.
    pub(crate) fn encoding(&self) -> PositionEncoding {
        self.capabilities().encoding
    }

    /// Attaches this editor to the driver, which may ask for its documents from then on.
    pub(crate) fn attach_editor(self: &Arc<Self>) {
        let attachment = self.editor_service.attach(self.clone());
        *self.attachment.lock() = Some(attachment);
    }

    /// Returns the workspace folders.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        self.roots.read().clone()
    }

    /// Removes and adds workspace folders.
    pub(crate) fn update_roots(&self, removed: &[Uri], added: &[Uri]) {
        let removed: Vec<_> = removed.iter().filter_map(uri::to_folder).collect();
        let added: Vec<_> = added.iter().filter_map(uri::to_folder).collect();
        let mut roots = self.roots.write();
        roots.retain(|root| !removed.contains(root));
        for root in added {
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
    }

    /// Whether a workspace is one of this editor's folders.
    pub(crate) fn has_workspace(&self, workspace: &str) -> bool {
        let roots = self.roots.read();
        roots.iter().any(|root| root == Path::new(workspace))
    }

    /// Returns the workspace folder that contains a file; of nested folders the innermost.
    pub(crate) fn root_of(&self, path: &Path) -> Option<PathBuf> {
        let roots = self.roots.read();
        let containing = roots.iter().filter(|root| path.starts_with(root));
        containing
            .max_by_key(|root| root.components().count())
            .cloned()
    }

    /// Returns the service, with this editor as its caller.
    pub(crate) fn service(&self) -> &ServiceClient<dyn EditorService> {
        self.service.get_or_init(|| {
            let caller = Caller::editor(self.capabilities().name.as_str());
            ServiceClient::new(self.editor_service.clone(), caller)
        })
    }

    /// Returns the part of the service that answers questions about the texts of documents.
    pub(crate) fn texts(&self) -> &dyn LiveTexts {
        &*self.editor_service
    }

    /// Asks about a text, on a thread that may block.
    pub(crate) async fn query_texts<T: Send + 'static>(
        &self,
        query: impl FnOnce(&dyn LiveTexts) -> Result<T, ErrorBody> + Send + 'static,
    ) -> Result<T, ErrorBody> {
        let service = self.editor_service.clone();
        run_blocking(move || query(&*service)).await
    }

    /// Returns the current state of a goal.
    pub(crate) async fn goal_view(&self, goal: &GoalId) -> Result<GoalView, ErrorBody> {
        Ok(self.service().goal(goal).await?.value)
    }

    /// Marks displayed state as out of date.
    pub(crate) fn mark_dirty(&self, mark: DirtyMark) {
        self.diagnostics_queue.mark(mark.clone());
        self.undo_check_queue.mark(mark.clone());
        self.pending_queue.mark(mark);
    }

    /// Whether the client shows events by itself, so the server does not show messages about them.
    pub(crate) fn client_shows_events(&self) -> bool {
        self.settings.current().events == Some(true)
    }

    /// Whether the client can ask its user for words.
    pub(crate) fn client_prompts(&self) -> bool {
        self.settings.current().prompts == Some(true)
    }

    /// Asks the client for its section of the settings. Waits no longer than the reply timeout.
    pub(crate) async fn request_settings(&self) -> Option<tower_lsp::jsonrpc::Result<Value>> {
        let section = ConfigurationItem {
            scope_uri: None,
            section: Some(SECTION.to_owned()),
        };
        let reply = self.client.configuration(vec![section]);
        let sections = tokio::time::timeout(self.config.reply_timeout, reply).await;
        let first = |sections: Vec<Value>| sections.into_iter().next().unwrap_or_default();
        Some(sections.ok()?.map(first))
    }

    /// Asks the client to open a document. Returns whether the client has opened it.
    pub(crate) async fn show_document(&self, uri: Uri) -> bool {
        let shown = self.client.show_document(ShowDocumentParams {
            uri,
            external: None,
            take_focus: Some(true),
            selection: None,
        });
        let answer = tokio::time::timeout(self.config.reply_timeout, shown).await;
        matches!(answer, Ok(Ok(true)))
    }

    /// Shows an information message to the user.
    pub(crate) async fn show_info(&self, message: impl std::fmt::Display + Send) {
        self.show_message(MessageType::Info, message).await;
    }

    /// Shows a warning to the user.
    pub(crate) async fn show_warning(&self, message: impl std::fmt::Display + Send) {
        self.show_message(MessageType::Warning, message).await;
    }

    /// Shows an error to the user, after the operation that failed.
    pub(crate) async fn show_error(&self, operation: &str, error: &ErrorBody) {
        let message = format!("{operation}: {}", failure::to_sentence(error));
        self.show_message(MessageType::Error, message).await;
    }

    async fn show_message(&self, kind: MessageType, message: impl std::fmt::Display + Send) {
        let message = plain_text::to_message(&message.to_string());
        self.client.show_message(kind, message).await;
    }
}
