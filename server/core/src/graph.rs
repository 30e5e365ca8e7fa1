//! The task graph: what must succeed before what.

use std::collections::{BTreeMap, HashMap, HashSet};

use claudecluster_protocol::{Plan, TaskId};
use petgraph::{
    Direction,
    algo::{tarjan_scc, toposort},
    graph::{DiGraph, NodeIndex},
};

/// A plan's dependencies as an acyclic graph. Edges point from a task to those that wait for it.
#[derive(Clone, Debug)]
pub struct TaskGraph {
    graph: DiGraph<TaskId, ()>,
    nodes: HashMap<TaskId, NodeIndex>,
    /// Tasks in a topological order that keeps the plan's order among equals.
    order: Vec<TaskId>,
    /// For each task the number of tasks on the longest chain that starts with it.
    depth: HashMap<TaskId, u32>,
}

impl TaskGraph {
    /// Builds the graph of a plan.
    ///
    /// Edges to unknown tasks are left out ([`crate::plan::check_plan`] reports them).
    ///
    /// # Errors
    ///
    /// The tasks of each cycle, in the order one would walk it.
    pub fn new(plan: &Plan) -> Result<Self, Vec<Vec<TaskId>>> {
        let mut graph = DiGraph::with_capacity(plan.tasks.len(), plan.tasks.len());
        let mut nodes = HashMap::with_capacity(plan.tasks.len());
        for task in &plan.tasks {
            nodes
                .entry(task.id.clone())
                .or_insert_with(|| graph.add_node(task.id.clone()));
        }
        for task in &plan.tasks {
            for parent in &task.depends_on {
                if let Some(&from) = nodes.get(parent) {
                    graph.update_edge(from, nodes[&task.id], ());
                }
            }
        }
        if toposort(&graph, None).is_err() {
            return Err(find_cycles(&graph));
        }
        let order = plan_order(plan, &graph, &nodes);
        let mut depth = HashMap::with_capacity(order.len());
        for id in order.iter().rev() {
            let below = graph
                .neighbors_directed(nodes[id], Direction::Outgoing)
                .map(|child| depth.get(&graph[child]).copied().unwrap_or(0))
                .max();
            depth.insert(id.clone(), below.unwrap_or(0) + 1);
        }
        Ok(Self {
            graph,
            nodes,
            order,
            depth,
        })
    }

    /// Every task, parents before children.
    pub fn order(&self) -> &[TaskId] {
        &self.order
    }

    /// Number of tasks on the longest chain that starts with `task`, itself included.
    pub fn critical_path(&self, task: &TaskId) -> u32 {
        self.depth.get(task).copied().unwrap_or(0)
    }

    /// Returns the tasks that wait for `task`.
    pub fn children<'a>(&'a self, task: &TaskId) -> impl Iterator<Item = &'a TaskId> + use<'a> {
        self.neighbours(task, Direction::Outgoing)
    }

    /// Returns the tasks that `task` waits for.
    pub fn parents<'a>(&'a self, task: &TaskId) -> impl Iterator<Item = &'a TaskId> + use<'a> {
        self.neighbours(task, Direction::Incoming)
    }

    /// Everything `task` waits for, directly or not.
    pub fn ancestors(&self, task: &TaskId) -> HashSet<TaskId> {
        self.reachable_from(task, Direction::Incoming)
    }

    /// Everything that waits for `task`, directly or not.
    pub fn descendants(&self, task: &TaskId) -> HashSet<TaskId> {
        self.reachable_from(task, Direction::Outgoing)
    }

    fn neighbours<'a>(
        &'a self,
        task: &TaskId,
        direction: Direction,
    ) -> impl Iterator<Item = &'a TaskId> + use<'a> {
        self.nodes
            .get(task)
            .into_iter()
            .flat_map(move |&node| self.graph.neighbors_directed(node, direction))
            .map(|node| &self.graph[node])
    }

    fn reachable_from(&self, task: &TaskId, direction: Direction) -> HashSet<TaskId> {
        let mut seen = HashSet::new();
        let mut stack: Vec<&TaskId> = self.neighbours(task, direction).collect();
        while let Some(next) = stack.pop() {
            if seen.insert(next.clone()) {
                stack.extend(self.neighbours(next, direction));
            }
        }
        seen
    }
}

/// Orders tasks by Kahn's algorithm. The task that is first in the plan is always taken first, so
/// that people see the order they wrote wherever the dependencies allow it.
fn plan_order(
    plan: &Plan,
    graph: &DiGraph<TaskId, ()>,
    nodes: &HashMap<TaskId, NodeIndex>,
) -> Vec<TaskId> {
    let place: HashMap<NodeIndex, usize> = plan
        .tasks
        .iter()
        .enumerate()
        .rev()
        .map(|(i, task)| (nodes[&task.id], i))
        .collect();
    let mut waiting: BTreeMap<NodeIndex, usize> = graph
        .node_indices()
        .map(|n| (n, graph.neighbors_directed(n, Direction::Incoming).count()))
        .collect();
    let mut free: std::collections::BTreeSet<(usize, NodeIndex)> = waiting
        .iter()
        .filter(|&(_, &n)| n == 0)
        .map(|(&n, _)| (place[&n], n))
        .collect();
    let mut order = Vec::with_capacity(graph.node_count());
    while let Some((_, node)) = free.pop_first() {
        order.push(graph[node].clone());
        for child in graph.neighbors_directed(node, Direction::Outgoing) {
            let left = waiting.entry(child).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                free.insert((place[&child], child));
            }
        }
    }
    order
}

/// Returns one walkable cycle for each strongly connected group.
fn find_cycles(graph: &DiGraph<TaskId, ()>) -> Vec<Vec<TaskId>> {
    tarjan_scc(graph)
        .into_iter()
        .filter(|group| {
            group.len() > 1
                || group
                    .iter()
                    .any(|&node| graph.find_edge(node, node).is_some())
        })
        .map(|group| {
            // Every node of the group has a successor in the group, so the walk comes back.
            let members: HashSet<NodeIndex> = group.iter().copied().collect();
            let mut walk: Vec<NodeIndex> = Vec::new();
            let mut node = group.iter().copied().min().unwrap_or_default();
            while !walk.contains(&node) {
                walk.push(node);
                let next = graph.neighbors(node).filter(|n| members.contains(n)).min();
                node = next.unwrap_or(node);
            }
            walk.into_iter()
                .skip_while(|&n| n != node)
                .map(|n| graph[n].clone())
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::TaskSpec;
    use proptest::prelude::*;

    use super::*;

    fn plan(edges: &[(&str, &[&str])]) -> Plan {
        let tasks = edges
            .iter()
            .map(|(id, parents)| TaskSpec {
                depends_on: parents.iter().map(|&p| p.into()).collect(),
                ..TaskSpec::new(*id, "do it")
            })
            .collect();
        Plan {
            tasks,
            ..Plan::default()
        }
    }

    #[test]
    fn a_diamond_is_ordered_and_measured() {
        let graph = TaskGraph::new(&plan(&[
            ("d", &["b", "c"]),
            ("c", &["a"]),
            ("b", &["a"]),
            ("a", &[]),
        ]))
        .unwrap();
        let order: Vec<&str> = graph.order().iter().map(TaskId::as_str).collect();
        assert_eq!(order, ["a", "c", "b", "d"], "plan order among equals");
        assert_eq!(graph.critical_path(&"a".into()), 3);
        assert_eq!(graph.critical_path(&"d".into()), 1);
        assert_eq!(graph.ancestors(&"d".into()).len(), 3);
        assert_eq!(graph.descendants(&"a".into()).len(), 3);
    }

    #[test]
    fn cycles_are_named_in_walking_order() {
        let found = TaskGraph::new(&plan(&[
            ("a", &["c"]),
            ("b", &["a"]),
            ("c", &["b"]),
            ("x", &["x"]),
            ("y", &["a"]),
        ]))
        .unwrap_err();
        let named: Vec<Vec<&str>> = found
            .iter()
            .map(|cycle| cycle.iter().map(TaskId::as_str).collect())
            .collect();
        assert!(named.contains(&vec!["a", "b", "c"]), "{named:?}");
        assert!(named.contains(&vec!["x"]), "{named:?}");
        assert_eq!(named.len(), 2);
    }

    proptest! {
        /// In any acyclic plan every task comes after everything it waits for, and lies on a chain at
        /// least one longer than that of each task waiting for it.
        #[test]
        fn order_respects_every_edge(edges in proptest::collection::vec((0usize..20, 0usize..20), 0..60)) {
            let tasks = (0..20).map(|i| TaskSpec {
                depends_on: edges.iter()
                    .filter(|(from, to)| from.max(to) == &i && from != to)
                    .map(|(from, to)| TaskId::new(format!("t{}", from.min(to))))
                    .collect(),
                ..TaskSpec::new(format!("t{i}").as_str(), "do it")
            }).rev().collect();
            let plan = Plan { tasks, ..Plan::default() };
            let graph = TaskGraph::new(&plan).unwrap();
            let place = |id: &TaskId| graph.order().iter().position(|t| t == id).unwrap();
            prop_assert_eq!(graph.order().len(), 20);
            for task in &plan.tasks {
                for parent in &task.depends_on {
                    prop_assert!(place(parent) < place(&task.id));
                    prop_assert!(graph.critical_path(parent) > graph.critical_path(&task.id));
                }
            }
        }
    }
}
