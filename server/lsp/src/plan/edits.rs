//! Edits of a plan's text that change what they are about and leave everything else as it was written.

use std::ops::Range;

use claudecluster_core::{plan::PlanPath, text::LineEnding};
use serde_json::Value;

use super::text::{Kind, Node, PlanText};

/// A piece of a text that is replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Splice {
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
}

impl Splice {
    pub(crate) fn new(range: Range<usize>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { range, text }
    }
}

/// The text after some splices, which do not overlap. Several at one place come in their order.
pub(crate) fn apply(text: &str, mut splices: Vec<Splice>) -> String {
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

/// How a text is laid out.
struct Layout<'a> {
    text: &'a str,
    newline: &'static str,
    unit: String,
}

impl PlanText {
    fn layout(&self) -> Layout<'_> {
        let newline = LineEnding::of(&self.text).unwrap_or_default().as_str();
        // What the first line inside the plan is indented by.
        let inner = self.text.lines().nth(1).unwrap_or_default();
        let unit = &inner[..inner.len() - inner.trim_start().len()];
        Layout {
            text: &self.text,
            newline,
            unit: if unit.is_empty() { "  " } else { unit }.to_owned(),
        }
    }

    /// Removes the element or key at a place, with its comma.
    pub(crate) fn remove(&self, place: &PlanPath) -> Option<Splice> {
        let (above, _) = place.split_last()?;
        let parts = parts(self.at(&above)?);
        let range = match self.entry(place) {
            Some(entry) => entry.key_range.start..entry.value.range.end,
            None => self.at(place)?.range.clone(),
        };
        let at = parts.iter().position(|part| *part == range)?;
        let range = match (parts.get(at + 1), at.checked_sub(1)) {
            (Some(next), _) => range.start..next.start,
            (None, Some(before)) => parts[before].end..range.end,
            // The only one takes the space around it with it.
            (None, None) => {
                let outer = &self.at(&above)?.range;
                outer.start + 1..outer.end - 1
            }
        };
        Some(Splice::new(range, ""))
    }

    /// Sets a key of the object at a place: its value where it has one, else a new key behind `after`,
    /// or behind the last.
    pub(crate) fn set(
        &self,
        object: &PlanPath,
        key: &str,
        value: &Value,
        after: &[&str],
    ) -> Option<Splice> {
        let node = self.at(object)?;
        if let Some(entry) = node.entry(key) {
            let written = line(value);
            return Some(Splice::new(entry.value.range.clone(), written));
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
                let written = line(value);
                let end = before.value.range.end;
                Splice::new(end..end, format!(",{separator}{name}: {written}"))
            }
            None => {
                let inside = node.range.start + 1..node.range.end - 1;
                let written = line(value);
                Splice::new(inside, format!("{name}: {written}"))
            }
        })
    }

    /// Adds elements to the end of the array under a key of the object at a place, which is made where it
    /// is missing.
    pub(crate) fn push(
        &self,
        object: &PlanPath,
        key: &str,
        values: &[Value],
        after: &[&str],
    ) -> Option<Splice> {
        let array = self.at(&object.clone().with(key));
        let Some(array) = array.filter(|node| matches!(node.kind, Kind::Array(_))) else {
            return self.set(object, key, &Value::from(values), after);
        };
        Some(match array.elements().last() {
            Some(last) => {
                let separator = self.separator(last.range.start);
                let more = values
                    .iter()
                    .map(|value| format!(",{separator}{}", line(value)));
                Splice::new(last.range.end..last.range.end, more.collect::<String>())
            }
            None => Splice::new(array.range.clone(), line(&Value::from(values))),
        })
    }

    /// Puts an object before the element at a place, written like it.
    pub(crate) fn insert_before(&self, place: &PlanPath, value: &Value) -> Option<Splice> {
        let node = self.at(place)?;
        let separator = self.separator(node.range.start);
        let indent = self.layout().indent(node.range.start);
        let flat = !self.text[node.range.clone()].contains('\n');
        let written = self.layout().write(value, &indent, flat);
        let at = node.range.start;
        Some(Splice::new(at..at, format!("{written},{separator}")))
    }

    /// What is between two parts of an object or array, judged by whether `part` begins its line.
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

/// The ranges of an object's entries or an array's elements.
fn parts(node: &Node) -> Vec<Range<usize>> {
    match &node.kind {
        Kind::Object(entries) => entries
            .iter()
            .map(|entry| entry.key_range.start..entry.value.range.end)
            .collect(),
        Kind::Array(elements) => elements.iter().map(|one| one.range.clone()).collect(),
        _ => Vec::new(),
    }
}

impl Layout<'_> {
    /// What the line of a place is indented by.
    fn indent(&self, at: usize) -> String {
        let line = self.text[..at].rfind(['\n', '\r']).map_or(0, |n| n + 1);
        let rest = &self.text[line..at];
        rest[..rest.len() - rest.trim_start().len()].to_owned()
    }

    /// A value, on one line or an object with a line for each key.
    fn write(&self, value: &Value, indent: &str, flat: bool) -> String {
        match value {
            Value::Object(object) if !flat => {
                let inner = format!("{indent}{}", self.unit);
                let lines: Vec<_> = object
                    .iter()
                    .map(|(key, value)| {
                        format!("{inner}{}: {}", Value::from(key.as_str()), line(value))
                    })
                    .collect();
                let newline = self.newline;
                format!(
                    "{{{newline}{}{newline}{indent}}}",
                    lines.join(&format!(",{newline}"))
                )
            }
            _ => line(value),
        }
    }
}

/// A value on one line, as people write it.
fn line(value: &Value) -> String {
    match value {
        Value::Array(elements) => {
            let elements: Vec<_> = elements.iter().map(line).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Object(object) => {
            let entries: Vec<_> = object
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), line(value)))
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
    fn check(text: &str, edit: impl Fn(&PlanText) -> Option<Splice>, expected: &str) {
        let plan = PlanText::new(text.to_owned());
        let splice = edit(&plan).expect("the place is there");
        assert_eq!(apply(text, vec![splice]), expected, "{text}");
    }

    #[test]
    fn what_goes_takes_its_comma_with_it() {
        let second = PlanPath::key("a").at(1);
        check(
            r#"{"a": [1, 2, 3]}"#,
            |p| p.remove(&second),
            r#"{"a": [1, 3]}"#,
        );
        check(r#"{"a": [1, 2]}"#, |p| p.remove(&second), r#"{"a": [1]}"#);
        let first = PlanPath::key("a").at(0);
        check(r#"{"a": [ 1 ]}"#, |p| p.remove(&first), r#"{"a": []}"#);
        let key = PlanPath::key("b");
        check(
            "{\n  \"a\": 1,\n  \"b\": [2],\n  \"c\": 3\n}",
            |p| p.remove(&key),
            "{\n  \"a\": 1,\n  \"c\": 3\n}",
        );
        check(
            "{\n  \"a\": 1,\n  \"b\": 2\n}",
            |p| p.remove(&key),
            "{\n  \"a\": 1\n}",
        );
    }

    #[test]
    fn what_comes_looks_like_what_is_there() {
        let plan = PlanPath::default();
        check(
            r#"{"a": 1}"#,
            |p| p.set(&plan, "b", &json!(true), &[]),
            r#"{"a": 1, "b": true}"#,
        );
        check(
            "{\r\n\t\"a\": 1,\r\n\t\"z\": 1\r\n}",
            |p| p.set(&plan, "b", &json!(["x", "y"]), &["a"]),
            "{\r\n\t\"a\": 1,\r\n\t\"b\": [\"x\", \"y\"],\r\n\t\"z\": 1\r\n}",
        );
        check("{ }", |p| p.set(&plan, "b", &json!(1), &[]), "{\"b\": 1}");
        check(
            r#"{"a": 1}"#,
            |p| p.set(&plan, "a", &json!("x"), &[]),
            r#"{"a": "x"}"#,
        );
        check(
            "{\"a\": [\n  1\n]}",
            |p| p.push(&plan, "a", &[json!(2)], &[]),
            "{\"a\": [\n  1,\n  2\n]}",
        );
        check(
            r#"{"a": []}"#,
            |p| p.push(&plan, "a", &[json!("x")], &[]),
            r#"{"a": ["x"]}"#,
        );
        check(
            r#"{"a": 1}"#,
            |p| p.push(&plan, "b", &[json!("x"), json!("y")], &["a"]),
            r#"{"a": 1, "b": ["x", "y"]}"#,
        );
        let first = PlanPath::key("tasks").at(0);
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
