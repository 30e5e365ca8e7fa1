//! `claudecluster/pending`: tells clients that show pending hunks in their documents where those are
//! now.

use std::{collections::HashMap, sync::Arc, time::Duration};

use claudecluster_protocol::editor::{DocumentChanges, method};
use lsp_types::Uri;

use crate::{hunks, session::Session};

/// What a client changes in one go comes in several messages at times; longer than this nobody waits
/// to see hunks move with the text.
const SETTLE: Duration = Duration::from_millis(5);

/// For how many more changes of a text it is told again that nothing is pending there any more: the client may
/// have changed it meanwhile each time, and goes on showing what it should not until one of them arrives.
const AGAIN: u32 = 16;

/// What a client was told last of a document in which something is or was pending.
struct Told {
    changes: DocumentChanges,
    /// How often it is told again that nothing is.
    left: u32,
}

/// Runs as long as the connection does.
pub(crate) async fn run(session: Arc<Session>) {
    let mut told: HashMap<Uri, Told> = HashMap::new();
    loop {
        let stale = session.pending.next(SETTLE).await;
        if session.settings.now().pending != Some(true) {
            told.clear();
            continue;
        }
        let mut documents = stale.documents;
        if stale.everything {
            documents.extend(session.documents.uris());
        }
        for uri in documents {
            let Some(document) = session.documents.get(&uri) else {
                // The client forgets what it shows in a document with the document.
                told.remove(&uri);
                continue;
            };
            let now = DocumentChanges {
                uri: uri.to_string(),
                version: Some(document.version),
                hunks: hunks::of(&session, &document).await,
            };
            // The change has marked it again: those of the newer text are told next, and a client could do
            // nothing with these.
            if !session.documents.has(&uri, document.version) {
                continue;
            }
            let before = told.get(&uri);
            let left = match before {
                None if now.hunks.is_empty() => continue,
                // The same hunks for another version are told again: the client may have dropped what it
                // was told for a text that it had changed meanwhile.
                Some(before) if before.changes == now => continue,
                Some(before) if before.changes.hunks.is_empty() && now.hunks.is_empty() => {
                    before.left - 1
                }
                _ => AGAIN,
            };
            session.aside.tell(&uri, method::PENDING, &now);
            if left == 0 {
                told.remove(&uri);
            } else {
                told.insert(uri, Told { changes: now, left });
            }
        }
    }
}
