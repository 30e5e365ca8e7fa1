//! The plugin in a real Neovim against the real daemon.

mod commands;
mod edits;
mod goal;
mod host;
mod killed;
mod reload;
mod terminal;
mod typing;
mod undo;
