//! Edits of a document for a client.

use claudecluster_core::text;
use lsp_types::{
    OptionalVersionedTextDocumentIdentifier, Range, TextDocumentEdit, TextDocumentIdentifier,
    TextEdit, WorkspaceEdit,
};

use crate::{
    documents::{DocumentSnapshot, lines::to_lsp_position},
    session::capabilities::EditorCapabilities,
};

/// Creates the edit that turns a document into `after`.
///
/// The edit has a version if the client checks versions. It is for one document only, because some
/// clients check the version of the first document only.
pub(crate) fn to_workspace_edit(
    document: &DocumentSnapshot,
    after: &str,
    client: &EditorCapabilities,
) -> WorkspaceEdit {
    let edits: Vec<_> = text::text_edits(
        &document.text.to_string(),
        after,
        client.encoding,
        client.edit_shape,
    )
    .into_iter()
    .map(|edit| TextEdit {
        range: Range {
            start: to_lsp_position(edit.range.start),
            end: to_lsp_position(edit.range.end),
        },
        new_text: edit.new_text,
    })
    .collect();
    let Some(version) = client.edit_version(document.version) else {
        return WorkspaceEdit {
            changes: Some([(document.uri.clone(), edits)].into()),
            ..WorkspaceEdit::default()
        };
    };
    let edit = TextDocumentEdit {
        text_document: OptionalVersionedTextDocumentIdentifier {
            version: Some(version),
            text_document_identifier: TextDocumentIdentifier {
                uri: document.uri.clone(),
            },
        },
        edits: edits.into_iter().map(Into::into).collect(),
    };
    WorkspaceEdit {
        document_changes: Some(vec![edit.into()]),
        ..WorkspaceEdit::default()
    }
}

/// Returns the reason to refuse an edit that the client would apply at the wrong lines.
///
/// This concerns texts with a lone carriage return, before or after the edit, in clients that do not
/// count it as a line ending.
pub(crate) fn unsupported_line_endings(
    document: &DocumentSnapshot,
    after: &str,
    capabilities: &EditorCapabilities,
) -> Option<&'static str> {
    let has_return = || {
        let mut text = document.text.bytes().chain([b' ']).chain(after.bytes());
        let mut before = None;
        text.any(|byte| {
            let lone = before == Some(b'\r') && byte != b'\n';
            before = Some(byte);
            lone
        }) || before == Some(b'\r')
    };
    (capabilities.ignores_returns && has_return()).then_some(
        "the text has a carriage return without a line feed, which this editor counts \
         differently; close the file in the editor, then accept the change again",
    )
}

#[cfg(test)]
mod tests {
    use lsp_types::Uri;
    use ropey::Rope;

    use super::*;

    #[test]
    fn a_lone_return_is_refused_for_clients_that_end_no_line_there() {
        let check = |ignores_returns, text: &str, after, refused: bool| {
            let document = DocumentSnapshot {
                uri: Uri::parse("file:///w/a").unwrap(),
                path: None,
                version: 1,
                edited: None,
                text: Rope::from_str(text),
            };
            let capabilities = EditorCapabilities {
                ignores_returns,
                ..EditorCapabilities::default()
            };
            let found = unsupported_line_endings(&document, after, &capabilities);
            assert_eq!(found.is_some(), refused, "{text:?} {after:?}");
        };
        check(true, "a\r\nb\r\n", "a\r\nc\r\n", false);
        check(true, "a\rb\n", "a\n", true);
        check(true, "a\n", "a\rb\n", true);
        check(true, "a\r", "a", true);
        check(true, "a", "a\r", true);
        check(false, "a\rb\n", "a\rc\n", false);
    }
}
