//! `claudecluster/changes`: pending hunks and their places in the current texts.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

use claudecluster_protocol::{
    GoalId,
    editor::{Changes, ChangesParams, DocumentChanges},
};
use claudecluster_service::TypedCalls;
use lsp_types::Uri;
use tower_lsp::jsonrpc::Result;

use crate::{failure, hunks, session::EditorSession, uri};

/// Lists the pending hunks of all documents and files of the workspaces, or of one file.
pub(crate) async fn list_changes(
    session: &EditorSession,
    params: ChangesParams,
) -> Result<Changes> {
    let only = match &params.uri {
        Some(uri) => Some(
            Uri::parse(uri)
                .map_err(|e| failure::invalid_params(format!("uri: {uri:?} is not a URI: {e}")))?,
        ),
        None => None,
    };
    // Before the first await: the texts as the client has them at this point of the wire.
    let open = session.documents.all();
    let mut documents: Vec<DocumentChanges> = Vec::new();
    for document in &open {
        if only.as_ref().is_some_and(|only| *only != document.uri) {
            continue;
        }
        let hunks = hunks::pending_hunks(session, document).await;
        if !hunks.is_empty() {
            documents.push(DocumentChanges {
                uri: document.uri.to_string(),
                version: Some(document.version),
                hunks,
            });
        }
    }
    let is_open = |uri: &Uri| open.iter().any(|document| document.uri == *uri);
    if only.as_ref().is_none_or(|only| !is_open(only)) {
        let open = open.iter().filter_map(|document| document.path.as_deref());
        documents.extend(list_unopened(session, only.as_ref(), &open.collect()).await?);
    }
    documents.sort_by(|a, b| a.uri.cmp(&b.uri));
    Ok(Changes { documents })
}

/// Lists the pending hunks of files that this editor does not have open.
async fn list_unopened(
    session: &EditorSession,
    only: Option<&Uri>,
    open: &HashSet<&Path>,
) -> Result<Vec<DocumentChanges>> {
    let hunks = session
        .service()
        .hunks(None, None)
        .await
        .map_err(|e| failure::to_reply(&e))?;
    let mut workspaces: HashMap<GoalId, PathBuf> = HashMap::new();
    for goal in hunks.iter().map(hunks::goal_of).collect::<BTreeSet<_>>() {
        if let Ok(view) = session.goal_view(&goal).await
            && session.has_workspace(&view.summary.workspace)
        {
            workspaces.insert(goal, PathBuf::from(view.summary.workspace));
        }
    }
    let only = only.map(uri::to_path);
    let mut documents: Vec<DocumentChanges> = Vec::new();
    for hunk in hunks {
        let workspace = workspaces.get(&hunks::goal_of(&hunk));
        let Some(path) = workspace.map(|root| root.join(hunk.path.to_path_buf())) else {
            continue;
        };
        if open.contains(path.as_path())
            || only
                .as_ref()
                .is_some_and(|only| only.as_ref() != Some(&path))
        {
            continue;
        }
        let Some(uri) = uri::from_path(&path) else {
            continue;
        };
        let uri = uri.to_string();
        match documents.iter_mut().find(|document| document.uri == uri) {
            Some(document) => document.hunks.push(hunk),
            None => documents.push(DocumentChanges {
                uri,
                version: None,
                hunks: vec![hunk],
            }),
        }
    }
    Ok(documents)
}
