//! Workers and repositories that try to get out.

mod escapes;
mod hostile;
mod modes;
mod requirements;
mod sockets;
