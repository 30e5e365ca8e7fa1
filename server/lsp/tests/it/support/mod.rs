//! A driver that records what it is asked and knows a handful of hunks, and a client that speaks raw
//! JSON.

pub(crate) mod backend;
pub(crate) mod client;
