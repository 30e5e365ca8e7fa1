//! Text that looks like a secret: keys and tokens of known shapes, and values that are known exactly.
//!
//! The search is linear in the text, whatever the text is. It knows shapes, not names: an ordinary hash or
//! identifier is no secret, and a password without a shape is not found unless its value is known.

mod rules;

use std::{borrow::Cow, ops::Range, sync::LazyLock};

use aho_corasick::{AhoCorasick, Input, MatchKind};

use self::rules::{CharacterSet, RULES, SecretForm, SecretRule};

/// Takes the place of what follows a secret's prefix.
const HIDDEN: &str = "…[hidden]";
/// The number of bytes that a value has to have to be known: shorter ones are in ordinary text.
const KNOWN_LENGTH: usize = 8;
/// The number of different bytes that a secret has at least. Placeholders have fewer.
const DIFFERENT_BYTES: usize = 8;
/// The number of bytes that decide whether something is a secret. The rest only belongs to it.
const DECISIVE: usize = 128;
/// Limits the length of a web token's part.
const PART_LIMIT: usize = 64 << 10;

/// Finds the prefixes of all rules, in any case.
static PREFIXES: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .ascii_case_insensitive(true)
        .build(RULES.iter().map(|rule| rule.prefix))
        .ok()
});

/// Something in a text that looks like a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundSecret {
    /// Where it is, in bytes.
    pub range: Range<usize>,
    /// The length of its beginning that tells its kind and is no secret, in bytes.
    pub prefix: usize,
    /// Its kind, in words that follow "looks like".
    pub kind: &'static str,
}

/// Finds the first secret at or after `from`.
fn find_secret(text: &str, mut from: usize) -> Option<FoundSecret> {
    let bytes = text.as_bytes();
    let prefixes = PREFIXES.as_ref()?;
    while from < bytes.len() {
        let found = prefixes.find(Input::new(text).range(from..))?;
        // Equal prefixes in another case are those of other rules.
        let candidates = RULES[found.pattern().as_usize()..].iter();
        let start = found.start();
        let matching = candidates.filter(|rule| {
            let end = start + rule.prefix.len();
            let written = bytes.get(start..end).unwrap_or_default();
            match rule.form {
                SecretForm::Assigned(_) | SecretForm::Credentials(_) => {
                    written.eq_ignore_ascii_case(rule.prefix.as_bytes())
                }
                _ => written == rule.prefix.as_bytes(),
            }
        });
        let mut ends = matching.filter_map(|rule| Some((rule, secret_end(bytes, start, rule)?)));
        if let Some((rule, (prefix, end))) = ends.next() {
            return Some(FoundSecret {
                range: start..end,
                prefix,
                kind: rule.name,
            });
        }
        from = start + 1;
    }
    None
}

/// Iterates over everything in a text that looks like a secret.
pub fn find_secrets(text: &str) -> impl Iterator<Item = FoundSecret> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let found = find_secret(text, from)?;
        from = found.range.end;
        Some(found)
    })
}

/// Returns the kind of the first secret that `text` has and `base` has not.
pub fn added_secret(base: Option<&str>, text: &str) -> Option<&'static str> {
    let mut found = find_secrets(text);
    let added = found.find(|secret| {
        let value = &text[secret.range.clone()];
        base.is_none_or(|base| memchr::memmem::find(base.as_bytes(), value.as_bytes()).is_none())
    });
    added.map(|secret| secret.kind)
}

/// Returns the length of the secret's prefix and where it ends, if it is one.
fn secret_end(bytes: &[u8], start: usize, rule: &SecretRule) -> Option<(usize, usize)> {
    let prefix = rule.prefix.len();
    let value = start + prefix;
    match rule.form {
        _ if !is_boundary(bytes, start, rule) => None,
        SecretForm::AtLeast(least, set) => {
            // Only what is a secret is read to its end: another prefix may begin at each byte.
            let decisive = &bytes[value..run_end(bytes, value, set, DECISIVE)];
            (decisive.len() >= least && is_random(decisive))
                .then(|| (prefix, run_end(bytes, value, set, usize::MAX)))
        }
        SecretForm::Exactly(length, set) => {
            let end = run_end(bytes, value, set, length);
            let ends = bytes
                .get(end)
                .is_none_or(|&next| !set.contains(next) && !is_word(next));
            let random = is_random(&bytes[value..end]);
            (end - value == length && ends && random).then_some((prefix, end))
        }
        SecretForm::WebToken => web_token_end(bytes, start).map(|end| (prefix, end)),
        SecretForm::PemBlock => pem_end(bytes, start),
        SecretForm::Assigned(length) => {
            let separators = bytes[value..].iter().take(8);
            let gap = separators
                .take_while(|byte| b" \t\"'\\:=>".contains(byte))
                .count();
            let value = value + gap;
            let end = run_end(bytes, value, CharacterSet::Base64, length + 1);
            let random = is_random(&bytes[value..end]);
            (gap > 0 && end - value == length && random).then_some((value - start, end))
        }
        SecretForm::Credentials(least) => {
            let decisive = &bytes[value..run_end(bytes, value, CharacterSet::Base64, DECISIVE)];
            let mixed = decisive.iter().any(u8::is_ascii_digit)
                && decisive.iter().any(u8::is_ascii_alphabetic);
            (decisive.len() >= least && mixed && is_random(decisive)).then(|| {
                (
                    prefix,
                    run_end(bytes, value, CharacterSet::Base64, usize::MAX),
                )
            })
        }
    }
}

/// Returns whether a secret may begin here: not within a word, and a web token not within a longer one.
fn is_boundary(bytes: &[u8], start: usize, rule: &SecretRule) -> bool {
    let Some(before) = start.checked_sub(1).map(|at| bytes[at]) else {
        return true;
    };
    let escaped = start >= 2 && bytes[start - 2] == b'\\' && b"nrt".contains(&before);
    match rule.form {
        SecretForm::PemBlock => true,
        // Often the end of a longer name.
        SecretForm::Assigned(_) => true,
        SecretForm::WebToken => escaped || !CharacterSet::Base64.contains(before) || before == b'=',
        _ => escaped || !is_word(before),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns where the characters of a set end, at most `limit` bytes further on.
fn run_end(bytes: &[u8], start: usize, set: CharacterSet, limit: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let run = rest
        .iter()
        .take(limit)
        .take_while(|byte| set.contains(**byte));
    start + run.count()
}

/// Returns whether a value looks drawn at random, unlike a placeholder of an example.
fn is_random(value: &[u8]) -> bool {
    let value = &value[..value.len().min(DECISIVE)];
    let mut seen = [false; 256];
    for &byte in value {
        seen[usize::from(byte)] = true;
    }
    let different = seen.into_iter().filter(|seen| *seen).count();
    let example = value
        .windows(7)
        .any(|part| part.eq_ignore_ascii_case(b"example"));
    different >= DIFFERENT_BYTES && !example
}

fn web_token_end(bytes: &[u8], start: usize) -> Option<usize> {
    let part = |from: usize| run_end(bytes, from, CharacterSet::Token, PART_LIMIT);
    let header = part(start);
    let body = header + 1;
    let body_end = part(body);
    let signature = body_end + 1;
    let joined = bytes.get(header) == Some(&b'.')
        && bytes
            .get(body..)
            .is_some_and(|rest| rest.starts_with(b"eyJ"))
        && bytes.get(body_end) == Some(&b'.');
    let end = part(signature);
    (joined && header - start >= 16 && end.saturating_sub(signature) >= 16).then_some(end)
}

/// Finds the end of a private key's block, in text or in a string of JSON.
fn pem_end(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    const LABEL: &[u8] = b"PRIVATE KEY";
    let head = &bytes[start..bytes.len().min(start + 64)];
    let label = memchr::memmem::find(head, LABEL)?;
    let body = start + label + LABEL.len();
    // A label may go on, as that of PGP does.
    let body = body
        + bytes[body..]
            .iter()
            .take(10)
            .take_while(|b| b" BLOCK-".contains(b))
            .count();
    let is_body = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\r\n\t \\:,-.".contains(&byte);
    let rest = bytes.get(body..).unwrap_or_default();
    let decisive = rest
        .iter()
        .take(64)
        .take_while(|byte| is_body(**byte))
        .count();
    if decisive < 64 || !is_random(&rest[..decisive]) {
        return None;
    }
    let close = memchr::memmem::find(rest, b"-----");
    let run = rest
        .iter()
        .take(close.unwrap_or(usize::MAX))
        .take_while(|b| is_body(**b))
        .count();
    // A backslash that is left belongs to what follows.
    let run = run
        - rest[..run]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
    Some((body - start, body + run))
}

/// Returns whether a variable of this name holds a secret.
pub fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"];
    // The place of a secret is none.
    const PLACES: [&str; 6] = ["_FILE", "_PATH", "_DIR", "_URL", "_URI", "_HELPER"];
    let name = name.to_ascii_uppercase();
    WORDS.iter().any(|word| name.contains(word)) && !PLACES.iter().any(|end| name.ends_with(end))
}

/// Masks secrets in texts: those that look like one, and values that are known.
#[derive(Clone, Default, Debug)]
pub struct SecretMask {
    known: Option<AhoCorasick>,
}

impl SecretMask {
    /// Creates a mask that also hides `values`, except short ones.
    pub fn with_values<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let values: Vec<&str> = values
            .into_iter()
            .map(str::trim)
            .filter(|value| value.len() >= KNOWN_LENGTH)
            .collect();
        let known = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&values);
        Self {
            known: known.ok().filter(|_| !values.is_empty()),
        }
    }

    /// Returns the text with everything masked that is a secret.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = match &self.known {
            Some(known) if known.is_match(text) => {
                let mut masked = String::with_capacity(text.len());
                known.replace_all_with(text, &mut masked, |_, value, masked| {
                    // As much as tells the kind, if it is one of a known shape.
                    let shown = find_secret(value, 0).filter(|found| found.range.start == 0);
                    masked.push_str(&value[..shown.map_or(0, |found| found.prefix)]);
                    masked.push_str(HIDDEN);
                    true
                });
                Cow::Owned(masked)
            }
            _ => Cow::Borrowed(text),
        };
        match mask_shapes(&known) {
            Some(masked) => Cow::Owned(masked),
            None => known,
        }
    }

    /// Masks what is text among bytes; the rest stays as it is.
    pub fn mask_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut masked = Vec::new();
        let mut copied = 0;
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            let end = at + chunk.valid().len();
            if let Cow::Owned(text) = self.mask(chunk.valid()) {
                masked.extend_from_slice(&bytes[copied..at]);
                masked.extend_from_slice(text.as_bytes());
                copied = end;
            }
            at = end + chunk.invalid().len();
        }
        if copied == 0 {
            return Cow::Borrowed(bytes);
        }
        masked.extend_from_slice(&bytes[copied..]);
        Cow::Owned(masked)
    }
}

/// Returns the text without its secrets, or `None` if it has none.
fn mask_shapes(text: &str) -> Option<String> {
    let mut masked = String::new();
    let mut copied = 0;
    for FoundSecret { range, prefix, .. } in find_secrets(text) {
        masked.push_str(&text[copied..range.start + prefix]);
        masked.push_str(HIDDEN);
        copied = range.end;
    }
    if copied == 0 {
        return None;
    }
    masked.push_str(&text[copied..]);
    Some(masked)
}
