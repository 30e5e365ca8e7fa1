//! `claudecluster.plan.open`: a goal's plan as a document.

use std::sync::Arc;

use claudecluster_protocol::{ErrorBody, editor::PlanDocument, goal::GoalView};
use lsp_types::{ShowDocumentParams, Uri};

use super::files;
use crate::{session::Session, uri};

/// Writes the plan of a goal where an editor can open it, and asks the client to do so after the
/// answer.
pub(crate) async fn open(
    session: &Arc<Session>,
    goal: GoalView,
) -> Result<PlanDocument, ErrorBody> {
    let id = goal.summary.id;
    let Some(plan) = goal.plan else {
        let state = goal.summary.state.phrase();
        return Err(
            ErrorBody::user(format!("goal {id} {state}; it has no plan"))
                .hint("wait until planning has finished"),
        );
    };
    let Some(folder) = session.config.plans.clone() else {
        return Err(
            ErrorBody::environment("the server has no folder for plans").hint(format!(
                "show the plan in a terminal: claudecluster plan {id}"
            )),
        );
    };
    let path = session
        .ask(move |_| files::find_or_write(&folder, &id, &plan))
        .await?;
    let uri = uri::from_path(&path).ok_or_else(|| {
        ErrorBody::internal(format!("cannot make a URI of {}", path.display()))
            .hint("set CLAUDECLUSTER_HOME to an absolute path")
    })?;
    let document = PlanDocument {
        uri: uri.to_string(),
    };
    session.spawn(show(session.clone(), uri, path.display().to_string()));
    Ok(document)
}

async fn show(session: Arc<Session>, uri: Uri, path: String) {
    if session.capabilities().shows_documents {
        let shown = session.client.show_document(ShowDocumentParams {
            uri,
            external: None,
            take_focus: Some(true),
            selection: None,
        });
        let answer = tokio::time::timeout(session.config.reply_timeout, shown).await;
        if matches!(answer, Ok(Ok(true))) {
            return;
        }
    }
    session.info(format!("The plan is in {path}")).await;
}
