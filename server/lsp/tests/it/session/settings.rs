//! What the editor's settings do, by whichever way they come.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that gets here has failed"
)]

use std::sync::Arc;

use claudecluster_protocol::{
    GoalSpec, Usd,
    editor::command,
    goal::GoalScopeKind,
    plan::{AgentName, Command},
};
use serde_json::{Value, json};

use crate::support::{
    backend::Recorder,
    client::{Client, capable},
};

const A: &str = "file:///w/a.rs";

async fn start(capabilities: Value, options: Value) -> (Client, Arc<Recorder>) {
    let backend = Arc::new(Recorder::default());
    let mut client = Client::connect(backend.clone());
    client
        .initialize(json!({
            "capabilities": capabilities,
            "rootUri": "file:///w",
            "initializationOptions": options,
        }))
        .await;
    client.open(A, 1, "text\n").await;
    (client, backend)
}

/// An editor that answers questions for its settings.
fn asked() -> Value {
    let mut capabilities = capable();
    capabilities["workspace"]["configuration"] = json!(true);
    capabilities
}

async fn submit(client: &mut Client, backend: &Recorder, argument: Value) -> GoalSpec {
    let reply = client.command(command::GOAL_SUBMIT, argument).await;
    assert!(reply["result"]["goalId"].is_string(), "{reply}");
    backend.with(|state| state.submitted.last().cloned().unwrap())
}

#[tokio::test]
async fn settings_are_defaults_and_what_a_goal_says_comes_first() {
    let all = json!({
        "agent": "native",
        "model": "a-model",
        "jobs": 3,
        "budgetUsd": 2.5,
        "gates": ["make test", ["cargo", "test"]],
        "scope": "workspace",
    });
    // At the top or under our name.
    for options in [all.clone(), json!({"claudecluster": all, "other": 1})] {
        let (mut client, backend) = start(capable(), options).await;
        let spec = submit(&mut client, &backend, json!({"prompt": "x"})).await;
        assert_eq!(spec.agent, Some(AgentName::Native));
        assert_eq!(spec.model.as_deref(), Some("a-model"));
        assert_eq!(spec.jobs, Some(3));
        assert_eq!(spec.budget_usd, Some(Usd::from_dollars(2.5)));
        assert_eq!(spec.gates.len(), 2);
        assert_eq!(spec.scope.kind, GoalScopeKind::Workspace);

        let own = json!({
            "prompt": "x",
            "agent": "claude-code",
            "model": "another",
            "jobs": 1,
            "budgetUsd": 9,
            "gates": ["true"],
            "scope": {"kind": "open"},
        });
        let spec = submit(&mut client, &backend, own).await;
        assert_eq!(spec.agent, Some(AgentName::ClaudeCode));
        assert_eq!(spec.model.as_deref(), Some("another"));
        assert_eq!(spec.jobs, Some(1));
        assert_eq!(spec.budget_usd, Some(Usd::from_dollars(9.0)));
        assert_eq!(spec.gates, [Command::Shell("true".into())]);
        assert_eq!(spec.scope.kind, GoalScopeKind::Open);

        // A scope that says which lines, but not of what kind it is.
        let lines = json!({"uris": [A], "range": {"startLine": 0, "endLine": 1}});
        let spec = submit(
            &mut client,
            &backend,
            json!({"prompt": "x", "scope": lines}),
        )
        .await;
        assert_eq!(spec.scope.kind, GoalScopeKind::Workspace);
        assert!(spec.scope.selection.is_some());

        // So does a plan that comes with the goal.
        let tasks = json!([{"id": "t", "instructions": "do it"}]);
        let plan = json!({"tasks": tasks, "maxParallel": 8, "budgetUsd": 1});
        let spec = submit(&mut client, &backend, json!({"prompt": "x", "plan": plan})).await;
        assert_eq!((spec.jobs, spec.budget_usd), (None, None));
        assert_eq!(spec.agent, Some(AgentName::Native));
        let commands = json!({"tasks": [{"id": "t", "run": "true"}]});
        let argument = json!({"prompt": "x", "plan": commands});
        let spec = submit(&mut client, &backend, argument).await;
        assert_eq!((spec.agent, spec.jobs), (None, Some(3)));
    }
}

#[tokio::test]
async fn without_settings_the_daemons_hold() {
    let (mut client, backend) = start(capable(), Value::Null).await;
    let spec = submit(&mut client, &backend, json!({"prompt": "x"})).await;
    assert_eq!(
        (spec.agent, spec.model, spec.jobs, spec.budget_usd),
        (None, None, None, None)
    );
    assert_eq!(spec.scope.kind, GoalScopeKind::Open);
}

#[tokio::test]
async fn an_editor_that_can_be_asked_is_asked() {
    let (mut client, backend) = start(asked(), json!({"jobs": 2, "model": "first"})).await;
    let question = client.told("workspace/configuration").await;
    assert_eq!(
        question["params"]["items"],
        json!([{"section": "claudecluster"}])
    );
    // Nobody waits for an answer.
    let spec = submit(&mut client, &backend, json!({"prompt": "x"})).await;
    assert_eq!(spec.jobs, Some(2));
    client
        .answer(&question, json!([{"jobs": 5, "scope": "all"}]))
        .await;
    let told = client.told("window/showMessage").await["params"].clone();
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("claudecluster.scope: unknown variant `all`"),
        "{message}"
    );
    let spec = submit(&mut client, &backend, json!({"prompt": "x"})).await;
    assert_eq!((spec.jobs, spec.model.as_deref()), (Some(5), Some("first")));

    // A change without its settings is a hint to ask again.
    client
        .notify(
            "workspace/didChangeConfiguration",
            json!({"settings": null}),
        )
        .await;
    let question = client.told("workspace/configuration").await;
    client.answer(&question, json!([{"jobs": "six"}])).await;
    let told = client.told("window/showMessage").await["params"].clone();
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("claudecluster.jobs: "), "{message}");
    assert!(!message.contains("scope"), "{message}");
    let spec = submit(&mut client, &backend, json!({"prompt": "x"})).await;
    assert_eq!(spec.jobs, Some(2));
}

#[tokio::test]
async fn changes_are_taken_in_their_place_on_the_wire() {
    let (mut client, backend) = start(capable(), json!({"jobs": 2})).await;
    for (settings, expected) in [
        (
            json!({"claudecluster": {"jobs": 4}, "other": {"jobs": 1}}),
            4,
        ),
        (json!(null), 4),
        (json!({"claudecluster": {"jobs": 6}}), 6),
        (json!({"other": {}}), 2),
    ] {
        let params = json!({ "settings": settings });
        client
            .notify("workspace/didChangeConfiguration", params)
            .await;
        let spec = submit(&mut client, &backend, json!({"prompt": "x"})).await;
        assert_eq!(spec.jobs, Some(expected), "{settings}");
    }
}

#[tokio::test]
async fn mistakes_at_the_start_are_told_and_changes_are_asked_for() {
    let mut capabilities = asked();
    capabilities["workspace"]["didChangeConfiguration"] = json!({"dynamicRegistration": true});
    let options = json!({"claudecluster": {"budget": 3, "jobs": 2}});
    let (mut client, backend) = start(capabilities, options).await;
    let told = client.told("window/showMessage").await["params"].clone();
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("initializationOptions.claudecluster.budget: unknown field"),
        "{message}"
    );
    let registered = client.told("client/registerCapability").await;
    assert_eq!(
        registered["params"]["registrations"][0]["method"],
        "workspace/didChangeConfiguration"
    );
    client.answer(&registered, Value::Null).await;
    let question = client.told("workspace/configuration").await;
    client.answer(&question, json!([null])).await;
    let spec = submit(&mut client, &backend, json!({"prompt": "x"})).await;
    assert_eq!(spec.jobs, Some(2));
}
