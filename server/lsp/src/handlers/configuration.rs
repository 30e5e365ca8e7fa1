//! `workspace/didChangeConfiguration`, and `workspace/configuration` to ask for what it is about.

use std::sync::Arc;

use claudecluster_protocol::editor::SECTION;
use lsp_types::{ConfigurationItem, Registration};
use serde::Deserialize;
use serde_json::Value;

use crate::{session::Session, settings::Turn, stale::Dirty};

/// Some clients leave the settings out: they only tell that something has changed.
#[derive(Deserialize)]
pub(crate) struct DidChange {
    #[serde(default)]
    settings: Value,
}

pub(crate) fn did_change(session: &Arc<Session>, params: &DidChange) {
    let turn = session.settings.turn();
    match params.settings.get(SECTION) {
        Some(section) => {
            take(session, turn, section);
            let session = session.clone();
            session
                .clone()
                .spawn(async move { complain(&session).await });
        }
        None if session.capabilities().configuration => {
            session.spawn(pull(session.clone(), turn));
        }
        // All of the settings, and our section is not among them any more.
        None if params.settings.is_object() => take(session, turn, &Value::Null),
        None => {}
    }
}

fn take(session: &Session, turn: Turn, section: &Value) {
    session.settings.take(turn, section);
    // The client may show pending hunks from now on.
    session.pending.mark(Dirty::Everything);
}

/// Tells what is wrong with what came first, and asks for the rest.
pub(crate) fn start(session: &Arc<Session>) {
    let turn = session.settings.turn();
    let session = session.clone();
    session.clone().spawn(async move {
        complain(&session).await;
        if session.capabilities().registers_configuration {
            register(&session).await;
        }
        if session.capabilities().configuration {
            pull(session.clone(), turn).await;
        }
        session.set_configured();
    });
}

/// Some clients tell of changes only where they have been asked to.
async fn register(session: &Session) {
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

/// Whether the client answers a question. By then it has done what it was at, and told of it.
pub(crate) async fn answers(session: &Session) -> bool {
    let asked = session.client.configuration(vec![section()]);
    let answer = tokio::time::timeout(session.config.reply_timeout, asked).await;
    answer.is_ok()
}

fn section() -> ConfigurationItem {
    ConfigurationItem {
        scope_uri: None,
        section: Some(SECTION.to_owned()),
    }
}

async fn pull(session: Arc<Session>, turn: Turn) {
    let asked = session.client.configuration(vec![section()]);
    match tokio::time::timeout(session.config.reply_timeout, asked).await {
        Ok(Ok(sections)) => {
            let section = sections.into_iter().next().unwrap_or_default();
            take(&session, turn, &section);
            complain(&session).await;
        }
        refused => tracing::debug!(?refused, "cannot read the editor's settings"),
    }
}

async fn complain(session: &Session) {
    let wrong = session.settings.complaints();
    if !wrong.is_empty() {
        session
            .warn(format!(
                "Invalid ClaudeCluster setting: {}. Correct it in your editor's settings; the other settings apply.",
                wrong.join("; ")
            ))
            .await;
    }
}
