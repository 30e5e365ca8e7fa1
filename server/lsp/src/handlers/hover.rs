//! `textDocument/hover`: who wrote a line, or is about to, and why.

use std::fmt::Write;

use claudecluster_protocol::change::{Origin, OriginState, Provenance};
use lsp_types::{Hover, HoverParams, MarkupContent, MarkupKind, Range};

use crate::{hunks, markup, plan, progress, session::Session};

pub(crate) async fn handle(session: &Session, params: &HoverParams) -> Option<Hover> {
    let at = &params.text_document_position_params;
    // Before the first wait: the text as the client has it at this point of the wire.
    let document = session.documents.get(&at.text_document.uri)?;
    if let Some(explained) = plan::explain(session, &document, params) {
        return Some(explained);
    }
    let here = Range {
        start: at.position,
        end: at.position,
    };
    let mut origins = hunks::origins(session, &document).await;
    origins.retain(|origin| hunks::is_origin_of(&document, origin, here));
    if origins.is_empty() {
        return None;
    }
    let (kind, value) = if session.capabilities().markdown {
        let told: Vec<_> = origins.iter().map(markdown).collect();
        (MarkupKind::Markdown, told.join("\n\n---\n\n"))
    } else {
        let told: Vec<_> = origins.iter().map(plain).collect();
        (MarkupKind::PlainText, told.join("\n\n"))
    };
    Some(Hover {
        contents: MarkupContent { kind, value }.into(),
        range: None,
    })
}

fn state(origin: &Origin) -> &'static str {
    match origin.state {
        OriginState::Pending => "Pending change",
        OriginState::Conflict => "Conflicting change",
        OriginState::Landed => "Accepted change",
    }
}

fn made_by(by: &Provenance) -> String {
    format!("task {}, attempt {}", by.task, by.attempt.0)
}

fn markdown(origin: &Origin) -> String {
    let goal = markup::escape(&progress::title(&origin.prompt));
    let mut out = format!("**{}** · {} · {goal}", state(origin), origin.goal_id);
    for by in &origin.provenance {
        let title = markup::escape(&progress::title(&by.title));
        let _ = write!(out, "\n\n{title} ({})", markup::escape(&made_by(by)));
        for line in by
            .why
            .as_deref()
            .map(markup::escape)
            .iter()
            .flat_map(|w| w.lines())
        {
            let _ = write!(out, "\n> {line}");
        }
    }
    out
}

fn plain(origin: &Origin) -> String {
    let goal = progress::title(&origin.prompt);
    let mut out = format!("{} · {} · {goal}", state(origin), origin.goal_id);
    for by in &origin.provenance {
        let title = progress::title(&by.title);
        let _ = write!(out, "\n{title} ({})", made_by(by));
        for line in by.why.iter().flat_map(|why| why.trim().lines()) {
            let _ = write!(out, "\n  {}", line.trim_end());
        }
    }
    out
}
