//! Permissions of a session: the configured lists of tools, and questions to the approver.

use claudecluster_protocol::{
    Span,
    permission::{PermissionDecision, PermissionKind},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use super::text::clip_text;

/// The most bytes of a tool's input that are shown. All of it is in [`ToolUseRequest::input`].
const DETAIL: usize = 4 << 10;

/// The tools a session may use, as configured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolPermissions {
    /// Tools that may be used though they are denied by default.
    pub allow: Vec<String>,
    /// Tools that are asked about each time.
    pub ask: Vec<String>,
    /// Tools that may not be used.
    pub deny: Vec<String>,
    /// The time an answer may take. After that the tool is denied, and the session continues.
    pub timeout: Span,
}

impl Default for ToolPermissions {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            ask: Vec::new(),
            deny: Vec::new(),
            timeout: Span::secs(1800),
        }
    }
}

/// A session's question whether it may use a tool. It has stopped waiting once `reply` is closed.
#[derive(Debug)]
pub struct PermissionQuestion {
    /// The tool use to decide about.
    pub request: ToolUseRequest,
    /// Takes the answer. Dropped without one, the use is denied.
    pub reply: oneshot::Sender<ToolUseReply>,
}

/// A tool use that a session asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToolUseRequest {
    /// The tool, as its agent names it.
    pub tool: String,
    /// The purpose of the use, as text for people.
    pub detail: String,
    /// The kind of the use.
    pub kind: Option<PermissionKind>,
    /// The whole input as canonical JSON: the same text for the same input.
    pub input: String,
}

/// The answer to a [`PermissionQuestion`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToolUseReply {
    /// Whether it may.
    pub decision: PermissionDecision,
    /// Why, for a denial.
    pub reason: Option<String>,
}

/// Writes JSON without spaces and with the keys of every object in order.
pub(crate) fn canonical_json(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort_unstable();
                let entry = |key: &String| (key.clone(), sorted(&map[key]));
                Value::Object(keys.into_iter().map(entry).collect())
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

/// Describes the input of a tool in full, up to a bounded length: the person who allows it must see it.
pub(crate) fn input_detail(input: &Value) -> String {
    let text = match input.as_object() {
        Some(map) if map.len() == 1 => map.values().next().and_then(Value::as_str),
        // Beside these there are only words about them.
        Some(_) => ["url", "command", "query"]
            .into_iter()
            .find_map(|key| input[key].as_str()),
        None => None,
    };
    match text {
        Some(text) => clip_text(text, DETAIL),
        None => clip_text(&canonical_json(input), DETAIL),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_input_has_the_same_form() {
        let one: Value = serde_json::from_str(r#"{"b": [{"y": 1, "x": "ä"}], "a": null}"#).unwrap();
        let other: Value =
            serde_json::from_str("{\"a\":null,\n\"b\":[{\"x\":\"\\u00e4\",\"y\":1}]}").unwrap();
        assert_eq!(canonical_json(&one), r#"{"a":null,"b":[{"x":"ä","y":1}]}"#);
        assert_eq!(canonical_json(&one), canonical_json(&other));
    }

    #[test]
    fn people_see_what_they_allow() {
        let check = |input: Value, expected: &str| assert_eq!(input_detail(&input), expected);
        check(
            json!({"url": "http://a/b", "prompt": "read it"}),
            "http://a/b",
        );
        check(
            json!({"command": "git fetch\nrm -r x", "description": "fetches"}),
            "git fetch\nrm -r x",
        );
        check(json!({"path": "a"}), "a");
        check(
            json!({"file_path": "a", "content": "b"}),
            r#"{"content":"b","file_path":"a"}"#,
        );
        check(json!(null), "null");
        assert!(input_detail(&json!({"command": "x".repeat(10_000)})).ends_with("xx…"));
    }
}
