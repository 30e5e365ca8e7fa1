//! Hunks accepted: the file and its base get the proposed text.

use claudecluster_core::{
    review::{FileReview, HunkKey, HunkState, ReviewHunk},
    state::{FileEntry, Goal},
};
use claudecluster_protocol::{
    ErrorBody,
    api::Decision,
    change::{HeldReason, HunkStatus},
    event::Verdict,
};

use super::{
    EntryVerdicts, VerdictChange, is_about_hunk, line_keys, set_text, stretch, to_u32,
    unchanged_entry,
};
use crate::{
    review::{
        cache::ReviewCache,
        hunk_part::HunkPart,
        pending::{self, PendingHunk},
        versions::FileVersions,
    },
    workspace::typing,
};

/// Returns whether a decision is the explicit look that a held hunk needs.
fn is_explicit_look(decision: &Decision, entry: &FileEntry) -> bool {
    let named = decision.hunk_id.is_some() || decision.path.is_some();
    named
        || entry.file.held.iter().all(|reason| match reason {
            // Naming the task that failed, or the task whose gate failed, is a look at its work. What
            // can make tools run code, was never asked for, or has a secret is looked at file by file.
            HeldReason::Partial | HeldReason::GateFailed => decision.task_id.is_some(),
            HeldReason::OutOfScope
            | HeldReason::SelfArming
            | HeldReason::Listed
            | HeldReason::Secret => false,
        })
}

/// Works out the acceptance of an entry's hunks. Conflicts, held hunks and hunks that somebody
/// types in are left and counted.
pub(crate) fn accept_entry(
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
    if !is_explicit_look(decision, entry) {
        return Ok(EntryVerdicts {
            held: to_u32(found.len()),
            ..EntryVerdicts::default()
        });
    }
    if entry.is_alternative() {
        if decision.hunk_id.is_none() {
            return Ok(EntryVerdicts {
                conflicts: to_u32(found.len()),
                ..EntryVerdicts::default()
            });
        }
        return accept_alternative(reviews, goal, entry, versions, &found[0]);
    }
    let (ready, conflicts): (Vec<PendingHunk>, Vec<PendingHunk>) = found
        .into_iter()
        .partition(|pending| pending.present || pending.view.status == HunkStatus::Clean);
    let (waiting, ready): (Vec<PendingHunk>, Vec<PendingHunk>) = ready
        .into_iter()
        .partition(|pending| !pending.present && is_typed_in(versions, pending));
    let (by_words, ready): (Vec<PendingHunk>, Vec<PendingHunk>) =
        ready.into_iter().partition(PendingHunk::is_by_words);
    let change = (!ready.is_empty()).then(|| accept_hunks(entry, versions, &ready));
    let mut verdicts = EntryVerdicts {
        changes: change.into_iter().collect(),
        conflicts: to_u32(conflicts.len()),
        waiting: to_u32(waiting.len()),
        ..EntryVerdicts::default()
    };
    // From the bottom up: what is decided below a hunk does not change its name.
    for pending in by_words.iter().rev() {
        let now = verdicts.final_change().map(|change| change.file_versions());
        match stretch::merge_words_of(entry, now.as_ref().unwrap_or(versions), pending) {
            Some(change) => verdicts.changes.push(change),
            None => verdicts.conflicts += 1,
        }
    }
    Ok(verdicts)
}

/// Returns whether somebody types in the lines of a hunk.
fn is_typed_in(versions: &FileVersions, pending: &PendingHunk) -> bool {
    let lines = pending.view.start_line..pending.view.end_line;
    pending.part != HunkPart::Mode
        && versions
            .typed
            .as_ref()
            .is_some_and(|typed| typing::meet(typed, &lines))
}

/// Returns the entry and the file with these hunks accepted.
pub(super) fn accept_hunks(
    entry: &FileEntry,
    versions: &FileVersions,
    hunks: &[PendingHunk],
) -> VerdictChange {
    let mut change = unchanged_entry(Verdict::Accept, entry, versions, hunks);
    if hunks.iter().any(|pending| pending.part == HunkPart::Whole) {
        change.current.clone_from(&versions.proposed);
        change.base.clone_from(&versions.proposed);
        return change;
    }
    if let Some((base, current, proposed)) = versions.texts() {
        let accepted = FileReview::new(base, current, proposed).accept(&line_keys(hunks));
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

/// Accepts one hunk of an alternative. Its rival lands beneath it in the same moment, unless the
/// developer's own text is there, which stays a conflict.
fn accept_alternative(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
    wanted: &PendingHunk,
) -> Result<EntryVerdicts, ErrorBody> {
    let conflict = EntryVerdicts {
        conflicts: 1,
        ..EntryVerdicts::default()
    };
    let below = goal.file_entry(&entry.file.path, 0);
    let wanted = std::slice::from_ref(wanted);
    let (HunkPart::Lines(key), Some(_)) = (wanted[0].part, versions.texts()) else {
        // As a whole it takes the place of what it was made from, or of what nobody has touched.
        let untouched = below
            .map(|below| FileVersions::load(reviews.contents(), below, None))
            .transpose()?;
        let untouched = untouched.is_some_and(|below| below.base == versions.current);
        let free = untouched || versions.current == versions.base;
        return Ok(if free {
            EntryVerdicts {
                changes: vec![accept_hunks(entry, versions, wanted)],
                ..EntryVerdicts::default()
            }
        } else {
            conflict
        });
    };
    let (ground, mut changes) = land_beneath(reviews, goal, entry, versions, key)?;
    let Some((base, current, proposed)) = ground.texts() else {
        return Ok(conflict);
    };
    let clean = FileReview::new(base, current, proposed)
        .hunk(key)
        .is_some_and(|hunk| hunk.state != HunkState::Conflict);
    if !clean {
        return Ok(conflict);
    }
    changes.push(accept_hunks(entry, &ground, wanted));
    Ok(EntryVerdicts {
        changes,
        ..EntryVerdicts::default()
    })
}

/// Lands the rivals of an alternative's hunk beneath it. Returns the file with those hunks landed,
/// and their landing.
pub(super) fn land_beneath(
    reviews: &ReviewCache,
    goal: &Goal,
    entry: &FileEntry,
    versions: &FileVersions,
    key: HunkKey,
) -> Result<(FileVersions, Vec<VerdictChange>), ErrorBody> {
    let mut ground = versions.clone();
    let below = goal.file_entry(&entry.file.path, 0);
    let Some(below) = below.filter(|below| !below.is_fully_decided()) else {
        return Ok((ground, Vec::new()));
    };
    let below_versions = FileVersions::load(reviews.contents(), below, versions.current.clone())?;
    let (Some((merged, _, proposed)), Some(texts)) = (versions.texts(), below_versions.texts())
    else {
        return Ok((ground, Vec::new()));
    };
    let own = FileReview::new(merged, merged, proposed);
    let lines = own.hunk(key).map(|hunk| hunk.base.clone());
    let lines = lines.unwrap_or_default();
    let review = FileReview::new(texts.0, texts.1, texts.2);
    let meets = |hunk: &&ReviewHunk| {
        hunk.state == HunkState::Clean
            && hunk.proposed.start <= lines.end
            && lines.start <= hunk.proposed.end
    };
    let under = review.hunks().iter().filter(meets);
    let under: Vec<HunkKey> = under.map(|hunk| hunk.key).collect();
    let hunks: Vec<PendingHunk> = pending::pending_hunks(reviews, goal, below, &below_versions)?
        .into_iter()
        .filter(|p| matches!(p.part, HunkPart::Lines(key) if under.contains(&key)))
        .collect();
    if hunks.is_empty() {
        return Ok((ground, Vec::new()));
    }
    let change = accept_hunks(below, &below_versions, &hunks);
    ground.current.clone_from(&change.current);
    Ok((ground, vec![change]))
}
