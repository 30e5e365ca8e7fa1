//! Permissions of a session: the configured lists of tools, and questions to the approver.

pub use claudecluster_protocol::worker::{QuestionReply, ToolPermissions, ToolRequest};
use serde_json::Value;
use tokio::sync::oneshot;

use super::text::clip_text;

/// At most this many bytes of what a tool is to do are shown. All of it is in [`ToolRequest::input`].
const DETAIL: usize = 4 << 10;

/// A session wants to use a tool, and waits. It waits no longer when the other end of `reply` is gone.
#[derive(Debug)]
pub struct PermissionQuestion {
    /// What it wants.
    pub request: ToolRequest,
    /// Where the answer goes. Dropped without one, it is a denial.
    pub reply: oneshot::Sender<QuestionReply>,
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
