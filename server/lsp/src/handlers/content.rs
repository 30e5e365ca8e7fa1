//! `claudecluster/content`: one side of a pending file.

use std::path::Path;

use claudecluster_protocol::{
    ErrorBody, GoalId, RelPath,
    content::{PendingContent, PendingContentParams},
};
use claudecluster_service::TypedCalls;
use tower_lsp::jsonrpc::Result;

use crate::{failure, session::EditorSession, uri};

/// Reads one side of a file of a goal.
pub(crate) async fn read_content(
    session: &EditorSession,
    params: PendingContentParams,
) -> Result<PendingContent> {
    let path = path_in_goal(session, &params.goal_id, &params.uri)
        .await
        .map_err(|e| failure::to_reply(&e))?;
    let content = session
        .service()
        .content(&params.goal_id, &path, params.side)
        .await;
    Ok(PendingContent {
        text: content.map_err(|e| failure::to_reply(&e))?,
    })
}

/// Returns the path of a file relative to the workspace of a goal.
pub(crate) async fn path_in_goal(
    session: &EditorSession,
    goal: &GoalId,
    address: &str,
) -> std::result::Result<RelPath, ErrorBody> {
    let path = uri::parse_file(address)?;
    let workspace = session.goal_view(goal).await?.summary.workspace;
    uri::relative_to(Path::new(&workspace), &path).ok_or_else(|| {
        ErrorBody::user(format!(
            "{address} is outside {workspace}, the workspace of {goal}"
        ))
    })
}
