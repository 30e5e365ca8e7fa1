//! The built-in agent: a small loop over the streaming Messages API.
//!
//! The agent runs as a process of its own inside the sandbox, like every other agent: the daemon starts
//! its own binary with the hidden subcommand `agent-native`. The two halves speak JSON lines: one task
//! in, events and a report out. `session` is the daemon's half, `child` the half in the sandbox.
//!
//! All tools of this agent stay inside the sandbox, so it never asks for permission. A tool that reached
//! out would ask through its line protocol, as Claude Code does.

mod agent;
mod api;
mod child;
mod command;
mod conversation;
mod files;
mod lines;
mod session;
pub(super) mod settings;
mod sse;
mod tools;

pub(super) use agent::NativeAgent;
