//! `textDocument/completion`: completion in plans.

use lsp_types::{CompletionItem, CompletionParams};

use crate::{plan, session::EditorSession};

/// Lists completions; `None` for documents that are not plans.
pub(crate) async fn list_completions(
    session: &EditorSession,
    params: &CompletionParams,
) -> Option<Vec<CompletionItem>> {
    // Before the first await: the text as the client has it at this point of the wire.
    let at = &params.text_document_position_params;
    let document = session.documents.get(&at.text_document.uri)?;
    plan::complete_at(session, &document, params).await
}
