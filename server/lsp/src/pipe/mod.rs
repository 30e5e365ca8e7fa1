//! What the editor's end of the pipe remembers, so that the editor never notices that the daemon
//! behind it has become another one.
//!
//! Architecture invariant: nothing here reads or writes. [`Mirror`] is told every message that passes
//! and says what is to be sent; the binary owns the streams.
//!
//! Nothing is kept but what a new connection has to be told to be in the place of the old one: the
//! `initialize` exchange, the settings and folders told since, and each open document's text with the
//! client's own version number.

mod frames;

use std::{
    collections::{HashMap, HashSet},
    mem,
};

use claudecluster_core::text::PositionEncoding;
use lsp_types::Uri;
use serde::Deserialize;
use serde_json::{Value, json};

pub use frames::{Frames, frame};

use crate::{
    documents::Documents,
    handlers::sync::{DidChange, DidClose, DidOpen},
    transport::from_json,
};

/// The answer to the replayed `initialize` is ours; no editor uses this id.
const REPLAYED: &str = "claudecluster/replay";
/// What an editor hears about a request that has to be made again: it does so by itself, or drops it.
const CONTENT_MODIFIED: i64 = -32801;
const REQUEST_CANCELLED: i64 = -32800;
const PARSE_ERROR: i64 = -32700;
/// What an editor shows to its user.
const REQUEST_FAILED: i64 = -32803;
const CANCEL: &str = "$/cancelRequest";
const EXECUTE: &str = "workspace/executeCommand";

/// Messages to send, as bodies without their frames.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// To the editor.
    pub editor: Vec<Vec<u8>>,
    /// To the daemon.
    pub daemon: Vec<Vec<u8>>,
}

/// How far the editor's side of the session has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It goes on.
    Open,
    /// The editor has said `shutdown`: another daemon is not worth starting.
    Closing,
    /// The editor has said `exit`.
    Exited,
}

/// One editor's session, as far as a new daemon has to know it.
#[derive(Default)]
pub struct Mirror {
    initialize: Option<Value>,
    initialized: bool,
    /// Settings and folders told since `initialize`, in their order: only the last settings count.
    told: Vec<Value>,
    documents: Documents,
    languages: HashMap<Uri, String>,
    encoding: Option<PositionEncoding>,
    /// The editor's requests that wait for an answer: their ids, with what was asked.
    waiting: Vec<(Value, String)>,
    /// How many daemons there were before this one.
    epoch: u32,
    connected: bool,
    /// Requests that came while there was no daemon.
    held: Vec<Vec<u8>>,
    /// Progress that has begun and not ended.
    progress: Vec<Value>,
    /// Questions of the daemon that stand open before the user, as the editor names them.
    questions: Vec<Value>,
    /// Those of daemons that are gone: whoever still answers one is told.
    moot: Vec<Value>,
    /// Capabilities that have been registered: registering one twice is an error for some editors.
    registered: HashSet<String>,
    stage: Option<Stage>,
}

/// What every message starts with. The rest is not read where nothing in it matters.
#[derive(Deserialize)]
struct Head {
    id: Option<Value>,
    method: Option<String>,
}

impl Mirror {
    /// For an editor whose first daemon is there.
    pub fn new() -> Self {
        Self {
            connected: true,
            ..Self::default()
        }
    }

    /// How far the editor's side has come.
    pub fn stage(&self) -> Stage {
        self.stage.unwrap_or(Stage::Open)
    }

    /// Takes a message of the editor. It goes to the daemon as it is, unless there is none.
    pub fn from_editor(&mut self, body: Vec<u8>) -> Outgoing {
        let Ok(message) = from_json(&body) else {
            // Whoever serves says what is wrong with it.
            return self.pass_on(body);
        };
        let method = message.get("method").and_then(Value::as_str);
        let id = message.get("id").cloned();
        match (method.map(str::to_owned), id) {
            (Some(method), Some(id)) => self.request(id, method, message, body),
            (Some(method), None) if method == CANCEL && !self.connected => {
                self.cancel(&message["params"]["id"])
            }
            (Some(method), None) => {
                self.notification(&method, message);
                self.pass_on(body)
            }
            (None, id) => self.reply(id.as_ref(), message, body),
        }
    }

    /// Notifications need no queue: what they tell is in the mirror, and told anew.
    fn pass_on(&self, body: Vec<u8>) -> Outgoing {
        Outgoing {
            daemon: if self.connected {
                vec![body]
            } else {
                Vec::new()
            },
            editor: Vec::new(),
        }
    }

    fn request(&mut self, id: Value, method: String, message: Value, body: Vec<u8>) -> Outgoing {
        match method.as_str() {
            "initialize" => self.initialize = Some(message),
            "shutdown" => {
                self.stage = Some(Stage::Closing);
                if !self.connected {
                    return to_editor(bytes(&done(&id)));
                }
            }
            // Told again by `replay`.
            _ if !self.connected => self.held.push(body.clone()),
            _ => {}
        }
        self.waiting.push((id, method));
        self.pass_on(body)
    }

    fn notification(&mut self, method: &str, mut message: Value) {
        let params = message.get_mut("params").map(Value::take);
        let params = params.unwrap_or_default();
        match method {
            "initialized" => self.initialized = true,
            "exit" => self.stage = Some(Stage::Exited),
            "workspace/didChangeConfiguration" => {
                self.told
                    .retain(|old| old["method"] != "workspace/didChangeConfiguration");
                message["params"] = params;
                self.told.push(message);
            }
            "workspace/didChangeWorkspaceFolders" => {
                message["params"] = params;
                self.told.push(message);
            }
            "textDocument/didOpen" => {
                let language = params["textDocument"]["languageId"].as_str();
                let language = language.unwrap_or_default().to_owned();
                if let Ok(opened) = serde_json::from_value::<DidOpen>(params) {
                    self.languages
                        .insert(opened.apply(&self.documents), language);
                }
            }
            "textDocument/didChange" => {
                if let Ok(changed) = serde_json::from_value::<DidChange>(params) {
                    changed.apply(&self.documents, self.encoding());
                }
            }
            "textDocument/didClose" => {
                if let Ok(closed) = serde_json::from_value::<DidClose>(params) {
                    self.languages.remove(&closed.apply(&self.documents));
                }
            }
            _ => {}
        }
    }

    /// A request that waits for a daemon need not be made at all.
    fn cancel(&mut self, id: &Value) -> Outgoing {
        let before = self.held.len();
        self.held
            .retain(|body| from_json(body).is_ok_and(|message| message.get("id") != Some(id)));
        if self.held.len() == before {
            return Outgoing::default();
        }
        self.waiting.retain(|(waiting, _)| waiting != id);
        to_editor(bytes(&error(id, REQUEST_CANCELLED, "cancelled")))
    }

    /// The editor's answer to a request of a daemon: of this one, or of one that is gone.
    fn reply(&mut self, id: Option<&Value>, mut message: Value, body: Vec<u8>) -> Outgoing {
        self.questions.retain(|open| Some(open) != id);
        if self.epoch == 0 {
            return self.pass_on(body);
        }
        let own = id.and_then(|id| self.own_id(id));
        let Some(own) = own else {
            let before = self.moot.len();
            self.moot.retain(|moot| Some(moot) != id);
            let chosen = message
                .get("result")
                .is_some_and(|chosen| !chosen.is_null());
            return if chosen && self.moot.len() < before {
                to_editor(bytes(&too_late()))
            } else {
                Outgoing::default()
            };
        };
        message["id"] = own;
        self.pass_on(bytes(&message))
    }

    fn encoding(&self) -> PositionEncoding {
        self.encoding.unwrap_or(PositionEncoding::Utf16)
    }

    /// Takes a message of the daemon.
    pub fn from_daemon(&mut self, body: Vec<u8>) -> Outgoing {
        let Ok(head) = serde_json::from_slice::<Head>(&body) else {
            return to_editor(body);
        };
        match (head.method, head.id) {
            (None, Some(id)) => self.answered(&id, body),
            (Some(method), Some(id)) => self.asked(&method, &id, body),
            (Some(method), None) if method == "$/progress" => {
                self.progressed(&body);
                to_editor(body)
            }
            (Some(method), None) if method == CANCEL => self.withdrawn(body),
            _ => to_editor(body),
        }
    }

    /// The daemon takes a request of its own back.
    fn withdrawn(&self, body: Vec<u8>) -> Outgoing {
        if self.epoch == 0 {
            return to_editor(body);
        }
        let Ok(mut message) = from_json(&body) else {
            return to_editor(body);
        };
        message["params"]["id"] = self.foreign_id(&message["params"]["id"]);
        to_editor(bytes(&message))
    }

    fn answered(&mut self, id: &Value, body: Vec<u8>) -> Outgoing {
        if *id == REPLAYED {
            return Outgoing::default();
        }
        let at = self.waiting.iter().position(|(waiting, _)| waiting == id);
        if let Some(at) = at
            && self.waiting.remove(at).1 == "initialize"
        {
            self.encoding = encoding_of(&body);
        }
        to_editor(body)
    }

    /// A request of the daemon. Daemons count from the same number, so those of a later one get names
    /// of their own.
    fn asked(&mut self, method: &str, id: &Value, body: Vec<u8>) -> Outgoing {
        let Ok(mut message) = from_json(&body) else {
            return to_editor(body);
        };
        if method == "client/registerCapability" {
            let news = self.register(&message);
            if !news {
                return Outgoing {
                    daemon: vec![bytes(&done(id))],
                    editor: Vec::new(),
                };
            }
        }
        let name = match self.epoch {
            0 => id.clone(),
            _ => self.foreign_id(id),
        };
        if method == "window/showMessageRequest" {
            self.questions.push(name.clone());
        }
        if self.epoch == 0 {
            return to_editor(body);
        }
        message["id"] = name;
        to_editor(bytes(&message))
    }

    /// Whether the daemon registers anything that the editor does not know yet.
    fn register(&mut self, message: &Value) -> bool {
        let wanted = message["params"]["registrations"].as_array();
        let ids = wanted.into_iter().flatten();
        let ids: Vec<&str> = ids.filter_map(|one| one["id"].as_str()).collect();
        let mut news = ids.is_empty();
        for id in ids {
            news |= self.registered.insert(id.to_owned());
        }
        news
    }

    fn progressed(&mut self, body: &[u8]) {
        let Ok(message) = from_json(body) else {
            return;
        };
        let token = message["params"]["token"].clone();
        match message["params"]["value"]["kind"].as_str() {
            Some("begin") => self.progress.push(token),
            Some("end") => self.progress.retain(|open| *open != token),
            _ => {}
        }
    }

    fn foreign_id(&self, id: &Value) -> Value {
        json!(format!("{}/{id}", self.epoch))
    }

    /// What this daemon calls a request the editor answers; `None` if another daemon made it.
    fn own_id(&self, id: &Value) -> Option<Value> {
        let (epoch, own) = id.as_str()?.split_once('/')?;
        if epoch.parse() != Ok(self.epoch) {
            return None;
        }
        serde_json::from_str(own).ok()
    }

    /// The daemon is gone. What waits for it is answered, and what it showed is taken down.
    pub fn lost(&mut self) -> Outgoing {
        self.connected = false;
        self.epoch += 1;
        let mut out = Outgoing::default();
        for token in mem::take(&mut self.progress) {
            let ended = json!({"jsonrpc": "2.0", "method": "$/progress",
                "params": {"token": token, "value": {"kind": "end"}}});
            out.editor.push(bytes(&ended));
        }
        // Nobody waits for what the user says to these. The next daemon asks anew what is still open.
        let questions = mem::take(&mut self.questions);
        out.editor.extend(
            questions.iter().map(|id| {
                bytes(&json!({"jsonrpc": "2.0", "method": CANCEL, "params": {"id": id}}))
            }),
        );
        self.moot.extend(questions);
        let waiting = mem::take(&mut self.waiting);
        for (id, method) in waiting {
            if method == "initialize" {
                // The editor has not heard of any server yet: this one it will.
                self.waiting.push((id, method));
                continue;
            }
            out.editor.push(bytes(&match method.as_str() {
                "shutdown" => done(&id),
                _ => failed(&id, &method),
            }));
        }
        out
    }

    /// Another daemon is there: what it has to be told.
    pub fn replay(&mut self) -> Outgoing {
        self.connected = true;
        let mut out = Outgoing::default();
        let Some(initialize) = &self.initialize else {
            return out;
        };
        let mut initialize = initialize.clone();
        let answered = self.waiting.iter().all(|(_, of)| of != "initialize");
        if answered {
            initialize["id"] = json!(REPLAYED);
        }
        out.daemon.push(bytes(&initialize));
        if self.initialized {
            let initialized = json!({"jsonrpc": "2.0", "method": "initialized", "params": {}});
            out.daemon.push(bytes(&initialized));
        }
        out.daemon.extend(self.told.iter().map(bytes));
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
            out.daemon.push(bytes(&opened));
        }
        out.daemon.append(&mut self.held);
        out
    }

    /// Nobody serves any more: the requests that wait are answered with this error.
    pub fn give_up(&mut self, why: &str) -> Outgoing {
        let waiting = mem::take(&mut self.waiting).into_iter();
        let error = |(id, _)| bytes(&error(&id, REQUEST_FAILED, why));
        Outgoing {
            editor: waiting.map(error).collect(),
            daemon: Vec::new(),
        }
    }
}

/// The answer to something that is no message.
pub fn malformed(why: &str) -> Vec<u8> {
    bytes(&error(&Value::Null, PARSE_ERROR, why))
}

/// What an editor hears about a request whose daemon is gone.
fn failed(id: &Value, method: &str) -> Value {
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
    error(id, code, message)
}

fn error(id: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// What the user hears who answers a question of a daemon that is gone.
fn too_late() -> Value {
    let message = "the daemon restarted after this question, so your answer was not used; open \
                   questions are asked again";
    // 3 is information.
    json!({"jsonrpc": "2.0", "method": "window/showMessage", "params": {"type": 3, "message": message}})
}

fn done(id: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": null})
}

fn to_editor(body: Vec<u8>) -> Outgoing {
    Outgoing {
        editor: vec![body],
        daemon: Vec::new(),
    }
}

fn bytes(message: &Value) -> Vec<u8> {
    message.to_string().into_bytes()
}

fn encoding_of(answer: &[u8]) -> Option<PositionEncoding> {
    let answer = from_json(answer).ok()?;
    match answer["result"]["capabilities"]["positionEncoding"].as_str() {
        Some("utf-8") => Some(PositionEncoding::Utf8),
        Some("utf-32") => Some(PositionEncoding::Utf32),
        _ => Some(PositionEncoding::Utf16),
    }
}

#[cfg(test)]
mod tests;
