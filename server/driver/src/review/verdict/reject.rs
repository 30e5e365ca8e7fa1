//! Hunks rejected: the proposal gets the base text, and the file stays as it is.

use claudecluster_core::{
    lifecycle::{FileEntry, Goal},
    review::Review,
};
use claudecluster_protocol::{ErrorBody, api::Decision, event::Verdict};

use super::{Verdicts, concerns, keys, set_text, unchanged};
use crate::review::{cache::ReviewCache, hunk_part::HunkPart, pending, versions::FileVersions};

/// What rejecting comes to. The file stays as it is.
pub(crate) fn reject(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
    decision: &Decision,
) -> Result<Verdicts, ErrorBody> {
    let mut found = pending::hunks(reviews, goal, entry, versions)?;
    found.retain(|pending| concerns(decision, pending));
    if found.is_empty() {
        return Ok(Verdicts::default());
    }
    let mut change = unchanged(Verdict::Reject, entry, versions, &found);
    if found.iter().any(|pending| pending.part == HunkPart::Whole) {
        change.proposed.clone_from(&versions.base);
    } else {
        if let Some((base, current, proposed)) = versions.texts() {
            let rejected = Review::new(base, current, proposed).reject(&keys(&found));
            set_text(&mut change.proposed, rejected.proposed);
        }
        if found.iter().any(|pending| pending.part == HunkPart::Mode) {
            let mode = versions
                .base
                .as_ref()
                .map(|content| content.mode)
                .unwrap_or_default();
            change
                .proposed
                .iter_mut()
                .for_each(|content| content.mode = mode);
        }
    }
    Ok(Verdicts {
        changes: vec![change],
        ..Verdicts::default()
    })
}
