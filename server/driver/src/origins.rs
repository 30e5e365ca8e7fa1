//! Where lines come from: which goal, task and attempt wrote them, and why.

use std::path::Path;

use claudecluster_protocol::change::{HunkStatus, Origin, OriginState};

use crate::{shared::Shared, views};

/// The origins of a text's lines, in the order of their lines.
pub(crate) fn of(shared: &Shared, path: &Path, current: &str) -> Vec<Origin> {
    let mut found: Vec<Origin> = Vec::new();
    for hunk in views::hunks_in(shared, path, current) {
        let Some(goal) = hunk.id.goal().and_then(|id| shared.goal(&id).ok()) else {
            continue;
        };
        found.push(Origin {
            goal_id: goal.id.clone(),
            prompt: views::prompt(&goal),
            hunk_id: hunk.id,
            state: match hunk.status {
                HunkStatus::Clean => OriginState::Pending,
                HunkStatus::Conflict => OriginState::Conflict,
            },
            start_line: hunk.start_line,
            end_line: hunk.end_line,
            provenance: hunk.provenance,
            landed_at: None,
        });
    }
    found
}
