//! Asks the user to approve plans and paused tasks, in clients that do not ask by themselves.

use std::sync::Arc;

use claudecluster_protocol::{ErrorBody, GoalId, TaskId, goal::GoalView};
use claudecluster_service::TypedCalls;

use crate::{
    plan,
    question::{self, QuestionSettled},
    session::EditorSession,
};

const CANCEL: &str = "Cancel the goal";
const OPEN: &str = "Open plan";

/// Asks whether a plan may run, and forwards the answer.
///
/// The answer approves the plan that the question showed, not a later one.
pub(super) async fn ask_plan_approval(
    session: Arc<EditorSession>,
    goal: GoalView,
    settled: QuestionSettled,
) {
    const RUN: &str = "Run the plan";
    let tasks: Vec<_> = goal
        .tasks_detail
        .iter()
        .map(|task| task.title.as_str())
        .collect();
    let message = format!(
        "{}: a plan of {} tasks is waiting for approval: {}",
        goal.summary.id,
        tasks.len(),
        tasks.join("; ")
    );
    let choices = [RUN, OPEN, CANCEL];
    let answer = question::ask_user(&session.client, &message, &choices, settled).await;
    if answer.as_deref() == Some(RUN) {
        let id = &goal.summary.id;
        let done = session.service().approve_plan(id, None, goal.plan).await;
        report_failure(&session, id, done).await;
    } else {
        open_or_cancel(&session, goal, answer).await;
    }
}

/// Asks whether a paused task may start, and forwards the answer.
pub(super) async fn ask_task_approval(
    session: Arc<EditorSession>,
    goal: GoalView,
    task: TaskId,
    settled: QuestionSettled,
) {
    const START: &str = "Start task";
    let mut tasks = goal.tasks_detail.iter();
    let title = tasks.find(|one| one.id == task);
    let title = title.map_or(task.as_str(), |one| &one.title);
    let id = goal.summary.id.clone();
    let message = format!("{id}: {title} ({task}) is waiting for your approval");
    let choices = [START, OPEN, CANCEL];
    let answer = question::ask_user(&session.client, &message, &choices, settled).await;
    if answer.as_deref() == Some(START) {
        let done = session.service().approve_task(&id, &task).await;
        report_failure(&session, &id, done).await;
    } else {
        open_or_cancel(&session, goal, answer).await;
    }
}

async fn open_or_cancel(session: &Arc<EditorSession>, goal: GoalView, answer: Option<String>) {
    let id = goal.summary.id.clone();
    let done = match answer.as_deref() {
        Some(OPEN) => plan::open_plan(session, goal).await.map(|_| ()),
        Some(CANCEL) => session.service().cancel(&id).await,
        _ => Ok(()),
    };
    report_failure(session, &id, done).await;
}

async fn report_failure(session: &EditorSession, goal: &GoalId, done: Result<(), ErrorBody>) {
    if let Err(error) = done {
        session.show_error(goal.as_str(), &error).await;
    }
}
