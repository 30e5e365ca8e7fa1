//! The `command` agent: a program run in the sandbox, such as a codemod, a formatter or a fixer.

use claudecluster_protocol::{StopReason, event::AgentEvent, plan::Command};
use tokio::{io::AsyncWrite, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::{AgentLimits, AgentReport, AgentSpec};
use crate::{
    launch::{Launch, argv},
    program::{self, Deadlines, End, Ended},
};

/// What the launcher's complaints start with. Programs are told by it that they did not run at all.
const LAUNCHER: &[u8] = b"sandbox: ";

/// Runs the program to its end. Its exit status is the result; it may be silent as long as it likes.
pub(super) async fn run(
    spec: &AgentSpec,
    launch: &dyn Launch,
    transcript: &mut (dyn AsyncWrite + Unpin + Send),
    events: &mpsc::Sender<AgentEvent>,
    cancel: &CancellationToken,
) -> AgentReport {
    let Some(run) = spec.run.as_ref().filter(|run| !run.is_empty()) else {
        return stopped(
            StopReason::Refused,
            "the task has no command to run".to_owned(),
        );
    };
    let mut env = launch.base_env();
    env.extend(spec.env.iter().cloned());
    let command = launch.command(&argv(run.argv()), &env);
    let _ = events.try_send(AgentEvent::Started {
        session: None,
        model: None,
    });
    let deadlines = Deadlines {
        timeout: spec.limits.timeout.to_duration(),
        exit: spec.limits.exit.to_duration(),
    };
    let ended = program::run(command, deadlines, Some(transcript), events, cancel).await;
    let last = program::last_lines(&ended.tail);
    let Some((stop, words)) = why_stopped(&ended, run, &spec.limits) else {
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
    stopped(stop, summary)
}

/// Why the program did not succeed, in one class and in words; `None` where it did.
fn why_stopped(ended: &Ended, run: &Command, limits: &AgentLimits) -> Option<(StopReason, String)> {
    Some(match &ended.end {
        End::Exited(status) if status.success() => return None,
        End::Exited(status) if status.code() == Some(125) && ended.tail.starts_with(LAUNCHER) => {
            let words = "cannot create the sandbox".to_owned();
            (StopReason::SpawnFailed, words)
        }
        End::Exited(status) => {
            let words = format!("`{run}` failed: {status}");
            (StopReason::ExitStatus, words)
        }
        End::Failed(e) => {
            let words = format!("cannot start `{run}`: {e}");
            (program::class_of(e), words)
        }
        End::NoTranscript(e) => {
            let words = format!("cannot write the transcript: {e}");
            (StopReason::Resources, words)
        }
        End::TimedOut => {
            let words = format!("`{run}` took longer than {}", limits.timeout);
            (StopReason::Timeout, words)
        }
        End::Cancelled => (StopReason::Cancelled, format!("`{run}` was cancelled")),
    })
}

fn stopped(stop: StopReason, summary: String) -> AgentReport {
    AgentReport {
        stop: Some(stop),
        summary,
        ..AgentReport::default()
    }
}
