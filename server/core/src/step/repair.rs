//! Repair tasks: added to a plan that has been carried out, because what was made does not fit.
//!
//! There are two kinds. Where tasks of a goal disagree, a repair runs *before* the proposal and merges
//! in as the last task. Where the developer rejects a hunk with a reason, or hands over a conflict, it
//! runs *beside* the proposal, which stays open for decisions meanwhile, and what it makes is
//! amended to it. Either way a repair that fails leaves everything as it was.

use claudecluster_protocol::{
    ErrorBody, EventBody, GoalId, GoalState, StopReason, TaskId, TaskSpec, TaskState,
    event::ProposedFile,
    repair::{RepairCause, RepairSpec},
};

use super::{Effect, StepTurn, goal_budget, wrong_state};
use crate::{
    policy::{self, SchedulingPolicy},
    state::{Goal, GoalTask},
};

/// A repair task that is not part of the plan yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRepairTask {
    /// The task.
    pub task: TaskSpec,
    /// The conflict or refusal to repair.
    pub repair: RepairSpec,
}

/// The tasks' changes merged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MergedProposal {
    /// The proposal.
    pub files: Vec<ProposedFile>,
    /// Repairs that could settle what tasks disagree about, in place of the developer.
    pub repairs: Vec<NewRepairTask>,
}

impl StepTurn<'_> {
    /// Starts repairs of conflicts between tasks before the developer sees them. Returns whether
    /// repairs were started.
    pub(super) fn repair_conflicts(&mut self, id: &GoalId, repairs: Vec<NewRepairTask>) -> bool {
        let Some(goal) = self.state.goal(id) else {
            return false;
        };
        if !self.policy.repair_conflicts || budget_error(goal, self.policy).is_some() {
            return false;
        }
        let repairs: Vec<NewRepairTask> = repairs
            .into_iter()
            .filter(|new| !goal.tasks.contains_key(&new.task.id) && !was_tried(goal, &new.repair))
            .collect();
        if repairs.is_empty() {
            return false;
        }
        self.add_repairs(id, repairs);
        self.change_state(id, GoalState::Running, None);
        self.advance_goal(id);
        true
    }

    /// Takes the facts of a verdict that is to be repaired, and the repairs. Both or neither: a goal
    /// whose last hunk was rejected is not over while its repair is to come.
    pub(super) fn start_repairs(
        &mut self,
        id: &GoalId,
        facts: Vec<EventBody>,
        repairs: Vec<NewRepairTask>,
    ) -> Result<(), ErrorBody> {
        let goal = self.goal(id)?;
        if goal.state != GoalState::Proposed {
            return Err(wrong_state(
                goal,
                "only a goal with proposed changes can be repaired",
            ));
        }
        if let Some(new) = repairs
            .iter()
            .find(|new| goal.tasks.contains_key(&new.task.id))
        {
            let task = &new.task.id;
            return Err(ErrorBody::stale(format!(
                "goal {id} already has a task {task}"
            )));
        }
        self.record_decision(id, facts);
        self.add_repairs(id, repairs);
        self.advance_goal(id);
        self.finish_review(id);
        Ok(())
    }

    fn add_repairs(&mut self, id: &GoalId, repairs: Vec<NewRepairTask>) {
        for NewRepairTask { task, repair } in repairs {
            let task = Box::new(task);
            self.record_event(id, EventBody::TaskAdded { task, repair });
        }
    }

    /// Takes what a repair comes to in the proposal.
    pub(super) fn record_amendment(
        &mut self,
        id: &GoalId,
        task_id: &TaskId,
        result: Result<Vec<ProposedFile>, ErrorBody>,
    ) {
        // Asked for twice after a restart at the wrong moment, it is taken once.
        let awaited = self
            .state
            .goal(id)
            .and_then(|goal| goal.tasks.get(task_id))
            .is_some_and(|task| task.awaits_amending());
        if !awaited {
            return;
        }
        match result {
            Ok(files) => {
                let task_id = task_id.clone();
                self.record_event(id, EventBody::Amended { task_id, files });
            }
            Err(_) => self.set_task(id, task_id, TaskState::Failed),
        }
        self.finish_review(id);
    }

    /// Ends a repair whose attempt stopped and is not tried again: the repair has failed, and
    /// nothing else has.
    pub(super) fn repair_failed(&mut self, id: &GoalId, task: &TaskId) {
        self.set_task(id, task, TaskState::Failed);
        self.finish_review(id);
    }

    /// Ends the repairs of a proposal; the proposal stays.
    pub(super) fn cancel_repairs(&mut self, id: &GoalId) -> Result<(), ErrorBody> {
        let goal = self.goal(id)?;
        let open = unfinished_repairs(goal);
        if open.is_empty() {
            return Err(
                wrong_state(goal, "its work is already done").with_hint(format!(
                    "reject its changes with: claudecluster reject {id}"
                )),
            );
        }
        for task in &open {
            self.set_task(id, task, TaskState::Cancelled);
        }
        self.withdraw_permissions(id);
        self.effects.push(Effect::Stop(id.clone()));
        self.finish_review(id);
        Ok(())
    }

    /// Tries repairs of a proposal again that have failed or were cancelled.
    pub(super) fn retry_repairs(
        &mut self,
        id: &GoalId,
        only: Option<&TaskId>,
    ) -> Result<(), ErrorBody> {
        let goal = self.goal(id)?;
        let again: Vec<TaskId> = goal
            .tasks
            .iter()
            .filter(|(id, task)| task.amends_proposal() && only.is_none_or(|only| only == *id))
            .filter(|(_, task)| matches!(task.state, TaskState::Failed | TaskState::Cancelled))
            .filter(|(_, task)| task.running_attempt().is_none())
            .map(|(id, _)| id.clone())
            .collect();
        if again.is_empty() {
            return Err(wrong_state(
                goal,
                "only a failed or cancelled goal or repair can be retried",
            ));
        }
        if let Some(error) = budget_error(goal, self.policy) {
            return Err(error);
        }
        for task in &again {
            self.set_task(id, task, TaskState::Waiting);
        }
        self.advance_goal(id);
        Ok(())
    }

    /// Takes the repairs of a proposal up where the last daemon left them.
    pub(super) fn recover_repairs(&mut self, id: &GoalId, ended: StopReason) {
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        if goal.repairs_under_way().next().is_none() {
            return;
        }
        let made: Vec<TaskId> = goal
            .tasks
            .iter()
            .filter(|(_, task)| task.awaits_amending())
            .map(|(id, _)| id.clone())
            .collect();
        for task in made {
            let goal = id.clone();
            self.effects.push(Effect::Amend { goal, task });
        }
        self.recover_attempts(id, ended);
        self.finish_review(id);
    }

    /// Returns whether the budget allows no further start. Where only repairs are left to start
    /// they are dropped, for the work itself is done.
    pub(super) fn out_of_money(&mut self, id: &GoalId) -> bool {
        let Some(goal) = self.state.goal(id) else {
            return false;
        };
        let Some(error) = budget_error(goal, self.policy) else {
            return false;
        };
        let open = |(_, task): &(&TaskId, &GoalTask)| !task.state.is_terminal();
        let only_repairs = goal
            .tasks
            .iter()
            .filter(open)
            .all(|(_, task)| task.repair.is_some());
        if only_repairs {
            let waiting: Vec<TaskId> = goal
                .tasks
                .iter()
                .filter(open)
                .filter(|(_, task)| task.running_attempt().is_none())
                .map(|(id, _)| id.clone())
                .collect();
            for task in &waiting {
                self.set_task(id, task, TaskState::Cancelled);
            }
            self.advance_goal(id);
            self.finish_review(id);
        } else {
            self.abort_goal(id, GoalState::Failed, Some(error));
        }
        true
    }
}

/// Returns the error for a goal that has used up its budget.
pub fn budget_error(goal: &Goal, policy: &SchedulingPolicy) -> Option<ErrorBody> {
    let limit = goal_budget(goal, policy).filter(|&limit| goal.usage().cost_usd >= limit)?;
    Some(
        ErrorBody::user(format!("the goal reached its cost limit of {limit}"))
            .with_hint(policy::stop_hint(StopReason::Budget, &goal.id)),
    )
}

/// Returns whether a repair of a conflict in one of these files has been tried: once is enough,
/// what is left then is the developer's.
fn was_tried(goal: &Goal, repair: &RepairSpec) -> bool {
    goal.tasks
        .values()
        .filter_map(|task| task.repair.as_ref())
        .filter(|earlier| earlier.cause == RepairCause::TaskConflict)
        .any(|earlier| earlier.files.iter().any(|file| repair.files.contains(file)))
}

/// Returns the repairs of a proposal that have not ended.
fn unfinished_repairs(goal: &Goal) -> Vec<TaskId> {
    goal.tasks
        .iter()
        .filter(|(_, task)| task.amends_proposal() && !task.state.is_terminal())
        .map(|(id, _)| id.clone())
        .collect()
}
