//! `window/workDoneProgress/cancel`: cancels the goal the progress is about.

use std::sync::Arc;

use lsp_types::WorkDoneProgressCancelParams;

use crate::{progress, session::Session};

pub(crate) fn handle(session: &Arc<Session>, params: &WorkDoneProgressCancelParams) {
    let Some(goal) = progress::goal_of(&params.token) else {
        return;
    };
    let session = session.clone();
    // Not one of the session's tasks: what the user has cancelled stays cancelled when they quit.
    tokio::spawn(async move {
        if let Err(error) = session.backend.cancel(&goal).await {
            session.fail(&format!("cannot cancel {goal}"), &error).await;
        }
    });
}
