//! `textDocument/hover`: the tasks that changed a line or propose to, with their reasons.

use std::fmt::Write;

use claudecluster_core::display_text::{line as plain_text, markdown::escape_text};
use claudecluster_protocol::change::{HunkOrigin, HunkOriginState, Provenance};
use lsp_types::{Hover, HoverParams, MarkupContent, MarkupKind, Range};

use crate::{hunks, phrases::short_title, plan, session::EditorSession};

/// Describes the changes on a line, or a key or value of a plan.
pub(crate) async fn show_hover(session: &EditorSession, params: &HoverParams) -> Option<Hover> {
    let at = &params.text_document_position_params;
    // Before the first await: the text as the client has it at this point of the wire.
    let document = session.documents.get(&at.text_document.uri)?;
    if let Some(explained) = plan::explain_item(session, &document, params) {
        return Some(explained);
    }
    let here = Range {
        start: at.position,
        end: at.position,
    };
    let mut origins = hunks::line_origins(session, &document).await;
    origins.retain(|origin| hunks::origin_touches(&document, origin, here));
    if origins.is_empty() {
        return None;
    }
    let (kind, value) = if session.capabilities().markdown {
        let parts: Vec<_> = origins.iter().map(to_markdown).collect();
        (MarkupKind::Markdown, parts.join("\n\n---\n\n"))
    } else {
        let parts: Vec<_> = origins.iter().map(to_plain_text).collect();
        (MarkupKind::PlainText, parts.join("\n\n"))
    };
    Some(Hover {
        contents: MarkupContent { kind, value }.into(),
        range: None,
    })
}

fn state_title(origin: &HunkOrigin) -> &'static str {
    match origin.state {
        HunkOriginState::Pending => "Pending change",
        HunkOriginState::Conflict => "Conflicting change",
        HunkOriginState::Landed => "Accepted change",
    }
}

fn attempt_title(by: &Provenance) -> String {
    format!("task {}, attempt {}", by.task, by.attempt.0)
}

fn to_markdown(origin: &HunkOrigin) -> String {
    let goal = escape_text(&short_title(&origin.prompt));
    let mut out = format!("**{}** · {} · {goal}", state_title(origin), origin.goal_id);
    for by in &origin.provenance {
        let title = escape_text(&short_title(&by.title));
        let _ = write!(out, "\n\n{title} ({})", escape_text(&attempt_title(by)));
        for line in by
            .why
            .as_deref()
            .map(escape_text)
            .iter()
            .flat_map(|w| w.lines())
        {
            let _ = write!(out, "\n> {line}");
        }
    }
    out
}

fn to_plain_text(origin: &HunkOrigin) -> String {
    plain_text::to_message(&describe_origin(origin))
}

fn describe_origin(origin: &HunkOrigin) -> String {
    let goal = short_title(&origin.prompt);
    let mut out = format!("{} · {} · {goal}", state_title(origin), origin.goal_id);
    for by in &origin.provenance {
        let title = short_title(&by.title);
        let _ = write!(out, "\n{title} ({})", attempt_title(by));
        for line in by.why.iter().flat_map(|why| why.trim().lines()) {
            let _ = write!(out, "\n  {}", line.trim_end());
        }
    }
    out
}
