//! Agents: programs that do a task inside a sandbox.
//!
//! Architecture invariant: only `claude_code` knows Claude Code's stream format. Every agent's own
//! format is converted to [`AgentEvent`]s and one [`AgentReport`] at this edge.

pub mod claude_code;
mod command;
pub mod native;
mod permission;
mod prices;
mod session;
mod spec;
mod text;

use claudecluster_protocol::{Span, event::AgentEvent, plan::AgentName};
pub use permission::{Ask, QuestionReply, ToolPermissions, ToolRequest};
pub use spec::{AgentLimits, AgentPlace, AgentReport, AgentSpec, AgentTask, SessionChannels};

use crate::launch::Launch;

/// Runs one session to its classified end. Never fails and never outlasts its deadlines.
///
/// Every line the agent writes goes to `transcript` unchanged.
pub async fn run(
    spec: &AgentSpec,
    launch: &dyn Launch,
    transcript: &mut (dyn tokio::io::AsyncWrite + Unpin + Send),
    channels: &SessionChannels,
) -> AgentReport {
    match spec.task.agent {
        AgentName::ClaudeCode => claude_code::run(spec, launch, transcript, channels).await,
        AgentName::Native => native::run(spec, launch, transcript, channels).await,
        AgentName::Command => command::run(spec, launch, transcript, channels).await,
    }
}

/// What a session's transcript says, as the events it was told by while it ran.
///
/// Lines that mean nothing are left out, so a transcript that breaks off is told as far as it goes.
pub fn replay(agent: AgentName, transcript: &[u8]) -> Vec<AgentEvent> {
    match agent {
        AgentName::ClaudeCode => claude_code::replay(transcript),
        AgentName::Native => native::replay(transcript),
        AgentName::Command => {
            let text = String::from_utf8_lossy(transcript).into_owned();
            vec![AgentEvent::Output { text }]
        }
    }
}

/// How long one command of an agent may take. It is silent meanwhile, and silence has a deadline:
/// the command has to end first.
fn longest_command(limits: &AgentLimits) -> Span {
    Span(limits.silence.0 / 10 * 9)
}
