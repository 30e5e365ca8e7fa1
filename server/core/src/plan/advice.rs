//! What is not wrong with a plan, and worth a look.

use claudecluster_protocol::{Plan, TaskId};

use super::{PlanPath, PlanProblem, PlanProblemKind};
use crate::{graph::TaskGraph, write_patterns};

/// Collects the warnings about a plan. Who may write the same file is only told of a plan that has
/// a graph.
pub(super) fn collect_advice(plan: &Plan, graph: Option<&TaskGraph>) -> Vec<PlanProblem> {
    let mut found = Vec::new();
    if let Some(graph) = graph {
        find_overlaps(plan, graph, &mut found);
    }
    let has_gates = !plan.gates.is_empty() || plan.tasks.iter().any(|task| !task.gates.is_empty());
    if !plan.tasks.is_empty() && !has_gates {
        found.push(PlanProblem {
            place: PlanPath::from_key("gates"),
            kind: PlanProblemKind::NoGates,
            message: "no gates: neither the plan nor its tasks check the result".into(),
            related: Vec::new(),
            meant: None,
        });
    }
    found
}

/// Tasks that may write the same file while neither waits for the other. They do not run at once, but
/// which of them comes first is left to chance.
fn find_overlaps(plan: &Plan, graph: &TaskGraph, found: &mut Vec<PlanProblem>) {
    for (i, task) in plan.tasks.iter().enumerate() {
        if task.writes.is_empty() {
            continue;
        }
        let (above, below) = (graph.ancestors(&task.id), graph.descendants(&task.id));
        let ordered =
            |other: &TaskId| *other == task.id || above.contains(other) || below.contains(other);
        let earlier: Vec<_> = plan.tasks[..i]
            .iter()
            .enumerate()
            .filter(|(_, other)| {
                !ordered(&other.id) && write_patterns::may_write_same_file(task, other)
            })
            .collect();
        for (j, pattern) in task.writes.iter().enumerate() {
            let mut related = Vec::new();
            let mut names = Vec::new();
            for (n, other) in &earlier {
                let meets = |theirs: &String| write_patterns::patterns_meet(pattern, theirs);
                if let Some(at) = other.writes.iter().position(meets) {
                    let place = PlanPath::of_task(*n).join_key("writes").join_index(at);
                    related.push((place, format!("{} also writes here", other.id)));
                    names.push(other.id.as_str());
                }
            }
            if !names.is_empty() {
                let message = format!(
                    "{} and {} may write {pattern} in any order; no dependency orders them",
                    names.join(", "),
                    task.id
                );
                found.push(PlanProblem {
                    place: PlanPath::of_task(i).join_key("writes").join_index(j),
                    kind: PlanProblemKind::Overlap,
                    message,
                    related,
                    meant: None,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{TaskSpec, plan::Command};
    use expect_test::{Expect, expect};

    use super::super::inspect_plan;
    use super::*;

    #[track_caller]
    fn check(tasks: Vec<TaskSpec>, gates: &[&str], expected: &Expect) {
        let plan = Plan {
            tasks,
            gates: gates.iter().map(|&g| Command::Shell(g.into())).collect(),
            ..Plan::default()
        };
        let told: Vec<_> = inspect_plan(&plan, &Default::default())
            .iter()
            .map(|problem| {
                let error = if problem.kind.is_error() {
                    "error "
                } else {
                    ""
                };
                let related = problem.related.iter().map(|(place, _)| place.to_string());
                let related: Vec<_> = related.collect();
                format!("{error}{problem} [{}]", related.join(", "))
            })
            .collect();
        expected.assert_eq(&told.join("\n"));
    }

    fn task(id: &str, parents: &[&str], writes: &[&str]) -> TaskSpec {
        TaskSpec {
            depends_on: parents.iter().map(|&p| p.into()).collect(),
            writes: writes.iter().map(|&w| w.to_owned()).collect(),
            ..TaskSpec::new(id, "do it")
        }
    }

    #[test]
    fn tasks_without_an_order_that_write_the_same_file_are_told() {
        check(
            vec![
                task("a", &[], &["src/a.rs"]),
                task("b", &[], &["docs/", "src/*.rs"]),
                task("c", &["a", "b"], &["src/a.rs"]),
                task("d", &[], &["src/a.rs"]),
            ],
            &["make"],
            &expect![[r#"
                tasks[1].writes[1]: a and b may write src/*.rs in any order; no dependency orders them [tasks[0].writes[0]]
                tasks[3].writes[0]: a, b, c and d may write src/a.rs in any order; no dependency orders them [tasks[0].writes[0], tasks[1].writes[1], tasks[2].writes[0]]"#]],
        );
    }

    #[test]
    fn an_order_is_an_order_however_long() {
        let chain = vec![
            task("a", &[], &["x"]),
            task("b", &["a"], &[]),
            task("c", &["b"], &["x"]),
        ];
        check(chain, &["make"], &expect![""]);
    }

    #[test]
    fn a_plan_without_gates_is_told_beside_its_errors() {
        check(
            vec![task("a", &["b"], &["x"]), task("b", &["a"], &["x"])],
            &[],
            &expect![[r"
                error tasks[0].dependsOn[0]: circular dependency: a → b → a [tasks[1].dependsOn[0]]
                gates: no gates: neither the plan nor its tasks check the result []"]],
        );
        let mut checked = task("a", &[], &[]);
        checked.gates = vec![Command::Shell("make".into())];
        check(vec![checked], &[], &expect![""]);
    }
}
