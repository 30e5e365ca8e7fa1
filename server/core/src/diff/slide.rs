//! Where a group of changed lines stands.
//!
//! A group whose first line equals the line below it can as well stand one line lower, and one whose
//! last line equals the line above it one line higher; the text that comes out is the same. Each
//! group of one text is slid up as far as it goes and then down as far as it goes, taking in the
//! groups it meets. If it can stand where the other text has a group, so that both are one change,
//! it takes the lowest such place. Otherwise it stays as low as it can, or where it reads best.

use std::ops::Range;

use super::{LineChange, LineToken};

/// Counts the unchanged lines above each group: two groups of different texts with the same number
/// stand beside each other.
pub(super) fn gap_lengths(groups: &[Range<u32>]) -> Vec<u32> {
    let mut changed = 0;
    let gap = |group: &Range<u32>| {
        let gap = group.start - changed;
        changed += group.end - group.start;
        gap
    };
    groups.iter().map(gap).collect()
}

/// Slides the groups of one text. `beside` are the [`gap_lengths`] of the other text's groups, and `place`
/// says where a group that could stand higher should end, given where it could end at the highest.
pub(super) fn slide_groups(
    lines: &[LineToken],
    groups: Vec<Range<u32>>,
    beside: &[u32],
    place: impl Fn(&[LineToken], &Range<u32>, u32) -> u32,
) -> Vec<Range<u32>> {
    let mut settled = Vec::with_capacity(groups.len());
    let mut ahead = groups.into_iter().peekable();
    // Lines in settled groups.
    let mut changed = 0;
    while let Some(mut group) = ahead.next() {
        let (highest, beside) = loop {
            let size = group.end - group.start;
            while can_rise(lines, &group) {
                group = group.start - 1..group.end - 1;
                while let Some(above) =
                    settled.pop_if(|above: &mut Range<u32>| above.end == group.start)
                {
                    changed -= above.end - above.start;
                    group.start = above.start;
                }
            }
            let highest = group.clone();
            while can_sink(lines, &group) {
                group = group.start + 1..group.end + 1;
                while let Some(below) = ahead.next_if(|below| below.start == group.end) {
                    group.end = below.end;
                }
            }
            if group.end - group.start == size {
                let gap = highest.start - changed..=group.start - changed;
                let reached = &beside[..beside.partition_point(|beside| beside <= gap.end())];
                let last = reached.last().filter(|last| gap.contains(last));
                break (highest.end, last.map(|last| gap.end() - last));
            }
        };
        let rise = match beside {
            _ if highest == group.end => 0,
            Some(rise) => rise,
            None => group.end - place(lines, &group, highest),
        };
        changed += group.end - group.start;
        settled.push(group.start - rise..group.end - rise);
    }
    settled
}

fn can_rise(lines: &[LineToken], group: &Range<u32>) -> bool {
    group.start > 0 && lines[group.start as usize - 1] == lines[group.end as usize - 1]
}

fn can_sink(lines: &[LineToken], group: &Range<u32>) -> bool {
    lines.get(group.end as usize) == Some(&lines[group.start as usize])
}

/// Returns the changes that the groups of two texts make.
pub(super) fn join_groups(gone: &[Range<u32>], come: &[Range<u32>]) -> Vec<LineChange> {
    let mut changes = Vec::with_capacity(gone.len().max(come.len()));
    let mut olds = gone.iter().cloned().zip(gap_lengths(gone)).peekable();
    let mut news = come.iter().cloned().zip(gap_lengths(come)).peekable();
    // By how much a line of each text is farther down than unchanged lines say.
    let (mut removed, mut added) = (0, 0);
    loop {
        let next = [olds.peek(), news.peek()];
        let Some(gap) = next.into_iter().flatten().map(|(_, gap)| *gap).min() else {
            return changes;
        };
        let here = |(_, other): &(_, u32)| *other == gap;
        let old = olds
            .next_if(here)
            .map_or(gap + removed..gap + removed, |(group, _)| group);
        let new = news
            .next_if(here)
            .map_or(gap + added..gap + added, |(group, _)| group);
        removed += old.end - old.start;
        added += new.end - new.start;
        changes.push(LineChange { old, new });
    }
}
