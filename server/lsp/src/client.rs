//! What the client can do, resolved once. Nothing else reads what it sent.

use claudecluster_core::text::PositionEncoding;
use lsp_types::{
    CompletionClientCapabilities, InitializeParams, MarkupKind, PositionEncodingKind,
    ResourceOperationKind, WorkspaceEditClientCapabilities,
};

/// The command an editor offers where it can ask its user for a goal; it takes one object
/// `{uri, range}`. It is the editor's own, so its name differs from all of the server's.
pub(crate) const PROMPT_COMMAND: &str = "claudecluster.client.prompt";

/// The command of such an editor that asks its user why, and then runs a command of the server with
/// the answer as its `reason`; it takes one object `{prompt, command, argument}`.
pub(crate) const REASON_COMMAND: &str = "claudecluster.client.reason";

/// What the client can do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Capabilities {
    /// Name and version, as the client gave them.
    pub(crate) name: String,
    /// The unit of columns.
    pub(crate) encoding: PositionEncoding,
    /// It makes edits the server asks for.
    pub(crate) apply_edit: bool,
    /// It takes edits with a version, so that a stale one cannot land.
    pub(crate) versioned_edits: bool,
    /// It deletes files the server asks it to delete.
    pub(crate) deletes_files: bool,
    /// It takes an edit for version 0 for one without a version, though it opens documents with that one.
    pub(crate) ignores_version_zero: bool,
    /// A lone carriage return ends no line for it, against the protocol: its positions in a text with
    /// one are others.
    pub(crate) ignores_returns: bool,
    /// It shows progress the server starts.
    pub(crate) progress: bool,
    /// It takes code actions; commands only where it does not.
    pub(crate) code_actions: bool,
    /// It asks for the edit of a code action when the user has chosen it.
    pub(crate) resolves_edits: bool,
    /// It shows code actions that cannot be taken, with the reason.
    pub(crate) disabled_actions: bool,
    /// It can be told later for which files there are completions.
    pub(crate) registers_completion: bool,
    /// It fills in completions with a place for the cursor.
    pub(crate) snippets: bool,
    /// It renders Markdown where the mouse rests.
    pub(crate) markdown: bool,
    /// It opens documents the server names.
    pub(crate) shows_documents: bool,
    /// It takes a hint to ask for code lenses again.
    pub(crate) refreshes_lenses: bool,
    /// It answers questions for its settings.
    pub(crate) configuration: bool,
    /// It tells of changes to its settings where it has been asked to.
    pub(crate) registers_configuration: bool,
}

impl Capabilities {
    /// The version that an edit of a document at this one is for, where the client takes one. Neovim counts
    /// from 0 but never back to 1: a document that has not changed is not newer than that, and any other is.
    pub(crate) fn version_of(&self, version: i32) -> Option<i32> {
        let first = if self.ignores_version_zero { 1 } else { 0 };
        self.versioned_edits
            .then_some(if version == 0 { first } else { version })
    }

    pub(crate) fn new(params: &InitializeParams) -> Self {
        let capabilities = &params.capabilities;
        let workspace = capabilities.workspace.as_ref();
        let actions = capabilities
            .text_document
            .as_ref()
            .and_then(|document| document.code_action.as_ref());
        Self {
            name: name(params),
            encoding: encoding(params),
            apply_edit: workspace.and_then(|w| w.apply_edit) == Some(true),
            versioned_edits: versioned_edits(params),
            deletes_files: workspace.and_then(|w| w.apply_edit) == Some(true)
                && resource_operations(params).contains(&ResourceOperationKind::Delete),
            ignores_version_zero: is(params, NEOVIM),
            ignores_returns: is(params, NEOVIM),
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
                // Edit and command have to come together: a command that reports an edit that was
                // not made would be wrong.
                let has = |name: &str| {
                    properties.is_some_and(|properties| properties.iter().any(|p| p == name))
                };
                actions.data_support == Some(true) && has("edit") && has("command")
            }),
            disabled_actions: actions.and_then(|a| a.disabled_support) == Some(true),
            registers_completion: completion(params)
                .and_then(|completion| completion.dynamic_registration)
                == Some(true),
            snippets: completion(params)
                .and_then(|completion| completion.completion_item.as_ref())
                .and_then(|item| item.snippet_support)
                == Some(true),
            markdown: markdown(params),
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

/// The names that clients with ways of their own give themselves.
const NEOVIM: &str = "Neovim";
const HELIX: &str = "helix";

fn is(params: &InitializeParams, name: &str) -> bool {
    let info = params.client_info.as_ref();
    info.is_some_and(|info| info.name == name)
}

fn name(params: &InitializeParams) -> String {
    let Some(info) = &params.client_info else {
        return "an editor".to_owned();
    };
    // lsp-mode tells in several lines how its Emacs was built.
    let version = info.version.as_deref().and_then(|v| v.lines().next());
    match version {
        Some(version) => format!("{} {version}", info.name),
        None => info.name.clone(),
    }
}

/// The client's list is in the order of its preference, and we can do all of them.
fn encoding(params: &InitializeParams) -> PositionEncoding {
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

fn completion(params: &InitializeParams) -> Option<&CompletionClientCapabilities> {
    let document = params.capabilities.text_document.as_ref()?;
    document.completion.as_ref()
}

/// The formats are in the order of the client's preference. One that names none gets plain text.
fn markdown(params: &InitializeParams) -> bool {
    let hover = params
        .capabilities
        .text_document
        .as_ref()
        .and_then(|document| document.hover.as_ref());
    let formats = hover.and_then(|hover| hover.content_format.as_deref());
    formats.and_then(<[_]>::first) == Some(&MarkupKind::Markdown)
}

/// Neovim takes versioned edits without saying so. Nobody else does: yegappan/lsp reads the same list, but
/// looks at no version, and makes an edit in steps that it tells one by one; the text after the first is no
/// sign that the edit was dropped.
fn versioned_edits(params: &InitializeParams) -> bool {
    let edit = workspace_edit(params);
    edit.and_then(|edit| edit.document_changes) == Some(true) || is(params, NEOVIM)
}

/// Helix opens them from 24.03 on, and says so after 25.07.
fn shows_documents(params: &InitializeParams) -> bool {
    let window = params.capabilities.window.as_ref();
    let told = window.and_then(|window| window.show_document.as_ref());
    told.is_some_and(|show| show.support) || is(params, HELIX)
}

/// What the client can do with files. It comes in the same list as versioned edits.
fn resource_operations(params: &InitializeParams) -> &[ResourceOperationKind] {
    let edit = workspace_edit(params);
    edit.and_then(|edit| edit.resource_operations.as_deref())
        .unwrap_or_default()
}

fn workspace_edit(params: &InitializeParams) -> Option<&WorkspaceEditClientCapabilities> {
    let workspace = params.capabilities.workspace.as_ref()?;
    workspace.workspace_edit.as_ref()
}

/// The unit of columns, as the protocol writes it.
pub(crate) fn encoding_kind(encoding: PositionEncoding) -> PositionEncodingKind {
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

    fn resolve(params: Value) -> Capabilities {
        Capabilities::new(&serde_json::from_value(params).unwrap())
    }

    #[test]
    fn a_client_that_says_nothing_gets_the_least() {
        let expected = Capabilities {
            name: "an editor".into(),
            ..Capabilities::default()
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
        let expected = Capabilities {
            name: "Neovim 0.11.4".into(),
            encoding: PositionEncoding::Utf8,
            apply_edit: true,
            versioned_edits: true,
            deletes_files: true,
            ignores_version_zero: true,
            ignores_returns: true,
            progress: true,
            code_actions: true,
            resolves_edits: true,
            markdown: true,
            shows_documents: true,
            configuration: true,
            ..Capabilities::default()
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
