//! From two lists of lines to the changes between them.

use std::ops::Range;

use super::{
    DiffPurpose, LineChange,
    counting::{LineCounts, same_end, same_start},
    histogram, myers, slide,
    vocabulary::{LineToken, LineVocabulary},
};

/// Returns the changes from `old` to `new`.
///
/// What both begin and end with takes no part in the search. The search marks lines as changed;
/// sliding then settles where each group of them stands.
pub(crate) fn diff_tokens(
    words: &LineVocabulary,
    old: &[LineToken],
    new: &[LineToken],
    purpose: DiffPurpose,
) -> Vec<LineChange> {
    let start = same_start(old, new);
    let end = same_end(&old[start..], &new[start..]);
    let parts = [old, new].map(|text| &text[start..text.len() - end]);
    let mut marks = parts.map(|part| vec![false; part.len()]);
    if is_all_different(parts) {
        marks.iter_mut().for_each(|marks| marks.fill(true));
    } else {
        let mut counts = LineCounts::new(words.distinct_lines());
        match purpose {
            DiffPurpose::Merging => myers::mark_changes(parts, [old, new], &mut counts, &mut marks),
            DiffPurpose::Reading => histogram::mark_changes(parts, &mut counts, &mut marks),
        }
    }
    let [gone, come] = marks.map(|marks| marked_runs(&marks, start));
    let place = |text: &[LineToken], lines: &Range<u32>, earliest: u32| match purpose {
        DiffPurpose::Merging => lines.end,
        DiffPurpose::Reading => words.best_end(text, lines, earliest),
    };
    let gone = slide::slide_groups(old, gone, &slide::gap_lengths(&come), place);
    let come = slide::slide_groups(new, come, &slide::gap_lengths(&gone), place);
    slide::join_groups(&gone, &come)
}

/// Returns whether two parts have no line in common, as far as that is plain without a search. This
/// is what most keystrokes come to: one line became another.
fn is_all_different([old, new]: [&[LineToken]; 2]) -> bool {
    const FEW: usize = 256;
    old.len() * new.len() <= FEW && !old.iter().any(|line| new.contains(line))
}

/// Returns the runs of marked lines. The first mark is for line `start`.
fn marked_runs(marks: &[bool], start: usize) -> Vec<Range<u32>> {
    let mut groups = Vec::new();
    let mut at = start as u32;
    for run in marks.chunk_by(|a, b| a == b) {
        let end = at + run.len() as u32;
        if run[0] {
            groups.push(at..end);
        }
        at = end;
    }
    groups
}
