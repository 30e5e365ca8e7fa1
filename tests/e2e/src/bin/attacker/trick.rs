//! What a trick is.

use std::io;

use claudecluster_e2e::attack::AttackTargets;

/// What a trick does. `Ok` if it worked.
pub(crate) type TrickBody = fn(&AttackTargets) -> io::Result<()>;

/// A name and what is tried.
pub(crate) type Trick = (&'static str, TrickBody);
