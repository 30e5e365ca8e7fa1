//! Repair tasks: what is handed to them, whose session they go on from, and what they are told. What
//! they start from is in [`crate::ground`], what becomes of their work in [`crate::amend`].

use std::{collections::HashMap, sync::Arc};

use claudecluster_core::{
    lifecycle::{FileEntry, Goal, Pair, Task},
    patch::{self, FileAt, FilePair},
    review::Review,
    step::{Input, NewRepair, over_budget},
};
use claudecluster_protocol::{
    ErrorBody, EventBody, GoalState, HunkId, RelPath, StopReason, TaskId, TaskSpec, TaskState,
    api::{Decision, DecisionReport},
    change::{FileVersion, HunkStatus, HunkView, Provenance},
    event::{Repair, RepairCause, Verdict},
    plan::AgentName,
};
use claudecluster_worker::{agent::registry, changes::Content};

use crate::{
    gates, landing,
    pending::{self, Part, Versions},
    prompts::{self, Shown},
    proposal,
    shared::Shared,
    views,
    work::blocking,
};

/// Returns the agent of a task, if it follows instructions.
fn instructed_agent(goal: &Goal, task: &Task) -> Option<AgentName> {
    let agent = goal.spec.agent_for(&task.spec);
    let input = registry().get(agent).capabilities().input;
    (input == AgentInput::Instructions).then_some(agent)
}

/// A repair by the agent of the first task in `repair.of`; `None` where that is a program.
fn new(goal: &Goal, n: usize, title: String, repair: Repair) -> Option<NewRepair> {
    let author = goal.tasks.get(repair.of.first()?)?;
    let mut task = TaskSpec::new(goal.repair_id(n), "");
    task.title = title;
    task.agent = Some(instructed_agent(goal, author)?);
    task.model.clone_from(&author.spec.model);
    task.timeout = author.spec.timeout;
    task.writes = repair.files.iter().map(|file| file.display()).collect();
    let succeeded = |id: &&TaskId| goal.tasks[*id].state == TaskState::Succeeded;
    task.depends_on = repair.of.iter().filter(succeeded).cloned().collect();
    if repair.cause != RepairCause::TaskConflict {
        // The goal's gates have run already; what is amended has to pass them as well.
        task.gates = gates::commands(goal);
    }
    task.instructions = prompts::assignment(&repair);
    Some(NewRepair { task, repair })
}

/// The repair of what `of`, in the order in which they finished, want differently in `files`. By the
/// last of them that a model did: it knows most of the text as it is.
pub(crate) fn of_tasks(
    goal: &Goal,
    n: usize,
    mut of: Vec<TaskId>,
    files: Vec<RelPath>,
) -> Option<NewRepair> {
    let told = |id: &TaskId| instructed_agent(goal, &goal.tasks[id]).is_some();
    let last = of.iter().rposition(told)?;
    let author = of.remove(last);
    of.insert(0, author);
    let labels: Vec<&str> = of.iter().map(|id| goal.tasks[id].spec.label()).collect();
    let title = format!("Settle: {}", labels.join(" / "));
    let repair = Repair {
        cause: RepairCause::TaskConflict,
        hunks: Vec::new(),
        files,
        of,
        reason: None,
    };
    new(goal, n, title, repair)
}

/// What of a rejection goes back to whoever made it.
#[derive(Default)]
pub(crate) struct Wanted {
    authors: HashMap<HunkId, TaskId>,
    reason: Option<String>,
    /// Why nothing does, where the configuration would have it.
    pub(crate) refused: Option<ErrorBody>,
}

/// Finds out who is to repair what a decision rejects.
///
/// # Errors
///
/// A repair was asked for, and there can be none.
pub(crate) fn wanted(
    shared: &Shared,
    goal: &Goal,
    decision: &Decision,
) -> Result<Wanted, ErrorBody> {
    if decision.verdict != Verdict::Reject {
        return Ok(Wanted::default());
    }
    let reason = decision
        .reason
        .clone()
        .filter(|reason| !reason.trim().is_empty());
    let asked = decision.repair == Some(true);
    let by_itself = decision.repair.is_none() && reason.is_some();
    let configured = shared.config.settings.repair.rejections;
    if !(asked || by_itself && configured) {
        return Ok(Wanted::default());
    }
    if let Err(error) = possible(shared, goal) {
        if asked {
            return Err(error);
        }
        // A goal that failed was never going to be repaired; one without money might have been.
        let refused = (goal.state == GoalState::Proposed).then_some(error);
        return Ok(Wanted {
            refused,
            ..Wanted::default()
        });
    }
    let mut authors = HashMap::new();
    for hunk in views::hunks(shared, goal, decision.path.as_ref())? {
        if concerns(decision, &hunk)
            && let Some(author) = author(goal, &hunk.provenance)
        {
            authors.insert(hunk.id, author);
        }
    }
    if asked && authors.is_empty() {
        return Err(nobody());
    }
    Ok(Wanted {
        authors,
        reason,
        refused: None,
    })
}

impl Wanted {
    /// The repairs of what was rejected, one for each task that made some of it.
    pub(crate) fn repairs(&self, goal: &Goal, facts: &[EventBody]) -> Vec<NewRepair> {
        let rejected = facts.iter().flat_map(|fact| match fact {
            EventBody::Reviewed { path, hunks, .. } => {
                hunks.iter().map(|id| (path.clone(), id.clone())).collect()
            }
            _ => Vec::new(),
        });
        let by_author = rejected
            .filter_map(|(path, id)| Some((self.authors.get(&id)?.clone(), path, id)))
            .collect();
        of_authors(goal, RepairCause::Rejected, by_author, self.reason.as_ref())
    }
}

fn of_authors(
    goal: &Goal,
    cause: RepairCause,
    hunks: Vec<(TaskId, RelPath, HunkId)>,
    reason: Option<&String>,
) -> Vec<NewRepair> {
    let mut repairs: Vec<Repair> = Vec::new();
    for (author, path, id) in hunks {
        let known = repairs.iter().position(|repair| repair.of[0] == author);
        let at = known.unwrap_or_else(|| {
            repairs.push(Repair {
                cause,
                hunks: Vec::new(),
                files: Vec::new(),
                of: vec![author],
                reason: reason.cloned(),
            });
            repairs.len() - 1
        });
        repairs[at].hunks.push(id);
        if !repairs[at].files.contains(&path) {
            repairs[at].files.push(path);
        }
    }
    repairs
        .into_iter()
        .enumerate()
        .filter_map(|(n, repair)| {
            let label = goal.tasks[&repair.of[0]].spec.label();
            let label = label.strip_prefix("Repair: ").unwrap_or(label);
            new(goal, n, format!("Repair: {label}"), repair)
        })
        .collect()
}

/// Hands conflicts to repair tasks, as [`Resolution::Repair`](claudecluster_protocol::api::Resolution) asks.
/// The landing lock is held.
pub(crate) async fn resolve(
    shared: &Arc<Shared>,
    goal: &Arc<Goal>,
    decision: &Decision,
) -> Result<DecisionReport, ErrorBody> {
    possible(shared, goal)?;
    let (owned, owned_goal, asked) = (shared.clone(), goal.clone(), decision.clone());
    let repairs = blocking("finding conflicts", move || {
        conflicts(&owned, &owned_goal, &asked)
    })
    .await?;
    let report = DecisionReport {
        repair: repairs.first().map(|new| new.task.id.clone()),
        ..DecisionReport::default()
    };
    let input = Input::Repair {
        goal: goal.id.clone(),
        facts: Vec::new(),
        repairs,
    };
    landing::ask(shared, input).await?;
    Ok(report)
}

fn conflicts(
    shared: &Shared,
    goal: &Goal,
    decision: &Decision,
) -> Result<Vec<NewRepair>, ErrorBody> {
    let id = &goal.id;
    let at_work: Vec<(&TaskId, &HunkId)> = goal
        .repairs_under_way()
        .filter_map(|(id, task)| Some((id, task.repair.as_ref()?)))
        .flat_map(|(id, repair)| repair.hunks.iter().map(move |hunk| (id, hunk)))
        .collect();
    let mut wanted = Vec::new();
    let mut found = false;
    for hunk in views::hunks(shared, goal, decision.path.as_ref())? {
        if hunk.status != HunkStatus::Conflict || !concerns(decision, &hunk) {
            continue;
        }
        if let Some((task, _)) = at_work.iter().find(|(_, other)| **other == hunk.id) {
            return Err(ErrorBody::user(format!(
                "{task} is at work on the hunk {} already",
                hunk.id
            ))
            .hint(format!(
                "follow it: claudecluster watch {id}; or end it: claudecluster cancel {id}"
            )));
        }
        found = true;
        if let Some(author) = author(goal, &hunk.provenance) {
            wanted.push((author, hunk.path, hunk.id));
        }
    }
    if !found {
        return Err(ErrorBody::stale("no such conflict is pending")
            .hint(format!("`claudecluster diff {id}` shows what is pending")));
    }
    let reason = decision.reason.as_ref();
    let repairs = of_authors(goal, RepairCause::Conflict, wanted, reason);
    if repairs.is_empty() {
        return Err(nobody());
    }
    Ok(repairs)
}

fn nobody() -> ErrorBody {
    ErrorBody::user("a program made this change: there is no session that could repair it")
        .hint("decide it by hand, or state what you want as a new goal")
}

/// Whether a goal can be repaired now.
fn possible(shared: &Shared, goal: &Goal) -> Result<(), ErrorBody> {
    if goal.state != GoalState::Proposed {
        let state = goal.state.as_str();
        return Err(ErrorBody::user(format!(
            "goal {} is {state}: it cannot be repaired",
            goal.id
        ))
        .hint("state what you want as a new goal"));
    }
    over_budget(goal, &shared.config.policy()).map_or(Ok(()), Err)
}

fn concerns(decision: &Decision, hunk: &HunkView) -> bool {
    let task = |id: &TaskId| hunk.provenance.iter().any(|by| by.task == *id);
    decision.hunk_id.as_ref().is_none_or(|id| *id == hunk.id)
        && decision.task_id.as_ref().is_none_or(task)
}

/// The first of a hunk's tasks that a model did.
fn author(goal: &Goal, provenance: &[Provenance]) -> Option<TaskId> {
    let told = |id: &&TaskId| {
        let task = goal.tasks.get(*id);
        task.is_some_and(|task| instructed_agent(goal, task).is_some())
    };
    provenance.iter().map(|by| &by.task).find(told).cloned()
}

/// The session that a repair goes on from: that of the task whose work it repairs, so that the worker
/// knows what it did and why.
pub(crate) fn session(goal: &Goal, task: &TaskId) -> Option<String> {
    let task = &goal.tasks[task];
    let author = goal.tasks.get(task.repair.as_ref()?.of.first()?)?;
    // The session may be gone, or be what makes the attempt fail: the next one does without.
    let forkable = task
        .outcome()
        .and_then(|outcome| outcome.stop)
        .is_none_or(|stop| {
            use StopReason::{DaemonRestart, GateFailed, Overloaded};
            matches!(stop, DaemonRestart | GateFailed | Overloaded)
        });
    author.outcome()?.session.clone().filter(|_| forkable)
}

/// What a repair is told.
///
/// # Errors
///
/// There is nothing left to repair, or a text cannot be read.
pub(crate) fn prompt(
    shared: &Shared,
    goal: &Goal,
    task: &TaskId,
    upstream: &[TaskId],
) -> Result<String, ErrorBody> {
    let Some(repair) = &goal.tasks[task].repair else {
        return Ok(prompts::work(goal, task));
    };
    let shown = match repair.cause {
        RepairCause::TaskConflict => disputed(shared, goal, upstream, repair)?,
        RepairCause::Rejected => rejected(shared, goal, repair)?,
        RepairCause::Conflict => conflicting(shared, goal, repair)?,
    };
    if shown.is_empty() {
        return Err(ErrorBody::stale("there is nothing left to repair"));
    }
    Ok(prompts::repair_work(goal, task, repair, &shown))
}

fn disputed(
    shared: &Shared,
    goal: &Goal,
    upstream: &[TaskId],
    repair: &Repair,
) -> Result<Vec<Shown>, ErrorBody> {
    let entries = proposal::disputed(shared, goal, upstream, repair)?;
    entries
        .into_iter()
        .map(|entry| {
            Ok(Shown {
                diff: diff(shared, &entry.path, &entry.base, &entry.proposed)?,
                by: entry.versions.into_iter().map(|version| version.by).next(),
                path: entry.path,
                now: None,
            })
        })
        .collect()
}

/// The hunks as they were before they were rejected.
fn rejected(shared: &Shared, goal: &Goal, repair: &Repair) -> Result<Vec<Shown>, ErrorBody> {
    let mut shown = Vec::new();
    for entry in about(goal, repair) {
        let moves = entry.moves.iter().rev();
        for made in moves.filter(|made| made.verdict == Verdict::Reject) {
            let wanted = |id: &HunkId| repair.hunks.contains(id);
            if made.hunks.iter().any(wanted) {
                shown.extend(hunks_of(shared, goal, entry, &made.before, repair)?);
            }
        }
    }
    Ok(shown)
}

/// The hunks as they conflict.
fn conflicting(shared: &Shared, goal: &Goal, repair: &Repair) -> Result<Vec<Shown>, ErrorBody> {
    let pending = views::hunks(shared, goal, None)?;
    let mut shown = Vec::new();
    for entry in about(goal, repair) {
        let now: Vec<&str> = pending
            .iter()
            .filter(|hunk| repair.hunks.contains(&hunk.id) && hunk.path == entry.file.path)
            .map(|hunk| hunk.old_text.as_str())
            .collect();
        if now.is_empty() {
            continue;
        }
        let found = hunks_of(shared, goal, entry, &entry.pair(), repair)?;
        shown.extend(found.map(|found| Shown {
            now: Some(now.join("\n")).filter(|_| !entry.is_alternative()),
            ..found
        }));
    }
    Ok(shown)
}

fn about<'a>(goal: &'a Goal, repair: &Repair) -> impl Iterator<Item = &'a FileEntry> {
    goal.files
        .iter()
        .filter(|entry| repair.files.contains(&entry.file.path))
}

/// What the repair's hunks do, of all the hunks of a pair.
fn hunks_of(
    shared: &Shared,
    goal: &Goal,
    entry: &FileEntry,
    pair: &Pair,
    repair: &Repair,
) -> Result<Option<Shown>, ErrorBody> {
    let mut entry = entry.clone();
    entry.file.base.clone_from(&pair.base);
    entry.file.proposed.clone_from(&pair.proposed);
    let base = shared.content_of(pair.base.as_ref())?;
    let versions = Versions::of(shared, &entry, base.clone())?;
    let mut found = pending::hunks(shared, goal, &entry, &versions)?;
    found.retain(|pending| repair.hunks.contains(&pending.view.id));
    if found.is_empty() {
        return Ok(None);
    }
    let keys: Vec<_> = found
        .iter()
        .filter_map(|pending| match pending.part {
            Part::Lines(key) => Some(key),
            Part::Mode | Part::Whole => None,
        })
        .collect();
    let after = match versions.texts() {
        Some((base, current, proposed)) if keys.len() == found.len() => {
            let accepted = Review::new(base, current, proposed).accept(&keys);
            versions.current.as_ref().map(|content| Content {
                bytes: accepted.current.into_bytes().into(),
                mode: content.mode,
            })
        }
        _ => versions.proposed.clone(),
    };
    Ok(Some(Shown {
        diff: unified(&entry.file.path, base.as_ref(), after.as_ref()),
        by: found[0].view.provenance.first().cloned(),
        path: entry.file.path,
        now: None,
    }))
}

fn diff(
    shared: &Shared,
    path: &RelPath,
    old: &Option<FileVersion>,
    new: &Option<FileVersion>,
) -> Result<String, ErrorBody> {
    let (old, new) = (
        shared.content_of(old.as_ref())?,
        shared.content_of(new.as_ref())?,
    );
    Ok(unified(path, old.as_ref(), new.as_ref()))
}

fn unified(path: &RelPath, old: Option<&Content>, new: Option<&Content>) -> String {
    fn at(content: &Content) -> FileAt<'_> {
        FileAt {
            mode: content.mode,
            content: &content.bytes,
        }
    }
    let patch = patch::unified(&[FilePair {
        path,
        from: None,
        old: old.map(at),
        new: new.map(at),
    }]);
    let mut text = patch.diff;
    text.extend(patch.omitted.iter().map(|line| format!("{line}\n")));
    text
}
