//! Lets the driver look for changes that an editor has undone or redone by itself.

use std::sync::Arc;

use super::diagnostics::SETTLE;
use crate::{session::EditorSession, uri};

/// Reports texts to the driver once they have been unchanged for a moment.
///
/// This is a task of its own, because the driver may have to wait for a landing in the same file.
pub(super) async fn run(session: Arc<EditorSession>) {
    loop {
        for uri in session.undo_check_queue.next_batch(SETTLE).await.documents {
            // A closed document counts as well: closing discards text that was not saved.
            let open = session.documents.get(&uri);
            let path = open.map_or_else(|| uri::to_path(&uri), |document| document.path);
            if let Some(path) = path {
                session.texts().text_settled(&path).await;
            }
        }
    }
}
