//! A plan's text with the place of everything in it.

use std::ops::Range;

use claudecluster_core::plan::{Place, Step};
use jsonc_parser::{
    CollectOptions, ParseOptions, ast,
    common::Ranged,
    errors::{ParseError, ParseErrorKind},
    parse_to_ast,
};
use serde_json::Value;

/// A plan's text, read as far as it can be.
pub(crate) struct PlanText {
    pub(crate) text: String,
    /// What it says; nothing where it breaks off or is empty.
    pub(crate) root: Option<Node>,
    /// The first place where it is not JSON. What is only careless (a comma too many, a comment) does not
    /// keep the rest from being read.
    pub(crate) broken: Option<Broken>,
}

/// A place where a text is not JSON.
pub(crate) struct Broken {
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    /// A comma that is to go.
    pub(crate) trailing_comma: bool,
}

/// A value with its place, in bytes.
pub(crate) struct Node {
    pub(crate) range: Range<usize>,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Object(Vec<Entry>),
    Array(Vec<Node>),
    String(String),
    Number(String),
    Bool(bool),
    Null,
}

/// A key with its value.
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_range: Range<usize>,
    pub(crate) value: Node,
}

impl PlanText {
    pub(crate) fn new(text: String) -> Self {
        let strict = ParseOptions {
            allow_comments: false,
            allow_loose_object_property_names: false,
            allow_trailing_commas: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let (root, broken) = match parse(&text, &strict) {
            Ok(Some(root)) => (Some(root), None),
            Ok(None) => (None, Some(empty(&text))),
            Err(error) => {
                let root = parse(&text, &ParseOptions::default()).ok().flatten();
                (root, Some(broken(&text, &error)))
            }
        };
        Self { text, root, broken }
    }

    /// What is at a place.
    pub(crate) fn at(&self, place: &Place) -> Option<&Node> {
        let mut node = self.root.as_ref()?;
        for step in place.steps() {
            node = match step {
                Step::Key(key) => &node.entry(key)?.value,
                Step::Index(index) => node.elements().get(*index)?,
            };
        }
        Some(node)
    }

    /// The key at a place, where that is one.
    pub(crate) fn entry(&self, place: &Place) -> Option<&Entry> {
        match place.split_last()? {
            (above, Step::Key(key)) => self.at(&above)?.entry(key),
            (_, Step::Index(_)) => None,
        }
    }

    /// What is marked for a problem at a place: the value, where it is short; the key of one that is
    /// not; and what it is missing from, where it is missing.
    pub(crate) fn mark(&self, place: &Place) -> Range<usize> {
        if let Some(node) = self.at(place) {
            return match &node.kind {
                Kind::Object(_) | Kind::Array(_) => match self.entry(place) {
                    Some(entry) => entry.key_range.clone(),
                    None => head(node),
                },
                _ => node.range.clone(),
            };
        }
        match place.split_last() {
            Some((above, _)) => self.mark(&above),
            None => 0..self.text.len().min(1),
        }
    }
}

/// What stands for a whole object or array: the id of a task, else where it begins.
fn head(node: &Node) -> Range<usize> {
    match node.entry("id") {
        Some(entry) => entry.value.range.clone(),
        None => node.range.start..node.range.start + 1,
    }
}

impl Node {
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Object(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn elements(&self) -> &[Node] {
        match &self.kind {
            Kind::Array(elements) => elements,
            _ => &[],
        }
    }

    /// The last key of this name counts, as it does for those who read plans.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().rfind(|entry| entry.key == key)
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The same without places.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Object(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_value()))
                .collect(),
            Kind::Array(elements) => elements.iter().map(Self::to_value).collect(),
            Kind::String(text) => Value::String(text.clone()),
            // What is no number in JSON is told as broken; here it is only not to be lost.
            Kind::Number(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
            }
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Null => Value::Null,
        }
    }
}

fn parse(text: &str, options: &ParseOptions) -> Result<Option<Node>, ParseError> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), options)?;
    Ok(parsed.value.as_ref().map(node))
}

fn node(value: &ast::Value<'_>) -> Node {
    let range = value.range();
    let kind = match value {
        ast::Value::Object(object) => {
            let entries = object.properties.iter().map(|property| {
                let name = property.name.range();
                Entry {
                    key: property.name.as_str().to_owned(),
                    key_range: name.start..name.end,
                    value: node(&property.value),
                }
            });
            Kind::Object(entries.collect())
        }
        ast::Value::Array(array) => Kind::Array(array.elements.iter().map(node).collect()),
        ast::Value::StringLit(string) => Kind::String(string.value.to_string()),
        ast::Value::NumberLit(number) => Kind::Number(number.value.to_owned()),
        ast::Value::BooleanLit(boolean) => Kind::Bool(boolean.value),
        ast::Value::NullKeyword(_) => Kind::Null,
    };
    Node {
        range: range.start..range.end,
        kind,
    }
}

fn empty(text: &str) -> Broken {
    Broken {
        range: 0..text.len().min(1),
        message: "no plan found; a plan is an object with the key `tasks`".to_owned(),
        trailing_comma: false,
    }
}

fn broken(text: &str, error: &ParseError) -> Broken {
    let range = error.range();
    let trailing_comma = matches!(error.kind(), ParseErrorKind::TrailingCommasNotAllowed);
    let range = if trailing_comma {
        comma_before(text, range.start)
    } else {
        range.start..range.end.min(text.len())
    };
    let words = error.kind().to_string();
    let mut letters = words.chars();
    let first = letters.next().map(|c| c.to_lowercase().to_string());
    Broken {
        range: in_line(text, range),
        message: format!(
            "not JSON: {}{}",
            first.unwrap_or_default(),
            letters.as_str()
        ),
        trailing_comma,
    }
}

/// The comma at a place or before it, with nothing but space between.
fn comma_before(text: &str, at: usize) -> Range<usize> {
    if text[at..].starts_with(',') {
        return at..at + 1;
    }
    let before = text[..at].trim_end();
    match before.ends_with(',') {
        true => before.len() - 1..before.len(),
        false => at..at,
    }
}

/// Cuts a range at the end of its first line: what runs on over the rest of a text is no help. An empty
/// one takes in the character before it, to be seen.
fn in_line(text: &str, range: Range<usize>) -> Range<usize> {
    let start = range.start.min(text.len());
    let line = text[start..]
        .find(['\n', '\r'])
        .map_or(text.len(), |n| start + n);
    let end = range.end.clamp(start, line.max(start));
    if start < end {
        return start..end;
    }
    let before = text[..start].trim_end();
    let last = before.char_indices().next_back().map_or(0, |(at, _)| at);
    last..before.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_place() {
        let text = r#"{"tasks": [{"id": "a", "dependsOn": ["ü", "b"]}, {"id": "c"}]}"#;
        let plan = PlanText::new(text.to_owned());
        let check = |place: Place, marked: &str| {
            assert_eq!(&plan.text[plan.mark(&place)], marked, "{place}");
        };
        check(Place::task(0).with("dependsOn").at(1), "\"b\"");
        check(Place::task(0).with("dependsOn"), "\"dependsOn\"");
        check(Place::task(1), "\"c\"");
        check(Place::task(1).with("run"), "\"c\"");
        check(Place::key("gates"), "{");
    }

    #[test]
    fn what_is_only_careless_is_told_and_the_rest_is_read() {
        let check = |text: &str, marked: &str, message: &str, read: bool| {
            let plan = PlanText::new(text.to_owned());
            let broken = plan.broken.as_ref().unwrap();
            assert_eq!(&text[broken.range.clone()], marked, "{text}");
            assert_eq!(broken.message, message, "{text}");
            assert_eq!(plan.root.is_some(), read, "{text}");
        };
        check(
            "{\"tasks\": [],\n}",
            ",",
            "not JSON: trailing commas are not allowed",
            true,
        );
        check(
            "{\"goal\": \"x\" // why\n}",
            "// why",
            "not JSON: comments are not allowed",
            true,
        );
        check(
            "{\"tasks\": [{\"id\": \"a\"",
            "{\"id\": \"a\"",
            "not JSON: unterminated object",
            false,
        );
        check(
            "",
            "",
            "no plan found; a plan is an object with the key `tasks`",
            false,
        );
    }
}
