//! Messages as the provider sends them: in one piece, or as a stream of events.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{cache::tokens, engine::Content, script::Tokens};

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Message {
    pub id: String,
    pub model: String,
    pub content: Vec<Content>,
    pub stop_reason: String,
    pub usage: Tokens,
}

impl Message {
    pub(crate) fn new(id: String, model: &str, content: Vec<Content>, input: Tokens) -> Self {
        let calls = content.iter().any(|c| matches!(c, Content::Tool { .. }));
        let chars: usize = content.iter().map(|c| c.payload().len()).sum();
        Self {
            id,
            model: model.to_owned(),
            content,
            stop_reason: if calls { "tool_use" } else { "end_turn" }.to_owned(),
            usage: Tokens {
                output: tokens(chars).max(1),
                ..input
            },
        }
    }

    fn usage(&self, output: u64) -> Value {
        json!({
            "input_tokens": self.usage.input,
            "cache_creation_input_tokens": self.usage.cache_write,
            "cache_read_input_tokens": self.usage.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.usage.cache_write,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": output,
            "service_tier": "standard",
        })
    }

    /// The non-streaming answer.
    pub(crate) fn body(&self) -> Value {
        let content: Vec<Value> = self
            .content
            .iter()
            .enumerate()
            .map(|(index, block)| block.whole(&self.tool_id(index)))
            .collect();
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": self.stop_reason, "stop_sequence": null,
            "usage": self.usage(self.usage.output),
        })
    }

    /// The streaming answer, one server-sent event an item, deltas of at most `chunk` characters.
    pub(crate) fn events(&self, chunk: usize) -> Vec<Bytes> {
        let mut events = vec![event(&json!({
            "type": "message_start",
            "message": {
                "id": self.id, "type": "message", "role": "assistant", "model": self.model,
                "content": [], "stop_reason": null, "stop_sequence": null,
                "usage": self.usage(1),
            },
        }))];
        for (index, block) in self.content.iter().enumerate() {
            let start = block.start(&self.tool_id(index));
            events.push(event(
                &json!({"type": "content_block_start", "index": index, "content_block": start}),
            ));
            if index == 0 {
                events.push(event(&json!({"type": "ping"})));
            }
            for part in parts(&block.payload(), chunk) {
                let delta = block.delta(part);
                events.push(event(
                    &json!({"type": "content_block_delta", "index": index, "delta": delta}),
                ));
            }
            events.push(event(
                &json!({"type": "content_block_stop", "index": index}),
            ));
        }
        events.push(event(&json!({
            "type": "message_delta",
            "delta": {"stop_reason": self.stop_reason, "stop_sequence": null},
            "usage": self.usage(self.usage.output),
        })));
        events.push(event(&json!({"type": "message_stop"})));
        events
    }

    fn tool_id(&self, index: usize) -> String {
        format!("toolu_{}_{index}", self.id.trim_start_matches("msg_"))
    }
}

impl Content {
    fn payload(&self) -> String {
        match self {
            Content::Text(text) | Content::Thinking(text) => text.clone(),
            Content::Tool { input, .. } => input.to_string(),
        }
    }

    fn whole(&self, tool_id: &str) -> Value {
        match self {
            Content::Text(text) => json!({"type": "text", "text": text}),
            Content::Thinking(text) => {
                json!({"type": "thinking", "thinking": text, "signature": "scripted"})
            }
            Content::Tool { name, input } => {
                json!({"type": "tool_use", "id": tool_id, "name": name, "input": input})
            }
        }
    }

    fn start(&self, tool_id: &str) -> Value {
        match self {
            Content::Text(_) => json!({"type": "text", "text": ""}),
            Content::Thinking(_) => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Content::Tool { name, .. } => {
                json!({"type": "tool_use", "id": tool_id, "name": name, "input": {}})
            }
        }
    }

    fn delta(&self, part: &str) -> Value {
        match self {
            Content::Text(_) => json!({"type": "text_delta", "text": part}),
            Content::Thinking(_) => json!({"type": "thinking_delta", "thinking": part}),
            Content::Tool { .. } => json!({"type": "input_json_delta", "partial_json": part}),
        }
    }
}

fn event(data: &Value) -> Bytes {
    let kind = data["type"].as_str().unwrap_or_default();
    format!("event: {kind}\ndata: {data}\n\n").into()
}

/// `text` in pieces of at most `chunk` characters.
fn parts(text: &str, chunk: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest
            .char_indices()
            .nth(chunk.max(1))
            .map_or(rest.len(), |(at, _)| at);
        let (part, tail) = rest.split_at(end);
        rest = tail;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole() {
        assert_eq!(parts("aäöb", 2).collect::<Vec<_>>(), ["aä", "öb"]);
        assert_eq!(parts("", 2).count(), 0);
    }

    #[test]
    fn a_stream_carries_what_the_whole_says() {
        let content = vec![
            Content::Text("hello".to_owned()),
            Content::Tool {
                name: "t".to_owned(),
                input: json!({"a": [1, "ü"]}),
            },
        ];
        let message = Message::new("msg_1".to_owned(), "m", content, Tokens::default());
        let mut json_text = String::new();
        for event in message.events(3) {
            let text = std::str::from_utf8(&event).unwrap().to_owned();
            let data: Value = serde_json::from_str(text.split_once("data: ").unwrap().1).unwrap();
            json_text.push_str(data["delta"]["partial_json"].as_str().unwrap_or_default());
        }
        let input: Value = serde_json::from_str(&json_text).unwrap();
        assert_eq!(input, message.body()["content"][1]["input"]);
        assert_eq!(message.stop_reason, "tool_use");
    }
}
