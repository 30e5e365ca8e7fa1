//! Who made a hunk.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use claudecluster_core::review::{
    FileReview, HunkAttribution, TaskContribution, merge_later_result,
};
use proptest::prelude::*;

use crate::support::{DISTINCT, config, family};

/// Each hunk's tasks, for tasks given as what they started from and what they left, merged in turn.
fn check(base: &str, tasks: &[(&str, &str)], expected: &[&[usize]]) {
    let mut proposed = base.to_owned();
    for (started, left) in tasks {
        proposed = merge_later_result(started, &proposed, left)
            .clean_text()
            .unwrap();
    }
    let versions: Vec<_> = tasks
        .iter()
        .map(|&(base, text)| TaskContribution { base, text })
        .collect();
    let review = FileReview::new(base, base, &proposed);
    let authors = HunkAttribution::new(base, &proposed, &versions);
    let found: Vec<_> = review
        .hunks()
        .iter()
        .map(|hunk| authors.authors_of(hunk))
        .collect();
    assert_eq!(found, expected, "{base:?} {tasks:?} -> {proposed:?}");
}

#[test]
fn tasks_are_named_where_they_worked() {
    let base = "a\nb\nc\nd\ne\n";
    check(base, &[(base, "A\nb\nc\nd\ne\n")], &[&[0]]);
    check(
        base,
        &[(base, "A\nb\nc\nd\ne\n"), (base, "a\nb\nc\nd\nE\n")],
        &[&[0], &[1]],
    );
    // One that changed nothing here, and one that took lines away.
    check(base, &[(base, base), (base, "a\nc\nd\ne\n")], &[&[1]]);
    // The same change twice: the later one counts as the one that decided.
    check(
        base,
        &[(base, "a\nb\nX\nd\ne\n"), (base, "a\nb\nX\nd\ne\n")],
        &[&[1, 0]],
    );
}

#[test]
fn who_wrote_most_of_the_final_text_comes_first() {
    let base = "a\nb\nc\n";
    let first = "a\nfn new() {\n    1\n}\nb\nc\n";
    // The second task builds on the first and changes one line of its three.
    let second = "a\nfn new() {\n    2\n}\nb\nc\n";
    check(base, &[(base, first), (first, second)], &[&[0, 1]]);
    // It rewrites all of them.
    let rewritten = "a\nfn other() {\n    2\n};\nb\nc\n";
    check(base, &[(base, first), (first, rewritten)], &[&[1]]);
    // Lines the first one took away are gone whoever fills their place.
    let gap = "a\nc\n";
    let filled = "a\nnew\nc\n";
    check(base, &[(base, gap), (gap, filled)], &[&[1, 0]]);
}

proptest! {
    #![proptest_config(config(300))]

    /// In a file with two tasks at work, a hunk names exactly the tasks whose lines it has or lacks.
    #[test]
    fn every_line_has_its_task(texts in family(DISTINCT, 0..30, 2)) {
        let own = |text: &String, task: &str| text.replace("new ", &format!("{task} "));
        let lefts = [own(&texts.variants[0], "zero"), own(&texts.variants[1], "one")];
        let base = texts.base.as_str();
        let Some(proposed) = merge_later_result(base, &lefts[0], &lefts[1]).clean_text() else { return Ok(()) };
        let versions = [
            TaskContribution { base, text: &lefts[0] },
            TaskContribution { base, text: &lefts[1] },
        ];
        let review = FileReview::new(base, base, &proposed);
        let authors = HunkAttribution::new(base, &proposed, &versions);
        for hunk in review.hunks() {
            let found = authors.authors_of(hunk);
            for (task, word) in ["zero ", "one "].into_iter().enumerate() {
                let wrote = review.new_text(hunk).contains(word);
                let lines = review.base_text(hunk).split_inclusive('\n');
                let removed = lines.into_iter().any(|line| {
                    !lefts[task].split_inclusive('\n').any(|other| other == line)
                });
                prop_assert_eq!(found.contains(&task), wrote || removed, "{:?}", hunk);
            }
            prop_assert!(!found.is_empty());
        }
    }
}
