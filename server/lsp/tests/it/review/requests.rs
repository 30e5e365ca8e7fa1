//! What an editor gets when it asks: actions, commands, changes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that gets here has failed"
)]

use std::{path::Path, sync::Arc};

use claudecluster_protocol::{
    ChangeKind, RelPath, editor::command, event::Verdict, goal::GoalScopeKind,
};
use claudecluster_service::EditorService;
use serde_json::{Value, json};

use crate::support::{
    backend::Recorder,
    client::{Client, capable},
};

const A: &str = "file:///w/a.rs";
const TEXT: &str = "fn main() {\n    let old = 1;\n}\n";

/// An editor with `a.rs` open, for which goal `g1` proposes a new name.
async fn proposal() -> (Client, Arc<Recorder>) {
    let backend = Arc::new(Recorder::default());
    backend.propose(
        Path::new("/w"),
        "g1",
        "a.rs",
        &[("    let old = 1;\n", "    let new = 1;\n")],
    );
    let mut client = Client::start(backend.clone()).await;
    client.open(A, 1, TEXT).await;
    (client, backend)
}

async fn actions(client: &mut Client, line: u32, context: Value) -> Vec<Value> {
    let at = json!({"line": line, "character": 0});
    let params = json!({
        "textDocument": {"uri": A},
        "range": {"start": at, "end": at},
        "context": context,
    });
    let reply = client.request("textDocument/codeAction", params).await;
    reply["result"].as_array().unwrap().clone()
}

fn titles(actions: &[Value]) -> Vec<&str> {
    actions
        .iter()
        .map(|action| action["title"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn initialize_tells_what_there_is() {
    let mut client = Client::connect(Arc::new(Recorder::default()));
    let encodings = json!({"positionEncodings": ["utf-32", "utf-8"]});
    let result = client
        .initialize(json!({"capabilities": {"general": encodings}}))
        .await;
    let capabilities = &result["capabilities"];
    assert_eq!(result["serverInfo"]["name"], "claudecluster");
    assert_eq!(capabilities["positionEncoding"], "utf-32");
    assert_eq!(capabilities["textDocumentSync"]["change"], 2);
    assert_eq!(
        capabilities["executeCommandProvider"]["commands"],
        json!(command::ALL)
    );
    assert_eq!(capabilities["codeActionProvider"]["resolveProvider"], true);
}

#[tokio::test]
async fn actions_are_offered_where_the_hunk_is() {
    let (mut client, _) = proposal().await;
    let automatic = json!({"diagnostics": [], "triggerKind": 2});
    let on_the_hunk = actions(&mut client, 1, automatic.clone()).await;
    let expected = [
        "Accept change from Rename things",
        "Reject change from Rename things",
        "Show change from Rename things as a diff",
        "Accept all changes of goal g1",
    ];
    assert_eq!(titles(&on_the_hunk), expected);
    assert!(actions(&mut client, 0, automatic).await.is_empty());
    // Asked for, the menu offers what is pending elsewhere.
    let invoked = actions(&mut client, 0, json!({"diagnostics": [], "triggerKind": 1})).await;
    assert_eq!(titles(&invoked), ["Accept all changes of goal g1"]);
    let only = |kind: &str| json!({"diagnostics": [], "only": [kind]});
    assert_eq!(actions(&mut client, 1, only("quickfix")).await.len(), 4);
    assert!(actions(&mut client, 1, only("source")).await.is_empty());
    assert!(actions(&mut client, 1, only("quick")).await.is_empty());
}

/// Files that are in no document are decided from any place of one.
#[tokio::test]
async fn whole_files_are_offered_anywhere_in_the_menu() {
    let (mut client, backend) = proposal().await;
    for (name, kind) in [
        ("new.rs", ChangeKind::Create),
        ("gone.rs", ChangeKind::Delete),
        ("moved.rs", ChangeKind::Rename),
        ("logo.png", ChangeKind::Modify),
    ] {
        backend.propose_file(Path::new("/w"), "g1", name, kind);
    }
    backend.propose_file(Path::new("/v"), "g2", "x.rs", ChangeKind::Create);
    let invoked = json!({"diagnostics": [], "triggerKind": 1});
    let offered = actions(&mut client, 0, invoked.clone()).await;
    let expected = [
        "Accept new file new.rs from Rename things",
        "Reject new file new.rs from Rename things",
        "Show new file new.rs from Rename things as a diff",
        "Accept deletion of gone.rs from Rename things",
        "Reject deletion of gone.rs from Rename things",
        "Show deletion of gone.rs from Rename things as a diff",
        "Accept rename of old.rs to moved.rs from Rename things",
        "Reject rename of old.rs to moved.rs from Rename things",
        "Show rename of old.rs to moved.rs from Rename things as a diff",
        "Accept new content of logo.png from Rename things",
        "Reject new content of logo.png from Rename things",
        "Show new content of logo.png from Rename things as a diff",
        "Accept all changes of goal g1",
    ];
    assert_eq!(titles(&offered), expected);
    // There is no edit to resolve: the server lands the file.
    assert_eq!(offered[0]["command"]["command"], command::HUNK_ACCEPT);
    assert_eq!(
        offered[0]["command"]["arguments"],
        json!([{"hunkId": "g1.2"}])
    );
    let automatic = json!({"diagnostics": [], "triggerKind": 2});
    assert!(actions(&mut client, 0, automatic).await.is_empty());

    // In its own document it is offered on its lines.
    let gone = "file:///w/gone.rs";
    client.open(gone, 1, "text\n").await;
    let at = json!({"line": 0, "character": 0});
    let params = json!({
        "textDocument": {"uri": gone},
        "range": {"start": at, "end": at},
        "context": {"diagnostics": [], "triggerKind": 2},
    });
    let reply = client.request("textDocument/codeAction", params).await;
    let here = &reply["result"][0];
    assert_eq!(
        here["title"],
        "Accept deletion of gone.rs from Rename things"
    );
    assert_eq!(here["command"]["command"], command::HUNK_ACCEPT);

    // A file named by its address.
    let argument = json!({"goalId": "g1", "uri": "file:///w/new.rs", "reason": "no"});
    client.command(command::GOAL_REJECT, argument).await;
    client.told("window/showMessage").await;
    let decision = backend.with(|state| state.decisions[0].clone());
    assert_eq!(decision.path, Some(RelPath::new("new.rs").unwrap()));
    assert_eq!(decision.verdict, Verdict::Reject);

    for n in 0..12 {
        let name = format!("n{n}.rs");
        backend.propose_file(Path::new("/w"), "g1", &name, ChangeKind::Create);
    }
    let offered = actions(&mut client, 0, invoked).await;
    let titles = titles(&offered);
    assert_eq!(titles.len(), 3 * 10 + 2);
    assert_eq!(titles[30], "… and 4 more files of goal g1");
}

/// Lines of the driver end at `\n`; those of the protocol at a lone `\r` as well.
#[tokio::test]
async fn hunks_are_where_clients_count_their_lines() {
    let text = "one\rtwo\r\nlet old = 1;\nend\rlast";
    let backend = Arc::new(Recorder::default());
    let changes = [("let old = 1;\n", "let new = 1;\n"), ("end\rlast", "end")];
    backend.propose(Path::new("/w"), "g1", "a.rs", &changes);
    let mut client = Client::start(backend).await;
    client.open(A, 1, text).await;
    let all = client.request("claudecluster/changes", json!({})).await["result"].clone();
    let hunks = all["documents"][0]["hunks"].as_array().unwrap();
    let lines: Vec<_> = hunks
        .iter()
        .map(|hunk| (hunk["startLine"].as_u64(), hunk["endLine"].as_u64()))
        .collect();
    assert_eq!(lines, [(Some(2), Some(3)), (Some(3), Some(5))]);
    let automatic = json!({"diagnostics": [], "triggerKind": 2});
    assert!(actions(&mut client, 1, automatic.clone()).await.is_empty());
    assert_eq!(actions(&mut client, 2, automatic).await.len(), 5);
    let lenses = json!({"textDocument": {"uri": A}});
    let lenses = client.request("textDocument/codeLens", lenses).await["result"].clone();
    assert_eq!(lenses[0]["range"]["start"]["line"], 2);
}

#[tokio::test]
async fn an_accept_brings_its_edit_and_reports_it() {
    let (mut client, _) = proposal().await;
    let offered = actions(&mut client, 1, json!({"diagnostics": []})).await[0].clone();
    assert!(
        offered.get("edit").is_none() && offered.get("command").is_none(),
        "{offered}"
    );
    let resolved = client.request("codeAction/resolve", offered).await["result"].clone();
    let expected = json!({"documentChanges": [{
        "textDocument": {"uri": A, "version": 1},
        "edits": [{
            "range": {
                "start": {"line": 1, "character": 8},
                "end": {"line": 1, "character": 11},
            },
            "newText": "new",
        }],
    }]});
    assert_eq!(resolved["edit"], expected);
    assert_eq!(resolved["command"]["command"], command::HUNK_ACCEPT);
    assert_eq!(
        resolved["command"]["arguments"],
        json!([{"hunkId": "g1.1", "applied": true}])
    );
}

#[tokio::test]
async fn a_stale_accept_is_refused() {
    let (mut client, _) = proposal().await;
    let offered = actions(&mut client, 1, json!({"diagnostics": []})).await[0].clone();
    client.change(A, 2, &format!("// typed\n{TEXT}")).await;
    let refused = client.request("codeAction/resolve", offered.clone()).await;
    assert_eq!(refused["error"]["code"], -32801, "{refused}");
    // The same number again, but not the same text.
    client.change(A, 1, &format!("// typed\n{TEXT}")).await;
    let refused = client.request("codeAction/resolve", offered.clone()).await;
    assert_eq!(refused["error"]["code"], -32801, "{refused}");
    client.change(A, 1, TEXT).await;
    let resolved = client.request("codeAction/resolve", offered).await;
    assert!(resolved["result"]["edit"].is_object(), "{resolved}");
}

#[tokio::test]
async fn a_client_that_cannot_resolve_gets_a_command() {
    let backend = Arc::new(Recorder::default());
    backend.propose(Path::new("/w"), "g1", "a.rs", &[("let old", "let new")]);
    let mut client = Client::connect(backend);
    client
        .initialize(json!({"capabilities": {}, "rootUri": "file:///w"}))
        .await;
    client.open(A, 1, TEXT).await;
    let offered = actions(&mut client, 1, json!({"diagnostics": []})).await;
    // Commands themselves: it knows no code actions either.
    assert_eq!(offered[0]["command"], command::HUNK_ACCEPT);
    assert_eq!(offered[0]["arguments"], json!([{"hunkId": "g1.1"}]));
}

#[tokio::test]
async fn arguments_are_checked_and_the_error_names_the_key() {
    let (mut client, backend) = proposal().await;
    let cases = [
        (command::GOAL_SUBMIT, json!({}), "prompt"),
        (command::GOAL_SUBMIT, json!({"promt": "x"}), "promt"),
        (
            command::GOAL_SUBMIT,
            json!({"prompt": 1}),
            "arguments[0].prompt",
        ),
        (
            command::GOAL_SUBMIT,
            json!({"prompt": "x", "scope": {"kind": "all"}}),
            "arguments[0].scope.kind",
        ),
        (
            command::GOAL_SUBMIT,
            json!({"prompt": "x", "scope": {"kind": "files"}}),
            "uris or globs",
        ),
        (
            command::GOAL_SUBMIT,
            json!({"prompt": "x", "scope": {"kind": "open", "uris": ["/w/a.rs"]}}),
            "file:///",
        ),
        (
            command::GOAL_SUBMIT,
            json!({"prompt": "x", "scope": {"kind": "open", "uris": ["file:///other/a"]}}),
            "scope.uris[0]",
        ),
        (
            command::GOAL_SUBMIT,
            json!({"prompt": "x", "scope": {"kind": "open", "range": {"startLine": 1, "endLine": 2}}}),
            "scope.uris",
        ),
        (
            command::GOAL_SUBMIT,
            json!({"prompt": "x", "scope": {"kind": "open", "uris": [A], "range": {"startLine": 2, "endLine": 2}}}),
            "endLine",
        ),
        (
            command::GOAL_SUBMIT,
            json!({"prompt": "x", "plan": {"tasks": [{"title": "t"}]}}),
            "arguments[0].plan.tasks[0]",
        ),
        (command::GOAL_LIST, json!({"all": true}), "all"),
        (command::GOAL_LIST, json!([1]), "expected an object"),
        (command::GOAL_SHOW, json!({}), "goalId"),
        (command::GOAL_SHOW, json!({"goalId": "g9"}), "g9"),
        (command::GOAL_CANCEL, json!({"goalId": "g9"}), "g9"),
        (
            command::GOAL_RETRY,
            json!({"goalId": 3}),
            "arguments[0].goalId",
        ),
        (command::GOAL_UNDO, json!({"goalId": "g9"}), "g9"),
        (
            command::GOAL_ACCEPT,
            json!({"goalId": "g1", "uri": "file:///x"}),
            "file:///x",
        ),
        (command::GOAL_REJECT, json!({"goal": "g1"}), "goal"),
        (
            command::PLAN_APPROVE,
            json!({"goalId": "g1", "plan": 1}),
            "arguments[0].plan",
        ),
        (command::GOAL_REDO, json!({"goalId": "g9"}), "g9"),
        (command::HUNK_UNDO, json!({"hunkId": "4f2a"}), "hunkId"),
        (command::HUNK_DIFF, json!({"hunkId": "g9.1"}), "g9"),
        (
            command::HUNK_RESOLVE,
            json!({"hunkId": "g1.1"}),
            "resolution",
        ),
        (
            command::HUNK_RESOLVE,
            json!({"hunkId": "g1.1", "resolution": {"kind": "ours"}}),
            "arguments[0].resolution",
        ),
        (command::HUNK_ACCEPT, json!({"hunkId": "4f2a"}), "hunkId"),
        (command::HUNK_ACCEPT, json!({"hunkId": "g9.1"}), "g9"),
        (
            command::HUNK_REJECT,
            json!({"hunkId": "g1.1", "applied": "yes"}),
            "arguments[0].applied",
        ),
        ("claudecluster.goal.delete", json!({}), "unknown command"),
    ];
    for (name, argument, expected) in cases {
        let reply = client.command(name, argument.clone()).await;
        let message = reply["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(expected), "{name} {argument}: {reply}");
        assert!(
            reply["error"]["data"]["kind"].is_string(),
            "{name} {argument}: {reply}"
        );
    }
    let two = json!({"command": command::GOAL_LIST, "arguments": [{}, {}]});
    let reply = client.request("workspace/executeCommand", two).await;
    assert_eq!(reply["error"]["code"], -32602);
    backend.with(|state| {
        assert!(state.submitted.is_empty() && state.decisions.is_empty());
        assert!(state.cancelled.is_empty() && state.retried.is_empty());
    });
}

#[tokio::test]
async fn a_goal_is_about_the_open_documents() {
    let backend = Arc::new(Recorder::default());
    let mut client = Client::connect(backend.clone());
    let folders = json!([
        {"uri": "file:///w", "name": "w"},
        {"uri": "file:///v", "name": "v"},
    ]);
    client
        .initialize(json!({"capabilities": capable(), "workspaceFolders": folders}))
        .await;
    let refused = client
        .command(command::GOAL_SUBMIT, json!({"prompt": "x"}))
        .await;
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("several workspace folders")
    );
    for uri in [
        "file:///v/other.rs",
        "untitled:Untitled-1",
        "file:///elsewhere/x",
        A,
        "file:///w/src/b.rs",
    ] {
        client.open(uri, 1, "text\n").await;
    }
    // Of the folder last typed in.
    client.change("file:///w/src/b.rs", 2, "more\n").await;
    let reply = client
        .command(command::GOAL_SUBMIT, json!({"prompt": "improve"}))
        .await;
    assert_eq!(reply["result"], json!({"goalId": "g1"}));
    let rel = |path: &str| RelPath::new(path).unwrap();
    backend.with(|state| {
        let spec = &state.submitted[0];
        assert_eq!(
            (spec.workspace.as_str(), spec.prompt.as_str()),
            ("/w", "improve")
        );
        assert_eq!(spec.scope.kind, GoalScopeKind::Open);
        assert_eq!(spec.scope.files, [rel("a.rs"), rel("src/b.rs")]);
    });
    // With a selection, which names its document.
    let scope = json!({"kind": "open", "uris": ["file:///v/other.rs"], "range": {"startLine": 1, "endLine": 3}});
    client
        .command(command::GOAL_SUBMIT, json!({"prompt": "x", "scope": scope}))
        .await;
    let scope = json!({"kind": "workspace"});
    client
        .command(command::GOAL_SUBMIT, json!({"prompt": "x", "scope": scope}))
        .await;
    backend.with(|state| {
        let spec = &state.submitted[1];
        assert_eq!(spec.workspace, "/v");
        let selection = spec.scope.selection.as_ref().unwrap();
        assert_eq!(
            (&selection.path, selection.start_line, selection.end_line),
            (&rel("other.rs"), 1, 3)
        );
        assert!(state.submitted[2].scope.files.is_empty());
        // The driver sees documents that show files, and nothing else.
        assert_eq!(state.editors[0].documents().len(), 4);
    });
    let removed = json!({"event": {"added": [], "removed": folders}});
    client
        .notify("workspace/didChangeWorkspaceFolders", removed)
        .await;
    let refused = client
        .command(command::GOAL_SUBMIT, json!({"prompt": "x"}))
        .await;
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no workspace folder")
    );
}

#[tokio::test]
async fn accepting_answers_before_it_edits() {
    let (mut client, backend) = proposal().await;
    let accept = client.start_request(
        "workspace/executeCommand",
        json!({"command": command::HUNK_ACCEPT, "arguments": [{"hunkId": "g1.1"}]}),
    );
    let accept = accept.await;
    // An editor that stands still until it is answered gets its answer first.
    assert_eq!(client.reply(accept).await["result"], Value::Null);
    let edit = client.told("workspace/applyEdit").await;
    assert_eq!(
        edit["params"]["edit"]["documentChanges"][0]["textDocument"]["version"],
        1
    );
    assert_eq!(edit["params"]["label"], "accept");
    client.change(A, 2, &TEXT.replace("old", "new")).await;
    client.answer(&edit, json!({"applied": true})).await;
    let decision = backend.with(|state| state.decisions[0].clone());
    assert_eq!(
        (decision.verdict, decision.applied),
        (Verdict::Accept, false)
    );
}

#[tokio::test]
async fn what_goes_wrong_after_the_answer_is_told() {
    let (mut client, _) = proposal().await;
    client
        .command(command::HUNK_ACCEPT, json!({"hunkId": "g1.1"}))
        .await;
    let edit = client.told("workspace/applyEdit").await;
    client
        .answer(
            &edit,
            json!({"applied": false, "failureReason": "read-only"}),
        )
        .await;
    let told = client.told("window/showMessage").await;
    let message = told["params"]["message"].as_str().unwrap();
    assert!(
        message.contains("g1") && message.contains("read-only"),
        "{message}"
    );
}

#[tokio::test]
async fn changes_and_contents_for_thin_clients() {
    let (mut client, backend) = proposal().await;
    backend.propose(Path::new("/w"), "g2", "unopened.rs", &[("a\n", "b\n")]);
    backend.propose(Path::new("/elsewhere"), "g3", "c.rs", &[("a\n", "b\n")]);
    let all = client.request("claudecluster/changes", json!({})).await["result"].clone();
    let listed: Vec<_> = all["documents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|document| {
            (
                document["uri"].as_str().unwrap(),
                document["version"].clone(),
            )
        })
        .collect();
    assert_eq!(
        listed,
        [(A, json!(1)), ("file:///w/unopened.rs", Value::Null)]
    );
    let one = client
        .request(
            "claudecluster/changes",
            json!({"uri": "file:///w/unopened.rs"}),
        )
        .await;
    assert_eq!(one["result"]["documents"][0]["hunks"][0]["id"], "g2.2");
    let bad = client
        .request("claudecluster/changes", json!({"uri": "no"}))
        .await;
    assert_eq!(bad["error"]["code"], -32602);
    let content = json!({"goalId": "g1", "uri": A, "side": "proposed"});
    let content = client.request("claudecluster/content", content).await;
    assert_eq!(content["result"], json!({"text": "the text of a.rs"}));
    let lenses = json!({"textDocument": {"uri": A}});
    let lenses = client.request("textDocument/codeLens", lenses).await["result"].clone();
    assert_eq!(lenses[0]["command"]["command"], command::HUNK_ACCEPT);
    assert_eq!(lenses[1]["command"]["command"], command::HUNK_REJECT);
}

/// Whatever a client sends as positions, it is answered, and the document goes on.
#[tokio::test]
async fn bad_positions_are_clamped() {
    let backend = Arc::new(Recorder {
        echo: true,
        ..Recorder::default()
    });
    let mut client = Client::start(backend).await;
    client.open(A, 1, "ab\ncd\n").await;
    let at = |line: i64, character: i64| json!({"line": line, "character": character});
    let cases = [
        (at(-1, -5), at(0, 1), "xb\ncd\n"),
        (at(0, 99), at(0, 1), "xx\ncd\n"),
        (at(99, 0), at(99, 9), "xx\ncd\nx"),
        (at(1, 4_294_967_296), at(1, i64::MAX), "xx\ncdx\nx"),
    ];
    for (version, (start, end, expected)) in (2..).zip(cases) {
        let change = json!({"range": {"start": start, "end": end}, "text": "x"});
        let params = json!({
            "textDocument": {"uri": A, "version": version},
            "contentChanges": [change],
        });
        client.notify("textDocument/didChange", params).await;
        let seen = client
            .request("claudecluster/changes", json!({"uri": A}))
            .await;
        assert_eq!(
            seen["result"]["documents"][0]["hunks"][0]["newText"],
            expected
        );
    }
    // A change to what is not open changes nothing.
    client.change("file:///w/closed.rs", 1, "x").await;
    assert!(backend_has_no_goal(&mut client).await);
}

async fn backend_has_no_goal(client: &mut Client) -> bool {
    client.command(command::GOAL_LIST, json!({})).await["result"] == json!([])
}

/// The driver's handle is one of the things that can be served.
#[test]
fn the_driver_is_a_backend() {
    fn takes<S: EditorService>() {}
    takes::<claudecluster_driver::Driver>();
}
