//! A driver that records what it is asked and knows a handful of hunks, and a client that speaks raw
//! JSON.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "a module of each test program")]

pub mod backend;
pub mod client;
