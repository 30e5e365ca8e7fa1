//! Checks a caller's rights, in one place.

use claudecluster_protocol::ErrorBody;

use crate::{
    caller::{Caller, CallerName},
    rights::Right,
};

/// Proves that a caller has the right a method needs. Only the check in this module makes a permit.
#[derive(Clone, Copy, Debug)]
pub struct Permit<'a> {
    caller: &'a Caller,
}

impl<'a> Permit<'a> {
    /// Checks that `caller` has `right`.
    ///
    /// # Errors
    ///
    /// The caller does not have `right`.
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

    /// Returns the name of the checked caller.
    pub fn caller_name(self) -> &'a CallerName {
        &self.caller.name
    }
}
