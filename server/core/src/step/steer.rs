//! What people and the clock do to a goal that is under way.

use claudecluster_protocol::{ErrorBody, GoalId, GoalState, TaskId, TaskState, Timestamp};
use indexmap::IndexMap;

use super::{Effect, StepTurn, wrong_state};

impl StepTurn<'_> {
    pub(super) fn cancel_goal(&mut self, id: &GoalId) -> Result<(), ErrorBody> {
        let goal = self.goal(id)?;
        if goal.state.is_terminal() {
            return Err(wrong_state(goal, "there is nothing to cancel"));
        }
        if goal.state == GoalState::Proposed {
            return self.cancel_repairs(id);
        }
        self.abort_goal(id, GoalState::Cancelled, None);
        Ok(())
    }

    pub(super) fn retry_goal(
        &mut self,
        id: &GoalId,
        only: Option<&TaskId>,
    ) -> Result<(), ErrorBody> {
        let goal = self.goal(id)?;
        if goal.state == GoalState::Proposed {
            return self.retry_repairs(id, only);
        }
        if !matches!(goal.state, GoalState::Failed | GoalState::Cancelled) {
            return Err(wrong_state(
                goal,
                "only a failed or cancelled goal can be retried",
            ));
        }
        if goal
            .files
            .iter()
            .any(|entry| entry.landed_count() > 0 || entry.rejected_count() > 0)
        {
            return Err(wrong_state(
                goal,
                "some of its changes were already accepted or rejected",
            )
            .with_hint("start a new goal for the rest"));
        }
        if goal.plan.is_none() {
            self.change_state(id, GoalState::Submitted, None);
            self.effects.push(Effect::Snapshot(id.clone()));
            return Ok(());
        }
        if let Some(task) = only
            && !goal.tasks.contains_key(task)
        {
            return Err(unknown_task(id, task));
        }
        let again: Vec<TaskId> = goal
            .tasks
            .iter()
            .filter(|(_, task)| task.state.is_terminal() && task.state != TaskState::Succeeded)
            .filter(|(id, task)| {
                only.is_none_or(|only| only == *id) || task.state == TaskState::Skipped
            })
            .map(|(id, _)| id.clone())
            .collect();
        // A plan that nobody has approved does not run because its goal was cancelled in between.
        let next = if goal.unapproved {
            GoalState::AwaitingApproval
        } else {
            GoalState::Running
        };
        self.change_state(id, next, None);
        for task in &again {
            self.set_task(id, task, TaskState::Waiting);
        }
        self.advance_goal(id);
        Ok(())
    }

    /// Returns the deadlines of the goals whose clock runs.
    pub(super) fn deadlines(&self) -> IndexMap<GoalId, Timestamp> {
        let goals = self.state.goals.values();
        goals
            .filter_map(|goal| Some((goal.id.clone(), goal.deadline()?)))
            .collect()
    }

    /// Schedules a look at the deadlines that differ from those `before` this turn.
    pub(super) fn watch_deadlines(&mut self, before: &IndexMap<GoalId, Timestamp>) {
        for (goal, deadline) in self.deadlines() {
            if before.get(&goal) != Some(&deadline) {
                self.effects.push(Effect::WakeAt(deadline));
            }
        }
    }

    pub(super) fn check_deadlines(&mut self) {
        let late: Vec<GoalId> = self
            .state
            .goals
            .values()
            .filter(|goal| goal.deadline().is_some_and(|deadline| deadline <= self.now))
            .map(|goal| goal.id.clone())
            .collect();
        for id in late {
            let error = ErrorBody::user("the goal reached its time limit")
                .with_hint(format!("partial work is kept: claudecluster diff {id}"));
            self.abort_goal(&id, GoalState::Failed, Some(error));
        }
    }
}

pub(super) fn unknown_task(goal: &GoalId, task: &TaskId) -> ErrorBody {
    ErrorBody::user(format!("goal {goal} has no task {task}"))
        .with_hint(format!("list its tasks with: claudecluster show {goal}"))
}
