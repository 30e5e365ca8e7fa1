//! One workspace in a real Neovim, in a second editor and on the disk at once.

use std::{
    collections::BTreeMap,
    io::{BufReader, Write},
    process::{Child, ChildStdin, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use claudecluster_e2e::{World, live::read_frame};
use serde_json::{Value, json};

use super::{counts, numbered, ok, propose, replace};

/// A second editor with documents of its own: it takes the server's edits as an editor does, and tells
/// of every change. Positions are those of ASCII.
struct Buffers {
    child: Child,
    shared: Arc<Shared>,
}

struct Shared {
    input: Mutex<ChildStdin>,
    documents: Mutex<BTreeMap<String, (i64, String)>>,
    changed: Condvar,
    answered: Mutex<i64>,
}

impl Buffers {
    fn start(world: &World) -> Self {
        let mut child = world
            .command(&["lsp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let shared = Arc::new(Shared {
            input: Mutex::new(child.stdin.take().unwrap()),
            documents: Mutex::default(),
            changed: Condvar::new(),
            answered: Mutex::new(0),
        });
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let reader = shared.clone();
        std::thread::spawn(move || {
            while let Some(message) = read_frame(&mut output) {
                reader.take(&message);
            }
        });
        let buffers = Self { child, shared };
        let root = format!("file://{}", world.root().display());
        let initialize = json!({
            "processId": std::process::id(),
            "rootUri": root,
            "workspaceFolders": [{"uri": root, "name": "project"}],
            "capabilities": {"workspace": {"applyEdit": true, "workspaceEdit": {"documentChanges": true}}},
        });
        buffers.request(1, "initialize", &initialize);
        buffers.shared.notify("initialized", &json!({}));
        buffers
    }

    /// Opens a document, and returns once the server has it.
    fn open(&self, world: &World, path: &str, text: &str) {
        let uri = format!("file://{}", world.path(path).display());
        let mut documents = self.shared.documents.lock().unwrap();
        documents.insert(uri.clone(), (1, text.to_owned()));
        drop(documents);
        let document = json!({"uri": uri, "languageId": "plaintext", "version": 1, "text": text});
        self.shared
            .notify("textDocument/didOpen", &json!({"textDocument": document}));
        self.request(2, "claudecluster/changes", &json!({}));
    }

    fn request(&self, id: i64, method: &str, params: &Value) {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.shared.send(&request);
        let answered = self.shared.answered.lock().unwrap();
        let (_guard, waited) = self
            .shared
            .changed
            .wait_timeout_while(answered, Duration::from_secs(60), |last| *last < id)
            .unwrap();
        assert!(!waited.timed_out(), "{method} was not answered");
    }

    fn text(&self, world: &World, path: &str) -> String {
        let uri = format!("file://{}", world.path(path).display());
        self.shared.documents.lock().unwrap()[&uri].1.clone()
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shared {
    fn send(&self, message: &Value) {
        let body = message.to_string();
        let mut input = self.input.lock().unwrap();
        // The server may have gone: whoever waits for an answer says so.
        let _ = write!(input, "Content-Length: {}\r\n\r\n{body}", body.len());
        let _ = input.flush();
    }

    fn notify(&self, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    fn take(&self, message: &Value) {
        let (method, id) = (&message["method"], &message["id"]);
        if method == "workspace/applyEdit" {
            for change in message["params"]["edit"]["documentChanges"]
                .as_array()
                .unwrap()
            {
                self.apply(change);
            }
            self.send(&json!({"jsonrpc": "2.0", "id": id, "result": {"applied": true}}));
        } else if !method.is_null() {
            if !id.is_null() {
                self.send(&json!({"jsonrpc": "2.0", "id": id, "result": null}));
            }
        } else if let Some(id) = id.as_i64() {
            *self.answered.lock().unwrap() = id;
            self.changed.notify_all();
        }
    }

    fn apply(&self, change: &Value) {
        let uri = change["textDocument"]["uri"].as_str().unwrap();
        let mut documents = self.documents.lock().unwrap();
        let (version, text) = documents.get_mut(uri).unwrap();
        assert_eq!(change["textDocument"]["version"], *version, "{change}");
        let offset = |text: &str, place: &Value| {
            let line = usize::try_from(place["line"].as_u64().unwrap()).unwrap();
            let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
            start + usize::try_from(place["character"].as_u64().unwrap()).unwrap()
        };
        let mut edits = change["edits"].as_array().unwrap().clone();
        edits.sort_by_key(|edit| std::cmp::Reverse(offset(text, &edit["range"]["start"])));
        for edit in &edits {
            let range = offset(text, &edit["range"]["start"])..offset(text, &edit["range"]["end"]);
            text.replace_range(range, edit["newText"].as_str().unwrap());
        }
        *version += 1;
        let params = json!({
            "textDocument": {"uri": uri, "version": *version},
            "contentChanges": [{"text": text}],
        });
        self.notify("textDocument/didChange", &params);
    }
}

#[test]
fn a_goal_is_reviewed_in_two_editors_and_on_the_disk() {
    let files = ["nvim.txt", "second.txt", "closed.txt"];
    let mut world =
        World::new(&files.map(|name| (name, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n")));
    let tasks: Vec<(&str, String)> = ["nvim", "second", "closed"]
        .iter()
        .map(|id| {
            (
                *id,
                replace(&format!("{id}.txt"), &[("5", "five"), ("9", "nine")]),
            )
        })
        .collect();
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, run)| (*id, run.as_str())).collect();
    let goal = propose(&world, &tasks);

    // The second editor has unsaved text; Neovim types its own, and gives the commands.
    let second = Buffers::start(&world);
    let unsaved = format!("unsaved\n{}", numbered(12));
    second.open(&world, "second.txt", &unsaved);
    let output = world.neovim("mixed.lua", &[&goal]);
    assert_eq!(output.status, 0, "{}", output.stderr);

    let landed = |text: &str| {
        text.replace("\n5\n", "\nfive\n")
            .replace("\n9\n", "\nnine\n")
    };
    assert_eq!(
        world.read("nvim.txt"),
        format!("typed first\n{}typed last\n", landed(&numbered(12)))
    );
    assert_eq!(second.text(&world, "second.txt"), landed(&unsaved));
    assert_eq!(world.read("second.txt"), numbered(12), "not saved");
    assert_eq!(world.read("closed.txt"), landed(&numbered(12)));
    assert_eq!(counts(&world, &goal)["landed"], 6);

    // Neovim has closed; what it had open is on the disk now, the second editor's is not.
    ok(&world, &["undo", &goal], 0);
    assert_eq!(
        world.read("nvim.txt"),
        format!("typed first\n{}typed last\n", numbered(12))
    );
    assert_eq!(second.text(&world, "second.txt"), unsaved);
    assert_eq!(world.read("second.txt"), numbered(12));
    assert_eq!(world.read("closed.txt"), numbered(12));
}
