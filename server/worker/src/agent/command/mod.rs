//! The `command` agent: a program run in the sandbox, such as a codemod, a formatter or a fixer.

use std::path::PathBuf;

use claudecluster_protocol::{
    ErrorBody, StopReason,
    agent::{AgentCapabilities, AgentInput},
    event::AgentEvent,
    plan::{AgentName, Command},
};
use futures::future::BoxFuture;
use tokio::io::AsyncWrite;

use super::{AgentLimits, AgentReport, AgentSetup, AgentSpec, CodingAgent, SessionChannels};
use crate::{
    launch::{ProgramLauncher, argv},
    program::{self, EndedProgram, ProgramDeadlines, ProgramEnd},
};

/// The prefix of the launcher's errors, by which a program that did not run at all is recognised.
const LAUNCHER: &[u8] = b"sandbox: ";

/// The agent that runs a task's command.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandAgent;

impl CodingAgent for CommandAgent {
    fn name(&self) -> AgentName {
        AgentName::Command
    }

    fn label(&self) -> &'static str {
        "a command"
    }

    fn capabilities(&self) -> AgentCapabilities {
        AgentCapabilities {
            input: AgentInput::Command,
            ..AgentCapabilities::default()
        }
    }

    /// The command is found in the sandbox, by its launcher.
    fn find_program(&self, setup: &AgentSetup<'_>) -> Result<PathBuf, ErrorBody> {
        Ok(setup.launcher.to_owned())
    }

    fn run<'a>(
        &'a self,
        spec: &'a AgentSpec,
        launch: &'a dyn ProgramLauncher,
        transcript: &'a mut (dyn AsyncWrite + Unpin + Send),
        channels: &'a SessionChannels,
    ) -> BoxFuture<'a, AgentReport> {
        Box::pin(run_command(spec, launch, transcript, channels))
    }

    fn replay(&self, transcript: &[u8]) -> Vec<AgentEvent> {
        let text = String::from_utf8_lossy(transcript).into_owned();
        vec![AgentEvent::Output { text }]
    }
}

/// Runs the program to its end. Its exit status is the result; it may be silent as long as it likes.
async fn run_command(
    spec: &AgentSpec,
    launch: &dyn ProgramLauncher,
    transcript: &mut (dyn AsyncWrite + Unpin + Send),
    channels: &SessionChannels,
) -> AgentReport {
    let Some(run) = spec.task.run.as_ref().filter(|run| !run.is_empty()) else {
        return AgentReport::failed(StopReason::Refused, "the task has no command to run");
    };
    let mut env = launch.base_env();
    env.extend(spec.place.env.iter().cloned());
    let command = launch.command(&argv(run.to_argv()), &env);
    let _ = channels.events.try_send(AgentEvent::Started {
        session: None,
        model: None,
    });
    let deadlines = ProgramDeadlines {
        timeout: spec.task.limits.timeout.to_duration(),
        exit: spec.task.limits.exit.to_duration(),
    };
    let ended = program::run_program(command, deadlines, Some(transcript), channels).await;
    let last = program::last_lines(&ended.tail);
    let Some((stop, words)) = why_stopped(&ended, run, &spec.task.limits) else {
        let summary = last.lines().last().unwrap_or("done").to_owned();
        return AgentReport {
            summary,
            ..AgentReport::default()
        };
    };
    let summary = if last.is_empty() {
        words
    } else {
        format!("{words}\n{last}")
    };
    AgentReport::failed(stop, summary)
}

/// Why the program did not succeed, in one class and in words; `None` where it did.
fn why_stopped(
    ended: &EndedProgram,
    run: &Command,
    limits: &AgentLimits,
) -> Option<(StopReason, String)> {
    Some(match &ended.end {
        ProgramEnd::Exited(status) if status.success() => return None,
        ProgramEnd::Exited(status)
            if status.code() == Some(125) && ended.tail.starts_with(LAUNCHER) =>
        {
            let words = "cannot create the sandbox".to_owned();
            (StopReason::SpawnFailed, words)
        }
        ProgramEnd::Exited(status) => {
            let words = format!("`{run}` failed: {status}");
            (StopReason::ExitStatus, words)
        }
        ProgramEnd::Failed(e) => {
            let words = format!("cannot start `{run}`: {e}");
            (program::class_of(e), words)
        }
        ProgramEnd::NoTranscript(e) => {
            let words = format!("cannot write the transcript: {e}");
            (StopReason::Resources, words)
        }
        ProgramEnd::TimedOut => {
            let words = format!("`{run}` took longer than {}", limits.timeout);
            (StopReason::Timeout, words)
        }
        ProgramEnd::Cancelled => (StopReason::Cancelled, format!("`{run}` was cancelled")),
    })
}
