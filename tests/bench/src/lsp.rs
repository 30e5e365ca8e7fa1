//! An editor, as far as measuring needs one.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{output::Result, world::World};

/// A running `claudecluster lsp`.
pub(crate) struct Editor {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    next: u64,
}

impl Editor {
    /// Starts the program and gives how long it took from there to the answer to `initialize`.
    pub(crate) fn start(world: &World) -> Result<(Self, Duration)> {
        let start = Instant::now();
        let mut child = world
            .command(&["lsp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the language server has no streams".into());
        };
        let mut editor = Self {
            child,
            to: Some(to),
            from: BufReader::new(from),
            next: 0,
        };
        let root = format!("file://{}", world.root.display());
        let params = json!({
            "processId": std::process::id(),
            "rootUri": root,
            "workspaceFolders": [{"uri": root, "name": "bench"}],
            "initializationOptions": {"pending": true},
            "capabilities": {
                "workspace": {"applyEdit": true, "workspaceEdit": {"documentChanges": true}},
                "textDocument": {"codeAction": {
                    "codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}},
                    "dataSupport": true,
                    "resolveSupport": {"properties": ["edit", "command"]},
                }},
                "window": {"workDoneProgress": true},
            },
        });
        editor.request("initialize", &params)?;
        let time = start.elapsed();
        editor.notify("initialized", &json!({}))?;
        Ok((editor, time))
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) -> Result {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }

    /// Sends a request and waits for its result, answering what the server asks meanwhile.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.next += 1;
        let id = json!(self.next);
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        loop {
            let mut message = self.receive()?;
            if message.get("method").is_some() {
                if let Some(asked) = message.get("id") {
                    let reply = json!({"jsonrpc": "2.0", "id": asked, "result": null});
                    self.send(&reply)?;
                }
            } else if message["id"] == id {
                if let Some(error) = message.get("error") {
                    return Err(format!("{method}: {error}").into());
                }
                return Ok(message["result"].take());
            }
        }
    }

    /// Waits for a notification and gives its parameters.
    pub(crate) fn told(&mut self, method: &str) -> Result<Value> {
        loop {
            let mut message = self.receive()?;
            if message["method"] == method {
                return Ok(message["params"].take());
            }
        }
    }

    fn send(&mut self, message: &Value) -> Result {
        let body = message.to_string();
        let to = self.to.as_mut().ok_or("the language server was ended")?;
        to.write_all(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
        Ok(to.flush()?)
    }

    fn receive(&mut self) -> Result<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.from.read_line(&mut line)? == 0 {
                return Err("the language server has hung up".into());
            }
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            if let Some(number) = line.strip_prefix("Content-Length: ") {
                length = number.parse()?;
            }
        }
        let mut body = vec![0; length];
        self.from.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Says goodbye and waits for the end.
    pub(crate) fn end(mut self) -> Result {
        self.request("shutdown", &Value::Null)?;
        self.notify("exit", &Value::Null)?;
        self.to = None;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        // It ends with its input; after `end` it has ended already.
        self.to = None;
        let _ = self.child.wait();
    }
}
