//! What the server does by itself: edits, progress, messages, diagnostics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that gets here has failed"
)]

use std::{path::Path, sync::Arc, time::Duration};

use claudecluster_lsp::LspConfig;
use claudecluster_protocol::{
    GoalId, GoalState, Span,
    editor::{EditChecksum, command},
};
use claudecluster_service::{DocumentDeletion, DocumentEdit, EditError};
use futures::FutureExt;
use serde_json::{Value, json};

use crate::support::{
    backend::Recorder,
    client::{Client, capable},
};

const A: &str = "file:///w/a.rs";
const TEXT: &str = "fn main() {\n    let old = 1;\n}\n";

/// How an edit ends, by what the client answers and what it reports.
#[tokio::test]
async fn an_edit_counts_when_its_text_is_seen() {
    async fn edit(
        reply: Option<Value>,
        changes: &[(i32, &str)],
        close: bool,
    ) -> Result<(i32, String), EditError> {
        let backend = Arc::new(Recorder::default());
        // Only what never comes is waited for in vain.
        let short = Duration::from_millis(300);
        let long = Duration::from_secs(60);
        let config = LspConfig {
            reply_timeout: if reply.is_some() { long } else { short },
            observe_timeout: if changes.is_empty() { short } else { long },
            ..LspConfig::default()
        };
        let mut client = Client::connect_with(backend.clone(), config);
        client
            .initialize(json!({"capabilities": capable(), "rootUri": "file:///w"}))
            .await;
        client.open(A, 5, "one\n").await;
        client.command(command::GOAL_LIST, json!({})).await;
        let editor = backend.editor();
        let document = editor.document(Path::new("/w/a.rs")).unwrap();
        let after = "one two\n".to_owned();
        let job = DocumentEdit {
            document,
            after,
            label: "l".into(),
        };
        let task = tokio::spawn(async move { editor.edit(job).await });
        let request = client.told("workspace/applyEdit").await;
        for (version, text) in changes {
            client.change(A, *version, text).await;
        }
        if close {
            client
                .notify("textDocument/didClose", json!({"textDocument": {"uri": A}}))
                .await;
        }
        if let Some(reply) = reply {
            client.answer(&request, reply).await;
        }
        let document = task.await.unwrap()?;
        Ok((document.version, document.text.to_string()))
    }
    let yes = || Some(json!({"applied": true}));
    let no = || Some(json!({"applied": false}));
    let seen = edit(yes(), &[(6, "one two\n")], false).await.unwrap();
    assert_eq!(seen, (6, "one two\n".into()));
    // Typing right after it does not hide it.
    let seen = edit(yes(), &[(6, "one two\n"), (7, "one two!\n")], false)
        .await
        .unwrap();
    assert_eq!(seen, (6, "one two\n".into()));
    // A client that says yes and has dropped it: the other text comes back for the driver to see.
    let dropped = edit(yes(), &[(6, "none\n")], false).await.unwrap();
    assert_eq!(dropped, (6, "none\n".into()));
    assert!(matches!(
        edit(yes(), &[], false).await,
        Err(EditError::Unconfirmed)
    ));
    assert!(matches!(
        edit(None, &[], false).await,
        Err(EditError::Unconfirmed)
    ));
    assert!(matches!(
        edit(no(), &[(6, "x")], false).await,
        Err(EditError::Stale)
    ));
    assert!(matches!(
        edit(no(), &[], false).await,
        Err(EditError::Refused(_))
    ));
    assert!(matches!(
        edit(yes(), &[], true).await,
        Err(EditError::Closed)
    ));
    // No answer, but the text is there: that is what counts.
    assert!(edit(None, &[(6, "one two\n")], false).await.is_ok());
}

/// yegappan/lsp in Vim makes an edit in steps, and tells each: what is between them is not the end of it.
#[tokio::test]
async fn an_edit_that_is_told_in_steps_is_waited_for() {
    let backend = Arc::new(Recorder::default());
    let config = LspConfig {
        observe_timeout: Duration::from_secs(60),
        ..LspConfig::default()
    };
    let mut client = Client::connect_with(backend.clone(), config);
    let mut capabilities = capable();
    capabilities["workspace"]["workspaceEdit"] = json!({"resourceOperations": ["create"]});
    let params = json!({
        "clientInfo": {"name": "Vim", "version": "9002142"},
        "capabilities": capabilities,
        "rootUri": "file:///w",
    });
    client.initialize(params).await;
    client.open(A, 1, "one\ntwo\nthree\n").await;
    client.command(command::GOAL_LIST, json!({})).await;
    let editor = backend.editor();
    let job = DocumentEdit {
        document: editor.document(Path::new("/w/a.rs")).unwrap(),
        after: "1\n".into(),
        label: "l".into(),
    };
    let mut task = tokio::spawn(async move { editor.edit(job).await });
    let request = client.told("workspace/applyEdit").await;
    // It looks at no version, and need not be given one.
    assert!(
        request["params"]["edit"]["changes"].is_object(),
        "{request}"
    );
    client.change(A, 2, "1\ntwo\nthree\n").await;
    client.answer(&request, json!({"applied": true})).await;
    // Answered after what came before it has been taken in.
    client.command(command::GOAL_LIST, json!({})).await;
    assert!((&mut task).now_or_never().is_none());
    client.change(A, 3, "1\n").await;
    assert_eq!(task.await.unwrap().unwrap().version, 3);
}

/// How a deletion ends, by what the client answers, what is typed meanwhile, and whether the document is closed.
#[tokio::test]
async fn a_deletion_counts_when_its_document_is_closed() {
    async fn delete(
        reply: Option<Value>,
        typed: Option<&str>,
        close: bool,
    ) -> Result<String, EditError> {
        let backend = Arc::new(Recorder::default());
        // Only what never comes is waited for in vain.
        let short = Duration::from_millis(300);
        let long = Duration::from_secs(60);
        let config = LspConfig {
            reply_timeout: if reply.is_some() { long } else { short },
            observe_timeout: if close { long } else { short },
            ..LspConfig::default()
        };
        let mut client = Client::connect_with(backend.clone(), config);
        let mut capabilities = capable();
        capabilities["workspace"]["workspaceEdit"]["resourceOperations"] = json!(["delete"]);
        client
            .initialize(json!({"capabilities": capabilities, "rootUri": "file:///w"}))
            .await;
        client.open(A, 5, "one\n").await;
        client.command(command::GOAL_LIST, json!({})).await;
        let editor = backend.editor();
        assert!(editor.deletes());
        let job = DocumentDeletion {
            document: editor.document(Path::new("/w/a.rs")).unwrap(),
            label: "l".into(),
        };
        let task = tokio::spawn({
            let (editor, job) = (editor.clone(), job.clone());
            async move { editor.delete(job).await }
        });
        let request = client.told("workspace/applyEdit").await;
        assert_eq!(
            request["params"]["edit"],
            json!({"documentChanges": [{"kind": "delete", "uri": A}]})
        );
        if let Some(text) = typed {
            client.change(A, 6, text).await;
        }
        if close {
            client
                .notify("textDocument/didClose", json!({"textDocument": {"uri": A}}))
                .await;
        }
        if let Some(reply) = reply {
            client.answer(&request, reply).await;
        }
        let last = task.await.unwrap()?.text.to_string();
        // What was decided about another text is never sent.
        client.change(A, 7, "two\n").await;
        client.command(command::GOAL_LIST, json!({})).await;
        let late = editor.delete(job).await;
        assert!(matches!(late, Err(EditError::Stale | EditError::Closed)));
        Ok(last)
    }
    let yes = || Some(json!({"applied": true}));
    let no = || Some(json!({"applied": false}));
    assert_eq!(delete(yes(), None, true).await.unwrap(), "one\n");
    assert_eq!(delete(yes(), Some("one!\n"), true).await.unwrap(), "one!\n");
    // Something shows it still: its text is there to be seen.
    assert_eq!(
        delete(yes(), Some("one!\n"), false).await.unwrap(),
        "one!\n"
    );
    // Whatever the client says, or does not.
    assert_eq!(delete(no(), None, true).await.unwrap(), "one\n");
    assert_eq!(delete(None, None, true).await.unwrap(), "one\n");
    let refused = delete(no(), None, false).await;
    assert!(matches!(refused, Err(EditError::Refused(_))));
    let silent = delete(None, None, false).await;
    assert!(matches!(silent, Err(EditError::Unconfirmed)));
}

/// An edit on its way to a document that is opened anew, with another text and the number it had: the client is
/// told for which text it is. Where it makes it all the same, what comes of that is no landing.
#[tokio::test]
async fn an_edit_says_for_which_text_it_is() {
    let anew = "another program's\none\n";
    for (makes_it, text) in [(false, anew), (true, "another program's two\none\n")] {
        let backend = Arc::new(Recorder::default());
        let mut client = Client::connect(backend.clone());
        let options = json!({"edits": true});
        client
            .initialize(json!({
                "capabilities": capable(),
                "initializationOptions": options,
                "rootUri": "file:///w",
            }))
            .await;
        client.open(A, 0, "one\r\n").await;
        client.command(command::GOAL_LIST, json!({})).await;
        let (editor, path) = (backend.editor(), Path::new("/w/a.rs"));
        let job = DocumentEdit {
            document: editor.document(path).unwrap(),
            after: "one two\r\n".into(),
            label: "l".into(),
        };
        let edit = tokio::spawn({
            let editor = editor.clone();
            async move { editor.edit(job).await }
        });
        let request = client.told("workspace/applyEdit").await;
        let of = EditChecksum::new(["one"]);
        assert_eq!(request["params"]["claudecluster"], json!(of));
        assert_ne!(of, EditChecksum::new([anew]));
        assert_eq!(
            request["params"]["edit"]["documentChanges"][0]["textDocument"]["version"],
            0
        );
        client
            .notify("textDocument/didClose", json!({"textDocument": {"uri": A}}))
            .await;
        client.open(A, 0, anew).await;
        if makes_it {
            client.change(A, 1, text).await;
        }
        client.answer(&request, json!({"applied": makes_it})).await;
        assert!(matches!(edit.await.unwrap(), Err(EditError::Closed)));
        let now = editor.document(path).unwrap().text.to_string();
        assert_eq!(now, text, "whoever landed it sees what is there");
    }
}

/// What Neovim opens has the version 0, and what it gets for version 0 it makes whatever has been typed since.
#[tokio::test]
async fn an_edit_of_what_neovim_has_opened_is_for_version_one() {
    for (name, expected) in [("Neovim", 1), ("another", 0)] {
        let backend = Arc::new(Recorder::default());
        let mut client = Client::connect(backend.clone());
        client
            .initialize(json!({
                "capabilities": capable(),
                "clientInfo": {"name": name},
                "rootUri": "file:///w",
            }))
            .await;
        client.open(A, 0, "one\n").await;
        client.command(command::GOAL_LIST, json!({})).await;
        let editor = backend.editor();
        let job = DocumentEdit {
            document: editor.document(Path::new("/w/a.rs")).unwrap(),
            after: "one two\n".into(),
            label: "l".into(),
        };
        let edit = tokio::spawn(async move { editor.edit(job).await });
        let request = client.told("workspace/applyEdit").await;
        let params = &request["params"];
        assert_eq!(
            params["edit"]["documentChanges"][0]["textDocument"]["version"],
            expected
        );
        assert!(params.get("claudecluster").is_none(), "nobody asked for it");
        client.change(A, 3, "one two\n").await;
        client.answer(&request, json!({"applied": true})).await;
        assert_eq!(edit.await.unwrap().unwrap().version, 3);
    }
}

/// A document that is closed may be about to be opened again: an editor that loads a file anew does that.
#[tokio::test]
async fn a_closing_counts_once_the_editor_has_answered() {
    #[derive(PartialEq)]
    enum Then {
        StaysClosed,
        Opens,
        HangsUp,
        SaysNothing,
    }
    async fn check(then: Then, applied: bool) {
        let backend = Arc::new(Recorder::default());
        let config = LspConfig {
            // Only what never comes is waited for in vain.
            reply_timeout: match then {
                Then::SaysNothing => Duration::from_millis(300),
                _ => Duration::from_secs(60),
            },
            ..LspConfig::default()
        };
        let mut client = Client::connect_with(backend.clone(), config);
        let mut capabilities = capable();
        capabilities["workspace"]["configuration"] = json!(true);
        client
            .initialize(json!({"capabilities": capabilities, "rootUri": "file:///w"}))
            .await;
        let settings = client.told("workspace/configuration").await;
        client.answer(&settings, json!([null])).await;
        client.open(A, 5, "one\n").await;
        client.command(command::GOAL_LIST, json!({})).await;
        let (editor, path) = (backend.editor(), Path::new("/w/a.rs"));
        assert!(!editor.settled(path).await, "it is open");
        let edit = tokio::spawn({
            let editor = editor.clone();
            let job = DocumentEdit {
                document: editor.document(path).unwrap(),
                after: "one two\n".into(),
                label: "l".into(),
            };
            async move { editor.edit(job).await }
        });
        let request = client.told("workspace/applyEdit").await;
        client
            .notify("textDocument/didClose", json!({"textDocument": {"uri": A}}))
            .await;
        let first = client.told("workspace/configuration").await;
        assert!(editor.document(path).is_none());
        let mut settled = editor.settled(path);
        assert!((&mut settled).now_or_never().is_none());
        match then {
            Then::StaysClosed => {
                client.answer(&first, json!([null])).await;
                let second = client.told("workspace/configuration").await;
                assert!((&mut settled).now_or_never().is_none());
                client.answer(&second, json!([null])).await;
            }
            Then::Opens => client.open(A, 5, "one\n").await,
            Then::HangsUp => client.hang_up().await,
            Then::SaysNothing => {}
        }
        assert_eq!(settled.await, then != Then::HangsUp);
        assert_eq!(editor.document(path).is_some(), then == Then::Opens);
        if then != Then::HangsUp {
            client.answer(&request, json!({"applied": applied})).await;
            // It was for the document that is gone, whatever the client says.
            assert!(!editor.settled(path).await);
        }
        let ended = edit.await.unwrap();
        if then == Then::SaysNothing {
            assert!(matches!(ended, Err(EditError::Unconfirmed)));
        } else {
            assert!(matches!(ended, Err(EditError::Closed)));
        }
    }
    for applied in [true, false] {
        check(Then::Opens, applied).await;
        check(Then::StaysClosed, applied).await;
    }
    check(Then::HangsUp, true).await;
    check(Then::SaysNothing, true).await;

    // A client that takes no questions means what it says.
    let backend = Arc::new(Recorder::default());
    let mut client = Client::start(backend.clone()).await;
    client.open(A, 1, "one\n").await;
    client.command(command::GOAL_LIST, json!({})).await;
    let (editor, path) = (backend.editor(), Path::new("/w/a.rs"));
    let document = editor.document(path).unwrap();
    client
        .notify("textDocument/didClose", json!({"textDocument": {"uri": A}}))
        .await;
    client.command(command::GOAL_LIST, json!({})).await;
    assert!(editor.document(path).is_none());
    assert!(!editor.settled(path).await);

    // What was for the text before is not for one that has the same number.
    client.open(A, 1, "another\n").await;
    client.command(command::GOAL_LIST, json!({})).await;
    let job = DocumentEdit {
        document,
        after: "one two\n".into(),
        label: "l".into(),
    };
    assert!(matches!(editor.edit(job).await, Err(EditError::Stale)));
}

#[tokio::test]
async fn edits_of_one_document_go_one_after_the_other() {
    let backend = Arc::new(Recorder::default());
    let mut client = Client::start(backend.clone()).await;
    client.open(A, 1, "one\n").await;
    client.command(command::GOAL_LIST, json!({})).await;
    let editor = backend.editor();
    let document = editor.document(Path::new("/w/a.rs")).unwrap();
    let job = |after: &str| {
        let editor = editor.clone();
        let edit = DocumentEdit {
            document: document.clone(),
            after: after.into(),
            label: "l".into(),
        };
        tokio::spawn(async move { editor.edit(edit).await })
    };
    let tasks = [job("one a\n"), job("one b\n")];
    let request = client.told("workspace/applyEdit").await;
    let new = request["params"]["edit"]["documentChanges"][0]["edits"][0]["newText"].clone();
    client
        .change(A, 2, &format!("one{}\n", new.as_str().unwrap()))
        .await;
    client.answer(&request, json!({"applied": true})).await;
    let mut ended = Vec::new();
    for task in tasks {
        ended.push(task.await.unwrap());
    }
    // The second was computed from a text that is gone: it is never sent.
    assert_eq!(ended.iter().filter(|end| end.is_ok()).count(), 1);
    assert_eq!(
        ended
            .iter()
            .filter(|end| matches!(end, Err(EditError::Stale)))
            .count(),
        1
    );

    let waiting = {
        let editor = editor.clone();
        tokio::spawn(async move {
            editor
                .changed(Path::new("/w/a.rs"), 2, Span::from_secs(60))
                .await
        })
    };
    client.change(A, 9, "typed\n").await;
    assert_eq!(waiting.await.unwrap().unwrap().version, 9);
    // A connection that ends lets nobody wait.
    let last = editor.document(Path::new("/w/a.rs")).unwrap();
    let edit = DocumentEdit {
        document: last,
        after: "x".into(),
        label: "l".into(),
    };
    let task = tokio::spawn({
        let editor = editor.clone();
        async move { editor.edit(edit).await }
    });
    client.told("workspace/applyEdit").await;
    client.hang_up().await;
    assert!(matches!(task.await.unwrap(), Err(EditError::Closed)));
}

#[tokio::test]
async fn progress_begins_after_its_token_and_ends_with_the_outcome() {
    let backend = Arc::new(Recorder::default());
    let mut client = Client::start(backend.clone()).await;
    // The server follows the events once it has been initialized.
    client.open(A, 1, TEXT).await;
    client.command(command::GOAL_LIST, json!({})).await;
    backend.add_goal(Path::new("/elsewhere"), "g2", GoalState::Running);
    backend.propose(
        Path::new("/w"),
        "g1",
        "a.rs",
        &[("let old", "let new"), ("main", "start")],
    );
    backend.set_state("g2", GoalState::Planning).await;
    backend.set_state("g1", GoalState::Planning).await;
    let create = client.told("window/workDoneProgress/create").await;
    let token = create["params"]["token"].as_str().unwrap().to_owned();
    assert!(token.contains("g1"), "{token}");
    client.answer(&create, Value::Null).await;
    let begin = client.told("$/progress").await["params"].clone();
    assert_eq!(begin["token"], token.as_str());
    assert_eq!(begin["value"]["kind"], "begin");
    assert_eq!(begin["value"]["title"], "g1 make it better");
    assert_eq!(begin["value"]["cancellable"], true);
    backend.set_state("g1", GoalState::Gating).await;
    let report = client.told("$/progress").await["params"]["value"].clone();
    assert_eq!(
        (&report["kind"], &report["percentage"]),
        (&json!("report"), &json!(95))
    );
    client
        .notify("window/workDoneProgress/cancel", json!({ "token": token }))
        .await;
    backend.cancelled.notified().await;
    assert_eq!(
        backend.with(|state| state.cancelled.clone()),
        [GoalId::new("g1")]
    );
    backend.set_state("g1", GoalState::Proposed).await;
    let end = client.told("$/progress").await["params"]["value"].clone();
    assert_eq!(
        end,
        json!({"kind": "end", "message": "2 changes proposed in 1 file"})
    );
    // A client that does not tell its user itself gets a message.
    let told = client.told("window/showMessage").await;
    assert!(
        told["params"]["message"]
            .as_str()
            .unwrap()
            .starts_with("g1: 2 changes proposed in 1 file")
    );
}

#[tokio::test]
async fn a_plan_can_be_approved_from_a_message() {
    let backend = Arc::new(Recorder::default());
    let mut client = Client::start(backend.clone()).await;
    client.command(command::GOAL_LIST, json!({})).await;
    backend.add_goal(Path::new("/w"), "g1", GoalState::Planning);
    backend.set_state("g1", GoalState::AwaitingApproval).await;
    let question = client.told("window/showMessageRequest").await;
    client
        .answer(&question, json!({"title": "Cancel the goal"}))
        .await;
    backend.cancelled.notified().await;
    assert_eq!(backend.with(|state| state.cancelled.len()), 1);
}

#[tokio::test]
async fn events_go_to_those_who_ask_and_conflicts_to_all() {
    let backend = Arc::new(Recorder::default());
    let mut client = Client::connect(backend.clone());
    let params = json!({
        "capabilities": capable(),
        "rootUri": "file:///w",
        "initializationOptions": {"claudecluster": {"events": true, "prompts": true}},
    });
    client.initialize(params).await;
    client.open(A, 1, TEXT).await;
    client.command(command::GOAL_LIST, json!({})).await;
    backend.propose(Path::new("/w"), "g1", "a.rs", &[("what is not there", "x")]);
    backend.set_state("g1", GoalState::Proposed).await;
    let event = client.told("claudecluster/event").await["params"].clone();
    assert_eq!(
        (&event["type"], &event["state"]),
        (&json!("goalChanged"), &json!("proposed"))
    );
    let published = client.told("textDocument/publishDiagnostics").await["params"].clone();
    assert_eq!(
        (&published["uri"], &published["version"]),
        (&json!(A), &json!(1))
    );
    assert_eq!(published["diagnostics"][0]["source"], "claudecluster");
    assert_eq!(published["diagnostics"][0]["code"], "g1.1");
    client
        .notify("textDocument/didClose", json!({"textDocument": {"uri": A}}))
        .await;
    let cleared = client.told("textDocument/publishDiagnostics").await["params"].clone();
    assert_eq!(cleared["diagnostics"], json!([]));
    // A goal for a selection, with the client's own command.
    client.open(A, 2, TEXT).await;
    let at = json!({"line": 1, "character": 0});
    let params = json!({
        "textDocument": {"uri": A},
        "range": {"start": at, "end": at},
        "context": {"diagnostics": [], "only": ["refactor.rewrite"]},
    });
    let offered = client.request("textDocument/codeAction", params).await["result"].clone();
    assert_eq!(offered[0]["title"], "Start a goal for this line…");
    assert_eq!(
        offered[0]["command"]["command"],
        "claudecluster.client.prompt"
    );
    assert_eq!(
        offered[0]["command"]["arguments"],
        json!([{"uri": A, "range": {"startLine": 1, "endLine": 2}}])
    );
}

/// Decisions are carried out in the order they were made, and those made last before the editor went
/// as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_keep_their_order() {
    let backend = Arc::new(Recorder::default());
    backend.add_goal(Path::new("/w"), "g1", GoalState::Proposed);
    let mut client = Client::start(backend.clone()).await;
    let mut asked = Vec::new();
    for n in 0..100 {
        let argument = json!({"hunkId": format!("g1.{n}")});
        let params = json!({"command": command::HUNK_REJECT, "arguments": [argument]});
        asked.push(
            client
                .start_request("workspace/executeCommand", params)
                .await,
        );
    }
    for id in asked {
        assert_eq!(client.reply(id).await["result"], Value::Null);
    }
    client.hang_up().await;
    client.ended().await;
    while backend.with(|state| state.decisions.len()) < 100 {
        tokio::task::yield_now().await;
    }
    let decided = backend.with(|state| state.decisions.clone());
    for (n, decision) in decided.iter().enumerate() {
        let hunk = decision.hunk_id.as_ref().map(|hunk| hunk.to_string());
        assert_eq!(hunk, Some(format!("g1.{n}")));
    }
}
