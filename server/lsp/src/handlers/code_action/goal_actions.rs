//! Goals offered for a place of a document.
//!
//! The offers come from diagnostics of other servers, from comments that name work to do, and from
//! tests. Their prompts are complete, so every client can start them.

use claudecluster_core::display_text::line as plain_text;
use claudecluster_protocol::editor::{ScopeArgs, SubmitArgs, command};
use lsp_types::{CodeAction, CodeActionParams, CodeActionTriggerKind};

use super::{
    comments,
    goal_offer::{GoalOffer, OfferContext},
    problems, test_functions,
};
use crate::{
    commands::{new_command, to_quick_fix},
    documents::{DocumentSnapshot, anchor::create_anchor, lines::covered_lines},
    session::EditorSession,
    uri,
};

/// The most characters of others' words in the title of an action.
const LONGEST_TITLE: usize = 60;

/// Lists the goals that can be started from a place of an open document.
pub(super) fn list_offers(
    session: &EditorSession,
    document: &DocumentSnapshot,
    params: &CodeActionParams,
) -> Vec<CodeAction> {
    let Some(path) = document
        .path
        .as_deref()
        .and_then(|path| uri::relative_to(&session.root_of(path)?, path))
    else {
        return Vec::new();
    };
    let context = OfferContext {
        document,
        path,
        lines: covered_lines(params.range),
        automatic: params.context.trigger_kind == Some(CodeActionTriggerKind::Automatic),
        settings: session.settings.current(),
    };
    let mut offers = problems::offer_fixes(&context, &params.context.diagnostics);
    offers.extend(comments::offer_todos(&context));
    offers.extend(test_functions::offer_test(&context));
    offers
        .into_iter()
        .map(|offer| to_action(&context, offer))
        .collect()
}

/// Creates the code action of an offer.
fn to_action(context: &OfferContext<'_>, offer: GoalOffer) -> CodeAction {
    // A diagnostic may be for a text that had more lines.
    let range = offer.range.map(|range| {
        let last = context.text().len();
        let first = (range.start_line as usize).min(last.saturating_sub(1));
        let end = (range.end_line as usize).max(first + 1);
        context.text().range(first, end)
    });
    let argument = SubmitArgs {
        prompt: offer.prompt,
        scope: Some(ScopeArgs {
            kind: Some(offer.kind),
            uris: vec![context.document.uri.to_string()],
            globs: Vec::new(),
            range,
            anchor: range.map(|range| create_anchor(context.document, range)),
        }),
        // Clients ignore the reply to the command of an action, so the server asks the user.
        ask: Some(true),
        ..SubmitArgs::default()
    };
    let title = format!(
        "{}: {}",
        offer.verb,
        plain_text::to_line(&offer.about, LONGEST_TITLE)
    );
    let argument = serde_json::to_value(argument).unwrap_or_default();
    CodeAction {
        diagnostics: offer.fixes.map(|problem| vec![problem]),
        ..to_quick_fix(new_command(command::GOAL_SUBMIT, title, argument))
    }
}
