#![expect(
    clippy::needless_pass_by_value,
    reason = "messages are written where they are sent"
)]

use super::*;

fn editor(mirror: &mut SessionReplay, message: Value) -> ProxyOutput {
    mirror.handle_editor(to_bytes(&message))
}

fn values(bodies: &[Vec<u8>]) -> Vec<Value> {
    let parsed = bodies.iter().map(|body| parse_json(body));
    parsed.collect::<Result<_, _>>().unwrap_or_default()
}

fn request(id: i32, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// A session with one document that has been changed.
fn session() -> SessionReplay {
    let mut mirror = SessionReplay::new();
    let initialize = request(0, "initialize", json!({"capabilities": {}}));
    assert_eq!(editor(&mut mirror, initialize).daemon.len(), 1);
    let answer = json!({"jsonrpc": "2.0", "id": 0,
        "result": {"capabilities": {"positionEncoding": "utf-8"}}});
    assert_eq!(mirror.handle_daemon(to_bytes(&answer)).editor.len(), 1);
    editor(&mut mirror, notification("initialized", json!({})));
    let document =
        json!({"uri": "file:///w/a.txt", "languageId": "text", "version": 4, "text": "äb\n"});
    editor(
        &mut mirror,
        notification("textDocument/didOpen", json!({"textDocument": document})),
    );
    let at = |character| json!({"line": 0, "character": character});
    editor(
        &mut mirror,
        notification(
            "textDocument/didChange",
            json!({
                "textDocument": {"uri": "file:///w/a.txt", "version": 9},
                "contentChanges": [{"range": {"start": at(2), "end": at(3)}, "text": "c"}],
            }),
        ),
    );
    mirror
}

fn opened(messages: &[Value]) -> Vec<(i64, &str)> {
    let opens = messages
        .iter()
        .filter(|m| m["method"] == "textDocument/didOpen");
    opens
        .map(|m| {
            let document = &m["params"]["textDocument"];
            (
                document["version"].as_i64().unwrap_or_default(),
                document["text"].as_str().unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn a_new_daemon_is_told_what_the_old_one_knew() {
    let mut mirror = session();
    let settings = |jobs| {
        let settings = json!({"settings": {"claudecluster": {"jobs": jobs}}});
        notification("workspace/didChangeConfiguration", settings)
    };
    editor(&mut mirror, settings(1));
    editor(&mut mirror, settings(2));
    assert_eq!(mirror.handle_loss(), ProxyOutput::default(), "nobody waits");

    // Typing goes on without a daemon.
    let at = json!({"line": 1, "character": 0});
    let typed = notification(
        "textDocument/didChange",
        json!({
            "textDocument": {"uri": "file:///w/a.txt", "version": 10},
            "contentChanges": [{"range": {"start": at, "end": at}, "text": "typed"}],
        }),
    );
    assert_eq!(editor(&mut mirror, typed), ProxyOutput::default());

    let told = values(&mirror.replay_session().daemon);
    assert_eq!(told[0]["method"], "initialize");
    assert_ne!(told[0]["id"], 0, "its answer is not the editor's");
    assert_eq!(told[1]["method"], "initialized");
    assert_eq!(told[2]["params"]["settings"]["claudecluster"]["jobs"], 2);
    assert_eq!(opened(&told), [(10, "äc\ntyped")]);
    assert_eq!(told.len(), 4);

    let answer = json!({"jsonrpc": "2.0", "id": told[0]["id"], "result": {}});
    assert_eq!(
        mirror.handle_daemon(to_bytes(&answer)),
        ProxyOutput::default()
    );
}

#[test]
fn closed_documents_stay_closed() {
    let mut mirror = session();
    let closed = json!({"textDocument": {"uri": "file:///w/a.txt"}});
    editor(&mut mirror, notification("textDocument/didClose", closed));
    mirror.handle_loss();
    assert!(opened(&values(&mirror.replay_session().daemon)).is_empty());
}

#[test]
fn whoever_waits_hears_of_the_loss() {
    let mut mirror = session();
    editor(&mut mirror, request(1, "textDocument/codeLens", json!({})));
    editor(&mut mirror, request(2, EXECUTE, json!({})));
    editor(&mut mirror, request(3, "textDocument/hover", json!({})));
    let answer = json!({"jsonrpc": "2.0", "id": 3, "result": null});
    mirror.handle_daemon(to_bytes(&answer));
    let token = json!("claudecluster/g1/1");
    for kind in ["begin", "report"] {
        let progress = json!({"token": token, "value": {"kind": kind}});
        mirror.handle_daemon(to_bytes(&notification("$/progress", progress)));
    }
    let told = values(&mirror.handle_loss().editor);
    assert_eq!(
        told[0]["params"],
        json!({"token": token, "value": {"kind": "end"}})
    );
    let errors: Vec<_> = told[1..]
        .iter()
        .map(|m| (m["id"].as_i64(), m["error"]["code"].as_i64()))
        .collect();
    assert_eq!(
        errors,
        [
            (Some(1), Some(CONTENT_MODIFIED)),
            (Some(2), Some(REQUEST_FAILED))
        ]
    );
}

#[test]
fn requests_without_a_daemon_wait_unless_they_are_cancelled() {
    let mut mirror = session();
    mirror.handle_loss();
    for id in [5, 6] {
        let out = editor(&mut mirror, request(id, "textDocument/hover", json!({})));
        assert_eq!(out, ProxyOutput::default());
    }
    editor(
        &mut mirror,
        notification("$/cancelRequest", json!({"id": 5})),
    );
    let told = values(&mirror.replay_session().daemon);
    let ids: Vec<_> = told.iter().filter_map(|m| m["id"].as_i64()).collect();
    assert_eq!(ids, [6]);
}

#[test]
fn answers_go_to_the_daemon_that_asked() {
    let mut mirror = session();
    let ask = to_bytes(&request(0, "workspace/applyEdit", json!({})));
    let first = values(&mirror.handle_daemon(ask.clone()).editor).remove(0);
    assert_eq!(first["id"], 0);
    mirror.handle_loss();
    mirror.replay_session();
    let second = values(&mirror.handle_daemon(ask).editor).remove(0);
    assert_ne!(second["id"], first["id"]);
    let late = json!({"jsonrpc": "2.0", "id": first["id"], "result": {"applied": true}});
    assert_eq!(editor(&mut mirror, late), ProxyOutput::default());
    let answer = json!({"jsonrpc": "2.0", "id": second["id"], "result": {"applied": true}});
    let passed = values(&editor(&mut mirror, answer).daemon).remove(0);
    assert_eq!(passed["id"], 0);
}

#[test]
fn questions_go_with_the_daemon_that_asked() {
    let mut mirror = session();
    let ask = |id: i32| to_bytes(&request(id, "window/showMessageRequest", json!({})));
    let withdraw = |id: i32| to_bytes(&notification("$/cancelRequest", json!({"id": id})));
    let withdrawn = |out: &ProxyOutput| -> Vec<Value> {
        let told = values(&out.editor).into_iter();
        let told = told.filter(|m| m["method"] == "$/cancelRequest");
        told.map(|m| m["params"]["id"].clone()).collect()
    };
    for id in [3, 4] {
        mirror.handle_daemon(ask(id));
    }
    assert_eq!(withdrawn(&mirror.handle_daemon(withdraw(3))), [3]);
    let answer = |id: &Value, result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result});
    assert_eq!(
        editor(&mut mirror, answer(&json!(3), Value::Null))
            .daemon
            .len(),
        1
    );
    for id in [5, 6] {
        mirror.handle_daemon(ask(id));
    }
    assert_eq!(withdrawn(&mirror.handle_loss()), [4, 5, 6]);
    mirror.replay_session();

    // One closes it, one answers, one does so twice.
    assert_eq!(
        editor(&mut mirror, answer(&json!(4), Value::Null)),
        ProxyOutput::default()
    );
    let late = editor(
        &mut mirror,
        answer(&json!(5), json!({"title": "Allow once"})),
    );
    assert_eq!(late.daemon, Vec::<Vec<u8>>::new());
    let said = values(&late.editor).remove(0);
    let said = said["params"]["message"].as_str().unwrap_or_default();
    assert!(said.contains("your answer was not used"), "{said}");
    let again = editor(
        &mut mirror,
        answer(&json!(5), json!({"title": "Allow once"})),
    );
    assert_eq!(again, ProxyOutput::default());

    // The next daemon counts from the same number.
    let asked = values(&mirror.handle_daemon(ask(3)).editor).remove(0);
    assert_eq!(
        withdrawn(&mirror.handle_daemon(withdraw(3))),
        [asked["id"].clone()]
    );
    let passed = editor(&mut mirror, answer(&asked["id"], json!({"title": "Deny"})));
    assert_eq!(values(&passed.daemon)[0]["id"], 3);
    assert_eq!(withdrawn(&mirror.handle_loss()), Vec::<Value>::new());
}

#[test]
fn nothing_is_registered_twice() {
    let mut mirror = session();
    let register = |id: &str| {
        let registrations = json!({"registrations": [{"id": id, "method": "m"}]});
        to_bytes(&request(7, "client/registerCapability", registrations))
    };
    assert_eq!(mirror.handle_daemon(register("a")).editor.len(), 1);
    mirror.handle_loss();
    mirror.replay_session();
    let again = mirror.handle_daemon(register("a"));
    assert_eq!(again.editor.len(), 0);
    assert_eq!(values(&again.daemon)[0]["id"], 7);
    assert_eq!(mirror.handle_daemon(register("b")).editor.len(), 1);
}

#[test]
fn an_initialize_that_was_not_answered_is_answered_by_the_next() {
    let mut mirror = SessionReplay::new();
    editor(
        &mut mirror,
        request(0, "initialize", json!({"capabilities": {}})),
    );
    assert_eq!(mirror.handle_loss(), ProxyOutput::default());
    let told = values(&mirror.replay_session().daemon);
    assert_eq!((told.len(), &told[0]["id"]), (1, &json!(0)));
    let answer = json!({"jsonrpc": "2.0", "id": 0, "result": {"capabilities": {}}});
    assert_eq!(mirror.handle_daemon(to_bytes(&answer)).editor.len(), 1);
}

#[test]
fn goodbye_needs_no_daemon() {
    let mut mirror = session();
    mirror.handle_loss();
    let out = editor(&mut mirror, request(8, "shutdown", Value::Null));
    assert_eq!(values(&out.editor)[0]["id"], 8);
    assert_eq!(mirror.stage(), EditorStage::Closing);
    editor(&mut mirror, notification("exit", Value::Null));
    assert_eq!(mirror.stage(), EditorStage::Exited);

    let mut mirror = session();
    editor(&mut mirror, request(8, "shutdown", Value::Null));
    let told = values(&mirror.handle_loss().editor);
    assert_eq!(told, [null_reply(&json!(8))]);
}
