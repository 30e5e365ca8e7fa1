//! Attempts with real sandboxes and real agents.

mod agent;
mod attempt;
mod sandbox;
mod support;
