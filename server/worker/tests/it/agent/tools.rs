//! The tools of real sessions: what each supported release of Claude Code is offered, asks about and does
//! without.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests is a test"
)]

use std::path::Path;

use claudecluster_model::{Recorded, common_prefix};
use claudecluster_protocol::{Span, permission::PermissionDecision, plan::AgentName};
use claudecluster_worker::agent::{PermissionQuestion, ToolPermissions};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::session::{PATIENCE, Run, Stage, asking, claudes, newest_claude, say};

/// The tools that every release has, and that are offered if nothing else is configured.
const USUAL: [&str; 8] = [
    "Bash",
    "Edit",
    "Glob",
    "Grep",
    "NotebookEdit",
    "Read",
    "StructuredOutput",
    "Write",
];

/// Those of some releases.
const OF_SOME: [&str; 11] = [
    "Agent",
    "KillShell",
    "ReportFindings",
    "Task",
    "TaskCreate",
    "TaskGet",
    "TaskList",
    "TaskOutput",
    "TaskStop",
    "TaskUpdate",
    "TodoWrite",
];

/// Uses of tools that no session has, as the turn of a model that has been told about them by a prompt.
const UNJUDGED: &str = r"
      - - {tool: ListAgents, input: {}}
        - {tool: SendMessage, input: {to: other, message: obey, recipient: other, content: obey}}
        - {tool: CronCreate, input: {cron: '* * * * *', prompt: obey}}
        - {tool: EnterWorktree, input: {}}
        - {tool: Monitor, input: {command: touch made.txt, description: x}}
        - {tool: ToolSearch, input: {query: 'select:ListAgents,SendMessage,WebFetch', max_results: 5}}
        - {tool: WebFetch, input: {url: 'http://127.0.0.1:9/canary', prompt: x}}
        - {tool: Skill, input: {skill: init}}
        - {tool: mcp__other__write, input: {path: made.txt}}
        - {tool: AddedTomorrow, input: {command: touch made.txt}}
";

/// The number of those uses.
const UNJUDGED_USES: usize = 10;

fn schema() -> Value {
    json!({"type": "object", "required": ["summary"], "properties": {"summary": {"type": "string"}}})
}

/// Returns the names of the tools that a request offers, in order.
fn offered_by(request: &Recorded) -> Vec<String> {
    let tools = request.json()["tools"].clone();
    let mut names: Vec<String> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort_unstable();
    names
}

/// Returns the results of the last tool uses that a request tells.
fn results_in(request: &Recorded) -> Vec<Value> {
    let messages = request.json()["messages"].clone();
    let results = |message: &Value| -> Vec<Value> {
        let blocks = message["content"].as_array().cloned().unwrap_or_default();
        let is_result = |block: &Value| block["type"] == "tool_result";
        blocks.into_iter().filter(is_result).collect()
    };
    // Some releases put reminders after them.
    let messages = messages.as_array().unwrap().iter().rev();
    messages
        .map(results)
        .find(|results| !results.is_empty())
        .unwrap_or_default()
}

fn text_of(result: &Value) -> String {
    match &result["content"] {
        Value::Array(blocks) => blocks[0]["text"].as_str().unwrap_or_default().to_owned(),
        text => text.as_str().unwrap_or_default().to_owned(),
    }
}

/// Runs a task with a schema, as the driver does, and expects it to succeed.
async fn run_task(stage: &Stage, program: &Path, permissions: ToolPermissions) -> Run {
    let mut spec = stage.spec(AgentName::ClaudeCode, program, "Do the task.");
    spec.task.schema = Some(schema());
    spec.task.permissions = permissions;
    let run = stage.run(&spec).await;
    assert_eq!(run.report.summary, "done", "{run:?}");
    run
}

/// Asserts that every use of an unjudged tool failed and had no effect.
fn assert_all_denied(stage: &Stage, request: &Recorded) {
    let results = results_in(request);
    assert_eq!(results.len(), UNJUDGED_USES, "{results:?}");
    for result in results {
        assert_eq!(result["is_error"], true, "{result}");
    }
    assert!(!stage.root().join("made.txt").exists());
    let worktrees = stage.root().join(".claude/worktrees");
    assert!(!worktrees.exists());
}

#[tokio::test]
async fn exactly_the_judged_tools_are_offered() {
    for program in claudes() {
        let stage =
            Stage::new("rules: [{turns: [[{structured: {summary: done}}], [{text: over}]]}]");
        run_task(&stage, &program, ToolPermissions::default()).await;
        for request in stage.server.turns() {
            let offered = offered_by(&request);
            let surprises = offered.iter().filter(|name| {
                !USUAL.contains(&name.as_str()) && !OF_SOME.contains(&name.as_str())
            });
            let none: [&String; 0] = [];
            assert_eq!(surprises.collect::<Vec<_>>(), none, "{}", program.display());
            for name in USUAL {
                assert!(
                    offered.iter().any(|offered| offered == name),
                    "{name} is missing: {offered:?} of {}",
                    program.display()
                );
            }
        }
    }
}

#[tokio::test]
async fn a_tool_that_was_not_judged_does_nothing() {
    for program in claudes() {
        let script = format!(
            "rules:\n  - when: {{user: the task}}\n    turns:{UNJUDGED}      - - structured: {{summary: done}}\n"
        );
        let stage = Stage::new(&script);
        let run = run_task(&stage, &program, ToolPermissions::default()).await;
        assert_eq!(run.report.stop, None, "{run:?}");
        assert_all_denied(&stage, &stage.server.turns()[1]);
    }
}

#[tokio::test]
async fn a_subagent_has_no_more_tools_than_its_session() {
    for program in claudes() {
        let oldest = program == claudes()[0];
        let tool = if oldest { "Task" } else { "Agent" };
        let script = format!(
            "rules:
  - name: sub
    when: {{user: the errand}}
    turns:{UNJUDGED}      - - text: I could not.
  - name: main
    when: {{user: the task}}
    turns:
      - - tool: {tool}
          input: {{description: errand, prompt: Run the errand., subagent_type: general-purpose, run_in_background: false}}
      - - structured: {{summary: done}}
"
        );
        let stage = Stage::new(&script);
        let run = run_task(&stage, &program, ToolPermissions::default()).await;
        assert_eq!(run.report.stop, None, "{run:?}");
        let turns = stage.server.turns();
        let main = offered_by(&turns[0]);
        let subs: Vec<&Recorded> = turns
            .iter()
            .filter(|turn| turn.rule.as_deref() == Some("sub"))
            .collect();
        assert_eq!(subs.len(), 2);
        for sub in &subs {
            let offered = offered_by(sub);
            assert!(
                offered.iter().all(|name| main.contains(name)),
                "{offered:?} of {}",
                program.display()
            );
        }
        assert_all_denied(&stage, subs[1]);
    }
}

/// A release that loads tools later finds only those that its session has.
#[tokio::test]
async fn deferred_tools_keep_the_rules() {
    let stage = Stage::new(
        r"
rules:
  - times: 1
    answer:
      - tool: ToolSearch
        input: {query: 'select:ListAgents,CronCreate,WebSearch,WebFetch', max_results: 9}
  - times: 1
    answer:
      - {tool: WebFetch, input: {url: 'http://127.0.0.1:9/docs', prompt: x}}
      - {tool: CronCreate, input: {cron: '* * * * *', prompt: obey}}
  - answer: [{structured: {summary: done}}]
",
    );
    let permissions = ToolPermissions {
        allow: vec!["ToolSearch".to_owned()],
        ..asking(&["WebFetch"], Span::from_secs(50))
    };
    let mut spec = stage.spec(AgentName::ClaudeCode, &newest_claude(), "Do the task.");
    spec.task.schema = Some(schema());
    spec.task.permissions = permissions;
    let (questions, mut asks) = mpsc::unbounded_channel::<PermissionQuestion>();
    let answering = async {
        if let Some(ask) = asks.recv().await {
            assert_eq!(ask.request.tool, "WebFetch");
            say(ask, PermissionDecision::Deny, Some("read docs/ instead"));
        }
    };
    let (run, ()) = tokio::join!(
        stage.run_asking(&spec, questions, CancellationToken::new()),
        answering
    );
    assert_eq!(run.report.summary, "done", "{run:?}");
    let turns = stage.server.turns();
    let found = results_in(&turns[1])[0]["content"].clone();
    let found: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|block| block["tool_name"].as_str())
        .collect();
    assert_eq!(found, ["WebFetch"]);
    let mut told: Vec<String> = results_in(&turns[2]).iter().map(text_of).collect();
    told.sort_unstable();
    assert!(
        told[0].contains("No such tool available: CronCreate"),
        "{told:?}"
    );
    assert_eq!(
        told[1],
        "The developer does not allow this: read docs/ instead"
    );
}

const FETCHES: &str = r"
rules:
  - name: work
    when: {user: 'the task'}
    turns:
      - - tool: WebFetch
          input: {url: 'http://127.0.0.1:9/docs', prompt: what is it}
        - run: ls
      - - text: I did without.
";

/// The real Claude Code: asked tools are offered to the model, everything that is to be asked about is
/// asked about, and what the developer says reaches the model as the tool's result.
#[tokio::test]
async fn the_real_one_asks_and_goes_on() {
    for program in claudes() {
        asks_and_goes_on(&program).await;
    }
}

async fn asks_and_goes_on(program: &Path) {
    let stage = Stage::new(FETCHES);
    let permissions = asking(&["WebFetch", "Bash"], Span::from_secs(50));
    let (questions, mut asks) = mpsc::unbounded_channel::<PermissionQuestion>();
    let mut spec = stage.spec(AgentName::ClaudeCode, program, "Do the task.");
    spec.task.permissions = permissions;
    let answering = async {
        let mut wanted = Vec::new();
        for _ in 0..2 {
            let ask = asks.recv().await.unwrap();
            wanted.push((ask.request.tool.clone(), ask.request.detail.clone()));
            match ask.request.tool.as_str() {
                "WebFetch" => say(ask, PermissionDecision::Deny, Some("read docs/ instead")),
                _ => say(ask, PermissionDecision::Allow, None),
            }
        }
        wanted
    };
    let (run, wanted) = tokio::join!(
        stage.run_asking(&spec, questions, CancellationToken::new()),
        answering
    );
    assert_eq!(run.report.stop, None, "{run:?}");
    assert_eq!(run.report.summary, "I did without.");
    let wanted: Vec<(&str, &str)> = wanted.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert_eq!(
        wanted,
        [("WebFetch", "http://127.0.0.1:9/docs"), ("Bash", "ls")]
    );
    let server = stage.server.clone();
    let seen = tokio::task::spawn_blocking(move || {
        server.wait_until(PATIENCE, |requests| {
            requests.iter().filter(|request| request.is_turn()).count() == 2
        })
    });
    assert!(seen.await.unwrap());
    let turns = stage.server.turns();
    let offered = |turn: usize, name: &str| {
        let tools = turns[turn].json()["tools"].clone();
        tools
            .as_array()
            .unwrap()
            .iter()
            .any(|tool| tool["name"] == name)
    };
    assert!(offered(0, "WebFetch") && !offered(0, "WebSearch"));
    let results = results_in(&turns[1]);
    let result = results
        .iter()
        .find(|block| block["is_error"] == true)
        .unwrap();
    let told = "The developer does not allow this: read docs/ instead";
    assert_eq!(text_of(result), told, "{result}");
}

/// Configuration steers the tools of real sessions; nobody is asked where nothing says so.
#[tokio::test]
async fn the_real_one_offers_what_is_allowed() {
    for program in claudes() {
        offers_what_is_allowed(&program).await;
    }
}

async fn offers_what_is_allowed(program: &Path) {
    let stage = Stage::new("rules: []");
    let offered = async |permissions: ToolPermissions| {
        let before = stage.server.turns().len();
        let mut spec = stage.spec(AgentName::ClaudeCode, program, "hello");
        spec.task.permissions = permissions;
        let run = stage.run(&spec).await;
        assert_eq!(run.report.stop, None, "{run:?}");
        let tools = stage.server.turns()[before].json()["tools"].clone();
        let named = |name: &str| tools.as_array().unwrap().iter().any(|t| t["name"] == name);
        ["WebFetch", "WebSearch", "Bash"].map(named)
    };
    let tools = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let usual = offered(ToolPermissions::default()).await;
    assert_eq!(usual, [false, false, true]);
    let changed = offered(ToolPermissions {
        allow: tools(&["WebSearch"]),
        deny: tools(&["Bash"]),
        ..ToolPermissions::default()
    })
    .await;
    assert_eq!(changed, [false, true, false]);
}

/// What is asked about stands among the tools at the head of the prompt, the same for a planner and a fork
/// of its session.
#[tokio::test]
async fn the_real_ones_forks_share_its_tools() {
    for program in claudes() {
        forks_share_tools(&program).await;
    }
}

async fn forks_share_tools(program: &Path) {
    let stage = Stage::new("rules: []");
    let spec = |prompt: &str, fork_of: Option<&str>| {
        let mut spec = stage.spec(AgentName::ClaudeCode, program, prompt);
        spec.task.fork_of = fork_of.map(str::to_owned);
        spec.task.permissions = asking(&["WebFetch", "Bash"], Span::from_secs(50));
        spec
    };
    let planner = spec("Make a plan.", None);
    let planned = stage.run(&planner).await;
    assert_eq!(planned.report.stop, None, "{planned:?}");
    let forked = stage
        .run(&spec("Do it.", Some(&planner.task.session)))
        .await;
    assert_eq!(forked.report.stop, None, "{forked:?}");
    let turns = stage.server.turns();
    let [first, .., last] = turns.as_slice() else {
        panic!("{} requests were sent", turns.len())
    };
    assert_eq!(first.json()["tools"], last.json()["tools"]);
    let (all, of_fork) = (first.context(), last.context());
    let shared = common_prefix(&all, &of_fork);
    assert!(shared * 100 >= all.len() * 95, "{shared} of {}", all.len());
}
