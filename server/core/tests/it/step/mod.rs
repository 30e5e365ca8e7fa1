//! `step`: what a goal's events lead to.

mod approval;
mod permissions;
mod simulation;
mod time;
