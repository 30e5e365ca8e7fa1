//! `initialize` and `initialized`.

use std::sync::Arc;

use claudecluster_protocol::editor::command;
use lsp_types::{
    CodeActionKind, CodeActionOptions, CodeLensOptions, ExecuteCommandOptions, InitializeParams,
    InitializeResult, RootPath, SaveOptions, ServerCapabilities, ServerInfo, TextDocumentSyncKind,
    TextDocumentSyncOptions, Uri, WorkspaceFolders, WorkspaceFoldersServerCapabilities,
    WorkspaceOptions,
};

use crate::{
    client::{self, Capabilities},
    handlers::{code_action, configuration, execute_command},
    leaving, pending, plan, publish,
    session::Session,
    watch,
};

pub(crate) fn initialize(session: &Arc<Session>, params: &InitializeParams) -> InitializeResult {
    session.set_capabilities(Capabilities::new(params));
    session
        .settings
        .initialize(params.initialization_options.as_ref());
    session.change_roots(&[], &folders(params));
    if let Some(pid) = params.process_id.and_then(|pid| u32::try_from(pid).ok()) {
        session.set_parent(pid);
    }
    // From here on the driver may ask for documents. It asks for edits only after one was opened.
    session.attach();
    let decisions = session.take_decisions();
    // Not one of the session's tasks: what the user has decided is decided.
    tokio::spawn(execute_command::carry_out_decisions(
        session.clone(),
        decisions,
    ));
    InitializeResult {
        capabilities: capabilities(session),
        server_info: Some(ServerInfo {
            name: "claudecluster".into(),
            version: Some(session.config.version.clone()),
        }),
    }
}

pub(crate) fn initialized(session: &Arc<Session>) {
    configuration::start(session);
    watch::start(session);
    session.spawn(publish::run(session.clone()));
    session.spawn(publish::follow(session.clone()));
    session.spawn(pending::run(session.clone()));
    session.spawn(leaving::run(session.clone()));
    plan::register_completion(session);
}

#[expect(
    deprecated,
    reason = "clients that predate workspace folders send nothing else"
)]
/// The workspace folders, in whichever of three ways the client names them.
fn folders(params: &InitializeParams) -> Vec<Uri> {
    let folders = &params.workspace_folders_initialize_params.workspace_folders;
    if let Some(WorkspaceFolders::WorkspaceFolderList(folders)) = folders
        && !folders.is_empty()
    {
        return folders.iter().map(|folder| folder.uri.clone()).collect();
    }
    if let Some(root) = &params.root_uri {
        return vec![root.clone()];
    }
    match &params.root_path {
        Some(RootPath::String(path)) => Uri::from_directory_path(path).into_iter().collect(),
        Some(RootPath::Null) | None => Vec::new(),
    }
}

fn capabilities(session: &Session) -> ServerCapabilities {
    let kinds = vec![CodeActionKind::QuickFix, code_action::goal_kind()];
    ServerCapabilities {
        position_encoding: Some(client::encoding_kind(session.encoding())),
        text_document_sync: Some(
            TextDocumentSyncOptions {
                open_close: Some(true),
                change: Some(TextDocumentSyncKind::Incremental),
                save: Some(
                    SaveOptions {
                        include_text: Some(false),
                    }
                    .into(),
                ),
                ..TextDocumentSyncOptions::default()
            }
            .into(),
        ),
        code_action_provider: Some(
            CodeActionOptions {
                code_action_kinds: Some(kinds),
                resolve_provider: Some(true),
                ..CodeActionOptions::default()
            }
            .into(),
        ),
        code_lens_provider: Some(CodeLensOptions {
            resolve_provider: Some(false),
            ..CodeLensOptions::default()
        }),
        hover_provider: Some(true.into()),
        completion_provider: plan::completion_options(session),
        execute_command_provider: Some(ExecuteCommandOptions {
            commands: command::ALL.iter().map(|&name| name.to_owned()).collect(),
            ..ExecuteCommandOptions::default()
        }),
        workspace: Some(WorkspaceOptions {
            workspace_folders: Some(WorkspaceFoldersServerCapabilities {
                supported: Some(true),
                change_notifications: Some(true.into()),
            }),
            ..WorkspaceOptions::default()
        }),
        ..ServerCapabilities::default()
    }
}
