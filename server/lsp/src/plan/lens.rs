//! Code lenses above a plan that waits for approval, and above its paused tasks.

use claudecluster_core::plan::PlanPath;
use claudecluster_protocol::{GoalState, editor::command};
use lsp_types::CodeLens;
use serde_json::json;

use super::document::check_document;
use crate::{
    commands::{new_command, to_lenses},
    documents::{DocumentSnapshot, lines::to_lsp_range},
    session::EditorSession,
};

/// Returns the lenses of a document; none if it is not the plan of a goal that waits.
pub(crate) async fn plan_lenses(
    session: &EditorSession,
    document: &DocumentSnapshot,
) -> Vec<CodeLens> {
    let Some(open) = check_document(session, document).await else {
        return Vec::new();
    };
    let Some(goal) = open.goal else {
        return Vec::new();
    };
    let id = &goal.summary.id;
    let cancel = || {
        new_command(
            command::GOAL_CANCEL,
            "Cancel".into(),
            json!({ "goalId": id }),
        )
    };
    if goal.summary.state == GoalState::AwaitingApproval {
        let argument = json!({"goalId": id, "uri": document.uri});
        let approve = new_command(command::PLAN_APPROVE, "Approve".into(), argument);
        return to_lenses(0, 0, vec![approve, cancel()]).collect();
    }
    let mut lenses = Vec::new();
    let tasks = open.checked.plan.iter().flat_map(|plan| &plan.tasks);
    for (index, task) in tasks.enumerate() {
        if goal.paused_tasks().any(|paused| paused.id == task.id) {
            let mark = open.checked.text.marked_range(&PlanPath::of_task(index));
            let range = to_lsp_range(&document.text, &mark, session.encoding());
            let argument = json!({"goalId": id, "taskId": task.id});
            let title = format!("Start {}", task.id);
            let start = new_command(command::PLAN_APPROVE, title, argument);
            let commands = vec![start, cancel()];
            lenses.extend(to_lenses(range.start.line, 0, commands));
        }
    }
    lenses
}
