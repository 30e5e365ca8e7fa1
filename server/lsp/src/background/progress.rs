//! Shows the progress of goals, with one progress token for each period of work.
//!
//! A period of work starts when a goal becomes active and ends when the goal is not active any more.

use std::{collections::HashSet, sync::Arc, time::Duration};

use claudecluster_core::display_text::line as plain_text;
use claudecluster_protocol::{GoalId, GoalState, TaskState, change::HunkView, goal::GoalView};
use claudecluster_service::TypedCalls;
use lsp_types::{
    ProgressNotification, ProgressParams, ProgressToken, WorkDoneProgressBegin,
    WorkDoneProgressEnd, WorkDoneProgressReport,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::permission_questions::safe_detail;
use crate::{
    phrases::{count_noun, short_title},
    session::EditorSession,
};

/// The shortest time between two reports: clients redraw at every report.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the client may take to accept a token. A client that takes longer shows no progress.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest title or message, in characters.
const LONGEST_MESSAGE: usize = 300;
const PREFIX: &str = "claudecluster/";

/// Returns the goal of a progress token; `None` for tokens of others.
pub(crate) fn goal_of_token(token: &ProgressToken) -> Option<GoalId> {
    match token {
        ProgressToken::String(token) => {
            let (goal, _period) = token.strip_prefix(PREFIX)?.rsplit_once('/')?;
            Some(GoalId::new(goal))
        }
        ProgressToken::Int(_) => None,
    }
}

/// Shows the progress of a goal until the goal is not active any more.
///
/// Reads the goal when woken, and reports at most ten times a second.
pub(super) async fn show_progress(
    session: Arc<EditorSession>,
    goal: GoalId,
    mut woken: watch::Receiver<()>,
) {
    let Ok(view) = session.goal_view(&goal).await else {
        return;
    };
    // A goal can become active again, and a token can be used once only.
    let period = work_period(&view);
    let token = ProgressToken::String(format!("{PREFIX}{goal}/{period}"));
    let created = session.client.create_work_done_progress(token.clone());
    if !matches!(tokio::time::timeout(PATIENCE, created).await, Ok(Ok(()))) {
        return;
    }
    let mut shown = ShownProgress {
        percentage: 0,
        message: String::new(),
    };
    let (percentage, message) = describe_progress(&view);
    shown.update(percentage, message);
    let begin = WorkDoneProgressBegin {
        title: plain_text::to_line(
            &format!("{goal} {}", short_title(&view.summary.prompt)),
            LONGEST_MESSAGE,
        ),
        cancellable: Some(true),
        message: Some(shown.message.clone()),
        percentage: Some(shown.percentage),
    };
    send_progress(&session, &token, "begin", &begin).await;
    loop {
        woken.mark_unchanged();
        match session.goal_view(&goal).await {
            Ok(view) if view.is_working() => {
                let (percentage, message) = describe_progress(&view);
                if shown.update(percentage, message) {
                    let report = WorkDoneProgressReport {
                        cancellable: Some(true),
                        message: Some(shown.message.clone()),
                        percentage: Some(shown.percentage),
                    };
                    send_progress(&session, &token, "report", &report).await;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            _ => break,
        }
        if woken.changed().await.is_err() {
            break;
        }
    }
    // Dropped first, so that the next event starts a new task instead of waking this one.
    drop(woken);
    let message = describe_outcome(&session, &goal).await;
    let message = Some(plain_text::to_line(&message, LONGEST_MESSAGE));
    send_progress(&session, &token, "end", &WorkDoneProgressEnd { message }).await;
}

/// Returns a name for the current period of work of a goal.
fn work_period(view: &GoalView) -> String {
    let since = view.summary.updated_at.0;
    match view.summary.state {
        // Repairs of a proposal start and end without a change of the goal's state.
        GoalState::Proposed => format!("{since}-{}", view.tasks_detail.len()),
        // So do pauses; before each pause, another task has ended.
        GoalState::Running => {
            let tasks = view.tasks_detail.iter();
            let ended = tasks.filter(|task| task.state.is_terminal()).count();
            format!("{since}-{ended}")
        }
        _ => since.to_string(),
    }
}

async fn send_progress<T: serde::Serialize + Sync>(
    session: &EditorSession,
    token: &ProgressToken,
    kind: &str,
    value: &T,
) {
    let mut value = serde_json::to_value(value).unwrap_or_else(|_| json!({}));
    if let Value::Object(value) = &mut value {
        value.insert("kind".into(), kind.into());
    }
    let params = ProgressParams {
        token: token.clone(),
        value,
    };
    session
        .client
        .send_notification::<ProgressNotification>(params)
        .await;
}

/// The last report that the client was sent.
struct ShownProgress {
    percentage: u32,
    message: String,
}

impl ShownProgress {
    /// Updates the report and returns whether it has changed. Percentages never fall.
    fn update(&mut self, percentage: u32, message: String) -> bool {
        let percentage = percentage.max(self.percentage);
        let new = percentage != self.percentage || message != self.message;
        self.percentage = percentage;
        self.message = message;
        new
    }
}

/// Returns the percentage of an active goal and a description of its current work.
fn describe_progress(view: &GoalView) -> (u32, String) {
    let (percentage, message) = describe_state(view);
    let message = plain_text::to_line(&message, LONGEST_MESSAGE);
    match view.permissions.first() {
        None => (percentage, message),
        Some(request) => {
            let what = short_title(&safe_detail(&request.detail));
            let asked = format!("waiting for permission: {} {what}", request.tool);
            (percentage, format!("{message} · {asked}"))
        }
    }
}

fn describe_state(view: &GoalView) -> (u32, String) {
    let summary = &view.summary;
    match summary.state {
        GoalState::Submitted => (0, "capturing the workspace".into()),
        GoalState::Planning => (5, "planning".into()),
        GoalState::Merging => (90, "merging".into()),
        GoalState::Gating => (95, "running gates".into()),
        GoalState::Running => {
            let done = view
                .tasks_detail
                .iter()
                .filter(|task| task.state.is_terminal())
                .count();
            let running: Vec<_> = view
                .tasks_detail
                .iter()
                .filter(|task| task.state == TaskState::Running)
                .map(|task| task.title.as_str())
                .collect();
            let all = view.tasks_detail.len();
            let share = u32::try_from(80 * done / all.max(1)).unwrap_or(80);
            let mut message = format!("{done}/{all} tasks");
            if !running.is_empty() {
                message = format!("{message} · {}", running.join(", "));
            }
            (10 + share, message)
        }
        // The progress of a repair is unknown.
        GoalState::Proposed => {
            let titles: Vec<_> = view.repairs_under_way().map(|t| t.title.as_str()).collect();
            (0, titles.join(", "))
        }
        _ => (100, summary.state.as_str().into()),
    }
}

/// Describes the outcome of a goal that is not active any more.
pub(crate) async fn describe_outcome(session: &EditorSession, goal: &GoalId) -> String {
    let Ok(view) = session.goal_view(goal).await else {
        return "no longer available".into();
    };
    match view.summary.state {
        GoalState::Proposed => match session.service().hunks(Some(goal.clone()), None).await {
            Ok(hunks) => describe_proposal(&hunks),
            Err(_) => "changes proposed".into(),
        },
        GoalState::AwaitingApproval => "the plan is waiting for approval".into(),
        GoalState::Running if view.is_paused() => {
            let titles: Vec<_> = view
                .paused_tasks()
                .map(|task| task.title.as_str())
                .collect();
            format!("waiting for approval: {}", titles.join(", "))
        }
        GoalState::Landed if view.summary.hunks.landed == 0 => "no changes needed".into(),
        GoalState::Failed => match &view.summary.error {
            Some(error) => format!("failed: {}", error.message),
            None => "failed".into(),
        },
        other => other.as_str().into(),
    }
}

/// Describes a proposal: `3 changes proposed in 2 files, 1 of them in conflict`.
fn describe_proposal(hunks: &[HunkView]) -> String {
    let files: HashSet<_> = hunks.iter().map(|hunk| &hunk.path).collect();
    let conflicts = hunks
        .iter()
        .filter(|hunk| crate::hunks::is_conflict(hunk))
        .count();
    let mut text = format!(
        "{} proposed in {}",
        count_noun(hunks.len(), "change"),
        count_noun(files.len(), "file")
    );
    if conflicts > 0 {
        text = format!("{text}, {conflicts} of them in conflict");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_never_fall_and_equal_reports_are_not_repeated() {
        let mut shown = ShownProgress {
            percentage: 0,
            message: String::new(),
        };
        assert!(shown.update(50, "a".into()));
        assert!(!shown.update(50, "a".into()));
        assert!(shown.update(20, "b".into()));
        assert_eq!((shown.percentage, shown.message.as_str()), (50, "b"));
    }

    #[test]
    fn tokens_name_their_goal() {
        let token = |token: &str| goal_of_token(&ProgressToken::String(token.into()));
        assert_eq!(token("claudecluster/g12/1700"), Some(GoalId::new("g12")));
        assert_eq!(token("other/g12/1"), None);
        assert_eq!(token("claudecluster/g12"), None);
        assert_eq!(goal_of_token(&ProgressToken::Int(1)), None);
    }
}
