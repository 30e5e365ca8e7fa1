//! Questions to the user, which the server can withdraw while they are open.

use std::collections::HashMap;

use claudecluster_core::display_text::line as plain_text;
use lsp_types::{CancelNotification, CancelParams, MessageActionItem, MessageType};
use serde_json::json;
use tokio::sync::oneshot;
use tower::Service;
use tower_lsp::{
    Client,
    jsonrpc::{Id, Request},
};

/// Resolves when the question needs no answer any more: its [`OpenQuestion`] was dropped.
pub(crate) type QuestionSettled = oneshot::Receiver<()>;

/// Keeps a question open. Dropping it withdraws the question.
pub(crate) type OpenQuestion = oneshot::Sender<()>;

/// Asks the user to choose one of several titles.
///
/// Returns `None` if the user closed the question or the client does not show questions.
///
/// When `settled` resolves, the client is asked to withdraw the question. Few clients close it then, so
/// a later answer is still returned: the caller carries it out and reports that it came too late.
pub(crate) async fn ask_user(
    client: &Client,
    message: &str,
    choices: &[&str],
    settled: QuestionSettled,
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
            "message": plain_text::to_message(message),
            "actions": actions,
        }))
        .id(id.clone())
        .finish();
    let mut answer = client.clone().call(question);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = settled => {
            cancel_request(client, id).await;
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

/// Sends `$/cancelRequest` for a request of the server.
async fn cancel_request(client: &Client, id: Id) {
    // The framework numbers its requests, and the protocol allows no larger numbers.
    let Id::Number(id) = id else { return };
    let Ok(id) = i32::try_from(id) else { return };
    let params = CancelParams::new(id.into());
    client.send_notification::<CancelNotification>(params).await;
}
