//! `claudecluster/content`: one side of a pending file.

use std::path::Path;

use claudecluster_protocol::{
    ErrorBody, GoalId, RelPath,
    editor::{Content, ContentParams},
};
use tower_lsp::jsonrpc::Result;

use crate::{failure, session::Session, uri};

pub(crate) async fn handle(session: &Session, params: ContentParams) -> Result<Content> {
    let path = in_goal(session, &params.goal_id, &params.uri)
        .await
        .map_err(|e| failure::reply(&e))?;
    let content = session
        .backend
        .content(&params.goal_id, &path, params.side)
        .await;
    Ok(Content {
        text: content.map_err(|e| failure::reply(&e))?,
    })
}

/// A document's path as a goal names it.
pub(crate) async fn in_goal(
    session: &Session,
    goal: &GoalId,
    address: &str,
) -> std::result::Result<RelPath, ErrorBody> {
    let path = uri::parse(address)?;
    let workspace = session.goal(goal).await?.summary.workspace;
    uri::relative(Path::new(&workspace), &path).ok_or_else(|| {
        ErrorBody::user(format!(
            "{address} is outside {workspace}, the workspace of {goal}"
        ))
    })
}
