//! What makes a plan valid, and what is worth a second look in one. Every problem names its place, so
//! that a person can find it, an editor can mark it and a planner can repair it.

mod advice;
mod path;

use std::collections::BTreeMap;

use claudecluster_protocol::{
    Plan, RelPath, TaskId, TaskSpec,
    agent::{AgentCapabilities, AgentCatalog, AgentInput},
    plan::Command,
};

pub use self::path::{PlanPath, PlanPathStep};
use crate::graph::TaskGraph;

/// The most tasks a plan may have.
pub const MAX_TASKS: usize = 500;

/// One thing that is wrong with a plan, or worth a look.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {message}")]
pub struct PlanProblem {
    /// The place of the problem. A key that is missing is named at the place it would have.
    pub place: PlanPath,
    /// The kind of problem, for programs.
    pub kind: PlanProblemKind,
    /// A description of the problem and of a correct value.
    pub message: String,
    /// The other places it is about, each with what it has to do with it.
    pub related: Vec<(PlanPath, String)>,
    /// The value that was probably meant.
    pub meant: Option<String>,
}

/// Names the kind of a problem.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PlanProblemKind {
    /// There is no task, or there are too many.
    TaskCount,
    /// A number or a time is out of its range.
    OutOfRange,
    /// Two tasks have the same id.
    DuplicateId,
    /// An id has characters that ids do not have.
    InvalidId,
    /// A task waits for one that is not there.
    UnknownDependency,
    /// A task names one it waits for twice.
    RepeatedDependency,
    /// A task waits for itself.
    SelfDependency,
    /// Tasks wait for each other. The place is one of the edges, the related ones are the others.
    Cycle,
    /// An agent is not told what to do.
    MissingInstructions,
    /// The agent `command` has nothing to run.
    MissingCommand,
    /// Another agent has something to run.
    UnusedCommand,
    /// A command is empty.
    EmptyCommand,
    /// A path leads out of the workspace.
    OutsideWorkspace,
    /// A variable is not a plan's to set.
    ForbiddenVariable,
    /// Two tasks may write the same file, and neither waits for the other.
    Overlap,
    /// Nothing checks the result.
    NoGates,
}

impl PlanProblemKind {
    /// Returns whether a plan with this problem is refused.
    pub fn is_error(self) -> bool {
        !matches!(self, Self::Overlap | Self::NoGates)
    }

    /// Returns a name for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskCount => "task-count",
            Self::OutOfRange => "out-of-range",
            Self::DuplicateId => "duplicate-id",
            Self::InvalidId => "invalid-id",
            Self::UnknownDependency => "unknown-dependency",
            Self::RepeatedDependency => "repeated-dependency",
            Self::SelfDependency => "self-dependency",
            Self::Cycle => "cycle",
            Self::MissingInstructions => "missing-instructions",
            Self::MissingCommand => "missing-command",
            Self::UnusedCommand => "unused-command",
            Self::EmptyCommand => "empty-command",
            Self::OutsideWorkspace => "outside-workspace",
            Self::ForbiddenVariable => "forbidden-variable",
            Self::Overlap => "overlap",
            Self::NoGates => "no-gates",
        }
    }
}

/// Everything that is wrong with a plan or worth a look: errors first, in the order of the plan.
pub fn inspect_plan(plan: &Plan, agents: &AgentCatalog) -> Vec<PlanProblem> {
    match check_plan(plan, agents) {
        Ok(graph) => advice::collect_advice(plan, Some(&graph)),
        Err(mut problems) => {
            problems.extend(advice::collect_advice(
                plan,
                TaskGraph::new(plan).ok().as_ref(),
            ));
            problems
        }
    }
}

/// Checks a plan and builds its graph.
///
/// # Errors
///
/// Every problem found, in the order of the plan.
pub fn check_plan(plan: &Plan, agents: &AgentCatalog) -> Result<TaskGraph, Vec<PlanProblem>> {
    let mut problems = PlanProblemList::default();
    if plan.tasks.is_empty() {
        let message = "a plan needs at least one task";
        problems.add_problem(
            PlanPath::from_key("tasks"),
            PlanProblemKind::TaskCount,
            message,
        );
    }
    if plan.tasks.len() > MAX_TASKS {
        let message = format!("{} tasks; the limit is {MAX_TASKS}", plan.tasks.len());
        problems.add_problem(
            PlanPath::from_key("tasks"),
            PlanProblemKind::TaskCount,
            message,
        );
    }
    if plan.max_parallel == Some(0) {
        let place = PlanPath::from_key("maxParallel");
        problems.add_problem(place, PlanProblemKind::OutOfRange, "must be at least 1");
    }
    check_gates(&mut problems, &PlanPath::from_key("gates"), &plan.gates);
    let mut seen: BTreeMap<&TaskId, usize> = BTreeMap::new();
    for (i, task) in plan.tasks.iter().enumerate() {
        if let Some(&first) = seen.get(&task.id) {
            let message = format!(
                "duplicate task id {:?}, also used by tasks[{first}]",
                task.id.as_str()
            );
            let other = PlanPath::of_task(first).join_key("id");
            problems.add_problem(
                PlanPath::of_task(i).join_key("id"),
                PlanProblemKind::DuplicateId,
                message,
            );
            problems.about_last(vec![(other, "the first task with this id".into())], None);
        } else {
            seen.insert(&task.id, i);
        }
        check_task(&mut problems, i, task, agents);
    }
    for (i, task) in plan.tasks.iter().enumerate() {
        check_edges(&mut problems, i, task, &seen);
    }
    let graph = TaskGraph::new(plan);
    for cycle in graph.as_ref().err().into_iter().flatten() {
        check_cycle(&mut problems, plan, cycle, &seen);
    }
    match graph {
        Ok(graph) if problems.0.is_empty() => Ok(graph),
        _ => Err(problems.0),
    }
}

#[derive(Default)]
struct PlanProblemList(Vec<PlanProblem>);

impl PlanProblemList {
    fn add_problem(&mut self, place: PlanPath, kind: PlanProblemKind, message: impl Into<String>) {
        self.0.push(PlanProblem {
            place,
            kind,
            message: message.into(),
            related: Vec::new(),
            meant: None,
        });
    }

    /// Adds related places to the problem that was added last.
    fn about_last(&mut self, related: Vec<(PlanPath, String)>, meant: Option<String>) {
        if let Some(problem) = self.0.last_mut() {
            problem.related = related;
            problem.meant = meant;
        }
    }
}

fn check_task(problems: &mut PlanProblemList, i: usize, task: &TaskSpec, agents: &AgentCatalog) {
    let place = |key: &str| PlanPath::of_task(i).join_key(key);
    if !is_task_id(task.id.as_str()) {
        problems.add_problem(
            place("id"),
            PlanProblemKind::InvalidId,
            format!(
                "invalid task id {:?}: use letters, digits, '.', '_' and '-', starting with a letter \
                 or digit; at most 64 characters",
                task.id.as_str()
            ),
        );
    }
    let runs_commands = |one: AgentCapabilities| one.input == AgentInput::Command;
    match (&task.run, task.agent) {
        (Some(run), _) if run.is_empty() => {
            let message = "the command is empty";
            problems.add_problem(place("run"), PlanProblemKind::EmptyCommand, message);
        }
        (Some(_), Some(agent)) if !runs_commands(agents.get(agent)) => {
            let message = format!(
                "`run` needs the agent {}, but this task uses `{agent}`",
                agents.list_names(runs_commands)
            );
            problems.add_problem(place("run"), PlanProblemKind::UnusedCommand, message);
        }
        (None, Some(agent)) if runs_commands(agents.get(agent)) => {
            let message = format!("the agent `{agent}` needs a `run` key");
            problems.add_problem(place("run"), PlanProblemKind::MissingCommand, message);
        }
        (None, _) if task.instructions.trim().is_empty() => {
            let message = "describe the task in `instructions`";
            problems.add_problem(
                place("instructions"),
                PlanProblemKind::MissingInstructions,
                message,
            );
        }
        _ => {}
    }
    for (j, pattern) in task.writes.iter().enumerate() {
        if let Err(message) = check_write(pattern) {
            let place = place("writes").join_index(j);
            problems.add_problem(place, PlanProblemKind::OutsideWorkspace, message);
        }
    }
    check_gates(problems, &place("gates"), &task.gates);
    if task.timeout.is_some_and(|t| t.0 == 0) {
        let message = "must be greater than zero";
        problems.add_problem(place("timeout"), PlanProblemKind::OutOfRange, message);
    }
    if task.candidates.is_some_and(|n| n != 1) {
        let message = "only 1 is supported";
        problems.add_problem(place("candidates"), PlanProblemKind::OutOfRange, message);
    }
    for name in task.env.keys() {
        if let Some(why) = forbidden_env(name) {
            let place = place("env").join_key(name);
            problems.add_problem(place, PlanProblemKind::ForbiddenVariable, why);
        }
    }
}

fn check_edges(
    problems: &mut PlanProblemList,
    i: usize,
    task: &TaskSpec,
    known: &BTreeMap<&TaskId, usize>,
) {
    for (j, parent) in task.depends_on.iter().enumerate() {
        let place = PlanPath::of_task(i).join_key("dependsOn").join_index(j);
        let name = parent.as_str();
        if !known.contains_key(parent) {
            let meant = nearest_word(name, known.keys().map(|id| id.as_str())).map(str::to_owned);
            let hint = meant.as_ref().map(|id| format!("; did you mean {id:?}?"));
            let message = format!("there is no task {name:?}{}", hint.unwrap_or_default());
            problems.add_problem(place, PlanProblemKind::UnknownDependency, message);
            problems.about_last(Vec::new(), meant);
        } else if *parent == task.id {
            let message = format!("{name:?} depends on itself");
            problems.add_problem(place, PlanProblemKind::SelfDependency, message);
        } else if task.depends_on[..j].contains(parent) {
            let message = format!("{name:?} is listed twice");
            problems.add_problem(place, PlanProblemKind::RepeatedDependency, message);
        }
    }
}

/// Names a cycle at the first of its edges in the plan, with the others.
fn check_cycle(
    problems: &mut PlanProblemList,
    plan: &Plan,
    cycle: &[TaskId],
    known: &BTreeMap<&TaskId, usize>,
) {
    if cycle.len() < 2 {
        // Told where its only edge was checked.
        return;
    }
    let next = cycle.iter().cycle().skip(1);
    let mut edges: Vec<(usize, usize, String)> = cycle
        .iter()
        .zip(next)
        .filter_map(|(before, after)| {
            let &task = known.get(after)?;
            let parents = &plan.tasks[task].depends_on;
            let edge = parents.iter().position(|parent| parent == before)?;
            Some((task, edge, format!("{after} depends on {before}")))
        })
        .collect();
    edges.sort();
    let mut edges = edges.into_iter().map(|(task, edge, what)| {
        (
            PlanPath::of_task(task)
                .join_key("dependsOn")
                .join_index(edge),
            what,
        )
    });
    let (place, _) = edges
        .next()
        .unwrap_or_else(|| (PlanPath::from_key("tasks"), String::new()));
    problems.add_problem(place, PlanProblemKind::Cycle, describe_cycle(cycle));
    problems.about_last(edges.collect(), None);
}

fn check_gates(problems: &mut PlanProblemList, place: &PlanPath, gates: &[Command]) {
    for (i, gate) in gates.iter().enumerate() {
        if gate.is_empty() {
            let place = place.clone().join_index(i);
            problems.add_problem(place, PlanProblemKind::EmptyCommand, "the command is empty");
        }
    }
}

fn describe_cycle(cycle: &[TaskId]) -> String {
    let mut names: Vec<&str> = cycle.iter().map(TaskId::as_str).collect();
    names.extend(cycle.first().map(TaskId::as_str));
    // An edge points from a task to the one that waits for it, so the walk reads "before".
    format!("circular dependency: {}", names.join(" → "))
}

fn is_task_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Checks that a path or glob stays inside the workspace.
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
        return Some(format!("{name:?} is not a valid environment variable name"));
    }
    let upper = name.to_ascii_uppercase();
    let proxy = upper.ends_with("_PROXY");
    (proxy || EXACT.contains(&upper.as_str()) || PREFIXES.iter().any(|p| upper.starts_with(p)))
        .then(|| {
            "a plan cannot set this variable; pass it to workers with the `env.pass` setting".into()
        })
}

/// Returns the one of `candidates` that `word` is probably a misspelling of.
pub fn nearest_word<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (edit_distance(candidate, word), candidate))
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.len() / 3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance; ids and keys are short.
fn edit_distance(a: &str, b: &str) -> usize {
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
    use claudecluster_protocol::plan::AgentName;
    use expect_test::{Expect, expect};

    use super::*;

    /// One agent that runs commands, and others that follow instructions.
    fn agents() -> AgentCatalog {
        AgentCatalog::new(|agent| AgentCapabilities {
            input: match agent {
                AgentName::Command => AgentInput::Command,
                _ => AgentInput::Instructions,
            },
            ..AgentCapabilities::default()
        })
    }

    #[track_caller]
    fn check_problems(tasks: Vec<TaskSpec>, expected: &Expect) {
        let plan = Plan {
            tasks,
            ..Plan::default()
        };
        let problems: Vec<String> = check_plan(&plan, &agents())
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
                tasks[1].dependsOn[2]: "errors" is listed twice"#]],
        );
    }

    #[test]
    fn cycles_name_their_tasks() {
        check_problems(
            vec![task("a", &["b"]), task("b", &["a"])],
            &expect!["tasks[0].dependsOn[0]: circular dependency: a → b → a"],
        );
    }

    #[test]
    fn a_cycle_names_every_edge_and_a_task_that_waits_for_itself_is_told_once() {
        let plan = Plan {
            tasks: vec![
                task("x", &["x"]),
                task("a", &["x", "c"]),
                task("b", &["a"]),
                task("c", &["b"]),
            ],
            ..Plan::default()
        };
        let problems = check_plan(&plan, &agents()).unwrap_err();
        let told: Vec<_> = problems
            .iter()
            .map(|problem| {
                let related: Vec<_> = problem
                    .related
                    .iter()
                    .map(|(place, what)| format!("{place}: {what}"))
                    .collect();
                format!(
                    "{} {problem} [{}]",
                    problem.kind.as_str(),
                    related.join(", ")
                )
            })
            .collect();
        expect![[r#"
            self-dependency tasks[0].dependsOn[0]: "x" depends on itself []
            cycle tasks[1].dependsOn[1]: circular dependency: a → b → c → a [tasks[2].dependsOn[0]: b depends on a, tasks[3].dependsOn[0]: c depends on b]"#]]
        .assert_eq(&told.join("\n"));
    }

    #[test]
    fn ids_are_unique_and_plain() {
        check_problems(
            vec![task("a", &[]), task("a", &[]), task("$(touch pwn)", &[])],
            &expect![[r#"
                tasks[1].id: duplicate task id "a", also used by tasks[0]
                tasks[2].id: invalid task id "$(touch pwn)": use letters, digits, '.', '_' and '-', starting with a letter or digit; at most 64 characters"#]],
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
                tasks[0].writes[1]: "../x" has an empty, "." or ".." part; use a plain path relative to the workspace
                tasks[0].writes[2]: "/etc/passwd" is absolute; use a path relative to the workspace
                tasks[0].gates[0]: the command is empty
                tasks[0].candidates: only 1 is supported
                tasks[0].env.LD_PRELOAD: a plan cannot set this variable; pass it to workers with the `env.pass` setting
                tasks[0].env.https_proxy: a plan cannot set this variable; pass it to workers with the `env.pass` setting"#]],
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
                tasks[0].instructions: describe the task in `instructions`
                tasks[1].run: the agent `command` needs a `run` key
                tasks[2].run: `run` needs the agent `command`, but this task uses `native`"#]],
        );
    }
}
