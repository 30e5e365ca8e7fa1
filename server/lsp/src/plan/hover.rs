//! Explanations of the keys and values of a plan.

use claudecluster_core::display_text::{line as plain_text, markdown};
use lsp_types::{Hover, HoverParams, MarkupContent, MarkupKind};

use claudecluster_core::plan::{PlanPath, PlanPathStep};

use super::{
    document::plan_owner,
    outline::{OutlineItem, PlanOutline},
    schema::schema_at,
};
use crate::{
    documents::{
        DocumentSnapshot,
        lines::{to_byte_offset, to_lsp_range},
    },
    phrases,
    session::EditorSession,
};

/// Explains the key or value at a position.
///
/// Returns `None` if there is none, or if the document is not a plan.
pub(crate) fn explain_item(
    session: &EditorSession,
    document: &DocumentSnapshot,
    params: &HoverParams,
) -> Option<Hover> {
    plan_owner(session, document)?;
    let encoding = session.encoding();
    let at = params.text_document_position_params.position;
    let outline = PlanOutline::scan(&String::from(&document.text));
    let item = outline.item_at(to_byte_offset(&document.text, at, encoding))?;
    let words = describe_dependency(&outline, item).or_else(|| describe_schema(item))?;
    let (kind, value) = if session.capabilities().markdown {
        (MarkupKind::Markdown, markdown::escape_text(&words))
    } else {
        (MarkupKind::PlainText, plain_text::to_message(&words))
    };
    Some(Hover {
        contents: MarkupContent { kind, value }.into(),
        range: Some(to_lsp_range(&document.text, &item.range, encoding)),
    })
}

/// Returns the description of a key or value in the schema.
fn describe_schema(item: &OutlineItem) -> Option<String> {
    let allowed = schema_at(&item.place)?;
    let chosen = allowed.choices();
    let chosen = chosen
        .iter()
        .find(|(name, _)| !item.is_key && *name == item.text);
    let words = match chosen {
        Some((_, words)) => words,
        None => allowed.description()?,
    };
    // The line breaks are those of a doc comment.
    Some(words.split('\n').collect::<Vec<_>>().join(" "))
}

/// Describes the task that a dependency names.
fn describe_dependency(outline: &PlanOutline, item: &OutlineItem) -> Option<String> {
    let (above, last) = item.place.split_last()?;
    let (_, key) = above.split_last()?;
    if item.is_key
        || !matches!(last, PlanPathStep::Index(_))
        || *key != PlanPathStep::Key("dependsOn".into())
    {
        return None;
    }
    let ids = outline.task_ids();
    let (index, _) = ids.iter().find(|(_, id)| **id == item.text)?;
    let value = |key: &str| outline.value_at(&PlanPath::of_task(*index).join_key(key));
    let title = value("title").unwrap_or(&item.text);
    let rest = value("instructions").map(phrases::short_title);
    Some(match rest.filter(|rest| !rest.is_empty()) {
        Some(rest) => format!("{title}: {rest}"),
        None => title.to_owned(),
    })
}
