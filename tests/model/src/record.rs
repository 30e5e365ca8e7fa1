//! What the server remembers of each request.

use std::{fmt, time::SystemTime};

use bytes::Bytes;
use serde_json::Value;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When it came.
    pub at: SystemTime,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers in the order they came; logins are left out.
    pub headers: Vec<(String, String)>,
    /// The headers with logins.
    pub logins: RecordedLogins,
    /// The session that sent it, where it says so.
    pub session: Option<String>,
    /// The rule that answered; `None` for the default answer.
    pub rule: Option<String>,
    /// The body, byte for byte.
    pub body: Bytes,
}

/// Headers with logins. They are for comparing, and stay out of what a failed test prints.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RecordedLogins(pub Vec<(String, String)>);

impl fmt::Debug for RecordedLogins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_tuple("RecordedLogins").field(&names).finish()
    }
}

impl Recorded {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What the provider's prompt cache sees of it: tools, system prompt and messages in this order,
    /// one after the other, without cache marks, which are no content and move with every request.
    pub fn context(&self) -> String {
        let body = self.json();
        let parts = ["tools", "system", "messages"];
        let items = parts.into_iter().flat_map(|key| match &body[key] {
            Value::Array(items) => items.as_slice(),
            Value::Null => &[],
            one => std::slice::from_ref(one),
        });
        items.map(|item| without_marks(item).to_string()).collect()
    }

    /// Whether it asked for a message of the main conversation: one that offers tools.
    pub fn is_turn(&self) -> bool {
        self.path.starts_with("/v1/messages")
            && !self.path.contains("count_tokens")
            && self.json()["tools"]
                .as_array()
                .is_some_and(|t| !t.is_empty())
    }
}

fn without_marks(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| *key != "cache_control")
            .map(|(key, value)| (key.clone(), without_marks(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_marks).collect(),
        other => other.clone(),
    }
}

/// How many bytes two texts have in common at their head.
pub fn common_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// Headers that carry secrets.
pub(crate) const SECRET: [&str; 4] = [
    "authorization",
    "x-api-key",
    "cookie",
    "proxy-authorization",
];

/// Headers by which agents name their session.
pub(crate) const SESSION: [&str; 2] = ["x-claude-code-session-id", "x-claudecluster-session-id"];

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(body: &'static str) -> Recorded {
        Recorded {
            at: SystemTime::UNIX_EPOCH,
            method: String::new(),
            path: String::new(),
            headers: Vec::new(),
            logins: RecordedLogins::default(),
            session: None,
            rule: None,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn contexts_are_compared_without_marks_in_the_caches_order() {
        let first = recorded(
            r#"{"messages": [{"role": "user", "content": [{"text": "a", "cache_control": {}}]}],
                "system": "s", "tools": [{"name": "t"}]}"#,
        );
        let fork = recorded(
            r#"{"tools": [{"name": "t", "cache_control": {}}],
                "messages": [{"role": "user", "content": [{"text": "a"}]}, {"role": "user"}],
                "system": "s"}"#,
        );
        let (first, fork) = (first.context(), fork.context());
        assert!(first.starts_with(r#"{"name":"t"}"s""#), "{first}");
        assert_eq!(common_prefix(&first, &fork), first.len());
        assert_eq!(common_prefix("abc", "abd"), 2);
    }
}
