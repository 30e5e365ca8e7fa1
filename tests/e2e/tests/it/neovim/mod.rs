//! The plugin in a real Neovim against the real daemon.

mod commands;
mod goal;
mod host;
mod killed;
mod reload;
mod terminal;
mod typing;
mod undo;
