//! What makes a plan valid. Every problem names its place, so that a person can find it and a
//! planner can repair it.

use std::collections::BTreeMap;

use claudecluster_protocol::{
    Plan, RelPath, TaskId, TaskSpec,
    plan::{AgentName, Command},
};

use crate::graph::TaskGraph;

/// The most tasks a plan may have.
pub const MAX_TASKS: usize = 500;

/// One thing that is wrong with a plan.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {message}")]
pub struct PlanProblem {
    /// Where, as a path of keys: `tasks[2].dependsOn[0]`.
    pub place: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Checks a plan and builds its graph.
///
/// # Errors
///
/// Every problem found, in the order of the plan.
pub fn check(plan: &Plan) -> Result<TaskGraph, Vec<PlanProblem>> {
    let mut problems = Problems::default();
    if plan.tasks.is_empty() {
        problems.add("tasks", "a plan needs at least one task");
    }
    if plan.tasks.len() > MAX_TASKS {
        problems.add(
            "tasks",
            format!("{} tasks are more than {MAX_TASKS}", plan.tasks.len()),
        );
    }
    if plan.max_parallel == Some(0) {
        problems.add("maxParallel", "must be at least 1");
    }
    check_gates(&mut problems, "gates", &plan.gates);
    let mut seen: BTreeMap<&TaskId, usize> = BTreeMap::new();
    for (i, task) in plan.tasks.iter().enumerate() {
        if let Some(first) = seen.get(&task.id) {
            problems.add(
                format!("tasks[{i}].id"),
                format!("{:?} is already the id of tasks[{first}]", task.id.as_str()),
            );
        } else {
            seen.insert(&task.id, i);
        }
        check_task(&mut problems, i, task);
    }
    for (i, task) in plan.tasks.iter().enumerate() {
        check_edges(&mut problems, i, task, &seen);
    }
    let graph = TaskGraph::new(plan);
    if let Err(cycles) = &graph {
        for cycle in cycles {
            problems.add("tasks", describe_cycle(cycle));
        }
    }
    match graph {
        Ok(graph) if problems.0.is_empty() => Ok(graph),
        _ => Err(problems.0),
    }
}

#[derive(Default)]
struct Problems(Vec<PlanProblem>);

impl Problems {
    fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.0.push(PlanProblem {
            place: place.into(),
            message: message.into(),
        });
    }
}

fn check_task(problems: &mut Problems, i: usize, task: &TaskSpec) {
    let place = |key: &str| format!("tasks[{i}].{key}");
    if !is_task_id(task.id.as_str()) {
        problems.add(
            place("id"),
            format!(
                "{:?} is not an id: use letters, digits, '.', '_' and '-', starting with a letter \
                 or digit, at most 64 characters",
                task.id.as_str()
            ),
        );
    }
    match (&task.run, task.agent) {
        (Some(run), _) if run.is_empty() => problems.add(place("run"), "the command is empty"),
        (Some(_), Some(agent)) if agent != AgentName::Command => problems.add(
            place("run"),
            format!("only the agent `command` runs a command, and the agent here is `{agent}`"),
        ),
        (None, Some(AgentName::Command)) => {
            problems.add(place("run"), "the agent `command` needs a command to run");
        }
        (None, _) if task.instructions.trim().is_empty() => {
            problems.add(place("instructions"), "say what the task is to do");
        }
        _ => {}
    }
    for (j, pattern) in task.writes.iter().enumerate() {
        if let Err(message) = check_write(pattern) {
            problems.add(format!("tasks[{i}].writes[{j}]"), message);
        }
    }
    check_gates(problems, &place("gates"), &task.gates);
    if task.timeout.is_some_and(|t| t.0 == 0) {
        problems.add(place("timeout"), "must be longer than nothing");
    }
    if task.candidates.is_some_and(|n| n != 1) {
        problems.add(place("candidates"), "only 1 is supported");
    }
    for name in task.env.keys() {
        if let Some(why) = forbidden_env(name) {
            problems.add(format!("tasks[{i}].env.{name}"), why);
        }
    }
}

fn check_edges(
    problems: &mut Problems,
    i: usize,
    task: &TaskSpec,
    known: &BTreeMap<&TaskId, usize>,
) {
    for (j, parent) in task.depends_on.iter().enumerate() {
        let place = format!("tasks[{i}].dependsOn[{j}]");
        if !known.contains_key(parent) {
            let near = known
                .keys()
                .map(|id| (distance(id.as_str(), parent.as_str()), *id))
                .filter(|(distance, id)| *distance <= 2.max(id.as_str().len() / 3))
                .min();
            let hint = near.map(|(_, id)| format!("; did you mean {:?}?", id.as_str()));
            problems.add(
                place,
                format!(
                    "there is no task {:?}{}",
                    parent.as_str(),
                    hint.unwrap_or_default()
                ),
            );
        } else if task.depends_on[..j].contains(parent) {
            problems.add(place, format!("{:?} is named twice", parent.as_str()));
        }
    }
}

fn check_gates(problems: &mut Problems, place: &str, gates: &[Command]) {
    for (i, gate) in gates.iter().enumerate() {
        if gate.is_empty() {
            problems.add(format!("{place}[{i}]"), "the command is empty");
        }
    }
}

fn describe_cycle(cycle: &[TaskId]) -> String {
    let mut names: Vec<&str> = cycle.iter().map(TaskId::as_str).collect();
    names.extend(cycle.first().map(TaskId::as_str));
    // An edge points from a task to the one that waits for it, so the walk reads "before".
    format!("these tasks wait for each other: {}", names.join(" → "))
}

fn is_task_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// A path or glob must stay inside the workspace.
fn check_write(pattern: &str) -> Result<(), String> {
    // A folder is often written with a slash at its end.
    RelPath::new(pattern.strip_suffix('/').unwrap_or(pattern))
        .map(|_| ())
        .map_err(|error| format!("{error}"))
}

/// Variables with which a plan could steer the programs around it instead of its own command.
fn forbidden_env(name: &str) -> Option<String> {
    const EXACT: [&str; 8] = [
        "PATH",
        "HOME",
        "SHELL",
        "USER",
        "LOGNAME",
        "NODE_OPTIONS",
        "BASH_ENV",
        "ENV",
    ];
    const PREFIXES: [&str; 6] = ["LD_", "DYLD_", "GIT_", "ANTHROPIC_", "CLAUDE", "XDG_"];
    let well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !well_formed {
        return Some(format!(
            "{name:?} is not the name of an environment variable"
        ));
    }
    let upper = name.to_ascii_uppercase();
    let proxy = upper.ends_with("_PROXY");
    (proxy || EXACT.contains(&upper.as_str()) || PREFIXES.iter().any(|p| upper.starts_with(p)))
        .then(|| "a plan may not set this variable; set it for the daemon if it is needed".into())
}

/// Levenshtein distance; ids are short.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check_problems(tasks: Vec<TaskSpec>, expected: &Expect) {
        let plan = Plan {
            tasks,
            ..Plan::default()
        };
        let problems: Vec<String> = check(&plan)
            .err()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect();
        expected.assert_eq(&problems.join("\n"));
    }

    fn task(id: &str, parents: &[&str]) -> TaskSpec {
        TaskSpec {
            depends_on: parents.iter().map(|&p| p.into()).collect(),
            ..TaskSpec::new(id, "do it")
        }
    }

    #[test]
    fn a_good_plan_has_no_problems() {
        check_problems(vec![task("a", &[]), task("b", &["a"])], &expect![""]);
    }

    #[test]
    fn an_empty_plan_is_refused() {
        check_problems(vec![], &expect!["tasks: a plan needs at least one task"]);
    }

    #[test]
    fn edges_are_checked() {
        check_problems(
            vec![
                task("errors", &[]),
                task("fmt", &["error", "errors", "errors"]),
            ],
            &expect![[r#"
                tasks[1].dependsOn[0]: there is no task "error"; did you mean "errors"?
                tasks[1].dependsOn[2]: "errors" is named twice"#]],
        );
    }

    #[test]
    fn cycles_name_their_tasks() {
        check_problems(
            vec![task("a", &["b"]), task("b", &["a"])],
            &expect!["tasks: these tasks wait for each other: a → b → a"],
        );
    }

    #[test]
    fn ids_are_unique_and_plain() {
        check_problems(
            vec![task("a", &[]), task("a", &[]), task("$(touch pwn)", &[])],
            &expect![[r#"
                tasks[1].id: "a" is already the id of tasks[0]
                tasks[2].id: "$(touch pwn)" is not an id: use letters, digits, '.', '_' and '-', starting with a letter or digit, at most 64 characters"#]],
        );
    }

    #[test]
    fn tasks_stay_inside_the_workspace_and_the_environment() {
        let mut bad = task("a", &[]);
        bad.writes = vec!["src/".into(), "../x".into(), "/etc/passwd".into()];
        bad.env = [("LD_PRELOAD", "x"), ("OK", "1"), ("https_proxy", "x")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into_iter()
            .collect();
        bad.candidates = Some(3);
        bad.gates = vec![Command::Shell("  ".into())];
        check_problems(
            vec![bad],
            &expect![[r#"
                tasks[0].writes[1]: "../x" has an empty, "." or ".." part; give it relative to the workspace
                tasks[0].writes[2]: "/etc/passwd" is absolute; give it relative to the workspace
                tasks[0].gates[0]: the command is empty
                tasks[0].candidates: only 1 is supported
                tasks[0].env.LD_PRELOAD: a plan may not set this variable; set it for the daemon if it is needed
                tasks[0].env.https_proxy: a plan may not set this variable; set it for the daemon if it is needed"#]],
        );
    }

    #[test]
    fn commands_and_instructions_fit_their_agents() {
        let mut silent = task("a", &[]);
        silent.instructions.clear();
        let mut command = task("b", &[]);
        command.agent = Some(AgentName::Command);
        let mut both = task("c", &[]);
        both.agent = Some(AgentName::Native);
        both.run = Some(Command::Argv(vec!["make".into()]));
        check_problems(
            vec![silent, command, both],
            &expect![[r#"
                tasks[0].instructions: say what the task is to do
                tasks[1].run: the agent `command` needs a command to run
                tasks[2].run: only the agent `command` runs a command, and the agent here is `native`"#]],
        );
    }
}
