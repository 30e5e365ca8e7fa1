//! Keeps what is shown about pending changes right: diagnostics for conflicts, and code lenses.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use lsp_types::{Diagnostic, DiagnosticSeverity, Uri};
use tokio::sync::Notify;

use crate::{
    hunks,
    session::{Session, lock},
};

/// Typing comes in bursts; what is shown follows when it pauses.
const SETTLE: Duration = Duration::from_millis(150);

/// What may be shown wrongly.
pub(crate) enum Dirty {
    /// One document: its text has changed, or it was opened.
    Document(Uri),
    /// Every document: the pending changes themselves have changed.
    Everything,
    /// A document was closed: nothing may be shown for it.
    Closed(Uri),
}

/// Collects what is out of date.
#[derive(Default)]
pub(crate) struct Publisher {
    stale: Mutex<Stale>,
    wake: Notify,
}

#[derive(Default)]
struct Stale {
    documents: HashSet<Uri>,
    everything: bool,
}

impl Publisher {
    pub(crate) fn mark(&self, dirty: Dirty) {
        let mut stale = lock(&self.stale);
        match dirty {
            Dirty::Document(uri) | Dirty::Closed(uri) => {
                stale.documents.insert(uri);
            }
            Dirty::Everything => stale.everything = true,
        }
        drop(stale);
        self.wake.notify_one();
    }
}

/// Runs as long as the connection does.
pub(crate) async fn run(session: Arc<Session>) {
    let mut shown: HashMap<Uri, Vec<Diagnostic>> = HashMap::new();
    loop {
        session.publisher.wake.notified().await;
        tokio::time::sleep(SETTLE).await;
        let stale = std::mem::take(&mut *lock(&session.publisher.stale));
        let mut documents = stale.documents;
        if stale.everything {
            documents.extend(
                session
                    .documents
                    .all()
                    .into_iter()
                    .map(|document| document.uri),
            );
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

/// The conflicts of a document; none where it is not open.
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
            message: format!(
                "a change from \"{}\" ({}) conflicts with this text",
                hunks::maker(hunk),
                hunks::goal(hunk)
            )
            .into(),
            ..Diagnostic::default()
        })
        .collect();
    (Some(document.version), conflicts)
}
