//! Runs agents: base snapshots, sandboxed sessions, and the gates of the result.

pub(crate) mod agents;
pub(crate) mod attempts;
pub(crate) mod base_snapshot;
pub(crate) mod gates;
pub(crate) mod host_answers;
pub(crate) mod layers;
pub(crate) mod permissions;
pub(crate) mod planner;
pub(crate) mod prompts;
pub(crate) mod repair_prompt;
pub(crate) mod running_goals;
pub(crate) mod session_mask;
pub(crate) mod sessions;
