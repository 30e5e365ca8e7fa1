//! `window/workDoneProgress/cancel`: cancels the goal of a progress.

use std::sync::Arc;

use lsp_types::WorkDoneProgressCancelParams;

use super::execute_command::cancel_goal;
use crate::{background::progress::goal_of_token, session::EditorSession};

/// Cancels the goal whose progress the user has cancelled.
pub(crate) fn cancel_progress(session: &Arc<EditorSession>, params: &WorkDoneProgressCancelParams) {
    if let Some(goal) = goal_of_token(&params.token) {
        tracing::Span::current().record("goal", goal.as_str());
        cancel_goal(session, goal);
    }
}
