//! Keeps what is shown about pending changes right: diagnostics for conflicts, and code lenses; and those
//! about plans that are being written. Tells the driver when a text has settled.

use std::{collections::HashMap, sync::Arc, time::Duration};

use claudecluster_protocol::change::HunkView;
use lsp_types::{Diagnostic, DiagnosticSeverity, Uri};

use crate::{hunks, plan, session::Session, uri};

/// Typing comes in bursts; what is shown follows when it pauses.
const SETTLE: Duration = Duration::from_millis(150);

/// Runs as long as the connection does.
pub(crate) async fn run(session: Arc<Session>) {
    let mut shown: HashMap<Uri, Vec<Diagnostic>> = HashMap::new();
    loop {
        let stale = session.diagnostics.next(SETTLE).await;
        let mut documents = stale.documents;
        if stale.everything {
            documents.extend(session.documents.uris());
            documents.extend(shown.keys().cloned());
        }
        for uri in documents {
            let (version, now) = diagnostics(&session, &uri).await;
            if shown.get(&uri).map_or(&[][..], Vec::as_slice) != now {
                session
                    .client
                    .publish_diagnostics(uri.clone(), now.clone(), version)
                    .await;
                if now.is_empty() {
                    shown.remove(&uri);
                } else {
                    shown.insert(uri, now);
                }
            }
        }
        if stale.everything && session.capabilities().refreshes_lenses {
            // Its answer says nothing, and a client that gives none must not stop the next round.
            let client = session.client.clone();
            session.spawn(async move {
                let _ = client.code_lens_refresh().await;
            });
        }
    }
}

/// Lets the ledger follow what an editor has undone or done again by itself. A task of its own: the
/// driver may have to wait for a landing in the same file.
pub(crate) async fn follow(session: Arc<Session>) {
    loop {
        for uri in session.settling.next(SETTLE).await.documents {
            // Closing one settles its text, too: what was not saved is gone.
            let open = session.documents.get(&uri);
            let path = open.map_or_else(|| uri::to_path(&uri), |document| document.path);
            if let Some(path) = path {
                session.backend.settled(&path).await;
            }
        }
    }
}

/// The conflicts of a document, and what is wrong with it as a plan; none where it is not open.
async fn diagnostics(session: &Session, uri: &Uri) -> (Option<i32>, Vec<Diagnostic>) {
    let Some(document) = session.documents.get(uri) else {
        return (None, Vec::new());
    };
    let hunks = hunks::of(session, &document).await;
    let conflicts = hunks
        .iter()
        .filter(|hunk| hunks::is_conflict(hunk))
        .map(|hunk| Diagnostic {
            range: hunks::range(&document, hunk, session.encoding()),
            severity: Some(DiagnosticSeverity::Warning),
            code: Some(hunk.id.to_string().into()),
            source: Some("claudecluster".into()),
            message: message(hunk).into(),
            ..Diagnostic::default()
        })
        .collect::<Vec<_>>();
    let mut shown = plan::diagnostics(session, &document).await;
    shown.extend(conflicts);
    (Some(document.version), shown)
}

fn message(hunk: &HunkView) -> String {
    let (maker, goal) = (hunks::maker(hunk), hunks::goal(hunk));
    match hunks::other_maker(hunk) {
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
