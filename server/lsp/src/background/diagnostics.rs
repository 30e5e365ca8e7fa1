//! Keeps diagnostics and code lenses up to date: those of conflicts, and those of plans.

use std::{collections::HashMap, sync::Arc, time::Duration};

use claudecluster_core::display_text::line as plain_text;
use claudecluster_protocol::change::HunkView;
use lsp_types::{Diagnostic, DiagnosticSeverity, Uri};

use crate::{hunks, plan, session::EditorSession};

/// Typing comes in bursts; diagnostics follow when it pauses.
pub(super) const SETTLE: Duration = Duration::from_millis(150);

/// Publishes changed diagnostics and asks the client to refresh its code lenses.
pub(super) async fn run(session: Arc<EditorSession>) {
    let mut published: HashMap<Uri, Vec<Diagnostic>> = HashMap::new();
    loop {
        let batch = session.diagnostics_queue.next_batch(SETTLE).await;
        let mut documents = batch.documents;
        if batch.everything {
            documents.extend(session.documents.uris());
            documents.extend(published.keys().cloned());
        }
        for uri in documents {
            let (version, now) = collect_diagnostics(&session, &uri).await;
            if published.get(&uri).map_or(&[][..], Vec::as_slice) != now {
                session
                    .client
                    .publish_diagnostics(uri.clone(), now.clone(), version)
                    .await;
                if now.is_empty() {
                    published.remove(&uri);
                } else {
                    published.insert(uri, now);
                }
            }
        }
        if batch.everything && session.capabilities().refreshes_lenses {
            // The reply carries nothing, and a client that never replies must not stop the next round.
            let client = session.client.clone();
            session.tasks.spawn(async move {
                let _ = client.code_lens_refresh().await;
            });
        }
    }
}

/// Returns the version and the diagnostics of a document; no diagnostics if it is not open.
async fn collect_diagnostics(session: &EditorSession, uri: &Uri) -> (Option<i32>, Vec<Diagnostic>) {
    let Some(document) = session.documents.get(uri) else {
        return (None, Vec::new());
    };
    let hunks = hunks::pending_hunks(session, &document).await;
    let conflicts = hunks
        .iter()
        .filter(|hunk| hunks::is_conflict(hunk))
        .map(|hunk| Diagnostic {
            range: hunks::hunk_range(&document, hunk, session.encoding()),
            severity: Some(DiagnosticSeverity::Warning),
            code: Some(hunk.id.to_string().into()),
            source: Some("claudecluster".into()),
            message: plain_text::to_message(&conflict_message(hunk)).into(),
            ..Diagnostic::default()
        })
        .collect::<Vec<_>>();
    let mut found = plan::plan_diagnostics(session, &document).await;
    found.extend(conflicts);
    (Some(document.version), found)
}

fn conflict_message(hunk: &HunkView) -> String {
    let (maker, goal) = (hunks::maker_title(hunk), hunks::goal_of(hunk));
    match hunks::rival_title(hunk) {
        None => format!("a change from \"{maker}\" ({goal}) conflicts with this text"),
        Some(other) => {
            let did = if hunk.mine_pending {
                "proposes"
            } else {
                "made"
            };
            format!(
                "a change from \"{maker}\" ({goal}) conflicts with a change that \"{other}\" {did} here"
            )
        }
    }
}
