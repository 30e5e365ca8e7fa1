//! The real Claude Code, driven over its stdio control protocol.
//!
//! Architecture invariant: nothing outside this folder knows Claude's stream format.
//!
//! One session is one process: `claude -p` with JSON lines in both directions. Its command line
//! changes often, so optional flags are passed only where `--help` lists them, unknown messages
//! and fields are ignored, and no text meant for people is ever parsed.
//!
//! These rules decide who controls the session (security requirements R12 to R14, R19):
//! - `--setting-sources user` with a private `CLAUDE_CONFIG_DIR`: neither the repository's settings
//!   (hooks, environment, permissions) nor the user's are read. `--strict-mcp-config`: nor its MCP
//!   servers. Both are required; a Claude Code without them is refused.
//! - the permission mode and the offered tools are set on the command line, and requests are answered by
//!   [`ToolPolicy`]. Tools are an allow-list: what a new release adds stays out until it has been judged.
//! - the prompt goes through standard input, never through the command line. It is sent as a text
//!   block that is not the last one, because only the last is searched for slash commands and
//!   `@file` mentions; releases that know `client_composed` do not search it either.

mod agent;
mod detect;
mod home;
mod login;
mod policy;
mod protocol;
mod provider;
mod result;
mod session;
mod settings;
mod tools;

pub(super) use agent::ClaudeCode;
pub use policy::{ToolPolicy, ToolRule};
pub use settings::ClaudeSettings;
