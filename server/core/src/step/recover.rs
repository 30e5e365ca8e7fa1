//! Taking up what the last daemon left.

use claudecluster_protocol::{
    AttemptId, ErrorBody, EventBody, GoalId, GoalState, Span, StopReason, TaskId, TaskState,
    Timestamp, event::AttemptOutcome, goal::AgentUsage,
};

use super::{Effect, StepTurn};
use crate::{
    policy,
    state::{ClusterState, Goal},
};

/// Limits the time a failed or cancelled goal keeps its layers: trying it again is then quick.
/// Later it still works, from the artifacts.
const KEEP_STOPPED: Span = Span::from_secs(7 * 24 * 60 * 60);

impl StepTurn<'_> {
    /// Takes up every goal where the last daemon left it.
    pub(super) fn recover_goals(&mut self, ended: StopReason) {
        let ids: Vec<GoalId> = self.state.goals.keys().cloned().collect();
        for id in ids {
            self.record_interruption(&id, ended);
            self.recover_goal(&id, ended);
        }
    }

    /// Records that the last daemon ended during a goal's own work. Where that happened too often, the goal fails, or
    /// its changes wait for somebody to apply them.
    fn record_interruption(&mut self, id: &GoalId, ended: StopReason) {
        let Some((goal, work)) = self.state.goal(id).and_then(|g| Some((g, own_work(g)?))) else {
            return;
        };
        if goal.daemon_crashes >= policy::MAX_DAEMON_CRASHES {
            return;
        }
        let is_stopped = goal.state.is_terminal();
        let is_proposed = goal.state == GoalState::Proposed;
        let crashes = goal.daemon_crashes + u32::from(ended == StopReason::DaemonCrash);
        self.record_event(id, EventBody::Interrupted { stop: ended });
        if crashes >= policy::MAX_DAEMON_CRASHES && !is_stopped {
            let error = ErrorBody::environment(format!(
                "the daemon ended unexpectedly {crashes} times while it {work}, so that is not tried again"
            ));
            if is_proposed {
                let hint = format!(
                    "see them with: claudecluster diff {id}; apply them with: claudecluster accept {id}"
                );
                let fact = EventBody::Applied {
                    landed: 0,
                    conflicts: 0,
                    held: 0,
                    failed: vec![error.with_hint(hint)],
                };
                self.record_event(id, fact);
            } else {
                let error = error.with_hint(policy::stop_hint(StopReason::DaemonCrash, id));
                self.change_state(id, GoalState::Failed, Some(error));
            }
        }
    }

    fn recover_goal(&mut self, id: &GoalId, ended: StopReason) {
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        // The wakes went with the last daemon.
        self.effects.extend(goal.deadline().map(Effect::WakeAt));
        // Whoever asked has ended with the last daemon; the next attempt asks again.
        self.withdraw_permissions(id);
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        if goal.state == GoalState::Proposed {
            self.recover_repairs(id, ended);
        }
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        if goal
            .files
            .iter()
            .any(|entry| !entry.pending_landings.is_empty())
        {
            self.effects.push(Effect::Settle(id.clone()));
        }
        match goal.state {
            GoalState::Submitted => self.effects.push(Effect::Snapshot(id.clone())),
            GoalState::Planning => match (goal.snapshot.is_some(), goal.plan.clone()) {
                (_, Some(plan)) => {
                    self.record_plan(
                        id,
                        plan,
                        goal_session(self.state, id),
                        AgentUsage::default(),
                    );
                }
                (true, None) => match self.state.goal(id).and_then(|g| g.spec.plan.clone()) {
                    Some(plan) => self.record_plan(id, plan, None, AgentUsage::default()),
                    None => self.start_planning(id, Vec::new(), Span(0)),
                },
                (false, None) => self.effects.push(Effect::Snapshot(id.clone())),
            },
            GoalState::Running => self.recover_attempts(id, ended),
            GoalState::Merging => self.effects.push(Effect::Merge(id.clone())),
            GoalState::Gating => self.effects.push(Effect::Gates(id.clone())),
            GoalState::Proposed if waits_for_application(goal) => {
                self.effects.push(Effect::Land(id.clone()));
            }
            GoalState::Failed | GoalState::Cancelled => {
                if self.now.span_since(goal.updated_at) > KEEP_STOPPED {
                    self.effects.push(Effect::Tidy(id.clone()));
                }
                self.recover_attempts(id, ended);
                self.merge_leftovers(id);
            }
            GoalState::AwaitingApproval
            | GoalState::Proposed
            | GoalState::Landed
            | GoalState::Rejected => {}
        }
    }

    pub(super) fn recover_attempts(&mut self, id: &GoalId, ended: StopReason) {
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        let orphans: Vec<(TaskId, AttemptId)> = goal
            .running_attempts()
            .map(|(task, attempt)| (task.clone(), attempt.id))
            .collect();
        // Facts that stand between an attempt's end and its task's next state may have been lost with
        // the daemon; they follow from what is there.
        let undecided: Vec<TaskId> = goal
            .tasks
            .iter()
            .filter(|(_, task)| {
                task.state == TaskState::Running && task.running_attempt().is_none()
            })
            .map(|(id, _)| id.clone())
            .collect();
        let waits: Vec<Timestamp> = goal
            .tasks
            .values()
            .filter_map(|task| task.not_before)
            .collect();
        for (task, attempt) in orphans {
            let outcome =
                AttemptOutcome::new(Some(ended), self.interruption_words(id, &task, ended));
            self.attempt_ended(id, &task, attempt, outcome);
        }
        for task in undecided {
            let last = self
                .state
                .goal(id)
                .and_then(|goal| goal.tasks[&task].outcome().cloned());
            if let Some((stop, outcome)) = last.and_then(|o| Some((o.stop?, o))) {
                self.attempt_stopped(id, &task, stop, outcome.summary, outcome.retry_after);
            }
        }
        self.effects.extend(waits.into_iter().map(Effect::WakeAt));
        self.advance_goal(id);
    }

    /// Returns what people are told of an attempt that ended with the daemon.
    fn interruption_words(&self, id: &GoalId, task: &TaskId, ended: StopReason) -> String {
        if ended != StopReason::DaemonCrash {
            return "the daemon was stopped during the attempt".to_owned();
        }
        let crashes = self.state.goal(id).map_or(0, |goal| {
            goal.tasks[task].count_stops(|stop| stop == StopReason::DaemonCrash) + 1
        });
        if crashes < policy::MAX_DAEMON_CRASHES {
            return "the daemon ended unexpectedly during the attempt".to_owned();
        }
        format!(
            "the daemon ended unexpectedly during {crashes} attempts at this task, so it is not tried again"
        )
    }
}

/// Returns what a goal's own work does, apart from its attempts; `None` if none is under way.
fn own_work(goal: &Goal) -> Option<&'static str> {
    match goal.state {
        GoalState::Submitted => Some("captured the workspace"),
        GoalState::Planning if goal.plan.is_none() && goal.spec.plan.is_none() => {
            Some("planned the goal")
        }
        GoalState::Merging => Some("merged the changes"),
        GoalState::Gating => Some("ran the gates"),
        GoalState::Proposed if waits_for_application(goal) => Some("applied the changes"),
        GoalState::Failed | GoalState::Cancelled if goal.has_unmerged_leftovers() => {
            Some("merged the changes")
        }
        _ => None,
    }
}

/// Returns whether a goal's changes are applied without being asked about, and have not been yet.
fn waits_for_application(goal: &Goal) -> bool {
    goal.spec.apply && !goal.applied
}

fn goal_session(state: &ClusterState, id: &GoalId) -> Option<String> {
    state.goal(id).and_then(|goal| goal.planner_session.clone())
}
