//! The syntax tree of a plan's text, with the range of each node.

use std::ops::Range;

use claudecluster_core::plan::{PlanPath, PlanPathStep};
use jsonc_parser::{
    CollectOptions, ParseOptions, ast,
    common::Ranged,
    errors::{ParseError, ParseErrorKind},
    parse_to_ast,
};
use serde_json::Value;

/// A plan's text, parsed as far as possible.
pub(crate) struct ParsedPlanText {
    pub(crate) text: String,
    /// The parsed value; `None` if the text is empty or incomplete.
    pub(crate) root: Option<PlanSyntaxNode>,
    /// The first violation of JSON. Text with minor faults, such as an extra comma or a comment, is
    /// still parsed.
    pub(crate) fault: Option<SyntaxFault>,
}

/// A place where a text is not JSON.
pub(crate) struct SyntaxFault {
    /// The marked range in bytes.
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    /// Whether the fault is a comma that should be removed.
    pub(crate) is_trailing_comma: bool,
}

/// A value with its range in bytes.
pub(crate) struct PlanSyntaxNode {
    pub(crate) range: Range<usize>,
    pub(crate) kind: PlanSyntaxKind,
}

pub(crate) enum PlanSyntaxKind {
    Object(Vec<PlanObjectEntry>),
    Array(Vec<PlanSyntaxNode>),
    String(String),
    Number(String),
    Bool(bool),
    Null,
}

/// A key with its value.
pub(crate) struct PlanObjectEntry {
    pub(crate) key: String,
    pub(crate) key_range: Range<usize>,
    pub(crate) value: PlanSyntaxNode,
}

impl ParsedPlanText {
    /// Parses a text.
    pub(crate) fn parse(text: String) -> Self {
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
        let (root, fault) = match parse_tree(&text, &strict) {
            Ok(Some(root)) => (Some(root), None),
            Ok(None) => (None, Some(empty_fault(&text))),
            Err(error) => {
                let root = parse_tree(&text, &ParseOptions::default()).ok().flatten();
                (root, Some(to_fault(&text, &error)))
            }
        };
        Self { text, root, fault }
    }

    /// Returns the node at a place.
    pub(crate) fn node_at(&self, place: &PlanPath) -> Option<&PlanSyntaxNode> {
        let mut node = self.root.as_ref()?;
        for step in place.steps() {
            node = match step {
                PlanPathStep::Key(key) => &node.entry(key)?.value,
                PlanPathStep::Index(index) => node.elements().get(*index)?,
            };
        }
        Some(node)
    }

    /// Returns the key and value at a place; `None` for an element of an array.
    pub(crate) fn entry_at(&self, place: &PlanPath) -> Option<&PlanObjectEntry> {
        match place.split_last()? {
            (above, PlanPathStep::Key(key)) => self.node_at(&above)?.entry(key),
            (_, PlanPathStep::Index(_)) => None,
        }
    }

    /// Returns the range to mark for a finding at a place.
    ///
    /// - A scalar value: the value.
    /// - An object or array: its key, or the id of a task.
    /// - A missing value: the range to mark for the object that lacks it.
    pub(crate) fn marked_range(&self, place: &PlanPath) -> Range<usize> {
        if let Some(node) = self.node_at(place) {
            return match &node.kind {
                PlanSyntaxKind::Object(_) | PlanSyntaxKind::Array(_) => {
                    match self.entry_at(place) {
                        Some(entry) => entry.key_range.clone(),
                        None => head_range(node),
                    }
                }
                _ => node.range.clone(),
            };
        }
        match place.split_last() {
            Some((above, _)) => self.marked_range(&above),
            None => 0..self.text.len().min(1),
        }
    }
}

/// Returns the id of a task, or else the opening bracket of an object or array.
fn head_range(node: &PlanSyntaxNode) -> Range<usize> {
    match node.entry("id") {
        Some(entry) => entry.value.range.clone(),
        None => node.range.start..node.range.start + 1,
    }
}

impl PlanSyntaxNode {
    /// Returns the entries of an object; none for other values.
    pub(crate) fn entries(&self) -> &[PlanObjectEntry] {
        match &self.kind {
            PlanSyntaxKind::Object(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the elements of an array; none for other values.
    pub(crate) fn elements(&self) -> &[PlanSyntaxNode] {
        match &self.kind {
            PlanSyntaxKind::Array(elements) => elements,
            _ => &[],
        }
    }

    /// Returns the last entry with a key, which is the one that parsers use.
    pub(crate) fn entry(&self, key: &str) -> Option<&PlanObjectEntry> {
        self.entries().iter().rfind(|entry| entry.key == key)
    }

    /// Returns the text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.kind {
            PlanSyntaxKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// Converts the node to a value without ranges.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            PlanSyntaxKind::Object(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_value()))
                .collect(),
            PlanSyntaxKind::Array(elements) => elements.iter().map(Self::to_value).collect(),
            PlanSyntaxKind::String(text) => Value::String(text.clone()),
            // A number that is not valid JSON has been reported as a fault; its text is kept.
            PlanSyntaxKind::Number(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
            }
            PlanSyntaxKind::Bool(value) => Value::Bool(*value),
            PlanSyntaxKind::Null => Value::Null,
        }
    }
}

fn parse_tree(text: &str, options: &ParseOptions) -> Result<Option<PlanSyntaxNode>, ParseError> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), options)?;
    Ok(parsed.value.as_ref().map(to_node))
}

fn to_node(value: &ast::Value<'_>) -> PlanSyntaxNode {
    let range = value.range();
    let kind = match value {
        ast::Value::Object(object) => {
            let entries = object.properties.iter().map(|property| {
                let name = property.name.range();
                PlanObjectEntry {
                    key: property.name.as_str().to_owned(),
                    key_range: name.start..name.end,
                    value: to_node(&property.value),
                }
            });
            PlanSyntaxKind::Object(entries.collect())
        }
        ast::Value::Array(array) => {
            PlanSyntaxKind::Array(array.elements.iter().map(to_node).collect())
        }
        ast::Value::StringLit(string) => PlanSyntaxKind::String(string.value.to_string()),
        ast::Value::NumberLit(number) => PlanSyntaxKind::Number(number.value.to_owned()),
        ast::Value::BooleanLit(boolean) => PlanSyntaxKind::Bool(boolean.value),
        ast::Value::NullKeyword(_) => PlanSyntaxKind::Null,
    };
    PlanSyntaxNode {
        range: range.start..range.end,
        kind,
    }
}

fn empty_fault(text: &str) -> SyntaxFault {
    SyntaxFault {
        range: 0..text.len().min(1),
        message: "no plan found; a plan is an object with the key `tasks`".to_owned(),
        is_trailing_comma: false,
    }
}

fn to_fault(text: &str, error: &ParseError) -> SyntaxFault {
    let range = error.range();
    let is_trailing_comma = matches!(error.kind(), ParseErrorKind::TrailingCommasNotAllowed);
    let range = if is_trailing_comma {
        comma_before(text, range.start)
    } else {
        range.start..range.end.min(text.len())
    };
    let words = error.kind().to_string();
    let mut letters = words.chars();
    let first = letters.next().map(|c| c.to_lowercase().to_string());
    SyntaxFault {
        range: within_line(text, range),
        message: format!(
            "not JSON: {}{}",
            first.unwrap_or_default(),
            letters.as_str()
        ),
        is_trailing_comma,
    }
}

/// Returns the range of the comma at an offset, or before the space in front of the offset.
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

/// Cuts a range at the end of its first line.
///
/// An empty range becomes the character before it, so that the mark is visible.
fn within_line(text: &str, range: Range<usize>) -> Range<usize> {
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
    fn every_place_has_a_range_to_mark() {
        let text = r#"{"tasks": [{"id": "a", "dependsOn": ["ü", "b"]}, {"id": "c"}]}"#;
        let plan = ParsedPlanText::parse(text.to_owned());
        let check = |place: PlanPath, marked: &str| {
            assert_eq!(&plan.text[plan.marked_range(&place)], marked, "{place}");
        };
        check(
            PlanPath::of_task(0).join_key("dependsOn").join_index(1),
            "\"b\"",
        );
        check(PlanPath::of_task(0).join_key("dependsOn"), "\"dependsOn\"");
        check(PlanPath::of_task(1), "\"c\"");
        check(PlanPath::of_task(1).join_key("run"), "\"c\"");
        check(PlanPath::from_key("gates"), "{");
    }

    #[test]
    fn minor_faults_are_reported_and_the_rest_is_read() {
        let check = |text: &str, marked: &str, message: &str, read: bool| {
            let plan = ParsedPlanText::parse(text.to_owned());
            let fault = plan.fault.as_ref().unwrap();
            assert_eq!(&text[fault.range.clone()], marked, "{text}");
            assert_eq!(fault.message, message, "{text}");
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
