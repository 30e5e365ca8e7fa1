//! A driver that records what it is asked and knows a handful of hunks, and a client that speaks raw
//! JSON.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

pub(crate) mod backend;
pub(crate) mod client;
