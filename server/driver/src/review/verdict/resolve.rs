//! Conflicts decided: the stretch in which the two sides differ becomes a chosen text.

use claudecluster_core::{
    lifecycle::{FileEntry, Goal},
    review::{HunkKey, HunkState, Review},
};
use claudecluster_protocol::{
    ErrorBody,
    api::{Decision, Resolution},
    event::Verdict,
};

use super::{
    Change, Verdicts,
    accept::{accept, accepted, ground},
    reject::reject,
    stretch::{decide_stretch, gone, inseparable, unsaid},
    unchanged,
};
use crate::{
    review::{
        cache::ReviewCache,
        hunk_part::HunkPart,
        pending::{self, Pending},
        versions::FileVersions,
    },
    settings::MergeWords,
};

/// What deciding one hunk comes to.
pub(crate) fn resolve(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
    decision: &Decision,
) -> Result<Verdicts, ErrorBody> {
    let Some(resolution) = &decision.resolution else {
        return Err(unsaid());
    };
    if *resolution == Resolution::Merged && reviews.merge_words() == MergeWords::Off {
        return Err(switched_off());
    }
    let found = pending::hunks(reviews, goal, entry, versions)?;
    let is_it = |pending: &&Pending| decision.hunk_id.as_ref() == Some(&pending.view.id);
    let Some(hunk) = found.iter().find(is_it) else {
        return Ok(Verdicts::default());
    };
    // Between two tasks, taking a side is accepting or rejecting the alternative.
    if entry.is_alternative() {
        match resolution {
            Resolution::Mine => return reject(reviews, goal, entry, versions, decision),
            Resolution::Theirs => {
                let taken = accept(reviews, goal, entry, versions, decision)?;
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
                ground(reviews, goal, entry, versions, key)?
            } else {
                (versions.clone(), Vec::new())
            };
            let label = label(goal, hunk);
            let woven = (entry.is_alternative() && *resolution == Resolution::Merged)
                .then(|| woven(&ground, hunk, key))
                .transpose()?;
            let resolution = woven.as_ref().unwrap_or(resolution);
            changes.push(decide_stretch(
                entry, &ground, &found, key, resolution, &label,
            )?);
            changes
        }
        HunkPart::Mode | HunkPart::Whole => vec![whole(entry, versions, hunk, resolution)?],
    };
    Ok(Verdicts {
        changes,
        ..Verdicts::default()
    })
}

/// The words of both tasks. They take the place of what one of them has put there, not of anything else.
fn woven(ground: &FileVersions, hunk: &Pending, key: HunkKey) -> Result<Resolution, ErrorBody> {
    let (base, current, proposed) = ground.texts().ok_or_else(gone)?;
    let review = Review::new(base, current, proposed);
    let state = review.hunk(key).map(|hunk| hunk.state);
    let merged = hunk.view.merged.clone();
    let text = merged.filter(|_| state == Some(HunkState::Clean));
    let text = text.ok_or_else(inseparable)?;
    Ok(Resolution::Text { text })
}

/// Decides what has no lines: one side or the other.
fn whole(
    entry: &FileEntry,
    versions: &FileVersions,
    hunk: &Pending,
    resolution: &Resolution,
) -> Result<Change, ErrorBody> {
    let hunks = std::slice::from_ref(hunk);
    let mut change = match resolution {
        Resolution::Theirs => accepted(entry, versions, hunks),
        Resolution::Mine => {
            let mut change = unchanged(Verdict::Resolve, entry, versions, hunks);
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
            return Err(ErrorBody::user(format!(
                "{path} is decided as a whole: it has no lines that could be mixed"
            ))
            .hint("take one side: `mine` or `theirs`"));
        }
    };
    change.verdict = Verdict::Resolve;
    change.parts.clear();
    Ok(change)
}

/// Who proposes the other side, in one line.
fn label(goal: &Goal, hunk: &Pending) -> String {
    let by = hunk.view.provenance.first();
    let title = by
        .and_then(|by| by.title.lines().next())
        .unwrap_or_default();
    format!("{} {title}", goal.id).trim_end().to_owned()
}

fn switched_off() -> ErrorBody {
    ErrorBody::config("merging by words is switched off: `review.mergeWords` is \"off\"").hint(
        "`claudecluster config set review.mergeWords suggest`, then `claudecluster daemon stop`",
    )
}
