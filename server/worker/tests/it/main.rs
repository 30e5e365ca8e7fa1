//! Attempts with real sandboxes and real agents.

mod agent;
mod attempt;
mod executor;
mod network;
mod sandbox;
mod support;
