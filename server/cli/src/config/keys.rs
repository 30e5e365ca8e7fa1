//! The settings as keys: the values of each, and its form in files, in the environment and on the
//! command line.

use claudecluster_driver::{
    check_hold_pattern,
    worker::{agent::claude_code::ToolPolicy, network::HostRule},
};
use claudecluster_protocol::{Span, plan::AgentName};
use serde_json::{Value, json};
use toml_edit::Item;

/// Lists the kinds of values that keys have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyKind {
    Text,
    Texts,
    Agent,
    Agents,
    /// A list of patterns as in a `.gitignore`.
    Patterns,
    /// A list of tools. `true` if the setting opens tools to workers, with or without a question.
    Tools(bool),
    Bool,
    /// A whole number between these two, both included.
    Number(u64, u64),
    Money,
    Span,
    Choice(&'static [&'static str]),
    /// A list of hosts that workers may reach.
    Hosts,
    /// A list of ports.
    Ports,
}

/// Describes one setting.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct ConfigKey {
    /// The path: the names of its tables and its own, with dots.
    pub(crate) path: &'static str,
    pub(crate) kind: KeyKind,
    /// Whether a workspace's file may narrow this setting.
    pub(crate) workspace: bool,
}

const fn key(path: &'static str, kind: KeyKind) -> ConfigKey {
    ConfigKey {
        path,
        kind,
        workspace: false,
    }
}

const fn narrowable(path: &'static str, kind: KeyKind) -> ConfigKey {
    ConfigKey {
        path,
        kind,
        workspace: true,
    }
}

const U32: u64 = u32::MAX as u64;
// What a TOML integer can hold.
const I64: u64 = i64::MAX as u64;

/// Lists every setting, in the order of the documentation. A test compares it with the schema.
pub(crate) static KEYS: [ConfigKey; 43] = [
    key("agent", KeyKind::Agent),
    narrowable("denyAgents", KeyKind::Agents),
    key("model", KeyKind::Text),
    key("planner.model", KeyKind::Text),
    narrowable("maxParallel", KeyKind::Number(1, 1024)),
    narrowable("retries", KeyKind::Number(0, 100)),
    narrowable("budgetUsd", KeyKind::Money),
    key("approvePlans", KeyKind::Bool),
    key("permissions.allow", KeyKind::Tools(true)),
    narrowable("permissions.ask", KeyKind::Tools(true)),
    narrowable("permissions.deny", KeyKind::Tools(false)),
    key("permissions.timeout", KeyKind::Span),
    key("repair.conflicts", KeyKind::Bool),
    key("repair.rejections", KeyKind::Bool),
    narrowable("review.hold", KeyKind::Patterns),
    key("review.typingPause", KeyKind::Span),
    key(
        "review.mergeWords",
        KeyKind::Choice(&["off", "suggest", "on"]),
    ),
    key("timeouts.start", KeyKind::Span),
    key("timeouts.silence", KeyKind::Span),
    key("timeouts.exit", KeyKind::Span),
    narrowable("timeouts.attempt", KeyKind::Span),
    narrowable("timeouts.gate", KeyKind::Span),
    key("sandbox", KeyKind::Choice(&["auto", "overlay", "copy"])),
    narrowable("network.mode", KeyKind::Choice(&["closed", "ask", "open"])),
    key("network.allow", KeyKind::Hosts),
    key("network.loopback", KeyKind::Ports),
    key("network.registries", KeyKind::Hosts),
    narrowable("limits.fileBytes", KeyKind::Number(0, I64)),
    narrowable("limits.totalBytes", KeyKind::Number(0, I64)),
    narrowable("limits.files", KeyKind::Number(0, U32)),
    narrowable("limits.turns", KeyKind::Number(1, U32)),
    narrowable("limits.processes", KeyKind::Number(16, U32)),
    narrowable("limits.memoryBytes", KeyKind::Number(64 << 20, I64)),
    narrowable("limits.openFiles", KeyKind::Number(64, U32)),
    narrowable("limits.diskBytes", KeyKind::Number(1 << 20, I64)),
    narrowable("secrets.hide", KeyKind::Texts),
    key("secrets.show", KeyKind::Texts),
    key("claude.program", KeyKind::Text),
    key("native.baseUrl", KeyKind::Text),
    key("native.keyEnv", KeyKind::Text),
    key("env.pass", KeyKind::Texts),
    key("daemon.idleTimeout", KeyKind::Span),
    key("log", KeyKind::Text),
];

/// Returns the key at `path`.
pub(crate) fn find_key(path: &str) -> Option<&'static ConfigKey> {
    KEYS.iter().find(|key| key.path == path)
}

/// Returns the key for the short form of a table that has a mode: `network = "open"` is `network.mode`.
pub(crate) fn mode_key(path: &str) -> Option<&'static ConfigKey> {
    find_key(&format!("{path}.mode"))
}

/// Returns whether `path` is a table that contains keys.
pub(crate) fn is_table(path: &str) -> bool {
    KEYS.iter().any(|key| {
        key.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// Returns the known key that is closest to `path`, for a message.
pub(crate) fn nearest_key(path: &str, workspace: bool) -> Option<&'static str> {
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

/// Returns the hint for a key that does not exist.
pub(crate) fn unknown_key_hint(path: &str, workspace: bool) -> String {
    match nearest_key(path, workspace) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "list all settings with: claudecluster config list".to_owned(),
    }
}

impl ConfigKey {
    /// Returns the environment variable of this key: `CLAUDECLUSTER_TIMEOUTS_ATTEMPT` for
    /// `timeouts.attempt`.
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

    fn is_list(&self) -> bool {
        use KeyKind::{Agents, Hosts, Patterns, Ports, Texts, Tools};
        let kind = self.kind;
        matches!(kind, Texts | Agents | Tools(_) | Hosts | Patterns | Ports)
    }

    /// Parses the value from one string, as the environment and `config set` have it.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        let list = || {
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
        };
        // A list as a file has it. What is none may still be an address of version 6.
        let is_list = self.is_list() && text.starts_with('[');
        if let Some(list) = is_list.then(|| serde_json::from_str(text).ok()).flatten() {
            return self.check(list);
        }
        let value = match self.kind {
            KeyKind::Bool => match text {
                "true" | "1" | "yes" | "on" => json!(true),
                "false" | "0" | "no" | "off" => json!(false),
                _ => return Err(format!("expected true or false, found {text:?}")),
            },
            KeyKind::Number(..) => match text.replace('_', "").parse::<u64>() {
                Ok(number) => json!(number),
                Err(_) => return Err(self.expected(&format!("{text:?}"))),
            },
            KeyKind::Money => match text.trim_start_matches('$').parse::<f64>() {
                Ok(amount) => json!(amount),
                Err(_) => return Err(self.expected(&format!("{text:?}"))),
            },
            KeyKind::Texts
            | KeyKind::Agents
            | KeyKind::Tools(_)
            | KeyKind::Hosts
            | KeyKind::Patterns => {
                json!(list().collect::<Vec<_>>())
            }
            KeyKind::Ports => match list().map(str::parse::<u16>).collect::<Result<Vec<_>, _>>() {
                Ok(ports) => json!(ports),
                Err(_) => return Err(self.expected(&format!("{text:?}"))),
            },
            KeyKind::Text | KeyKind::Agent | KeyKind::Span | KeyKind::Choice(_) => json!(text),
        };
        self.check(value)
    }

    /// Reads the value from an entry of a TOML file.
    pub(crate) fn read_toml(&self, item: &Item) -> Result<Value, String> {
        let value = match item {
            Item::Value(toml_edit::Value::String(s)) => json!(s.value()),
            Item::Value(toml_edit::Value::Integer(i)) => json!(i.value()),
            Item::Value(toml_edit::Value::Float(f)) => json!(f.value()),
            Item::Value(toml_edit::Value::Boolean(b)) => json!(b.value()),
            Item::Value(toml_edit::Value::Array(array)) => array
                .iter()
                .map(|item| match (self.kind, item) {
                    (KeyKind::Ports, toml_edit::Value::Integer(port)) => Some(json!(port.value())),
                    (KeyKind::Ports, _) => None,
                    (_, item) => item.as_str().map(|text| json!(text)),
                })
                .collect::<Option<Vec<_>>>()
                .map(|items| json!(items))
                .ok_or_else(|| self.expected("a list with other values"))?,
            other => return Err(self.expected(&format!("a {}", other.type_name()))),
        };
        self.check(value)
    }

    /// Returns the value if this key accepts it.
    fn check(&self, value: Value) -> Result<Value, String> {
        let shown = value.to_string();
        let ok = match self.kind {
            KeyKind::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            KeyKind::Texts => {
                let list = value.as_array();
                list.is_some_and(|list| list.iter().all(Value::is_string))
            }
            KeyKind::Bool => value.is_boolean(),
            KeyKind::Number(low, high) => value.as_u64().is_some_and(|n| (low..=high).contains(&n)),
            KeyKind::Money => value.as_f64().is_some_and(|n| n.is_finite() && n >= 0.0),
            KeyKind::Span => match value.as_str() {
                Some(text) => return text.parse::<Span>().map(|_| value),
                None => false,
            },
            KeyKind::Choice(choices) => value.as_str().is_some_and(|text| choices.contains(&text)),
            KeyKind::Agent => match value.as_str() {
                Some(text) => return text.parse::<AgentName>().map(|_| value),
                None => false,
            },
            KeyKind::Tools(opens) => match value.as_array() {
                Some(names) => {
                    for name in names {
                        ToolPolicy::check_name(name.as_str().unwrap_or_default(), opens)?;
                    }
                    true
                }
                None => false,
            },
            KeyKind::Hosts => match value.as_array() {
                Some(hosts) => {
                    for host in hosts {
                        host.as_str().unwrap_or_default().parse::<HostRule>()?;
                    }
                    true
                }
                None => false,
            },
            KeyKind::Patterns => match value.as_array() {
                Some(patterns) => {
                    for pattern in patterns {
                        check_hold_pattern(pattern.as_str().unwrap_or_default())?;
                    }
                    true
                }
                None => false,
            },
            KeyKind::Ports => value.as_array().is_some_and(|ports| {
                let is_port =
                    |port: &Value| port.as_u64().is_some_and(|n| (1..=65_535).contains(&n));
                ports.iter().all(is_port)
            }),
            KeyKind::Agents => match value.as_array() {
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
            KeyKind::Text => "a string".to_owned(),
            KeyKind::Texts => "a list of strings".to_owned(),
            KeyKind::Agent => "the name of an agent".to_owned(),
            KeyKind::Agents => "a list of agents".to_owned(),
            KeyKind::Patterns => "a list of patterns such as [\"*.sql\"]".to_owned(),
            KeyKind::Tools(_) => "a list of tools such as [\"WebFetch\"]".to_owned(),
            KeyKind::Bool => "true or false".to_owned(),
            KeyKind::Number(low, high) => format!("a whole number from {low} to {high}"),
            KeyKind::Money => "an amount in US dollars such as 2.5".to_owned(),
            KeyKind::Span => "a duration such as \"90s\" or \"10m\"".to_owned(),
            KeyKind::Hosts => {
                "a list of hosts such as [\"example.org\", \"*.example.org\"]".to_owned()
            }
            KeyKind::Ports => "a list of ports such as [5432]".to_owned(),
            KeyKind::Choice(choices) => format!("one of {}", choices.join(", ")),
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

    /// Collects the paths of all leaves of a schema.
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
        let name = |path| find_key(path).unwrap().variable();
        assert_eq!(name("maxParallel"), "CLAUDECLUSTER_MAX_PARALLEL");
        assert_eq!(name("native.baseUrl"), "CLAUDECLUSTER_NATIVE_BASE_URL");
        assert_eq!(nearest_key("max-paralel", false), Some("maxParallel"));
        assert_eq!(
            nearest_key("timeouts.atempt", false),
            Some("timeouts.attempt")
        );
        assert_eq!(nearest_key("timeout", false), Some("timeouts"));
        assert_eq!(nearest_key("zebra", false), None);
    }

    #[test]
    fn values_are_checked() {
        let check = |path: &str, text: &str| find_key(path).unwrap().read(text);
        assert_eq!(check("maxParallel", "8"), Ok(json!(8)));
        assert_eq!(check("env.pass", "A, B_*"), Ok(json!(["A", "B_*"])));
        assert_eq!(check("permissions.deny", "Skill"), Ok(json!(["Skill"])));
        let hosts = json!(["*.example.org", "10.0.0.5:5432"]);
        assert_eq!(
            check("network.allow", "*.example.org, 10.0.0.5:5432"),
            Ok(hosts)
        );
        assert_eq!(
            check("network.allow", r#"["*.example.org", "10.0.0.5:5432"]"#),
            Ok(json!(["*.example.org", "10.0.0.5:5432"]))
        );
        assert_eq!(check("network.allow", "[::1]:80"), Ok(json!(["[::1]:80"])));
        assert_eq!(check("network.loopback", "[5432]"), Ok(json!([5432])));
        assert_eq!(
            check("network.loopback", "5432,8080"),
            Ok(json!([5432, 8080]))
        );
        for (path, text, part) in [
            ("maxParallel", "0", "from 1 to 1024"),
            ("timeouts.attempt", "soon", "is not a duration"),
            ("agent", "gpt", "unknown agent"),
            ("sandbox", "none", "one of auto, overlay, copy"),
            ("review.mergeWords", "true", "one of off, suggest, on"),
            ("budgetUsd", "-1", "US dollars"),
            ("approvePlans", "maybe", "expected true or false"),
            ("permissions.ask", "Bash(git push *)", "patterns"),
            ("permissions.allow", "WebFetch,Skill", "cannot be enabled"),
            ("network.mode", "off", "one of closed, ask, open"),
            (
                "network.allow",
                "https://example.org",
                "the host alone, as in `example.org`",
            ),
            ("network.allow", "[\"10.0.0.0/8\"]", "block of addresses"),
            ("network.allow", "*", "first labels"),
            ("network.loopback", "5432,0", "list of ports"),
            ("network.loopback", "http", "list of ports"),
            ("network.loopback", "[\"5432\"]", "list of ports"),
        ] {
            let error = check(path, text).unwrap_err();
            assert!(error.contains(part), "{path}: {error}");
        }
    }
}
