//! `step`: what a goal's events lead to.

mod approval;
mod daemon_ends;
mod permissions;
mod simulation;
mod time;
