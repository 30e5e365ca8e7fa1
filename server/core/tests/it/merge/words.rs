//! Words of the same lines that two sides have changed: what is merged, what is refused, and that nothing
//! either side wrote is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::collections::BTreeSet;

use claudecluster_core::{
    merge::MergeSide,
    review::{
        FileReview, HunkState, ReviewTexts, VerdictEffect, merge_alternatives, merge_later_result,
        merge_with_words, words::merge_words,
    },
};
use proptest::prelude::*;

use crate::support::{self, config};

/// Both orders of the sides come to this.
fn check(base: &str, ours: &str, theirs: &str, expected: Option<&str>) {
    for (a, b) in [(ours, theirs), (theirs, ours)] {
        let merged = merge_words(base, a, b);
        assert_eq!(merged.as_deref(), expected, "{base:?} {a:?} {b:?}");
    }
}

fn merged(base: &str, ours: &str, theirs: &str, expected: &str) {
    check(base, ours, theirs, Some(expected));
}

fn refused(base: &str, ours: &str, theirs: &str) {
    check(base, ours, theirs, None);
}

#[test]
fn different_words_of_a_line_are_merged() {
    merged(
        "foo(a, b);\n",
        "bar(a, b);\n",
        "foo(a, b, c);\n",
        "bar(a, b, c);\n",
    );
    merged(
        "let x = 1;\n",
        "let y = 1;\n",
        "let x = 2;\n",
        "let y = 2;\n",
    );
    merged(
        "let x = f(1);\n",
        "let x: u8 = f(1);\n",
        "let x = f(2);\n",
        "let x: u8 = f(2);\n",
    );
    merged(
        "The quick brown fox jumps.\n",
        "The slow brown fox jumps.\n",
        "The quick brown fox sleeps.\n",
        "The slow brown fox sleeps.\n",
    );
    merged("f(a, b, c)\n", "f(b, c)\n", "f(a, b, d)\n", "f(b, d)\n");
    merged(
        "{\"a\": 1, \"b\": 2}",
        "{\"a\": 3, \"b\": 2}",
        "{\"a\": 1, \"b\": 4}",
        "{\"a\": 3, \"b\": 4}",
    );
    // Where both did the same, it is done once.
    merged(
        "f(a, b, c)\n",
        "g(a, x, c)\n",
        "g(a, b, y)\n",
        "g(a, x, y)\n",
    );
    // White space within a line.
    merged("a   = old;\n", "a = old;\n", "a   = new;\n", "a = new;\n");
    merged("f(old);  \n", "f(old);\n", "f(new);  \n", "f(new);\n");
}

#[test]
fn one_side_alone_is_taken_as_it_is() {
    merged("", "", "", "");
    merged("a\n", "a\n", "b\nc\n", "b\nc\n");
    merged("a\n", "", "", "");
    merged("a\n", "  b\n", "  b\n", "  b\n");
    let long = "x ".repeat(1 << 19);
    merged(&long, &long, "y\n", "y\n");
}

#[test]
fn what_touches_is_refused() {
    refused("foo(a)\n", "bar(a)\n", "baz(a)\n");
    // Insertions at the same place, also the same ones.
    refused("f(a)\n", "f(a, b)\n", "f(a, c)\n");
    refused("f(a) + 1\n", "f(a, b) + 1\n", "f(a, b) + 2 + 3\n");
    refused("total = 1;\n", "total = 1 + 1;\n", "total = 1 + 1 + 1;\n");
    // Neighbours, with nothing or only white space between.
    refused("old word here\n", "new word here\n", "old text here\n");
    refused("if i < 10 {\n", "if i <= 10 {\n", "if i < 9 {\n");
    refused("for(;i<10;) {\n", "for(;i<=10;) {\n", "for(;i<9;) {\n");
    // The end of one line and the start of the next.
    refused("f(a\nb)\n", "f(a,\nb)\n", "f(a\n, b)\n");
    // One thing of several parts.
    refused("x = 1.5;\n", "x = 2.5;\n", "x = 1.6;\n");
    refused("v 1.2.3\n", "v 1.3.0\n", "v 2.2.3\n");
    refused("use a::b;\n", "use x::b;\n", "use a::y;\n");
    refused(
        "d = 2024-01-31;\n",
        "d = 2025-01-31;\n",
        "d = 2024-01-30;\n",
    );
    refused("if a == b {\n", "if a != b {\n", "if a === b {\n");
    // It could as well be the other one that has gone.
    refused("f(a, a, b)\n", "f(a, b)\n", "f(x, a, b)\n");
    // More than half of the line is another one.
    refused("f(a, b)\n", "match(x) { y, z }\n", "f(a, c)\n");
}

#[test]
fn lines_are_paired_or_nothing_is_merged() {
    // A name changed in all lines, an argument in one of them.
    merged(
        "old.one(1);\nold.two(2);\nold.three(3);\n",
        "new.one(1);\nnew.two(2);\nnew.three(3);\n",
        "old.one(1);\nold.two(2, 2);\nold.three(3);\n",
        "new.one(1);\nnew.two(2, 2);\nnew.three(3);\n",
    );
    // Lines beside each other.
    merged(
        "a = 1;\nb = 2;\n",
        "a = 3;\nb = 2;\n",
        "a = 1;\nb = 4;\n",
        "a = 3;\nb = 4;\n",
    );
    // Split, joined, added, removed.
    refused("f(a, b, c);\n", "f(a,\n  b, c);\n", "g(a, b, c);\n");
    refused("f(a,\n  b);\n", "f(a, b);\n", "g(a,\n  b);\n");
    refused("f(a);\n", "f(a);\nf(b);\n", "g(a);\n");
    refused("f(a);\n", "", "g(a);\n");
    // As many lines as before, but not the same ones.
    refused(
        "case 1: f(a);\ncase 2: f(b);\n",
        "case 2: f(b);\ncase 3: f(b);\n",
        "case 1: f(a);\ncase 2: f(c);\n",
    );
    refused(
        "case 1: f(a);\ncase 2: f(b);\n",
        "case 2: f(x);\ncase 3: f(b);\n",
        "case 1: f(a);\ncase 2: f(c);\n",
    );
}

#[test]
fn white_space_that_means_something_is_left_alone() {
    refused(
        "    return f(a)\n",
        "        return f(a)\n",
        "    return f(b)\n",
    );
    refused("\tf(a)\n\tg(b)\n", "\tf(a)\n\t\tg(b)\n", "\tf(c)\n\tg(b)\n");
    // Endings go with the side that changed them.
    merged("f(a)\r\n", "g(a)\r\n", "f(b)\r\n", "g(b)\r\n");
    merged(
        "f(a)\ng(a)\n",
        "f(a)\r\ng(a)\r\n",
        "f(b)\ng(a)\n",
        "f(b)\r\ng(a)\r\n",
    );
    merged("f(a)\n", "f(a)", "f(b)\n", "f(b)");
    merged("f(a)", "f(a)\n", "f(b)", "f(b)\n");
    merged("f(a)\n", "g(a)", "f(b)\n", "g(b)");
    refused("f(a)\n", "g(a)", "f(b)\r\n");
}

#[test]
fn characters_stay_whole() {
    merged(
        "na\u{ef}ve(\u{1f600}, caf\u{e9})\n",
        "\u{e9}t\u{e9}(\u{1f600}, caf\u{e9})\n",
        "na\u{ef}ve(\u{1f600}, th\u{e9})\n",
        "\u{e9}t\u{e9}(\u{1f600}, th\u{e9})\n",
    );
    // A letter and its accent, the parts of an emoji.
    refused("cafe\u{301}s: a\n", "tea\u{301}s: a\n", "cafe\u{301}n: a\n");
    let (woman, man) = ("\u{1f469}", "\u{1f468}");
    let join = |who, what| format!("by {who}\u{200d}{what}, now\n");
    refused(
        &join(woman, "\u{1f4bb}"),
        &join(man, "\u{1f4bb}"),
        &join(woman, "\u{1f680}"),
    );
    // Words without spaces between are one.
    refused(
        "\u{7b2c}\u{4e00}\u{53e5}\n",
        "\u{7b2c}\u{4e8c}\u{53e5}\n",
        "\u{7b2c}\u{4e00}\u{884c}\n",
    );
}

/// A file of one line is compared as fast as any other: it is not.
#[test]
fn what_nobody_can_judge_is_refused() {
    let minified = "f(a,b);".repeat(150_000);
    let (ours, theirs) = (format!("g{minified}"), format!("{minified}h()"));
    check(&minified, &ours, &theirs, None);
    assert_eq!(merge_with_words(&minified, &ours, &theirs), ours);
    let many: String = (0..40).map(|n| format!("f({n}, a);\n")).collect();
    check(
        &many,
        &many.replace('f', "g"),
        &many.replace('a', "b"),
        None,
    );
}

/// What happens to one word.
#[derive(Clone, Debug)]
enum Act {
    Keep,
    Delete,
    Replace,
    InsertBefore,
}

fn acts(weight: u32) -> impl Strategy<Value = Vec<Vec<Act>>> {
    let act = prop_oneof![
        weight => Just(Act::Keep),
        1 => Just(Act::Delete),
        2 => Just(Act::Replace),
        1 => Just(Act::InsertBefore),
    ];
    prop::collection::vec(prop::collection::vec(act, 9), 3)
}

/// Lines of words, as one side has them; what it wrote is named after it and numbered.
fn side(words: &[Vec<String>], acts: &[Vec<Act>], name: char, ending: &str) -> String {
    let mut written = 0;
    let mut out = String::new();
    for (line, acts) in words.iter().zip(acts) {
        for (at, word) in line.iter().enumerate() {
            let new = match acts[at] {
                Act::Keep => word.clone(),
                Act::Delete => String::new(),
                Act::Replace => format!(
                    "{name}{written}{}",
                    word.trim_start_matches(char::is_alphanumeric)
                ),
                Act::InsertBefore => format!("{name}{written} {word}"),
            };
            written += 1;
            out.push_str(&new);
        }
        out.push_str(ending);
    }
    out
}

/// What a side wrote, in its order.
fn written(text: &str, name: char) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| word.starts_with(name)).collect()
}

/// Up to three lines of words that repeat or do not, with what is usual between words.
fn lines() -> impl Strategy<Value = Vec<Vec<String>>> {
    let gap = prop_oneof![
        Just(" "),
        Just(", "),
        Just("("),
        Just("."),
        Just(" = "),
        Just("; ")
    ];
    let word = (0..9u8, any::<bool>(), gap);
    let line = prop::collection::vec(word, 1..9);
    prop::collection::vec(line, 1..4).prop_map(|lines| {
        let word = |at: usize, (n, repeats, gap): (u8, bool, &str)| {
            let name = if repeats {
                format!("a{}", n % 3)
            } else {
                format!("w{n}{at}")
            };
            format!("{name}{gap}")
        };
        let line = |words: Vec<_>| -> Vec<String> {
            words
                .into_iter()
                .enumerate()
                .map(|(at, each)| word(at, each))
                .collect()
        };
        lines.into_iter().map(line).collect()
    })
}

fn three() -> impl Strategy<Value = (String, String, String)> {
    let ending = prop_oneof![4 => Just("\n"), 1 => Just("\r\n")];
    (lines(), acts(12), acts(12), ending).prop_map(|(words, ours, theirs, ending)| {
        let nothing = vec![vec![Act::Keep; 9]; 3];
        (
            side(&words, &nothing, 'x', ending),
            side(&words, &ours, 'm', ending),
            side(&words, &theirs, 't', ending),
        )
    })
}

proptest! {
    #![proptest_config(config(600))]

    /// Whatever is merged has all that each side wrote, in its order, and is the same from either side.
    /// Taking one side's changes out of it again leaves the other's.
    #[test]
    fn nothing_that_was_written_is_lost((base, ours, theirs) in three()) {
        let merged = merge_words(&base, &ours, &theirs);
        prop_assert_eq!(&merge_words(&base, &theirs, &ours), &merged);
        prop_assert_eq!(merge_words(&base, &base, &theirs), Some(theirs.clone()));
        prop_assert_eq!(merge_words(&base, &ours, &ours), Some(ours.clone()));
        let Some(merged) = merged else { return Ok(()) };
        prop_assert_eq!(written(&merged, 'm'), written(&ours, 'm'));
        prop_assert_eq!(written(&merged, 't'), written(&theirs, 't'));
        prop_assert_eq!(merged.lines().count(), base.lines().count());
        // What both have done would go with either.
        let apart = |c: char| !c.is_alphanumeric();
        let count = |text: &str, word: &str| text.split(apart).filter(|other| *other == word).count();
        let gone = |text: &str, word: &str| count(text, word) < count(&base, word);
        if !base.split(apart).any(|word| gone(&ours, word) && gone(&theirs, word)) {
            let left = merge_words(&ours, &merged, &base);
            prop_assert!(left.is_none_or(|left| left == theirs));
        }
    }

    /// Words with a comma between them are merged whenever no two changes are of neighbours, and to what
    /// doing both by hand gives.
    #[test]
    fn what_is_apart_is_merged(picks in prop::collection::vec(0..3u8, 12)) {
        let one = |name: Option<&str>, at: usize| match name {
            Some(name) => format!("{name}{at}, "),
            None => format!("w{at}, "),
        };
        let with = |ours: bool, theirs: bool| -> String {
            let words = picks.iter().enumerate().map(|(at, pick)| {
                // Every third word, so that most of the line stays.
                let name = match pick {
                    1 if at % 3 == 0 && ours => Some("m"),
                    2 if at % 3 == 0 && theirs => Some("t"),
                    _ => None,
                };
                one(name, at)
            });
            words.chain(["end\n".to_owned()]).collect()
        };
        let base = with(false, false);
        prop_assert_eq!(merge_words(&base, &with(true, false), &with(false, true)), Some(with(true, true)));
    }

    /// A review says the same however it came to be; a conflict resolved so, and taken back, is what it
    /// was in all three texts, with what was typed elsewhere since.
    #[test]
    fn a_merged_conflict_is_taken_back_exactly((base, ours, theirs) in three()) {
        let around = |text: &str| format!("above\n\n{text}\nbelow\n");
        let (base, current, proposed) = (around(&base), around(&ours), around(&theirs));
        let review = support::review(&base, &current, &proposed);
        let by_words = merge_with_words(&base, &current, &proposed);
        let mut expected = review.accept(&review.hunks().iter().map(|hunk| hunk.key).collect::<Vec<_>>()).current;
        for hunk in review.hunks().iter().filter(|hunk| hunk.state == HunkState::Conflict) {
            let Some(text) = review.merged_words(hunk) else { continue };
            let resolved = review.resolve(hunk.key, &text).unwrap();
            if review.is_alone(hunk) && review.hunks().len() == 1 {
                expected.clone_from(&resolved.current);
            }
            let settled = support::review(&resolved.base, &resolved.current, &resolved.proposed);
            prop_assert!(!settled.hunks().iter().any(|other| resolved.keys.contains(&other.key)));
            let before = ReviewTexts { base: &base, current: &current, proposed: &proposed };
            let made = VerdictEffect::of_resolve(before, hunk.key, &text).unwrap();
            prop_assert_eq!(made.current.new_text(), &resolved.current);
            let typed = format!("typed\n{}", resolved.current);
            let now = ReviewTexts { base: &resolved.base, current: &typed, proposed: &resolved.proposed };
            let back = made.inverse().rebase_onto(now, &BTreeSet::from([hunk.key]));
            prop_assert_eq!(back.made.current.new_text(), format!("typed\n{current}"));
            prop_assert_eq!((back.made.base.new_text(), back.made.proposed.new_text()), (base.as_str(), proposed.as_str()));
        }
        if review.hunks().len() == 1 {
            prop_assert_eq!(by_words, expected);
        }
    }

    /// Without being asked for, a later result is merged by lines and nothing else.
    #[test]
    fn later_results_are_merged_by_lines_unless_asked((base, ours, theirs) in three()) {
        let lines = merge_later_result(&base, &ours, &theirs);
        prop_assert_eq!(lines.clean_text(), lines.merge().clean_text());
        prop_assert_eq!(lines.taken_ours(), lines.merge().with_conflicts_as(MergeSide::Ours));
        prop_assert_eq!(lines.taken_theirs(), lines.merge().with_conflicts_as(MergeSide::Theirs));
        let words = merge_later_result(&base, &ours, &theirs).by_words();
        prop_assert!(words.conflicts().count() <= lines.conflicts().count());
        if let Some(clean) = words.clean_text() {
            prop_assert_eq!(&clean, &words.taken_theirs());
            prop_assert_eq!(written(&clean, 'm'), written(&ours, 'm'));
            prop_assert_eq!(written(&clean, 't'), written(&theirs, 't'));
        }
    }
}

#[test]
fn two_results_are_woven_by_their_hunks() {
    let check = |base: &str, earlier: &str, later: &str, expected: &[(&str, &str)]| {
        let found = merge_alternatives(base, earlier, later);
        let review = FileReview::new(earlier, earlier, later);
        let of = review
            .hunks()
            .iter()
            .filter_map(|hunk| found.get(&hunk.key));
        let shown: Vec<_> = of
            .map(|one| (one.base.as_str(), one.merged.as_str()))
            .collect();
        assert_eq!(shown, expected, "{base:?} {earlier:?} {later:?}");
    };
    let around = |lines: &str| format!("top\n{lines}end\n");
    check(
        &around("f(a);\n"),
        &around("g(a);\n"),
        &around("f(b);\n"),
        &[("f(a);\n", "g(b);\n")],
    );
    // What the earlier one did alone is in both, and no hunk.
    check(
        &around("old.a(1);\nold.b(2);\nold.c(3);\n"),
        &around("new.a(1);\nnew.b(2);\nnew.c(3);\n"),
        &around("new.a(1);\nold.b(4);\nnew.c(3);\n"),
        &[("old.b(2);\n", "new.b(4);\n")],
    );
    check(
        &around("f(a);\n"),
        &around("f(b);\n"),
        &around("f(c);\n"),
        &[],
    );
    check(&around("f(a);\n"), &around("g(a);\n"), &around(""), &[]);
    check(
        &around("f(a);\n"),
        &around("g(a);\n"),
        &around("f(b);\nx\n"),
        &[],
    );
}

#[test]
fn a_review_offers_what_is_new() {
    let check = |base: &str, current: &str, proposed: &str, expected: Option<(&str, bool)>| {
        let review = support::review(base, current, proposed);
        let hunk = &review.hunks()[0];
        let merged = review
            .merged_words(hunk)
            .map(|text| (text, review.is_alone(hunk)));
        let expected = expected.map(|(text, alone)| (text.to_owned(), alone));
        assert_eq!(merged, expected, "{base:?} {current:?} {proposed:?}");
    };
    check("f(a)\n", "g(a)\n", "f(b)\n", Some(("g(b)\n", true)));
    // The text has it already; there is no conflict; there is no merging.
    check("f(a)\n", "g(b)\n", "f(b)\n", None);
    check("f(a)\n", "f(a)\n", "f(b)\n", None);
    check("f(a)\n", "f(b)\n", "f(b)\n", None);
    check("f(a)\n", "f(c)\n", "f(b)\n", None);
    // What is proposed has it already.
    check("f(a)\n", "f(b)\n", "g(b)\n", Some(("g(b)\n", true)));
    // Two changes that a change of all three lines makes one conflict.
    check(
        "old.a(1)\nold.b(2)\nold.c(3)\n",
        "new.a(1)\nnew.b(2)\nnew.c(3)\n",
        "old.a(4)\nold.b(2)\nold.c(5)\n",
        Some(("new.a(4)\nnew.b(2)\nnew.c(5)\n", false)),
    );
    assert_eq!(FileReview::new("", "", "").hunks(), []);
}
