//! Agents: programs that do a task inside a sandbox.
//!
//! Architecture invariants:
//! - An agent is a value: a [`CodingAgent`] in the [`AgentRegistry`]. Nothing outside its folder depends on
//!   which one it is; what differs is read from its capabilities.
//! - Only `claude_code` knows Claude Code's stream format. Every agent's own format is converted to
//!   [`AgentEvent`](claudecluster_protocol::event::AgentEvent)s and one [`AgentReport`] at this edge.

pub mod claude_code;
mod clocks;
mod coding_agent;
mod command;
mod home;
mod input_queue;
mod line_session;
mod login;
mod native;
mod permission;
mod prices;
mod registry;
mod spec;
pub(crate) mod text;

pub(crate) use self::clocks::{ClockChange, ClockWatch};
pub use self::{
    clocks::{SessionClocks, StoppedClocks},
    coding_agent::{AgentInspection, AgentSettings, AgentSetup, CodingAgent},
    home::{AgentHome, ForkInheritance, is_model_name},
    login::{LoginHeader, LoginSecret, ProviderLogin},
    native::settings::NativeSettings,
    permission::{PermissionQuestion, QuestionReply, ToolPermissions, ToolRequest},
    registry::{AgentRegistry, registry},
    spec::{AgentLimits, AgentPlace, AgentReport, AgentSpec, AgentTask, SessionChannels},
};
