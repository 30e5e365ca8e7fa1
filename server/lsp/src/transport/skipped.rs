//! What can be told of a message that is too long to be kept.

use memchr::memchr2;
use serde_json::Value;

/// Limits the bytes of a key and of an id that are looked at.
const TOKEN_LIMIT: usize = 256;

/// Finds the id of a message while its bytes pass.
///
/// The scanner keeps a few hundred bytes, whatever the length of the message, and assumes that the
/// message is JSON. In other bytes, what it finds has no meaning.
#[derive(Default, Debug)]
pub(crate) struct MessageScanner {
    /// The number of open braces and brackets.
    depth: usize,
    inside_string: bool,
    /// Whether the last byte in a string was a backslash without one of its own.
    escaped: bool,
    /// The last string or other token of the outermost object, with its quotation marks.
    token: Vec<u8>,
    /// The key whose value is being read.
    key: Vec<u8>,
    id: Option<Value>,
    has_method: bool,
}

impl MessageScanner {
    /// Looks at the next bytes of the message.
    pub(crate) fn scan(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            if self.inside_string {
                let end = match self.escaped {
                    true => 1,
                    false => memchr2(b'"', b'\\', bytes).map_or(bytes.len(), |at| at + 1),
                };
                let (piece, rest) = bytes.split_at(end);
                self.keep(piece);
                if !std::mem::take(&mut self.escaped) {
                    self.escaped = piece.last() == Some(&b'\\');
                    self.inside_string = piece.last() != Some(&b'"');
                }
                bytes = rest;
            } else {
                self.scan_outside(byte);
                bytes = &bytes[1..];
            }
        }
    }

    fn scan_outside(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.inside_string = true;
                self.keep(b"\"");
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                if self.depth == 1 {
                    self.end_value();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 => self.key = std::mem::take(&mut self.token),
            b',' if self.depth == 1 => self.end_value(),
            byte if byte.is_ascii_whitespace() => {}
            byte => self.keep(&[byte]),
        }
    }

    /// Keeps a piece of a token of the outermost object.
    fn keep(&mut self, piece: &[u8]) {
        if self.depth == 1 && self.token.len() + piece.len() <= TOKEN_LIMIT {
            self.token.extend_from_slice(piece);
        } else if self.depth == 1 {
            // No key and no id of a client is so long, so this one never matches.
            self.token.resize(TOKEN_LIMIT + 1, 0);
        }
    }

    fn end_value(&mut self) {
        let value = std::mem::take(&mut self.token);
        match std::mem::take(&mut self.key).as_slice() {
            b"\"id\"" => {
                let id = serde_json::from_slice(&value).ok();
                self.id = id.filter(|id: &Value| id.is_string() || id.is_i64() || id.is_u64());
            }
            b"\"method\"" => self.has_method = true,
            _ => {}
        }
    }

    /// Returns the id to which an error belongs: that of a request, or null if the message is a
    /// notification. Returns `None` for a reply, which is not replied to.
    pub(crate) fn reply_id(self) -> Option<Value> {
        match self.id {
            Some(id) if self.has_method => Some(id),
            Some(_) => None,
            None => Some(Value::Null),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_id_is_found_wherever_it_is() {
        let check = |message: &str, expected: Option<Value>| {
            for step in 1..=message.len() {
                let mut scanner = MessageScanner::default();
                for chunk in message.as_bytes().chunks(step) {
                    scanner.scan(chunk);
                }
                assert_eq!(scanner.reply_id(), expected, "{message} in steps of {step}");
            }
        };
        check(r#"{"id":7,"method":"m"}"#, Some(json!(7)));
        check(
            r#"{"method":"m","params":{"id":1,"x":[{"id":2}]}, "id" : "a\"b"}"#,
            Some(json!("a\"b")),
        );
        check(
            r#"{"params":["\\",":{",{"a":"\"id\":9"}],"id":-3,"method":"m"}"#,
            Some(json!(-3)),
        );
        check(r#"{"method":"m","params":{"id":7}}"#, Some(Value::Null));
        check(r#"{"id":7,"result":{"method":"m"}}"#, None);
        check(r#"{"id":null,"method":"m"}"#, Some(Value::Null));
        check(r#"{"id":{"x":1},"method":"m"}"#, Some(Value::Null));
        check("}}]]\"\\", Some(Value::Null));
        let long = format!(r#"{{"id":"{}","method":"m"}}"#, "x".repeat(2 * TOKEN_LIMIT));
        check(&long, Some(Value::Null));
    }
}
