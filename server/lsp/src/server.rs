//! The table of methods and their handlers.

use std::sync::Arc;

use claudecluster_protocol::{
    api::Decision,
    editor::{self, method},
};
use claudecluster_service::EditorService;
use lsp_types::{
    CodeAction, CodeActionResponse, CodeLens, CodeLensParams, CompletionItem, CompletionParams,
    DidChangeWorkspaceFoldersParams, ExecuteCommandParams, Hover, HoverParams, InitializeParams,
    InitializeResult, InitializedParams, WorkDoneProgressCancelParams,
};
use serde_json::Value;
use tokio::sync::mpsc;
use tower_lsp::{ClientSocket, LanguageServer, LspService, jsonrpc::Result};

use crate::{
    config::LspConfig,
    handlers::{
        changes, code_action, code_action_resolve, code_lens, completion, configuration, content,
        execute_command, hover, initialize, progress_cancel, sync, workspace_folders,
    },
    session::{EditorSession, decision_queue::DecisionQueue},
};

/// Passes each method of the protocol to its handler.
pub(crate) struct LspServer(Arc<EditorSession>);

/// Builds the service of a connection.
///
/// Returns the service with all its methods, the socket to its client, the session, and the end at
/// which the decisions of its user come out.
pub(crate) fn build_service(
    editor_service: Arc<dyn EditorService>,
    config: LspConfig,
) -> (
    LspService<LspServer>,
    ClientSocket,
    Arc<EditorSession>,
    mpsc::UnboundedReceiver<Decision>,
) {
    let (decisions, receiver) = DecisionQueue::new();
    // Only handled methods are registered, so all others are refused as unknown. The parameters of
    // document changes have types of this crate, which tolerate more than those of the framework.
    let (service, socket) = LspService::build_with_lifecycle_methods(|client| {
        LspServer(Arc::new(EditorSession::new(
            client,
            editor_service,
            config,
            decisions,
        )))
    })
    .custom_method("textDocument/didOpen", LspServer::did_open)
    .custom_method("textDocument/didChange", LspServer::did_change)
    .custom_method("textDocument/didSave", LspServer::did_save)
    .custom_method("textDocument/didClose", LspServer::did_close)
    .custom_method("textDocument/codeAction", LspServer::list_actions)
    .custom_method("codeAction/resolve", LspServer::resolve_action)
    .custom_method("textDocument/codeLens", LspServer::list_lenses)
    .custom_method("textDocument/hover", LspServer::show_hover)
    .custom_method("textDocument/completion", LspServer::list_completions)
    .custom_method("workspace/executeCommand", LspServer::execute_command)
    .custom_method(
        "workspace/didChangeConfiguration",
        LspServer::did_change_configuration,
    )
    .custom_method("workspace/didChangeWatchedFiles", LspServer::ignore_message)
    .custom_method(
        "workspace/didChangeWorkspaceFolders",
        LspServer::change_folders,
    )
    .custom_method("window/workDoneProgress/cancel", LspServer::cancel_progress)
    .custom_method("$/setTrace", LspServer::ignore_message)
    .custom_method(method::CHANGES, LspServer::list_changes)
    .custom_method(method::CONTENT, LspServer::read_content)
    .finish();
    let session = service.inner().0.clone();
    (service, socket, session, receiver)
}

impl LanguageServer for LspServer {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        Ok(initialize::initialize(&self.0, &params))
    }

    async fn initialized(&self, _: InitializedParams) {
        initialize::initialized(&self.0);
    }

    /// Does nothing: the loop of the connection records that the client has sent `shutdown`.
    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }
}

impl LspServer {
    async fn did_open(&self, params: sync::DocumentOpened) {
        sync::did_open(&self.0, params);
    }

    async fn did_change(&self, params: sync::DocumentChanged) {
        sync::did_change(&self.0, params);
    }

    async fn did_save(&self, params: sync::DocumentSaved) {
        sync::did_save(&self.0, &params);
    }

    async fn did_close(&self, params: sync::DocumentClosed) {
        sync::did_close(&self.0, params);
    }

    async fn list_actions(&self, params: Value) -> Result<Vec<CodeActionResponse>> {
        let params = code_action::parse_params(params)?;
        Ok(code_action::list_actions(&self.0, &params).await)
    }

    async fn resolve_action(&self, action: CodeAction) -> Result<CodeAction> {
        code_action_resolve::resolve_action(&self.0, action).await
    }

    async fn list_lenses(&self, params: CodeLensParams) -> Result<Vec<CodeLens>> {
        Ok(code_lens::list_lenses(&self.0, &params).await)
    }

    async fn show_hover(&self, params: HoverParams) -> Result<Option<Hover>> {
        Ok(hover::show_hover(&self.0, &params).await)
    }

    async fn list_completions(
        &self,
        params: CompletionParams,
    ) -> Result<Option<Vec<CompletionItem>>> {
        Ok(completion::list_completions(&self.0, &params).await)
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Value> {
        execute_command::execute_command(&self.0, params).await
    }

    async fn did_change_configuration(&self, params: configuration::ConfigurationChanged) {
        configuration::did_change(&self.0, &params);
    }

    async fn change_folders(&self, params: DidChangeWorkspaceFoldersParams) {
        workspace_folders::change_folders(&self.0, &params);
    }

    async fn cancel_progress(&self, params: WorkDoneProgressCancelParams) {
        progress_cancel::cancel_progress(&self.0, &params);
    }

    async fn list_changes(&self, params: editor::ChangesParams) -> Result<editor::Changes> {
        changes::list_changes(&self.0, params).await
    }

    async fn read_content(
        &self,
        params: claudecluster_protocol::content::PendingContentParams,
    ) -> Result<claudecluster_protocol::content::PendingContent> {
        content::read_content(&self.0, params).await
    }

    /// Accepts a notification that clients send unasked and the server does not need.
    async fn ignore_message(&self, _: Value) {}
}
