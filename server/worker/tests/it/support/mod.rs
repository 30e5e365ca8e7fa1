//! What the tests of this crate share.

mod fixture;
pub(crate) mod session;

pub(crate) use fixture::{Fixture, launcher, ok, processes, run, runs_inside, sh, until};
