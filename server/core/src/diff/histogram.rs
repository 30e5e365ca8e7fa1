//! A diff that follows what is rare.
//!
//! People find their way in a text by its rare lines: the head of a function rather than its closing
//! brace. So the longest run of equal lines around the rarest line is taken as unchanged, and what
//! is before and after it is compared in the same way. Where only frequent lines are left, and where
//! this would take too long, [`myers`] takes over.

use std::{cmp::Reverse, ops::Range};

use super::{
    LineOccurrences, LineToken,
    counting::{LineCounts, same_end, same_start},
    myers,
};

/// A line that is there more often than this is nothing to go by.
const MOST_OFTEN: usize = 64;
/// Limits the lines looked at for each line of the text: halving a text again and again takes about
/// twenty, and taking it apart from one end could take as many as it has.
const PATIENCE: usize = 64;

/// Marks the lines that change between two parts.
pub(super) fn mark_changes(
    parts: [&[LineToken]; 2],
    counts: &mut LineCounts,
    marks: &mut [Vec<bool>; 2],
) {
    let places = LineOccurrences::new(parts[0], counts.distinct_lines());
    let mut patience = PATIENCE * (parts[0].len() + parts[1].len());
    let mut regions = vec![parts.map(|part| 0..part.len())];
    while let Some(region) = regions.pop() {
        let [old, new] = region;
        patience = patience.saturating_sub(new.len());
        let anchor = if old.is_empty() || new.is_empty() {
            SplitAnchor::Nothing
        } else if patience == 0 {
            SplitAnchor::Frequent
        } else {
            find_anchor(parts, &old, &new, &places)
        };
        match anchor {
            SplitAnchor::Nothing => {
                marks[0][old].fill(true);
                marks[1][new].fill(true);
            }
            SplitAnchor::Frequent => {
                let parts = [&parts[0][old.clone()], &parts[1][new.clone()]];
                let [a, b] = &mut *marks;
                myers::mark_changes(parts, parts, counts, &mut [&mut a[old], &mut b[new]]);
            }
            SplitAnchor::EqualRun(run) => {
                regions.push([run.old + run.len..old.end, run.new + run.len..new.end]);
                regions.push([old.start..run.old, new.start..run.new]);
            }
        }
    }
}

/// Names the place to divide a region at.
enum SplitAnchor {
    /// The sides have no line in common.
    Nothing,
    /// All lines they have in common are frequent.
    Frequent,
    EqualRun(EqualRun),
}

/// Equal lines in both parts.
#[derive(Clone, Copy)]
struct EqualRun {
    old: usize,
    new: usize,
    len: usize,
}

/// Less is better: how often the rarest line of a run occurs; its length; how far it is from the
/// middle, so that what is left is of about the same size on both sides.
type EqualRunRank = (usize, Reverse<usize>, usize);

/// A stretch of both parts that is still to be compared.
struct HistogramRegion<'t> {
    parts: [&'t [LineToken]; 2],
    old: &'t Range<usize>,
    new: &'t Range<usize>,
    /// For each new line, where it is in the old stretch.
    found: Vec<&'t [u32]>,
}

/// Finds the best run to divide a region at.
fn find_anchor<'t>(
    parts: [&'t [LineToken]; 2],
    old: &'t Range<usize>,
    new: &'t Range<usize>,
    places: &'t LineOccurrences,
) -> SplitAnchor {
    let lines = parts[1][new.clone()].iter();
    let region = HistogramRegion {
        parts,
        old,
        new,
        found: lines.map(|&line| places.places_within(line, old)).collect(),
    };
    let mut best: Option<(EqualRunRank, EqualRun)> = None;
    let mut at = new.start;
    while at < new.end {
        let most = best.map_or(MOST_OFTEN, |((often, ..), _)| often);
        let mut next = at + 1;
        if (1..=most).contains(&region.old_count(at)) {
            for run in region.equal_runs(at) {
                next = next.max(run.new + run.len);
                let rank = region.rank_run(&run);
                if best.is_none_or(|(best, _)| rank < best) {
                    best = Some((rank, run));
                }
            }
        }
        at = next;
    }
    match best {
        Some((_, run)) => SplitAnchor::EqualRun(run),
        None if region.found.iter().any(|found| !found.is_empty()) => SplitAnchor::Frequent,
        None => SplitAnchor::Nothing,
    }
}

impl HistogramRegion<'_> {
    /// Counts the occurrences of a new line in the old stretch.
    fn old_count(&self, at: usize) -> usize {
        self.found[at - self.new.start].len()
    }

    /// Returns the runs that a new line is part of.
    fn equal_runs(&self, at: usize) -> impl Iterator<Item = EqualRun> {
        let [a, b] = self.parts;
        let mut done = self.old.start;
        let places = self.found[at - self.new.start].iter();
        places.filter_map(move |&place| {
            let place = place as usize;
            // The run before can have this place, too.
            if place < done {
                return None;
            }
            let above = [&a[self.old.start..place], &b[self.new.start..at]];
            let below = [&a[place..self.old.end], &b[at..self.new.end]];
            let up = same_end(above[0], above[1]);
            let down = same_start(below[0], below[1]);
            done = place + down;
            Some(EqualRun {
                old: place - up,
                new: at - up,
                len: up + down,
            })
        })
    }

    fn rank_run(&self, run: &EqualRun) -> EqualRunRank {
        let lines = run.new..run.new + run.len;
        let rarest = lines.map(|line| self.old_count(line)).min();
        let aside = (2 * run.new + run.len).abs_diff(self.new.start + self.new.end);
        (rarest.unwrap_or(usize::MAX), Reverse(run.len), aside)
    }
}
