//! The scripted model as a server.

mod server;
