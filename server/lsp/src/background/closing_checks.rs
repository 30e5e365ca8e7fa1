//! Confirms that closed documents stay closed.

use std::sync::Arc;

use crate::session::EditorSession;

/// The number of answers that confirm a closing.
///
/// The first question may reach the editor while it reloads the file. Work that the editor defers until
/// it is idle is done before the second answer.
const ANSWERS: usize = 2;

/// Asks the editor after each closing; one round of questions confirms all closings before it.
pub(super) async fn run(session: Arc<EditorSession>) {
    loop {
        let closings = session.closing_documents.next_closings().await;
        for _ in 0..ANSWERS {
            // The settings serve as the question. By the time of its answer, the editor has finished
            // its earlier work and reported the changes.
            if session.request_settings().await.is_none() {
                tracing::debug!(
                    "the editor is not responding; treating its closed documents as closed"
                );
                break;
            }
        }
        session.closing_documents.confirm_closings(&closings);
    }
}
