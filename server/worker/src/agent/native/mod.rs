//! The built-in agent: a small loop over the streaming Messages API.
//!
//! It runs as a process of its own inside the sandbox, like every other agent: the daemon starts
//! its own binary with the hidden subcommand [`SUBCOMMAND`], which calls [`child::native_main`]. The two
//! halves speak JSON lines: one task in, events and a report out. This file holds the daemon's half.
//!
//! All of its tools stay inside the sandbox, so there is none that anybody is asked about. One that reached
//! out would be a question of its dialogue, as Claude Code's are.

mod agent;
mod api;
mod child;
mod command;
mod conversation;
mod files;
mod sse;
mod tools;

use std::{ffi::OsString, path::PathBuf};

use claudecluster_protocol::{Span, StopReason, Usd, event::AgentEvent, goal::Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncWrite;

pub(super) use agent::NativeAgent;
pub use agent::NativeSettings;

use super::{
    AgentReport, AgentSpec, SessionChannels, longest_command,
    session::{self, Dialogue, Next, Step},
};
use crate::launch::{Launch, argv};

/// The hidden subcommand of our own binary that is this agent.
const SUBCOMMAND: &str = "agent-native";

/// What the daemon sends: one line.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    prompt: String,
    system: Option<String>,
    schema: Option<Value>,
    model: Option<String>,
    session: String,
    fork_of: Option<String>,
    /// Where conversations are kept.
    home: PathBuf,
    /// The workspace as the sandbox shows it.
    root: PathBuf,
    max_turns: u32,
    budget: Option<Usd>,
    /// For one command.
    longest_command: Span,
}

/// What the agent sends: any number of events, then the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Event(AgentEvent),
    Report(Report),
}

/// How the session ended, as the agent itself sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    stop: Option<StopReason>,
    summary: String,
    answer: Option<Value>,
    usage: Usage,
    retry_after: Option<Span>,
}

/// What a transcript says.
fn replay(transcript: &[u8]) -> Vec<AgentEvent> {
    let lines = transcript.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| match serde_json::from_slice(line).ok()? {
            Line::Event(event) => Some(event),
            Line::Report(_) => None,
        })
        .collect()
}

/// Runs one session.
async fn run(
    spec: &AgentSpec,
    launch: &dyn Launch,
    transcript: &mut (dyn AsyncWrite + Unpin + Send),
    channels: &SessionChannels,
) -> AgentReport {
    let program = [
        spec.place.program.clone().into_os_string(),
        SUBCOMMAND.into(),
    ];
    let command = launch.command(&argv(program), &environment(spec, launch));
    let mut dialogue = NativeDialogue {
        task: task(spec, launch),
        report: None,
        spent: Usage::default(),
        garbled: false,
    };
    let ended = session::drive(
        command,
        &mut dialogue,
        &spec.task.limits,
        spec.task.permissions.timeout,
        transcript,
        channels,
    )
    .await;
    let session = ended.spoke.then(|| spec.task.session.clone());
    match dialogue.report {
        Some(report) => AgentReport {
            stop: ended.stop.or(report.stop),
            summary: report.summary,
            answer: report.answer,
            usage: report.usage,
            session,
            retry_after: report.retry_after,
        },
        None => {
            let (stop, summary) = ended.without_result("the built-in agent", &spec.task.limits);
            let broken = stop == StopReason::Crashed && dialogue.garbled;
            AgentReport {
                stop: Some(if broken {
                    StopReason::BrokenStream
                } else {
                    stop
                }),
                summary,
                usage: dialogue.spent,
                session,
                ..AgentReport::default()
            }
        }
    }
}

fn task(spec: &AgentSpec, launch: &dyn Launch) -> Task {
    Task {
        prompt: spec.task.prompt.clone(),
        system: spec.task.system.clone(),
        schema: spec.task.schema.clone(),
        model: spec.task.model.clone(),
        session: spec.task.session.clone(),
        fork_of: spec.task.fork_of.clone(),
        home: spec.place.home.clone(),
        root: launch.root().to_owned(),
        max_turns: spec.task.limits.max_turns,
        budget: spec.task.limits.budget,
        longest_command: longest_command(&spec.task.limits),
    }
}

fn environment(spec: &AgentSpec, launch: &dyn Launch) -> Vec<(OsString, OsString)> {
    let mut env = launch.base_env();
    for (name, value) in &spec.place.env {
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), value.clone()));
    }
    env
}

struct NativeDialogue {
    task: Task,
    report: Option<Report>,
    /// As last reported, for sessions that end without a report.
    spent: Usage,
    garbled: bool,
}

impl Dialogue for NativeDialogue {
    fn opening(&mut self) -> Vec<String> {
        // A task consists of strings and numbers; there is nothing that cannot be written.
        serde_json::to_string(&self.task).into_iter().collect()
    }

    fn line(&mut self, line: &[u8]) -> Step {
        let Ok(line) = serde_json::from_slice(line) else {
            self.garbled = true;
            return Step::default();
        };
        match line {
            Line::Event(event) => {
                if let AgentEvent::Spent { usage } = event {
                    self.spent = usage;
                }
                Step {
                    events: vec![event],
                    ..Step::default()
                }
            }
            Line::Report(report) => {
                self.report.get_or_insert(report);
                Step {
                    next: Next::Finished,
                    ..Step::default()
                }
            }
        }
    }
}
