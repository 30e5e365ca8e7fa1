//! Hunks rejected: the proposal gets the base text, and the file stays as it is.

use claudecluster_core::{
    review::FileReview,
    state::{FileEntry, Goal},
};
use claudecluster_protocol::{ErrorBody, api::Decision, event::Verdict};

use super::{EntryVerdicts, is_about_hunk, line_keys, set_text, unchanged_entry};
use crate::review::{cache::ReviewCache, hunk_part::HunkPart, pending, versions::FileVersions};

/// Works out the rejection of an entry's hunks. The file stays as it is.
pub(crate) fn reject_entry(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
    decision: &Decision,
) -> Result<EntryVerdicts, ErrorBody> {
    let mut found = pending::pending_hunks(reviews, goal, entry, versions)?;
    found.retain(|pending| is_about_hunk(decision, pending));
    if found.is_empty() {
        return Ok(EntryVerdicts::default());
    }
    let mut change = unchanged_entry(Verdict::Reject, entry, versions, &found);
    if found.iter().any(|pending| pending.part == HunkPart::Whole) {
        change.proposed.clone_from(&versions.base);
    } else {
        if let Some((base, current, proposed)) = versions.texts() {
            let rejected = FileReview::new(base, current, proposed).reject(&line_keys(&found));
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
    Ok(EntryVerdicts {
        changes: vec![change],
        ..EntryVerdicts::default()
    })
}
