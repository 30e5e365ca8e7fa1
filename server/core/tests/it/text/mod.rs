//! Positions, edits and line diffs.

mod diff_git;
mod positions;
