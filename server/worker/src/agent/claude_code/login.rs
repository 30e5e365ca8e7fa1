//! The login of a subscription, as Claude Code keeps it in a file.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// How long before its end Claude Code may renew a login.
const EARLY: Duration = Duration::from_hours(1);
/// The longest a login may last. Those of Claude Code last hours.
const LONGEST: Duration = Duration::from_hours(24 * 400);
/// The longest token, in bytes.
const TOKEN_BYTES: usize = 4 << 10;

/// A login whose shape was checked.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct ClaudeLogin {
    /// The file without what changes when it is renewed.
    account: Value,
    access: String,
    refresh: String,
    /// The end of the access token.
    expires: Duration,
}

impl ClaudeLogin {
    /// Reads a file; `None` unless it has the shape that Claude Code writes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut account: Value = serde_json::from_slice(bytes).ok()?;
        let login = account.get_mut("claudeAiOauth")?.as_object_mut()?;
        let mut take_token = |key| match login.remove(key)? {
            Value::String(token) if is_token(&token) => Some(token),
            _ => None,
        };
        let (access, refresh) = (take_token("accessToken")?, take_token("refreshToken")?);
        let expires = Duration::from_millis(login.remove("expiresAt")?.as_u64()?);
        Some(Self {
            account,
            access,
            refresh,
            expires,
        })
    }

    /// Returns the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut file = self.account.clone();
        let expires = u64::try_from(self.expires.as_millis()).unwrap_or(u64::MAX);
        file["claudeAiOauth"]["accessToken"] = self.access.as_str().into();
        file["claudeAiOauth"]["refreshToken"] = self.refresh.as_str().into();
        file["claudeAiOauth"]["expiresAt"] = expires.into();
        file.to_string().into_bytes()
    }

    /// Returns whether it lasts longer than `other`.
    pub(super) fn is_later_than(&self, other: &Self) -> bool {
        self.expires > other.expires
    }

    /// Returns whether this may be `before` renewed: the same but for the tokens, later, and `before` had run out by
    /// `now` or was about to.
    pub(super) fn renews(&self, before: &Self, now: Duration) -> bool {
        self.account == before.account
            && self.is_later_than(before)
            && before.expires < now + EARLY
            && self.expires < now + LONGEST
    }
}

/// Returns the one of two files that lasts longer; the user's where one has no known shape.
pub(super) fn choose_later(users: Vec<u8>, renewed: Vec<u8>) -> Vec<u8> {
    match (ClaudeLogin::parse(&users), ClaudeLogin::parse(&renewed)) {
        (Some(own), Some(later)) if later.is_later_than(&own) => renewed,
        _ => users,
    }
}

/// Returns the time since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn is_token(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.~+/=".contains(c);
    !text.is_empty() && text.len() <= TOKEN_BYTES && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_796_000_000);

    fn file(token: &str, expires: Duration, plan: &str) -> Vec<u8> {
        let expires = u64::try_from(expires.as_millis()).unwrap();
        json!({"claudeAiOauth": {"accessToken": format!("sk-ant-oat01-{token}"),
            "refreshToken": format!("sk-ant-ort01-{token}"), "expiresAt": expires,
            "scopes": ["user:inference"], "subscriptionType": plan}})
        .to_string()
        .into_bytes()
    }

    fn login(token: &str, expires: Duration, plan: &str) -> ClaudeLogin {
        ClaudeLogin::parse(&file(token, expires, plan)).unwrap()
    }

    #[test]
    fn a_login_is_renewed_only_when_it_runs_out() {
        let hour = Duration::from_hours(1);
        let old = login("a", NOW + hour / 2, "max");
        let new = login("b", NOW + 8 * hour, "max");
        assert!(new.renews(&old, NOW));
        assert!(!old.renews(&new, NOW), "it ends earlier");
        assert!(
            !login("b", NOW + 8 * hour, "pro").renews(&old, NOW),
            "another account"
        );
        let fresh = login("a", NOW + 4 * hour, "max");
        assert!(!new.renews(&fresh, NOW), "nothing had to be renewed");
        let endless = login("b", NOW + 100_000 * hour, "max");
        assert!(
            !endless.renews(&old, NOW),
            "it would win over the user's own for ever"
        );
    }

    #[test]
    fn only_the_shape_of_a_login_is_taken() {
        let good = file("a", NOW, "max");
        assert_eq!(
            serde_json::from_slice::<Value>(&ClaudeLogin::parse(&good).unwrap().to_bytes())
                .unwrap(),
            serde_json::from_slice::<Value>(&good).unwrap()
        );
        let mut odd = serde_json::from_slice::<Value>(&good).unwrap();
        odd["claudeAiOauth"]["accessToken"] = "a b\n".into();
        for bad in [
            b"".as_slice(),
            b"[]",
            b"{}",
            br#"{"claudeAiOauth": "x"}"#,
            odd.to_string().as_bytes(),
        ] {
            assert_eq!(ClaudeLogin::parse(bad), None);
        }
        assert_eq!(choose_later(good.clone(), b"{}".to_vec()), good);
        let later = file("b", NOW + Duration::from_secs(1), "max");
        assert_eq!(choose_later(good.clone(), later.clone()), later);
        assert_eq!(choose_later(later.clone(), good), later);
    }
}
