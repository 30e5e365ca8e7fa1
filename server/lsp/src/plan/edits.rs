//! Edits of a plan's text that keep the layout of everything else.

use std::ops::Range;

use claudecluster_core::{plan::PlanPath, text::LineEnding};
use serde_json::Value;

use super::syntax::{ParsedPlanText, PlanSyntaxKind, PlanSyntaxNode};

/// The replacement of one range of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TextSplice {
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
}

impl TextSplice {
    pub(crate) fn new(range: Range<usize>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { range, text }
    }
}

/// Applies splices, which do not overlap. Several splices at one place are applied in their order.
pub(crate) fn apply_splices(text: &str, mut splices: Vec<TextSplice>) -> String {
    splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for splice in splices {
        out.push_str(&text[done.min(splice.range.start)..splice.range.start]);
        out.push_str(&splice.text);
        done = splice.range.end;
    }
    out.push_str(&text[done..]);
    out
}

/// The layout of a text.
struct PlanTextLayout<'a> {
    text: &'a str,
    newline: &'static str,
    /// The indentation of one level.
    indent_unit: String,
}

impl ParsedPlanText {
    fn layout(&self) -> PlanTextLayout<'_> {
        let newline = LineEnding::most_common_in(&self.text)
            .unwrap_or_default()
            .as_str();
        // The first line inside the plan is indented by one level.
        let inner = self.text.lines().nth(1).unwrap_or_default();
        let unit = &inner[..inner.len() - inner.trim_start().len()];
        PlanTextLayout {
            text: &self.text,
            newline,
            indent_unit: if unit.is_empty() { "  " } else { unit }.to_owned(),
        }
    }

    /// Removes the element or key at a place, with its comma.
    pub(crate) fn remove_at(&self, place: &PlanPath) -> Option<TextSplice> {
        let (above, _) = place.split_last()?;
        let parts = part_ranges(self.node_at(&above)?);
        let range = match self.entry_at(place) {
            Some(entry) => entry.key_range.start..entry.value.range.end,
            None => self.node_at(place)?.range.clone(),
        };
        let at = parts.iter().position(|part| *part == range)?;
        let range = match (parts.get(at + 1), at.checked_sub(1)) {
            (Some(next), _) => range.start..next.start,
            (None, Some(before)) => parts[before].end..range.end,
            // With the only part, the space around it is removed as well.
            (None, None) => {
                let outer = &self.node_at(&above)?.range;
                outer.start + 1..outer.end - 1
            }
        };
        Some(TextSplice::new(range, ""))
    }

    /// Sets the value of a key of the object at a place.
    ///
    /// A missing key is added after the last of the keys `after`, or else after the last key.
    pub(crate) fn set_key(
        &self,
        object: &PlanPath,
        key: &str,
        value: &Value,
        after: &[&str],
    ) -> Option<TextSplice> {
        let node = self.node_at(object)?;
        if let Some(entry) = node.entry(key) {
            let written = write_line(value);
            return Some(TextSplice::new(entry.value.range.clone(), written));
        }
        let entries = node.entries();
        let before = entries
            .iter()
            .rfind(|entry| after.contains(&entry.key.as_str()))
            .or(entries.last());
        let name = Value::from(key);
        Some(match before {
            Some(before) => {
                let separator = self.separator(before.key_range.start);
                let written = write_line(value);
                let end = before.value.range.end;
                TextSplice::new(end..end, format!(",{separator}{name}: {written}"))
            }
            None => {
                let inside = node.range.start + 1..node.range.end - 1;
                let written = write_line(value);
                TextSplice::new(inside, format!("{name}: {written}"))
            }
        })
    }

    /// Appends elements to the array under a key of the object at a place.
    ///
    /// A missing array is added as [`ParsedPlanText::set_key`] does.
    pub(crate) fn append_to(
        &self,
        object: &PlanPath,
        key: &str,
        values: &[Value],
        after: &[&str],
    ) -> Option<TextSplice> {
        let array = self.node_at(&object.clone().join_key(key));
        let Some(array) = array.filter(|node| matches!(node.kind, PlanSyntaxKind::Array(_))) else {
            return self.set_key(object, key, &Value::from(values), after);
        };
        Some(match array.elements().last() {
            Some(last) => {
                let separator = self.separator(last.range.start);
                let more = values
                    .iter()
                    .map(|value| format!(",{separator}{}", write_line(value)));
                TextSplice::new(last.range.end..last.range.end, more.collect::<String>())
            }
            None => TextSplice::new(array.range.clone(), write_line(&Value::from(values))),
        })
    }

    /// Inserts an object before the element at a place, in the layout of that element.
    pub(crate) fn insert_before(&self, place: &PlanPath, value: &Value) -> Option<TextSplice> {
        let node = self.node_at(place)?;
        let separator = self.separator(node.range.start);
        let indent = self.layout().indent_at(node.range.start);
        let flat = !self.text[node.range.clone()].contains('\n');
        let written = self.layout().write_value(value, &indent, flat);
        let at = node.range.start;
        Some(TextSplice::new(at..at, format!("{written},{separator}")))
    }

    /// Returns the space between two parts of an object or array: a new line if `part` begins one.
    fn separator(&self, part: usize) -> String {
        let layout = self.layout();
        let line = self.text[..part].rfind(['\n', '\r']).map_or(0, |at| at + 1);
        if line > 0 && self.text[line..part].trim().is_empty() {
            format!("{}{}", layout.newline, &self.text[line..part])
        } else {
            " ".to_owned()
        }
    }
}

/// Returns the ranges of an object's entries or an array's elements.
fn part_ranges(node: &PlanSyntaxNode) -> Vec<Range<usize>> {
    match &node.kind {
        PlanSyntaxKind::Object(entries) => entries
            .iter()
            .map(|entry| entry.key_range.start..entry.value.range.end)
            .collect(),
        PlanSyntaxKind::Array(elements) => elements.iter().map(|one| one.range.clone()).collect(),
        _ => Vec::new(),
    }
}

impl PlanTextLayout<'_> {
    /// Returns the indentation of the line that contains an offset.
    fn indent_at(&self, at: usize) -> String {
        let line = self.text[..at].rfind(['\n', '\r']).map_or(0, |n| n + 1);
        let rest = &self.text[line..at];
        rest[..rest.len() - rest.trim_start().len()].to_owned()
    }

    /// Writes a value: on one line if `flat`, else an object with a line for each key.
    fn write_value(&self, value: &Value, indent: &str, flat: bool) -> String {
        match value {
            Value::Object(object) if !flat => {
                let inner = format!("{indent}{}", self.indent_unit);
                let lines: Vec<_> = object
                    .iter()
                    .map(|(key, value)| {
                        let name = Value::from(key.as_str());
                        format!("{inner}{name}: {}", write_line(value))
                    })
                    .collect();
                let newline = self.newline;
                format!(
                    "{{{newline}{}{newline}{indent}}}",
                    lines.join(&format!(",{newline}"))
                )
            }
            _ => write_line(value),
        }
    }
}

/// Writes a value on one line, with spaces as people write them.
fn write_line(value: &Value) -> String {
    match value {
        Value::Array(elements) => {
            let elements: Vec<_> = elements.iter().map(write_line).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Object(object) => {
            let entries: Vec<_> = object
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), write_line(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, edit: impl Fn(&ParsedPlanText) -> Option<TextSplice>, expected: &str) {
        let plan = ParsedPlanText::parse(text.to_owned());
        let splice = edit(&plan).expect("the place is there");
        assert_eq!(apply_splices(text, vec![splice]), expected, "{text}");
    }

    #[test]
    fn a_removed_part_takes_its_comma_with_it() {
        let second = PlanPath::from_key("a").join_index(1);
        check(
            r#"{"a": [1, 2, 3]}"#,
            |p| p.remove_at(&second),
            r#"{"a": [1, 3]}"#,
        );
        check(
            r#"{"a": [1, 2]}"#,
            |p| p.remove_at(&second),
            r#"{"a": [1]}"#,
        );
        let first = PlanPath::from_key("a").join_index(0);
        check(r#"{"a": [ 1 ]}"#, |p| p.remove_at(&first), r#"{"a": []}"#);
        let key = PlanPath::from_key("b");
        check(
            "{\n  \"a\": 1,\n  \"b\": [2],\n  \"c\": 3\n}",
            |p| p.remove_at(&key),
            "{\n  \"a\": 1,\n  \"c\": 3\n}",
        );
        check(
            "{\n  \"a\": 1,\n  \"b\": 2\n}",
            |p| p.remove_at(&key),
            "{\n  \"a\": 1\n}",
        );
    }

    #[test]
    fn an_added_part_has_the_layout_of_its_neighbours() {
        let plan = PlanPath::default();
        check(
            r#"{"a": 1}"#,
            |p| p.set_key(&plan, "b", &json!(true), &[]),
            r#"{"a": 1, "b": true}"#,
        );
        check(
            "{\r\n\t\"a\": 1,\r\n\t\"z\": 1\r\n}",
            |p| p.set_key(&plan, "b", &json!(["x", "y"]), &["a"]),
            "{\r\n\t\"a\": 1,\r\n\t\"b\": [\"x\", \"y\"],\r\n\t\"z\": 1\r\n}",
        );
        check(
            "{ }",
            |p| p.set_key(&plan, "b", &json!(1), &[]),
            "{\"b\": 1}",
        );
        check(
            r#"{"a": 1}"#,
            |p| p.set_key(&plan, "a", &json!("x"), &[]),
            r#"{"a": "x"}"#,
        );
        check(
            "{\"a\": [\n  1\n]}",
            |p| p.append_to(&plan, "a", &[json!(2)], &[]),
            "{\"a\": [\n  1,\n  2\n]}",
        );
        check(
            r#"{"a": []}"#,
            |p| p.append_to(&plan, "a", &[json!("x")], &[]),
            r#"{"a": ["x"]}"#,
        );
        check(
            r#"{"a": 1}"#,
            |p| p.append_to(&plan, "b", &[json!("x"), json!("y")], &["a"]),
            r#"{"a": 1, "b": ["x", "y"]}"#,
        );
        let first = PlanPath::from_key("tasks").join_index(0);
        check(
            "{\n  \"tasks\": [\n    {\n      \"id\": \"b\"\n    }\n  ]\n}",
            |p| p.insert_before(&first, &json!({"id": "a", "writes": ["x", "y"]})),
            "{\n  \"tasks\": [\n    {\n      \"id\": \"a\",\n      \"writes\": [\"x\", \"y\"]\n    },\n    {\n      \"id\": \"b\"\n    }\n  ]\n}",
        );
        check(
            r#"{"tasks": [{"id": "b"}]}"#,
            |p| p.insert_before(&first, &json!({"id": "a"})),
            r#"{"tasks": [{"id": "a"}, {"id": "b"}]}"#,
        );
    }
}
