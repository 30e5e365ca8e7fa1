//! Review in an editor: lenses, conflicts, undo, who wrote what, diffs, and pending hunks that follow
//! the text.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that gets here has failed"
)]

use std::{os::unix::fs::MetadataExt, path::Path, sync::Arc};

use claudecluster_lsp::LspConfig;
use claudecluster_protocol::{
    ChangeKind, GoalState, editor::command, event::Verdict, resolution::Resolution,
};
use serde_json::{Value, json};

use crate::support::{
    backend::Recorder,
    client::{Client, capable},
};

const A: &str = "file:///w/a.rs";
const TEXT: &str = "fn main() {\n    let old = 1;\n}\n";
/// The developer has typed over what the proposal changes.
const TYPED: &str = "let mine = 1;\n}\n";

fn backend() -> Arc<Recorder> {
    let backend = Arc::new(Recorder::default());
    let change = ("    let old = 1;\n", "    let new = 1;\n");
    backend.propose(Path::new("/w"), "g1", "a.rs", &[change]);
    backend
}

/// What an editor sends that is `capable` and has some more.
fn with(document: &Value, window: &Value) -> Value {
    let mut capabilities = capable();
    let merge = |into: &mut Value, more: &Value| {
        for (key, value) in more.as_object().unwrap() {
            into[key] = value.clone();
        }
    };
    merge(&mut capabilities["textDocument"], document);
    merge(&mut capabilities["window"], window);
    capabilities
}

async fn start(backend: &Arc<Recorder>, capabilities: Value, options: Value) -> Client {
    let mut client = Client::connect(backend.clone());
    let params = json!({
        "capabilities": capabilities,
        "rootUri": "file:///w",
        "initializationOptions": options,
    });
    client.initialize(params).await;
    client
}

async fn lenses(client: &mut Client) -> Vec<Value> {
    let params = json!({"textDocument": {"uri": A}});
    let reply = client.request("textDocument/codeLens", params).await;
    reply["result"].as_array().unwrap().clone()
}

async fn actions(client: &mut Client, line: u32, trigger: u32) -> Vec<Value> {
    let at = json!({"line": line, "character": 0});
    let params = json!({
        "textDocument": {"uri": A},
        "range": {"start": at, "end": at},
        "context": {"diagnostics": [], "triggerKind": trigger},
    });
    let reply = client.request("textDocument/codeAction", params).await;
    reply["result"].as_array().unwrap().clone()
}

async fn hover(client: &mut Client, line: u32) -> Value {
    let at = json!({"line": line, "character": 0});
    let params = json!({"textDocument": {"uri": A}, "position": at});
    client.request("textDocument/hover", params).await["result"].clone()
}

fn titles<'a>(all: &'a [Value], of: impl Fn(&'a Value) -> &'a Value) -> Vec<&'a str> {
    all.iter()
        .map(|one| of(one)["title"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn lenses_say_what_can_be_done() {
    let backend = backend();
    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, TEXT).await;
    let clean = lenses(&mut client).await;
    let expected = ["Accept change from Rename things", "Reject", "Diff"];
    assert_eq!(titles(&clean, |lens| &lens["command"]), expected);

    client.change(A, 2, TYPED).await;
    let conflict = lenses(&mut client).await;
    let expected = [
        "Conflict between you and Rename things",
        "Mine",
        "Theirs",
        "Both",
        "Diff",
    ];
    assert_eq!(titles(&conflict, |lens| &lens["command"]), expected);
    assert_eq!(conflict[0]["command"]["command"], command::HUNK_DIFF);
    let both = &conflict[3]["command"];
    assert_eq!(both["command"], command::HUNK_RESOLVE);
    assert_eq!(
        both["arguments"],
        json!([{"hunkId": "g1.1", "resolution": {"kind": "both"}}])
    );
    // An agent can be asked for a repair; the program of a `command` task cannot.
    backend.add_agent("g1");
    let conflict = lenses(&mut client).await;
    assert_eq!(conflict.last().unwrap()["command"]["title"], "Repair");
}

/// Neither has landed, and the developer has no part in it.
#[tokio::test]
async fn a_conflict_of_two_tasks_names_both() {
    let backend = backend();
    backend.with(|state| state.proposals[0].rival = Some("Go left"));
    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, TYPED).await;
    let told = client.told("textDocument/publishDiagnostics").await;
    assert_eq!(
        told["params"]["diagnostics"][0]["message"],
        "a change from \"Rename things\" (g1) conflicts with a change that \"Go left\" proposes here"
    );
    let between = "Conflict between Go left and Rename things";
    assert_eq!(lenses(&mut client).await[0]["command"]["title"], between);
    let offered = actions(&mut client, 0, 2).await;
    assert_eq!(offered[0]["title"], format!("{between}: keep mine"));
    client
        .command(command::HUNK_DIFF, json!({"hunkId": "g1.1"}))
        .await;
    let told = client.told("window/showMessage").await["params"]["message"].clone();
    let told = told.as_str().unwrap();
    for line in [
        between,
        "Proposed by Go left:",
        "Proposed by Rename things:",
    ] {
        assert!(told.contains(&format!("# {line}\n")), "{told}");
    }
}

#[tokio::test]
async fn a_conflict_is_resolved_from_the_menu() {
    let backend = backend();
    backend.add_agent("g1");
    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, TYPED).await;
    let offered = actions(&mut client, 0, 2).await;
    let conflict = "Conflict between you and Rename things";
    let expected = [
        "keep mine",
        "use theirs",
        "keep both",
        "insert conflict markers",
        "request a repair",
        "show both sides",
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|w| format!("{conflict}: {w}"))
        .collect();
    assert_eq!(titles(&offered, |action| action)[..6], expected);
    // Menus put first what settles the problem that the client has been told of.
    assert_eq!(offered[0].get("diagnostics"), None);
    let told = client.told("textDocument/publishDiagnostics").await;
    let problem = &told["params"]["diagnostics"][0];
    let at = json!({"line": 0, "character": 0});
    let params = json!({
        "textDocument": {"uri": A},
        "range": {"start": at, "end": at},
        "context": {"diagnostics": [problem, {"range": {"start": at, "end": at}, "message": "x"}]},
    });
    let reply = client.request("textDocument/codeAction", params).await;
    for action in &reply["result"].as_array().unwrap()[..6] {
        assert_eq!(action["diagnostics"], json!([problem]), "{action}");
    }
    let theirs = offered[1]["command"].clone();
    assert_eq!(theirs["command"], command::HUNK_RESOLVE);
    let argument = theirs["arguments"][0].clone();
    let answer = client.command(command::HUNK_RESOLVE, argument).await;
    assert_eq!(answer["result"], Value::Null);
    let edit = client.told("workspace/applyEdit").await;
    client.change(A, 2, "    let new = 1;\n}\n").await;
    client.answer(&edit, json!({"applied": true})).await;
    backend.propose(Path::new("/w"), "g1", "a.rs", &[("gone", "x")]);
    let repair = json!({
        "hunkId": "g1.2",
        "resolution": {"kind": "repair"},
        "reason": "keep the name",
    });
    client.command(command::HUNK_RESOLVE, repair).await;
    let told = client.told("window/showMessage").await["params"]["message"].clone();
    assert_eq!(
        told,
        "g1: 1 change resolved; started repair-t to address this"
    );
    let decided = backend.with(|state| state.decisions.clone());
    let decided: Vec<_> = decided
        .into_iter()
        .map(|decision| (decision.verdict, decision.resolution, decision.reason))
        .collect();
    let reason = Some("keep the name".to_owned());
    let expected = [
        (Verdict::Resolve, Some(Resolution::Theirs), None),
        (Verdict::Resolve, Some(Resolution::Repair), reason),
    ];
    assert_eq!(decided, expected);
}

/// Where the developer has changed other words of the line than the proposal.
const BESIDE: &str = "    let old: u8 = 1;\n}\n";

#[tokio::test]
async fn the_words_of_both_are_offered_first() {
    let backend = backend();
    backend.with(|state| state.proposals[0].new = "    let old = 2;\n".into());
    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, BESIDE).await;
    let shown = lenses(&mut client).await;
    let expected = ["Merged", "Mine", "Theirs", "Both", "Diff"];
    assert_eq!(titles(&shown, |lens| &lens["command"])[1..], expected);
    client
        .command(command::HUNK_DIFF, json!({"hunkId": "g1.1"}))
        .await;
    let told = client.told("window/showMessage").await["params"]["message"].clone();
    let expected = "\
# Merged word by word:
diff --git a/a.rs b/a.rs
--- a/a.rs
+++ b/a.rs
@@ -1,2 +1,2 @@
-    let old: u8 = 1;
+    let old: u8 = 2;
 }
";
    assert!(told.as_str().unwrap().ends_with(expected), "{told}");
    let offered = actions(&mut client, 0, 2).await;
    let merge = &offered[0];
    let title = "Conflict between you and Rename things: merge word by word";
    assert_eq!(merge["title"], title);
    let argument = json!({"hunkId": "g1.1", "resolution": {"kind": "merged"}});
    assert_eq!(merge["command"]["arguments"], json!([argument]));
    client.command(command::HUNK_RESOLVE, argument).await;
    let edit = client.told("workspace/applyEdit").await;
    client.change(A, 2, "    let old: u8 = 2;\n}\n").await;
    client.answer(&edit, json!({"applied": true})).await;
    let decided = backend.with(|state| state.decisions[0].resolution.clone());
    assert_eq!(decided, Some(Resolution::Merged));
}

/// Once it has landed, nothing in the text tells that it has: the server makes the edit.
#[tokio::test]
async fn what_lands_merged_is_the_servers_to_land() {
    let backend = backend();
    backend.with(|state| {
        state.proposals[0].new = "    let old = 2;\n".into();
        state.proposals[0].merges = true;
    });
    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, TEXT).await;
    for (version, text, line, own) in [(2, TEXT, 1, true), (3, BESIDE, 0, false)] {
        client.change(A, version, text).await;
        let offered = actions(&mut client, line, 2).await;
        let accept = &offered[0];
        assert_eq!(accept["data"].is_object(), own, "{accept}");
        assert_eq!(accept["command"].is_null(), own, "{accept}");
        let merged = ", merged word by word";
        let title = format!(
            "Accept change from Rename things{}",
            if own { "" } else { merged }
        );
        assert_eq!(accept["title"], title);
        let shown = lenses(&mut client).await;
        assert_eq!(titles(&shown, |lens| &lens["command"])[0], title);
    }
}

/// Files that are decided as a whole have two sides and nothing between.
#[tokio::test]
async fn a_file_in_conflict_is_mine_or_theirs() {
    let backend = Arc::new(Recorder::default());
    backend.add_goal(Path::new("/w"), "g1", GoalState::Proposed);
    backend.propose_file(Path::new("/w"), "g1", "a.rs", ChangeKind::Delete);
    backend.add_agent("g1");
    backend.with(|state| state.proposals[0].old = "not there".into());
    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, TYPED).await;
    let all = lenses(&mut client).await;
    let expected = ["Mine", "Theirs", "Diff"];
    assert_eq!(titles(&all, |lens| &lens["command"])[1..], expected);
}

#[tokio::test]
async fn a_reason_is_asked_for_where_the_client_can() {
    let backend = backend();
    backend.add_agent("g1");
    let mut client = start(&backend, capable(), json!({"prompts": true})).await;
    client.open(A, 1, TEXT).await;
    let offered = actions(&mut client, 1, 2).await;
    let reject = &offered[2];
    assert_eq!(
        reject["title"],
        "Reject change from Rename things with a reason…"
    );
    assert_eq!(reject["command"]["command"], "claudecluster.client.reason");
    let expected = json!([{
        "prompt": "Reason for rejecting:",
        "command": command::HUNK_REJECT,
        "argument": {"hunkId": "g1.1"},
    }]);
    assert_eq!(reject["command"]["arguments"], expected);
    client.change(A, 2, TYPED).await;
    let offered = actions(&mut client, 0, 2).await;
    let repair = &offered[4]["command"]["arguments"][0];
    assert_eq!(repair["command"], command::HUNK_RESOLVE);
    assert_eq!(
        repair["argument"],
        json!({"hunkId": "g1.1", "resolution": {"kind": "repair"}})
    );
}

#[tokio::test]
async fn more_than_one_is_accepted_from_the_menu() {
    let backend = backend();
    let more = [("fn main", "fn start")];
    backend.propose(Path::new("/w"), "g1", "a.rs", &more);
    backend.add_agent("g1");
    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, TEXT).await;
    let of = |offered: &[Value], title: &str| {
        let found = offered.iter().find(|action| action["title"] == title);
        found.map(|action| action["command"]["arguments"][0].clone())
    };
    let offered = actions(&mut client, 1, 1).await;
    assert_eq!(
        of(&offered, "Accept all changes of goal g1 in a.rs"),
        Some(json!({"goalId": "g1", "uri": A}))
    );
    assert_eq!(
        of(&offered, "Accept all changes from Rename things (g1)"),
        Some(json!({"goalId": "g1", "taskId": "t"}))
    );
    assert_eq!(
        of(&offered, "Accept all changes of goal g1"),
        Some(json!({"goalId": "g1"}))
    );
}

#[tokio::test]
async fn what_has_landed_is_undone_where_it_is() {
    let backend = backend();
    backend.land(Path::new("/w"), "g2", "a.rs", "fn main() {\n");
    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, TEXT).await;
    let offered = actions(&mut client, 0, 1).await;
    let expected = [
        "Undo change from Rename things",
        "Undo goal g2: make it better",
        "Redo goal g2: make it better",
    ];
    let shown = titles(&offered, |action| action);
    assert_eq!(shown[shown.len() - 3..], expected);
    let undo = &offered[offered.len() - 3]["command"];
    assert_eq!(undo["command"], command::HUNK_UNDO);
    assert_eq!(undo["arguments"], json!([{"hunkId": "g2.2"}]));
    // It is no reason to light a bulb, and not offered on other lines.
    assert!(actions(&mut client, 0, 2).await.is_empty());
    let elsewhere = actions(&mut client, 2, 1).await;
    let shown = titles(&elsewhere, |action| action);
    assert!(
        !shown.contains(&"Undo change from Rename things"),
        "{shown:?}"
    );

    client
        .command(command::HUNK_UNDO, json!({"hunkId": "g2.2"}))
        .await;
    let edit = client.told("workspace/applyEdit").await;
    client
        .change(A, 2, &TEXT.replacen("fn main() {\n", "", 1))
        .await;
    client.answer(&edit, json!({"applied": true})).await;
    client
        .command(command::GOAL_REDO, json!({"goalId": "g2", "taskId": "t"}))
        .await;
    client.told("window/showMessage").await;
    let decided = backend.with(|state| state.decisions.clone());
    let verdicts: Vec<_> = decided.iter().map(|decision| decision.verdict).collect();
    assert_eq!(verdicts, [Verdict::Undo, Verdict::Redo]);
}

#[tokio::test]
async fn hover_says_who_and_why() {
    let backend = backend();
    backend.land(Path::new("/w"), "g2", "a.rs", "    let old = 1;\n");
    let formats = |formats: Value| with(&json!({"hover": {"contentFormat": formats}}), &json!({}));
    let markdown = formats(json!(["markdown", "plaintext"]));
    let mut client = start(&backend, markdown, Value::Null).await;
    client.open(A, 1, TEXT).await;
    assert_eq!(hover(&mut client, 0).await, Value::Null);
    let both = hover(&mut client, 1).await["contents"].clone();
    assert_eq!(both["kind"], "markdown");
    let expected = "\
**Pending change** · g1 · make it better

Rename things (task t, attempt 1)
> `old` said \\<nothing\\>.

---

**Accepted change** · g2 · make it better

Rename things (task t, attempt 1)
> `old` said \\<nothing\\>.";
    assert_eq!(both["value"], expected);
    client.change(A, 2, TYPED).await;
    let conflict = hover(&mut client, 0).await["contents"]["value"].clone();
    assert!(
        conflict
            .as_str()
            .unwrap()
            .starts_with("**Conflicting change** · g1")
    );

    for plain in [formats(json!(["plaintext", "markdown"])), capable()] {
        let mut client = start(&backend, plain, Value::Null).await;
        client.open(A, 1, TYPED).await;
        let contents = hover(&mut client, 0).await["contents"].clone();
        let expected = "\
Conflicting change · g1 · make it better
Rename things (task t, attempt 1)
  `old` said <nothing>.";
        assert_eq!(contents, json!({"kind": "plaintext", "value": expected}));
        assert_eq!(hover(&mut client, 1).await, Value::Null);
    }
}

/// A client that opens documents gets a file; one that refuses, or never said that it would, a message.
#[tokio::test]
async fn a_hunk_is_shown_as_a_diff() {
    let backend = backend();
    let folder = tempfile::tempdir().unwrap();
    let diffs = folder.path().join("diffs");
    let config = LspConfig {
        diffs: Some(diffs.clone()),
        ..LspConfig::default()
    };
    let mut client = Client::connect_with(backend.clone(), config);
    let shows = with(&json!({}), &json!({"showDocument": {"support": true}}));
    client
        .initialize(json!({"capabilities": shows, "rootUri": "file:///w"}))
        .await;
    client.open(A, 1, TEXT).await;
    let ask = json!({"hunkId": "g1.1"});
    let answer = client.command(command::HUNK_DIFF, ask.clone()).await;
    assert_eq!(answer["result"], Value::Null);
    let clean = "\
# g1.1, goal g1: make it better
# Rename things (task t, attempt 1)

diff --git a/a.rs b/a.rs
--- a/a.rs
+++ b/a.rs
@@ -1,3 +1,3 @@
 fn main() {
-    let old = 1;
+    let new = 1;
 }
";
    let path = diffs.join("a.rs.g1.1.diff");
    let mut written = None;
    for _ in 0..2 {
        let shown = client.told("window/showDocument").await;
        let uri = shown["params"]["uri"].as_str().unwrap();
        assert_eq!(uri, format!("file://{}", path.display()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), clean);
        assert!(std::fs::metadata(&path).unwrap().permissions().readonly());
        // An editor that has it open would ask about a file that is another one.
        let now = std::fs::metadata(&path).unwrap().ino();
        assert_eq!(*written.get_or_insert(now), now);
        client.answer(&shown, json!({"success": false})).await;
        // Refused: the user sees it in a message.
        let told = client.told("window/showMessage").await;
        assert_eq!(told["params"]["message"], clean);
        client.command(command::HUNK_DIFF, ask.clone()).await;
    }

    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, TYPED).await;
    client.command(command::HUNK_DIFF, ask).await;
    let told = client.told("window/showMessage").await["params"]["message"].clone();
    let conflict = "\
# g1.1, goal g1: make it better
# Conflict between you and Rename things
# Rename things (task t, attempt 1)

# Your text:
diff --git a/a.rs b/a.rs
--- a/a.rs
+++ b/a.rs
@@ -1,2 +1,2 @@
-    let old = 1;
+let mine = 1;
 }

# Proposed by Rename things:
diff --git a/a.rs b/a.rs
--- a/a.rs
+++ b/a.rs
@@ -1,2 +1,2 @@
-    let old = 1;
+    let new = 1;
 }
";
    assert_eq!(told, conflict);
    client
        .command(command::HUNK_DIFF, json!({"hunkId": "g1.77"}))
        .await;
    let told = client.told("window/showMessage").await["params"]["message"].clone();
    assert!(
        told.as_str().unwrap().contains("is no longer pending"),
        "{told}"
    );
}

#[tokio::test]
async fn pending_hunks_follow_the_text() {
    let backend = backend();
    let mut client = start(&backend, capable(), json!({"pending": true})).await;
    client.open(A, 7, TEXT).await;
    let told = client.told("claudecluster/pending").await["params"].clone();
    let place = |told: &Value| {
        (
            told["version"].clone(),
            told["hunks"][0]["startLine"].clone(),
        )
    };
    assert_eq!(told["uri"], A);
    assert_eq!(place(&told), (json!(7), json!(1)));
    // Lines are those of clients, for which a lone `\r` ends one too.
    client.change(A, 9, &format!("// a\r// b\n{TEXT}")).await;
    let told = client.told("claudecluster/pending").await["params"].clone();
    assert_eq!(place(&told), (json!(9), json!(3)));
    // The client may have dropped what it was told for another version.
    client.change(A, 10, &format!("// a\r// b\n{TEXT}}}")).await;
    let told = client.told("claudecluster/pending").await["params"].clone();
    assert_eq!(place(&told), (json!(10), json!(3)));
    // Decided elsewhere.
    backend.with(|state| state.proposals.clear());
    backend.set_state("g1", GoalState::Landed).await;
    let told = client.told("claudecluster/pending").await["params"].clone();
    assert_eq!((&told["version"], &told["hunks"]), (&json!(10), &json!([])));
    // That may have been dropped as well; but it is not told for ever.
    for version in 11..=60 {
        client
            .change(A, version, &format!("// {version}\n{TEXT}"))
            .await;
        if version <= 26 {
            let told = client.told("claudecluster/pending").await["params"].clone();
            let expected = (&json!(version), &json!([]));
            assert_eq!((&told["version"], &told["hunks"]), expected);
        }
    }

    // Nothing is pending in `b.rs`, and nothing is told of it: what comes next is about `a.rs`.
    client.open("file:///w/b.rs", 1, "x\n").await;
    let change = ("fn main", "fn start");
    backend.propose(Path::new("/w"), "g3", "a.rs", &[change]);
    backend.set_state("g3", GoalState::Proposed).await;
    let told = client.told("claudecluster/pending").await["params"].clone();
    assert_eq!(
        (&told["uri"], &told["hunks"][0]["id"]),
        (&json!(A), &json!("g3.2"))
    );
}

/// What was found for a text that has changed meanwhile is not told: the client could do nothing with it.
#[tokio::test]
async fn pending_hunks_of_a_text_that_is_gone_are_not_told() {
    let backend = backend();
    let mut client = start(&backend, capable(), json!({"pending": true})).await;
    client.open(A, 1, TEXT).await;
    let told = client.told("claudecluster/pending").await["params"].clone();
    assert_eq!(told["version"], 1);
    let mut asked = backend.asked.subscribe();
    let held = backend.answering.lock().await;
    client.change(A, 2, &format!("// two\n{TEXT}")).await;
    asked
        .wait_for(|text| text.starts_with("// two"))
        .await
        .unwrap();
    client.change(A, 3, &format!("// three\n\n{TEXT}")).await;
    // It has arrived once what comes behind it is answered.
    client.command(command::GOAL_LIST, json!({})).await;
    drop(held);
    let told = client.told("claudecluster/pending").await["params"].clone();
    let place = (&told["version"], &told["hunks"][0]["startLine"]);
    assert_eq!(place, (&json!(3), &json!(3)));
}

/// A client that does not ask gets none, until its settings say so.
#[tokio::test]
async fn pending_hunks_are_told_to_those_who_ask() {
    let backend = backend();
    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, TEXT).await;
    // It has been looked at by the time a conflict is published, and nothing was told.
    client.change(A, 2, TYPED).await;
    let _ = client.told("textDocument/publishDiagnostics").await;
    assert!(!client.has("claudecluster/pending"));
    let settings = json!({"settings": {"claudecluster": {"pending": true}}});
    client
        .notify("workspace/didChangeConfiguration", settings)
        .await;
    let told = client.told("claudecluster/pending").await["params"].clone();
    assert_eq!(told["hunks"][0]["conflict"]["mine"], "let mine = 1;\n");
}

#[tokio::test]
async fn a_text_that_has_settled_is_told_to_the_driver() {
    let backend = backend();
    let mut client = start(&backend, capable(), Value::Null).await;
    client.open(A, 1, TEXT).await;
    backend.settling.notified().await;
    client.change(A, 2, TYPED).await;
    backend.settling.notified().await;
    let path = Path::new("/w/a.rs").to_owned();
    assert_eq!(
        backend.with(|state| state.settled.clone()),
        [path.clone(), path]
    );
}
