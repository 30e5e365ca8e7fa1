//! What a key or a value of a plan means.

use lsp_types::{Hover, HoverParams, MarkupContent, MarkupKind};

use claudecluster_core::plan::{PlanPath, PlanPathStep};

use super::{
    diagnostics::{offset, range},
    of,
    outline::{Item, Outline},
    schema,
};
use crate::{documents::Snapshot, markup, progress, session::Session};

/// Explains what is under the cursor; `None` where that is nothing, or the document is no plan.
pub(crate) fn explain(
    session: &Session,
    document: &Snapshot,
    params: &HoverParams,
) -> Option<Hover> {
    of(session, document)?;
    let encoding = session.encoding();
    let at = params.text_document_position_params.position;
    let outline = Outline::of(&String::from(&document.text));
    let item = outline.item(offset(document, at, encoding))?;
    let words = task_named(&outline, item).or_else(|| meaning(item))?;
    let (kind, value) = if session.capabilities().markdown {
        (MarkupKind::Markdown, markup::escape(&words))
    } else {
        (MarkupKind::PlainText, words)
    };
    Some(Hover {
        contents: MarkupContent { kind, value }.into(),
        range: Some(range(document, &item.range, encoding)),
    })
}

fn meaning(item: &Item) -> Option<String> {
    let allowed = schema::at(&item.place)?;
    let chosen = allowed.choices();
    let chosen = chosen
        .iter()
        .find(|(name, _)| !item.is_key && *name == item.text);
    let words = match chosen {
        Some((_, words)) => words,
        None => allowed.words()?,
    };
    // The lines are those of a comment in a program.
    Some(words.split('\n').collect::<Vec<_>>().join(" "))
}

/// What a task does, where its id stands among what another one depends on.
fn task_named(outline: &Outline, item: &Item) -> Option<String> {
    let (above, last) = item.place.split_last()?;
    let (_, key) = above.split_last()?;
    if item.is_key || !matches!(last, PlanPathStep::Index(_)) || *key != PlanPathStep::Key("dependsOn".into()) {
        return None;
    }
    let ids = outline.task_ids();
    let (index, _) = ids.iter().find(|(_, id)| **id == item.text)?;
    let says = |key: &str| outline.value(&PlanPath::task(*index).with(key));
    let title = says("title").unwrap_or(&item.text);
    let rest = says("instructions").map(progress::title);
    Some(match rest.filter(|rest| !rest.is_empty()) {
        Some(rest) => format!("{title}: {rest}"),
        None => title.to_owned(),
    })
}
