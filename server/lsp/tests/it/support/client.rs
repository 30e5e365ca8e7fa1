//! A client that speaks raw JSON over a pipe in memory.

use std::{collections::VecDeque, sync::Arc};

use claudecluster_lsp::{ExitStatus, LspConfig, serve};
use claudecluster_service::EditorService;
use serde_json::{Value, json};
use tokio::{
    io::{
        AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf,
    },
    task::JoinHandle,
};

pub(crate) struct Client {
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
    server: JoinHandle<ExitStatus>,
    next_id: i64,
    /// Read while something else was waited for.
    waiting: VecDeque<Value>,
}

/// What an editor with everything sends.
pub(crate) fn capable() -> Value {
    json!({
        "workspace": {
            "applyEdit": true,
            "workspaceEdit": {"documentChanges": true},
        },
        "textDocument": {"codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}},
            "dataSupport": true,
            "resolveSupport": {"properties": ["edit", "command"]},
        }},
        "window": {"workDoneProgress": true},
    })
}

impl Client {
    /// Connected, nothing sent yet.
    pub(crate) fn connect(backend: Arc<dyn EditorService>) -> Self {
        Self::connect_with(backend, LspConfig::default())
    }

    pub(crate) fn connect_with(backend: Arc<dyn EditorService>, config: LspConfig) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (reader, writer) = tokio::io::split(theirs);
        let server = tokio::spawn(serve(reader, writer, backend, config));
        let (reader, writer) = tokio::io::split(ours);
        Self {
            reader: BufReader::new(reader),
            writer,
            server,
            next_id: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Initialized, with `/w` as the workspace.
    pub(crate) async fn start(backend: Arc<dyn EditorService>) -> Self {
        let mut client = Self::connect(backend);
        let folders = json!([{"uri": "file:///w", "name": "w"}]);
        client
            .initialize(json!({"capabilities": capable(), "workspaceFolders": folders}))
            .await;
        client
    }

    pub(crate) async fn initialize(&mut self, params: Value) -> Value {
        let result = self.request("initialize", params).await["result"].clone();
        self.notify("initialized", json!({})).await;
        result
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        let body = message.to_string();
        self.raw(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
            .await;
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
            .await;
    }

    /// Sends a request and does not wait. Returns its id.
    pub(crate) async fn start_request(&mut self, method: &str, params: Value) -> i64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
        id
    }

    /// Sends a request and waits for its reply, errors included.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.start_request(method, params).await;
        self.reply(id).await
    }

    pub(crate) async fn reply(&mut self, id: i64) -> Value {
        self.wait_for(|message| message["id"] == id && message.get("method").is_none())
            .await
    }

    /// The next message of the server with this method.
    pub(crate) async fn told(&mut self, method: &str) -> Value {
        self.wait_for(|message| message["method"] == method).await
    }

    /// Whether a message with this method came while something else was waited for.
    pub(crate) fn has(&self, method: &str) -> bool {
        self.waiting
            .iter()
            .any(|message| message["method"] == method)
    }

    pub(crate) async fn answer(&mut self, request: &Value, result: Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}))
            .await;
    }

    pub(crate) async fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(at).unwrap();
        }
        loop {
            let message = self.read().await.expect("the server goes on");
            if wanted(&message) {
                return message;
            }
            self.waiting.push_back(message);
        }
    }

    /// The next message; `None` at the end.
    pub(crate) async fn read(&mut self) -> Option<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).await.unwrap() == 0 {
                return None;
            }
            match line.trim().split_once(": ") {
                Some((_, value)) => length = value.parse().unwrap(),
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).await.unwrap();
        Some(serde_json::from_slice(&body).unwrap())
    }

    pub(crate) async fn open(&mut self, uri: &str, version: i32, text: &str) {
        let document = json!({"uri": uri, "languageId": "rust", "version": version, "text": text});
        self.notify("textDocument/didOpen", json!({ "textDocument": document }))
            .await;
    }

    /// Replaces the whole text.
    pub(crate) async fn change(&mut self, uri: &str, version: i32, text: &str) {
        let params = json!({
            "textDocument": {"uri": uri, "version": version},
            "contentChanges": [{"text": text}],
        });
        self.notify("textDocument/didChange", params).await;
    }

    pub(crate) async fn command(&mut self, name: &str, argument: Value) -> Value {
        let params = json!({"command": name, "arguments": [argument]});
        self.request("workspace/executeCommand", params).await
    }

    /// Says nothing more.
    pub(crate) async fn hang_up(&mut self) {
        self.writer.shutdown().await.unwrap();
    }

    pub(crate) async fn ended(self) -> ExitStatus {
        // Both halves: the server's last words need somebody to read them.
        let Self {
            reader,
            writer,
            server,
            ..
        } = self;
        let status = server.await.unwrap();
        drop((reader, writer));
        status
    }
}
