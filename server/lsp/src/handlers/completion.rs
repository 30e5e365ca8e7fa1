//! `textDocument/completion`: in plans, and nowhere else.

use lsp_types::{CompletionItem, CompletionParams};

use crate::{plan, session::Session};

pub(crate) async fn handle(
    session: &Session,
    params: &CompletionParams,
) -> Option<Vec<CompletionItem>> {
    // Before the first wait: the text as the client has it at this point of the wire.
    let at = &params.text_document_position_params;
    let document = session.documents.get(&at.text_document.uri)?;
    plan::complete(session, &document, params).await
}
