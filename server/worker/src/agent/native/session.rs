//! The daemon's half of a session of the built-in agent.

use std::ffi::OsString;

use claudecluster_protocol::{StopReason, event::AgentEvent, goal::AgentUsage};
use tokio::io::AsyncWrite;

use super::lines::{NativeLine, NativeReport, NativeTask, SUBCOMMAND};
use crate::{
    agent::{
        AgentReport, AgentSpec, ForkInheritance, SessionChannels,
        line_session::{self, LineEffects, LineProtocol, SessionControl},
    },
    launch::{ProgramLauncher, argv},
};

/// Reads a transcript back as events.
pub(super) fn replay_transcript(transcript: &[u8]) -> Vec<AgentEvent> {
    let lines = transcript.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| match serde_json::from_slice(line).ok()? {
            NativeLine::Event(event) => Some(event),
            NativeLine::Report(_) => None,
        })
        .collect()
}

/// Runs one session.
pub(super) async fn run_session(
    spec: &AgentSpec,
    launch: &dyn ProgramLauncher,
    transcript: &mut (dyn AsyncWrite + Unpin + Send),
    channels: &SessionChannels,
) -> AgentReport {
    let program = [
        spec.place.program.clone().into_os_string(),
        SUBCOMMAND.into(),
    ];
    let command = launch.command(&argv(program), &session_env(spec, launch));
    let mut protocol = NativeProtocol {
        task: native_task(spec, launch),
        report: None,
        spent: AgentUsage::default(),
        garbled: false,
    };
    let ended = line_session::drive_session(
        command,
        &mut protocol,
        &spec.task.limits,
        spec.task.permissions.timeout,
        transcript,
        channels,
    )
    .await;
    let session = ended.spoke.then(|| spec.task.session.clone());
    match protocol.report {
        Some(report) => AgentReport {
            stop: ended.stop.or(report.stop),
            summary: report.summary,
            answer: report.answer,
            usage: report.usage,
            session,
            inheritance: ForkInheritance::default(),
            retry_after: report.retry_after,
        },
        None => {
            let (stop, summary) = ended.without_result("the built-in agent", &spec.task.limits);
            let broken = stop == StopReason::Crashed && protocol.garbled;
            AgentReport {
                stop: Some(if broken {
                    StopReason::BrokenStream
                } else {
                    stop
                }),
                summary,
                usage: protocol.spent,
                session,
                ..AgentReport::default()
            }
        }
    }
}

fn native_task(spec: &AgentSpec, launch: &dyn ProgramLauncher) -> NativeTask {
    NativeTask {
        prompt: spec.task.prompt.clone(),
        system: spec.task.system.clone(),
        schema: spec.task.schema.clone(),
        model: spec.task.model.clone(),
        session: spec.task.session.clone(),
        fork_of: spec.task.fork_of.clone(),
        home: launch.path_inside(&spec.place.home),
        root: launch.root().to_owned(),
        max_turns: spec.task.limits.max_turns,
        budget: spec.task.limits.budget,
        longest_command: spec.task.limits.longest_command(),
    }
}

fn session_env(spec: &AgentSpec, launch: &dyn ProgramLauncher) -> Vec<(OsString, OsString)> {
    let mut env = launch.base_env();
    for (name, value) in &spec.place.env {
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), value.clone()));
    }
    env
}

struct NativeProtocol {
    task: NativeTask,
    report: Option<NativeReport>,
    /// As last reported, for sessions that end without a report.
    spent: AgentUsage,
    garbled: bool,
}

impl LineProtocol for NativeProtocol {
    fn opening_lines(&mut self) -> Vec<String> {
        // A task consists of strings and numbers; there is nothing that cannot be written.
        serde_json::to_string(&self.task).into_iter().collect()
    }

    fn receive_line(&mut self, line: &[u8]) -> LineEffects {
        let Ok(line) = serde_json::from_slice(line) else {
            self.garbled = true;
            return LineEffects::default();
        };
        match line {
            NativeLine::Event(event) => {
                if let AgentEvent::Spent { usage } = event {
                    self.spent = usage;
                }
                LineEffects {
                    events: vec![event],
                    ..LineEffects::default()
                }
            }
            NativeLine::Report(report) => {
                self.report.get_or_insert(report);
                LineEffects {
                    next: SessionControl::Finished,
                    ..LineEffects::default()
                }
            }
        }
    }
}
