//! Hunks accepted: the file and its base get the proposed text.

use claudecluster_core::{
    lifecycle::{FileEntry, Goal},
    review::{Hunk, HunkKey, HunkState, Review},
};
use claudecluster_protocol::{
    ErrorBody,
    api::Decision,
    change::{HeldReason, HunkStatus},
    event::Verdict,
};

use super::{Change, Verdicts, concerns, count, keys, set_text, stretch, unchanged};
use crate::{
    review::{
        cache::ReviewCache,
        hunk_part::HunkPart,
        pending::{self, Pending},
        versions::FileVersions,
    },
    workspace::typing,
};

/// Whether a decision is the explicit look a held hunk needs.
fn looked_at(decision: &Decision, entry: &FileEntry) -> bool {
    let named = decision.hunk_id.is_some() || decision.path.is_some();
    named
        || entry.file.held.iter().all(|reason| match reason {
            // Naming the task that failed, or the task whose gate failed, is a look at its work. What
            // can make tools run code, or was never asked for, is looked at file by file.
            HeldReason::Partial | HeldReason::GateFailed => decision.task_id.is_some(),
            HeldReason::OutOfScope | HeldReason::SelfArming => false,
        })
}

/// What accepting comes to.
pub(crate) fn accept(
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
    if !looked_at(decision, entry) {
        return Ok(Verdicts {
            held: count(found.len()),
            ..Verdicts::default()
        });
    }
    if entry.is_alternative() {
        if decision.hunk_id.is_none() {
            return Ok(Verdicts {
                conflicts: count(found.len()),
                ..Verdicts::default()
            });
        }
        return alternative(reviews, goal, entry, versions, &found[0]);
    }
    let (ready, conflicts): (Vec<Pending>, Vec<Pending>) = found
        .into_iter()
        .partition(|pending| pending.present || pending.view.status == HunkStatus::Clean);
    let (waiting, ready): (Vec<Pending>, Vec<Pending>) = ready
        .into_iter()
        .partition(|pending| !pending.present && is_typed_in(versions, pending));
    let (by_words, ready): (Vec<Pending>, Vec<Pending>) =
        ready.into_iter().partition(Pending::is_by_words);
    let change = (!ready.is_empty()).then(|| accepted(entry, versions, &ready));
    let mut verdicts = Verdicts {
        changes: change.into_iter().collect(),
        conflicts: count(conflicts.len()),
        waiting: count(waiting.len()),
        ..Verdicts::default()
    };
    // From the bottom up: what is decided below a hunk does not change its name.
    for pending in by_words.iter().rev() {
        let now = verdicts.target().map(|change| change.versions());
        match stretch::merge_words_of(entry, now.as_ref().unwrap_or(versions), pending) {
            Some(change) => verdicts.changes.push(change),
            None => verdicts.conflicts += 1,
        }
    }
    Ok(verdicts)
}

/// Whether somebody types where a hunk would land.
fn is_typed_in(versions: &FileVersions, pending: &Pending) -> bool {
    let lines = pending.view.start_line..pending.view.end_line;
    pending.part != HunkPart::Mode
        && versions
            .typed
            .as_ref()
            .is_some_and(|typed| typing::meet(typed, &lines))
}

/// The entry and the file with these hunks in.
pub(super) fn accepted(entry: &FileEntry, versions: &FileVersions, hunks: &[Pending]) -> Change {
    let mut change = unchanged(Verdict::Accept, entry, versions, hunks);
    if hunks.iter().any(|pending| pending.part == HunkPart::Whole) {
        change.current.clone_from(&versions.proposed);
        change.base.clone_from(&versions.proposed);
        return change;
    }
    if let Some((base, current, proposed)) = versions.texts() {
        let accepted = Review::new(base, current, proposed).accept(&keys(hunks));
        set_text(&mut change.current, accepted.current);
        set_text(&mut change.base, accepted.base);
    }
    if hunks.iter().any(|pending| pending.part == HunkPart::Mode) {
        let mode = versions
            .proposed
            .as_ref()
            .map(|content| content.mode)
            .unwrap_or_default();
        for content in [&mut change.current, &mut change.base]
            .into_iter()
            .flatten()
        {
            content.mode = mode;
        }
    }
    change
}

/// Accepts one hunk of an alternative: what it is an alternative *to* lands beneath it in the same
/// moment, unless the developer's own text stands there, which stays a conflict.
fn alternative(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
    wanted: &Pending,
) -> Result<Verdicts, ErrorBody> {
    let conflict = Verdicts {
        conflicts: 1,
        ..Verdicts::default()
    };
    let below = goal.entry(&entry.file.path, 0);
    let wanted = std::slice::from_ref(wanted);
    let (HunkPart::Lines(key), Some(_)) = (wanted[0].part, versions.texts()) else {
        // As a whole it takes the place of what it was made from, or of what nobody has touched.
        let untouched = below
            .map(|below| FileVersions::load(reviews.contents(), below, None))
            .transpose()?;
        let untouched = untouched.is_some_and(|below| below.base == versions.current);
        let free = untouched || versions.current == versions.base;
        return Ok(if free {
            Verdicts {
                changes: vec![accepted(entry, versions, wanted)],
                ..Verdicts::default()
            }
        } else {
            conflict
        });
    };
    let (ground, mut changes) = ground(reviews, goal, entry, versions, key)?;
    let Some((base, current, proposed)) = ground.texts() else {
        return Ok(conflict);
    };
    let clean = Review::new(base, current, proposed)
        .hunk(key)
        .is_some_and(|hunk| hunk.state != HunkState::Conflict);
    if !clean {
        return Ok(conflict);
    }
    changes.push(accepted(entry, &ground, wanted));
    Ok(Verdicts {
        changes,
        ..Verdicts::default()
    })
}

/// What an alternative stands on: the file with those hunks of the merged entry landed that the
/// alternative's hunk is an alternative to, and their landing.
pub(super) fn ground(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
    key: HunkKey,
) -> Result<(FileVersions, Vec<Change>), ErrorBody> {
    let mut ground = versions.clone();
    let below = goal.entry(&entry.file.path, 0);
    let Some(below) = below.filter(|below| !below.is_settled()) else {
        return Ok((ground, Vec::new()));
    };
    let below_versions = FileVersions::load(reviews.contents(), below, versions.current.clone())?;
    let (Some((merged, _, proposed)), Some(texts)) = (versions.texts(), below_versions.texts())
    else {
        return Ok((ground, Vec::new()));
    };
    let own = Review::new(merged, merged, proposed);
    let lines = own.hunk(key).map(|hunk| hunk.base.clone());
    let lines = lines.unwrap_or_default();
    let review = Review::new(texts.0, texts.1, texts.2);
    let meets = |hunk: &&Hunk| {
        hunk.state == HunkState::Clean
            && hunk.proposed.start <= lines.end
            && lines.start <= hunk.proposed.end
    };
    let under = review.hunks().iter().filter(meets);
    let under: Vec<HunkKey> = under.map(|hunk| hunk.key).collect();
    let hunks: Vec<Pending> = pending::hunks(reviews, goal, below, &below_versions)?
        .into_iter()
        .filter(|p| matches!(p.part, HunkPart::Lines(key) if under.contains(&key)))
        .collect();
    if hunks.is_empty() {
        return Ok((ground, Vec::new()));
    }
    let change = accepted(below, &below_versions, &hunks);
    ground.current.clone_from(&change.current);
    Ok((ground, vec![change]))
}
