//! Attempts: which start, what follows when they end, and when a goal's tasks are done.

use claudecluster_protocol::{
    AttemptId, ErrorBody, EventBody, GoalId, GoalState, Span, StopReason, TaskId, TaskState,
    event::AttemptOutcome,
};

use super::{Effect, StepTurn};
use crate::{
    policy::{self, StopCounts, StopFollowUp},
    schedule,
    state::{Goal, GoalTask, free_places},
};

impl StepTurn<'_> {
    pub(super) fn attempt_ended(
        &mut self,
        id: &GoalId,
        task_id: &TaskId,
        attempt: AttemptId,
        mut outcome: AttemptOutcome,
    ) {
        let running = self.state.goal(id).and_then(|goal| goal.tasks.get(task_id));
        if running
            .and_then(|task| task.running_attempt())
            .is_none_or(|a| a.id != attempt)
        {
            return;
        }
        let amends = running.is_some_and(GoalTask::amends_proposal);
        if amends && running.is_some_and(|task| task.state.is_terminal()) {
            // Cancelled while it was about to succeed: nothing of it comes into the proposal any more.
            outcome.stop = outcome.stop.or(Some(StopReason::Cancelled));
        }
        let (stop, summary, retry_after) =
            (outcome.stop, outcome.summary.clone(), outcome.retry_after);
        let (task_id, outcome) = (task_id.clone(), outcome);
        self.record_event(
            id,
            EventBody::AttemptEnded {
                task_id: task_id.clone(),
                attempt,
                outcome,
            },
        );
        self.leave_all(id, Some(&task_id));
        if let Some(stop) = stop {
            self.attempt_stopped(id, &task_id, stop, summary, retry_after);
        } else if amends {
            self.effects.push(Effect::Amend {
                goal: id.clone(),
                task: task_id,
            });
        }
        self.advance_goal(id);
        if amends {
            self.finish_review(id);
        }
        self.merge_leftovers(id);
    }

    /// Merges the work of a stopped goal into a proposal once its last process has ended, so that
    /// nothing that was paid for is lost.
    pub(super) fn merge_leftovers(&mut self, id: &GoalId) {
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        let stopped = matches!(goal.state, GoalState::Failed | GoalState::Cancelled);
        let held = goal.daemon_crashes >= policy::MAX_DAEMON_CRASHES;
        if stopped && !held && goal.has_unmerged_leftovers() {
            self.effects.push(Effect::Merge(id.clone()));
        }
    }

    pub(super) fn attempt_stopped(
        &mut self,
        id: &GoalId,
        task_id: &TaskId,
        stop: StopReason,
        summary: String,
        retry_after: Option<Span>,
    ) {
        let Some(goal) = self.state.goal(id).filter(|goal| goal.is_working()) else {
            return;
        };
        let task = &goal.tasks[task_id];
        let again = stop == StopReason::Cancelled && task.state != TaskState::Running;
        if task.state.is_terminal() || again {
            // It has been cancelled, alone or with its goal, and may have been tried again since: that
            // begins once this attempt is over.
            return;
        }
        let repairs = task.repair.is_some();
        let counts = StopCounts {
            failures: task.count_stops(policy::counts_as_failure),
            overloads: task.count_stops(|stop| stop == StopReason::Overloaded),
            daemon_crashes: task.count_stops(|stop| stop == StopReason::DaemonCrash),
        };
        let next = policy::follow_up(stop, &task.spec, self.policy, counts, retry_after);
        let spread = retry_jitter(id, task_id, counts.failures + counts.overloads);
        match next {
            StopFollowUp::Retry(delay) => {
                let wait = Span(delay.0 + delay.0 * spread / 400);
                let not_before = self.now.saturating_add(wait);
                let task_id = task_id.clone();
                self.record_event(
                    id,
                    EventBody::RetryScheduled {
                        task_id,
                        not_before,
                        lesson: summary,
                    },
                );
                if wait.0 > 0 {
                    self.effects.push(Effect::WakeAt(not_before));
                }
            }
            StopFollowUp::FailTask | StopFollowUp::FailGoal if repairs => {
                self.repair_failed(id, task_id);
            }
            StopFollowUp::FailTask => self.set_task(id, task_id, TaskState::Failed),
            StopFollowUp::FailGoal => {
                self.set_task(id, task_id, TaskState::Failed);
                let error = ErrorBody::environment(format!("task {task_id} failed: {summary}"))
                    .with_hint(policy::stop_hint(stop, id));
                self.abort_goal(id, GoalState::Failed, Some(error));
            }
        }
    }

    pub(super) fn set_task(&mut self, id: &GoalId, task: &TaskId, state: TaskState) {
        self.record_event(
            id,
            EventBody::TaskChanged {
                task_id: task.clone(),
                state,
            },
        );
    }

    /// Ends all work of a goal. What its tasks have made is merged and stays pending.
    pub(super) fn abort_goal(&mut self, id: &GoalId, state: GoalState, error: Option<ErrorBody>) {
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        let open: Vec<TaskId> = goal
            .tasks
            .iter()
            .filter(|(_, task)| !task.state.is_terminal())
            .map(|(id, _)| id.clone())
            .collect();
        for task in &open {
            self.set_task(id, task, TaskState::Cancelled);
        }
        self.withdraw_permissions(id);
        self.change_state(id, state, error);
        self.effects.push(Effect::Stop(id.clone()));
        self.merge_leftovers(id);
    }

    /// Moves tasks and the goal on as far as facts allow, without starting anything.
    pub(super) fn advance_goal(&mut self, id: &GoalId) {
        let Some(goal) = self.state.goal(id).filter(|goal| goal.is_working()) else {
            return;
        };
        let Some(graph) = goal.graph.clone() else {
            let error =
                ErrorBody::internal("the plan has no task graph").with_hint("start the goal again");
            return self.change_state(id, GoalState::Failed, Some(error));
        };
        for task_id in graph.order() {
            let Some(goal) = self.state.goal(id) else {
                return;
            };
            if goal.tasks[task_id].state != TaskState::Waiting {
                continue;
            }
            let parents: Vec<TaskState> = graph
                .parents(task_id)
                .map(|parent| goal.tasks[parent].state)
                .collect();
            // A join needs all its parents; one that cannot come any more decides at once.
            if parents.iter().all(|&state| state == TaskState::Succeeded) {
                let task = &goal.tasks[task_id];
                let asks = task.spec.pause && !task.approved;
                let next = if asks {
                    TaskState::Paused
                } else {
                    TaskState::Ready
                };
                self.set_task(id, task_id, next);
            } else if parents
                .iter()
                .any(|&state| state.is_terminal() && state != TaskState::Succeeded)
            {
                self.set_task(id, task_id, TaskState::Skipped);
            }
        }
        let done = self
            .goal_in(id, GoalState::Running)
            .is_some_and(|goal| goal.tasks.values().all(|task| task.state.is_terminal()));
        if done {
            self.change_state(id, GoalState::Merging, None);
            self.effects.push(Effect::Merge(id.clone()));
        }
    }

    /// Starts what can start, over all goals, oldest goal first.
    pub(super) fn schedule_tasks(&mut self) {
        if let Some(until) = self.state.provider_limit.paused_until
            && until > self.now
        {
            self.effects.push(Effect::WakeAt(until));
            return;
        }
        let cap = self
            .state
            .provider_limit
            .cap
            .unwrap_or(u32::MAX)
            .min(self.policy.max_parallel);
        let sum = |of: fn(&Goal) -> usize| self.state.goals.values().map(|goal| of(goal)).sum();
        let mut free = free_places(
            cap as usize,
            sum(|goal| goal.running_attempts().count()),
            sum(|goal| goal.waiting_attempts().count()),
        );
        let running: Vec<GoalId> = self
            .state
            .goals
            .values()
            .filter(|goal| goal.is_working())
            .map(|goal| goal.id.clone())
            .collect();
        for id in running {
            if free == 0 {
                return;
            }
            free -= self.start_tasks(&id, free);
        }
    }

    /// Starts at most `free` tasks of a goal; returns how many.
    pub(super) fn start_tasks(&mut self, id: &GoalId, free: usize) -> usize {
        if self.out_of_money(id) {
            return 0;
        }
        let Some(goal) = self.state.goal(id) else {
            return 0;
        };
        if goal.tasks.values().any(GoalTask::awaits_amending) {
            // The next repair sees what this one made.
            return 0;
        }
        let free = free.min(goal.own_free_places());
        let picked = schedule::pick_ready_tasks(goal, free, self.now);
        for task_id in &picked {
            let Some(goal) = self.state.goal(id) else {
                break;
            };
            let tries = goal.tasks[task_id].attempts.len();
            let attempt = AttemptId(u32::try_from(tries + 1).unwrap_or(u32::MAX));
            let upstream = schedule::upstream_tasks(goal, task_id);
            let task_id = task_id.clone();
            self.record_event(
                id,
                EventBody::AttemptStarted {
                    task_id: task_id.clone(),
                    attempt,
                    upstream,
                },
            );
            self.effects.push(Effect::Start {
                goal: id.clone(),
                task: task_id,
                attempt,
            });
        }
        picked.len()
    }
}

/// Returns a number below 100 that differs between tasks and tries. Retries of a fleet then do not
/// come back in step. The number is not random: a replayed decision must be the same decision.
fn retry_jitter(goal: &GoalId, task: &TaskId, tries: u32) -> u64 {
    let seed = goal
        .as_str()
        .bytes()
        .chain(task.as_str().bytes())
        .chain(tries.to_le_bytes());
    let hash = seed.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash % 100
}
