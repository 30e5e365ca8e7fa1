//! Verdicts carried out: into open buffers through their editors, onto the disk where no editor has
//! the file open. A verdict counts when its text has been observed, not when somebody was told.

mod carry;
mod follow;
mod plan;
mod rest;
mod settle;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::{
    lifecycle::{FileEntry, Goal, Move},
    step::Input,
};
use claudecluster_protocol::{
    ErrorBody, EventBody, GoalId, HunkId, RelPath,
    api::{Decision, DecisionReport, FileFailure, Resolution},
    event::Verdict,
};
use tokio::sync::oneshot;

pub(crate) use self::{follow::Followed, settle::recover};

use self::{
    carry::Done,
    plan::{Ground, Unit},
    settle::Which,
};
use crate::{
    dispatcher::Message,
    pending::Versions,
    repair::{self, Wanted},
    shared::Shared,
    verdict::{self, Verdicts},
    views,
    work::blocking,
};

/// What a decision comes to for one entry. It depends on nothing but what it is given: where the text
/// moves before it could be carried out, it is computed again.
type Judge = fn(&Shared, &Goal, &FileEntry, &Versions, &Decision) -> Result<Verdicts, ErrorBody>;

/// The decision to land everything clean.
pub(crate) fn everything(goal: &GoalId) -> Decision {
    Decision::new(goal.clone(), Verdict::Accept)
}

/// What came of landing everything clean, as a fact.
pub(crate) fn applied(goal: &GoalId, result: Result<DecisionReport, ErrorBody>) -> Input {
    let (report, failed) = match result {
        Ok(report) => {
            let failed = report
                .failed
                .iter()
                .map(|failure| failure.error.clone())
                .collect();
            (report, failed)
        }
        Err(error) => (DecisionReport::default(), vec![error]),
    };
    let fact = EventBody::Applied {
        landed: report.decided,
        conflicts: report.conflicts,
        held: report.held,
        failed,
    };
    Input::Applied {
        goal: goal.clone(),
        fact,
    }
}

/// Carries a decision out.
pub(crate) async fn decide(
    shared: &Arc<Shared>,
    decision: Decision,
) -> Result<DecisionReport, ErrorBody> {
    let id = decision.goal_id.clone();
    if let Some(hunk) = &decision.hunk_id
        && hunk.goal().as_ref() != Some(&id)
    {
        return Err(
            ErrorBody::user(format!("hunk {hunk} does not belong to goal {id}"))
                .hint(format!("show its hunks with: claudecluster diff {id}")),
        );
    }
    // What waits of earlier decisions about the goal waits no longer: this one says what happens.
    let turn = shared.overrule(&decision);
    let (report, waiting) = carry_out(shared, &decision, None).await?;
    if !waiting.is_empty() {
        rest::land(shared, decision, waiting, turn);
    }
    Ok(report)
}

/// Carries out what a decision comes to now, in `only` these files. Returns the files in which
/// something waits, because somebody types there.
async fn carry_out(
    shared: &Arc<Shared>,
    decision: &Decision,
    only: Option<&[RelPath]>,
) -> Result<(DecisionReport, Vec<RelPath>), ErrorBody> {
    let id = &decision.goal_id;
    let root = PathBuf::from(&shared.goal(id)?.spec.workspace);
    let landing = shared.landing(&root);
    let _one_at_a_time = landing.lock().await;
    let settled = settle::settle(shared, &root, Which::All).await?;
    // Looked at again behind the lock: another decision may have moved the entries.
    let goal = shared.goal(id)?;
    if goal.files.is_empty() {
        return Err(nothing_proposed(&goal));
    }
    if decision.verdict == Verdict::Resolve && decision.resolution == Some(Resolution::Repair) {
        let report = repair::resolve(shared, &goal, decision).await?;
        return Ok((finished(shared, id, report).await?, Vec::new()));
    }
    if decision.verdict == Verdict::Resolve
        && (decision.hunk_id.is_none() || decision.resolution.is_none())
    {
        return Err(verdict::unsaid());
    }
    let wanted = repairs_wanted(shared, &goal, decision).await?;
    let ground = Ground {
        shared,
        goal: &goal,
        root: &root,
    };
    let units = units(&goal, decision, only);
    let done = ground.carry(&units).await?;
    let (mut report, facts, waiting) = summed_up(&units, done);
    if only.is_none() && came_to_nothing(&report) {
        match found_done(&goal, decision, &settled) {
            Some(path) => {
                report.decided = 1;
                report.files.push(path);
            }
            None => check_named(decision, &report)?,
        }
    }
    if !facts.is_empty() {
        let (goal, repairs) = (id.clone(), wanted.repairs(&goal, &facts));
        report.repair = repairs.first().map(|new| new.task.id.clone());
        report.unrepaired = wanted.refused;
        let input = if repairs.is_empty() {
            Input::Reviewed { goal, facts }
        } else {
            Input::Repair {
                goal,
                facts,
                repairs,
            }
        };
        ask(shared, input).await?;
    }
    Ok((finished(shared, id, report).await?, waiting))
}

/// Settles every landing of a workspace that was begun and not heard of since. The caller holds its lock.
pub(crate) async fn settle_all(shared: &Arc<Shared>, root: &Path) -> Result<(), ErrorBody> {
    settle::settle(shared, root, Which::All).await.map(|_| ())
}

async fn repairs_wanted(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    decision: &Decision,
) -> Result<Wanted, ErrorBody> {
    let (shared, goal, decision) = (shared.clone(), goal.clone(), decision.clone());
    blocking("finding who made a hunk", move || {
        repair::wanted(&shared, &goal, &decision)
    })
    .await
}

/// The report with how the goal stands now.
async fn finished(
    shared: &Arc<Shared>,
    id: &GoalId,
    mut report: DecisionReport,
) -> Result<DecisionReport, ErrorBody> {
    let goal = shared.goal(id)?;
    let owned = shared.clone();
    report.state = Some(goal.state);
    report.hunks = blocking("counting hunks", move || Ok(views::counts(&owned, &goal))).await?;
    Ok(report)
}

/// What came of the files of a decision: the report, the facts, and the files in which something
/// waits.
fn summed_up(
    units: &[Unit<'_>],
    done: Vec<Done>,
) -> (DecisionReport, Vec<EventBody>, Vec<RelPath>) {
    let mut report = DecisionReport::default();
    let (mut facts, mut waiting) = (Vec::new(), Vec::new());
    for (unit, done) in units.iter().zip(done) {
        let path = &unit.entry.file.path;
        if done.happened() && !report.files.contains(path) {
            report.files.push(path.clone());
        }
        if done.waiting > 0 {
            waiting.push(path.clone());
        }
        report.conflicts += done.conflicts;
        report.held += done.held;
        report.waiting += done.waiting;
        report.failed.extend(done.failed.map(|error| FileFailure {
            path: path.clone(),
            error,
        }));
        facts.extend(done.facts);
    }
    report.decided = facts.iter().map(decided).sum();
    (report, facts, waiting)
}

/// The files a decision is about, each with the decision as it is for it.
fn units<'a>(goal: &'a Goal, decision: &Decision, only: Option<&[RelPath]>) -> Vec<Unit<'a>> {
    let mut units: Vec<Unit<'a>> = Vec::new();
    for index in selected(goal, decision) {
        let entry = &goal.files[index];
        let Some(to) = moved_to(goal, entry, decision.verdict) else {
            if only.is_none_or(|only| only.contains(&entry.file.path)) {
                let decision = decision.clone();
                units.push(Unit {
                    entry,
                    decision,
                    needs: None,
                });
            }
            continue;
        };
        // The old place of a renamed file goes with the new one, and only with it.
        let Some(needs) = units.iter().position(|unit| unit.entry.file.path == *to) else {
            continue;
        };
        units.push(Unit {
            entry,
            decision: with_it(entry, decision),
            needs: Some(needs),
        });
    }
    units
}

fn judge(verdict: Verdict) -> Judge {
    match verdict {
        Verdict::Accept => verdict::accept,
        Verdict::Reject => verdict::reject,
        Verdict::Undo => verdict::undo,
        Verdict::Redo => verdict::redo,
        Verdict::Resolve => verdict::resolve,
    }
}

/// What a decision about a renamed file comes to for its old place.
fn with_it(entry: &FileEntry, decision: &Decision) -> Decision {
    let named = decision.hunk_id.is_some();
    Decision {
        // Whoever takes the side of the rename has not seen what was typed into the old file since.
        verdict: match (&decision.verdict, &decision.resolution) {
            (Verdict::Resolve, Some(Resolution::Mine)) => Verdict::Reject,
            (Verdict::Resolve, _) => Verdict::Accept,
            (verdict, _) => *verdict,
        },
        hunk_id: last_word(entry).filter(|_| named && decision.verdict == Verdict::Undo),
        task_id: None,
        path: Some(entry.file.path.clone()),
        ..decision.clone()
    }
}

/// Lets the ledger follow what an editor has undone, or done again, by itself.
pub(crate) async fn follow(shared: &Arc<Shared>, path: &Path) {
    // What is being loaded anew says nothing yet.
    let _ = shared.settled_document(path).await;
    if let Err(error) = settle::opened(shared, path).await {
        tracing::warn!(path = %path.display(), %error, "cannot settle an earlier change");
    }
    follow::follow(shared, path).await;
}

/// Sends an input to the dispatcher and waits until it is durable.
pub(crate) async fn ask(shared: &Shared, input: Input) -> Result<(), ErrorBody> {
    let (reply, answer) = oneshot::channel();
    shared.send(Message::Ask(input, reply));
    answer.await.unwrap_or_else(|_| {
        Err(ErrorBody::environment("the daemon is shutting down").hint("try again in a moment"))
    })
}

fn nothing_proposed(goal: &Goal) -> ErrorBody {
    let what = if goal.state.is_active() {
        "has not proposed any changes yet"
    } else {
        "has no proposed changes"
    };
    ErrorBody::user(format!(
        "goal {} {what}; it {}",
        goal.id,
        goal.state.phrase()
    ))
    .hint(format!(
        "see its progress with: claudecluster show {}",
        goal.id
    ))
}

/// A decision that names something which is not there is an error; one that finds nothing left to
/// do is not, unless it asks for what was there to come back.
pub(crate) fn check_named(decision: &Decision, report: &DecisionReport) -> Result<(), ErrorBody> {
    if !came_to_nothing(report) {
        return Ok(());
    }
    let id = &decision.goal_id;
    let of = match (&decision.hunk_id, &decision.path, &decision.task_id) {
        (Some(hunk), ..) => Some(format!("hunk {hunk}")),
        (_, Some(path), _) => Some(path.to_string()),
        (_, _, Some(task)) => Some(format!("task {task}")),
        _ => None,
    };
    let (what, hint) = match (decision.verdict, of) {
        (Verdict::Undo, Some(of)) => (
            format!("no changes of {of} have been applied"),
            format!("list its changes with: claudecluster show {id}"),
        ),
        (Verdict::Redo, of) => (
            format!(
                "no changes of {} have been undone",
                of.unwrap_or_else(|| format!("goal {id}"))
            ),
            format!("apply pending changes with: claudecluster accept {id}"),
        ),
        (_, Some(of)) => (
            match &decision.hunk_id {
                Some(hunk) => format!("there is no pending hunk {hunk}"),
                None if decision.path.is_some() => format!("no changes are pending in {of}"),
                None => format!("no changes of {of} are pending"),
            },
            format!("show pending changes with: claudecluster diff {id}"),
        ),
        (_, None) => return Ok(()),
    };
    Err(ErrorBody::stale(what).hint(hint))
}

fn came_to_nothing(report: &DecisionReport) -> bool {
    report.decided == 0
        && report.conflicts == 0
        && report.held == 0
        && report.waiting == 0
        && report.failed.is_empty()
}

/// The file of the hunk that a decision names, where the text already had what the decision asks for: an
/// editor never answered an earlier landing of it, and only looking now, before this decision, told that
/// it is there. Whoever asks again, or has made the edit themselves meanwhile, is right to; the latter also
/// where it was seen in the text before they said so.
fn found_done(
    goal: &Goal,
    decision: &Decision,
    settled: &[(GoalId, EventBody)],
) -> Option<RelPath> {
    let named = decision.hunk_id.as_ref()?;
    if decision.applied && decision.verdict == Verdict::Accept {
        let stands = |made: &Move| made.is_landing() && made.standing().any(|id| id == named);
        let mut files = goal.files.iter();
        let landed = files.find(|entry| entry.moves.iter().any(stands));
        return landed.map(|entry| entry.file.path.clone());
    }
    let about = |(goal, fact): &&(GoalId, EventBody)| {
        let hunks = match fact {
            EventBody::Reviewed { hunks, .. } => hunks.as_slice(),
            _ => &[],
        };
        *goal == decision.goal_id && hunks.contains(named)
    };
    let (_, last) = settled.iter().rfind(about)?;
    let EventBody::Reviewed {
        path,
        verdict,
        landed: Some(landed),
        ..
    } = last
    else {
        return None;
    };
    let same = match decision.verdict {
        // What is done again has landed, too.
        Verdict::Accept => matches!(verdict, Verdict::Accept | Verdict::Redo),
        // It may have been resolved to another text than is asked for now.
        Verdict::Resolve => false,
        asked => asked == *verdict,
    };
    // A rejection that is made again leaves the file as it was.
    let touched = landed.version_before() != landed.version_after();
    (same && touched).then(|| path.clone())
}

fn decided(fact: &EventBody) -> u32 {
    match fact {
        EventBody::Reviewed { hunks, .. } => u32::try_from(hunks.len()).unwrap_or(u32::MAX),
        _ => 0,
    }
}

/// The entries a decision is about. With a renamed file goes the old one. What takes moves back looks at
/// a file as a whole, so one of its entries is enough.
fn selected(goal: &Goal, decision: &Decision) -> Vec<usize> {
    let back = matches!(decision.verdict, Verdict::Undo | Verdict::Redo);
    let old_place = |entry| moved_to(goal, entry, decision.verdict);
    let wanted = |index: usize| {
        let entry = &goal.files[index];
        let path = &entry.file.path;
        let mut before = goal.files[..index].iter();
        let named = |only: &RelPath| path == only || old_place(entry) == Some(only);
        decision.path.as_ref().is_none_or(named)
            && !(back && before.any(|other| other.file.path == *path))
    };
    let mut found: Vec<usize> = (0..goal.files.len())
        .filter(|&index| wanted(index))
        .collect();
    found.sort_by_key(|&index| old_place(&goal.files[index]).is_some());
    found
}

/// Where a file that is proposed to move away goes. What takes moves back is about proposals that have
/// been decided, too.
fn moved_to<'a>(goal: &'a Goal, entry: &FileEntry, verdict: Verdict) -> Option<&'a RelPath> {
    if !matches!(verdict, Verdict::Undo | Verdict::Redo) {
        return views::renamed_to(goal, entry);
    }
    let first = entry.moves.first();
    let proposed = first.map_or(&entry.file.proposed, |first| &first.before.proposed);
    let mut others = goal.files.iter();
    let to = others.find(|other| other.file.from.as_ref() == Some(&entry.file.path));
    to.filter(|_| proposed.is_none()).map(|to| &to.file.path)
}

/// A hunk that was decided last.
fn last_word(entry: &FileEntry) -> Option<HunkId> {
    let decided = entry.moves.iter().rev().filter(|made| made.of.is_none());
    decided.flat_map(Move::standing).next().cloned()
}
