//! Three-way merges and patches.

mod git;
mod patch;
mod words;
