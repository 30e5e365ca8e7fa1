//! What is measured, one file a subject.

mod editor;
mod fleet;
mod landing;
mod memory;
mod network;
mod prefix;
mod review;
mod sandbox;
mod snapshot;
mod typing;

use crate::{options::Bench, output::Result, table::Table};

/// Measures one subject.
type Measure = fn(&Bench, &mut Table) -> Result;

/// Every section with its name.
pub(crate) const SECTIONS: [(&str, Measure); 12] = [
    ("sandbox", sandbox::measure),
    ("network", network::measure),
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
