//! JSON-RPC messages of clients, parsed tolerantly.

use serde::Deserialize;
use serde_json::{Map, Value};
use tower_lsp::jsonrpc::{Error, ErrorCode, Id, Request, Response};

/// A message of a client.
pub(super) enum IncomingMessage {
    Request(Request),
    Response(Response),
}

/// Parses a message. The error is the reply that refuses it.
pub(super) fn parse_message(body: &[u8]) -> Result<IncomingMessage, Box<Response>> {
    let refuse = |id, code, message: String| Box::new(error_reply(id, code, message));
    let mut message: Map<String, Value> = match parse_json(body) {
        Ok(Value::Object(message)) => message,
        Ok(_) => {
            let why = "a message must be one JSON object".to_owned();
            return Err(refuse(Id::Null, ErrorCode::InvalidRequest, why));
        }
        Err(e) => {
            let why = format!("the message is not valid JSON: {e}");
            return Err(refuse(Id::Null, ErrorCode::ParseError, why));
        }
    };
    let id = match message.remove("id") {
        None => None,
        Some(id) => Some(serde_json::from_value::<Id>(id).map_err(|_| {
            let why = "an id must be a whole number or a string".to_owned();
            refuse(Id::Null, ErrorCode::InvalidRequest, why)
        })?),
    };
    match (message.remove("method"), id) {
        (Some(Value::String(method)), id) => {
            let mut request = Request::build(method);
            if let Some(params) = message.remove("params") {
                request = request.params(params);
            }
            if let Some(id) = id {
                request = request.id(id);
            }
            Ok(IncomingMessage::Request(request.finish()))
        }
        (None, Some(id)) => Ok(IncomingMessage::Response(match message.remove("error") {
            Some(error) if !error.is_null() => Response::from_error(id, read_error(&error)),
            // Some clients leave out a result that is null.
            _ => Response::from_ok(id, message.remove("result").unwrap_or_default()),
        })),
        (_, id) => {
            let why = "a message needs a method, or an id and a result".to_owned();
            Err(refuse(
                id.unwrap_or_default(),
                ErrorCode::InvalidRequest,
                why,
            ))
        }
    }
}

/// Creates an error reply.
pub(super) fn error_reply(id: Id, code: ErrorCode, message: String) -> Response {
    Response::from_error(
        id,
        Error {
            code,
            message: message.into(),
            data: None,
        },
    )
}

/// Reads an error of a client; an error of another shape becomes its message.
fn read_error(error: &Value) -> Error {
    Error::deserialize(error).unwrap_or_else(|_| Error {
        code: ErrorCode::InternalError,
        message: error.to_string().into(),
        data: None,
    })
}

/// Parses JSON, including lone surrogates.
///
/// Editors written in JavaScript send lone surrogates for text that contains them. Refusing such a
/// change would leave the document wrong from then on.
pub(crate) fn parse_json(body: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(body).or_else(|error| {
        if error.is_eof() {
            return Err(error);
        }
        match replace_lone_surrogates(body) {
            Some(body) => serde_json::from_slice(&body),
            None => Err(error),
        }
    })
}

/// Replaces each `\uD800`…`\uDFFF` without a partner by U+FFFD, which is as long in UTF-16.
///
/// Returns `None` if there is none.
fn replace_lone_surrogates(body: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| -> Option<u32> {
        let escape = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
    };
    let mut out = body.to_vec();
    let mut changed = false;
    let mut at = 0;
    while at < body.len() {
        let (length, lone) = match (body[at], unit(at)) {
            (_, Some(0xD800..=0xDBFF)) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => {
                (12, false)
            }
            (_, Some(0xD800..=0xDFFF)) => (6, true),
            (b'\\', _) => (2, false),
            _ => (1, false),
        };
        if lone {
            out[at + 2..at + 6].copy_from_slice(b"fffd");
            changed = true;
        }
        at += length;
    }
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced() {
        let check = |json: &str, expected: &str| {
            let value = parse_json(json.as_bytes()).unwrap();
            assert_eq!(value, Value::String(expected.into()), "{json}");
        };
        check(r#""a\ud800b""#, "a\u{fffd}b");
        check(r#""\udc00\ud83d\ude00""#, "\u{fffd}\u{1f600}");
        check(r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}");
        // A backslash before the `u` is text, not an escape.
        check(r#""\\ud800\ud800""#, "\\ud800\u{fffd}");
        assert!(parse_json(br#"{"a":}"#).is_err());
    }

    #[test]
    fn requests_responses_and_malformed_messages_are_distinguished() {
        let kind = |json: &str| match parse_message(json.as_bytes()) {
            Ok(IncomingMessage::Request(r)) => format!("{} {:?}", r.method(), r.id()),
            Ok(IncomingMessage::Response(r)) => format!("reply {:?} {}", r.id(), r.is_ok()),
            Err(r) => r
                .error()
                .map(|e| e.code.code().to_string())
                .unwrap_or_default(),
        };
        assert_eq!(kind(r#"{"method":"a"}"#), "a None");
        assert_eq!(
            kind(r#"{"id":"x","method":"a","params":[]}"#),
            "a Some(String(\"x\"))"
        );
        assert_eq!(kind(r#"{"id":3,"result":null}"#), "reply Number(3) true");
        assert_eq!(kind(r#"{"id":3}"#), "reply Number(3) true");
        assert_eq!(
            kind(r#"{"id":3,"result":null,"error":{"code":1,"message":"m"}}"#),
            "reply Number(3) false"
        );
        assert_eq!(kind(r#"{"id":3,"error":"odd"}"#), "reply Number(3) false");
        assert_eq!(kind(r#"{"id":{},"method":"a"}"#), "-32600");
        assert_eq!(kind(r#"{}"#), "-32600");
        assert_eq!(kind(r#"[]"#), "-32600");
        assert_eq!(kind(r#"{"method""#), "-32700");
        assert_eq!(kind(&"[".repeat(10_000)), "-32700");
    }
}
