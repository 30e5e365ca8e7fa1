//! Commands that are followed while they run, editors, and what other processes do.

use std::{
    fs,
    io::{BufRead, BufReader, Lines, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{Said, World, places};

/// A `claudecluster` command that prints JSON lines and still runs.
pub struct Live {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it has printed so far.
    pub seen: Vec<Value>,
}

impl Live {
    /// Starts it.
    pub fn start(world: &World, args: &[&str]) -> Self {
        let mut child = world
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Starts a goal.
    pub fn plan(world: &World, plan: &Value, more: &[&str]) -> Self {
        let file = world.plan(plan);
        Self::start(world, &[&["run", "--json", "--plan", &file], more].concat())
    }

    /// The next event that `wanted` accepts.
    #[track_caller]
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let Some(line) = self.lines.next() else {
                let mut stderr = String::new();
                let _ = self
                    .child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut stderr);
                panic!("it ended before that: {:#?}\n{stderr}", self.seen);
            };
            let line = line.unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            self.seen.push(event.clone());
            if wanted(&event) {
                return event;
            }
        }
    }

    /// The next event of this type.
    #[track_caller]
    pub fn event(&mut self, kind: &str) -> Value {
        self.until(|event| event["type"] == kind)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        kill(self.child.id(), signal);
    }

    /// What it has said in all once it has ended.
    pub fn end(mut self) -> Said {
        let rest: Vec<Value> = self
            .lines
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        self.seen.extend(rest);
        let mut stderr = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        let lines: Vec<String> = self.seen.iter().map(Value::to_string).collect();
        Said {
            status: self.child.wait().unwrap().code().unwrap_or(-1),
            stdout: lines.join("\n"),
            stderr,
        }
    }
}

impl World {
    /// The process id of the daemon that runs.
    #[track_caller]
    pub fn daemon(&self) -> u32 {
        let said = self.run(&["daemon", "status", "--json"]).expect(0);
        u32::try_from(said.json()[0]["pid"].as_u64().unwrap()).unwrap()
    }

    /// Kills the daemon with -9 and returns once it is gone.
    #[track_caller]
    pub fn kill_daemon(&self) {
        let pid = self.daemon();
        kill(pid, "KILL");
        wait_for("the end of the daemon", || gone(pid));
    }

    /// One goal as `show --json` prints it.
    #[track_caller]
    pub fn goal(&self, goal: &str) -> Value {
        self.run(&["show", goal, "--json"])
            .expect(0)
            .json()
            .remove(0)
    }
}

/// Sends a signal, by its name.
pub fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill -{signal} {pid}");
}

/// Whether a process has ended. One that nobody has reaped yet has.
pub fn gone(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    let state = stat.rsplit(") ").next().unwrap_or_default();
    state.starts_with('Z') || state.starts_with('X')
}

/// How many processes, of anybody and in any sandbox, have `tag` as a word of their command line and are
/// called `sleep`.
pub fn sleepers(tag: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| {
            let words: Vec<&[u8]> = line.split(|&b| b == 0).collect();
            words.first().is_some_and(|w| w.ends_with(b"sleep")) && words.contains(&tag.as_bytes())
        })
        .count()
}

/// Waits for what another process does where there is no event to wait for from outside.
#[track_caller]
pub fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if there() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come within a minute");
}

/// An editor without a screen: it answers what the server asks and applies no edits.
pub struct Editor {
    child: Child,
    input: ChildStdin,
    answers: Receiver<Value>,
    last: i64,
    /// What the server has said of itself: notifications and requests.
    pub heard: Vec<Value>,
}

impl Editor {
    /// Starts `claudecluster lsp` for the world's workspace.
    pub fn start(world: &World) -> Self {
        Self::start_with(world, &json!({}))
    }

    /// The same, for an editor that can do this.
    pub fn start_with(world: &World, capabilities: &Value) -> Self {
        let mut child = world
            .command(&["lsp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (send, answers) = channel();
        std::thread::spawn(move || {
            while let Some(message) = read_frame(&mut output) {
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let mut editor = Self {
            child,
            input,
            answers,
            last: 0,
            heard: Vec::new(),
        };
        let root = format!("file://{}", world.root().display());
        let params = json!({
            "processId": std::process::id(),
            "rootUri": root,
            "workspaceFolders": [{"uri": root, "name": "project"}],
            "capabilities": capabilities,
        });
        editor.request("initialize", &params);
        editor.notify("initialized", &json!({}));
        editor
    }

    /// The process id of `claudecluster lsp`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens a document with this text.
    pub fn open(&mut self, world: &World, path: &str, text: &str) {
        let uri = format!("file://{}", world.path(path).display());
        let document = json!({"uri": uri, "languageId": "plaintext", "version": 1, "text": text});
        self.notify("textDocument/didOpen", &json!({"textDocument": document}));
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Sends a request and returns the whole answer; meanwhile answers the server's own requests.
    pub fn request(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let id = self.last;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let message = self.answers.recv().unwrap();
            if !message["method"].is_null() {
                if !message["id"].is_null() {
                    self.send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": null}));
                }
                self.heard.push(message);
            } else if message["id"] == id {
                return message;
            }
        }
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        let frame = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.input.write_all(frame.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        // It ends with its input as well; whichever comes first.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next message of the Language Server Protocol; `None` at the end of the input.
pub fn read_frame(input: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.strip_prefix("Content-Length: ") {
            length = text.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

/// A task of a plan file that runs a shell command.
pub fn shell(id: &str, script: &str, depends_on: &[&str]) -> Value {
    json!({"id": id, "run": script, "dependsOn": depends_on})
}

/// A plan file of these tasks.
pub fn plan_of(tasks: &[Value]) -> Value {
    json!({"goal": "test", "tasks": tasks})
}

/// A place where programs under test stop until the test lets them go. It is on the network because what
/// happens to a file is not seen in every sandbox.
pub struct Meet {
    listener: TcpListener,
}

/// A program that waits.
pub struct Guest {
    /// What it calls itself.
    pub name: String,
    stream: BufReader<TcpStream>,
}

impl Meet {
    /// A new place.
    pub fn new() -> Self {
        let listener = places::take_place();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    /// A shell command that waits here. Once the place is gone it does not wait any more.
    pub fn script(&self, name: &str) -> String {
        let port = self.listener.local_addr().unwrap().port();
        format!(
            "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo {name} >&3 && read -r _ <&3' || true"
        )
    }

    /// The next program that comes to wait.
    #[track_caller]
    pub fn next(&self) -> Guest {
        let mut come = None;
        wait_for("a program", || {
            come = self.listener.accept().ok();
            come.is_some()
        });
        let (stream, _) = come.unwrap();
        stream.set_nonblocking(false).unwrap();
        let mut stream = BufReader::new(stream);
        let mut name = String::new();
        stream.read_line(&mut name).unwrap();
        Guest {
            name: name.trim_end().to_owned(),
            stream,
        }
    }
}

impl Default for Meet {
    fn default() -> Self {
        Self::new()
    }
}

impl Guest {
    /// Lets it go.
    pub fn release(mut self) {
        // It may have been killed meanwhile, which is what some tests are about.
        let _ = self.stream.get_mut().write_all(b"go\n");
    }

    /// Returns once it has ended, however that came.
    pub fn ended(mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
    }
}
