//! Asks the users of clients that do not do it themselves what a worker may do.

use std::sync::Arc;

use claudecluster_protocol::{
    ErrorBody, ErrorKind, PermissionId, TaskId,
    goal::GoalView,
    permission::{PermissionAnswer, PermissionDecision, PermissionRequest, PermissionScope},
};

use crate::{
    question::{self, Settled},
    session::Session,
};

/// The most of what a tool is to do that a message shows. The rest is told by its length.
const SHOWN: usize = 1000;

const CHOICES: [(&str, PermissionDecision, PermissionScope); 3] = [
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
    ("Deny", PermissionDecision::Deny, PermissionScope::Once),
];

/// Asks, waits for the user as long as it takes, and carries the answer out. Where the request is `settled`
/// in another way, the question is taken back.
pub(crate) async fn ask(session: Arc<Session>, request: PermissionRequest, settled: Settled) {
    // Whether the client asks its user itself is in its settings.
    session.configured().await;
    if session.settings.now().events == Some(true) || !waits(&session, &request.id) {
        return;
    }
    let Ok(view) = session.goal(&request.goal_id).await else {
        return;
    };
    let titles = CHOICES.map(|(title, ..)| title);
    let message = question(&view, &request);
    let chosen = question::ask(&session.client, &message, &titles, settled).await;
    // Closed without an answer: the worker goes on waiting, and others may answer.
    let Some(chosen) = chosen else { return };
    let choice = CHOICES.into_iter().find(|(title, ..)| *title == chosen);
    let Some((_, decision, scope)) = choice else {
        return;
    };
    let answer = PermissionAnswer {
        scope,
        ..PermissionAnswer::new(request.id.clone(), decision)
    };
    if let Err(error) = permit(&session, answer).await {
        let id = &request.id;
        if error.kind == ErrorKind::Stale {
            let said = format!("{}. Your answer was not used.", error.message);
            session.info(said).await;
        } else {
            session.fail(&format!("cannot answer {id}"), &error).await;
        }
    }
}

/// Carries an answer of this editor out.
pub(crate) async fn permit(session: &Session, answer: PermissionAnswer) -> Result<(), ErrorBody> {
    let by = session.capabilities().name.clone();
    session.backend.permit(answer, Some(by)).await
}

fn waits(session: &Session, id: &PermissionId) -> bool {
    let open = session.backend.permissions();
    open.iter().any(|open| open.id == *id)
}

/// `g1: Fix the parser (fix) wants to use WebFetch: https://… (p3)`
fn question(view: &GoalView, request: &PermissionRequest) -> String {
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
    format!(
        "{goal}: {who} to use {tool}: {} ({id})",
        shown(&request.detail)
    )
}

/// Text of a worker's, without what could make a message look like something else.
pub(crate) fn shown(text: &str) -> String {
    let plain = |c: char| match c {
        // Two lines are not one: a command must not look like another.
        '\n' => '⏎',
        c if c.is_control() || is_direction(c) => ' ',
        c => c,
    };
    let all = text.chars().count();
    let head: String = text.chars().take(SHOWN).map(plain).collect();
    match all.checked_sub(SHOWN) {
        None | Some(0) => head,
        Some(more) => format!("{head}… and {more} more characters"),
    }
}

/// Characters that change in which order the others are shown.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_shows_what_is_asked_and_nothing_else() {
        assert_eq!(shown("http://a/b"), "http://a/b");
        assert_eq!(shown("a\u{1b}[2J\nb\u{202e}c"), "a [2J⏎b c");
        let long = shown(&"ä".repeat(SHOWN + 2));
        assert!(long.ends_with("ä… and 2 more characters"), "{long}");
    }
}
