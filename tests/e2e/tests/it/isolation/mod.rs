//! Workers and repositories that try to get out.

mod escapes;
mod findings;
mod foreign_files;
mod hostile;
mod hostile_agent;
mod hostile_homes;
mod keys;
mod limits;
mod modes;
mod requirements;
mod secrets;
mod sockets;
mod swaps;
