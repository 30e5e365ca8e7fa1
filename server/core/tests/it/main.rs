//! The pure core against properties and against the real git.

mod code_execution;
mod display_text;
mod fuzz_seeds;
mod merge;
mod review;
mod secrets;
mod step;
mod support;
mod text;
