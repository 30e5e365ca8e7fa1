use std::ops::Range;

use super::Hunk;
use crate::diff::{Change, Lines, Purpose, diff};

/// A file as one task left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contribution<'a> {
    /// The text the task started from.
    pub base: &'a str,
    /// The text it left.
    pub text: &'a str,
}

/// Which tasks made a hunk of `base` → `proposed`, as indices into `versions`: first the one that
/// wrote most of the hunk's final lines, of equals the later one. `versions` are in the order they
/// were merged.
///
/// A task contributed when lines it wrote are among the hunk's new lines, or lines it took away are
/// among the old ones.
pub fn provenance(
    base: &str,
    proposed: &str,
    versions: &[Contribution<'_>],
    hunk: &Hunk,
) -> Vec<usize> {
    let (base, proposed) = (Lines::new(base), Lines::new(proposed));
    let mut shares: Vec<(Share, usize)> = versions
        .iter()
        .enumerate()
        .map(|(task, version)| (share(&base, &proposed, version, hunk), task))
        .filter(|(share, _)| *share != Share::default())
        .collect();
    shares.sort_by(|a, b| b.cmp(a));
    shares.into_iter().map(|(_, task)| task).collect()
}

/// How many lines of a hunk a task accounts for. What was written decides before what was removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Share {
    written: u32,
    removed: u32,
}

fn share(base: &Lines<'_>, proposed: &Lines<'_>, version: &Contribution<'_>, hunk: &Hunk) -> Share {
    let (started, left) = (Lines::new(version.base), Lines::new(version.text));
    let own = diff(&started, &left, Purpose::Merging);
    if own.is_empty() {
        return Share::default();
    }
    let kept = diff(&left, proposed, Purpose::Merging);
    let known = diff(base, &started, Purpose::Merging);
    let written = unchanged(&kept, left.len(), proposed.len())
        .map(|(left, proposed)| {
            let in_hunk = project(&intersect(&proposed, &hunk.proposed), &proposed, &left);
            own.iter().map(|c| overlap(&c.new, &in_hunk)).sum::<u32>()
        })
        .sum();
    let removed = unchanged(&known, base.len(), started.len())
        .map(|(base, started)| {
            let in_hunk = project(&intersect(&base, &hunk.base), &base, &started);
            own.iter().map(|c| overlap(&c.old, &in_hunk)).sum::<u32>()
        })
        .sum();
    Share { written, removed }
}

/// The stretches two texts share, as pairs of equally long ranges.
fn unchanged(
    changes: &[Change],
    old_len: u32,
    new_len: u32,
) -> impl Iterator<Item = (Range<u32>, Range<u32>)> {
    let starts = std::iter::once((0, 0)).chain(changes.iter().map(|c| (c.old.end, c.new.end)));
    let ends = changes
        .iter()
        .map(|c| (c.old.start, c.new.start))
        .chain([(old_len, new_len)]);
    starts
        .zip(ends)
        .map(|(start, end)| (start.0..end.0, start.1..end.1))
}

fn intersect(a: &Range<u32>, b: &Range<u32>) -> Range<u32> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

fn overlap(a: &Range<u32>, b: &Range<u32>) -> u32 {
    intersect(a, b).len() as u32
}

/// Moves a part of `from` to the same part of `to`.
fn project(part: &Range<u32>, from: &Range<u32>, to: &Range<u32>) -> Range<u32> {
    if part.is_empty() {
        return 0..0;
    }
    to.start + (part.start - from.start)..to.start + (part.end - from.start)
}
