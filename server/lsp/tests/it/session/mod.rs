//! The connection: transport, client capabilities and settings.

mod clients;
mod settings;
mod transport;
