//! Sessions of each agent.

mod claude_code;
mod faults;
mod native;
mod permissions;
mod sandboxed;
mod tools;
