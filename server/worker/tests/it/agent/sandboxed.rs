//! The agents inside real sandboxes, as attempts run them.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

use std::path::{Path, PathBuf};

use claudecluster_protocol::{StopReason, plan::AgentName};
use claudecluster_worker::{
    agent::AgentSpec,
    sandbox::{Sandbox, SandboxSpec},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::session::{PATIENCE, Run, Stage, claude};

fn launcher() -> PathBuf {
    env!("CARGO_BIN_EXE_sandbox-launcher").into()
}

/// Every agent that talks to the model, with its program.
fn agents() -> [(AgentName, PathBuf); 2] {
    [
        (AgentName::ClaudeCode, claude()),
        (AgentName::Native, launcher()),
    ]
}

async fn sandbox(stage: &Stage, name: &str) -> Sandbox {
    let state = stage.folder.path().join("state");
    std::fs::create_dir_all(&state).unwrap();
    let spec = SandboxSpec {
        writable: vec![stage.home()],
        hidden: vec![state.clone()],
        ..SandboxSpec::new(stage.root(), state.join(name), launcher())
    };
    Sandbox::prepare(spec).await.unwrap()
}

fn spec(stage: &Stage, agent: AgentName, program: &Path, prompt: &str) -> AgentSpec {
    let mut spec = stage.spec(agent, program, prompt);
    spec.task.schema = Some(json!({"type": "object", "required": ["summary"],
        "properties": {"summary": {"type": "string"}}}));
    spec
}

const PLAN_AND_FORKS: &str = r"
rules:
  - when: {user: 'Make a plan'}
    turns:
      - - read: main.txt
      - - structured: {summary: planned}
  - when: {userMatches: 'Task (?<id>\w+)'}
    together: 2
    turns:
      - - edit: {path: main.txt, old: one, new: 'from {{id}}'}
        - run: 'cat main.txt > copy.txt'
      - - structured: {summary: '{{id}}'}
";

#[tokio::test]
async fn a_plan_and_two_forks_side_by_side() {
    for (agent, program) in agents() {
        let stage = Stage::new(PLAN_AND_FORKS);
        stage.write("main.txt", "one\n");
        let planner = spec(&stage, agent, &program, "Make a plan.");
        let view = sandbox(&stage, "plan").await;
        let planned = stage
            .run_in(&view, &planner, CancellationToken::new())
            .await;
        assert_eq!(planned.report.stop, None, "{agent}: {planned:?}");
        let work = async |name: &str| {
            let mut spec = spec(&stage, agent, &program, &format!("Task {name}"));
            spec.task.fork_of = Some(planner.task.session.clone());
            let view = sandbox(&stage, name).await;
            let run = stage.run_in(&view, &spec, CancellationToken::new()).await;
            (run, view)
        };
        let (one, two) = tokio::join!(work("first"), work("second"));
        for ((run, _view), name) in [(one, "first"), (two, "second")] {
            assert_eq!(
                (run.report.stop, run.report.summary.as_str()),
                (None, name),
                "{agent}: {run:?}"
            );
            let layer = find(&stage.folder.path().join("state").join(name), "copy.txt");
            let copy = std::fs::read_to_string(layer.unwrap()).unwrap();
            assert_eq!(copy, format!("from {name}\n"), "{agent}");
            assert!(
                run.report.usage.cache_read_tokens > 0,
                "{agent}: {:?}",
                run.report
            );
        }
        assert_eq!(stage.read("main.txt"), "one\n");
        assert!(!stage.root().join("copy.txt").exists());
    }
}

/// The first file of that name below `folder`.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let here = entries
        .iter()
        .find(|path| path.is_file() && path.ends_with(name))
        .cloned();
    here.or_else(|| {
        entries
            .iter()
            .filter(|path| path.is_dir())
            .find_map(|path| find(path, name))
    })
}

/// The processes whose command line holds `mark`.
fn processes(mark: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.map(|entry| entry.path().join("cmdline"))
        .filter(|path| {
            let line = std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(mark)
        })
        .collect()
}

/// Cancels a session that has left a process in a session of its own behind.
async fn cancelled(agent: AgentName, program: &Path, mark: &str) -> Run {
    let escape =
        format!("setsid sh -c \"sleep 1234; : {mark}\" >/dev/null 2>&1 </dev/null & sleep 0.1");
    let stage = Stage::new(&format!(
        "rules: [{{when: {{turn: 0}}, answer: [{{run: '{escape}'}}]}}, {{hold: never, answer: []}}]"
    ));
    let view = sandbox(&stage, "layer").await;
    let spec = spec(&stage, agent, program, "hello");
    let cancel = CancellationToken::new();
    let (server, then) = (std::sync::Arc::clone(&stage.server), cancel.clone());
    let mark = mark.to_owned();
    let waiting = tokio::task::spawn_blocking(move || {
        assert!(
            server.wait_until(PATIENCE, |all| all.iter().filter(|r| r.is_turn()).count()
                == 2)
        );
        assert!(!processes(&mark).is_empty(), "nothing escaped");
        then.cancel();
    });
    let run = stage.run_in(&view, &spec, cancel).await;
    waiting.await.unwrap();
    run
}

#[tokio::test]
async fn cancelling_leaves_no_process() {
    for (agent, program) in agents() {
        let mark = uuid::Uuid::new_v4().to_string();
        let run = cancelled(agent, &program, &mark).await;
        assert_eq!(
            run.report.stop,
            Some(StopReason::Cancelled),
            "{agent}: {run:?}"
        );
        assert_eq!(processes(&mark), Vec::<PathBuf>::new(), "{agent}");
    }
}
