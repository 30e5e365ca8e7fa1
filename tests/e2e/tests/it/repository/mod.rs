//! Rules of the repository that no compiler checks.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

mod circles;
mod foreign_reads;
mod hygiene;
mod layering;
mod modules;
mod pages;
mod promises;
mod test_files;
mod workspace;
