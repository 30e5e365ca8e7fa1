//! Server-sent events of the Messages API, put together to one message.

use serde_json::{Map, Value, json};

/// The longest event that is taken for one.
const MAX_EVENT: usize = 8 << 20;

/// Why a stream did not give a message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum StreamError {
    /// The stream ended before the message did.
    #[error("the answer ended early")]
    Cut,
    /// The stream breaks the promises of the API.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
    /// The provider reported an error within the stream.
    #[error("{message}")]
    Provider {
        /// The class of the error, such as `overloaded_error`.
        kind: String,
        /// The text of the error.
        message: String,
    },
}

/// A message that is being received.
#[derive(Debug, Default)]
pub(super) struct StreamedMessage {
    /// The content blocks, as the API wants them back.
    pub content: Vec<Value>,
    /// Why it ended; empty before it did.
    pub stop_reason: String,
    /// The latest numbers.
    pub usage: Map<String, Value>,
    complete: bool,
    pending: Vec<u8>,
    /// The JSON of the tool input that is being received.
    input: String,
}

impl StreamedMessage {
    /// Takes the next bytes; `text` gets the words as they come.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        text: &mut dyn FnMut(&str),
    ) -> Result<(), StreamError> {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while let Some(at) = rest.iter().position(|b| *b == b'\n') {
            let line = rest[..at].trim_ascii();
            rest = &rest[at + 1..];
            if let Some(data) = line.strip_prefix(b"data:") {
                let event = serde_json::from_slice(data.trim_ascii())
                    .map_err(|e| StreamError::Malformed(e.to_string()))?;
                self.handle_event(&event, text)?;
            }
        }
        if rest.len() > MAX_EVENT {
            return Err(StreamError::Malformed("an event is too long".to_owned()));
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    /// The stream has ended.
    pub(super) fn end(&self) -> Result<(), StreamError> {
        if self.complete {
            Ok(())
        } else {
            Err(StreamError::Cut)
        }
    }

    fn handle_event(
        &mut self,
        event: &Value,
        text: &mut dyn FnMut(&str),
    ) -> Result<(), StreamError> {
        match event["type"].as_str() {
            Some("message_start") => self.merge_usage(&event["message"]["usage"]),
            Some("content_block_start") => {
                self.input.clear();
                self.content.push(event["content_block"].clone());
            }
            Some("content_block_delta") => self.apply_delta(&event["delta"], text),
            Some("content_block_stop") => self.close_block()?,
            Some("message_delta") => {
                self.merge_usage(&event["usage"]);
                if let Some(reason) = event["delta"]["stop_reason"].as_str() {
                    reason.clone_into(&mut self.stop_reason);
                }
            }
            Some("message_stop") => self.complete = true,
            Some("error") => {
                let part = |key: &str| event["error"][key].as_str().unwrap_or_default().to_owned();
                return Err(StreamError::Provider {
                    kind: part("type"),
                    message: part("message"),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn merge_usage(&mut self, usage: &Value) {
        for (key, value) in usage.as_object().into_iter().flatten() {
            if !value.is_null() {
                self.usage.insert(key.clone(), value.clone());
            }
        }
    }

    fn apply_delta(&mut self, delta: &Value, text: &mut dyn FnMut(&str)) {
        let Some(block) = self.content.last_mut() else {
            return;
        };
        for key in ["text", "thinking", "signature"] {
            let Some(more) = delta[key].as_str() else {
                continue;
            };
            if let Some(Value::String(all)) = block.get_mut(key) {
                all.push_str(more);
                if key == "text" {
                    text(more);
                }
            }
        }
        if let Some(more) = delta["partial_json"].as_str() {
            self.input.push_str(more);
        }
    }

    fn close_block(&mut self) -> Result<(), StreamError> {
        let tool = self
            .content
            .last_mut()
            .filter(|block| block["type"] == "tool_use");
        if let Some(block) = tool
            && !self.input.is_empty()
        {
            block["input"] = serde_json::from_str(&self.input)
                .map_err(|e| StreamError::Malformed(format!("a tool's input: {e}")))?;
        }
        self.input.clear();
        Ok(())
    }

    /// The message as the API wants it back. Empty text is not accepted there.
    pub(super) fn take(&mut self) -> Value {
        let mut content = std::mem::take(&mut self.content);
        content.retain(|block| block["type"] != "text" || block["text"] != "");
        if content.is_empty() {
            content.push(json!({"type": "text", "text": "(no words)"}));
        }
        json!({"role": "assistant", "content": content})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}"#,
        "\n\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        "\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hä"}}"#,
        "\r\n",
        r#"data: {"type":"content_block_stop","index":0}"#,
        "\n",
        r#"data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}"#,
        "\n",
        r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
        "\n",
        r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
        "\n",
        r#"data: {"type":"content_block_stop","index":1}"#,
        "\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}"#,
        "\n",
        r#"data: {"type":"message_stop"}"#,
        "\n\n",
    );

    #[test]
    fn the_same_message_however_it_is_split() {
        for size in 1..STREAM.len() {
            let mut message = StreamedMessage::default();
            let mut heard = String::new();
            assert_eq!(message.end(), Err(StreamError::Cut));
            for part in STREAM.as_bytes().chunks(size) {
                message
                    .feed(part, &mut |text| heard.push_str(text))
                    .unwrap();
            }
            message.end().unwrap();
            assert_eq!(heard, "hä");
            assert_eq!(message.usage["output_tokens"], 9);
            assert_eq!(message.stop_reason, "tool_use");
            let words = json!({"type": "text", "text": "hä"});
            let call = json!({"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}});
            assert_eq!(message.content, [words, call]);
        }
    }

    #[test]
    fn errors_within_the_stream_are_named() {
        let mut message = StreamedMessage::default();
        let broken = message.feed(b"data: {\"type\n", &mut |_| {});
        assert!(matches!(broken, Err(StreamError::Malformed(_))));
        let error = b"data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n";
        let (kind, text) = ("overloaded_error".to_owned(), "m".to_owned());
        assert_eq!(
            StreamedMessage::default().feed(error, &mut |_| {}),
            Err(StreamError::Provider {
                kind,
                message: text
            })
        );
    }

    proptest! {
        /// An event may hold anything anywhere; nothing panics.
        #[test]
        fn any_events_are_survived(picks in prop::collection::vec((0usize..9, 0usize..6), 0..12)) {
            let kinds = ["message_start", "content_block_start", "content_block_delta",
                "content_block_stop", "message_delta", "message_stop", "error", "ping", ""];
            let values = [json!(null), json!("x"), json!(7), json!([1]), json!({"type": "tool_use"}),
                json!({"type": "text", "text": "", "partial_json": "{", "usage": {"input_tokens": -1}})];
            let mut message = StreamedMessage::default();
            for (kind, value) in picks {
                let value = &values[value];
                let event = json!({"type": kinds[kind], "message": value, "content_block": value,
                    "delta": value, "usage": value, "error": value});
                // Errors are fine; the next request starts anew.
                let _ = message.feed(format!("data: {event}\n").as_bytes(), &mut |_| {});
            }
            prop_assert_eq!(&message.take()["role"], "assistant");
        }
    }
}
