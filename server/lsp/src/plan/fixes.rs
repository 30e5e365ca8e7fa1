//! Fixes for the mistakes of a plan.

use claudecluster_core::plan::{PlanPath, PlanPathStep, PlanProblemKind};
use serde_json::{Value, json};

use super::{
    check::{CheckedPlan, FindingKind, PlanFinding},
    edits::TextSplice,
    schema::schema_at,
};

/// A fix for one finding.
pub(super) struct PlanQuickFix {
    pub(super) title: String,
    pub(super) splices: Vec<TextSplice>,
}

impl PlanQuickFix {
    fn new(title: impl Into<String>, splice: Option<TextSplice>) -> Option<Self> {
        Some(Self {
            title: title.into(),
            splices: vec![splice?],
        })
    }
}

/// Lists the fixes for a finding, the likeliest first.
pub(super) fn list_fixes(checked: &CheckedPlan, finding: &PlanFinding) -> Vec<PlanQuickFix> {
    let text = &checked.text;
    let fixes = match (finding.kind, &finding.place) {
        (FindingKind::TrailingComma, _) => {
            let comma = TextSplice::new(finding.range.clone(), "");
            vec![PlanQuickFix::new("Remove the comma", Some(comma))]
        }
        (FindingKind::UnknownKey, Some(place)) => {
            let renamed = finding.meant.as_ref().filter(|meant| {
                let above = place.split_last().map(|(above, _)| above.join_key(meant));
                above.is_some_and(|other| text.node_at(&other).is_none())
            });
            vec![
                renamed.and_then(|meant| {
                    let name = TextSplice::new(finding.range.clone(), json!(meant).to_string());
                    PlanQuickFix::new(format!("Change to `{meant}`"), Some(name))
                }),
                remove_part(checked, place),
            ]
        }
        (FindingKind::DuplicateKey, Some(place)) => vec![remove_part(checked, place)],
        (FindingKind::MissingKey, Some(place)) => match place.split_last() {
            Some((task, PlanPathStep::Key(key))) if key == "id" => {
                let id = unused_id(checked, "task");
                let id = text.set_key(&task, "id", &json!(id), &[]);
                vec![PlanQuickFix::new("Give it an id", id)]
            }
            _ => Vec::new(),
        },
        (FindingKind::WrongValue, Some(place)) => {
            let choices = schema_at(place).map(|allowed| allowed.choices());
            let each = choices.into_iter().flatten().map(|(name, _)| {
                let range = text.node_at(place)?.range.clone();
                let name = (format!("Use `{name}`"), json!(name).to_string());
                PlanQuickFix::new(name.0, Some(TextSplice::new(range, name.1)))
            });
            each.collect()
        }
        (FindingKind::Rule(kind), Some(place)) => fix_rule(checked, finding, kind, place),
        _ => Vec::new(),
    };
    fixes.into_iter().flatten().collect()
}

/// Lists the fixes for a violated rule of `core::plan`.
fn fix_rule(
    checked: &CheckedPlan,
    finding: &PlanFinding,
    kind: PlanProblemKind,
    place: &PlanPath,
) -> Vec<Option<PlanQuickFix>> {
    let text = &checked.text;
    let task = place.task_index().map(PlanPath::of_task);
    let task = task.unwrap_or_default();
    match kind {
        PlanProblemKind::UnknownDependency => vec![
            finding.meant.as_ref().and_then(|meant| {
                let name = TextSplice::new(finding.range.clone(), json!(meant).to_string());
                PlanQuickFix::new(format!("Change to `{meant}`"), Some(name))
            }),
            remove_part(checked, place),
        ],
        PlanProblemKind::Cycle
        | PlanProblemKind::SelfDependency
        | PlanProblemKind::RepeatedDependency => {
            let waits = text
                .node_at(&task.join_key("id"))
                .and_then(|node| node.as_str());
            let other = text.node_at(place).and_then(|node| node.as_str());
            let title = match (waits, other) {
                (Some(waits), Some(other)) if kind == PlanProblemKind::Cycle => {
                    format!("Remove the dependency of {waits} on {other}")
                }
                (_, Some(other)) => format!("Remove {other}"),
                _ => "Remove it".to_owned(),
            };
            vec![PlanQuickFix::new(title, text.remove_at(place))]
        }
        PlanProblemKind::Overlap => vec![order_tasks(checked, finding, &task)],
        PlanProblemKind::DuplicateId => {
            let id = text.node_at(place).and_then(|node| node.as_str());
            let free = unused_id(checked, id.unwrap_or("task"));
            let name = TextSplice::new(finding.range.clone(), json!(free).to_string());
            vec![PlanQuickFix::new(format!("Rename to `{free}`"), Some(name))]
        }
        PlanProblemKind::InvalidId => vec![rename_task(checked, place)],
        PlanProblemKind::MissingInstructions => {
            let new = text
                .node_at(&task.clone().join_key("instructions"))
                .is_none();
            let key = text.set_key(&task, "instructions", &json!(""), &["id", "title"]);
            vec![PlanQuickFix::new("Add `instructions`", key.filter(|_| new))]
        }
        PlanProblemKind::MissingCommand => {
            let key = text.set_key(&task, "run", &json!([""]), &["id", "title", "agent"]);
            vec![PlanQuickFix::new("Add `run`", key)]
        }
        PlanProblemKind::UnusedCommand => vec![
            PlanQuickFix::new(
                "Use the agent `command`",
                text.set_key(&task, "agent", &json!("command"), &[]),
            ),
            remove_part(checked, place),
        ],
        PlanProblemKind::OutOfRange
        | PlanProblemKind::ForbiddenVariable
        | PlanProblemKind::OutsideWorkspace
        | PlanProblemKind::EmptyCommand => vec![remove_part(checked, place)],
        PlanProblemKind::TaskCount | PlanProblemKind::NoGates => Vec::new(),
    }
}

fn remove_part(checked: &CheckedPlan, place: &PlanPath) -> Option<PlanQuickFix> {
    let title = match place.split_last() {
        Some((_, PlanPathStep::Key(key))) => format!("Remove `{key}`"),
        _ => "Remove it".to_owned(),
    };
    PlanQuickFix::new(title, checked.text.remove_at(place))
}

/// Lets a task wait for the tasks that may write the same file.
fn order_tasks(
    checked: &CheckedPlan,
    finding: &PlanFinding,
    task: &PlanPath,
) -> Option<PlanQuickFix> {
    let text = &checked.text;
    let id = |place: &PlanPath| text.node_at(&place.clone().join_key("id"))?.as_str();
    let others = finding.related.iter().filter_map(|one| {
        let index = one.place.task_index()?;
        id(&PlanPath::of_task(index))
    });
    let others: Vec<&str> = others.collect();
    let title = format!("Make {} depend on {}", id(task)?, others.join(", "));
    let values: Vec<Value> = others.iter().map(|&id| json!(id)).collect();
    let after = ["id", "title", "instructions"];
    PlanQuickFix::new(title, text.append_to(task, "dependsOn", &values, &after))
}

/// Renames a task to a valid id, wherever the task is named.
fn rename_task(checked: &CheckedPlan, place: &PlanPath) -> Option<PlanQuickFix> {
    let text = &checked.text;
    let old = text.node_at(place)?.as_str()?;
    let plain: String = old
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(60)
        .collect();
    let plain = plain.trim_matches('-');
    let new = unused_id(checked, if plain.is_empty() { "task" } else { plain });
    let splices = task_references(checked, old)
        .map(|range| TextSplice::new(range, json!(new).to_string()))
        .collect();
    Some(PlanQuickFix {
        title: format!("Rename to `{new}`"),
        splices,
    })
}

/// Returns the ranges where a task is named: its id, and the dependencies of other tasks.
fn task_references<'a>(
    checked: &'a CheckedPlan,
    id: &'a str,
) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
    let tasks = checked.text.node_at(&PlanPath::from_key("tasks"));
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

/// Returns `wanted`, or `wanted` with a number, so that no task has the id yet.
pub(super) fn unused_id(checked: &CheckedPlan, wanted: &str) -> String {
    let tasks = checked.text.node_at(&PlanPath::from_key("tasks"));
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
        check::{PlanContext, check_plan},
        edits::apply_splices,
    };
    use super::*;

    /// Compares the text after the first fix with a title. A failure shows the titles that exist.
    #[track_caller]
    fn fix(text: &str, title: &str, expected: &str) {
        let checked = check_plan(text.to_owned(), &PlanContext::default());
        let fixes: Vec<PlanQuickFix> = checked
            .findings
            .iter()
            .flat_map(|finding| list_fixes(&checked, finding))
            .collect();
        let titles: Vec<_> = fixes.iter().map(|fix| fix.title.clone()).collect();
        let found = fixes.into_iter().find(|fix| fix.title == title);
        let after = found.map(|fix| apply_splices(text, fix.splices));
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
    fn the_work_of_tasks_is_corrected() {
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
