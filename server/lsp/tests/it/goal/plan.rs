//! Plans as documents: what an editor gets while one is written, and how it is approved.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that gets here has failed"
)]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_lsp::LspConfig;
use claudecluster_protocol::{
    EventBody, GoalState, Plan, TaskSpec, TaskState, editor::command, plan::Command,
};
use serde_json::{Value, json};

use crate::support::{backend::Recorder, client::Client};

/// An editor, a workspace, a folder for plans, and a goal `g1` with a plan that waits.
struct World {
    client: Client,
    backend: Arc<Recorder>,
    folder: tempfile::TempDir,
    plan: Plan,
}

fn task(id: &str, parents: &[&str]) -> TaskSpec {
    TaskSpec {
        depends_on: parents.iter().map(|&p| p.into()).collect(),
        ..TaskSpec::new(id, "Do this. Do that.")
    }
}

/// What an editor with everything says it can do.
fn capabilities() -> Value {
    json!({
        "workspace": {
            "applyEdit": true,
            "workspaceEdit": {"documentChanges": true},
            "codeLens": {"refreshSupport": true},
        },
        "textDocument": {
            "codeAction": {
                "codeActionLiteralSupport": {"codeActionKind": {"valueSet": [""]}},
                "disabledSupport": true,
            },
            "completion": {"completionItem": {"snippetSupport": true}},
            "hover": {"contentFormat": ["markdown"]},
        },
        "window": {"showDocument": {"support": true}},
    })
}

impl World {
    async fn new(state: GoalState) -> Self {
        Self::with(state, capabilities()).await
    }

    async fn with(state: GoalState, capabilities: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("w");
        std::fs::create_dir(&root).unwrap();
        let backend = Arc::new(Recorder::default());
        backend.add_goal(&root, "g1", state);
        let plan = Plan {
            gates: vec![Command::Shell("make check".into())],
            tasks: vec![task("a", &[]), task("b", &["a"])],
            ..Plan::default()
        };
        backend.plan("g1", &plan, &[TaskState::Waiting; 2]);
        let config = LspConfig {
            plans: Some(folder.path().join("state/plans")),
            ..LspConfig::default()
        };
        let mut client = Client::connect_with(backend.clone(), config);
        let folders = json!([{"uri": file(&root), "name": "w"}]);
        client
            .initialize(json!({"capabilities": capabilities, "workspaceFolders": folders}))
            .await;
        // Once this is answered, events are followed.
        client.command(command::GOAL_LIST, json!({})).await;
        Self {
            client,
            backend,
            folder,
            plan,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// Opens the goal's plan as the server names it. Returns its address and its text.
    async fn open_plan(&mut self) -> (String, String) {
        let reply = self
            .client
            .command(command::PLAN_OPEN, json!({"goalId": "g1"}))
            .await;
        let uri = reply["result"]["uri"]
            .as_str()
            .expect("it is there")
            .to_owned();
        let shown = self.client.told("window/showDocument").await;
        assert_eq!(shown["params"]["uri"], uri.as_str());
        self.client.answer(&shown, json!({"success": true})).await;
        let path = uri.strip_prefix("file://").unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        self.client.open(&uri, 1, &text).await;
        (uri, text)
    }

    async fn diagnostics(&mut self) -> Vec<Value> {
        let told = self.client.told("textDocument/publishDiagnostics").await;
        told["params"]["diagnostics"].as_array().unwrap().clone()
    }

    /// The actions at the first place where `at` stands in a text.
    async fn actions(&mut self, uri: &str, text: &str, at: &str, context: Value) -> Vec<Value> {
        let at = place(text, text.find(at).unwrap());
        let params = json!({
            "textDocument": {"uri": uri},
            "range": {"start": at, "end": at},
            "context": context,
        });
        let reply = self.client.request("textDocument/codeAction", params).await;
        reply["result"].as_array().unwrap().clone()
    }

    async fn approve(&mut self, argument: Value) -> Value {
        self.client.command(command::PLAN_APPROVE, argument).await
    }
}

fn file(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn place(text: &str, at: usize) -> Value {
    let before = &text[..at];
    let line = before.rfind('\n').map_or(0, |n| n + 1);
    json!({"line": before.matches('\n').count(), "character": text[line..at].encode_utf16().count()})
}

/// What a range of a message covers, in a text of ASCII.
fn covered<'a>(text: &'a str, range: &Value) -> &'a str {
    let offset = |at: &Value| {
        let number = |key: &str| usize::try_from(at[key].as_u64().unwrap()).unwrap();
        let lines = text.split_inclusive('\n').take(number("line"));
        lines.map(str::len).sum::<usize>() + number("character")
    };
    &text[offset(&range["start"])..offset(&range["end"])]
}

/// A text after the one edit of an action.
fn edited(text: &str, action: &Value) -> String {
    let mut edits = action["edit"]["documentChanges"][0]["edits"]
        .as_array()
        .expect("it has an edit")
        .clone();
    edits.reverse();
    let mut out = text.to_owned();
    for edit in edits {
        let old = covered(text, &edit["range"]);
        let start = old.as_ptr() as usize - text.as_ptr() as usize;
        out.replace_range(start..start + old.len(), edit["newText"].as_str().unwrap());
    }
    out
}

fn titles(actions: &[Value]) -> Vec<&str> {
    actions
        .iter()
        .map(|action| action["title"].as_str().unwrap())
        .collect()
}

fn titled<'a>(actions: &'a [Value], title: &str) -> &'a Value {
    let found = actions.iter().find(|action| action["title"] == title);
    found.unwrap_or_else(|| panic!("{title} is not among {:?}", titles(actions)))
}

fn asked() -> Value {
    json!({"diagnostics": [], "triggerKind": 1})
}

#[tokio::test]
async fn a_cycle_is_told_corrected_and_what_is_open_is_approved() {
    let mut world = World::new(GoalState::AwaitingApproval).await;
    let (uri, text) = world.open_plan().await;
    assert!(uri.ends_with("/state/plans/g1.plan.json"), "{uri}");
    let plan: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(plan, world.plan);

    let cyclic = text.replacen(
        "\"id\": \"a\",",
        "\"id\": \"a\",\n      \"dependsOn\": [\"b\"],",
        1,
    );
    world.client.change(&uri, 2, &cyclic).await;
    let told = world.diagnostics().await;
    assert_eq!(told.len(), 2, "{told:?}");
    for (one, marked, other) in [(&told[0], "\"b\"", "\"a\""), (&told[1], "\"a\"", "\"b\"")] {
        assert_eq!(one["source"], "claudecluster");
        assert_eq!(one["code"], "cycle");
        assert_eq!(one["severity"], 1);
        assert_eq!(one["message"], "circular dependency: a → b → a");
        assert_eq!(covered(&cyclic, &one["range"]), marked);
        let related = &one["relatedInformation"][0]["location"];
        assert_eq!(related["uri"], uri.as_str());
        assert_eq!(covered(&cyclic, &related["range"]), other);
    }

    let refused = world.approve(json!({"goalId": "g1", "uri": uri})).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("the plan has 2 errors: line "),
        "{message}"
    );
    let actions = world.actions(&uri, &cyclic, "\"b\"]", asked()).await;
    let approve = titled(&actions, "Approve this plan");
    assert_eq!(approve["disabled"]["reason"], "The plan has errors");
    assert!(approve.get("command").is_none());

    let fix = titled(&actions, "Remove the dependency of a on b");
    assert_eq!(fix["kind"], "quickfix");
    assert_eq!(fix["diagnostics"][0]["code"], "cycle");
    assert_eq!(
        fix["edit"]["documentChanges"][0]["textDocument"]["version"],
        2
    );
    let corrected = edited(&cyclic, fix);
    assert!(corrected.contains("\"dependsOn\": [],"), "{corrected}");
    world.client.change(&uri, 3, &corrected).await;
    assert!(world.diagnostics().await.is_empty());

    // What is open is approved, though nothing of it was saved.
    let changed = corrected.replace("Do that.", "Do that as well.");
    world.client.change(&uri, 4, &changed).await;
    let actions = world.actions(&uri, &changed, "{", asked()).await;
    let approve = &titled(&actions, "Approve this plan")["command"];
    let argument = approve["arguments"][0].clone();
    assert_eq!(argument, json!({"goalId": "g1", "uri": uri}));
    let done = world.approve(argument).await;
    assert_eq!(done["result"], Value::Null, "{done}");
    assert!(done.get("error").is_none(), "{done}");
    let approved = world.backend.with(|state| state.plans.clone());
    let plan = approved[0].as_ref().unwrap();
    assert_eq!(plan.tasks[1].instructions, "Do this. Do that as well.");
}

#[tokio::test]
async fn a_plan_that_is_not_the_goals_any_more_is_refused_and_its_document_kept() {
    let mut world = World::new(GoalState::AwaitingApproval).await;
    let (uri, text) = world.open_plan().await;
    let path = world.path("state/plans/g1.plan.json");
    std::fs::write(&path, "mine").unwrap();

    let other = Plan {
        tasks: vec![task("c", &[])],
        ..Plan::default()
    };
    world.backend.plan("g1", &other, &[TaskState::Waiting]);
    for argument in [
        json!({"goalId": "g1", "uri": uri}),
        json!({"goalId": "g1", "shown": world.plan}),
    ] {
        let refused = world.approve(argument).await;
        assert_eq!(refused["error"]["code"], -32801, "{refused}");
    }
    let (again, new_text) = world.open_plan().await;
    assert!(again.ends_with("/g1.2.plan.json"), "{again}");
    assert_ne!(text, new_text);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    let done = world.approve(json!({"goalId": "g1", "uri": again})).await;
    assert!(done.get("error").is_none(), "{done}");
    assert_eq!(
        world.backend.with(|state| state.plans.clone()),
        [Some(other)]
    );
}

#[tokio::test]
async fn approvals_that_make_no_sense_say_why() {
    let mut world = World::new(GoalState::AwaitingApproval).await;
    let (uri, _) = world.open_plan().await;
    let elsewhere = file(&world.path("w/a.json"));
    world.client.open(&elsewhere, 1, "{}").await;
    for (argument, expected) in [
        (
            json!({"goalId": "g1", "uri": uri, "taskId": "a"}),
            "pass only one of `plan`, `uri` and `taskId`",
        ),
        (
            json!({"goalId": "g2", "uri": uri}),
            "uri: this is a plan of goal g1, not of g2",
        ),
        (
            json!({"goalId": "g1", "uri": file(&world.path("w/b.json"))}),
            "is not open: open the plan document first",
        ),
        (
            json!({"goalId": "g1", "uri": elsewhere}),
            "is not a plan: plans are documents opened by claudecluster.plan.open",
        ),
    ] {
        let refused = world.approve(argument).await;
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    }
    assert!(world.backend.with(|state| state.approved.is_empty()));
}

#[tokio::test]
async fn plans_of_a_workspace_are_checked_and_run() {
    let mut world = World::new(GoalState::Landed).await;
    let uri = file(&world.path("w/tidy.claudecluster.json"));
    let text = r#"{"tasks": [{"id": "a", "run": "make", "writes": ["new.txt"]},]}"#;
    world.client.open(&uri, 1, text).await;
    let told: Vec<_> = world
        .diagnostics()
        .await
        .iter()
        .map(|one| {
            format!(
                "{} {} {}",
                one["severity"],
                one["code"],
                covered(text, &one["range"])
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "4 \"no-gates\" {",
            "4 \"missing-path\" \"new.txt\"",
            "1 \"trailing-comma\" ,",
        ]
    );
    let actions = world.actions(&uri, text, ",]", asked()).await;
    let text = edited(text, titled(&actions, "Remove the comma"));
    world.client.change(&uri, 2, &text).await;
    let actions = world.actions(&uri, &text, "{", asked()).await;
    let run = &titled(&actions, "Run this plan")["command"];
    assert_eq!(run["command"], command::GOAL_SUBMIT);
    let argument = run["arguments"][0].clone();
    let reply = world.client.command(command::GOAL_SUBMIT, argument).await;
    assert_eq!(reply["result"]["goalId"], "g1", "{reply}");
    let spec = world.backend.with(|state| state.submitted[0].clone());
    assert_eq!(spec.plan.unwrap().tasks[0].id.as_str(), "a");

    // Outside of every folder such a name means nothing.
    let outside = file(&world.path("x.claudecluster.json"));
    world.client.open(&outside, 1, "{").await;
    assert!(world.actions(&outside, "{", "{", asked()).await.is_empty());
}

#[tokio::test]
async fn tasks_are_split_merged_and_paused() {
    let mut world = World::new(GoalState::AwaitingApproval).await;
    let (uri, text) = world.open_plan().await;
    let actions = world.actions(&uri, &text, "\"b\"", asked()).await;
    let of_plan: Vec<_> = titles(&actions);
    assert_eq!(
        of_plan,
        [
            "Approve this plan",
            "Split b into two tasks",
            "Pause before b",
            "Merge b into a, its dependency",
        ]
    );
    let rewrites = &actions[1]["kind"];
    assert_eq!(rewrites, "refactor.rewrite.claudecluster");
    let paused: Plan = serde_json::from_str(&edited(&text, &actions[2])).unwrap();
    let pauses: Vec<bool> = paused.tasks.iter().map(|task| task.pause).collect();
    assert_eq!(pauses, [false, true]);
    let split: Plan = serde_json::from_str(&edited(&text, &actions[1])).unwrap();
    let ids: Vec<&str> = split.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["a", "b-1", "b"]);
    let merged: Plan = serde_json::from_str(&edited(&text, &actions[3])).unwrap();
    assert_eq!(merged.tasks.len(), 1);

    // The light bulb does not light up on every line.
    let automatic = json!({"diagnostics": [], "triggerKind": 2});
    assert!(
        world
            .actions(&uri, &text, "\"b\"", automatic)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn keys_are_completed_and_explained() {
    let mut world = World::new(GoalState::AwaitingApproval).await;
    let (uri, text) = world.open_plan().await;
    // Half a text: somebody is about to write a key.
    let written = text.replacen("\"id\": \"a\",", "\"id\": \"a\",\n      \"wri", 1);
    world.client.change(&uri, 2, &written).await;
    let at = place(&written, written.find("\"wri").unwrap() + 4);
    let params = json!({"textDocument": {"uri": uri}, "position": at});
    let reply = world
        .client
        .request("textDocument/completion", params)
        .await;
    let items = reply["result"].as_array().unwrap();
    let writes = items.iter().find(|item| item["label"] == "writes").unwrap();
    assert_eq!(writes["textEdit"]["newText"], "\"writes\": [$0],");
    assert_eq!(writes["insertTextFormat"], 2);
    assert_eq!(covered(&written, &writes["textEdit"]["range"]), "\"wri");
    assert_eq!(
        writes["documentation"],
        "Paths or globs, relative to the workspace, that the task is expected to write."
    );
    assert!(items.iter().all(|item| item["label"] != "id"), "{items:?}");

    world.client.change(&uri, 3, &text).await;
    for (at, expected) in [
        ("\"dependsOn\"", "Tasks on which this task depends."),
        ("\"a\"\n", "a: Do this. Do that."),
    ] {
        let at = place(&text, text.find(at).unwrap() + 1);
        let params = json!({"textDocument": {"uri": uri}, "position": at});
        let reply = world.client.request("textDocument/hover", params).await;
        let words = reply["result"]["contents"]["value"].as_str().unwrap();
        assert!(words.starts_with(expected), "{words}");
    }

    // Everywhere else there is nothing to say.
    let other = file(&world.path("w/a.rs"));
    world.client.open(&other, 1, "\"").await;
    let at = json!({"textDocument": {"uri": other}, "position": {"line": 0, "character": 1}});
    let reply = world.client.request("textDocument/completion", at).await;
    assert_eq!(reply["result"], Value::Null);
}

#[tokio::test]
async fn completion_is_registered_for_plans_where_the_client_takes_that() {
    let mut dynamic = capabilities();
    dynamic["textDocument"]["completion"]["dynamicRegistration"] = true.into();
    let mut world = World::with(GoalState::Landed, dynamic).await;
    let asked = world.client.told("client/registerCapability").await;
    let registration = &asked["params"]["registrations"][0];
    assert_eq!(registration["method"], "textDocument/completion");
    let patterns: Vec<_> = registration["registerOptions"]["documentSelector"]
        .as_array()
        .unwrap()
        .iter()
        .map(|filter| filter["pattern"].as_str().unwrap())
        .collect();
    assert_eq!(patterns, ["**/*.plan.json", "**/*.claudecluster.json"]);
}

#[tokio::test]
async fn lenses_decide_what_waits() {
    let mut world = World::new(GoalState::AwaitingApproval).await;
    let (uri, text) = world.open_plan().await;
    let lenses = |reply: &Value| -> Vec<(String, u64)> {
        let lenses = reply["result"].as_array().unwrap();
        lenses
            .iter()
            .map(|lens| {
                let title = lens["command"]["title"].as_str().unwrap().to_owned();
                (title, lens["range"]["start"]["line"].as_u64().unwrap())
            })
            .collect()
    };
    let params = json!({"textDocument": {"uri": uri}});
    let reply = world
        .client
        .request("textDocument/codeLens", params.clone())
        .await;
    assert_eq!(
        lenses(&reply),
        [("Approve".to_owned(), 0), ("Cancel".to_owned(), 0)]
    );

    let (plan, states) = (
        world.plan.clone(),
        [TaskState::Succeeded, TaskState::Paused],
    );
    world.backend.plan("g1", &plan, &states);
    world.backend.set_state("g1", GoalState::Running).await;
    let reply = world.client.request("textDocument/codeLens", params).await;
    let line = place(&text, text.find("\"b\"").unwrap())["line"]
        .as_u64()
        .unwrap();
    assert_eq!(
        lenses(&reply),
        [("Start b".to_owned(), line), ("Cancel".to_owned(), line)]
    );
    let command = &reply["result"][0]["command"]["arguments"][0];
    world.approve(command.clone()).await;
    let started = world.backend.with(|state| state.started.clone());
    assert_eq!(started, [("g1".into(), "b".into())]);
}

#[tokio::test]
async fn a_paused_task_asks_and_a_waiting_plan_can_be_opened_from_its_question() {
    let mut world = World::new(GoalState::AwaitingApproval).await;
    world
        .backend
        .set_state("g1", GoalState::AwaitingApproval)
        .await;
    let question = world.client.told("window/showMessageRequest").await;
    let choices = &question["params"]["actions"];
    assert_eq!(
        *choices,
        json!([{"title": "Run the plan"}, {"title": "Open plan"}, {"title": "Cancel the goal"}])
    );
    world
        .client
        .answer(&question, json!({"title": "Open plan"}))
        .await;
    let shown = world.client.told("window/showDocument").await;
    world.client.answer(&shown, json!({"success": true})).await;

    let states = [TaskState::Succeeded, TaskState::Paused];
    world.backend.plan("g1", &world.plan, &states);
    let paused = EventBody::TaskChanged {
        task_id: "b".into(),
        state: TaskState::Paused,
    };
    world.backend.event("g1", paused).await;
    let question = world.client.told("window/showMessageRequest").await;
    assert_eq!(
        question["params"]["message"],
        "g1: b (b) is waiting for your approval"
    );
    world
        .client
        .answer(&question, json!({"title": "Start task"}))
        .await;
    world.backend.approving.notified().await;
    let started = world.backend.with(|state| state.started.clone());
    assert_eq!(started, [("g1".into(), "b".into())]);
}
