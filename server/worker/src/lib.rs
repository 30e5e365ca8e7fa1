//! Runs one attempt: a sandbox, an agent in it, and the change set that comes out.

pub mod agent;
pub mod attempt;
pub mod changes;
pub mod executor;
pub mod launch;
pub mod link;
pub mod network;
mod program;
pub mod sandbox;
pub mod serve;
mod transcript;
