//! Conflicts decided: the stretch in which the two sides differ becomes a chosen text.

use claudecluster_core::{
    lifecycle::{FileEntry, Goal},
    merge::Side,
    review::{HunkKey, HunkState, Refused, Review},
};
use claudecluster_protocol::{
    ErrorBody,
    api::{Decision, Resolution},
    event::Verdict,
};

use super::{Change, Verdicts, accept, accepted, ground, reject, set_text, unchanged};
use crate::{
    pending::{self, Part, Pending, Versions},
    settings::MergeWords,
    shared::Shared,
};

/// The label of what is there in conflict markers.
const MINE: &str = "current text";

/// What deciding one hunk comes to.
pub(crate) fn resolve(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    versions: &Versions,
    decision: &Decision,
) -> Result<Verdicts, ErrorBody> {
    let Some(resolution) = &decision.resolution else {
        return Err(unsaid());
    };
    if *resolution == Resolution::Merged
        && shared.config.settings.review.merge_words == MergeWords::Off
    {
        return Err(switched_off());
    }
    let found = pending::hunks(shared, goal, entry, versions)?;
    let is_it = |pending: &&Pending| decision.hunk_id.as_ref() == Some(&pending.view.id);
    let Some(hunk) = found.iter().find(is_it) else {
        return Ok(Verdicts::default());
    };
    // Between two tasks, taking a side is accepting or rejecting the alternative.
    if entry.is_alternative() {
        match resolution {
            Resolution::Mine => return reject(shared, goal, entry, versions, decision),
            Resolution::Theirs => {
                let taken = accept(shared, goal, entry, versions, decision)?;
                if !taken.changes.is_empty() {
                    return Ok(taken);
                }
            }
            _ => {}
        }
    }
    let changes = match hunk.part {
        Part::Lines(key) => {
            let (ground, mut changes) = if entry.is_alternative() {
                ground(shared, goal, entry, versions, key)?
            } else {
                (versions.clone(), Vec::new())
            };
            let label = label(goal, hunk);
            let woven = (entry.is_alternative() && *resolution == Resolution::Merged)
                .then(|| woven(&ground, hunk, key))
                .transpose()?;
            let resolution = woven.as_ref().unwrap_or(resolution);
            changes.push(stretch(entry, &ground, &found, key, resolution, &label)?);
            changes
        }
        Part::Mode | Part::Whole => vec![whole(entry, versions, hunk, resolution)?],
    };
    Ok(Verdicts {
        changes,
        ..Verdicts::default()
    })
}

/// Decides the stretch of a hunk of lines, and with it whatever other hunks stand there.
fn stretch(
    entry: &FileEntry,
    versions: &Versions,
    hunks: &[Pending],
    key: HunkKey,
    resolution: &Resolution,
    label: &str,
) -> Result<Change, ErrorBody> {
    let (base, current, proposed) = versions.texts().ok_or_else(gone)?;
    let review = Review::new(base, current, proposed);
    let lost = |_: Refused| gone();
    let text = match resolution {
        Resolution::Mine => review.side(key, Side::Ours).map_err(lost)?.to_owned(),
        Resolution::Theirs => review.side(key, Side::Theirs).map_err(lost)?.to_owned(),
        Resolution::Both => review.both(key).map_err(lost)?,
        Resolution::Merged => {
            let hunk = review.hunk(key).ok_or_else(gone)?;
            review.merged(hunk).ok_or_else(inseparable)?
        }
        Resolution::Markers => review.markers(key, MINE, label).map_err(lost)?,
        Resolution::Text { text } => text.clone(),
        Resolution::Repair => return Err(unsaid()),
    };
    let resolved = review.resolve(key, &text).map_err(lost)?;
    let decided = |pending: &&Pending| matches!(pending.part, Part::Lines(own) if resolved.keys.contains(&own));
    let decided: Vec<Pending> = hunks.iter().filter(decided).cloned().collect();
    let mut change = unchanged(Verdict::Resolve, entry, versions, &decided);
    change.parts.clear();
    set_text(&mut change.current, resolved.current);
    set_text(&mut change.base, resolved.base);
    set_text(&mut change.proposed, resolved.proposed);
    Ok(change)
}

/// The words of both tasks. They take the place of what one of them has put there, not of anything else.
fn woven(ground: &Versions, hunk: &Pending, key: HunkKey) -> Result<Resolution, ErrorBody> {
    let (base, current, proposed) = ground.texts().ok_or_else(gone)?;
    let review = Review::new(base, current, proposed);
    let state = review.hunk(key).map(|hunk| hunk.state);
    let merged = hunk.view.merged.clone();
    let text = merged.filter(|_| state == Some(HunkState::Clean));
    let text = text.ok_or_else(inseparable)?;
    Ok(Resolution::Text { text })
}

/// The words of both sides in one hunk of lines, where they can be merged: it lands as a conflict does that
/// was resolved so.
pub(crate) fn merged(entry: &FileEntry, versions: &Versions, hunk: &Pending) -> Option<Change> {
    let Part::Lines(key) = hunk.part else {
        return None;
    };
    let hunks = std::slice::from_ref(hunk);
    stretch(entry, versions, hunks, key, &Resolution::Merged, "").ok()
}

/// Decides what has no lines: one side or the other.
fn whole(
    entry: &FileEntry,
    versions: &Versions,
    hunk: &Pending,
    resolution: &Resolution,
) -> Result<Change, ErrorBody> {
    let hunks = std::slice::from_ref(hunk);
    let mut change = match resolution {
        Resolution::Theirs => accepted(entry, versions, hunks),
        Resolution::Mine => {
            let mut change = unchanged(Verdict::Resolve, entry, versions, hunks);
            match hunk.part {
                Part::Mode => {
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
                    .hint("choose one side: `mine` or `theirs`"),
            );
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

fn inseparable() -> ErrorBody {
    ErrorBody::user("both sides changed the same words or adjacent ones")
        .hint("choose `mine`, `theirs` or `both`, or edit the text yourself")
}

fn switched_off() -> ErrorBody {
    ErrorBody::config("word-by-word merging is off (`review.mergeWords` is \"off\")").hint(
        "turn it on with: claudecluster config set review.mergeWords suggest; then restart the daemon with: claudecluster daemon stop",
    )
}

fn gone() -> ErrorBody {
    ErrorBody::stale("the text has changed since the conflict was shown")
        .hint("review the conflict again, then resolve it")
}

/// What a decision to resolve has to say.
pub(crate) fn unsaid() -> ErrorBody {
    ErrorBody::user("the hunk or its resolution is missing").hint(
        "name one hunk and a resolution: mine, theirs, both, merged, markers, a text or a repair",
    )
}
