//! Goals and tasks as fronts show them, made from an immutable snapshot of the state and the
//! current texts.

use claudecluster_core::state::{Goal, GoalTask, TaskAttempt};
use claudecluster_protocol::{
    TaskState,
    goal::{AttemptView, GoalSummary, GoalView, TaskView},
};

use crate::{
    clock::now,
    review::{history, provenance::goal_prompt, reader::PendingReader},
};

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Summarizes a goal in one line.
pub(crate) fn goal_summary(review: &PendingReader, goal: &Goal) -> GoalSummary {
    let with = |state| {
        to_u32(
            goal.tasks
                .values()
                .filter(|task| task.state == state)
                .count(),
        )
    };
    GoalSummary {
        id: goal.id.clone(),
        workspace: goal.spec.workspace.clone(),
        prompt: goal_prompt(goal),
        state: goal.state,
        tasks: to_u32(goal.tasks.len()),
        succeeded: with(TaskState::Succeeded),
        running: with(TaskState::Running),
        permissions_waiting: to_u32(goal.permissions.open.len()),
        paused: with(TaskState::Paused),
        hunks: review.hunk_counts(goal),
        cost_usd: goal.usage().cost_usd,
        submitted_at: goal.submitted_at,
        updated_at: goal.updated_at,
        error: goal.error.clone(),
    }
}

/// Describes a goal with everything known about it.
pub(crate) fn goal_view(review: &PendingReader, goal: &Goal) -> GoalView {
    GoalView {
        summary: goal_summary(review, goal),
        spec: goal.spec.clone(),
        plan: goal.plan.clone(),
        tasks_detail: goal
            .tasks
            .values()
            .map(|task| task_view(goal, task))
            .collect(),
        gates: goal.gates.clone(),
        permissions: goal.permissions.open.clone(),
        decided: history::decided_hunks(review.reviews(), goal),
        time_left: goal.time_left(now()),
        network: goal.network.total(),
    }
}

fn task_view(goal: &Goal, task: &GoalTask) -> TaskView {
    let changes = task
        .outcome()
        .map(|outcome| outcome.changes.as_slice())
        .unwrap_or_default();
    TaskView {
        id: task.spec.id.clone(),
        title: task.spec.title_or_id().to_owned(),
        state: task.state,
        depends_on: task.spec.depends_on.clone(),
        agent: goal.spec.agent_for(&task.spec),
        attempts: task.attempts.iter().map(attempt_view).collect(),
        changed: changes.iter().map(|change| change.path.clone()).collect(),
        repair: task.repair.clone(),
        network: goal.network.of_task(&task.spec.id),
    }
}

fn attempt_view(attempt: &TaskAttempt) -> AttemptView {
    let outcome = attempt.outcome.as_ref();
    AttemptView {
        id: attempt.id,
        started_at: attempt.started_at,
        ended_at: attempt.ended_at,
        stop: outcome.and_then(|outcome| outcome.stop),
        summary: outcome
            .map(|outcome| outcome.summary.clone())
            .unwrap_or_default(),
        usage: outcome.map(|outcome| outcome.usage).unwrap_or_default(),
        sandbox: outcome.and_then(|outcome| outcome.sandbox),
        isolation: outcome
            .map(|outcome| outcome.isolation.clone())
            .unwrap_or_default(),
    }
}
