//! The one check of a caller's rights.

use claudecluster_protocol::ErrorBody;

use crate::{
    caller::{Caller, CallerName},
    rights::Right,
};

/// Proof that a caller has the right that what follows needs. Only the check in this module makes one.
#[derive(Clone, Copy, Debug)]
pub struct Permit<'a> {
    caller: &'a Caller,
}

impl<'a> Permit<'a> {
    /// Checks that `caller` has `right`.
    ///
    /// # Errors
    ///
    /// The caller does not have it.
    pub(crate) fn check(caller: &'a Caller, right: Right) -> Result<Self, ErrorBody> {
        if caller.rights.include(right) {
            return Ok(Self { caller });
        }
        let (name, right) = (&caller.name, right.as_words());
        Err(
            ErrorBody::user(format!("{name} may not {right}")).with_hint(
                "use the command line or an editor on the daemon's machine; they have all rights",
            ),
        )
    }

    /// The name of the caller that was checked.
    pub fn caller_name(self) -> &'a CallerName {
        &self.caller.name
    }
}
