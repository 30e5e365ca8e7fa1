//! What a verdict on some hunks of one file makes of the file and of its pair of versions. Computed
//! here, carried out in [`crate::landing`].

mod back;
mod resolve;
mod undo;

use claudecluster_core::{
    lifecycle::{FileEntry, Goal},
    merge::{RegionKind, merge3},
    review::{Hunk, HunkKey, HunkState, Review},
};
use claudecluster_protocol::{
    ErrorBody, HunkId,
    api::Decision,
    change::{HeldReason, HunkStatus},
    event::Verdict,
};
use claudecluster_worker::changes::Content;

use crate::{
    pending::{self, Part, Pending, Versions},
    proposal::as_text,
    shared::Shared,
    typing,
};

pub(crate) use self::{
    back::{Desk, Past, Step},
    resolve::{merged, resolve, unsaid},
    undo::{redo, undo},
};

/// An entry after a verdict, and what the file has to become for it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Which entry of the file: an alternative's verdict may move the merged one beneath it.
    pub(crate) entry: u32,
    /// What happens to the hunks: a decision may come to different verdicts on different entries.
    pub(crate) verdict: Verdict,
    /// The hunks it is about.
    pub(crate) hunks: Vec<HunkId>,
    /// What of them the text has to hold for the verdict to be carried out.
    pub(crate) parts: Vec<Part>,
    /// The file.
    pub(crate) current: Option<Content>,
    /// The pair.
    pub(crate) base: Option<Content>,
    /// The pair.
    pub(crate) proposed: Option<Content>,
    /// For an undo or a redo: which of the entry's moves it takes back.
    pub(crate) of: Option<u32>,
}

/// What a decision comes to for one entry.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    /// What changes, in order: each goes on from the text the one before it leaves.
    pub(crate) changes: Vec<Change>,
    /// Hunks left because they conflict.
    pub(crate) conflicts: u32,
    /// Hunks left because they need an explicit look.
    pub(crate) held: u32,
    /// Hunks left because somebody types there.
    pub(crate) waiting: u32,
}

impl Change {
    /// The file and the pair once it has been carried out.
    fn versions(&self) -> Versions {
        Versions {
            base: self.base.clone(),
            current: self.current.clone(),
            proposed: self.proposed.clone(),
            typed: None,
        }
    }
}

impl Verdicts {
    /// The last change, if anything changes: what the file has to become.
    pub(crate) fn target(&self) -> Option<&Change> {
        self.changes.last()
    }
}

/// Whether a decision is about this hunk at all.
fn concerns(decision: &Decision, pending: &Pending) -> bool {
    let task = decision
        .task_id
        .as_ref()
        .is_none_or(|task| pending.view.provenance.iter().any(|by| by.task == *task));
    task && decision
        .hunk_id
        .as_ref()
        .is_none_or(|id| *id == pending.view.id)
}

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
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    versions: &Versions,
    decision: &Decision,
) -> Result<Verdicts, ErrorBody> {
    let mut found = pending::hunks(shared, goal, entry, versions)?;
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
        return alternative(shared, goal, entry, versions, &found[0]);
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
        match merged(entry, now.as_ref().unwrap_or(versions), pending) {
            Some(change) => verdicts.changes.push(change),
            None => verdicts.conflicts += 1,
        }
    }
    Ok(verdicts)
}

/// Whether somebody types where a hunk would land.
fn is_typed_in(versions: &Versions, pending: &Pending) -> bool {
    let lines = pending.view.start_line..pending.view.end_line;
    pending.part != Part::Mode
        && versions
            .typed
            .as_ref()
            .is_some_and(|typed| typing::meet(typed, &lines))
}

/// The entry and the file with these hunks in.
fn accepted(entry: &FileEntry, versions: &Versions, hunks: &[Pending]) -> Change {
    let mut change = unchanged(Verdict::Accept, entry, versions, hunks);
    if hunks.iter().any(|pending| pending.part == Part::Whole) {
        change.current.clone_from(&versions.proposed);
        change.base.clone_from(&versions.proposed);
        return change;
    }
    if let Some((base, current, proposed)) = versions.texts() {
        let accepted = Review::new(base, current, proposed).accept(&keys(hunks));
        set_text(&mut change.current, accepted.current);
        set_text(&mut change.base, accepted.base);
    }
    if hunks.iter().any(|pending| pending.part == Part::Mode) {
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
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    versions: &Versions,
    wanted: &Pending,
) -> Result<Verdicts, ErrorBody> {
    let conflict = Verdicts {
        conflicts: 1,
        ..Verdicts::default()
    };
    let below = goal.entry(&entry.file.path, 0);
    let wanted = std::slice::from_ref(wanted);
    let (Part::Lines(key), Some(_)) = (wanted[0].part, versions.texts()) else {
        // As a whole it takes the place of what it was made from, or of what nobody has touched.
        let untouched = below
            .map(|below| Versions::of(shared, below, None))
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
    let (ground, mut changes) = ground(shared, goal, entry, versions, key)?;
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
fn ground(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    versions: &Versions,
    key: HunkKey,
) -> Result<(Versions, Vec<Change>), ErrorBody> {
    let mut ground = versions.clone();
    let below = goal.entry(&entry.file.path, 0);
    let Some(below) = below.filter(|below| !below.is_settled()) else {
        return Ok((ground, Vec::new()));
    };
    let below_versions = Versions::of(shared, below, versions.current.clone())?;
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
    let hunks: Vec<Pending> = pending::hunks(shared, goal, below, &below_versions)?
        .into_iter()
        .filter(|p| matches!(p.part, Part::Lines(key) if under.contains(&key)))
        .collect();
    if hunks.is_empty() {
        return Ok((ground, Vec::new()));
    }
    let change = accepted(below, &below_versions, &hunks);
    ground.current.clone_from(&change.current);
    Ok((ground, vec![change]))
}

/// What rejecting comes to. The file stays as it is.
pub(crate) fn reject(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    versions: &Versions,
    decision: &Decision,
) -> Result<Verdicts, ErrorBody> {
    let mut found = pending::hunks(shared, goal, entry, versions)?;
    found.retain(|pending| concerns(decision, pending));
    if found.is_empty() {
        return Ok(Verdicts::default());
    }
    let mut change = unchanged(Verdict::Reject, entry, versions, &found);
    if found.iter().any(|pending| pending.part == Part::Whole) {
        change.proposed.clone_from(&versions.base);
    } else {
        if let Some((base, current, proposed)) = versions.texts() {
            let rejected = Review::new(base, current, proposed).reject(&keys(&found));
            set_text(&mut change.proposed, rejected.proposed);
        }
        if found.iter().any(|pending| pending.part == Part::Mode) {
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

/// Whether the text, as it was observed, has what was accepted.
pub(crate) fn has_landed(versions: &Versions, parts: &[Part]) -> bool {
    match versions.texts() {
        Some((base, current, proposed)) => {
            let review = Review::new(base, current, proposed);
            parts.iter().all(|part| match part {
                Part::Lines(key) => review
                    .hunk(*key)
                    .is_none_or(|hunk| hunk.state == HunkState::Present),
                Part::Mode | Part::Whole => true,
            })
        }
        None => versions.current == versions.proposed,
    }
}

fn unchanged(
    verdict: Verdict,
    entry: &FileEntry,
    versions: &Versions,
    hunks: &[Pending],
) -> Change {
    Change {
        entry: entry.file.entry,
        verdict,
        hunks: hunks
            .iter()
            .map(|pending| pending.view.id.clone())
            .collect(),
        parts: hunks.iter().map(|pending| pending.part).collect(),
        current: versions.current.clone(),
        base: versions.base.clone(),
        proposed: versions.proposed.clone(),
        of: None,
    }
}

fn keys(hunks: &[Pending]) -> Vec<HunkKey> {
    hunks
        .iter()
        .filter_map(|pending| match pending.part {
            Part::Lines(key) => Some(key),
            Part::Mode | Part::Whole => None,
        })
        .collect()
}

/// Whether a text, as it was observed, has what a change from one content to another brings.
pub(crate) fn holds(before: Option<&Content>, after: Option<&Content>, observed: &Content) -> bool {
    if Some(observed) == after {
        return true;
    }
    let texts = (before.and_then(as_text), after.and_then(as_text));
    let (Some(before), Some(after), Some(observed)) = (texts.0, texts.1, as_text(observed)) else {
        return false;
    };
    let missing = [RegionKind::Theirs, RegionKind::Conflict];
    let merge = merge3(before, observed, after);
    let mut regions = merge.regions().iter();
    !regions.any(|region| missing.contains(&region.kind))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn set_text(content: &mut Option<Content>, text: String) {
    if let Some(content) = content {
        content.bytes = text.into_bytes().into();
    }
}
