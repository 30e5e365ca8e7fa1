//! Conflicts resolved: the stretch in which the two sides differ becomes a chosen text.

use claudecluster_core::{
    review::{FileReview, HunkKey, HunkState},
    state::{FileEntry, Goal},
};
use claudecluster_protocol::{ErrorBody, api::Decision, event::Verdict, resolution::Resolution};

use super::{
    EntryVerdicts, VerdictChange,
    accept::{accept_entry, accept_hunks, land_beneath},
    reject::reject_entry,
    stretch::{conflict_gone, decide_stretch, incomplete_resolution, inseparable_words},
    unchanged_entry,
};
use crate::{
    review::{
        cache::ReviewCache,
        hunk_part::HunkPart,
        pending::{self, PendingHunk},
        versions::FileVersions,
    },
    settings::MergeWords,
};

/// Works out the resolution of one hunk.
pub(crate) fn resolve_entry(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
    decision: &Decision,
) -> Result<EntryVerdicts, ErrorBody> {
    let Some(resolution) = &decision.resolution else {
        return Err(incomplete_resolution());
    };
    if *resolution == Resolution::Merged && reviews.merge_words() == MergeWords::Off {
        return Err(switched_off());
    }
    let found = pending::pending_hunks(reviews, goal, entry, versions)?;
    let is_it = |pending: &&PendingHunk| decision.hunk_id.as_ref() == Some(&pending.view.id);
    let Some(hunk) = found.iter().find(is_it) else {
        return Ok(EntryVerdicts::default());
    };
    // Between two tasks, taking a side is accepting or rejecting the alternative.
    if entry.is_alternative() {
        match resolution {
            Resolution::Mine => return reject_entry(reviews, goal, entry, versions, decision),
            Resolution::Theirs => {
                let taken = accept_entry(reviews, goal, entry, versions, decision)?;
                if !taken.changes.is_empty() {
                    return Ok(taken);
                }
            }
            _ => {}
        }
    }
    let changes = match hunk.part {
        HunkPart::Lines(key) => {
            let (ground, mut changes) = if entry.is_alternative() {
                land_beneath(reviews, goal, entry, versions, key)?
            } else {
                (versions.clone(), Vec::new())
            };
            let label = proposal_label(goal, hunk);
            let woven = (entry.is_alternative() && *resolution == Resolution::Merged)
                .then(|| both_tasks_words(&ground, hunk, key))
                .transpose()?;
            let resolution = woven.as_ref().unwrap_or(resolution);
            changes.push(decide_stretch(
                entry, &ground, &found, key, resolution, &label,
            )?);
            changes
        }
        HunkPart::Mode | HunkPart::Whole => vec![resolve_whole(entry, versions, hunk, resolution)?],
    };
    Ok(EntryVerdicts {
        changes,
        ..EntryVerdicts::default()
    })
}

/// Returns the lines with the words of both tasks. They replace the text of one of the tasks,
/// nothing else.
fn both_tasks_words(
    ground: &FileVersions,
    hunk: &PendingHunk,
    key: HunkKey,
) -> Result<Resolution, ErrorBody> {
    let (base, current, proposed) = ground.texts().ok_or_else(conflict_gone)?;
    let review = FileReview::new(base, current, proposed);
    let state = review.hunk(key).map(|hunk| hunk.state);
    let merged = hunk.view.merged.clone();
    let text = merged.filter(|_| state == Some(HunkState::Clean));
    let text = text.ok_or_else(inseparable_words)?;
    Ok(Resolution::Text { text })
}

/// Resolves a hunk without lines: takes one side or the other.
fn resolve_whole(
    entry: &FileEntry,
    versions: &FileVersions,
    hunk: &PendingHunk,
    resolution: &Resolution,
) -> Result<VerdictChange, ErrorBody> {
    let hunks = std::slice::from_ref(hunk);
    let mut change = match resolution {
        Resolution::Theirs => accept_hunks(entry, versions, hunks),
        Resolution::Mine => {
            let mut change = unchanged_entry(Verdict::Resolve, entry, versions, hunks);
            match hunk.part {
                HunkPart::Mode => {
                    let mode = versions.base.as_ref().map(|content| content.mode);
                    if let (Some(proposed), Some(mode)) = (&mut change.proposed, mode) {
                        proposed.mode = mode;
                    }
                }
                _ => change.proposed.clone_from(&versions.base),
            }
            change
        }
        _ => {
            let path = &entry.file.path;
            return Err(
                ErrorBody::user(format!("{path} cannot be merged line by line"))
                    .with_hint("choose one side: `mine` or `theirs`"),
            );
        }
    };
    change.verdict = Verdict::Resolve;
    change.parts.clear();
    Ok(change)
}

/// Returns a one-line label of the proposed side.
fn proposal_label(goal: &Goal, hunk: &PendingHunk) -> String {
    let by = hunk.view.provenance.first();
    let title = by
        .and_then(|by| by.title.lines().next())
        .unwrap_or_default();
    format!("{} {title}", goal.id).trim_end().to_owned()
}

fn switched_off() -> ErrorBody {
    ErrorBody::config("word-by-word merging is off (`review.mergeWords` is \"off\")").with_hint(
        "turn it on with: claudecluster config set review.mergeWords suggest; then restart the daemon with: claudecluster daemon stop",
    )
}
