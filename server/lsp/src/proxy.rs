//! The memory of `claudecluster lsp`, which hides the restart of a daemon from its editor.
//!
//! Architecture invariant: this module does not read or write. [`SessionReplay`] receives every message
//! that passes and returns the messages to send; the binary owns the streams.
//!
//! It keeps only what a new daemon needs to continue the session:
//! - the `initialize` exchange;
//! - the settings and folders that the editor has sent since;
//! - the text of each open document, with the client's own version number.

mod frames;

use std::{
    collections::{HashMap, HashSet},
    mem,
};

use claudecluster_core::text::PositionEncoding;
use lsp_types::Uri;
use serde::Deserialize;
use serde_json::{Value, json};

pub use frames::{FrameStream, encode_frame};

use crate::{
    documents::OpenDocuments,
    handlers::sync::{DocumentChanged, DocumentClosed, DocumentOpened},
    transport::message::parse_json,
};

/// The id of the replayed `initialize`, whose reply is not passed on. No editor uses this id.
const REPLAYED: &str = "claudecluster/replay";
/// The error for a request that the editor should repeat. The editor repeats or drops it silently.
const CONTENT_MODIFIED: i64 = -32801;
const REQUEST_CANCELLED: i64 = -32800;
const PARSE_ERROR: i64 = -32700;
/// The error for a failed request, which the editor shows to its user.
const REQUEST_FAILED: i64 = -32803;
const CANCEL: &str = "$/cancelRequest";
const EXECUTE: &str = "workspace/executeCommand";

/// The messages to send, as bodies without their frames.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct ProxyOutput {
    /// Messages to the editor.
    pub editor: Vec<Vec<u8>>,
    /// Messages to the daemon.
    pub daemon: Vec<Vec<u8>>,
}

/// The stage of an editor's session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EditorStage {
    /// The session continues.
    Open,
    /// The editor has sent `shutdown`, so no other daemon is needed.
    Closing,
    /// The editor has sent `exit`.
    Exited,
}

/// The part of an editor's session that a new daemon has to know.
#[derive(Default)]
pub struct SessionReplay {
    initialize: Option<Value>,
    initialized: bool,
    /// Notifications about settings and folders since `initialize`, in their order. Only the last
    /// settings are kept.
    notifications: Vec<Value>,
    documents: OpenDocuments,
    languages: HashMap<Uri, String>,
    encoding: Option<PositionEncoding>,
    /// The editor's requests that wait for a reply, each with its method.
    waiting: Vec<(Value, String)>,
    /// The number of daemons before the current one.
    epoch: u32,
    connected: bool,
    /// Requests that arrived while no daemon was connected.
    deferred: Vec<Vec<u8>>,
    /// The tokens of progress that has begun and not ended.
    progress: Vec<Value>,
    /// Open questions of the current daemon, by the ids that the editor knows.
    questions: Vec<Value>,
    /// Open questions of earlier daemons. The user is told if an answer comes too late.
    orphaned_questions: Vec<Value>,
    /// The registered capabilities: some editors refuse a second registration.
    registered: HashSet<String>,
    stage: Option<EditorStage>,
}

/// The head of a message. Most messages of the daemon are passed on without reading the rest.
#[derive(Deserialize)]
struct MessageHead {
    id: Option<Value>,
    method: Option<String>,
}

impl SessionReplay {
    /// Creates the memory of an editor whose first daemon is connected.
    pub fn new() -> Self {
        Self {
            connected: true,
            ..Self::default()
        }
    }

    /// Returns the stage of the session.
    pub fn stage(&self) -> EditorStage {
        self.stage.unwrap_or(EditorStage::Open)
    }

    /// Handles a message of the editor, which is passed on if a daemon is connected.
    pub fn handle_editor(&mut self, body: Vec<u8>) -> ProxyOutput {
        let Ok(message) = parse_json(&body) else {
            // The daemon replies that the message is malformed.
            return self.pass_on(body);
        };
        let method = message.get("method").and_then(Value::as_str);
        let id = message.get("id").cloned();
        match (method.map(str::to_owned), id) {
            (Some(method), Some(id)) => self.handle_request(id, method, message, body),
            (Some(method), None) if method == CANCEL && !self.connected => {
                self.cancel_deferred(&message["params"]["id"])
            }
            (Some(method), None) => {
                self.record_notification(&method, message);
                self.pass_on(body)
            }
            (None, id) => self.handle_reply(id.as_ref(), message, body),
        }
    }

    /// Passes a message on if a daemon is connected.
    ///
    /// Notifications are not queued: their content is recorded, and replayed.
    fn pass_on(&self, body: Vec<u8>) -> ProxyOutput {
        ProxyOutput {
            daemon: if self.connected {
                vec![body]
            } else {
                Vec::new()
            },
            editor: Vec::new(),
        }
    }

    fn handle_request(
        &mut self,
        id: Value,
        method: String,
        message: Value,
        body: Vec<u8>,
    ) -> ProxyOutput {
        match method.as_str() {
            "initialize" => self.initialize = Some(message),
            "shutdown" => {
                self.stage = Some(EditorStage::Closing);
                if !self.connected {
                    return to_editor(to_bytes(&null_reply(&id)));
                }
            }
            _ if !self.connected => self.deferred.push(body.clone()),
            _ => {}
        }
        self.waiting.push((id, method));
        self.pass_on(body)
    }

    fn record_notification(&mut self, method: &str, mut message: Value) {
        let params = message.get_mut("params").map(Value::take);
        let params = params.unwrap_or_default();
        match method {
            "initialized" => self.initialized = true,
            "exit" => self.stage = Some(EditorStage::Exited),
            "workspace/didChangeConfiguration" => {
                self.notifications
                    .retain(|old| old["method"] != "workspace/didChangeConfiguration");
                message["params"] = params;
                self.notifications.push(message);
            }
            "workspace/didChangeWorkspaceFolders" => {
                message["params"] = params;
                self.notifications.push(message);
            }
            "textDocument/didOpen" => {
                let language = params["textDocument"]["languageId"].as_str();
                let language = language.unwrap_or_default().to_owned();
                if let Ok(opened) = serde_json::from_value::<DocumentOpened>(params) {
                    self.languages
                        .insert(opened.apply(&self.documents), language);
                }
            }
            "textDocument/didChange" => {
                if let Ok(changed) = serde_json::from_value::<DocumentChanged>(params) {
                    changed.apply(&self.documents, self.encoding());
                }
            }
            "textDocument/didClose" => {
                if let Ok(closed) = serde_json::from_value::<DocumentClosed>(params) {
                    self.languages.remove(&closed.apply(&self.documents));
                }
            }
            _ => {}
        }
    }

    /// Cancels a request that waits for a daemon.
    fn cancel_deferred(&mut self, id: &Value) -> ProxyOutput {
        let before = self.deferred.len();
        self.deferred
            .retain(|body| parse_json(body).is_ok_and(|message| message.get("id") != Some(id)));
        if self.deferred.len() == before {
            return ProxyOutput::default();
        }
        self.waiting.retain(|(waiting, _)| waiting != id);
        to_editor(to_bytes(&error_reply(id, REQUEST_CANCELLED, "cancelled")))
    }

    /// Handles the editor's reply to a request of the current daemon or of an earlier one.
    fn handle_reply(
        &mut self,
        id: Option<&Value>,
        mut message: Value,
        body: Vec<u8>,
    ) -> ProxyOutput {
        self.questions.retain(|open| Some(open) != id);
        if self.epoch == 0 {
            return self.pass_on(body);
        }
        let own = id.and_then(|id| self.daemon_id(id));
        let Some(own) = own else {
            let before = self.orphaned_questions.len();
            self.orphaned_questions.retain(|open| Some(open) != id);
            let chosen = message
                .get("result")
                .is_some_and(|chosen| !chosen.is_null());
            return if chosen && self.orphaned_questions.len() < before {
                to_editor(to_bytes(&too_late_message()))
            } else {
                ProxyOutput::default()
            };
        };
        message["id"] = own;
        self.pass_on(to_bytes(&message))
    }

    fn encoding(&self) -> PositionEncoding {
        self.encoding.unwrap_or(PositionEncoding::Utf16)
    }

    /// Handles a message of the daemon, which is passed on unless it concerns the replay.
    pub fn handle_daemon(&mut self, body: Vec<u8>) -> ProxyOutput {
        let Ok(head) = serde_json::from_slice::<MessageHead>(&body) else {
            return to_editor(body);
        };
        match (head.method, head.id) {
            (None, Some(id)) => self.handle_daemon_reply(&id, body),
            (Some(method), Some(id)) => self.handle_daemon_request(&method, &id, body),
            (Some(method), None) if method == "$/progress" => {
                self.record_progress(&body);
                to_editor(body)
            }
            (Some(method), None) if method == CANCEL => self.rename_cancelled(body),
            _ => to_editor(body),
        }
    }

    /// Passes on the daemon's cancellation of a request, with the id that the editor knows.
    fn rename_cancelled(&self, body: Vec<u8>) -> ProxyOutput {
        if self.epoch == 0 {
            return to_editor(body);
        }
        let Ok(mut message) = parse_json(&body) else {
            return to_editor(body);
        };
        message["params"]["id"] = self.editor_id(&message["params"]["id"]);
        to_editor(to_bytes(&message))
    }

    fn handle_daemon_reply(&mut self, id: &Value, body: Vec<u8>) -> ProxyOutput {
        if *id == REPLAYED {
            return ProxyOutput::default();
        }
        let at = self.waiting.iter().position(|(waiting, _)| waiting == id);
        if let Some(at) = at
            && self.waiting.remove(at).1 == "initialize"
        {
            self.encoding = read_encoding(&body);
        }
        to_editor(body)
    }

    /// Passes on a request of the daemon.
    ///
    /// All daemons count from the same number, so the requests of a later daemon get other ids.
    fn handle_daemon_request(&mut self, method: &str, id: &Value, body: Vec<u8>) -> ProxyOutput {
        let Ok(mut message) = parse_json(&body) else {
            return to_editor(body);
        };
        if method == "client/registerCapability" {
            let is_new = self.record_registrations(&message);
            if !is_new {
                return ProxyOutput {
                    daemon: vec![to_bytes(&null_reply(id))],
                    editor: Vec::new(),
                };
            }
        }
        let name = match self.epoch {
            0 => id.clone(),
            _ => self.editor_id(id),
        };
        if method == "window/showMessageRequest" {
            self.questions.push(name.clone());
        }
        if self.epoch == 0 {
            return to_editor(body);
        }
        message["id"] = name;
        to_editor(to_bytes(&message))
    }

    /// Records registrations. Returns whether any of them is new to the editor.
    fn record_registrations(&mut self, message: &Value) -> bool {
        let registrations = message["params"]["registrations"].as_array();
        let ids = registrations.into_iter().flatten();
        let ids: Vec<&str> = ids.filter_map(|one| one["id"].as_str()).collect();
        let mut is_new = ids.is_empty();
        for id in ids {
            is_new |= self.registered.insert(id.to_owned());
        }
        is_new
    }

    fn record_progress(&mut self, body: &[u8]) {
        let Ok(message) = parse_json(body) else {
            return;
        };
        let token = message["params"]["token"].clone();
        match message["params"]["value"]["kind"].as_str() {
            Some("begin") => self.progress.push(token),
            Some("end") => self.progress.retain(|open| *open != token),
            _ => {}
        }
    }

    /// Returns the id by which the editor knows a request of the current daemon.
    fn editor_id(&self, id: &Value) -> Value {
        json!(format!("{}/{id}", self.epoch))
    }

    /// Returns the current daemon's id of a request; `None` if an earlier daemon made the request.
    fn daemon_id(&self, id: &Value) -> Option<Value> {
        let (epoch, own) = id.as_str()?.split_once('/')?;
        if epoch.parse() != Ok(self.epoch) {
            return None;
        }
        serde_json::from_str(own).ok()
    }

    /// Handles the loss of the daemon: replies to waiting requests, ends progress, withdraws questions.
    pub fn handle_loss(&mut self) -> ProxyOutput {
        self.connected = false;
        self.epoch += 1;
        let mut out = ProxyOutput::default();
        for token in mem::take(&mut self.progress) {
            let ended = json!({"jsonrpc": "2.0", "method": "$/progress",
                "params": {"token": token, "value": {"kind": "end"}}});
            out.editor.push(to_bytes(&ended));
        }
        // The next daemon repeats the questions that are still open.
        let questions = mem::take(&mut self.questions);
        out.editor.extend(questions.iter().map(|id| {
            to_bytes(&json!({"jsonrpc": "2.0", "method": CANCEL, "params": {"id": id}}))
        }));
        self.orphaned_questions.extend(questions);
        let waiting = mem::take(&mut self.waiting);
        for (id, method) in waiting {
            if method == "initialize" {
                // The next daemon replies to the `initialize` of the editor.
                self.waiting.push((id, method));
                continue;
            }
            out.editor.push(to_bytes(&match method.as_str() {
                "shutdown" => null_reply(&id),
                _ => restart_reply(&id, &method),
            }));
        }
        out
    }

    /// Returns the messages that bring a new daemon to the state of the session.
    pub fn replay_session(&mut self) -> ProxyOutput {
        self.connected = true;
        let mut out = ProxyOutput::default();
        let Some(initialize) = &self.initialize else {
            return out;
        };
        let mut initialize = initialize.clone();
        let answered = self.waiting.iter().all(|(_, of)| of != "initialize");
        if answered {
            initialize["id"] = json!(REPLAYED);
        }
        out.daemon.push(to_bytes(&initialize));
        if self.initialized {
            let initialized = json!({"jsonrpc": "2.0", "method": "initialized", "params": {}});
            out.daemon.push(to_bytes(&initialized));
        }
        out.daemon.extend(self.notifications.iter().map(to_bytes));
        for document in self.documents.all() {
            let language = self.languages.get(&document.uri);
            let opened = json!({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {
                "textDocument": {
                    "uri": document.uri,
                    "languageId": language,
                    "version": document.version,
                    "text": document.text.to_string(),
                },
            }});
            out.daemon.push(to_bytes(&opened));
        }
        out.daemon.append(&mut self.deferred);
        out
    }

    /// Replies to all waiting requests with an error, because there is no daemon any more.
    pub fn give_up(&mut self, why: &str) -> ProxyOutput {
        let waiting = mem::take(&mut self.waiting).into_iter();
        let error = |(id, _)| to_bytes(&error_reply(&id, REQUEST_FAILED, why));
        ProxyOutput {
            editor: waiting.map(error).collect(),
            daemon: Vec::new(),
        }
    }
}

/// Creates the reply to a request whose daemon is gone.
fn restart_reply(id: &Value, method: &str) -> Value {
    let (code, message) = if method == EXECUTE {
        let message = "the daemon restarted before it responded; review the pending changes, \
                       then run the command again if needed";
        (REQUEST_FAILED, message)
    } else {
        (
            CONTENT_MODIFIED,
            "the daemon restarted; send the request again",
        )
    };
    error_reply(id, code, message)
}

fn error_reply(id: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// Creates the message to a user who answers a question of an earlier daemon.
fn too_late_message() -> Value {
    let message = "the daemon restarted after this question, so your answer was not used; open \
                   questions are asked again";
    // 3 is information.
    json!({"jsonrpc": "2.0", "method": "window/showMessage", "params": {"type": 3, "message": message}})
}

fn null_reply(id: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": null})
}

fn to_editor(body: Vec<u8>) -> ProxyOutput {
    ProxyOutput {
        editor: vec![body],
        daemon: Vec::new(),
    }
}

fn to_bytes(message: &Value) -> Vec<u8> {
    message.to_string().into_bytes()
}

fn read_encoding(answer: &[u8]) -> Option<PositionEncoding> {
    let answer = parse_json(answer).ok()?;
    match answer["result"]["capabilities"]["positionEncoding"].as_str() {
        Some("utf-8") => Some(PositionEncoding::Utf8),
        Some("utf-32") => Some(PositionEncoding::Utf32),
        _ => Some(PositionEncoding::Utf16),
    }
}

#[cfg(test)]
mod tests;
