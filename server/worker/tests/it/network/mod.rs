//! The door of a job, over ordinary listeners: what it lets through, what it asks and what it says.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests is a test"
)]

mod attacks;
mod broker;
mod proxy;
mod sandboxed;
mod support;
