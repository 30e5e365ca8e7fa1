//! The protocol's public promises.

mod generated;
