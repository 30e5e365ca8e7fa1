//! Which tasks start next.

use std::collections::HashSet;

use claudecluster_protocol::{TaskId, TaskSpec, TaskState, Timestamp};

use crate::state::Goal;

/// The tasks of `goal` to start now, at most `free` of them: those on the longest chains first, in
/// the plan's order among equals; none whose retry is not due; none that is expected to write where
/// a running task writes.
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
    let mut claimed: Vec<&TaskSpec> = goal.running().map(|(id, _)| &goal.tasks[id].spec).collect();
    let mut picked = Vec::new();
    for id in ready {
        if picked.len() == free {
            break;
        }
        let spec = &goal.tasks[id].spec;
        if claimed.iter().any(|other| overlap(spec, other)) {
            continue;
        }
        claimed.push(spec);
        picked.push(id.clone());
    }
    picked
}

/// How many more attempts may start where `limit` may work at once. Attempts that wait for a person give
/// their places to others, so that nobody's coffee break idles the rest; as they keep their processes and
/// go on at any moment, no more than `limit` of them do.
pub(crate) fn places(limit: usize, running: usize, waiting: usize) -> usize {
    let working = running.saturating_sub(waiting.min(limit));
    limit.saturating_sub(working)
}

/// How many more attempts of a goal its own limit lets start.
pub(crate) fn own_places(goal: &Goal) -> usize {
    let plan_limit = goal.plan.as_ref().and_then(|plan| plan.max_parallel);
    let own = goal.spec.jobs.or(plan_limit).unwrap_or(u32::MAX) as usize;
    places(own, goal.running().count(), goal.waiting().count())
}

/// The finished tasks an attempt builds on, in the order they finished: what it depends on, and
/// whatever else has written where it is expected to write, each with everything beneath it.
pub fn upstream_tasks(goal: &Goal, task: &TaskId) -> Vec<TaskId> {
    let Some(graph) = &goal.graph else {
        return Vec::new();
    };
    let mut wanted: HashSet<TaskId> = graph.ancestors(task);
    let spec = &goal.tasks[task].spec;
    for other in &goal.finished {
        if other != task && overlap(spec, &goal.tasks[other].spec) {
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

/// Whether two tasks are expected to write the same file.
pub(crate) fn overlap(a: &TaskSpec, b: &TaskSpec) -> bool {
    a.writes
        .iter()
        .any(|x| b.writes.iter().any(|y| patterns_meet(x, y)))
}

/// Whether some path may match both. Exact for plain paths; two patterns with wildcards meet where
/// one's fixed beginning continues the other's, which errs on the side of waiting.
pub(crate) fn patterns_meet(a: &str, b: &str) -> bool {
    let (a_fixed, a_open) = fixed_part(a);
    let (b_fixed, b_open) = fixed_part(b);
    let within = |path: &str, dir: &str| {
        path.strip_prefix(dir)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match (a_open, b_open) {
        (false, false) => within(a_fixed, b_fixed) || within(b_fixed, a_fixed),
        (true, false) => b_fixed.starts_with(a_fixed) || within(a_fixed, b_fixed),
        (false, true) => a_fixed.starts_with(b_fixed) || within(b_fixed, a_fixed),
        (true, true) => a_fixed.starts_with(b_fixed) || b_fixed.starts_with(a_fixed),
    }
}

/// The part of a pattern before its first wildcard, and whether there is one.
fn fixed_part(pattern: &str) -> (&str, bool) {
    let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
    match pattern.find(['*', '?', '[', '{']) {
        Some(at) => (&pattern[..at], true),
        None => (pattern, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_where_a_path_may_match_both() {
        let meet = [
            ("src/a.rs", "src/a.rs"),
            ("src/", "src/a.rs"),
            ("src/**", "src/a.rs"),
            ("src/*.rs", "src/lib*"),
            ("**", "docs/x.md"),
        ];
        let apart = [
            ("src/a.rs", "src/b.rs"),
            ("src", "srcs/a.rs"),
            ("src/**", "docs/**"),
            ("src/a*", "src/b.rs"),
        ];
        for (a, b) in meet {
            assert!(
                patterns_meet(a, b) && patterns_meet(b, a),
                "{a} and {b} meet"
            );
        }
        for (a, b) in apart {
            assert!(
                !patterns_meet(a, b) && !patterns_meet(b, a),
                "{a} and {b} are apart"
            );
        }
    }
}
