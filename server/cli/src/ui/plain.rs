//! Formats each event as one line: for logs, pipes and `watch`. Pure.

use claudecluster_protocol::{
    EventBody, TaskId,
    event::{AgentActivity, AgentEvent, Event, StreamItem, Verdict},
    permission::{PermissionDecision, PermissionScope},
};

use super::{
    board::doing_of,
    render::{goal_style, goal_words, task_mark},
    text::{self, BOLD, CYAN, DIM, GREEN, PLAIN, RED, StyledLine, YELLOW},
};

/// Formats an item as a line, or returns `None` for an item without one.
pub(crate) fn item_line(item: &StreamItem) -> Option<StyledLine> {
    match item {
        StreamItem::Event(event) => self::event_line(event),
        StreamItem::Activity(activity) => self::activity_line(activity),
    }
}

fn event_line(event: &Event) -> Option<StyledLine> {
    let goal = StyledLine::new().add(BOLD, format!("{} ", event.goal_id));
    Some(match &event.body {
        EventBody::GoalSubmitted { spec } => {
            let plan = spec.plan.as_ref().map(|plan| plan.goal.as_str());
            let words = match spec.prompt.as_str() {
                "" => plan.unwrap_or_default(),
                prompt => prompt,
            };
            goal.add(PLAIN, format!("started: {}", text::one_line(words)))
        }
        EventBody::SnapshotTaken { files, unsaved, .. } => {
            let unsaved = match unsaved.len() {
                0 => String::new(),
                n => format!(", {n} with unsaved text"),
            };
            let files = text::counted(*files as usize, "open or changed file");
            goal.add(PLAIN, format!("snapshot taken: {files}{unsaved}"))
        }
        EventBody::PlannerTranscript { .. }
        | EventBody::LandingBegun { .. }
        | EventBody::LandingDropped { .. } => return None,
        EventBody::TaskAdded {
            task: added,
            repair,
        } => add_task(goal, &added.id).add(CYAN, format!("added: {}", text::repair_text(repair))),
        EventBody::Amended { task_id, files } => {
            let files = text::counted(files.len(), "file");
            add_task(goal, task_id).add(PLAIN, format!("updated {files} in the proposal"))
        }
        EventBody::PlanRefused { errors, .. } => {
            goal.add(YELLOW, format!("plan refused: {}", errors.join("; ")))
        }
        EventBody::PlanningStopped { stop, summary, .. } => goal.add(
            YELLOW,
            format!(
                "planning failed: {}: {}",
                text::stop_reason_text(*stop),
                text::one_line(summary)
            ),
        ),
        EventBody::Interrupted { stop } => goal.add(
            PLAIN,
            format!("resuming: {}", text::stop_reason_text(*stop)),
        ),
        EventBody::Planned { plan, .. } => goal.add(
            PLAIN,
            format!("planned {}", text::counted(plan.tasks.len(), "task")),
        ),
        EventBody::ApprovalRequested => goal.add(YELLOW, "the plan is waiting for approval"),
        EventBody::PlanApproved { .. } => goal.add(PLAIN, "plan approved"),
        EventBody::TaskChanged { task_id, .. }
        | EventBody::AttemptStarted { task_id, .. }
        | EventBody::AttemptEnded { task_id, .. }
        | EventBody::RetryScheduled { task_id, .. } => task_event(event, add_task(goal, task_id))?,
        EventBody::Proposed { files } => goal.add(
            PLAIN,
            format!("merged: {}", text::counted(files.len(), "file")),
        ),
        EventBody::Gated { results } => {
            let failed = results.iter().filter(|gate| !gate.passed).count();
            match failed {
                0 => goal.add(GREEN, format!("✓ {}", text::counted(results.len(), "gate"))),
                _ => goal.add(
                    RED,
                    format!("✗ {failed} of {}", text::counted(results.len(), "gate")),
                ),
            }
        }
        EventBody::Reviewed {
            path,
            verdict,
            hunks,
            ..
        } => {
            let word = match verdict {
                Verdict::Accept => "applied",
                Verdict::Reject => "rejected",
                Verdict::Undo => "undone",
                Verdict::Redo => "reapplied",
                Verdict::Resolve => "resolved",
            };
            let hunks = text::counted(hunks.len(), "hunk");
            goal.add(PLAIN, format!("{word} {} ({hunks})", path.display()))
        }
        EventBody::Applied {
            landed,
            conflicts,
            held,
            failed,
        } => goal.add(
            PLAIN,
            format!(
                "applied {landed}, {conflicts} in conflict, {held} held for review, {} failed",
                failed.len()
            ),
        ),
        EventBody::PermissionAsked { request } => {
            let mut line = goal;
            line.0.extend(text::permission_line(request).0);
            line
        }
        EventBody::PermissionAnswered {
            request_id,
            decision,
            scope,
            reason,
            by,
        } => {
            let line = match decision {
                PermissionDecision::Allow => goal.add(GREEN, format!("✓ {request_id} granted")),
                PermissionDecision::Deny => goal.add(YELLOW, format!("✗ {request_id} denied")),
            };
            let reach = match scope {
                PermissionScope::Once => "",
                PermissionScope::Task => " for the task",
                PermissionScope::Goal => " for the goal",
                PermissionScope::Always => " for always",
            };
            let by = by
                .as_ref()
                .map(|by| format!(" by {by}"))
                .unwrap_or_default();
            let why = reason.as_ref().map(|why| format!(": {why}"));
            let why = why.unwrap_or_default();
            line.add(PLAIN, format!("{reach}{by}{why}"))
        }
        EventBody::PermissionWithdrawn { request_id } => goal.add(
            DIM,
            format!("{request_id} withdrawn: the worker no longer waits for it"),
        ),
        EventBody::NetworkUsed {
            task_id,
            hosts,
            more,
        } => {
            let line = match task_id {
                Some(task) => add_task(goal, task),
                None => goal,
            };
            line.add(DIM, format!("network: {}", text::hosts_text(hosts, *more)))
        }
        EventBody::GoalChanged { state, error } => {
            let line = goal.add(goal_style(*state), goal_words(*state));
            match error {
                Some(error) => line.add(RED, format!(": {}", text::one_line(&error.message))),
                None => line,
            }
        }
    })
}

/// Formats an event of a task, after the task's name.
fn task_event(event: &Event, line: StyledLine) -> Option<StyledLine> {
    Some(match &event.body {
        EventBody::TaskChanged { state, .. } => {
            let (mark, style) = task_mark(*state);
            line.add(style, format!("{mark} {}", state.as_str()))
        }
        EventBody::AttemptStarted { attempt, .. } => line.add(CYAN, format!("● attempt {attempt}")),
        EventBody::AttemptEnded { outcome, .. } => match outcome.stop {
            None => {
                let files = text::counted(outcome.changes.len(), "file");
                line.add(GREEN, format!("✓ done, {files}"))
            }
            Some(stop) => {
                let summary = text::one_line(&outcome.summary);
                line.add(
                    RED,
                    format!("✗ {}: {summary}", text::stop_reason_text(stop)),
                )
            }
        },
        EventBody::RetryScheduled { not_before, .. } => {
            let wait = text::duration_text(not_before.span_since(event.at));
            line.add(YELLOW, format!("retrying in {wait}"))
        }
        _ => return None,
    })
}

fn add_task(line: StyledLine, task: &TaskId) -> StyledLine {
    line.add(PLAIN, format!("{task} "))
}

fn activity_line(activity: &AgentActivity) -> Option<StyledLine> {
    // Words come in pieces and output in floods; the transcripts have both.
    if matches!(
        activity.what,
        AgentEvent::Text { .. } | AgentEvent::Output { .. }
    ) {
        return None;
    }
    let doing = doing_of(&activity.what)?;
    let line = StyledLine::new().add(BOLD, format!("{} ", activity.goal_id));
    let line = match &activity.task_id {
        Some(id) => add_task(line, id),
        None => line,
    };
    Some(line.add(DIM, text::one_line(&doing)))
}
