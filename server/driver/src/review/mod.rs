//! Review of proposals: pending hunks against the current text, and the effect of verdicts on them.
//! Computed here, carried out in `land`.

pub(crate) mod blame;
pub(crate) mod cache;
pub(crate) mod diff;
pub(crate) mod history;
pub(crate) mod hunk_part;
pub(crate) mod pending;
pub(crate) mod provenance;
pub(crate) mod reader;
pub(crate) mod renames;
pub(crate) mod verdict;
pub(crate) mod versions;
