//! The background tasks of a connection. Each runs as long as its connection does.

mod approval_questions;
mod closing_checks;
pub(crate) mod decisions;
mod diagnostics;
mod goal_events;
mod pending_hunks;
pub(crate) mod permission_questions;
pub(crate) mod progress;
mod undo_checks;

use std::sync::Arc;

use crate::session::EditorSession;

/// Starts the background tasks, for `initialized`.
pub(crate) fn start_tasks(session: &Arc<EditorSession>) {
    goal_events::start(session);
    let tasks = &session.tasks;
    tasks.spawn_background("diagnostics", diagnostics::run(session.clone()));
    tasks.spawn_background("undo checks", undo_checks::run(session.clone()));
    tasks.spawn_background("pending hunks", pending_hunks::run(session.clone()));
    tasks.spawn_background("closing checks", closing_checks::run(session.clone()));
}
