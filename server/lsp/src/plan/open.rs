//! `claudecluster.plan.open`: the plan of a goal as a document.

use std::sync::Arc;

use claudecluster_protocol::{ErrorBody, editor::PlanDocument, goal::GoalView};
use lsp_types::Uri;

use super::files;
use crate::{blocking::run_blocking, session::EditorSession, uri};

/// Writes the plan of a goal to a file, and asks the client to open the file after the reply.
pub(crate) async fn open_plan(
    session: &Arc<EditorSession>,
    goal: GoalView,
) -> Result<PlanDocument, ErrorBody> {
    let id = goal.summary.id;
    let Some(plan) = goal.plan else {
        let state = goal.summary.state.status_phrase();
        return Err(
            ErrorBody::user(format!("goal {id} {state}; it has no plan"))
                .with_hint("wait until planning has finished"),
        );
    };
    let Some(folder) = session.config.plans.clone() else {
        return Err(
            ErrorBody::environment("the server has no folder for plans").with_hint(format!(
                "show the plan in a terminal: claudecluster plan {id}"
            )),
        );
    };
    let path = run_blocking(move || files::find_or_write(&folder, &id, &plan)).await?;
    let uri = uri::from_path(&path).ok_or_else(|| {
        ErrorBody::internal(format!("cannot make a URI of {}", path.display()))
            .with_hint("set CLAUDECLUSTER_HOME to an absolute path")
    })?;
    let document = PlanDocument {
        uri: uri.to_string(),
    };
    let showing = show_plan(session.clone(), uri, path.display().to_string());
    session.tasks.spawn(showing);
    Ok(document)
}

/// Asks the client to open a plan. Shows the path in a message if the client does not.
async fn show_plan(session: Arc<EditorSession>, uri: Uri, path: String) {
    if session.capabilities().shows_documents && session.show_document(uri).await {
        return;
    }
    session.show_info(format!("The plan is in {path}")).await;
}
