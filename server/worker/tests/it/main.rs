//! Attempts with real sandboxes and real agents.

mod agent;
mod attempt;
mod executor;
mod sandbox;
mod support;
