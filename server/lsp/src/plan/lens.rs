//! What can be decided about the plan of a goal, above it and above its tasks.

use claudecluster_core::plan::Place;
use claudecluster_protocol::{GoalState, editor::command};
use lsp_types::{CodeLens, Command, Position, Range};
use serde_json::json;

use super::{diagnostics::range, look};
use crate::{documents::Snapshot, handlers::code_lens::command, session::Session};

/// The lenses of a document; none where it is not the plan of a goal that waits.
pub(crate) async fn of(session: &Session, document: &Snapshot) -> Vec<CodeLens> {
    let Some(opened) = look(session, document).await else {
        return Vec::new();
    };
    let Some(goal) = opened.goal else {
        return Vec::new();
    };
    let id = &goal.summary.id;
    let cancel = || {
        command(
            command::GOAL_CANCEL,
            "Cancel".into(),
            json!({ "goalId": id }),
        )
    };
    if goal.summary.state == GoalState::AwaitingApproval {
        let argument = json!({"goalId": id, "uri": document.uri});
        let approve = command(command::PLAN_APPROVE, "Approve".into(), argument);
        return on_line(0, vec![approve, cancel()]);
    }
    let mut lenses = Vec::new();
    let tasks = opened.checked.plan.iter().flat_map(|plan| &plan.tasks);
    for (index, task) in tasks.enumerate() {
        if goal.paused().any(|paused| paused.id == task.id) {
            let mark = opened.checked.text.mark(&Place::task(index));
            let line = range(document, &mark, session.encoding()).start.line;
            let argument = json!({"goalId": id, "taskId": task.id});
            let title = format!("Start {}", task.id);
            let start = command(command::PLAN_APPROVE, title, argument);
            lenses.extend(on_line(line, vec![start, cancel()]));
        }
    }
    lenses
}

/// Each in a column of its own, as everywhere.
fn on_line(line: u32, commands: Vec<Command>) -> Vec<CodeLens> {
    let lens = |(character, command)| {
        let at = Position { line, character };
        CodeLens {
            range: Range { start: at, end: at },
            command: Some(command),
            data: None,
        }
    };
    (0..).zip(commands).map(lens).collect()
}
