//! The journal and its artifacts on a real disk.

mod crash;
mod replay;
mod store;
