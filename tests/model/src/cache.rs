//! The provider's prompt cache, as far as its numbers go.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::Value;

use crate::script::Tokens;

/// Characters in a token, roughly.
const CHARS: usize = 4;

/// The prefixes that were written.
#[derive(Debug, Default)]
pub(crate) struct PromptCache {
    known: HashSet<u64>,
}

impl PromptCache {
    /// The input side of the usage of `request`, which is then in the cache up to its last mark.
    pub(crate) fn account(&mut self, request: &Value) -> Tokens {
        let mut hasher = DefaultHasher::new();
        request["model"].as_str().hash(&mut hasher);
        let (mut total, mut read, mut marked) = (0, 0, 0);
        let mut written = Vec::new();
        for block in blocks(request) {
            let (text, mark) = canonical(block);
            total += text.len();
            text.hash(&mut hasher);
            let prefix = hasher.finish();
            if self.known.contains(&prefix) {
                read = total;
            }
            if mark {
                marked = total;
                written.push(prefix);
            }
        }
        self.known.extend(written);
        let marked = marked.max(read);
        Tokens {
            input: tokens(total - marked),
            output: 0,
            cache_read: tokens(read),
            cache_write: tokens(marked - read),
        }
    }
}

/// Characters as tokens.
pub(crate) fn tokens(chars: usize) -> u64 {
    chars.div_ceil(CHARS) as u64
}

/// The blocks of a request in the order of the cached prefix: tools, system, messages.
fn blocks(request: &Value) -> impl Iterator<Item = &Value> {
    let many = |key: &'static str| match &request[key] {
        Value::Array(items) => items.iter(),
        Value::Null => [].iter(),
        one => std::slice::from_ref(one).iter(),
    };
    let messages = many("messages").flat_map(|message| match message["content"].as_array() {
        Some(blocks) => blocks.iter(),
        None => std::slice::from_ref(&message["content"]).iter(),
    });
    many("tools").chain(many("system")).chain(messages)
}

/// A block without its cache mark, and whether it had one.
fn canonical(block: &Value) -> (String, bool) {
    let Some(fields) = block.as_object() else {
        return (block.to_string(), false);
    };
    let mut fields = fields.clone();
    let mark = fields.remove("cache_control").is_some();
    (Value::Object(fields).to_string(), mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fork_reads_what_the_first_request_wrote() {
        let mut cache = PromptCache::default();
        let marked = json!({"type": "text", "text": "x".repeat(400), "cache_control": {"type": "ephemeral"}});
        let plain = json!({"type": "text", "text": "x".repeat(400)});
        let first = cache.account(&json!({"system": [marked], "messages": [{"content": "hi"}]}));
        assert_eq!(first.cache_read, 0);
        assert!(first.cache_write > 100 && first.input > 0);
        let again = cache.account(&json!({"system": [plain], "messages": [{"content": "ho"}]}));
        assert_eq!(
            (again.cache_read, again.cache_write),
            (first.cache_write, 0)
        );
        let other = cache.account(&json!({"model": "m", "system": [plain]}));
        assert_eq!(other.cache_read, 0);
    }
}
