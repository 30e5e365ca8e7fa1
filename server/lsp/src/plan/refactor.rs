//! Refactorings of a plan: splitting, merging and pausing tasks.

use std::collections::BTreeSet;

use claudecluster_core::plan::PlanPath;
use claudecluster_protocol::{Plan, TaskId, TaskSpec};
use serde_json::{Map, Value, json};

use super::{check::CheckedPlan, edits::TextSplice, fixes::unused_id};

/// The most tasks to merge with that a menu lists.
const MOST_MERGES: usize = 3;

/// A refactoring, or the reason why it is impossible.
pub(super) struct PlanRefactoring {
    pub(super) title: String,
    pub(super) edit: Result<Vec<TextSplice>, &'static str>,
}

/// Lists the refactorings of a task.
pub(super) fn list_refactorings(checked: &CheckedPlan, index: usize) -> Vec<PlanRefactoring> {
    let Some((plan, task)) = checked
        .plan
        .as_ref()
        .and_then(|plan| Some((plan, plan.tasks.get(index)?)))
    else {
        return Vec::new();
    };
    let mut offers = vec![
        PlanRefactoring {
            title: format!("Split {} into two tasks", task.id),
            edit: split_task(checked, index, task),
        },
        toggle_pause(checked, index, task),
    ];
    let at = |id: &TaskId| plan.tasks.iter().position(|one| one.id == *id);
    for parent in task.depends_on.iter().take(MOST_MERGES) {
        if let Some(into) = at(parent).filter(|&into| into != index) {
            offers.push(PlanRefactoring {
                title: format!("Merge {} into {parent}, its dependency", task.id),
                edit: merge_tasks(checked, plan, into, index),
            });
        }
    }
    let children = plan.tasks.iter().enumerate();
    let children = children.filter(|(i, one)| *i != index && one.depends_on.contains(&task.id));
    for (child, spec) in children.take(MOST_MERGES) {
        offers.push(PlanRefactoring {
            title: format!("Merge {}, which depends on it, into {}", spec.id, task.id),
            edit: merge_tasks(checked, plan, index, child),
        });
    }
    offers
}

fn toggle_pause(checked: &CheckedPlan, index: usize, task: &TaskSpec) -> PlanRefactoring {
    let place = PlanPath::of_task(index);
    let (title, splice) = if task.pause {
        let key = place.join_key("pause");
        (
            format!("Remove the pause before {}", task.id),
            checked.text.remove_at(&key),
        )
    } else {
        let after = ["id", "title", "instructions", "dependsOn"];
        (
            format!("Pause before {}", task.id),
            checked.text.set_key(&place, "pause", &json!(true), &after),
        )
    };
    PlanRefactoring {
        title,
        edit: splice
            .map(|splice| vec![splice])
            .ok_or("This text cannot be changed"),
    }
}

/// Adds a task before a task, for the first half of its instructions.
///
/// The task keeps its id, so tasks that wait for it still wait for all of its work.
fn split_task(
    checked: &CheckedPlan,
    index: usize,
    task: &TaskSpec,
) -> Result<Vec<TextSplice>, &'static str> {
    const CANNOT: &str = "This text cannot be changed";
    if task.run.is_some() {
        return Err("A command cannot be split");
    }
    let (text, place) = (&checked.text, PlanPath::of_task(index));
    let (first, second) = halve_instructions(&task.instructions);
    let id = unused_id(checked, &format!("{}-1", task.id));
    let mut half = Map::new();
    half.insert("id".into(), json!(id));
    if !task.title.is_empty() {
        half.insert(
            "title".into(),
            json!(format!("{} (first part)", task.title)),
        );
    }
    half.insert("instructions".into(), json!(first));
    // Other keys apply to both tasks. Gates apply to the second, which completes the work.
    let Some(node) = text.node_at(&place) else {
        return Err(CANNOT);
    };
    for entry in node.entries() {
        let own = ["id", "title", "instructions", "gates"];
        if !own.contains(&entry.key.as_str()) {
            half.insert(entry.key.clone(), entry.value.to_value());
        }
    }
    let splices = [
        text.insert_before(&place, &Value::Object(half)),
        text.set_key(&place, "instructions", &json!(second), &["id", "title"]),
        text.set_key(
            &place,
            "dependsOn",
            &json!([id]),
            &["id", "title", "instructions"],
        ),
    ];
    let mut splices: Vec<_> = splices.into_iter().collect::<Option<_>>().ok_or(CANNOT)?;
    if task.pause {
        splices.extend(text.remove_at(&place.join_key("pause")));
    }
    Ok(splices)
}

/// Splits instructions at the end of the sentence or line nearest to their middle.
///
/// Instructions of one sentence are returned twice, for their author to shorten.
fn halve_instructions(text: &str) -> (&str, &str) {
    let ends = text.char_indices().filter_map(|(at, c)| {
        let rest = &text[at + c.len_utf8()..];
        let sentence = matches!(c, '.' | ';' | '!' | '?') && rest.starts_with(char::is_whitespace);
        (sentence || c == '\n').then_some(at + c.len_utf8())
    });
    let inner = ends.filter(|&at| !text[..at].trim().is_empty() && !text[at..].trim().is_empty());
    match inner.min_by_key(|at| at.abs_diff(text.len() / 2)) {
        Some(at) => (text[..at].trim(), text[at..].trim()),
        None => (text, text),
    }
}

/// Merges the task `child` into the task `into`, for which it waits.
///
/// Tasks that waited for either of them wait for the merged task.
fn merge_tasks(
    checked: &CheckedPlan,
    plan: &Plan,
    into: usize,
    child: usize,
) -> Result<Vec<TextSplice>, &'static str> {
    const CANNOT: &str = "This text cannot be changed";
    let (one, other) = (&plan.tasks[into], &plan.tasks[child]);
    if one.run.is_some() || other.run.is_some() {
        return Err("A command cannot be merged with another task");
    }
    if other
        .depends_on
        .iter()
        .any(|parent| *parent != one.id && waits_for(plan, parent, &one.id))
    {
        return Err("Another task comes between them");
    }
    let (text, place) = (&checked.text, PlanPath::of_task(into));
    let mut splices = Vec::new();
    let mut set = |key: &str, value: Value, after: &[&str]| {
        splices.push(text.set_key(&place, key, &value, after));
    };
    let words = format!(
        "{}\n\n{}",
        one.instructions.trim(),
        other.instructions.trim()
    );
    set("instructions", json!(words.trim()), &["id", "title"]);
    let parents = other.depends_on.iter().filter(|parent| **parent != one.id);
    for (key, mine, more) in [
        (
            "dependsOn",
            json!(one.depends_on),
            json!(parents.collect::<Vec<_>>()),
        ),
        ("writes", json!(one.writes), json!(other.writes)),
        ("gates", json!(one.gates), json!(other.gates)),
    ] {
        let all = unite_arrays(&mine, &more);
        if all != mine {
            set(
                key,
                all,
                &["id", "title", "instructions", "dependsOn", "writes"],
            );
        }
    }
    splices.push(text.remove_at(&PlanPath::of_task(child)));
    for (i, task) in plan.tasks.iter().enumerate() {
        let at = task
            .depends_on
            .iter()
            .position(|parent| *parent == other.id);
        let Some(at) = at.filter(|_| i != into && i != child) else {
            continue;
        };
        let place = PlanPath::of_task(i).join_key("dependsOn").join_index(at);
        splices.push(if task.depends_on.contains(&one.id) {
            text.remove_at(&place)
        } else {
            let range = text.node_at(&place).map(|node| node.range.clone());
            range.map(|range| TextSplice::new(range, json!(one.id).to_string()))
        });
    }
    splices.into_iter().collect::<Option<_>>().ok_or(CANNOT)
}

/// Returns the elements of the first array, then those that only the second has.
fn unite_arrays(mine: &Value, more: &Value) -> Value {
    let elements = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut all = elements(mine);
    for one in elements(more) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    Value::Array(all)
}

/// Whether a task waits for another, directly or through other tasks.
fn waits_for(plan: &Plan, task: &TaskId, other: &TaskId) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![task];
    while let Some(id) = open.pop() {
        if id == other {
            return true;
        }
        if seen.insert(id) {
            let specs = plan.tasks.iter().filter(|one| one.id == *id);
            open.extend(specs.flat_map(|one| &one.depends_on));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::{
        check::{PlanContext, check_plan},
        edits::apply_splices,
    };
    use super::*;

    #[track_caller]
    fn refactor(text: &str, index: usize, title: &str) -> Result<String, &'static str> {
        let checked = check_plan(text.to_owned(), &PlanContext::default());
        let offers = list_refactorings(&checked, index);
        let offer = offers
            .into_iter()
            .find(|offer| offer.title == title)
            .expect("it is offered");
        let after = apply_splices(text, offer.edit?);
        let checked = check_plan(after.clone(), &PlanContext::default());
        assert!(checked.is_valid(), "{after}\n{:?}", checked.findings);
        Ok(after)
    }

    const PLAN: &str = r#"{
  "tasks": [
    {"id": "a", "instructions": "One. Two.", "writes": ["x"]},
    {"id": "b", "instructions": "Three.", "dependsOn": ["a"], "writes": ["x", "y"]},
    {"id": "c", "run": "make", "dependsOn": ["a", "b"]}
  ]
}"#;

    #[test]
    fn a_task_becomes_two() {
        assert_eq!(
            refactor(PLAN, 0, "Split a into two tasks").unwrap(),
            PLAN.replace(
                r#"{"id": "a", "instructions": "One. Two.", "writes": ["x"]},"#,
                "{\"id\": \"a-1\", \"instructions\": \"One.\", \"writes\": [\"x\"]},\n    \
                 {\"id\": \"a\", \"instructions\": \"Two.\", \"dependsOn\": [\"a-1\"], \"writes\": [\"x\"]},"
            )
        );
        let lines = "{\n  \"tasks\": [\n    {\n      \"id\": \"a\",\n      \"instructions\": \"all\",\n      \"dependsOn\": [\n        \"b\"\n      ],\n      \"pause\": true\n    },\n    {\n      \"id\": \"b\",\n      \"instructions\": \"x\"\n    }\n  ]\n}";
        assert_eq!(
            refactor(lines, 0, "Split a into two tasks").unwrap(),
            "{\n  \"tasks\": [\n    {\n      \"id\": \"a-1\",\n      \"instructions\": \"all\",\n      \"dependsOn\": [\"b\"],\n      \"pause\": true\n    },\n    {\n      \"id\": \"a\",\n      \"instructions\": \"all\",\n      \"dependsOn\": [\"a-1\"]\n    },\n    {\n      \"id\": \"b\",\n      \"instructions\": \"x\"\n    }\n  ]\n}"
        );
        assert_eq!(
            refactor(PLAN, 2, "Split c into two tasks"),
            Err("A command cannot be split")
        );
    }

    #[test]
    fn two_tasks_become_one() {
        let merged = r#"{
  "tasks": [
    {"id": "a", "instructions": "One. Two.\n\nThree.", "writes": ["x", "y"]},
    {"id": "c", "run": "make", "dependsOn": ["a"]}
  ]
}"#;
        for (index, title) in [
            (0, "Merge b, which depends on it, into a"),
            (1, "Merge b into a, its dependency"),
        ] {
            assert_eq!(refactor(PLAN, index, title).unwrap(), merged);
        }
        let chain = r#"{"tasks": [
            {"id": "a", "instructions": "x"},
            {"id": "b", "instructions": "x", "dependsOn": ["a"]},
            {"id": "c", "instructions": "x", "dependsOn": ["a", "b"]}
        ]}"#;
        assert_eq!(
            refactor(chain, 2, "Merge c into a, its dependency"),
            Err("Another task comes between them")
        );
        assert_eq!(
            refactor(PLAN, 2, "Merge c into b, its dependency"),
            Err("A command cannot be merged with another task")
        );
    }

    #[test]
    fn a_pause_comes_and_goes() {
        let paused = refactor(PLAN, 1, "Pause before b").unwrap();
        assert!(
            paused.contains(r#""dependsOn": ["a"], "pause": true, "writes""#),
            "{paused}"
        );
        assert_eq!(
            refactor(&paused, 1, "Remove the pause before b").unwrap(),
            PLAN
        );
    }
}
