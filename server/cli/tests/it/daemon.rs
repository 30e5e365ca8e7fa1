//! The daemon's life: started on demand, once; found again; replaced; refused; ended.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::Path,
    process::Stdio,
};

use claudecluster_protocol::api::{
    ConnectionPurpose, DaemonFile, Hello, SocketSecret, VERSION, Welcome,
};
use serde_json::{Value, json};

use crate::support::User;

fn daemon_file(user: &User) -> DaemonFile {
    let text = fs::read_to_string(user.state().join("daemon.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn it_starts_on_demand_and_ends_when_told() {
    let user = User::new();
    assert_eq!(user.run(&["daemon", "status"]).status, 1);
    assert_eq!(user.run(&["goals"]).status, 0);

    let file = daemon_file(&user);
    assert_eq!(file.version, VERSION);
    assert_eq!(mode(&user.state()), 0o700);
    assert_eq!(mode(&user.state().join("daemon.json")), 0o600);
    assert_eq!(mode(Path::new(&file.socket)), 0o600);

    let status = user.run(&["daemon", "status", "--json"]);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(status["pid"], file.pid);
    assert_eq!(status["running"], true);

    assert_eq!(
        user.run(&["daemon", "stop"]).out,
        "The daemon has stopped\n"
    );
    assert!(!user.state().join("daemon.json").exists());
    assert!(!Path::new(&file.socket).exists());
    assert_eq!(user.run(&["daemon", "stop"]).out, "No daemon is running\n");
}

#[test]
fn many_clients_start_one() {
    let user = User::new();
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = user.command(&["daemon", "start", "--json"]);
            command.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut pids: Vec<u64> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            let said: Value = serde_json::from_slice(&output.stdout).unwrap();
            said["pid"].as_u64().unwrap()
        })
        .collect();
    pids.dedup();
    assert_eq!(pids, [u64::from(daemon_file(&user).pid)]);
}

#[test]
fn a_second_one_is_refused() {
    let user = User::new();
    assert_eq!(user.run(&["daemon", "start"]).status, 0);
    let pid = daemon_file(&user).pid;
    let said = user.run(&["daemon", "run"]);
    assert_eq!(said.status, 1);
    assert!(said.err.contains(&pid.to_string()), "{}", said.err);
    // The first is still there, and still found.
    assert_eq!(daemon_file(&user).pid, pid);
    assert_eq!(user.run(&["daemon", "status"]).status, 0);
}

#[test]
fn what_a_dead_one_left_is_no_obstacle() {
    let user = User::new();
    assert_eq!(user.run(&["daemon", "start"]).status, 0);
    let dead = daemon_file(&user);
    let pid = rustix::process::Pid::from_raw(i32::try_from(dead.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(user.run(&["goals"]).status, 0);
    assert_ne!(daemon_file(&user).pid, dead.pid);
}

#[test]
fn a_signal_ends_it_cleanly() {
    let user = User::new();
    let mut command = user.command(&["daemon", "run", "--on-demand"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // It closes its stdout once it listens.
    let mut said = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(said, "\"ready\"\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!user.state().join("daemon.json").exists());
}

#[test]
fn nobody_needs_it() {
    let user = User::new();
    user.configure("[daemon]\nidleTimeout = \"50ms\"\n");
    let mut child = user.command(&["daemon", "run"]).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn work_keeps_it_alive() {
    let user = User::new();
    user.configure("[daemon]\nidleTimeout = \"50ms\"\n");
    user.write(
        "p.json",
        r#"{"goal": "x", "tasks": [{"id": "a", "run": "sleep 1; echo > a.txt"}]}"#,
    );
    let said = user.run(&["run", "--plan", "p.json", "--quiet"]);
    assert_eq!(said.status, 0, "{said:?}");
    let refused = {
        user.write(
            "q.json",
            r#"{"goal": "x", "tasks": [{"id": "a", "run": "sleep 600"}]}"#,
        );
        let mut command = user.command(&["run", "--plan", "q.json", "--json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.find(|line| line.as_ref().unwrap().contains("attemptStarted"));
        child.kill().unwrap();
        child.wait().unwrap();
        // The goal goes on without the client that submitted it, and keeps the daemon.
        user.run(&["daemon", "stop"])
    };
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(
        refused.err.contains("a goal is still running"),
        "{}",
        refused.err
    );
    assert_eq!(user.run(&["cancel", "g2"]).status, 0);
}

/// A daemon of another version, as far as clients can tell.
fn pretend(user: &User, version: &str, stop: Value) -> std::thread::JoinHandle<Vec<String>> {
    fs::create_dir_all(user.state()).unwrap();
    let socket = user.state().join("other.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let file = DaemonFile {
        pid: std::process::id(),
        version: version.to_owned(),
        socket: socket.to_string_lossy().into_owned(),
        // Daemons had none at first.
        secret: None,
        http: None,
        token: None,
    };
    fs::write(
        user.state().join("daemon.json"),
        serde_json::to_string(&file).unwrap(),
    )
    .unwrap();
    let welcome = json!({"version": version, "pid": file.pid});
    std::thread::spawn(move || {
        let mut asked = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut stream = stream;
            lines.next().unwrap().unwrap();
            writeln!(stream, "{welcome}").unwrap();
            let Some(Ok(request)) = lines.next() else {
                continue;
            };
            writeln!(stream, "{stop}").unwrap();
            asked.push(request);
            fs::remove_file(&socket).unwrap();
            return asked;
        }
        asked
    })
}

#[test]
fn an_older_one_without_work_is_replaced() {
    let user = User::new();
    let older = pretend(
        &user,
        "0.0.1",
        json!({"id": 1, "result": {"Ok": {"answer": "done"}}}),
    );
    let said = user.run(&["goals"]);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(older.join().unwrap()[0].contains("stop"));
    assert_eq!(daemon_file(&user).version, VERSION);
}

#[test]
fn an_older_one_at_work_stays() {
    let user = User::new();
    let busy = json!({"kind": "user", "message": "a goal is still running"});
    let older = pretend(&user, "0.0.1", json!({"id": 1, "result": {"Err": busy}}));
    let said = user.run(&["goals"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(
        said.err.contains("version 0.0.1 is still working"),
        "{}",
        said.err
    );
    assert!(said.err.contains("daemon stop --force"), "{}", said.err);
    older.join().unwrap();
}

#[test]
fn a_newer_one_is_left_alone() {
    let user = User::new();
    let _newer = pretend(&user, "99.0.0", json!({}));
    let said = user.run(&["goals"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(
        said.err.contains("newer daemon is running (version 99.0.0"),
        "{}",
        said.err
    );
    // So that the helper at the end finds nothing to stop.
    fs::remove_file(user.state().join("daemon.json")).unwrap();
}

#[test]
fn a_client_of_another_version_may_only_look_and_stop() {
    let user = User::new();
    assert_eq!(user.run(&["daemon", "start"]).status, 0);
    let mut stream = UnixStream::connect(daemon_file(&user).socket).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let hello = Hello {
        version: "0.0.1".to_owned(),
        purpose: ConnectionPurpose::Requests,
        secret: daemon_file(&user).secret,
    };
    writeln!(stream, "{}", serde_json::to_string(&hello).unwrap()).unwrap();
    let welcome: Welcome = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(welcome.error.is_some());
    let mut ask = |call: Value| -> Value {
        writeln!(stream, "{}", json!({"id": 7, "call": call})).unwrap();
        serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()
    };
    assert!(ask(json!({"method": "goals"}))["result"]["Err"].is_object());
    assert!(ask(json!({"method": "status"}))["result"]["Ok"].is_object());
    assert!(ask(json!({"method": "stop", "force": false}))["result"]["Ok"].is_object());
}

/// What the daemon says to a greeting and one request, up to the end of the connection.
fn greet(user: &User, version: &str, purpose: &str, secret: Option<&str>) -> Vec<String> {
    let mut stream = UnixStream::connect(daemon_file(user).socket).unwrap();
    let hello = Hello {
        version: version.to_owned(),
        purpose: serde_json::from_str(purpose).unwrap(),
        secret: secret.map(|secret| SocketSecret::new(secret.to_owned())),
    };
    writeln!(stream, "{}", serde_json::to_string(&hello).unwrap()).unwrap();
    let stop = json!({"id": 7, "call": {"method": "stop", "force": true}});
    // It may have hung up already.
    let _ = writeln!(stream, "{stop}");
    BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .collect()
}

#[test]
fn nobody_is_served_without_the_secret() {
    let user = User::new();
    assert_eq!(user.run(&["daemon", "start"]).status, 0);
    let pid = daemon_file(&user).pid;
    let secret = daemon_file(&user).secret.unwrap();
    assert_eq!(secret.expose().len(), 64);
    let wrong = "0".repeat(64);
    for purpose in [r#""requests""#, r#"{"lsp": {"env": []}}"#] {
        for shown in [None, Some(""), Some(&*wrong), Some(&secret.expose()[1..])] {
            let said = greet(&user, VERSION, purpose, shown);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(
                said[0].contains("does not show the daemon's secret"),
                "{said:?}"
            );
            assert!(said[0].contains("hint"), "{said:?}");
        }
        // A program from before the secret is told that it is too old, in each way it understands.
        let said = greet(&user, "0.0.1", purpose, None);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].contains("but the client is version 0.0.1"),
            "{said:?}"
        );
        let last = if purpose.contains("lsp") {
            said[1] == "claudecluster-exit: 1"
        } else {
            let reply: Value = serde_json::from_str(&said[1]).unwrap();
            reply["id"] == 7 && reply["result"]["Err"]["message"].is_string()
        };
        assert!(last, "{said:?}");
    }
    assert_eq!(daemon_file(&user).pid, pid, "nobody has stopped it");
    assert_eq!(user.run(&["goals"]).status, 0);
    assert_eq!(user.run(&["daemon", "stop"]).status, 0);
    let log = user.log_lines().concat();
    assert!(log.contains("without the daemon's secret"), "{log}");
    assert!(
        !log.contains(secret.expose()) && !log.contains(&wrong),
        "{log}"
    );
    // Each daemon has its own.
    assert_eq!(user.run(&["goals"]).status, 0);
    assert_ne!(daemon_file(&user).secret.unwrap(), secret);
}

#[test]
fn a_process_in_a_sandbox_is_refused_though_it_knows_the_secret() {
    let user = User::new();
    assert_eq!(user.run(&["daemon", "start"]).status, 0);
    let program = user.command(&[]).get_program().to_owned();
    let mut refused = Vec::new();
    for (options, words) in [
        (&["--mount"][..], "another mount namespace"),
        (&["--pid", "--fork"], "another process namespace"),
        (&["--user", "--map-root-user"], "another user namespace"),
    ] {
        let inside = user.command(&[]);
        let mut command = std::process::Command::new("unshare");
        command.args(options).arg(&program).args(["daemon", "stop"]);
        command
            .env_clear()
            .envs(inside.get_envs().filter_map(|(k, v)| Some((k, v?))));
        let output = command.current_dir(user.project()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("unshare: unshare failed") {
            eprintln!("skipped {options:?}: {said}");
            continue;
        }
        assert!(!output.status.success(), "{options:?}: {said}");
        assert!(
            said.contains(words) && said.contains("flatpak-spawn"),
            "{options:?}: {said}"
        );
        refused.push(words);
    }
    assert_eq!(user.run(&["daemon", "stop"]).status, 0);
    let log = user.log_lines().concat();
    for words in refused {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[test]
fn a_thousand_refused_connections_harm_nobody_and_fill_no_log() {
    let user = User::new();
    assert_eq!(user.run(&["daemon", "start"]).status, 0);
    for _ in 0..1_000 {
        let said = greet(&user, VERSION, r#""requests""#, None);
        assert_eq!(said.len(), 1, "{said:?}");
    }
    assert_eq!(user.run(&["daemon", "status"]).status, 0);
    assert_eq!(user.run(&["daemon", "stop"]).status, 0);
    let log = user.log_lines();
    let refused = log
        .iter()
        .filter(|line| line.contains("refused a connection"));
    assert_eq!(refused.count(), 32 + 4, "{log:#?}");
}

#[test]
fn silent_connections_keep_nobody_out() {
    let user = User::new();
    assert_eq!(user.run(&["daemon", "start"]).status, 0);
    let socket = daemon_file(&user).socket;
    let connect = || UnixStream::connect(&socket).unwrap();
    // As many as may be silent at once, but one.
    let silent: Vec<_> = (0..63).map(|_| connect()).collect();
    assert_eq!(user.run(&["daemon", "status"]).status, 0);
    drop(silent);
    for _ in 0..200 {
        drop(connect());
    }
    assert_eq!(user.run(&["daemon", "status"]).status, 0);
}

#[test]
fn nonsense_on_the_socket_ends_one_connection_only() {
    let user = User::new();
    assert_eq!(user.run(&["daemon", "start"]).status, 0);
    let socket = daemon_file(&user).socket;
    for nonsense in [
        &b"\xff\xfe\n"[..],
        b"{}\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
        b"no end",
    ] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(nonsense).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(!said.contains("panicked"), "{said}");
    }
    assert_eq!(user.run(&["daemon", "status"]).status, 0);
}

#[test]
fn another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    const NOBODY: u32 = 65534;
    let user = User::new();
    assert_eq!(user.run(&["daemon", "start"]).status, 0);
    let file = daemon_file(&user);
    // The permissions that keep others out are taken away: the check has to hold by itself.
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    open(Path::new(&file.socket));
    for dir in [user.state(), user.project().parent().unwrap().to_owned()] {
        open(&dir);
    }
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.connect(sys.argv[1])\n\
                  s.sendall(b'{\"version\":\"x\",\"purpose\":\"requests\"}\\n')\n\
                  sys.stdout.write(repr(s.recv(100)))";
    let connected = std::process::Command::new("/usr/bin/python3")
        .args(["-c", script, &file.socket])
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .output();
    let Ok(output) = connected else {
        eprintln!("skipped: no python3 to be another user with");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        said == "b''" || err.contains("ConnectionResetError") || err.contains("BrokenPipe"),
        "{said} {err}"
    );
}

fn frame(message: &Value) -> Vec<u8> {
    let body = message.to_string();
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn an_editor_is_served_and_hears_how_it_ended() {
    let user = User::new();
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"processId": null, "rootUri": null, "capabilities": {}}});
    let shutdown = json!({"jsonrpc": "2.0", "id": 2, "method": "shutdown"});
    let exit = json!({"jsonrpc": "2.0", "method": "exit"});

    let clean = [&initialize, &shutdown, &exit].map(frame).concat();
    let said = user.run_with(&["lsp"], &clean);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.out.contains("capabilities"), "{}", said.out);
    assert!(!said.out.contains("claudecluster-exit"), "{}", said.out);

    let rude = [&initialize, &exit].map(frame).concat();
    assert_eq!(user.run_with(&["lsp", "--stdio"], &rude).status, 1);
}

/// An editor at the end of its pipe.
struct Piped {
    child: std::process::Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Piped {
    fn start(user: &User) -> Self {
        let mut child = user
            .command(&["lsp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn say(&mut self, message: &Value) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(&frame(message)).unwrap();
        stdin.flush().unwrap();
    }

    /// The answer to a request; what comes before it is not looked at.
    fn answer(&mut self, id: i32) -> Value {
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "the pipe ended");
                if line == "\r\n" {
                    break;
                }
                if let Some(value) = line.strip_prefix("Content-Length: ") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            self.out.read_exact(&mut body).unwrap();
            let message: Value = serde_json::from_slice(&body).unwrap();
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
        }
    }

    fn goals(&mut self, id: i32) -> Value {
        self.say(
            &json!({"jsonrpc": "2.0", "id": id, "method": "workspace/executeCommand",
            "params": {"command": "claudecluster.goal.list", "arguments": [{}]}}),
        );
        self.answer(id)
    }

    fn end(mut self) {
        self.say(&json!({"jsonrpc": "2.0", "id": 99, "method": "shutdown"}));
        assert_eq!(self.answer(99)["result"], Value::Null);
        self.say(&json!({"jsonrpc": "2.0", "method": "exit"}));
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

fn initialized(user: &User) -> Piped {
    let mut editor = Piped::start(user);
    editor.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"processId": null, "rootUri": null, "capabilities": {}}}));
    assert!(editor.answer(1)["result"]["capabilities"].is_object());
    editor.say(&json!({"jsonrpc": "2.0", "method": "initialized", "params": {}}));
    editor
}

#[test]
fn an_editor_goes_on_over_the_death_of_a_daemon() {
    let user = User::new();
    let mut editor = initialized(&user);
    for id in 2..5 {
        let before = daemon_file(&user).pid;
        let pid = rustix::process::Pid::from_raw(i32::try_from(before).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        // Asked in the very moment of its death: answered by the next, or to be asked again.
        let answer = editor.goals(id * 10);
        let again = editor.goals(id * 10 + 1);
        assert!(
            answer["result"].is_array() || answer["error"]["code"] == -32803,
            "{answer}"
        );
        assert!(again["result"].is_array(), "{again}");
        assert_ne!(daemon_file(&user).pid, before);
    }
    editor.end();
}

#[test]
fn a_daemon_that_was_stopped_comes_back_when_the_editor_needs_it() {
    let user = User::new();
    let mut editor = initialized(&user);
    assert_eq!(user.run(&["daemon", "stop"]).status, 0);
    assert_eq!(
        user.run(&["daemon", "status"]).status,
        1,
        "nobody asked for one"
    );
    assert!(editor.goals(2)["result"].is_array());
    assert_eq!(user.run(&["daemon", "status"]).status, 0);
    // The editor may also go without one.
    assert_eq!(user.run(&["daemon", "stop"]).status, 0);
    editor.end();
}
