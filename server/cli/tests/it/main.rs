//! The real program from outside.

mod commands;
mod daemon;
mod hints;
mod log;
mod support;
