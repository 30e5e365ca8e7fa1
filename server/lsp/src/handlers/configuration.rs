//! `workspace/didChangeConfiguration`, and the request for the settings at the start.

use std::sync::Arc;

use claudecluster_protocol::editor::SECTION;
use lsp_types::Registration;
use serde::Deserialize;
use serde_json::Value;

use crate::session::{EditorSession, dirty_queue::DirtyMark, settings::SettingsRevision};

/// The parameters of `workspace/didChangeConfiguration`.
///
/// Some clients leave the settings out and report only that they have changed.
#[derive(Deserialize)]
pub(crate) struct ConfigurationChanged {
    #[serde(default)]
    settings: Value,
}

/// Applies changed settings, or asks the client for them.
pub(crate) fn did_change(session: &Arc<EditorSession>, params: &ConfigurationChanged) {
    let revision = session.settings.next_revision();
    match params.settings.get(SECTION) {
        Some(section) => {
            apply_section(session, revision, section);
            let reporting = session.clone();
            session
                .tasks
                .spawn(async move { report_mistakes(&reporting).await });
        }
        None if session.capabilities().configuration => {
            session
                .tasks
                .spawn(request_section(session.clone(), revision));
        }
        // These are all settings, so the section has been removed.
        None if params.settings.is_object() => apply_section(session, revision, &Value::Null),
        None => {}
    }
}

fn apply_section(session: &EditorSession, revision: SettingsRevision, section: &Value) {
    session.settings.replace_client(revision, section);
    // The client may show pending hunks from now on.
    session.pending_queue.mark(DirtyMark::Everything);
}

/// Reports mistakes in the `initializationOptions`, and asks the client for its settings.
pub(crate) fn request_initial(session: &Arc<EditorSession>) {
    let revision = session.settings.next_revision();
    let asking = session.clone();
    session.tasks.spawn(async move {
        report_mistakes(&asking).await;
        if asking.capabilities().registers_configuration {
            register_for_changes(&asking).await;
        }
        if asking.capabilities().configuration {
            request_section(asking.clone(), revision).await;
        }
        let _ = asking.settings_known.set(());
    });
}

/// Asks the client to report changed settings, for clients that require a registration.
async fn register_for_changes(session: &EditorSession) {
    let registration = Registration {
        id: "claudecluster-configuration".to_owned(),
        method: "workspace/didChangeConfiguration".to_owned(),
        register_options: None,
    };
    let asked = session.client.register_capability(vec![registration]);
    match tokio::time::timeout(session.config.reply_timeout, asked).await {
        Ok(Ok(())) => {}
        refused => tracing::debug!(?refused, "cannot register for settings changes"),
    }
}

async fn request_section(session: Arc<EditorSession>, revision: SettingsRevision) {
    match session.request_settings().await {
        Some(Ok(section)) => {
            apply_section(&session, revision, &section);
            report_mistakes(&session).await;
        }
        refused => tracing::debug!(?refused, "cannot read the editor's settings"),
    }
}

/// Shows new mistakes in the settings to the user.
async fn report_mistakes(session: &EditorSession) {
    let wrong = session.settings.take_mistakes();
    if !wrong.is_empty() {
        session
            .show_warning(format!(
                "Invalid ClaudeCluster setting: {}. Correct it in your editor's settings; the other settings apply.",
                wrong.join("; ")
            ))
            .await;
    }
}
