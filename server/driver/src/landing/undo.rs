//! Landings taken back.

use claudecluster_core::{
    lifecycle::{FileEntry, Goal, Move},
    review,
};
use claudecluster_protocol::{
    BlobId, ErrorBody, api::Decision, change::FileVersion, event::Verdict,
};
use claudecluster_worker::changes::Content;

use crate::{
    pending::Versions,
    proposal::as_text,
    shared::Shared,
    verdict::{Change, Verdicts},
};

/// Takes the landings of an entry back that still stand, the latest first, keeping what was typed
/// since.
pub(super) fn undo(
    shared: &Shared,
    _: &Goal,
    entry: &FileEntry,
    versions: &Versions,
    _: &Decision,
) -> Result<Verdicts, ErrorBody> {
    let mut verdicts = Verdicts::default();
    let mut current = versions.current.clone();
    for (index, landing) in entry.moves.iter().enumerate().rev() {
        let hunks: Vec<_> = landing.standing().cloned().collect();
        if !landing.is_landing() || hunks.is_empty() {
            continue;
        }
        let Some(target) = without(shared, landing, &current)? else {
            verdicts.conflicts += u32::try_from(hunks.len()).unwrap_or(u32::MAX);
            break;
        };
        current.clone_from(&target);
        verdicts.changes.push(Change {
            entry: entry.file.entry,
            verdict: Verdict::Undo,
            hunks,
            parts: Vec::new(),
            current: target,
            base: shared.content_of(landing.before.base.as_ref())?,
            proposed: versions.proposed.clone(),
            of: u32::try_from(index).ok(),
        });
    }
    Ok(verdicts)
}

/// The file as if a landing had not happened; `None` where the text it left has been changed since.
fn without(
    shared: &Shared,
    landing: &Move,
    current: &Option<Content>,
) -> Result<Option<Option<Content>>, ErrorBody> {
    let Some(landed) = &landing.landed else {
        return Ok(None);
    };
    let mode = |version: &Option<FileVersion>| version.as_ref().map(|v| v.mode).unwrap_or_default();
    let load = |blob: &Option<BlobId>, mode| {
        let version = blob.as_ref().map(|blob| FileVersion {
            blob: blob.clone(),
            mode,
        });
        shared.content_of(version.as_ref())
    };
    let before = load(&landed.before, mode(&landing.before.base))?;
    let after = load(&landed.after, mode(&landing.after.base))?;
    Ok(undone(&before, &after, current))
}

fn undone(
    before: &Option<Content>,
    after: &Option<Content>,
    current: &Option<Content>,
) -> Option<Option<Content>> {
    if current.as_ref().map(|c| &c.bytes) == after.as_ref().map(|c| &c.bytes) {
        return Some(before.clone());
    }
    let (before_text, after_text, current_text) = (
        before.as_ref().and_then(as_text)?,
        after.as_ref().and_then(as_text)?,
        current.as_ref().and_then(as_text)?,
    );
    let undone = review::undo(before_text, after_text, current_text);
    if undone.conflicts > 0 {
        return None;
    }
    let mode = before
        .as_ref()
        .map(|content| content.mode)
        .unwrap_or_default();
    Some(Some(Content {
        bytes: undone.text.into_bytes().into(),
        mode,
    }))
}
