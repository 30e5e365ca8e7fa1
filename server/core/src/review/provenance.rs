use std::ops::Range;

use super::ReviewHunk;
use crate::diff::{DiffPurpose, IndexedText, LineChange, diff_indexed};

/// A file as one task left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskContribution<'a> {
    /// The text the task started from.
    pub base: &'a str,
    /// The text it left.
    pub text: &'a str,
}

/// Finds the tasks that made the hunks of one proposal. The costly part is done once for all hunks.
#[derive(Debug)]
pub struct HunkAttribution {
    tasks: Vec<TaskAuthor>,
}

impl HunkAttribution {
    /// Looks at what each task did on the way from `base` to `proposed`. `versions` are in the order
    /// they were merged.
    pub fn new(base: &str, proposed: &str, versions: &[TaskContribution<'_>]) -> Self {
        let (base, proposed) = (IndexedText::new(base), IndexedText::new(proposed));
        Self {
            tasks: versions
                .iter()
                .map(|version| TaskAuthor::new(&base, &proposed, version))
                .collect(),
        }
    }

    /// Returns the tasks that made a hunk, as indices into the versions. The first one wrote most
    /// of the hunk's final lines; of equals the later one is first.
    ///
    /// A task contributed when lines it wrote are among the hunk's new lines, or lines it took away
    /// are among the old ones.
    pub fn authors_of(&self, hunk: &ReviewHunk) -> Vec<usize> {
        let mut shares: Vec<(AuthorShare, usize)> = self
            .tasks
            .iter()
            .enumerate()
            .map(|(task, author)| (author.hunk_share(hunk), task))
            .filter(|(share, _)| *share != AuthorShare::default())
            .collect();
        shares.sort_by(|a, b| b.cmp(a));
        shares.into_iter().map(|(_, task)| task).collect()
    }
}

/// Counts the lines of a hunk that a task wrote and removed. What was written decides before what
/// was removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct AuthorShare {
    written: u32,
    removed: u32,
}

/// Stores the changes of one task, and which of them are still to be counted.
#[derive(Debug)]
struct TaskAuthor {
    own: Vec<LineChange>,
    /// Stretches that what it left shares with the proposed text.
    kept: Vec<(Range<u32>, Range<u32>)>,
    /// Stretches that the base shares with what it started from.
    known: Vec<(Range<u32>, Range<u32>)>,
}

impl TaskAuthor {
    fn new(
        base: &IndexedText<'_>,
        proposed: &IndexedText<'_>,
        version: &TaskContribution<'_>,
    ) -> Self {
        let (started, left) = (
            IndexedText::new(version.base),
            IndexedText::new(version.text),
        );
        let kept = diff_indexed(&left, proposed, DiffPurpose::Merging);
        let known = diff_indexed(base, &started, DiffPurpose::Merging);
        Self {
            own: diff_indexed(&started, &left, DiffPurpose::Merging),
            kept: unchanged_ranges(&kept, left.len(), proposed.len()).collect(),
            known: unchanged_ranges(&known, base.len(), started.len()).collect(),
        }
    }

    fn hunk_share(&self, hunk: &ReviewHunk) -> AuthorShare {
        let written = self.kept.iter().map(|(left, proposed)| {
            let shared = intersect_ranges(proposed, &hunk.proposed);
            count_common(&project_range(&shared, proposed, left), &self.own, |c| {
                &c.new
            })
        });
        let removed = self.known.iter().map(|(base, started)| {
            let shared = intersect_ranges(base, &hunk.base);
            count_common(&project_range(&shared, base, started), &self.own, |c| {
                &c.old
            })
        });
        AuthorShare {
            written: written.sum(),
            removed: removed.sum(),
        }
    }
}

/// Counts the given lines that are among those of the changes.
fn count_common(
    lines: &Range<u32>,
    changes: &[LineChange],
    side: impl Fn(&LineChange) -> &Range<u32>,
) -> u32 {
    if lines.is_empty() {
        return 0;
    }
    changes.iter().map(|c| overlap_len(side(c), lines)).sum()
}

/// Returns the stretches two texts share, as pairs of equally long ranges.
fn unchanged_ranges(
    changes: &[LineChange],
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

fn intersect_ranges(a: &Range<u32>, b: &Range<u32>) -> Range<u32> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

fn overlap_len(a: &Range<u32>, b: &Range<u32>) -> u32 {
    intersect_ranges(a, b).len() as u32
}

/// Moves a part of `from` to the same part of `to`.
fn project_range(part: &Range<u32>, from: &Range<u32>, to: &Range<u32>) -> Range<u32> {
    if part.is_empty() {
        return 0..0;
    }
    to.start + (part.start - from.start)..to.start + (part.end - from.start)
}
