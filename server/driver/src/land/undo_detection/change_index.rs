//! The landings that a change of a text can concern. Looking at all of them at each pause would
//! cost several comparisons of the whole text for each.

use std::collections::{HashMap, HashSet};

use claudecluster_core::{
    diff::{DiffPurpose, IndexedText, diff_indexed},
    review::{is_distinctive, trimmed_lines},
};

/// Lines that a move removed from a text and added to it, without surrounding whitespace.
pub(super) struct MoveTrace {
    out: Vec<Box<str>>,
    /// Added lines, with the number of times each was in the text then.
    put_in: Vec<(Box<str>, u32)>,
}

impl MoveTrace {
    pub(super) fn new(before: &str, after: &str) -> Self {
        let (old, new) = (IndexedText::new(before), IndexedText::new(after));
        let counted = count_lines(after);
        let mut trace = Self {
            out: Vec::new(),
            put_in: Vec::new(),
        };
        for change in diff_indexed(&old, &new, DiffPurpose::Merging) {
            let (out, put_in) = (old.slice_lines(&change.old), new.slice_lines(&change.new));
            // Brackets and empty lines come and go everywhere. With the words beside them is enough.
            let some_tell = trimmed_lines(out)
                .chain(trimmed_lines(put_in))
                .any(is_distinctive);
            let wanted = |line: &&str| is_distinctive(line) || !some_tell;
            trace
                .out
                .extend(trimmed_lines(out).filter(wanted).map(Box::from));
            let put_in = trimmed_lines(put_in).filter(wanted);
            trace
                .put_in
                .extend(put_in.map(|line| (line.into(), counted[line])));
        }
        trace
    }
}

/// Lines that changed since a text was looked at last.
pub(super) struct ChangedLines<'t> {
    last: HashMap<&'t str, u32>,
    lines: HashSet<&'t str>,
}

impl<'t> ChangedLines<'t> {
    pub(super) fn new(last: &'t str, now: &'t str) -> Self {
        let (old, new) = (IndexedText::new(last), IndexedText::new(now));
        let mut lines = HashSet::new();
        for change in diff_indexed(&old, &new, DiffPurpose::Merging) {
            lines.extend(
                trimmed_lines(old.slice_lines(&change.old))
                    .chain(trimmed_lines(new.slice_lines(&change.new))),
            );
        }
        Self {
            last: count_lines(last),
            lines,
        }
    }

    /// Returns whether the change can have undone or redone a move: both concern the same lines, or
    /// lines of the move had been changed before.
    pub(super) fn touch_move(&self, trace: &MoveTrace) -> bool {
        let there = |line: &str| self.last.get(line).copied().unwrap_or_default();
        trace.out.iter().any(|line| self.lines.contains(&**line))
            || (trace.put_in.iter())
                .any(|(line, count)| self.lines.contains(&**line) || there(line) < *count)
    }
}

fn count_lines(text: &str) -> HashMap<&str, u32> {
    let mut counted = HashMap::new();
    for line in trimmed_lines(text) {
        *counted.entry(line).or_default() += 1;
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_concerns_what_it_can_take_back() {
        let (before, after) = ("a\nb {\n}\nc\n", "a\nb {\n  new\n}\n}\nd\n");
        let trace = MoveTrace::new(before, after);
        let check = |last: &str, now: &str, expected: bool| {
            let found = ChangedLines::new(last, now).touch_move(&trace);
            assert_eq!(found, expected, "{last:?} {now:?}");
        };
        check(after, after, false);
        // Typed elsewhere, brackets too.
        check(after, "a!\nb {\n  new\n}\n}\nd\n}\n\n", false);
        // Taken back whole or in part, also with what was typed.
        check(after, before, true);
        check(after, "a!\nb {\n}\nc\n", true);
        check(after, "a\nb {\n}\n}\nd\n", true);
        check(after, "a\nb {\n  new\n}\nc\n", true);
        // Indented anew.
        check(after, "a\nb {\nnew\n}\n}\nd\n", true);
        // What was typed in goes with it.
        let typed = "a\nb {\n  newer\n}\n}\nd\n";
        check(after, typed, true);
        check(typed, "a\nb {\n}\nd\n", true);
        check(typed, "a!\nb {\n  newer\n}\n}\nd\n", true);
        // It comes back.
        check(before, after, true);
    }

    #[test]
    fn what_has_no_words_is_known_by_all_of_it() {
        let trace = MoveTrace::new("a\n", "a\n---\n");
        assert!(ChangedLines::new("a\n---\n", "a\n").touch_move(&trace));
        assert!(!ChangedLines::new("a\n---\n", "b\na\n---\n").touch_move(&trace));
    }
}
