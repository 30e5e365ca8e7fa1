//! What a session may do that reaches beyond its sandbox.

/// Answers a session's permission requests.
///
/// The sandbox is the boundary (R20): whatever stays inside is allowed without looking at it, shell
/// commands included. Denied are tools that act outside of it, or that wait for somebody who is not
/// there. Denied tools are not even offered to the model where Claude Code allows to say so; that
/// also takes two thirds off the fixed part of every request.
#[derive(Clone, Debug)]
pub struct Policy {
    denied: Vec<String>,
}

/// Denied unless configured otherwise.
const DENIED: [&str; 14] = [
    // Reach the network in the provider's or the daemon's name.
    "WebFetch",
    "WebSearch",
    // Wait for a person.
    "AskUserQuestion",
    "EnterPlanMode",
    "ExitPlanMode",
    // Make worktrees, timers and further sessions behind the driver's back.
    "EnterWorktree",
    "ExitWorktree",
    "CronCreate",
    "CronDelete",
    "CronList",
    "ScheduleWakeup",
    "SendMessage",
    "Workflow",
    // Procedures for people at a terminal.
    "Skill",
];

impl Default for Policy {
    fn default() -> Self {
        Self::new(DENIED)
    }
}

impl Policy {
    /// A policy that denies these tools and nothing else.
    pub fn new<S: Into<String>>(denied: impl IntoIterator<Item = S>) -> Self {
        Self {
            denied: denied.into_iter().map(Into::into).collect(),
        }
    }

    /// The denied tools.
    pub(crate) fn denied(&self) -> &[String] {
        &self.denied
    }

    /// Whether a call of `tool` is allowed.
    pub fn allows(&self, tool: &str) -> bool {
        !self.denied.iter().any(|denied| denied == tool)
    }
}
