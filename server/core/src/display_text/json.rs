//! Foreign text in JSON that people may look at.

use super::is_hidden;

/// Escapes the hidden characters in the strings of a JSON text. The text keeps its value; between strings, JSON
/// has no such characters but ends of lines and tabs, which stay.
///
/// ```
/// use claudecluster_core::display_text::json::escape_hidden;
/// assert_eq!(escape_hidden("\"a\u{202e}\u{e0041}\"\n"), "\"a\\u202e\\udb40\\udc41\"\n");
/// ```
pub fn escape_hidden(json: &str) -> String {
    if json
        .chars()
        .all(|c| matches!(c, '\n' | '\t') || !is_hidden(c))
    {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len() * 2);
    for c in json.chars() {
        if matches!(c, '\n' | '\t' | '\r') || !is_hidden(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}
