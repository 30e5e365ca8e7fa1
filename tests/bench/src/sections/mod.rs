//! What is measured, one file a subject.

mod editor;
mod fleet;
mod landing;
mod memory;
mod prefix;
mod review;
mod sandbox;
mod snapshot;
mod typing;

use std::path::PathBuf;

use crate::{Result, repo::Shape, table::Table};

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

/// Measures one subject.
type Measure = fn(&Bench, &mut Table) -> Result;

/// Every section with its name.
pub(crate) const SECTIONS: [(&str, Measure); 11] = [
    ("sandbox", sandbox::measure),
    ("snapshot", snapshot::measure),
    ("fleet", fleet::large),
    ("fleet-small", fleet::small),
    ("prefix", prefix::measure),
    ("initialize", editor::initialize),
    ("latency", editor::latency),
    ("typing", typing::measure),
    ("memory", memory::measure),
    ("review", review::measure),
    ("landing", landing::measure),
];
