//! Shows how far a goal has come: one progress a stretch of work, from the moment the goal is active
//! until it is not.

use std::{collections::HashSet, sync::Arc, time::Duration};

use claudecluster_protocol::{GoalId, GoalState, TaskState, change::HunkView, goal::GoalView};
use lsp_types::{
    ProgressNotification, ProgressParams, ProgressToken, WorkDoneProgressBegin,
    WorkDoneProgressEnd, WorkDoneProgressReport,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{permission, session::Session};

/// Clients redraw at every report.
const PAUSE: Duration = Duration::from_millis(100);
/// A client that does not answer a request for a token does not show progress.
const PATIENCE: Duration = Duration::from_secs(10);
const PREFIX: &str = "claudecluster/";

/// The goal a progress token stands for.
pub(crate) fn goal_of(token: &ProgressToken) -> Option<GoalId> {
    match token {
        ProgressToken::String(token) => {
            let (goal, _stretch) = token.strip_prefix(PREFIX)?.rsplit_once('/')?;
            Some(GoalId::new(goal))
        }
        ProgressToken::Int(_) => None,
    }
}

/// Shows a goal's progress until nothing goes on any more. Looks when woken, at most ten times a
/// second.
pub(crate) async fn show(session: Arc<Session>, goal: GoalId, mut woken: watch::Receiver<()>) {
    let Ok(view) = session.goal(&goal).await else {
        return;
    };
    // A goal can become active again; its earlier tokens are used up.
    let stretch = stretch(&view);
    let token = ProgressToken::String(format!("{PREFIX}{goal}/{stretch}"));
    let created = session.client.create_work_done_progress(token.clone());
    if !matches!(tokio::time::timeout(PATIENCE, created).await, Ok(Ok(()))) {
        return;
    }
    let mut shown = Shown {
        percentage: 0,
        message: String::new(),
    };
    let (percentage, message) = describe(&view);
    shown.update(percentage, message);
    let begin = WorkDoneProgressBegin {
        title: format!("{goal} {}", title(&view.summary.prompt)),
        cancellable: Some(true),
        message: Some(shown.message.clone()),
        percentage: Some(shown.percentage),
    };
    send(&session, &token, "begin", &begin).await;
    loop {
        woken.mark_unchanged();
        match session.goal(&goal).await {
            Ok(view) if view.is_working() => {
                let (percentage, message) = describe(&view);
                if shown.update(percentage, message) {
                    let report = WorkDoneProgressReport {
                        cancellable: Some(true),
                        message: Some(shown.message.clone()),
                        percentage: Some(shown.percentage),
                    };
                    send(&session, &token, "report", &report).await;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            _ => break,
        }
        if woken.changed().await.is_err() {
            break;
        }
    }
    // Nobody wakes a task that is about to end: the next event starts a new one.
    drop(woken);
    let message = Some(outcome(&session, &goal).await);
    send(&session, &token, "end", &WorkDoneProgressEnd { message }).await;
}

/// A name for the stretch of work that a goal is in.
fn stretch(view: &GoalView) -> String {
    let since = view.summary.updated_at.0;
    // Repairs of a proposal come and go without the goal's state changing.
    match view.summary.state {
        GoalState::Proposed => format!("{since}-{}", view.tasks_detail.len()),
        // Nor do pauses; before one ends, another task has.
        GoalState::Running => {
            let tasks = view.tasks_detail.iter();
            let ended = tasks.filter(|task| task.state.is_terminal()).count();
            format!("{since}-{ended}")
        }
        _ => since.to_string(),
    }
}

async fn send<T: serde::Serialize + Sync>(
    session: &Session,
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

struct Shown {
    percentage: u32,
    message: String,
}

impl Shown {
    /// Takes over what is new; `false` if nothing is. Percentages never fall.
    fn update(&mut self, percentage: u32, message: String) -> bool {
        let percentage = percentage.max(self.percentage);
        let new = percentage != self.percentage || message != self.message;
        self.percentage = percentage;
        self.message = message;
        new
    }
}

/// How far an active goal has come, and what goes on, in words.
fn describe(view: &GoalView) -> (u32, String) {
    let (percentage, message) = work(view);
    match view.permissions.first() {
        None => (percentage, message),
        Some(request) => {
            let what = title(&permission::shown(&request.detail));
            let asked = format!("waiting for permission: {} {what}", request.tool);
            (percentage, format!("{message} · {asked}"))
        }
    }
}

fn work(view: &GoalView) -> (u32, String) {
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
        // What is proposed can be decided meanwhile; how far a repair is nobody can tell.
        GoalState::Proposed => {
            let titles: Vec<_> = view.repairs_under_way().map(|t| t.title.as_str()).collect();
            (0, titles.join(", "))
        }
        _ => (100, summary.state.as_str().into()),
    }
}

/// What came of a goal that is not active any more.
pub(crate) async fn outcome(session: &Session, goal: &GoalId) -> String {
    let Ok(view) = session.goal(goal).await else {
        return "no longer available".into();
    };
    match view.summary.state {
        GoalState::Proposed => match session.backend.hunks(Some(goal.clone()), None).await {
            Ok(hunks) => proposed(&hunks),
            Err(_) => "changes proposed".into(),
        },
        GoalState::AwaitingApproval => "the plan is waiting for approval".into(),
        GoalState::Running if view.is_paused() => {
            let titles: Vec<_> = view.paused().map(|task| task.title.as_str()).collect();
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

/// `3 changes proposed in 2 files, 1 of them in conflict`.
fn proposed(hunks: &[HunkView]) -> String {
    let files: HashSet<_> = hunks.iter().map(|hunk| &hunk.path).collect();
    let conflicts = hunks
        .iter()
        .filter(|hunk| crate::hunks::is_conflict(hunk))
        .count();
    let mut text = format!(
        "{} proposed in {}",
        count(hunks.len(), "change"),
        count(files.len(), "file")
    );
    if conflicts > 0 {
        text = format!("{text}, {conflicts} of them in conflict");
    }
    text
}

/// `1 file`, `2 files`.
pub(crate) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The first line of a prompt, cut to what a status line holds.
pub(crate) fn title(prompt: &str) -> String {
    const LONGEST: usize = 60;
    let line = prompt.trim().lines().next().unwrap_or_default();
    if line.chars().count() <= LONGEST {
        return line.to_owned();
    }
    let cut: String = line.chars().take(LONGEST - 1).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_never_fall_and_nothing_is_said_twice() {
        let mut shown = Shown {
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
        let token = |token: &str| goal_of(&ProgressToken::String(token.into()));
        assert_eq!(token("claudecluster/g12/1700"), Some(GoalId::new("g12")));
        assert_eq!(token("other/g12/1"), None);
        assert_eq!(token("claudecluster/g12"), None);
        assert_eq!(goal_of(&ProgressToken::Int(1)), None);
    }

    #[test]
    fn titles_fit_a_status_line() {
        assert_eq!(title("  fix it\nand more"), "fix it");
        assert_eq!(title(&"ä".repeat(100)).chars().count(), 60);
    }
}
