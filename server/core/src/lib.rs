//! What ClaudeCluster decides, and nothing it does: plan graphs, lifecycles, scheduling, merging.
//!
//! Architecture invariant: this crate is pure. No files, no network, no clock, no environment, no
//! randomness, no async. Time comes in as an argument; work goes out as [`step::Effect`]s. So the
//! journal can be replayed to the same state, and a seed reproduces any run. `clippy.toml` beside
//! this crate's manifest bans the ways out.
//!
//! Two rooms hang together here and know little of each other: the *orchestration* ([`plan`],
//! [`graph`], [`state`], [`duplicate`], [`policy`], [`schedule`], [`step`]) and the *texts* ([`text`], [`diff`],
//! [`merge`], [`review`], [`patch`]).

pub mod code_execution_paths;
pub mod diff;
pub mod display_text;
pub mod duplicate;
pub mod graph;
pub mod merge;
pub mod patch;
pub mod plan;
pub mod policy;
pub mod review;
pub mod schedule;
pub mod secrets;
pub mod state;
pub mod step;
pub mod text;
mod write_patterns;
