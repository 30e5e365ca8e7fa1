//! Sends `claudecluster/pending`, the current places of pending hunks, to clients that show them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use claudecluster_protocol::editor::{DocumentChanges, method};
use lsp_types::Uri;

use crate::{hunks, session::EditorSession};

/// Collects the messages of one edit, which some clients send in parts. Longer, and hunks would
/// visibly lag behind the text.
const SETTLE: Duration = Duration::from_millis(5);

/// The number of later changes after which an empty list of hunks is sent again.
///
/// A client discards a list for a text that it has changed meanwhile, and goes on showing its hunks
/// until an empty list arrives in time.
const REPEATS: u32 = 16;

/// The last list that the client was sent for a document.
struct SentPendingHunks {
    changes: DocumentChanges,
    /// How often an empty list is still repeated.
    repeats: u32,
}

/// Sends the hunks of documents whose text or hunks have changed.
pub(super) async fn run(session: Arc<EditorSession>) {
    let mut sent: HashMap<Uri, SentPendingHunks> = HashMap::new();
    loop {
        let batch = session.pending_queue.next_batch(SETTLE).await;
        if session.settings.current().pending != Some(true) {
            sent.clear();
            continue;
        }
        let mut documents = batch.documents;
        if batch.everything {
            documents.extend(session.documents.uris());
        }
        for uri in documents {
            let Some(document) = session.documents.get(&uri) else {
                // The client forgets the hunks with the document.
                sent.remove(&uri);
                continue;
            };
            let now = DocumentChanges {
                uri: uri.to_string(),
                version: Some(document.version),
                hunks: hunks::pending_hunks(&session, &document).await,
            };
            // The document has changed meanwhile and was marked again; the client could not use this
            // list.
            if !session.documents.is_at_version(&uri, document.version) {
                continue;
            }
            let before = sent.get(&uri);
            let repeats = match before {
                None if now.hunks.is_empty() => continue,
                // Equal hunks for another version are sent again: the client may have discarded the
                // earlier list.
                Some(before) if before.changes == now => continue,
                Some(before) if before.changes.hunks.is_empty() && now.hunks.is_empty() => {
                    before.repeats - 1
                }
                _ => REPEATS,
            };
            session.notify_queue.push(&uri, method::PENDING, &now);
            if repeats == 0 {
                sent.remove(&uri);
            } else {
                let changes = now;
                sent.insert(uri, SentPendingHunks { changes, repeats });
            }
        }
    }
}
