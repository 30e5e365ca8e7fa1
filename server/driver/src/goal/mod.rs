//! Goals at their edges: as they are submitted, and as fronts show them.

pub(crate) mod artifacts;
pub(crate) mod selection_anchor;
pub(crate) mod submission;
pub(crate) mod views;
