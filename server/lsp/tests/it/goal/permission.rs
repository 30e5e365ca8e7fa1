//! Permission requests in an editor that knows nothing of them, and in one that does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that gets here has failed"
)]

use std::{path::Path, sync::Arc, time::Duration};

use claudecluster_lsp::{LspConfig, serve};
use claudecluster_protocol::{
    EventBody, GoalState, PermissionId, TaskId, TaskState,
    editor::command,
    permission::{PermissionAnswer, PermissionDecision, PermissionScope},
};
use serde_json::{Value, json};
use tokio::{net::UnixListener, process::Command};

use crate::support::{
    backend::Recorder,
    client::{Client, capable},
};

/// An editor, and a goal of its workspace in which the task `t` asks for something.
async fn asked() -> (Client, Arc<Recorder>) {
    let backend = Arc::new(Recorder::default());
    backend.add_goal(Path::new("/w"), "g1", GoalState::Running);
    backend.add_goal(Path::new("/v"), "g2", GoalState::Running);
    let mut client = Client::start(backend.clone()).await;
    // After it the server follows what happens.
    client.command(command::GOAL_LIST, json!({})).await;
    backend.ask("g2", "p1", &["t"]).await;
    backend.ask("g1", "p2", &["t"]).await;
    (client, backend)
}

/// What an answer to the message becomes.
async fn check(
    answer: Value,
    expected: Option<(PermissionDecision, PermissionScope)>,
) -> (Client, Arc<Recorder>) {
    let (mut client, backend) = asked().await;
    let question = client.told("window/showMessageRequest").await;
    assert_eq!(
        question["params"]["message"],
        "g1: t wants to use WebFetch: http://example.com/p2 (p2)"
    );
    assert_eq!(
        question["params"]["actions"],
        json!([{"title": "Allow once"}, {"title": "Allow for this goal"}, {"title": "Deny"}])
    );
    client.answer(&question, answer).await;
    if let Some((decision, scope)) = expected {
        backend.permitting.notified().await;
        let expected = PermissionAnswer {
            scope,
            ..PermissionAnswer::new(PermissionId::new("p2"), decision)
        };
        let permitted = backend.with(|state| state.permitted.clone());
        assert_eq!(permitted, [(expected, Some("an editor".to_owned()))]);
    }
    (client, backend)
}

#[tokio::test]
async fn a_plain_editor_asks_by_a_message() {
    use PermissionDecision::{Allow, Deny};
    use PermissionScope::{Goal, Once};
    let title = |title: &str| json!({ "title": title });
    check(title("Allow once"), Some((Allow, Once))).await;
    check(title("Allow for this goal"), Some((Allow, Goal))).await;
    check(title("Deny"), Some((Deny, Once))).await;
    // Closed without an answer: the request goes on waiting, for others as well.
    let (mut client, backend) = check(Value::Null, None).await;
    let open = client.command(command::PERMISSION_LIST, json!({})).await["result"].clone();
    let ids: Vec<&Value> = open.as_array().unwrap().iter().map(|r| &r["id"]).collect();
    // Also of folders that this editor does not have open; in the order of the driver.
    assert_eq!(ids, ["p2", "p1"]);
    assert!(backend.with(|state| state.permitted.is_empty()));
    // Another worker joins the request: nobody is asked again.
    backend.ask("g1", "p2", &["t", "u"]).await;
    backend.ask("g1", "p3", &["t", "u"]).await;
    let question = client.told("window/showMessageRequest").await;
    assert_eq!(
        question["params"]["message"],
        "g1: t, u want to use WebFetch: http://example.com/p3 (p3)"
    );
    assert!(!client.has("window/showMessageRequest"));
}

/// Whom a request is answered by.
enum By {
    /// The user of another editor.
    Editor,
    /// Somebody in a terminal.
    CommandLine,
    /// Nobody, in time.
    Nobody,
}

/// Two editors ask the same; it is settled, and then the second one answers all the same. `says` is what
/// its user is told for it.
async fn check_settled(by: By, answer: &Value, says: Option<&str>) {
    let (mut second, backend) = asked().await;
    let question = second.told("window/showMessageRequest").await;
    let mut first = Client::start(backend.clone()).await;
    let same = first.told("window/showMessageRequest").await;
    assert_eq!(question["params"], same["params"]);
    let answered = match by {
        By::Editor => {
            first.answer(&same, json!({"title": "Deny"})).await;
            Some("an editor")
        }
        By::CommandLine => {
            let denial = PermissionAnswer::new(PermissionId::new("p2"), PermissionDecision::Deny);
            let by = Some("the command line".to_owned());
            backend.permitted(denial, by).await.unwrap();
            Some("the command line")
        }
        By::Nobody => {
            backend.withdraw("p2").await;
            None
        }
    };
    let withdrawn = second.told("$/cancelRequest").await;
    assert_eq!(withdrawn["params"], json!({"id": question["id"]}));
    if !matches!(by, By::Editor) {
        first.told("$/cancelRequest").await;
    }
    let mut reply = json!({"jsonrpc": "2.0", "id": question["id"]});
    let answer = answer.as_object().unwrap().clone();
    reply.as_object_mut().unwrap().extend(answer);
    second.send(&reply).await;
    if let Some(says) = says {
        let said = second.told("window/showMessage").await["params"].clone();
        assert_eq!(said, json!({"type": 3, "message": says}));
    }
    // Both go on, and whoever has answered is not told that nobody waits for it.
    backend.ask("g1", "p3", &["t"]).await;
    for client in [&mut first, &mut second] {
        client.told("window/showMessageRequest").await;
        assert!(!client.has("$/cancelRequest"));
        assert!(!client.has("window/showMessage"));
    }
    let permitted = backend.with(|state| state.permitted.clone());
    let denial = PermissionAnswer::new(PermissionId::new("p2"), PermissionDecision::Deny);
    let expected: Vec<_> = answered
        .map(|by| (denial, Some(by.to_owned())))
        .into_iter()
        .collect();
    assert_eq!(permitted, expected);
}

#[tokio::test]
async fn what_is_settled_elsewhere_is_no_longer_asked() {
    let allows = json!({"result": {"title": "Allow once"}});
    for (by, says) in [
        (By::Editor, "p2 was already denied by an editor"),
        (By::CommandLine, "p2 was already denied by the command line"),
        (By::Nobody, "p2 is no longer open"),
    ] {
        let says = format!("{says}. Your answer was not used.");
        check_settled(by, &allows, Some(&says)).await;
    }
    // An editor that heeds it says so, or closes the question as its user would.
    let cancelled = json!({"error": {"code": -32800, "message": "cancelled"}});
    check_settled(By::Editor, &cancelled, None).await;
    check_settled(By::CommandLine, &json!({"result": null}), None).await;
}

#[tokio::test]
async fn an_approval_elsewhere_takes_the_question_back() {
    let backend = Arc::new(Recorder::default());
    backend.add_goal(Path::new("/w"), "g1", GoalState::Planning);
    let mut client = Client::start(backend.clone()).await;
    client.command(command::GOAL_LIST, json!({})).await;
    backend.set_state("g1", GoalState::AwaitingApproval).await;
    let question = client.told("window/showMessageRequest").await;
    backend.set_state("g1", GoalState::Running).await;
    let withdrawn = client.told("$/cancelRequest").await;
    assert_eq!(withdrawn["params"]["id"], question["id"]);

    let task = |state| EventBody::TaskChanged {
        task_id: TaskId::new("t"),
        state,
    };
    backend.event("g1", task(TaskState::Paused)).await;
    let question = client.told("window/showMessageRequest").await;
    backend.event("g1", task(TaskState::Ready)).await;
    let withdrawn = client.told("$/cancelRequest").await;
    assert_eq!(withdrawn["params"]["id"], question["id"]);
}

#[tokio::test]
async fn a_rich_editor_gets_the_event_and_answers_by_command() {
    let backend = Arc::new(Recorder::default());
    backend.add_goal(Path::new("/w"), "g1", GoalState::Running);
    backend.ask("g1", "p1", &["t"]).await;
    let mut client = Client::connect(backend.clone());
    // Its settings come only when they are asked for.
    let mut capabilities = capable();
    capabilities["workspace"]["configuration"] = json!(true);
    let id = client
        .start_request(
            "initialize",
            json!({"capabilities": capabilities, "rootUri": "file:///w"}),
        )
        .await;
    client.reply(id).await;
    client.notify("initialized", json!({})).await;
    let pulled = client.told("workspace/configuration").await;
    client.answer(&pulled, json!([{"events": true}])).await;
    client.command(command::GOAL_LIST, json!({})).await;
    backend.ask("g1", "p2", &["t"]).await;
    let event = client
        .wait_for(|message| message["params"]["type"] == "permissionAsked")
        .await["params"]["request"]
        .clone();
    assert_eq!(
        event,
        json!({
            "id": "p2", "goalId": "g1", "taskIds": ["t"], "tool": "WebFetch", "kind": "network",
            "detail": "http://example.com/p2", "input": "b", "askedAt": 0,
        })
    );
    let answer = json!({"requestId": "p2", "decision": "deny", "reason": "no", "scope": "task"});
    let done = client.command(command::PERMISSION_ANSWER, answer).await;
    assert_eq!(done["result"], Value::Null, "{done}");
    let expected = PermissionAnswer {
        request_id: PermissionId::new("p2"),
        decision: PermissionDecision::Deny,
        scope: PermissionScope::Task,
        reason: Some("no".into()),
    };
    let permitted = backend.with(|state| state.permitted.clone());
    assert_eq!(permitted, [(expected, Some("an editor".to_owned()))]);
    let wrong = json!({"requestId": "p1", "decision": "maybe"});
    let error = client.command(command::PERMISSION_ANSWER, wrong).await["error"].clone();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("arguments[0].decision: unknown variant `maybe`"),
        "{error}"
    );
    assert!(!client.has("window/showMessageRequest"));
}

#[tokio::test]
async fn an_editor_that_comes_later_is_asked_as_well() {
    let backend = Arc::new(Recorder::default());
    backend.add_goal(Path::new("/w"), "g1", GoalState::Running);
    backend.ask("g1", "p7", &[]).await;
    let mut client = Client::start(backend).await;
    let question = client.told("window/showMessageRequest").await;
    assert_eq!(
        question["params"]["message"],
        "g1: the planner wants to use WebFetch: http://example.com/p7 (p7)"
    );
}

/// What Neovim itself does with the message, without any plugin: its user takes the second choice.
const ANSWERS: &str = r"
vim.ui.select = function(items, opts, choose)
  if opts.prompt:find('wants to use WebFetch', 1, true) then
    choose(items[2])
  end
end
function finished() return vim.uv.fs_stat(root .. '/answered') ~= nil end
";

/// Before its user does so, somebody else denies it; what they are told then is kept.
const TOO_LATE: &str = r"
vim.ui.select = function(items, _, choose)
  local answer = { requestId = 'p1', decision = 'deny' }
  local command = { command = 'claudecluster.permission.answer', arguments = { answer } }
  vim.lsp.get_clients()[1]:request('workspace/executeCommand', command, function()
    choose(items[2])
  end)
end
vim.lsp.handlers['window/showMessage'] = function(_, params)
  vim.fn.writefile({ params.message, vim.v.errmsg }, root .. '/said')
end
function finished() return vim.uv.fs_stat(root .. '/said') ~= nil end
";

/// Runs a Neovim with this behaviour. Returns what its goal was told, and what its user was.
async fn neovim(behaviour: &str) -> (Vec<(PermissionAnswer, Option<String>)>, String) {
    let nvim = std::env::var("CLAUDECLUSTER_TEST_NVIM").unwrap_or_else(|_| {
        panic!("CLAUDECLUSTER_TEST_NVIM is not set: run the tests with `cargo xtask test`")
    });
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (socket, script) = (root.join("lsp.sock"), root.join("script.lua"));
    let lua = format!(
        r"
socket, root = arg[1], arg[2]
{behaviour}
vim.lsp.start({{ name = 'claudecluster', cmd = vim.lsp.rpc.connect(socket), root_dir = root }})
assert(vim.wait(100000, finished))
"
    );
    std::fs::write(&script, lua).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let backend = Arc::new(Recorder::default());
    backend.add_goal(&root, "g1", GoalState::Running);
    backend.ask("g1", "p1", &["t"]).await;
    let server = tokio::spawn({
        let backend = backend.clone();
        async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, writer) = stream.into_split();
            serve(reader, writer, backend, LspConfig::default()).await
        }
    });
    let mut neovim = Command::new(nvim)
        .args(["--headless", "--clean", "-u", "NONE", "-i", "NONE", "-n"])
        .arg("-l")
        .arg(&script)
        .args([&socket, &root])
        .current_dir(folder.path())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    tokio::time::timeout(Duration::from_secs(100), backend.permitting.notified())
        .await
        .expect("Neovim answers");
    std::fs::write(root.join("answered"), "").unwrap();
    assert!(neovim.wait().await.unwrap().success());
    server.await.unwrap();
    let permitted = backend.with(|state| state.permitted.clone());
    let said = std::fs::read_to_string(root.join("said"));
    (permitted, said.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neovim_without_a_plugin_asks_its_user() {
    let (permitted, _) = neovim(ANSWERS).await;
    let expected = PermissionAnswer {
        scope: PermissionScope::Goal,
        ..PermissionAnswer::new(PermissionId::new("p1"), PermissionDecision::Allow)
    };
    assert_eq!(permitted[0].0, expected);
    let by = permitted[0].1.as_deref().unwrap();
    assert!(by.starts_with("Neovim "), "{by}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neovim_without_a_plugin_hears_that_it_is_too_late() {
    let (permitted, said) = neovim(TOO_LATE).await;
    assert_eq!(permitted.len(), 1, "{permitted:?}");
    assert_eq!(permitted[0].0.decision, PermissionDecision::Deny);
    let by = permitted[0].1.as_deref().unwrap();
    let expected = format!("p1 was already denied by {by}. Your answer was not used.\n\n");
    assert_eq!(said, expected);
}

#[tokio::test]
async fn progress_says_what_is_waited_for() {
    let (mut client, _backend) = asked().await;
    let created = client.told("window/workDoneProgress/create").await;
    client.answer(&created, Value::Null).await;
    // It may have begun before the request came.
    let asked = "0/0 tasks · waiting for permission: WebFetch http://example.com/p2";
    let says = |message: &Value| message["params"]["value"]["message"] == asked;
    client.wait_for(says).await;
}
