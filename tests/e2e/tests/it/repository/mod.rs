//! Rules of the repository that no compiler checks.

mod hygiene;
mod layering;
mod pages;
