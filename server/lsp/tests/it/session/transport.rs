//! The transport, driven by a client that speaks raw JSON.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that gets here has failed"
)]

use std::sync::Arc;

use claudecluster_lsp::{ExitStatus, LspConfig};
use serde_json::{Value, json};

use crate::support::{backend::Recorder, client::Client};

const A: &str = "file:///w/a.rs";

async fn text_seen(client: &mut Client, id: i64) -> String {
    let reply = client.reply(id).await;
    reply["result"]["documents"][0]["hunks"][0]["newText"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Every request sees exactly the text that its sender had when it was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_see_the_text_of_their_place_in_the_stream() {
    let backend = Arc::new(Recorder {
        echo: true,
        ..Recorder::default()
    });
    let mut client = Client::start(backend).await;
    client.open(A, 1, "").await;
    let mut text = String::new();
    let mut asked = Vec::new();
    // Reproducible and not periodic.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for version in 2..2002 {
        let words = ["a", "\n", "é", "😀", "let x = 1;\n"];
        let word = words[random(words.len())];
        let boundaries: Vec<_> = text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .collect();
        let at = boundaries[random(boundaries.len())];
        let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let position = json!({
            "line": text[..at].matches('\n').count(),
            "character": text[line_start..at].encode_utf16().count(),
        });
        text.insert_str(at, word);
        let change = json!({"range": {"start": position, "end": position}, "text": word});
        let params = json!({
            "textDocument": {"uri": A, "version": version},
            "contentChanges": [change],
        });
        client.notify("textDocument/didChange", params).await;
        if version % 5 == 0 {
            let id = client
                .start_request("claudecluster/changes", json!({"uri": A}))
                .await;
            asked.push((id, text.clone()));
        }
        if version % 50 == 0 {
            for (id, expected) in asked.drain(..) {
                assert_eq!(text_seen(&mut client, id).await, expected, "request {id}");
            }
        }
    }
    assert!(asked.is_empty());
}

#[tokio::test]
async fn what_is_malformed_costs_nothing_but_itself() {
    let mut client = Client::start(Arc::new(Recorder::default())).await;
    let check = async |client: &mut Client, bytes: &[u8], code: i64| {
        client.raw(bytes).await;
        let complaint = client
            .wait_for(|message| message["id"].is_null() && message.get("error").is_some())
            .await;
        assert_eq!(complaint["error"]["code"], code, "{complaint}");
        let reply = client.command("claudecluster.goal.list", json!({})).await;
        assert_eq!(reply["result"], json!([]));
    };
    let frame = |body: &str| format!("Content-Length: {}\r\n\r\n{body}", body.len());
    check(&mut client, frame("{\"jsonrpc\":").as_bytes(), -32700).await;
    check(&mut client, frame("[1,2]").as_bytes(), -32600).await;
    check(
        &mut client,
        frame("{\"jsonrpc\":\"2.0\"}").as_bytes(),
        -32600,
    )
    .await;
    check(&mut client, frame("").as_bytes(), -32700).await;
    check(
        &mut client,
        b"Content-Length: 4\r\n\r\n\"\xff\xfe\"",
        -32700,
    )
    .await;
    check(&mut client, b"Content-Length: -1\r\n\r\n", -32700).await;
    check(
        &mut client,
        b"Content-Length: 999999999999999999999\r\n\r\n",
        -32700,
    )
    .await;
    check(&mut client, b"Content-Type: a\r\n\r\n", -32700).await;
    // Lower case, and a reply nobody asked for, are no errors.
    let body = json!({"jsonrpc": "2.0", "id": "x", "method": "workspace/executeCommand",
        "params": {"command": "claudecluster.goal.list"}})
    .to_string();
    client
        .send(&json!({"jsonrpc": "2.0", "id": 999, "result": null}))
        .await;
    client
        .raw(format!("content-length:{}\n\n{body}", body.len()).as_bytes())
        .await;
    assert_eq!(
        client.wait_for(|m| m["id"] == "x").await["result"],
        json!([])
    );
}

#[tokio::test]
async fn messages_over_the_limit_are_skipped() {
    let config = LspConfig {
        max_message_bytes: 1000,
        ..LspConfig::default()
    };
    let mut client = Client::connect_with(Arc::new(Recorder::default()), config);
    client.initialize(json!({"capabilities": {}})).await;
    client
        .notify(
            "textDocument/didOpen",
            json!({"textDocument": "x".repeat(100_000)}),
        )
        .await;
    let complaint = client
        .wait_for(|message| message.get("error").is_some())
        .await;
    assert!(
        complaint["error"]["message"]
            .as_str()
            .unwrap()
            .contains("the limit is 1000")
    );
    assert_eq!(complaint["id"], Value::Null);
    // A request gets the error itself, and a reply none.
    client
        .send(&json!({"jsonrpc": "2.0", "id": 3, "result": "x".repeat(5000)}))
        .await;
    let id = client
        .start_request("textDocument/hover", json!({"x": "x".repeat(100_000)}))
        .await;
    let refused = client.reply(id).await;
    assert_eq!(refused["error"]["code"], -32803, "{refused}");
    let reply = client.command("claudecluster.goal.list", json!({})).await;
    assert_eq!(reply["result"], json!([]));
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let mut client = Client::start(Arc::new(Recorder::default())).await;
    client.open(A, 1, "text").await;
    for prompt in ["panic", "panic later"] {
        let reply = client
            .command("claudecluster.goal.submit", json!({"prompt": prompt}))
            .await;
        assert_eq!(reply["error"]["code"], -32603, "{reply}");
        let reply = client.command("claudecluster.goal.list", json!({})).await;
        assert_eq!(reply["result"], json!([]));
    }
}

#[tokio::test]
async fn slow_requests_hold_nothing_up_and_can_be_cancelled() {
    let backend = Arc::new(Recorder::default());
    let mut client = Client::start(backend.clone()).await;
    client.open(A, 1, "text").await;
    let submit = json!({"command": "claudecluster.goal.submit", "arguments": [{"prompt": "wait"}]});
    let mut slow = Vec::new();
    for _ in 0..200 {
        slow.push(
            client
                .start_request("workspace/executeCommand", submit.clone())
                .await,
        );
    }
    let reply = client.command("claudecluster.goal.list", json!({})).await;
    assert_eq!(reply["result"], json!([]));
    for id in slow.split_off(1) {
        client.notify("$/cancelRequest", json!({ "id": id })).await;
        assert_eq!(client.reply(id).await["error"]["code"], -32800);
    }
    backend.released.notify_one();
    assert_eq!(
        client.reply(slow[0]).await["result"],
        json!({"goalId": "g1"})
    );
}

#[tokio::test]
async fn exit_statuses() {
    let mut client = Client::start(Arc::new(Recorder::default())).await;
    assert_eq!(
        client.request("shutdown", Value::Null).await["result"],
        Value::Null
    );
    let refused = client.command("claudecluster.goal.list", json!({})).await;
    assert_eq!(refused["error"]["code"], -32600);
    client.notify("exit", Value::Null).await;
    assert_eq!(client.ended().await, ExitStatus::Clean);

    let mut client = Client::start(Arc::new(Recorder::default())).await;
    client.notify("exit", Value::Null).await;
    assert_eq!(client.ended().await, ExitStatus::Unclean);

    let mut client = Client::start(Arc::new(Recorder::default())).await;
    client.request("shutdown", Value::Null).await;
    client.hang_up().await;
    assert_eq!(client.ended().await.code(), 1);
}

/// What was asked before `exit` and is ready is still answered.
#[tokio::test]
async fn the_last_replies_are_written() {
    let mut client = Client::start(Arc::new(Recorder::default())).await;
    let shutdown = client.start_request("shutdown", Value::Null).await;
    client.notify("exit", Value::Null).await;
    assert_eq!(client.reply(shutdown).await["result"], Value::Null);
    assert_eq!(client.ended().await, ExitStatus::Clean);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_death_of_the_editor_ends_the_connection() {
    let mut editor = tokio::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    let mut client = Client::connect(Arc::new(Recorder::default()));
    client
        .initialize(json!({"capabilities": {}, "processId": editor.id().unwrap()}))
        .await;
    let reply = client.command("claudecluster.goal.list", json!({})).await;
    assert_eq!(reply["result"], json!([]));
    editor.kill().await.unwrap();
    // The stream is still open.
    assert_eq!(client.ended().await, ExitStatus::Unclean);
}

#[tokio::test]
async fn nothing_is_handled_before_initialize_and_nothing_unknown_at_all() {
    let mut client = Client::connect(Arc::new(Recorder::default()));
    let early = client.command("claudecluster.goal.list", json!({})).await;
    assert_eq!(early["error"]["code"], -32002);
    client.initialize(json!({"capabilities": {}})).await;
    let unknown = client.request("textDocument/definition", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32601);
    let again = client
        .request("initialize", json!({"capabilities": {}}))
        .await;
    assert_eq!(again["error"]["code"], -32600);
}
