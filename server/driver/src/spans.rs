//! Spans of the log. Every line that is written inside one carries the ids of its goal, task and attempt.
//!
//! Spans with a goal's id have the level `error`, so that every filter that shows a line shows its span.

use claudecluster_core::step::{Effect, Input};
use claudecluster_protocol::{AttemptId, GoalId, TaskId, api::Decision};
use tracing::{Span, error_span, field::display};

/// Returns the span of an input that the dispatcher decides about.
pub(crate) fn input_span(input: &Input) -> Span {
    let (name, goal, task, attempt) = input_ids(input);
    let span = error_span!(
        "input",
        name,
        goal = tracing::field::Empty,
        task = tracing::field::Empty,
        attempt = tracing::field::Empty
    );
    record_ids(&span, goal, task, attempt);
    span
}

/// Returns the span of the work that an effect starts.
pub(crate) fn effect_span(effect: &Effect) -> Span {
    let (name, goal, task, attempt) = effect_ids(effect);
    let span = error_span!(
        "effect",
        name,
        goal = tracing::field::Empty,
        task = tracing::field::Empty,
        attempt = tracing::field::Empty
    );
    record_ids(&span, goal, task, attempt);
    span
}

/// Returns the span of one decision of a developer. The epoch tells it from the decisions before it.
pub(crate) fn decision_span(decision: &Decision, epoch: u64) -> Span {
    let span = error_span!(
        "decision",
        goal = %decision.goal_id,
        epoch,
        verdict = ?decision.verdict,
        hunk = tracing::field::Empty,
        path = tracing::field::Empty,
        task = tracing::field::Empty
    );
    if let Some(hunk) = &decision.hunk_id {
        span.record("hunk", display(hunk));
    }
    if let Some(path) = &decision.path {
        span.record("path", display(path));
    }
    if let Some(task) = &decision.task_id {
        span.record("task", display(task));
    }
    span
}

fn record_ids(
    span: &Span,
    goal: Option<&GoalId>,
    task: Option<&TaskId>,
    attempt: Option<AttemptId>,
) {
    if let Some(goal) = goal {
        span.record("goal", display(goal));
    }
    if let Some(task) = task {
        span.record("task", display(task));
    }
    if let Some(attempt) = attempt {
        span.record("attempt", display(attempt));
    }
}

/// Name of an input or effect, with the ids of its goal, task and attempt.
type NamedIds<'a> = (
    &'static str,
    Option<&'a GoalId>,
    Option<&'a TaskId>,
    Option<AttemptId>,
);

fn input_ids(input: &Input) -> NamedIds<'_> {
    let of_goal = |name, goal| (name, Some(goal), None, None);
    match input {
        Input::Submit { goal, .. } => of_goal("submit", goal),
        Input::Snapshot { goal, .. } => of_goal("snapshot", goal),
        Input::PlannerTranscript { goal, .. } => of_goal("planner transcript", goal),
        Input::PlanAnswer { goal, .. } => of_goal("plan answer", goal),
        Input::PlanStopped { goal, .. } => of_goal("plan stopped", goal),
        Input::Approve { goal, .. } => of_goal("approve", goal),
        Input::ApproveTask { goal, task } => ("approve task", Some(goal), Some(task), None),
        Input::Attempt {
            goal,
            task,
            attempt,
            ..
        } => ("attempt", Some(goal), Some(task), Some(*attempt)),
        Input::Merged { goal, .. } => of_goal("merged", goal),
        Input::Gates { goal, .. } => of_goal("gates", goal),
        Input::Landing { goal, .. } => of_goal("landing", goal),
        Input::Reviewed { goal, .. } => of_goal("reviewed", goal),
        Input::Repair { goal, .. } => of_goal("repair", goal),
        Input::Amended { goal, task, .. } => ("amended", Some(goal), Some(task), None),
        Input::Applied { goal, .. } => of_goal("applied", goal),
        Input::PermissionAsked { goal, asker, .. } => {
            let (task, attempt) = asker_ids(asker.as_ref());
            ("permission asked", Some(goal), task, attempt)
        }
        Input::PermissionLeft { goal, asker, .. } => {
            let (task, attempt) = asker_ids(asker.as_ref());
            ("permission left", Some(goal), task, attempt)
        }
        Input::NetworkUsed { goal, task, .. } => ("network used", Some(goal), task.as_ref(), None),
        Input::PermissionAnswered { .. } => ("permission answered", None, None, None),
        Input::Cancel { goal } => of_goal("cancel", goal),
        Input::Retry { goal, task } => ("retry", Some(goal), task.as_ref(), None),
        Input::Tick => ("tick", None, None, None),
        Input::Recover { .. } => ("recover", None, None, None),
    }
}

fn asker_ids(asker: Option<&(TaskId, AttemptId)>) -> (Option<&TaskId>, Option<AttemptId>) {
    asker.map_or((None, None), |(task, attempt)| (Some(task), Some(*attempt)))
}

fn effect_ids(effect: &Effect) -> NamedIds<'_> {
    let of_goal = |name, goal| (name, Some(goal), None, None);
    match effect {
        Effect::Record(goal, _) => of_goal("record", goal),
        Effect::Snapshot(goal) => of_goal("snapshot", goal),
        Effect::Plan { goal, .. } => of_goal("plan", goal),
        Effect::Start {
            goal,
            task,
            attempt,
        } => ("attempt", Some(goal), Some(task), Some(*attempt)),
        Effect::Permit { goal, task, .. } => ("permit", Some(goal), task.as_ref(), None),
        Effect::Stop(goal) => of_goal("stop", goal),
        Effect::Merge(goal) => of_goal("merge", goal),
        Effect::Amend { goal, task } => ("amend", Some(goal), Some(task), None),
        Effect::Gates(goal) => of_goal("gates", goal),
        Effect::Land(goal) => of_goal("land", goal),
        Effect::Settle(goal) => of_goal("recover landings", goal),
        Effect::Tidy(goal) => of_goal("tidy", goal),
        Effect::WakeAt(_) => ("wake", None, None, None),
    }
}
