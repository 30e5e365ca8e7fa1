//! The secret of the daemon's socket.
//!
//! Whoever can read the state folder may act for its user; whoever can only connect may not.

use claudecluster_protocol::{ErrorBody, api::SocketSecret};
use subtle::ConstantTimeEq;

/// The length of a secret in bytes, before they are written as hexadecimal digits.
const SECRET_BYTES: usize = 32;

/// Creates a new secret.
pub(super) fn create_secret() -> Result<SocketSecret, ErrorBody> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        ErrorBody::environment(format!("the system gives no random numbers: {error}"))
            .with_hint("start the daemon again; if this persists, restart the machine")
    })?;
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    Ok(SocketSecret::new(digits.collect()))
}

/// Returns whether a client has shown the secret. The time does not depend on the digits.
pub(super) fn is_secret(secret: &SocketSecret, shown: Option<&SocketSecret>) -> bool {
    shown.is_some_and(|shown| {
        let (shown, secret) = (shown.expose().as_bytes(), secret.expose().as_bytes());
        shown.ct_eq(secret).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_is_accepted() {
        let secret = create_secret().unwrap();
        let text = secret.expose().to_owned();
        assert_eq!(text.len(), 2 * SECRET_BYTES);
        assert_ne!(create_secret().unwrap(), secret);
        let shown = |text: &str| is_secret(&secret, Some(&SocketSecret::new(text.to_owned())));
        assert!(shown(&text));
        for wrong in ["", &text[1..], &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(shown(wrong), wrong == text, "{wrong}");
        }
        assert!(!is_secret(&secret, None));
        assert_eq!(format!("{secret:?}"), "SocketSecret(…)");
    }
}
