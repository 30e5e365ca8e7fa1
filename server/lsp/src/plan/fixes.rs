//! What can be done about what is wrong with a plan.

use claudecluster_core::plan::{Place, ProblemKind, Step};
use serde_json::{Value, json};

use super::{
    edits::Splice,
    problems::{Checked, Problem, What},
    schema,
};

/// A way to correct something.
pub(super) struct Fix {
    pub(super) title: String,
    pub(super) splices: Vec<Splice>,
}

impl Fix {
    fn new(title: impl Into<String>, splice: Option<Splice>) -> Option<Self> {
        Some(Self {
            title: title.into(),
            splices: vec![splice?],
        })
    }
}

/// The ways to correct a problem, the likeliest first.
pub(super) fn of(checked: &Checked, problem: &Problem) -> Vec<Fix> {
    let text = &checked.text;
    let fixes = match (problem.what, &problem.place) {
        (What::TrailingComma, _) => {
            let comma = Splice::new(problem.range.clone(), "");
            vec![Fix::new("Remove the comma", Some(comma))]
        }
        (What::UnknownKey, Some(place)) => {
            let renamed = problem.meant.as_ref().filter(|meant| {
                let above = place.split_last().map(|(above, _)| above.with(meant));
                above.is_some_and(|other| text.at(&other).is_none())
            });
            vec![
                renamed.and_then(|meant| {
                    let name = Splice::new(problem.range.clone(), json!(meant).to_string());
                    Fix::new(format!("Change to `{meant}`"), Some(name))
                }),
                remove(checked, place),
            ]
        }
        (What::DuplicateKey, Some(place)) => vec![remove(checked, place)],
        (What::MissingKey, Some(place)) => match place.split_last() {
            Some((task, Step::Key(key))) if key == "id" => {
                let id = free_id(checked, "task");
                let id = text.set(&task, "id", &json!(id), &[]);
                vec![Fix::new("Give it an id", id)]
            }
            _ => Vec::new(),
        },
        (What::WrongValue, Some(place)) => {
            let choices = schema::at(place).map(|allowed| allowed.choices());
            let each = choices.into_iter().flatten().map(|(name, _)| {
                let range = text.at(place)?.range.clone();
                let name = (format!("Use `{name}`"), json!(name).to_string());
                Fix::new(name.0, Some(Splice::new(range, name.1)))
            });
            each.collect()
        }
        (What::Rule(kind), Some(place)) => rule(checked, problem, kind, place),
        _ => Vec::new(),
    };
    fixes.into_iter().flatten().collect()
}

fn rule(
    checked: &Checked,
    problem: &Problem,
    kind: ProblemKind,
    place: &Place,
) -> Vec<Option<Fix>> {
    let text = &checked.text;
    let task = place.task_index().map(Place::task);
    let task = task.unwrap_or_default();
    match kind {
        ProblemKind::UnknownDependency => vec![
            problem.meant.as_ref().and_then(|meant| {
                let name = Splice::new(problem.range.clone(), json!(meant).to_string());
                Fix::new(format!("Change to `{meant}`"), Some(name))
            }),
            remove(checked, place),
        ],
        ProblemKind::Cycle | ProblemKind::SelfDependency | ProblemKind::RepeatedDependency => {
            let waits = text.at(&task.with("id")).and_then(|node| node.as_str());
            let other = text.at(place).and_then(|node| node.as_str());
            let title = match (waits, other) {
                (Some(waits), Some(other)) if kind == ProblemKind::Cycle => {
                    format!("Remove the dependency of {waits} on {other}")
                }
                (_, Some(other)) => format!("Remove {other}"),
                _ => "Remove it".to_owned(),
            };
            vec![Fix::new(title, text.remove(place))]
        }
        ProblemKind::Overlap => vec![order(checked, problem, &task)],
        ProblemKind::DuplicateId => {
            let id = text.at(place).and_then(|node| node.as_str());
            let free = free_id(checked, id.unwrap_or("task"));
            let name = Splice::new(problem.range.clone(), json!(free).to_string());
            vec![Fix::new(format!("Rename to `{free}`"), Some(name))]
        }
        ProblemKind::InvalidId => vec![rename(checked, place)],
        ProblemKind::MissingInstructions => {
            let new = text.at(&task.clone().with("instructions")).is_none();
            let key = text.set(&task, "instructions", &json!(""), &["id", "title"]);
            vec![Fix::new("Add `instructions`", key.filter(|_| new))]
        }
        ProblemKind::MissingCommand => {
            let key = text.set(&task, "run", &json!([""]), &["id", "title", "agent"]);
            vec![Fix::new("Add `run`", key)]
        }
        ProblemKind::UnusedCommand => vec![
            Fix::new(
                "Use the agent `command`",
                text.set(&task, "agent", &json!("command"), &[]),
            ),
            remove(checked, place),
        ],
        ProblemKind::OutOfRange
        | ProblemKind::ForbiddenVariable
        | ProblemKind::OutsideWorkspace
        | ProblemKind::EmptyCommand => vec![remove(checked, place)],
        ProblemKind::TaskCount | ProblemKind::NoGates => Vec::new(),
    }
}

fn remove(checked: &Checked, place: &Place) -> Option<Fix> {
    let title = match place.split_last() {
        Some((_, Step::Key(key))) => format!("Remove `{key}`"),
        _ => "Remove it".to_owned(),
    };
    Fix::new(title, checked.text.remove(place))
}

/// Lets a task wait for those that may write the same file.
fn order(checked: &Checked, problem: &Problem, task: &Place) -> Option<Fix> {
    let text = &checked.text;
    let id = |place: &Place| text.at(&place.clone().with("id"))?.as_str();
    let others = problem.related.iter().filter_map(|one| {
        let index = one.place.task_index()?;
        id(&Place::task(index))
    });
    let others: Vec<&str> = others.collect();
    let title = format!("Make {} depend on {}", id(task)?, others.join(", "));
    let values: Vec<Value> = others.iter().map(|&id| json!(id)).collect();
    let after = ["id", "title", "instructions"];
    Fix::new(title, text.push(task, "dependsOn", &values, &after))
}

/// Gives a task an id with the characters that ids have, wherever it is named.
fn rename(checked: &Checked, place: &Place) -> Option<Fix> {
    let text = &checked.text;
    let old = text.at(place)?.as_str()?;
    let plain: String = old
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(60)
        .collect();
    let plain = plain.trim_matches('-');
    let new = free_id(checked, if plain.is_empty() { "task" } else { plain });
    let splices = names_of(checked, old)
        .map(|range| Splice::new(range, json!(new).to_string()))
        .collect();
    Some(Fix {
        title: format!("Rename to `{new}`"),
        splices,
    })
}

/// Everywhere a task is named: its id, and where others depend on it.
fn names_of<'a>(
    checked: &'a Checked,
    id: &'a str,
) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
    let tasks = checked.text.at(&Place::key("tasks"));
    let tasks = tasks.into_iter().flat_map(|tasks| tasks.elements());
    tasks
        .flat_map(|task| {
            let own = task.entry("id").map(|entry| &entry.value);
            let parents = task.entry("dependsOn").map(|entry| entry.value.elements());
            own.into_iter().chain(parents.into_iter().flatten())
        })
        .filter(move |node| node.as_str() == Some(id))
        .map(|node| node.range.clone())
}

/// An id that no task has yet.
pub(super) fn free_id(checked: &Checked, wanted: &str) -> String {
    let tasks = checked.text.at(&Place::key("tasks"));
    let tasks = tasks.map(|tasks| tasks.elements()).unwrap_or_default();
    let taken: Vec<_> = tasks
        .iter()
        .filter_map(|task| task.entry("id")?.value.as_str())
        .collect();
    let numbered = (2u32..).map(|n| format!("{wanted}-{n}"));
    std::iter::once(wanted.to_owned())
        .chain(numbered)
        .find(|id| !taken.contains(&id.as_str()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{
        edits::apply,
        problems::{Surroundings, check},
    };
    use super::*;

    /// The text after the first fix with this title; for none of them the titles that there are.
    #[track_caller]
    fn fix(text: &str, title: &str, expected: &str) {
        let checked = check(text.to_owned(), &Surroundings::default());
        let fixes: Vec<Fix> = checked
            .problems
            .iter()
            .flat_map(|problem| of(&checked, problem))
            .collect();
        let titles: Vec<_> = fixes.iter().map(|fix| fix.title.clone()).collect();
        let found = fixes.into_iter().find(|fix| fix.title == title);
        let after = found.map(|fix| apply(text, fix.splices));
        assert_eq!(after.as_deref(), Some(expected), "{title}: {titles:?}");
    }

    #[test]
    fn keys_and_values_are_corrected() {
        fix(
            r#"{"gola": "x", "tasks": [{"id": "a", "run": "x"}]}"#,
            "Change to `goal`",
            r#"{"goal": "x", "tasks": [{"id": "a", "run": "x"}]}"#,
        );
        fix(
            r#"{"gola": "x", "tasks": [{"id": "a", "run": "x"}]}"#,
            "Remove `gola`",
            r#"{"tasks": [{"id": "a", "run": "x"}]}"#,
        );
        fix(
            r#"{"tasks": [{"run": "x"}, {"id": "task", "run": "x"}]}"#,
            "Give it an id",
            r#"{"tasks": [{"run": "x", "id": "task-2"}, {"id": "task", "run": "x"}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a", "instructions": "x", "agent": "gpt"}]}"#,
            "Use `native`",
            r#"{"tasks": [{"id": "a", "instructions": "x", "agent": "native"}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a", "run": "x", "run": "y"}]}"#,
            "Remove `run`",
            r#"{"tasks": [{"id": "a", "run": "x"}]}"#,
        );
    }

    #[test]
    fn ids_and_edges_are_corrected() {
        fix(
            r#"{"tasks": [{"id": "errors", "run": "x"}, {"id": "b", "run": "x", "dependsOn": ["error"]}]}"#,
            "Change to `errors`",
            r#"{"tasks": [{"id": "errors", "run": "x"}, {"id": "b", "run": "x", "dependsOn": ["errors"]}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a", "run": "x", "dependsOn": ["zzzzzzz"]}]}"#,
            "Remove it",
            r#"{"tasks": [{"id": "a", "run": "x", "dependsOn": []}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a", "run": "x", "dependsOn": ["a"]}]}"#,
            "Remove a",
            r#"{"tasks": [{"id": "a", "run": "x", "dependsOn": []}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a", "run": "x"}, {"id": "a", "run": "x"}]}"#,
            "Rename to `a-2`",
            r#"{"tasks": [{"id": "a", "run": "x"}, {"id": "a-2", "run": "x"}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a b!", "run": "x"}, {"id": "c", "run": "x", "dependsOn": ["a b!"]}]}"#,
            "Rename to `a-b`",
            r#"{"tasks": [{"id": "a-b", "run": "x"}, {"id": "c", "run": "x", "dependsOn": ["a-b"]}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a", "run": "x", "writes": ["f"]}, {"id": "b", "run": "x", "writes": ["f"]}]}"#,
            "Make b depend on a",
            r#"{"tasks": [{"id": "a", "run": "x", "writes": ["f"]}, {"id": "b", "dependsOn": ["a"], "run": "x", "writes": ["f"]}]}"#,
        );
    }

    #[test]
    fn what_agents_are_told_is_corrected() {
        fix(
            r#"{"tasks": [{"id": "a", "writes": []}]}"#,
            "Add `instructions`",
            r#"{"tasks": [{"id": "a", "instructions": "", "writes": []}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a", "agent": "command"}]}"#,
            "Add `run`",
            r#"{"tasks": [{"id": "a", "agent": "command", "run": [""]}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a", "agent": "native", "run": "x"}]}"#,
            "Use the agent `command`",
            r#"{"tasks": [{"id": "a", "agent": "command", "run": "x"}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a", "run": "x", "env": {"PATH": "x"}}]}"#,
            "Remove `PATH`",
            r#"{"tasks": [{"id": "a", "run": "x", "env": {}}]}"#,
        );
        fix(
            r#"{"tasks": [{"id": "a", "run": "x", "candidates": 3}]}"#,
            "Remove `candidates`",
            r#"{"tasks": [{"id": "a", "run": "x"}]}"#,
        );
    }
}
