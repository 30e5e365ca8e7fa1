//! Questions to the user, which can turn out to be settled while they stand there.

use std::collections::HashMap;

use lsp_types::{CancelNotification, CancelParams, MessageActionItem, MessageType};
use serde_json::json;
use tokio::sync::oneshot;
use tower::Service;
use tower_lsp::{
    Client,
    jsonrpc::{Id, Request},
};

use crate::words;

/// Resolves once a question is settled in another way: its [`Open`] end is gone.
pub(crate) type Settled = oneshot::Receiver<()>;

/// The end that keeps a question open.
pub(crate) type Open = oneshot::Sender<()>;

/// What the user has chosen; `None` where they closed the question, or the client asks nothing.
///
/// Where the question is `settled` meanwhile, the client is told that nobody waits for an answer. One that
/// heeds this closes it; in the others it goes on standing there, so an answer is still an answer, and
/// whoever carries it out says what has become of the matter.
pub(crate) async fn ask(
    client: &Client,
    message: &str,
    choices: &[&str],
    settled: Settled,
) -> Option<String> {
    let id = client.next_request_id();
    let action = |title: &&str| MessageActionItem {
        title: (*title).to_owned(),
        properties: HashMap::default(),
    };
    let actions: Vec<_> = choices.iter().map(action).collect();
    let question = Request::build("window/showMessageRequest")
        .params(json!({
            "type": MessageType::Info,
            "message": words::unlinked(message),
            "actions": actions,
        }))
        .id(id.clone())
        .finish();
    let mut answer = client.clone().call(question);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = settled => {
            withdraw(client, id).await;
            answer.await
        }
    };
    let (_, answer) = answer.ok().flatten()?.into_parts();
    let chosen = answer.and_then(|chosen| {
        let chosen: Option<MessageActionItem> = serde_json::from_value(chosen)
            .map_err(|error| tower_lsp::jsonrpc::Error::invalid_params(error.to_string()))?;
        Ok(chosen)
    });
    match chosen {
        Ok(chosen) => chosen.map(|chosen| chosen.title),
        Err(error) => {
            tracing::debug!(%error, "the editor did not ask the user");
            None
        }
    }
}

async fn withdraw(client: &Client, id: Id) {
    // The framework numbers its requests, and the protocol allows nothing larger.
    let Id::Number(id) = id else { return };
    let Ok(id) = i32::try_from(id) else { return };
    let params = CancelParams::new(id.into());
    client.send_notification::<CancelNotification>(params).await;
}
