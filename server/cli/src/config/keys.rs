//! The settings as keys: what each takes, and how it is written in files, in the environment and on
//! the command line.

use claudecluster_driver::worker::agent::claude_code::Policy;
use claudecluster_protocol::{Span, plan::AgentName};
use serde_json::{Value, json};
use toml_edit::Item;

/// What a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Text,
    Texts,
    Agent,
    Agents,
    /// Tools; whether they are opened by it.
    Tools(bool),
    Bool,
    /// A whole number from the first to the second, both included.
    Number(u64, u64),
    Money,
    Span,
    Choice(&'static [&'static str]),
}

/// One setting.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Key {
    /// Its place: the names of its tables and its own, with dots.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    /// Whether a workspace's file may narrow it.
    pub(crate) workspace: bool,
}

const fn key(path: &'static str, kind: Kind) -> Key {
    Key {
        path,
        kind,
        workspace: false,
    }
}

const fn narrowable(path: &'static str, kind: Kind) -> Key {
    Key {
        path,
        kind,
        workspace: true,
    }
}

const U32: u64 = u32::MAX as u64;
// What a TOML integer can hold.
const I64: u64 = i64::MAX as u64;

/// Every setting, in the order of the documentation. A test compares it with the schema.
pub(crate) static KEYS: [Key; 32] = [
    key("agent", Kind::Agent),
    narrowable("denyAgents", Kind::Agents),
    key("model", Kind::Text),
    key("planner.model", Kind::Text),
    narrowable("maxParallel", Kind::Number(1, 1024)),
    narrowable("retries", Kind::Number(0, 100)),
    narrowable("budgetUsd", Kind::Money),
    key("approvePlans", Kind::Bool),
    key("permissions.allow", Kind::Tools(true)),
    narrowable("permissions.ask", Kind::Tools(true)),
    narrowable("permissions.deny", Kind::Tools(false)),
    key("permissions.timeout", Kind::Span),
    key("repair.conflicts", Kind::Bool),
    key("repair.rejections", Kind::Bool),
    key("review.typingPause", Kind::Span),
    key("review.mergeWords", Kind::Choice(&["off", "suggest", "on"])),
    key("timeouts.start", Kind::Span),
    key("timeouts.silence", Kind::Span),
    key("timeouts.exit", Kind::Span),
    narrowable("timeouts.attempt", Kind::Span),
    narrowable("timeouts.gate", Kind::Span),
    key("sandbox", Kind::Choice(&["auto", "overlay", "copy"])),
    narrowable("limits.fileBytes", Kind::Number(0, I64)),
    narrowable("limits.totalBytes", Kind::Number(0, I64)),
    narrowable("limits.files", Kind::Number(0, U32)),
    narrowable("limits.turns", Kind::Number(1, U32)),
    key("claude.program", Kind::Text),
    key("native.baseUrl", Kind::Text),
    key("native.keyEnv", Kind::Text),
    key("env.pass", Kind::Texts),
    key("daemon.idleTimeout", Kind::Span),
    key("log", Kind::Text),
];

/// The key at `path`.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether keys lie beneath `path`.
pub(crate) fn is_table(path: &str) -> bool {
    KEYS.iter().any(|key| {
        key.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The key that was probably meant, for a message.
pub(crate) fn nearest(path: &str, workspace: bool) -> Option<&'static str> {
    let wanted = path.replace(['-', '_'], "").to_lowercase();
    KEYS.iter()
        .filter(|key| key.workspace || !workspace)
        .flat_map(|key| [key.path, key.path.split('.').next().unwrap_or(key.path)])
        .map(|known| {
            (
                strsim::damerau_levenshtein(&known.to_lowercase(), &wanted),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// A hint for a key that does not exist.
pub(crate) fn hint(path: &str, workspace: bool) -> String {
    match nearest(path, workspace) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "`claudecluster config list` shows every key".to_owned(),
    }
}

impl Key {
    /// The environment variable that sets it: `timeouts.attempt` is `CLAUDECLUSTER_TIMEOUTS_ATTEMPT`.
    pub(crate) fn variable(&self) -> String {
        let mut name = String::from("CLAUDECLUSTER_");
        for c in self.path.chars() {
            match c {
                '.' => name.push('_'),
                c if c.is_ascii_uppercase() => {
                    name.push('_');
                    name.push(c);
                }
                c => name.push(c.to_ascii_uppercase()),
            }
        }
        name
    }

    /// The value that one string stands for, as in the environment and in `config set`.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        let list = || {
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
        };
        let value = match self.kind {
            Kind::Bool => match text {
                "true" | "1" | "yes" | "on" => json!(true),
                "false" | "0" | "no" | "off" => json!(false),
                _ => return Err(format!("{text:?} is neither true nor false")),
            },
            Kind::Number(..) => match text.replace('_', "").parse::<u64>() {
                Ok(number) => json!(number),
                Err(_) => return Err(self.expected(&format!("{text:?}"))),
            },
            Kind::Money => match text.trim_start_matches('$').parse::<f64>() {
                Ok(amount) => json!(amount),
                Err(_) => return Err(self.expected(&format!("{text:?}"))),
            },
            Kind::Texts | Kind::Agents | Kind::Tools(_) => json!(list().collect::<Vec<_>>()),
            Kind::Text | Kind::Agent | Kind::Span | Kind::Choice(_) => json!(text),
        };
        self.check(value)
    }

    /// The value of an entry in a TOML file.
    pub(crate) fn read_toml(&self, item: &Item) -> Result<Value, String> {
        let value = match item {
            Item::Value(toml_edit::Value::String(s)) => json!(s.value()),
            Item::Value(toml_edit::Value::Integer(i)) => json!(i.value()),
            Item::Value(toml_edit::Value::Float(f)) => json!(f.value()),
            Item::Value(toml_edit::Value::Boolean(b)) => json!(b.value()),
            Item::Value(toml_edit::Value::Array(array)) => array
                .iter()
                .map(|item| item.as_str())
                .collect::<Option<Vec<_>>>()
                .map(|items| json!(items))
                .ok_or_else(|| self.expected("a list of something else"))?,
            other => return Err(self.expected(&format!("a {}", other.type_name()))),
        };
        self.check(value)
    }

    /// The value, if it is one this key takes.
    fn check(&self, value: Value) -> Result<Value, String> {
        let shown = value.to_string();
        let ok = match self.kind {
            Kind::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Kind::Texts => value.is_array(),
            Kind::Bool => value.is_boolean(),
            Kind::Number(low, high) => value.as_u64().is_some_and(|n| (low..=high).contains(&n)),
            Kind::Money => value.as_f64().is_some_and(|n| n.is_finite() && n >= 0.0),
            Kind::Span => match value.as_str() {
                Some(text) => return text.parse::<Span>().map(|_| value),
                None => false,
            },
            Kind::Choice(choices) => value.as_str().is_some_and(|text| choices.contains(&text)),
            Kind::Agent => match value.as_str() {
                Some(text) => return text.parse::<AgentName>().map(|_| value),
                None => false,
            },
            Kind::Tools(opens) => match value.as_array() {
                Some(names) => {
                    for name in names {
                        Policy::check_name(name.as_str().unwrap_or_default(), opens)?;
                    }
                    true
                }
                None => false,
            },
            Kind::Agents => match value.as_array() {
                Some(names) => {
                    for name in names {
                        name.as_str().unwrap_or_default().parse::<AgentName>()?;
                    }
                    true
                }
                None => false,
            },
        };
        if ok {
            Ok(value)
        } else {
            Err(self.expected(&shown))
        }
    }

    fn expected(&self, found: &str) -> String {
        let wanted = match self.kind {
            Kind::Text => "a string".to_owned(),
            Kind::Texts => "a list of strings".to_owned(),
            Kind::Agent => "the name of an agent".to_owned(),
            Kind::Agents => "a list of agents".to_owned(),
            Kind::Tools(_) => "a list of tools such as [\"WebFetch\"]".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Number(low, high) => format!("a whole number from {low} to {high}"),
            Kind::Money => "an amount in US dollars such as 2.5".to_owned(),
            Kind::Span => "a duration such as \"90s\" or \"10m\"".to_owned(),
            Kind::Choice(choices) => format!("one of {}", choices.join(", ")),
        };
        format!("expected {wanted}, found {found}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use claudecluster_driver::settings::{DriverSettings, WorkspaceSettings};
    use schemars::schema_for;

    use super::*;

    /// The paths of all leaves of a schema.
    fn leaves(schema: &Value, root: &Value, prefix: &str, found: &mut BTreeSet<String>) {
        let schema = match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
            None => schema,
        };
        match schema.get("properties").and_then(Value::as_object) {
            Some(properties) => {
                for (name, inner) in properties {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    leaves(inner, root, &format!("{prefix}{dot}{name}"), found);
                }
            }
            None => {
                found.insert(prefix.to_owned());
            }
        }
    }

    #[test]
    fn the_keys_are_those_of_the_schema() {
        for (schema, workspace) in [
            (schema_for!(DriverSettings), false),
            (schema_for!(WorkspaceSettings), true),
        ] {
            let root = schema.to_value();
            let mut in_schema = BTreeSet::new();
            leaves(&root, &root, "", &mut in_schema);
            let listed: BTreeSet<String> = KEYS
                .iter()
                .filter(|key| key.workspace || !workspace)
                .map(|key| key.path.to_owned())
                .collect();
            assert_eq!(listed, in_schema);
        }
    }

    #[test]
    fn names_and_suggestions() {
        let name = |path| find(path).unwrap().variable();
        assert_eq!(name("maxParallel"), "CLAUDECLUSTER_MAX_PARALLEL");
        assert_eq!(name("native.baseUrl"), "CLAUDECLUSTER_NATIVE_BASE_URL");
        assert_eq!(nearest("max-paralel", false), Some("maxParallel"));
        assert_eq!(nearest("timeouts.atempt", false), Some("timeouts.attempt"));
        assert_eq!(nearest("timeout", false), Some("timeouts"));
        assert_eq!(nearest("zebra", false), None);
    }

    #[test]
    fn values_are_checked() {
        let check = |path: &str, text: &str| find(path).unwrap().read(text);
        assert_eq!(check("maxParallel", "8"), Ok(json!(8)));
        assert_eq!(check("env.pass", "A, B_*"), Ok(json!(["A", "B_*"])));
        assert_eq!(check("permissions.deny", "Skill"), Ok(json!(["Skill"])));
        for (path, text, part) in [
            ("maxParallel", "0", "from 1 to 1024"),
            ("timeouts.attempt", "soon", "is not a duration"),
            ("agent", "gpt", "is not an agent"),
            ("sandbox", "none", "one of auto, overlay, copy"),
            ("review.mergeWords", "true", "one of off, suggest, on"),
            ("budgetUsd", "-1", "US dollars"),
            ("approvePlans", "maybe", "neither true nor false"),
            ("permissions.ask", "Bash(git push *)", "patterns"),
            ("permissions.allow", "WebFetch,Skill", "cannot be opened"),
        ] {
            let error = check(path, text).unwrap_err();
            assert!(error.contains(part), "{path}: {error}");
        }
    }
}
