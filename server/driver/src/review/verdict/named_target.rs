//! Checks that a decision names something that can be decided.

use claudecluster_protocol::{
    ErrorBody,
    api::{Decision, DecisionReport},
    event::Verdict,
};

/// Rejects a decision that names a hunk, file or task of which nothing is there to decide.
///
/// A decision that names nothing and finds nothing to do is fine, except a redo.
pub(crate) fn check_named(decision: &Decision, report: &DecisionReport) -> Result<(), ErrorBody> {
    if !came_to_nothing(report) {
        return Ok(());
    }
    let id = &decision.goal_id;
    let of = match (&decision.hunk_id, &decision.path, &decision.task_id) {
        (Some(hunk), ..) => Some(format!("hunk {hunk}")),
        (_, Some(path), _) => Some(path.to_string()),
        (_, _, Some(task)) => Some(format!("task {task}")),
        _ => None,
    };
    let (what, hint) = match (decision.verdict, of) {
        (Verdict::Undo, Some(of)) => (
            format!("no changes of {of} have been applied"),
            format!("list its changes with: claudecluster show {id}"),
        ),
        (Verdict::Redo, of) => (
            format!(
                "no changes of {} have been undone",
                of.unwrap_or_else(|| format!("goal {id}"))
            ),
            format!("apply pending changes with: claudecluster accept {id}"),
        ),
        (_, Some(of)) => (
            match &decision.hunk_id {
                Some(hunk) => format!("there is no pending hunk {hunk}"),
                None if decision.path.is_some() => format!("no changes are pending in {of}"),
                None => format!("no changes of {of} are pending"),
            },
            format!("show pending changes with: claudecluster diff {id}"),
        ),
        (_, None) => return Ok(()),
    };
    Err(ErrorBody::stale(what).with_hint(hint))
}

/// Returns whether a decision has neither changed nor found anything.
pub(crate) fn came_to_nothing(report: &DecisionReport) -> bool {
    report.decided == 0
        && report.conflicts == 0
        && report.held == 0
        && report.waiting == 0
        && report.failed.is_empty()
}
