//! Which tasks start next.

use std::collections::HashSet;

use claudecluster_protocol::{TaskId, TaskSpec, TaskState, Timestamp};

use crate::{state::Goal, write_patterns::may_write_same_file};

/// Returns at most `free` tasks of `goal` to start now: those on the longest chains first, in the
/// plan's order among equals; none whose retry is not due; none that is expected to write where a
/// running task writes.
pub fn pick_ready_tasks(goal: &Goal, free: usize, now: Timestamp) -> Vec<TaskId> {
    let Some(graph) = &goal.graph else {
        return Vec::new();
    };
    let mut ready: Vec<&TaskId> = goal
        .tasks
        .iter()
        .filter(|(_, task)| task.state == TaskState::Ready)
        .filter(|(_, task)| task.not_before.is_none_or(|due| due <= now))
        .map(|(id, _)| id)
        .collect();
    ready.sort_by_key(|id| std::cmp::Reverse(graph.critical_path(id)));
    let mut claimed: Vec<&TaskSpec> = goal
        .running_attempts()
        .map(|(id, _)| &goal.tasks[id].spec)
        .collect();
    let mut picked = Vec::new();
    for id in ready {
        if picked.len() == free {
            break;
        }
        let spec = &goal.tasks[id].spec;
        if claimed.iter().any(|other| may_write_same_file(spec, other)) {
            continue;
        }
        claimed.push(spec);
        picked.push(id.clone());
    }
    picked
}

/// Returns the finished tasks an attempt builds on, in the order they finished. These are its
/// dependencies and all tasks that wrote files it is expected to write, each with everything
/// beneath it.
pub fn upstream_tasks(goal: &Goal, task: &TaskId) -> Vec<TaskId> {
    let Some(graph) = &goal.graph else {
        return Vec::new();
    };
    let mut wanted: HashSet<TaskId> = graph.ancestors(task);
    let spec = &goal.tasks[task].spec;
    for other in &goal.finished {
        if other != task && may_write_same_file(spec, &goal.tasks[other].spec) {
            wanted.insert(other.clone());
        }
    }
    // What an upstream task itself was built on belongs to its result.
    for other in goal.finished.iter().rev() {
        if wanted.contains(other) {
            let built_on = goal.tasks[other]
                .attempts
                .last()
                .map(|a| a.upstream.clone());
            wanted.extend(built_on.unwrap_or_default());
        }
    }
    goal.finished
        .iter()
        .filter(|id| wanted.contains(*id))
        .cloned()
        .collect()
}
