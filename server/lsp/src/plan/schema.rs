//! What plans may hold and what it means, from the schema of the type that is read: nothing of it is
//! written down twice.

use std::sync::OnceLock;

use claudecluster_core::plan::{PlanPath, PlanPathStep};
use claudecluster_protocol::export::plan_schema;
use serde_json::Value;

/// What may be at some place, by the schema: usually one thing, of a command either of two.
pub(crate) struct Allowed {
    root: &'static Value,
    nodes: Vec<&'static Value>,
    /// The words of the key itself, which say more than those of its type.
    words: Option<&'static str>,
}

/// A key of an object.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) words: &'static str,
    pub(crate) required: bool,
    /// An empty value of it.
    pub(crate) empty: &'static str,
}

/// What may be at a place; `None` where the schema knows none.
pub(crate) fn at(place: &PlanPath) -> Option<Allowed> {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let root = SCHEMA.get_or_init(plan_schema);
    let mut allowed = Allowed {
        root,
        nodes: vec![root],
        words: root["description"].as_str(),
    };
    for step in place.steps() {
        let step = |node: &'static Value| match step {
            PlanPathStep::Key(key) => node["properties"]
                .get(key)
                .or_else(|| node.get("additionalProperties").filter(|v| v.is_object())),
            PlanPathStep::Index(_) => node.get("items"),
        };
        let next = allowed.nodes.iter().find_map(|node| step(node))?;
        allowed.words = next["description"].as_str();
        allowed.nodes = resolve(root, next);
        if allowed.words.is_none() {
            allowed.words = allowed.nodes.iter().find_map(|n| n["description"].as_str());
        }
    }
    Some(allowed)
}

/// What a schema stands for: references and alternatives are followed, nothing at all is no alternative.
fn resolve(root: &'static Value, node: &'static Value) -> Vec<&'static Value> {
    if let Some(name) = node["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return resolve(root, &root["$defs"][name]);
    }
    match node["anyOf"].as_array() {
        Some(each) => each.iter().flat_map(|one| resolve(root, one)).collect(),
        None if node["type"] == "null" => Vec::new(),
        None => vec![node],
    }
}

impl Allowed {
    /// What it means.
    pub(crate) fn words(&self) -> Option<&'static str> {
        self.words
    }

    /// The keys an object here has.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        for node in &self.nodes {
            let required = node["required"].as_array();
            for (name, property) in node["properties"].as_object().into_iter().flatten() {
                keys.push(Key {
                    name,
                    words: property["description"].as_str().unwrap_or_default(),
                    required: required.is_some_and(|all| all.iter().any(|one| one == name)),
                    empty: empty(&resolve(self.root, property)),
                });
            }
        }
        keys
    }

    /// The words there are to choose from, each with what it means.
    pub(crate) fn choices(&self) -> Vec<(&'static str, &'static str)> {
        let each = self.nodes.iter();
        each.flat_map(|node| node["oneOf"].as_array().into_iter().flatten())
            .filter_map(|one| {
                let words = one["description"].as_str().unwrap_or_default();
                Some((one["const"].as_str()?, words))
            })
            .collect()
    }

    /// Whether it is either true or false.
    pub(crate) fn is_boolean(&self) -> bool {
        self.nodes.iter().any(|node| node["type"] == "boolean")
    }
}

/// The value an author starts from.
fn empty(nodes: &[&Value]) -> &'static str {
    let is = |name: &str| {
        nodes.iter().any(|node| match &node["type"] {
            Value::String(one) => one == name,
            Value::Array(several) => several.iter().any(|one| one == name),
            // Without a type of its own it is one of several words.
            _ => name == "string",
        })
    };
    if is("boolean") {
        "true"
    } else if is("string") {
        "\"\""
    } else if is("array") {
        "[]"
    } else if is("object") {
        "{}"
    } else {
        "1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_answers_by_place() {
        let task = at(&PlanPath::task(3)).unwrap();
        let keys = task.keys();
        let shown: Vec<_> = keys
            .iter()
            .map(|key| {
                let required = if key.required { "!" } else { "" };
                format!("{}{required} {}", key.name, key.empty)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "id! \"\"",
                "title \"\"",
                "instructions \"\"",
                "dependsOn []",
                "writes []",
                "agent \"\"",
                "model \"\"",
                "run \"\"",
                "gates []",
                "timeout \"\"",
                "retries 1",
                "candidates 1",
                "pause true",
                "env {}",
            ]
        );
        let agent = at(&PlanPath::task(0).with("agent")).unwrap();
        let names: Vec<_> = agent.choices().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["claude-code", "native", "command"]);
        assert!(at(&PlanPath::task(0).with("pause")).unwrap().is_boolean());
        let first = at(&PlanPath::task(0).with("dependsOn").at(0)).unwrap();
        assert!(first.words().unwrap().starts_with("A task inside"));
        assert!(at(&PlanPath::key("nothing")).is_none());
    }
}
