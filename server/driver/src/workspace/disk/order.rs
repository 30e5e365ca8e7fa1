//! The order of writes whose paths need each other's place: a file makes way for a folder of its name, or a folder
//! for a file.

use std::collections::{BTreeSet, HashMap};

use claudecluster_protocol::RelPath;

use super::write::FileWrite;

/// The stages in which writes are made, and the groups that are made whole or not at all.
pub(super) struct WriteOrder {
    /// The stage of each write.
    stages: Vec<usize>,
    /// For each write, those that must have made way for it.
    makes_way: Vec<Vec<usize>>,
    /// For each write, another without which it must not happen.
    needs: Vec<Option<usize>>,
}

impl WriteOrder {
    /// Finds the order of these writes.
    pub(super) fn of(writes: &[FileWrite]) -> Self {
        let by_path: HashMap<&RelPath, usize> = writes
            .iter()
            .enumerate()
            .map(|(index, write)| (&write.path, index))
            .collect();
        let mut makes_way = vec![Vec::new(); writes.len()];
        for (below, write) in writes.iter().enumerate() {
            for above in ancestors(&write.path).filter_map(|path| by_path.get(&path)) {
                match (&writes[*above].after, &write.after) {
                    (None, Some(_)) => makes_way[below].push(*above),
                    (Some(_), None) => makes_way[*above].push(below),
                    _ => {}
                }
            }
        }
        // The old place of a renamed file waits for the new one, unless it makes way for it.
        let needs = writes.iter().enumerate().map(|(index, write)| {
            write
                .needs
                .filter(|&needed| !makes_way[needed].contains(&index))
        });
        let needs: Vec<Option<usize>> = needs.collect();
        let stages = stages_of(&makes_way, &needs);
        Self {
            stages,
            makes_way,
            needs,
        }
    }

    /// Returns the writes of each stage, in their order.
    pub(super) fn stages(&self) -> Vec<Vec<usize>> {
        let last = self.stages.iter().max().copied().unwrap_or(0);
        let mut stages = vec![Vec::new(); last + 1];
        for (index, &stage) in self.stages.iter().enumerate() {
            stages[stage].push(index);
        }
        stages
    }

    /// Returns the writes that must have happened before this one.
    pub(super) fn before(&self, index: usize) -> impl Iterator<Item = usize> {
        let ways = self.makes_way[index].iter().copied();
        ways.chain(self.needs[index])
    }

    /// Returns whether writes make way for this one.
    pub(super) fn takes_a_place(&self, index: usize) -> bool {
        !self.makes_way[index].is_empty()
    }

    /// Returns the groups of more than one write that need each other's place, each in the order of its stages.
    pub(super) fn groups(&self) -> Vec<Vec<usize>> {
        let mut group: Vec<usize> = (0..self.stages.len()).collect();
        let edges: Vec<(usize, usize)> = (0..group.len())
            .flat_map(|index| self.makes_way[index].iter().map(move |&way| (index, way)))
            .collect();
        let mut settled = false;
        while !settled {
            settled = true;
            for &(one, other) in &edges {
                let least = group[one].min(group[other]);
                settled &= group[one] == least && group[other] == least;
                (group[one], group[other]) = (least, least);
            }
        }
        let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
        let in_groups: BTreeSet<usize> = edges.iter().flat_map(|&(a, b)| [a, b]).collect();
        for index in in_groups {
            members.entry(group[index]).or_default().push(index);
        }
        let mut groups: Vec<Vec<usize>> = members.into_values().collect();
        for group in &mut groups {
            group.sort_by_key(|&index| (self.stages[index], index));
        }
        groups
    }
}

/// Returns the folders that a path lies in, the nearest first.
pub(super) fn ancestors(path: &RelPath) -> impl Iterator<Item = RelPath> {
    std::iter::successors(path.parent(), RelPath::parent)
}

fn stages_of(makes_way: &[Vec<usize>], needs: &[Option<usize>]) -> Vec<usize> {
    let mut stages = vec![0; makes_way.len()];
    // Each round settles one more stage. A circle of renames is left to fail by itself.
    for _ in 0..makes_way.len().min(8) {
        let mut settled = true;
        for index in 0..stages.len() {
            let ways = makes_way[index].iter().map(|&way| stages[way] + 1);
            let needed = needs[index].map(|needed| stages[needed]);
            let stage = ways.chain(needed).max().unwrap_or(0).max(stages[index]);
            settled &= stage == stages[index];
            stages[index] = stage;
        }
        if settled {
            break;
        }
    }
    stages
}
