//! `claudecluster/pending`: tells clients that show pending hunks in their documents where those are
//! now.

use std::{collections::HashMap, sync::Arc, time::Duration};

use claudecluster_protocol::editor::{DocumentChanges, method};
use lsp_types::{LspNotificationMethod, MessageDirection, Notification, Uri};

use crate::{hunks, session::Session};

/// What a client changes in one go comes in several messages at times; longer than this nobody waits
/// to see hunks move with the text.
const SETTLE: Duration = Duration::from_millis(5);

enum PendingNotification {}

impl Notification for PendingNotification {
    type Params = DocumentChanges;
    const METHOD: LspNotificationMethod<'static> = LspNotificationMethod::new(method::PENDING);
    const MESSAGE_DIRECTION: MessageDirection = MessageDirection::ServerToClient;
}

/// Runs as long as the connection does.
pub(crate) async fn run(session: Arc<Session>) {
    let mut told: HashMap<Uri, DocumentChanges> = HashMap::new();
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
            // The same hunks for another version are told again: the client may have dropped what it
            // was told for a text that it had changed meanwhile.
            let news = match told.get(&uri) {
                None => !now.hunks.is_empty(),
                Some(before) => *before != now,
            };
            if !news {
                continue;
            }
            if now.hunks.is_empty() {
                told.remove(&uri);
            } else {
                told.insert(uri, now.clone());
            }
            session
                .client
                .send_notification::<PendingNotification>(now)
                .await;
        }
    }
}
