//! How to measure, and with which programs.

use std::path::PathBuf;

use crate::repo::Shape;

/// What every section is given.
pub(crate) struct Bench {
    /// Where repositories are kept and work is done.
    pub(crate) dir: PathBuf,
    /// How often what takes seconds is measured.
    pub(crate) rounds: u32,
    pub(crate) quick: bool,
    /// The large repository.
    pub(crate) large: Shape,
    /// Our program.
    pub(crate) binary: PathBuf,
    /// The real Claude Code.
    pub(crate) claude: PathBuf,
}

impl Bench {
    /// How often what takes milliseconds is measured in each round.
    pub(crate) fn often(&self) -> u32 {
        if self.quick { 3 } else { 10 }
    }
}
