//! Which method is handled where.

use std::sync::Arc;

use claudecluster_protocol::{editor::{self, method}};
use lsp_types::{
    CodeAction, CodeActionResponse, CodeLens, CodeLensParams, CompletionItem, CompletionParams,
    DidChangeWorkspaceFoldersParams, ExecuteCommandParams, Hover, HoverParams, InitializeParams,
    InitializeResult, InitializedParams, WorkDoneProgressCancelParams,
};
use serde_json::Value;
use tokio::sync::oneshot;
use tower_lsp::{ClientSocket, LanguageServer, LspService, jsonrpc::Result};

use crate::{
    Backend, LspConfig,
    handlers::{
        changes, code_action, code_action_resolve, code_lens, completion, configuration, content,
        execute_command, hover, initialize, progress_cancel, sync, workspace_folders,
    },
    session::Session,
};

/// The methods of the protocol, each handed to its handler.
pub(crate) struct Server(Arc<Session>);

/// A service with everything it handles registered, the socket to its client, the state they share,
/// and where the client's process id arrives.
pub(crate) fn build(
    backend: Arc<dyn Backend>,
    config: LspConfig,
) -> (
    LspService<Server>,
    ClientSocket,
    Arc<Session>,
    oneshot::Receiver<u32>,
) {
    let (parent, parent_id) = oneshot::channel();
    // Only what is handled is registered: everything else is refused as unknown, as it should be,
    // and the parameters of document changes are read by types of ours that forgive more.
    let (service, socket) = LspService::build_with_lifecycle_methods(|client| {
        Server(Arc::new(Session::new(client, backend, config, parent)))
    })
    .custom_method("textDocument/didOpen", Server::did_open)
    .custom_method("textDocument/didChange", Server::did_change)
    .custom_method("textDocument/didSave", Server::did_save)
    .custom_method("textDocument/didClose", Server::did_close)
    .custom_method("textDocument/codeAction", Server::code_action)
    .custom_method("codeAction/resolve", Server::code_action_resolve)
    .custom_method("textDocument/codeLens", Server::code_lens)
    .custom_method("textDocument/hover", Server::hover)
    .custom_method("textDocument/completion", Server::completion)
    .custom_method("workspace/executeCommand", Server::execute_command)
    .custom_method(
        "workspace/didChangeConfiguration",
        Server::did_change_configuration,
    )
    .custom_method("workspace/didChangeWatchedFiles", Server::ignore)
    .custom_method(
        "workspace/didChangeWorkspaceFolders",
        Server::workspace_folders,
    )
    .custom_method("window/workDoneProgress/cancel", Server::progress_cancel)
    .custom_method("$/setTrace", Server::ignore)
    .custom_method(method::CHANGES, Server::changes)
    .custom_method(method::CONTENT, Server::content)
    .finish();
    let session = service.inner().0.clone();
    (service, socket, session, parent_id)
}

impl LanguageServer for Server {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        Ok(initialize::initialize(&self.0, &params))
    }

    async fn initialized(&self, _: InitializedParams) {
        initialize::initialized(&self.0);
    }

    async fn shutdown(&self) -> Result<()> {
        self.0.set_shutdown();
        Ok(())
    }
}

impl Server {
    async fn did_open(&self, params: sync::DidOpen) {
        sync::did_open(&self.0, params);
    }

    async fn did_change(&self, params: sync::DidChange) {
        sync::did_change(&self.0, params);
    }

    async fn did_save(&self, params: sync::DidSave) {
        sync::did_save(&self.0, &params);
    }

    async fn did_close(&self, params: sync::DidClose) {
        sync::did_close(&self.0, params);
    }

    async fn code_action(&self, params: Value) -> Result<Vec<CodeActionResponse>> {
        let params = code_action::read(params)?;
        Ok(code_action::handle(&self.0, &params).await)
    }

    async fn code_action_resolve(&self, action: CodeAction) -> Result<CodeAction> {
        code_action_resolve::handle(&self.0, action).await
    }

    async fn code_lens(&self, params: CodeLensParams) -> Result<Vec<CodeLens>> {
        Ok(code_lens::handle(&self.0, &params).await)
    }

    async fn hover(&self, params: HoverParams) -> Result<Option<Hover>> {
        Ok(hover::handle(&self.0, &params).await)
    }

    async fn completion(&self, params: CompletionParams) -> Result<Option<Vec<CompletionItem>>> {
        Ok(completion::handle(&self.0, &params).await)
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Value> {
        execute_command::handle(&self.0, params).await
    }

    async fn did_change_configuration(&self, params: configuration::DidChange) {
        configuration::did_change(&self.0, &params);
    }

    async fn workspace_folders(&self, params: DidChangeWorkspaceFoldersParams) {
        workspace_folders::handle(&self.0, &params);
    }

    async fn progress_cancel(&self, params: WorkDoneProgressCancelParams) {
        progress_cancel::handle(&self.0, &params);
    }

    async fn changes(&self, params: editor::ChangesParams) -> Result<editor::Changes> {
        changes::handle(&self.0, params).await
    }

    async fn content(&self, params: claudecluster_protocol::content::PendingContentParams) -> Result<claudecluster_protocol::content::PendingContent> {
        content::handle(&self.0, params).await
    }

    /// What clients send whether or not it is wanted.
    async fn ignore(&self, _: Value) {}
}
