//! The hosts of the network that a goal's programs asked for.

use std::collections::BTreeMap;

use claudecluster_protocol::{
    TaskId,
    network::{HostTraffic, NAMED_HOSTS},
};

/// Counts of one port of one host, by its address.
type HostCounts = BTreeMap<(String, u16), HostTraffic>;

/// The connections of a goal, by task. `None` stands for the planner and the goal's gates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GoalNetwork(BTreeMap<Option<TaskId>, HostCounts>);

impl GoalNetwork {
    pub(super) fn add(&mut self, task: Option<&TaskId>, hosts: &[HostTraffic]) {
        add_hosts(self.0.entry(task.cloned()).or_default(), hosts.iter());
    }

    /// Returns the hosts that all programs of the goal asked for, in the order of names.
    pub fn total(&self) -> Vec<HostTraffic> {
        let mut all = HostCounts::new();
        add_hosts(&mut all, self.0.values().flat_map(BTreeMap::values));
        all.into_values().collect()
    }

    /// Returns the hosts that the programs of one task asked for.
    pub fn of_task(&self, task: &TaskId) -> Vec<HostTraffic> {
        let hosts = self.0.get(&Some(task.clone()));
        hosts
            .into_iter()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect()
    }
}

/// Adds counts. Hosts beyond the limit are in the journal only.
fn add_hosts<'a>(counts: &mut HostCounts, hosts: impl Iterator<Item = &'a HostTraffic>) {
    for host in hosts {
        let key = (host.host.clone(), host.port);
        if counts.len() < NAMED_HOSTS || counts.contains_key(&key) {
            let new = || HostTraffic::new(host.host.clone(), host.port);
            counts.entry(key).or_insert_with(new).add_counts(host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_attempts_and_tasks() {
        let used = |host: &str, allowed, denied| HostTraffic {
            allowed,
            denied,
            sent: allowed,
            received: 2 * allowed,
            ..HostTraffic::new(host, 443)
        };
        let (one, two) = (TaskId::new("one"), TaskId::new("two"));
        let mut network = GoalNetwork::default();
        network.add(Some(&one), &[used("b.example", 1, 0)]);
        network.add(
            Some(&one),
            &[used("b.example", 2, 1), used("a.example", 0, 3)],
        );
        network.add(Some(&two), &[used("b.example", 1, 0)]);
        network.add(None, &[used("c.example", 1, 0)]);
        let expected = [used("a.example", 0, 3), used("b.example", 3, 1)];
        assert_eq!(network.of_task(&one), expected);
        let expected = [
            used("a.example", 0, 3),
            used("b.example", 4, 1),
            used("c.example", 1, 0),
        ];
        assert_eq!(network.total(), expected);
    }
}
