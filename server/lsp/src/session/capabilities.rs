//! The client's capabilities, resolved once at `initialize`.
//!
//! Architecture invariant: no other module reads the capabilities that the client sent.

use claudecluster_core::text::{EditShape, PositionEncoding};
use lsp_types::{
    CompletionClientCapabilities, InitializeParams, MarkupKind, PositionEncodingKind,
    ResourceOperationKind, WorkspaceEditClientCapabilities,
};

/// The client's command that asks its user for a goal. It takes one object `{uri, range}`.
///
/// The client registers this command itself, so its name differs from all commands of the server.
pub(crate) const PROMPT_COMMAND: &str = "claudecluster.client.prompt";

/// The client's command that asks its user for a reason and then runs a command of the server.
///
/// It takes one object `{prompt, command, argument}` and adds the answer to the argument as `reason`.
pub(crate) const REASON_COMMAND: &str = "claudecluster.client.reason";

/// The client's capabilities and known deviations from the protocol.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct EditorCapabilities {
    /// The client's name and version.
    pub(crate) name: String,
    /// The unit of columns.
    pub(crate) encoding: PositionEncoding,
    /// The client answers `workspace/applyEdit`.
    pub(crate) apply_edit: bool,
    /// The client checks the version of an edit, so a stale edit cannot be applied.
    pub(crate) versioned_edits: bool,
    /// The client deletes files on the server's request.
    pub(crate) deletes_files: bool,
    /// The client reads an edit for version 0 as an edit without a version.
    pub(crate) ignores_version_zero: bool,
    /// The client does not end a line at a lone carriage return, as the protocol requires.
    ///
    /// Positions in a text with a lone carriage return differ for such a client.
    pub(crate) ignores_returns: bool,
    /// What edits at the end of a document look like.
    pub(crate) edit_shape: EditShape,
    /// The client shows progress that the server starts.
    pub(crate) progress: bool,
    /// The client accepts code actions; otherwise it accepts commands only.
    pub(crate) code_actions: bool,
    /// The client requests the edit of a code action when the user chooses the action.
    pub(crate) resolves_edits: bool,
    /// The client shows disabled code actions with their reason.
    pub(crate) disabled_actions: bool,
    /// The client accepts a dynamic registration of completion.
    pub(crate) registers_completion: bool,
    /// The client supports snippets in completions.
    pub(crate) snippets: bool,
    /// The client prefers Markdown in hovers.
    pub(crate) markdown: bool,
    /// The client opens documents on the server's request.
    pub(crate) shows_documents: bool,
    /// The client answers `workspace/codeLens/refresh`.
    pub(crate) refreshes_lenses: bool,
    /// The client answers `workspace/configuration`.
    pub(crate) configuration: bool,
    /// The client reports changed settings only after a dynamic registration.
    pub(crate) registers_configuration: bool,
}

impl EditorCapabilities {
    /// Returns the version to send with an edit of a document; `None` if the client checks none.
    ///
    /// Neovim opens documents at version 0 and ignores an edit's version 0. It compares for a newer
    /// version only, so 1 stands for 0: an unchanged document is not newer, and a changed one is.
    pub(crate) fn edit_version(&self, version: i32) -> Option<i32> {
        let first = if self.ignores_version_zero { 1 } else { 0 };
        self.versioned_edits
            .then_some(if version == 0 { first } else { version })
    }

    /// Resolves the capabilities of a client.
    pub(crate) fn resolve(params: &InitializeParams) -> Self {
        let capabilities = &params.capabilities;
        let workspace = capabilities.workspace.as_ref();
        let actions = capabilities
            .text_document
            .as_ref()
            .and_then(|document| document.code_action.as_ref());
        Self {
            name: client_name(params),
            encoding: choose_encoding(params),
            apply_edit: workspace.and_then(|w| w.apply_edit) == Some(true),
            versioned_edits: checks_versions(params),
            deletes_files: workspace.and_then(|w| w.apply_edit) == Some(true)
                && resource_operations(params).contains(&ResourceOperationKind::Delete),
            ignores_version_zero: is_client(params, NEOVIM),
            ignores_returns: is_client(params, NEOVIM),
            edit_shape: if is_client(params, NEOVIM) {
                EditShape::InLines
            } else {
                EditShape::Plain
            },
            progress: capabilities
                .window
                .as_ref()
                .and_then(|window| window.work_done_progress)
                == Some(true),
            code_actions: actions.is_some_and(|a| a.code_action_literal_support.is_some()),
            resolves_edits: actions.is_some_and(|actions| {
                let properties = actions
                    .resolve_support
                    .as_ref()
                    .map(|r| r.properties.as_slice());
                // Edit and command must be resolved together: otherwise the command could report an
                // edit that was not made.
                let has = |name: &str| {
                    properties.is_some_and(|properties| properties.iter().any(|p| p == name))
                };
                actions.data_support == Some(true) && has("edit") && has("command")
            }),
            disabled_actions: actions.and_then(|a| a.disabled_support) == Some(true),
            registers_completion: completion_capabilities(params)
                .and_then(|completion| completion.dynamic_registration)
                == Some(true),
            snippets: completion_capabilities(params)
                .and_then(|completion| completion.completion_item.as_ref())
                .and_then(|item| item.snippet_support)
                == Some(true),
            markdown: prefers_markdown(params),
            shows_documents: shows_documents(params),
            refreshes_lenses: workspace
                .and_then(|w| w.code_lens.as_ref())
                .and_then(|lens| lens.refresh_support)
                == Some(true),
            configuration: workspace.and_then(|w| w.configuration) == Some(true),
            registers_configuration: workspace
                .and_then(|w| w.did_change_configuration.as_ref())
                .and_then(|told| told.dynamic_registration)
                == Some(true),
        }
    }
}

/// The names of clients that deviate from the protocol.
const NEOVIM: &str = "Neovim";
const HELIX: &str = "helix";

fn is_client(params: &InitializeParams, name: &str) -> bool {
    let info = params.client_info.as_ref();
    info.is_some_and(|info| info.name == name)
}

fn client_name(params: &InitializeParams) -> String {
    let Some(info) = &params.client_info else {
        return "an editor".to_owned();
    };
    // The version that lsp-mode sends describes the build of Emacs in several lines.
    let version = info.version.as_deref().and_then(|v| v.lines().next());
    match version {
        Some(version) => format!("{} {version}", info.name),
        None => info.name.clone(),
    }
}

/// Returns the client's preferred encoding. The server supports all of them.
fn choose_encoding(params: &InitializeParams) -> PositionEncoding {
    let offered = params
        .capabilities
        .general
        .as_ref()
        .and_then(|general| general.position_encodings.as_deref())
        .unwrap_or_default();
    offered
        .iter()
        .find_map(|kind| match kind {
            PositionEncodingKind::UTF8 => Some(PositionEncoding::Utf8),
            PositionEncodingKind::UTF16 => Some(PositionEncoding::Utf16),
            PositionEncodingKind::UTF32 => Some(PositionEncoding::Utf32),
            PositionEncodingKind::Custom(_) => None,
        })
        .unwrap_or(PositionEncoding::Utf16)
}

fn completion_capabilities(params: &InitializeParams) -> Option<&CompletionClientCapabilities> {
    let document = params.capabilities.text_document.as_ref()?;
    document.completion.as_ref()
}

/// Whether the client prefers Markdown. A client that names no format gets plain text.
fn prefers_markdown(params: &InitializeParams) -> bool {
    let hover = params
        .capabilities
        .text_document
        .as_ref()
        .and_then(|document| document.hover.as_ref());
    let formats = hover.and_then(|hover| hover.content_format.as_deref());
    formats.and_then(<[_]>::first) == Some(&MarkupKind::Markdown)
}

/// Whether the client checks the version of an edit.
///
/// Neovim does without announcing it. Other clients that announce only the list of resource operations
/// do not: yegappan/lsp ignores versions and reports an edit in several steps, so the text after the
/// first step does not mean that the edit was dropped.
fn checks_versions(params: &InitializeParams) -> bool {
    let edit = workspace_edit(params);
    edit.and_then(|edit| edit.document_changes) == Some(true) || is_client(params, NEOVIM)
}

/// Whether the client opens documents. Helix does since 24.03, and announces it after 25.07.
fn shows_documents(params: &InitializeParams) -> bool {
    let window = params.capabilities.window.as_ref();
    let told = window.and_then(|window| window.show_document.as_ref());
    told.is_some_and(|show| show.support) || is_client(params, HELIX)
}

/// Returns the file operations that the client supports.
fn resource_operations(params: &InitializeParams) -> &[ResourceOperationKind] {
    let edit = workspace_edit(params);
    edit.and_then(|edit| edit.resource_operations.as_deref())
        .unwrap_or_default()
}

fn workspace_edit(params: &InitializeParams) -> Option<&WorkspaceEditClientCapabilities> {
    let workspace = params.capabilities.workspace.as_ref()?;
    workspace.workspace_edit.as_ref()
}

/// Converts the unit of columns for the protocol.
pub(crate) fn to_encoding_kind(encoding: PositionEncoding) -> PositionEncodingKind {
    match encoding {
        PositionEncoding::Utf8 => PositionEncodingKind::UTF8,
        PositionEncoding::Utf16 => PositionEncodingKind::UTF16,
        PositionEncoding::Utf32 => PositionEncodingKind::UTF32,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn resolve(params: Value) -> EditorCapabilities {
        EditorCapabilities::resolve(&serde_json::from_value(params).unwrap())
    }

    #[test]
    fn a_client_that_says_nothing_gets_the_least() {
        let expected = EditorCapabilities {
            name: "an editor".into(),
            ..EditorCapabilities::default()
        };
        assert_eq!(resolve(json!({"capabilities": {}})), expected);
    }

    #[test]
    fn neovim() {
        let capabilities = resolve(json!({
            "clientInfo": {"name": "Neovim", "version": "0.11.4"},
            "capabilities": {
                "general": {"positionEncodings": ["utf-8", "utf-16", "utf-32"]},
                "workspace": {
                    "applyEdit": true,
                    "configuration": true,
                    "workspaceEdit": {"resourceOperations": ["rename", "create", "delete"]},
                },
                "textDocument": {
                    "codeAction": {
                        "codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}},
                        "dataSupport": true,
                        "resolveSupport": {"properties": ["edit", "command"]},
                    },
                    "hover": {"contentFormat": ["markdown", "plaintext"]},
                },
                "window": {"workDoneProgress": true, "showDocument": {"support": true}},
            },
        }));
        let expected = EditorCapabilities {
            name: "Neovim 0.11.4".into(),
            encoding: PositionEncoding::Utf8,
            apply_edit: true,
            versioned_edits: true,
            deletes_files: true,
            ignores_version_zero: true,
            ignores_returns: true,
            edit_shape: EditShape::InLines,
            progress: true,
            code_actions: true,
            resolves_edits: true,
            markdown: true,
            shows_documents: true,
            configuration: true,
            ..EditorCapabilities::default()
        };
        assert_eq!(capabilities, expected);
    }

    #[test]
    fn the_clients_preference_decides_the_encoding() {
        let check = |offered: &[&str], expected| {
            let capabilities = json!({"general": {"positionEncodings": offered}});
            let resolved = resolve(json!({ "capabilities": capabilities }));
            assert_eq!(resolved.encoding, expected, "{offered:?}");
        };
        check(&[], PositionEncoding::Utf16);
        check(&["utf-16"], PositionEncoding::Utf16);
        check(&["utf-32", "utf-8", "utf-16"], PositionEncoding::Utf32);
        check(&["utf-7", "utf-8"], PositionEncoding::Utf8);
    }

    #[test]
    fn versioned_edits_are_for_who_looks_at_the_version() {
        let check = |name: &str, edit: Value, expected| {
            let resolved = resolve(json!({
                "clientInfo": {"name": name},
                "capabilities": {"workspace": {"workspaceEdit": edit}},
            }));
            assert_eq!(resolved.versioned_edits, expected, "{name}");
        };
        check("any", json!({}), false);
        check("any", json!({"documentChanges": true}), true);
        check("Neovim", json!({"resourceOperations": ["create"]}), true);
        check("Vim", json!({"resourceOperations": ["create"]}), false);
    }

    #[test]
    fn a_name_is_one_line() {
        let info = json!({"name": "emacs", "version": "GNU Emacs 28.2 (build 2)\n of 2025-02-27"});
        let resolved = resolve(json!({"clientInfo": info, "capabilities": {}}));
        assert_eq!(resolved.name, "emacs GNU Emacs 28.2 (build 2)");
    }

    #[test]
    fn helix_opens_documents_without_saying_so() {
        let resolved = resolve(json!({"clientInfo": {"name": "helix"}, "capabilities": {}}));
        assert!(resolved.shows_documents);
    }
}
