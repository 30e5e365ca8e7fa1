//! Decisions carried out in files and in open buffers, and taken back.

mod beside_git;
mod decisions;
mod deletion;
mod durability;
mod editor_undo;
mod resolve;
mod undo;
mod words;
