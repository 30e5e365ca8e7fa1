//! RepairSpec tasks: which conflicts and rejections they are about, and who makes them. What they are told
//! and start from is in `run`, what becomes of their work in `land::merge_repair`.

use std::{collections::HashMap, fmt::Write};

use claudecluster_core::{
    state::{Goal, GoalTask},
    step::{NewRepairTask, budget_error},
};
use claudecluster_protocol::{
    ErrorBody, EventBody, GoalState, HunkId, RelPath, TaskId, TaskSpec, TaskState,
    agent::AgentInput,
    api::Decision,
    change::{HunkStatus, HunkView, Provenance},
    event::Verdict,
    plan::{AgentName, Gate},
    repair::{RepairCause, RepairSpec},
};
use claudecluster_worker::agent::registry;

use crate::{config::DriverConfig, review::reader::PendingReader};

/// Returns the agent of a task, if it follows instructions.
fn instructed_agent(goal: &Goal, task: &GoalTask) -> Option<AgentName> {
    let agent = goal.spec.agent_for(&task.spec);
    let input = registry().get(agent).capabilities().input;
    (input == AgentInput::Instructions).then_some(agent)
}

/// Returns a repair by the agent of the first task in `repair.of`; `None` if that agent is a
/// program.
fn new_repair(goal: &Goal, n: usize, title: String, repair: RepairSpec) -> Option<NewRepairTask> {
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
        task.gates = gate_commands(goal);
    }
    task.instructions = repair_instructions(&repair);
    Some(NewRepairTask { task, repair })
}

/// Returns the repair of a dispute between the tasks `of`, which are in the order in which they
/// finished.
///
/// The last of them that a model did makes the repair: it knows most of the text as it is. `None`
/// if programs did all of them.
pub(crate) fn repair_of_dispute(
    goal: &Goal,
    n: usize,
    mut of: Vec<TaskId>,
    files: Vec<RelPath>,
) -> Option<NewRepairTask> {
    let told = |id: &TaskId| instructed_agent(goal, &goal.tasks[id]).is_some();
    let last = of.iter().rposition(told)?;
    let author = of.remove(last);
    of.insert(0, author);
    let labels: Vec<&str> = of
        .iter()
        .map(|id| goal.tasks[id].spec.title_or_id())
        .collect();
    let title = format!("Resolve: {}", labels.join(" / "));
    let repair = RepairSpec {
        cause: RepairCause::TaskConflict,
        hunks: Vec::new(),
        files,
        of,
        reason: None,
    };
    new_repair(goal, n, title, repair)
}

/// Rejected hunks that go back to their authors for repair.
#[derive(Default)]
pub(crate) struct RejectionRepairs {
    authors: HashMap<HunkId, TaskId>,
    reason: Option<String>,
    /// The reason for no repair, if the configuration asks for one.
    pub(crate) refused: Option<ErrorBody>,
}

/// Finds the authors who repair the rejected hunks of a decision.
///
/// # Errors
///
/// A repair was asked for, and there can be none.
pub(crate) fn repairs_of_rejection(
    pending: &PendingReader,
    config: &DriverConfig,
    goal: &Goal,
    decision: &Decision,
) -> Result<RejectionRepairs, ErrorBody> {
    if decision.verdict != Verdict::Reject {
        return Ok(RejectionRepairs::default());
    }
    let reason = decision
        .reason
        .clone()
        .filter(|reason| !reason.trim().is_empty());
    let asked = decision.repair == Some(true);
    let by_itself = decision.repair.is_none() && reason.is_some();
    let configured = config.settings.repair.rejections;
    if !(asked || by_itself && configured) {
        return Ok(RejectionRepairs::default());
    }
    if let Err(error) = check_repairable(config, goal) {
        if asked {
            return Err(error);
        }
        // A goal that failed was never going to be repaired; one without money might have been.
        let refused = (goal.state == GoalState::Proposed).then_some(error);
        return Ok(RejectionRepairs {
            refused,
            ..RejectionRepairs::default()
        });
    }
    let mut authors = HashMap::new();
    for hunk in pending.hunks(goal, decision.path.as_ref())? {
        if is_about(decision, &hunk)
            && let Some(author) = repairing_author(goal, &hunk.provenance)
        {
            authors.insert(hunk.id, author);
        }
    }
    if asked && authors.is_empty() {
        return Err(no_author_error());
    }
    Ok(RejectionRepairs {
        authors,
        reason,
        refused: None,
    })
}

impl RejectionRepairs {
    /// Returns the repairs of rejected hunks, one for each task that made some of them.
    pub(crate) fn repairs_of_facts(&self, goal: &Goal, facts: &[EventBody]) -> Vec<NewRepairTask> {
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
) -> Vec<NewRepairTask> {
    let mut repairs: Vec<RepairSpec> = Vec::new();
    for (author, path, id) in hunks {
        let known = repairs.iter().position(|repair| repair.of[0] == author);
        let at = known.unwrap_or_else(|| {
            repairs.push(RepairSpec {
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
            let label = goal.tasks[&repair.of[0]].spec.title_or_id();
            let label = label.strip_prefix("Repair: ").unwrap_or(label);
            new_repair(goal, n, format!("Repair: {label}"), repair)
        })
        .collect()
}

/// Finds the conflicts that a decision hands over, as
/// [`Resolution::Repair`](claudecluster_protocol::resolution::Resolution) asks, and returns their repairs.
pub(crate) fn repairs_of_conflicts(
    pending: &PendingReader,
    config: &DriverConfig,
    goal: &Goal,
    decision: &Decision,
) -> Result<Vec<NewRepairTask>, ErrorBody> {
    check_repairable(config, goal)?;
    let id = &goal.id;
    let at_work: Vec<(&TaskId, &HunkId)> = goal
        .repairs_under_way()
        .filter_map(|(id, task)| Some((id, task.repair.as_ref()?)))
        .flat_map(|(id, repair)| repair.hunks.iter().map(move |hunk| (id, hunk)))
        .collect();
    let mut wanted = Vec::new();
    let mut found = false;
    for hunk in pending.hunks(goal, decision.path.as_ref())? {
        if hunk.status != HunkStatus::Conflict || !is_about(decision, &hunk) {
            continue;
        }
        if let Some((task, _)) = at_work.iter().find(|(_, other)| **other == hunk.id) {
            return Err(ErrorBody::user(format!(
                "{task} is already repairing hunk {}",
                hunk.id
            ))
            .with_hint(format!(
                "watch it with: claudecluster watch {id}; or cancel it with: claudecluster cancel {id}"
            )));
        }
        found = true;
        if let Some(author) = repairing_author(goal, &hunk.provenance) {
            wanted.push((author, hunk.path, hunk.id));
        }
    }
    if !found {
        return Err(
            ErrorBody::stale("there is no such pending conflict").with_hint(format!(
                "show pending changes with: claudecluster diff {id}"
            )),
        );
    }
    let reason = decision.reason.as_ref();
    let repairs = of_authors(goal, RepairCause::Conflict, wanted, reason);
    if repairs.is_empty() {
        return Err(no_author_error());
    }
    Ok(repairs)
}

fn no_author_error() -> ErrorBody {
    ErrorBody::user("a command made this change, and no agent session can repair it")
        .with_hint("resolve it yourself, or start a new goal")
}

/// Checks that a goal can be repaired now.
fn check_repairable(config: &DriverConfig, goal: &Goal) -> Result<(), ErrorBody> {
    if goal.state != GoalState::Proposed {
        return Err(ErrorBody::user(format!(
            "goal {} {}; it cannot be repaired",
            goal.id,
            goal.state.status_phrase()
        ))
        .with_hint("start a new goal"));
    }
    budget_error(goal, &config.policy()).map_or(Ok(()), Err)
}

fn is_about(decision: &Decision, hunk: &HunkView) -> bool {
    let task = |id: &TaskId| hunk.provenance.iter().any(|by| by.task == *id);
    decision.hunk_id.as_ref().is_none_or(|id| *id == hunk.id)
        && decision.task_id.as_ref().is_none_or(task)
}

/// Returns the first of a hunk's tasks that a model did.
fn repairing_author(goal: &Goal, provenance: &[Provenance]) -> Option<TaskId> {
    let told = |id: &&TaskId| {
        let task = goal.tasks.get(*id);
        task.is_some_and(|task| instructed_agent(goal, task).is_some())
    };
    provenance.iter().map(|by| &by.task).find(told).cloned()
}

/// Returns the gates that a proposal has to pass: the plan's, then the goal's own.
pub(crate) fn gate_commands(goal: &Goal) -> Vec<Gate> {
    let mut gates: Vec<Gate> = goal
        .plan
        .iter()
        .flat_map(|plan| plan.gates.clone())
        .collect();
    gates.extend(
        goal.spec
            .gates
            .iter()
            .filter(|gate| !gates.contains(gate))
            .cloned()
            .collect::<Vec<_>>(),
    );
    gates
}

/// Returns the instructions of a repair task.
fn repair_instructions(repair: &RepairSpec) -> String {
    let files: Vec<String> = repair.files.iter().map(RelPath::display).collect();
    let files = files.join(", ");
    let mut text = match repair.cause {
        RepairCause::TaskConflict => {
            format!("Find the text of {files} that does what all these tasks are for.")
        }
        RepairCause::Rejected => {
            format!("Do again what was rejected in {files}, as the developer wants it.")
        }
        RepairCause::Conflict => {
            format!("Bring the change to {files} together with the text that is there now.")
        }
    };
    if let Some(reason) = &repair.reason {
        let _ = write!(text, " The developer says: {reason}");
    }
    text
}
