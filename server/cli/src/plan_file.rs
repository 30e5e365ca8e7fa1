//! Plan files: JSON, YAML or TOML, with errors that name the file, the line and the key.

use std::path::Path;

use claudecluster_files::read_named_file;
use claudecluster_protocol::{ErrorBody, Plan};

/// Limits the size of a plan file. Larger files are no plans.
const LIMIT: u64 = 8 << 20;

/// Reads a plan file. Its extension decides the format.
pub(crate) fn read_plan(path: &Path) -> Result<Plan, ErrorBody> {
    let shown = path.display();
    let unreadable = |e: &dyn std::fmt::Display| {
        ErrorBody::user(format!("cannot read the plan {shown}: {e}"))
            .with_hint("pass an existing file to --plan")
    };
    let bytes = read_named_file(path, LIMIT).map_err(|e| unreadable(&e))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable(&"it is not UTF-8"))?;
    let form = path
        .extension()
        .and_then(|e| e.to_str())
        .map(str::to_lowercase);
    let parsed = match form.as_deref() {
        Some("json") => from_json(&text),
        Some("yaml" | "yml") => from_yaml(&text),
        Some("toml") => from_toml(&text),
        _ => {
            return Err(ErrorBody::user(format!(
                "cannot tell the format of {shown} from its extension"
            ))
            .with_hint("rename it to *.json, *.yaml or *.toml"));
        }
    };
    parsed.map_err(|wrong| wrong.in_file(path))
}

/// Describes a mistake in a plan's text.
struct PlanFileError {
    line: Option<usize>,
    key: Option<String>,
    message: String,
}

impl PlanFileError {
    fn in_file(self, path: &Path) -> ErrorBody {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let key = self
            .key
            .filter(|key| key != "." && key != "?")
            .map(|key| format!("`{key}`: "))
            .unwrap_or_default();
        ErrorBody::user(format!(
            "{}{line}: {key}{}",
            path.display(),
            one_line(&self.message)
        ))
        .with_hint("see \"Plan files\" in docs/guide.md for all keys")
    }
}

fn from_json(text: &str) -> Result<Plan, PlanFileError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let plan = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        let key = e.path().to_string();
        let inner = e.into_inner();
        let place = format!(" at line {} column {}", inner.line(), inner.column());
        PlanFileError {
            line: Some(inner.line()),
            key: Some(key),
            message: inner.to_string().replace(&place, ""),
        }
    })?;
    reader.end().map_err(|e| PlanFileError {
        line: Some(e.line()),
        key: None,
        message: "unexpected text after the plan".to_owned(),
    })?;
    Ok(plan)
}

fn from_toml(text: &str) -> Result<Plan, PlanFileError> {
    let line = |e: &toml::de::Error| {
        let before = e.span().and_then(|span| text.get(..span.start));
        before.map(|before| before.matches('\n').count() + 1)
    };
    let reader = toml::Deserializer::parse(text).map_err(|e| PlanFileError {
        line: line(&e),
        key: None,
        message: e.message().to_owned(),
    })?;
    serde_path_to_error::deserialize(reader).map_err(|e| {
        let key = e.path().to_string();
        let inner = e.into_inner();
        PlanFileError {
            line: line(&inner),
            key: Some(key),
            message: inner.message().to_owned(),
        }
    })
}

fn from_yaml(text: &str) -> Result<Plan, PlanFileError> {
    // The reader names the line; reading the same text as a plain tree first gives the key its path.
    serde_saphyr::from_str::<Plan>(text).map_err(|e| {
        let key = serde_saphyr::from_str::<serde_json::Value>(text)
            .ok()
            .and_then(|tree| {
                serde_path_to_error::deserialize::<_, Plan>(tree)
                    .err()
                    .map(|e| (e.path().to_string(), e.inner().to_string()))
            });
        let line = e.location().map(|place| place.line() as usize);
        match key {
            Some((key, message)) => PlanFileError {
                line,
                key: Some(key),
                message,
            },
            None => PlanFileError {
                line,
                key: None,
                message: first_line(&e.to_string()),
            },
        }
    })
}

/// Returns the YAML reader's message without its position. The caller prints the position itself.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let words = line.strip_prefix("error: ").unwrap_or(line);
    match words.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest.to_owned(),
        _ => words.to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use expect_test::{Expect, expect};

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "expectations are written in place"
    )]
    fn check(name: &str, text: &str, expected: Expect) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let shown = match read_plan(&path) {
            Ok(plan) => format!("{} tasks", plan.tasks.len()),
            Err(e) => e.message.replace(&format!("{}/", dir.path().display()), ""),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn three_forms_of_one_plan() {
        let expected = expect!["1 tasks"];
        check(
            "p.json",
            r#"{"goal": "g", "tasks": [{"id": "a", "run": ["true"]}]}"#,
            expected,
        );
        check(
            "p.yaml",
            "goal: g\ntasks:\n  - id: a\n    run: [\"true\"]\n    timeout: 10m\n",
            expect!["1 tasks"],
        );
        check(
            "p.toml",
            "goal = \"g\"\n[[tasks]]\nid = \"a\"\nrun = \"true\"\n",
            expect!["1 tasks"],
        );
    }

    #[test]
    fn mistakes_name_their_place() {
        check(
            "p.json",
            "{\"tasks\": [\n {\"id\": \"a\", \"instrutions\": \"x\"}]}",
            expect![
                "p.json:2: `tasks[0].instrutions`: unknown field `instrutions`, expected one of `id`, `title`, `instructions`, `dependsOn`, `writes`, `agent`, `model`, `run`, `gates`, `timeout`, `retries`, `candidates`, `pause`, `env`"
            ],
        );
        check(
            "p.json",
            "{\"tasks\": [}",
            expect!["p.json:1: `tasks[0]`: expected value"],
        );
        check(
            "p.json",
            "{\"tasks\": []} x",
            expect!["p.json:1: unexpected text after the plan"],
        );
        check(
            "p.yaml",
            "goal: g\ntasks:\n  - id: a\n    timeout: soon\n",
            expect![[
                r#"p.yaml:4: `tasks[0].timeout`: "soon" is not a duration such as "90s" or "10m": expected number at 0"#
            ]],
        );
        check(
            "p.yml",
            "tasks: [",
            expect!["p.yml:1: unclosed bracket '['"],
        );
        check(
            "p.toml",
            "goal = \"g\"\n[[tasks]]\nid = \"a\"\ndepends = []\n",
            expect![
                "p.toml:4: `tasks[0].depends`: unknown field `depends`, expected one of `id`, `title`, `instructions`, `dependsOn`, `writes`, `agent`, `model`, `run`, `gates`, `timeout`, `retries`, `candidates`, `pause`, `env`"
            ],
        );
        check(
            "p.toml",
            "goal = \n",
            expect!["p.toml:1: string values must be quoted, expected literal string"],
        );
        check(
            "plan",
            "",
            expect!["cannot tell the format of plan from its extension"],
        );
    }
}
