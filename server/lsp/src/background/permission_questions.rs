//! Asks the user for permissions, in clients that do not ask by themselves.

use std::sync::Arc;

use claudecluster_protocol::{
    ErrorBody, ErrorKind, PermissionId, TaskId,
    goal::GoalView,
    permission::{PermissionAnswer, PermissionDecision, PermissionRequest, PermissionScope},
};
use claudecluster_service::TypedCalls;

use crate::{
    question::{self, QuestionSettled},
    session::EditorSession,
};

/// The most characters of a request that a message shows. The rest is reported by its length.
const LONGEST_DETAIL: usize = 1000;

const CHOICES: [(&str, PermissionDecision, PermissionScope); 4] = [
    (
        "Allow once",
        PermissionDecision::Allow,
        PermissionScope::Once,
    ),
    (
        "Allow for this goal",
        PermissionDecision::Allow,
        PermissionScope::Goal,
    ),
    (
        "Always allow",
        PermissionDecision::Allow,
        PermissionScope::Always,
    ),
    ("Deny", PermissionDecision::Deny, PermissionScope::Once),
];

/// Returns the answers that fit a request: only a host of the network can be allowed for always.
fn fitting_choices(
    request: &PermissionRequest,
) -> impl Iterator<Item = (&'static str, PermissionDecision, PermissionScope)> {
    let always = request.is_about_host();
    CHOICES
        .into_iter()
        .filter(move |(.., scope)| always || *scope != PermissionScope::Always)
}

/// Asks the user about a request and forwards the answer. Waits without a limit.
///
/// The question is withdrawn when `settled` resolves.
pub(super) async fn ask_permission(
    session: Arc<EditorSession>,
    request: PermissionRequest,
    settled: QuestionSettled,
) {
    // The settings say whether the client asks its user by itself.
    session.settings_known.wait().await;
    if session.client_shows_events() || !is_open(&session, &request.id).await {
        return;
    }
    let Ok(view) = session.goal_view(&request.goal_id).await else {
        return;
    };
    let titles: Vec<&str> = fitting_choices(&request).map(|(title, ..)| title).collect();
    let message = question_text(&view, &request);
    let chosen = question::ask_user(&session.client, &message, &titles, settled).await;
    // Closed without an answer: the worker keeps waiting, and another client may answer.
    let Some(chosen) = chosen else { return };
    let choice = fitting_choices(&request).find(|(title, ..)| *title == chosen);
    let Some((_, decision, scope)) = choice else {
        return;
    };
    let answer = PermissionAnswer {
        scope,
        ..PermissionAnswer::new(request.id.clone(), decision)
    };
    if let Err(error) = answer_permission(&session, answer).await {
        let id = &request.id;
        if error.kind == ErrorKind::Stale {
            let said = format!("{}. Your answer was not used.", error.message);
            session.show_info(said).await;
        } else {
            session
                .show_error(&format!("cannot answer {id}"), &error)
                .await;
        }
    }
}

/// Forwards an answer of this editor's user.
pub(crate) async fn answer_permission(
    session: &EditorSession,
    answer: PermissionAnswer,
) -> Result<(), ErrorBody> {
    session.service().permit(answer).await
}

async fn is_open(session: &EditorSession, id: &PermissionId) -> bool {
    let open = session.service().permissions().await.unwrap_or_default();
    open.iter().any(|open| open.id == *id)
}

/// Formats a question: `g1: Fix the parser (fix) wants to use WebFetch: https://… (p3)`.
fn question_text(view: &GoalView, request: &PermissionRequest) -> String {
    let title = |task: &TaskId| {
        let mut tasks = view.tasks_detail.iter();
        let found = tasks.find(|one| one.id == *task);
        found.map_or_else(|| task.to_string(), |found| found.title.clone())
    };
    let who = match request.task_ids.as_slice() {
        [] => "the planner wants".to_owned(),
        [task] => format!("{} wants", title(task)),
        tasks => {
            let titles: Vec<String> = tasks.iter().map(title).collect();
            format!("{} want", titles.join(", "))
        }
    };
    let (goal, tool, id) = (&request.goal_id, &request.tool, &request.id);
    if request.is_about_host() {
        let host = safe_detail(&request.detail);
        return format!("{goal}: {who} to reach {host} ({id})");
    }
    format!(
        "{goal}: {who} to use {tool}: {} ({id})",
        safe_detail(&request.detail)
    )
}

/// Removes characters with which a worker's text could disguise itself, and cuts the text.
pub(super) fn safe_detail(text: &str) -> String {
    let plain = |c: char| match c {
        // A line break stays visible: a command of two lines must not look like another command.
        '\n' => '⏎',
        c if c.is_control() || is_direction_mark(c) => ' ',
        c => c,
    };
    let all = text.chars().count();
    let head: String = text.chars().take(LONGEST_DETAIL).map(plain).collect();
    match all.checked_sub(LONGEST_DETAIL) {
        None | Some(0) => head,
        Some(more) => format!("{head}… and {more} more characters"),
    }
}

/// Whether a character changes the order in which others are displayed.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_cannot_disguise_itself() {
        assert_eq!(safe_detail("http://a/b"), "http://a/b");
        assert_eq!(safe_detail("a\u{1b}[2J\nb\u{202e}c"), "a [2J⏎b c");
        let long = safe_detail(&"ä".repeat(LONGEST_DETAIL + 2));
        assert!(long.ends_with("ä… and 2 more characters"), "{long}");
    }
}
