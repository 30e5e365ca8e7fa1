//! The service on its own: the rights of callers, and events from a sequence number.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod events;
mod rights;
mod typed_calls;
mod world;
