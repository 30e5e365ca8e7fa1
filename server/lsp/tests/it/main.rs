//! The language server, driven by clients that speak the protocol.

mod goal;
mod neovim;
mod review;
mod session;
mod support;
