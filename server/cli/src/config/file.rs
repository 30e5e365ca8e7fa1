//! One configuration file. Reads it with every mistake and its place, and changes one key without
//! touching the rest.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use claudecluster_protocol::ErrorBody;
use serde::Serialize;
use serde_json::Value;
use toml_edit::{Document, DocumentMut, Item, TableLike};

use super::keys::{self, ConfigKey};

/// Tells whose file it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConfigOwner {
    User,
    Workspace,
}

/// Describes one mistake in a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigProblem {
    pub(crate) file: PathBuf,
    /// The line, counted from 1. It is 0 for an environment variable.
    pub(crate) line: usize,
    /// The key that the mistake is about, if any.
    pub(crate) key: Option<String>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        // An environment variable has no line.
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        f.write_str(" ")?;
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.message)
    }
}

impl From<ConfigProblem> for ErrorBody {
    fn from(problem: ConfigProblem) -> Self {
        let error = ErrorBody::config(problem.to_string());
        match problem.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// Holds one value of a file.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ConfigEntry {
    pub(crate) key: &'static ConfigKey,
    pub(crate) value: Value,
    /// The line, counted from 1.
    pub(crate) line: usize,
}

/// Reads a file's text and returns its valid entries and its mistakes.
pub(crate) fn read_config(
    file: &Path,
    text: &str,
    owner: ConfigOwner,
) -> (Vec<ConfigEntry>, Vec<ConfigProblem>) {
    let mut reader = ConfigReader {
        file,
        text,
        owner,
        entries: Vec::new(),
        problems: Vec::new(),
    };
    match Document::parse(text) {
        Ok(document) => reader.table(document.as_table(), ""),
        Err(error) => {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            reader.problem(error.span().as_ref(), None, message, None);
        }
    }
    (reader.entries, reader.problems)
}

struct ConfigReader<'a> {
    file: &'a Path,
    text: &'a str,
    owner: ConfigOwner,
    entries: Vec<ConfigEntry>,
    problems: Vec<ConfigProblem>,
}

impl ConfigReader<'_> {
    fn table(&mut self, table: &dyn TableLike, prefix: &str) {
        for (name, item) in table.iter() {
            let path = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}.{name}")
            };
            let span = table
                .key(name)
                .and_then(toml_edit::Key::span)
                .or(item.span());
            match item.as_table_like() {
                Some(inner) if keys::is_table(&path) => self.table(inner, &path),
                _ => self.entry(&path, item, span.as_ref()),
            }
        }
    }

    fn entry(&mut self, path: &str, item: &Item, span: Option<&Range<usize>>) {
        let workspace = self.owner == ConfigOwner::Workspace;
        let short = keys::mode_key(path).filter(|_| item.is_str());
        let Some(key) = keys::find_key(path).or(short) else {
            let (message, hint) = if keys::is_table(path) {
                ("expected a table".to_owned(), format!("write `[{path}]`"))
            } else {
                (
                    "unknown setting".to_owned(),
                    keys::unknown_key_hint(path, workspace),
                )
            };
            return self.problem(span, Some(path), message, Some(hint));
        };
        if workspace && !key.workspace {
            let hint = "a workspace file can only lower limits, deny agents and tools, and require \
                        confirmation; set it in your own file instead (see: claudecluster config path)";
            let message = "a workspace file cannot set this".to_owned();
            return self.problem(span, Some(path), message, Some(hint.to_owned()));
        }
        let line = self.line(span);
        match key.read_toml(item) {
            Ok(value) => self.entries.push(ConfigEntry { key, value, line }),
            Err(message) => self.problem(span, Some(path), message, None),
        }
    }

    fn problem(
        &mut self,
        span: Option<&Range<usize>>,
        key: Option<&str>,
        message: String,
        hint: Option<String>,
    ) {
        let line = self.line(span);
        self.problems.push(ConfigProblem {
            file: self.file.to_owned(),
            line,
            key: key.map(str::to_owned),
            message,
            hint,
        });
    }

    fn line(&self, span: Option<&Range<usize>>) -> usize {
        let before = span.and_then(|span| self.text.get(..span.start));
        before.map_or(1, |text| text.matches('\n').count() + 1)
    }
}

/// Returns the file's text with one key changed. Comments and order stay.
pub(crate) fn set_value(text: &str, key: &ConfigKey, value: &Value) -> Result<String, String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|e: toml_edit::TomlError| e.to_string())?;
    let mut table: &mut dyn TableLike = document.as_table_mut();
    let mut parts = key.path.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            let new = to_toml(value).ok_or("the value cannot be written to the file")?;
            match table.get_mut(part) {
                // Keeps the comment behind the old value.
                Some(Item::Value(old)) => {
                    let decor = old.decor().clone();
                    *old = new;
                    *old.decor_mut() = decor;
                }
                _ => {
                    table.insert(part, Item::Value(new));
                }
            }
            break;
        }
        table = open_table(table, part)?;
    }
    Ok(document.to_string())
}

/// Returns the file's text with items added to a list. Comments, order and what the list has already stay. A list
/// that the file does not have begins with `default`.
pub(crate) fn add_items(
    text: &str,
    key: &ConfigKey,
    default: &Value,
    items: &[Value],
) -> Result<String, String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|e: toml_edit::TomlError| e.to_string())?;
    let mut table: &mut dyn TableLike = document.as_table_mut();
    let (parents, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
    for part in parents.split('.').filter(|part| !part.is_empty()) {
        table = open_table(table, part)?;
    }
    let fresh = to_toml(default).unwrap_or_else(|| toml_edit::Array::new().into());
    let list = table
        .entry(name)
        .or_insert(Item::Value(fresh))
        .as_array_mut()
        .ok_or_else(|| format!("`{}` is not a list in this file", key.path))?;
    for item in items.iter().filter_map(to_toml) {
        if list.iter().any(|known| is_same_value(known, &item)) {
            continue;
        }
        // A list with one item a line stays one.
        let prefix = list.iter().last().and_then(|last| last.decor().prefix());
        let prefix = prefix.and_then(|prefix| Some(prefix.as_str()?.to_owned()));
        match prefix.filter(|prefix| prefix.contains('\n')) {
            Some(prefix) => {
                // A comment behind the last comma belongs to the item before it.
                let behind = list.trailing().as_str().unwrap_or_default().trim_end();
                let before = format!("{behind}{}", indent_of(&prefix));
                list.push_formatted(item.decorated(before, ""));
                list.set_trailing("\n");
            }
            None => list.push(item),
        }
    }
    Ok(document.to_string())
}

/// Returns whether two items are equal, whatever comments are beside them.
fn is_same_value(one: &toml_edit::Value, other: &toml_edit::Value) -> bool {
    match (one.as_str(), one.as_integer()) {
        (Some(text), _) => other.as_str() == Some(text),
        (None, Some(number)) => other.as_integer() == Some(number),
        (None, None) => false,
    }
}

/// Returns the last line end of a prefix, with the space behind it: comments before an item are its own.
fn indent_of(prefix: &str) -> &str {
    prefix.rfind('\n').map_or("", |at| &prefix[at..])
}

/// Opens a table for writing, and makes it if it is not there. The short form of a table that has a mode becomes
/// a table with that mode.
fn open_table<'a>(
    table: &'a mut dyn TableLike,
    part: &str,
) -> Result<&'a mut dyn TableLike, String> {
    let inner = table
        .entry(part)
        .or_insert_with(|| Item::Table(toml_edit::Table::new()));
    if inner.is_str() && keys::mode_key(part).is_some() {
        let mode = std::mem::take(inner);
        let mut long = toml_edit::InlineTable::new();
        if let Ok(mut mode) = mode.into_value() {
            // A comment behind the value stands behind the table from now on.
            *long.decor_mut() = std::mem::take(mode.decor_mut());
            long.insert("mode", mode);
        }
        *inner = Item::Value(long.into());
    }
    inner
        .as_table_like_mut()
        .ok_or_else(|| format!("`{part}` is not a table in this file"))
}

fn to_toml(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::String(text) => text.as_str().into(),
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => match n.as_i64() {
            Some(integer) => integer.into(),
            None => n.as_f64()?.into(),
        },
        Value::Array(items) => {
            let items = items.iter().map(to_toml).collect::<Option<Vec<_>>>()?;
            toml_edit::Value::Array(items.into_iter().collect())
        }
        Value::Null | Value::Object(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "expectations are written in place"
    )]
    fn check(owner: ConfigOwner, text: &str, expected: Expect) {
        let (_, problems) = read_config(Path::new("config.toml"), text, owner);
        let shown: Vec<String> = problems
            .into_iter()
            .map(|p| format!("{p} ({})\n", p.hint.clone().unwrap_or_default()))
            .collect();
        expected.assert_eq(&shown.concat());
    }

    #[test]
    fn a_variable_has_no_line() {
        let problem = ConfigProblem {
            file: "environment".into(),
            line: 0,
            key: Some("CLAUDECLUSTER_RETRIES".to_owned()),
            message: "expected a number".to_owned(),
            hint: None,
        };
        let expected = "environment: `CLAUDECLUSTER_RETRIES`: expected a number";
        assert_eq!(problem.to_string(), expected);
    }

    #[test]
    fn every_mistake_has_its_place() {
        check(
            ConfigOwner::User,
            "maxParalel = 3\n\n[timeouts]\nattempt = 10\nstrat = \"1m\"\n[planer]\nmodel = \"x\"\n",
            expect![[r#"
                config.toml:1: `maxParalel`: unknown setting (did you mean `maxParallel`?)
                config.toml:4: `timeouts.attempt`: expected a duration such as "90s" or "10m", found 10 ()
                config.toml:5: `timeouts.strat`: unknown setting (did you mean `timeouts.start`?)
                config.toml:6: `planer`: unknown setting (did you mean `planner`?)
            "#]],
        );
        check(
            ConfigOwner::User,
            "agent = \"claude-code\"\ntimeouts = 3\nmodel = [1]\n",
            expect![[r#"
                config.toml:2: `timeouts`: expected a table (write `[timeouts]`)
                config.toml:3: `model`: expected a string, found a list with other values ()
            "#]],
        );
    }

    #[test]
    fn broken_toml_names_the_line() {
        let (_, problems) = read_config(
            Path::new("c.toml"),
            "agent = \"native\"\nmodel = = 3\n",
            ConfigOwner::User,
        );
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, 2);
    }

    #[test]
    fn a_workspace_configures_nothing() {
        check(
            ConfigOwner::Workspace,
            "maxParallel = 2\nagent = \"native\"\n[claude]\nprogram = \"./evil\"\n[native]\nbaseUrl = \"http://x\"\n[permissions]\nask = [\"Bash\"]\nallow = [\"WebFetch\"]\n",
            expect![[r#"
                config.toml:2: `agent`: a workspace file cannot set this (a workspace file can only lower limits, deny agents and tools, and require confirmation; set it in your own file instead (see: claudecluster config path))
                config.toml:4: `claude.program`: a workspace file cannot set this (a workspace file can only lower limits, deny agents and tools, and require confirmation; set it in your own file instead (see: claudecluster config path))
                config.toml:6: `native.baseUrl`: a workspace file cannot set this (a workspace file can only lower limits, deny agents and tools, and require confirmation; set it in your own file instead (see: claudecluster config path))
                config.toml:9: `permissions.allow`: a workspace file cannot set this (a workspace file can only lower limits, deny agents and tools, and require confirmation; set it in your own file instead (see: claudecluster config path))
            "#]],
        );
    }

    #[test]
    fn setting_a_key_keeps_the_rest() {
        let text =
            "# mine\nagent = \"native\" # for now\n\n[timeouts]\n# long builds\nattempt = \"2h\"\n";
        let set = |text: &str, path: &str, value| {
            set_value(text, keys::find_key(path).unwrap(), &value).unwrap()
        };
        let text = set(text, "agent", json!("claude-code"));
        let text = set(&text, "timeouts.gate", json!("5m"));
        let text = set(&text, "limits.files", json!(10));
        let text = set(&text, "budgetUsd", json!(2.5));
        expect![[r#"
            # mine
            agent = "claude-code" # for now
            budgetUsd = 2.5

            [timeouts]
            # long builds
            attempt = "2h"
            gate = "5m"

            [limits]
            files = 10
        "#]]
        .assert_eq(&text);
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "expectations are written in place"
    )]
    fn check_added(text: &str, expected: Expect) {
        let key = keys::find_key("network.allow").unwrap();
        let items = [json!("b.example"), json!("c.example:8443")];
        let text = add_items(text, key, &json!(["a.example"]), &items).unwrap();
        expected.assert_eq(&text);
    }

    #[test]
    fn adding_to_a_list_keeps_what_is_there() {
        check_added(
            "",
            expect![[r#"
                [network]
                allow = ["a.example", "b.example", "c.example:8443"]
            "#]],
        );
        check_added(
            "[network]\nmode = \"closed\" # strict\nallow = [\n    # ours\n    \"b.example\", # yes\n]\n",
            expect![[r#"
                [network]
                mode = "closed" # strict
                allow = [
                    # ours
                    "b.example", # yes
                    "c.example:8443",
                ]
            "#]],
        );
        check_added(
            "network = \"closed\" # strict\n",
            expect![[r#"
                network = { mode = "closed", allow = ["a.example", "b.example", "c.example:8443"] } # strict
            "#]],
        );
    }

    #[test]
    fn a_table_with_a_mode_has_a_short_form() {
        let read = |text: &str, owner| read_config(Path::new("c.toml"), text, owner);
        for owner in [ConfigOwner::User, ConfigOwner::Workspace] {
            let (entries, problems) = read("network = \"closed\"\n", owner);
            assert_eq!(problems, []);
            assert_eq!(entries[0].key.path, "network.mode");
            assert_eq!(entries[0].value, json!("closed"));
        }
        let (entries, problems) = read(
            "[network]\nallow = [\"a.example\"]\n",
            ConfigOwner::Workspace,
        );
        assert_eq!((entries.len(), problems.len()), (0, 1));
    }
}
