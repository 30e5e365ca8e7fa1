//! Review through the real binary: hunks accepted, rejected, undone, done again and resolved, on files
//! that no editor has open, that several have open, and that other programs write meanwhile.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod decide;
mod editors;
mod killed;
mod kinds;
mod repository;
mod resolve;
mod resources;
mod undo;
mod words;
mod writers;

use claudecluster_e2e::{
    Said, World,
    live::{plan_of, shell},
};
use serde_json::{Value, json};

/// `1` to `n`, a line each.
fn numbered(n: u32) -> String {
    (1..=n).map(|n| format!("{n}\n")).collect()
}

/// A script that replaces whole lines of a file.
fn replace(file: &str, lines: &[(&str, &str)]) -> String {
    let edits: Vec<String> = lines
        .iter()
        .map(|(from, to)| format!("s/^{from}$/{to}/"))
        .collect();
    format!("sed -i '{}' {file}", edits.join("; "))
}

/// Runs tasks one after the other, none of which sees another's work, and returns the goal they make.
fn propose(world: &World, tasks: &[(&str, &str)]) -> String {
    propose_with(world, tasks, &[])
}

fn propose_with(world: &World, tasks: &[(&str, &str)], more: &[&str]) -> String {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|(id, script)| shell(id, script, &[]))
        .collect();
    let mut plan = plan_of(&tasks);
    plan["maxParallel"] = json!(1);
    let said = world.run_plan(&plan, more);
    // What tasks disagree about waits for somebody to decide.
    assert!([0, 3].contains(&said.status), "{said:#?}");
    let outcome = said.outcome();
    assert_eq!(outcome["state"], "proposed", "{outcome}");
    outcome["goalId"].as_str().unwrap().to_owned()
}

/// The pending hunks of a goal.
fn pending(world: &World, goal: &str) -> Vec<Value> {
    world.goal(goal)["changes"].as_array().unwrap().clone()
}

/// The pending hunk that brings this text.
#[track_caller]
fn bringing(world: &World, goal: &str, text: &str) -> Value {
    let hunks = pending(world, goal);
    let found: Vec<&Value> = hunks
        .iter()
        .filter(|hunk| hunk["newText"].as_str().unwrap().contains(text))
        .collect();
    assert_eq!(found.len(), 1, "hunks that bring {text:?}: {hunks:#?}");
    found[0].clone()
}

#[track_caller]
fn id_of(world: &World, goal: &str, text: &str) -> String {
    let hunk = bringing(world, goal, text);
    hunk["id"].as_str().unwrap().to_owned()
}

/// The hunks of a goal by fate.
fn counts(world: &World, goal: &str) -> Value {
    world.goal(goal)["hunks"].clone()
}

/// Runs a command that is to end with this status.
#[track_caller]
fn ok(world: &World, args: &[&str], status: i32) -> Said {
    world.run(args).expect(status)
}
