//! The keys and values that a plan may have, with their descriptions.
//!
//! They come from the schema of the type that reads plans, so they are not written down twice.

use std::sync::OnceLock;

use claudecluster_core::plan::{PlanPath, PlanPathStep};
use claudecluster_protocol::plan::plan_schema;
use serde_json::Value;

/// The schema of a place: usually of one type, for commands of two.
pub(crate) struct PlaceSchema {
    root: &'static Value,
    /// The schemas of the types that are allowed.
    types: Vec<&'static Value>,
    /// The description of the key, or else of its type.
    description: Option<&'static str>,
}

/// A key of an object.
pub(crate) struct PlanSchemaKey {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) required: bool,
    /// An empty value of the key's type, as JSON.
    pub(crate) empty: &'static str,
}

/// Returns the schema of a place; `None` if plans have no such place.
pub(crate) fn schema_at(place: &PlanPath) -> Option<PlaceSchema> {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let root = SCHEMA.get_or_init(plan_schema);
    let mut schema = PlaceSchema {
        root,
        types: vec![root],
        description: root["description"].as_str(),
    };
    for step in place.steps() {
        let step = |node: &'static Value| match step {
            PlanPathStep::Key(key) => node["properties"]
                .get(key)
                .or_else(|| node.get("additionalProperties").filter(|v| v.is_object())),
            PlanPathStep::Index(_) => node.get("items"),
        };
        let next = schema.types.iter().find_map(|node| step(node))?;
        schema.description = next["description"].as_str();
        schema.types = resolve_types(root, next);
        if schema.description.is_none() {
            let mut types = schema.types.iter();
            schema.description = types.find_map(|node| node["description"].as_str());
        }
    }
    Some(schema)
}

/// Returns the types that a schema allows. Follows references and alternatives; skips `null`.
fn resolve_types(root: &'static Value, node: &'static Value) -> Vec<&'static Value> {
    if let Some(name) = node["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return resolve_types(root, &root["$defs"][name]);
    }
    match node["anyOf"].as_array() {
        Some(each) => each
            .iter()
            .flat_map(|one| resolve_types(root, one))
            .collect(),
        None if node["type"] == "null" => Vec::new(),
        None => vec![node],
    }
}

impl PlaceSchema {
    /// Returns the description of the place.
    pub(crate) fn description(&self) -> Option<&'static str> {
        self.description
    }

    /// Returns the keys that an object at the place may have.
    pub(crate) fn keys(&self) -> Vec<PlanSchemaKey> {
        let mut keys = Vec::new();
        for node in &self.types {
            let required = node["required"].as_array();
            for (name, property) in node["properties"].as_object().into_iter().flatten() {
                keys.push(PlanSchemaKey {
                    name,
                    description: property["description"].as_str().unwrap_or_default(),
                    required: required.is_some_and(|all| all.iter().any(|one| one == name)),
                    empty: empty_value(&resolve_types(self.root, property)),
                });
            }
        }
        keys
    }

    /// Returns the values of an enumeration, each with its description.
    pub(crate) fn choices(&self) -> Vec<(&'static str, &'static str)> {
        let types = self.types.iter();
        types
            .flat_map(|node| node["oneOf"].as_array().into_iter().flatten())
            .filter_map(|one| {
                let description = one["description"].as_str().unwrap_or_default();
                Some((one["const"].as_str()?, description))
            })
            .collect()
    }

    /// Whether the value is `true` or `false`.
    pub(crate) fn is_boolean(&self) -> bool {
        self.types.iter().any(|node| node["type"] == "boolean")
    }
}

/// Returns the value from which a user starts.
fn empty_value(types: &[&Value]) -> &'static str {
    let is = |name: &str| {
        types.iter().any(|node| match &node["type"] {
            Value::String(one) => one == name,
            Value::Array(several) => several.iter().any(|one| one == name),
            // A schema without a type is an enumeration of strings.
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
    fn every_place_has_its_schema() {
        let task = schema_at(&PlanPath::of_task(3)).unwrap();
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
        let agent = schema_at(&PlanPath::of_task(0).join_key("agent")).unwrap();
        let names: Vec<_> = agent.choices().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["claude-code", "native", "command"]);
        let pause = schema_at(&PlanPath::of_task(0).join_key("pause")).unwrap();
        assert!(pause.is_boolean());
        let first = schema_at(&PlanPath::of_task(0).join_key("dependsOn").join_index(0)).unwrap();
        assert!(first.description().unwrap().starts_with("A task inside"));
        assert!(schema_at(&PlanPath::from_key("nothing")).is_none());
    }
}
