//! `initialize` and `initialized`.

use std::sync::Arc;

use claudecluster_protocol::editor::command;
use lsp_types::{
    CodeActionKind, CodeActionOptions, CodeLensOptions, ExecuteCommandOptions, InitializeParams,
    InitializeResult, RootPath, SaveOptions, ServerCapabilities, ServerInfo, TextDocumentSyncKind,
    TextDocumentSyncOptions, Uri, WorkspaceFolders, WorkspaceFoldersServerCapabilities,
    WorkspaceOptions,
};

use super::configuration;
use crate::{
    background,
    commands::goal_action_kind,
    plan,
    session::{
        EditorSession,
        capabilities::{EditorCapabilities, to_encoding_kind},
    },
};

/// Resolves the client's capabilities, settings and folders, and attaches the editor to the driver.
pub(crate) fn initialize(
    session: &Arc<EditorSession>,
    params: &InitializeParams,
) -> InitializeResult {
    session.set_capabilities(EditorCapabilities::resolve(params));
    session
        .settings
        .read_options(params.initialization_options.as_ref());
    session.update_roots(&[], &workspace_folders(params));
    if let Some(pid) = params.process_id.and_then(|pid| u32::try_from(pid).ok()) {
        // `initialize` succeeds once, so the id is never set twice.
        let _ = session.client_process.set(pid);
    }
    // From here on the driver may ask for documents. It asks for edits only after one was opened.
    session.attach_editor();
    InitializeResult {
        capabilities: server_capabilities(session),
        server_info: Some(ServerInfo {
            name: "claudecluster".into(),
            version: Some(session.config.version.clone()),
        }),
    }
}

/// Starts the background tasks and asks the client for its settings.
pub(crate) fn initialized(session: &Arc<EditorSession>) {
    configuration::request_initial(session);
    background::start_tasks(session);
    plan::register_completion(session);
}

#[expect(
    deprecated,
    reason = "clients that predate workspace folders send nothing else"
)]
/// Returns the workspace folders, from the newest of three fields that the client has set.
fn workspace_folders(params: &InitializeParams) -> Vec<Uri> {
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

fn server_capabilities(session: &EditorSession) -> ServerCapabilities {
    let kinds = vec![CodeActionKind::QuickFix, goal_action_kind()];
    ServerCapabilities {
        position_encoding: Some(to_encoding_kind(session.encoding())),
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
