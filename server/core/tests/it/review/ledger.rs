//! What undo and redo promise, on random texts and random histories of one file.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::collections::BTreeSet;

use claudecluster_core::{
    merge::merge3,
    review::{
        FileReview, HunkKey, HunkState, ReviewTexts, VerdictEffect, find_resolution,
        surviving_lines,
    },
};
use proptest::{prelude::*, sample::Index};

use crate::support::{DISTINCT, Family, REPETITIVE, config, family};

fn acceptable(texts: ReviewTexts<'_>) -> Vec<HunkKey> {
    let review = FileReview::new(texts.base, texts.current, texts.proposed);
    let hunks = review.hunks().iter();
    hunks
        .filter(|hunk| hunk.state != HunkState::Conflict)
        .map(|hunk| hunk.key)
        .collect()
}

fn pick(keys: &[HunkKey], bits: u64) -> BTreeSet<HunkKey> {
    let chosen = keys.iter().enumerate();
    chosen
        .filter(|(at, _)| bits >> (at % 64) & 1 == 1)
        .map(|(_, key)| *key)
        .collect()
}

fn list(keys: &BTreeSet<HunkKey>) -> Vec<HunkKey> {
    keys.iter().copied().collect()
}

fn of(texts: &Family) -> ReviewTexts<'_> {
    ReviewTexts {
        base: &texts.base,
        current: &texts.variants[0],
        proposed: &texts.variants[1],
    }
}

fn after(made: &VerdictEffect) -> ReviewTexts<'_> {
    ReviewTexts {
        base: made.base.new_text(),
        current: made.current.new_text(),
        proposed: made.proposed.new_text(),
    }
}

/// Types a line before a line of the text that is neither written by `made` nor beside that.
fn type_apart(made: &VerdictEffect, at: Index, mark: &str) -> Option<String> {
    let now = made.current.new_text();
    let mut lines: Vec<&str> = now.split_inclusive('\n').collect();
    if lines.is_empty() {
        return None;
    }
    let at = at.index(lines.len());
    let line = u32::try_from(at).unwrap();
    let free = made
        .current
        .written_lines()
        .all(|(_, own)| line + 1 < own.start || line > own.end);
    if !free || !lines[at].ends_with('\n') {
        return None;
    }
    let typed = format!("{mark}\n{}", lines[at]);
    lines[at] = &typed;
    Some(lines.concat())
}

proptest! {
    #![proptest_config(config(400))]

    /// What a move makes is what a verdict makes.
    #[test]
    fn moves_are_verdicts(
        texts in prop_oneof![family(REPETITIVE, 0..20, 2), family(DISTINCT, 0..20, 2)],
        chosen in any::<u64>(),
    ) {
        let before = of(&texts);
        let review = FileReview::new(before.base, before.current, before.proposed);
        let keys = list(&pick(&acceptable(before), chosen));
        let (accepted, made) = (review.accept(&keys), VerdictEffect::of_accept(before, &keys).unwrap());
        prop_assert_eq!((made.current.new_text(), made.base.new_text()), (&*accepted.current, &*accepted.base));
        let made = VerdictEffect::of_reject(before, &keys).unwrap();
        prop_assert_eq!(made.proposed.new_text(), review.reject(&keys).proposed);
        let conflicts = review.hunks().iter().filter(|hunk| hunk.state == HunkState::Conflict);
        for hunk in conflicts {
            for text in ["", "chosen\n", review.new_text(hunk), review.old_text(hunk)] {
                let resolved = review.resolve(hunk.key, text).unwrap();
                let Some(made) = VerdictEffect::of_resolve(before, hunk.key, text) else {
                    continue;
                };
                prop_assert_eq!(after(&made), ReviewTexts {
                    base: &resolved.base,
                    current: &resolved.current,
                    proposed: &resolved.proposed,
                });
                // The text itself is not kept: it is found again in the base.
                let found = find_resolution(before, hunk.key, &resolved.base).unwrap();
                prop_assert_eq!(VerdictEffect::of_resolve(before, hunk.key, found).unwrap().base, made.base);
            }
        }
    }

    /// With nothing typed since, undoing some of the hunks of a landing leaves exactly what landing
    /// the others gives, and redo brings exactly back what was there.
    #[test]
    fn undo_of_some_is_landing_the_others(
        texts in prop_oneof![family(REPETITIVE, 0..20, 2), family(DISTINCT, 0..20, 2)],
        landed in any::<u64>(),
        back in any::<u64>(),
    ) {
        let before = of(&texts);
        let keys = pick(&acceptable(before), landed);
        let back = pick(&list(&keys), back);
        let kept: Vec<HunkKey> = keys.difference(&back).copied().collect();
        let landing = VerdictEffect::of_accept(before, &list(&keys)).unwrap();
        let undo = landing.inverse().rebase_onto(after(&landing), &back);
        prop_assert!(undo.left.is_empty());
        let others = VerdictEffect::of_accept(before, &kept).unwrap();
        prop_assert_eq!(after(&undo.made), after(&others));
        let redo = undo.made.inverse().rebase_onto(after(&undo.made), &back);
        prop_assert!(redo.left.is_empty());
        prop_assert_eq!(after(&redo.made), after(&landing));
        // The same for a rejection.
        let rejection = VerdictEffect::of_reject(before, &list(&keys)).unwrap();
        let undo = rejection.inverse().rebase_onto(after(&rejection), &back);
        prop_assert!(undo.left.is_empty());
        let expected = VerdictEffect::of_reject(before, &kept).unwrap();
        prop_assert_eq!(undo.made.proposed.new_text(), expected.proposed.new_text());
    }

    /// Hunks landed one by one can be undone one by one in any order, and nothing is left of them.
    #[test]
    fn landings_are_undone_in_any_order(
        texts in family(DISTINCT, 0..30, 2),
        order in prop::collection::vec(any::<Index>(), 40),
    ) {
        let start = of(&texts);
        let mut now = VerdictEffect::of_accept(start, &[]).unwrap();
        let mut landings = Vec::new();
        for key in acceptable(start) {
            let landing = VerdictEffect::of_accept(after(&now), &[key]).unwrap();
            landings.push((key, landing.clone()));
            now = landing;
        }
        for index in order {
            if landings.is_empty() {
                break;
            }
            let (key, landing) = landings.remove(index.index(landings.len()));
            let undo = landing.inverse().rebase_onto(after(&now), &BTreeSet::from([key]));
            prop_assert!(undo.left.is_empty());
            now = undo.made;
        }
        if landings.is_empty() {
            prop_assert_eq!(after(&now), start);
        }
    }

    /// What is typed apart from a landing is there after its undo, and all else is as before.
    #[test]
    fn undo_keeps_what_was_typed(
        texts in prop_oneof![family(REPETITIVE, 0..20, 2), family(DISTINCT, 0..20, 2)],
        landed in any::<u64>(),
        at in any::<Index>(),
        later in any::<Index>(),
    ) {
        let before = of(&texts);
        let keys = pick(&acceptable(before), landed);
        let landing = VerdictEffect::of_accept(before, &list(&keys)).unwrap();
        let Some(typed) = type_apart(&landing, at, "typed since") else {
            return Ok(());
        };
        let now = ReviewTexts { current: &typed, ..after(&landing) };
        let undo = landing.inverse().rebase_onto(now, &keys);
        prop_assert!(undo.left.is_empty(), "it was typed apart");
        let text = undo.made.current.new_text();
        prop_assert_eq!(text.matches("typed since\n").count(), 1);
        prop_assert_eq!(text.replace("typed since\n", ""), before.current);
        prop_assert_eq!(undo.made.base.new_text(), before.base);
        let redo = undo.made.inverse().rebase_onto(after(&undo.made), &keys);
        prop_assert_eq!(redo.made.current.new_text(), typed);
        // And where something is typed between undo and redo.
        if let Some(typed) = type_apart(&undo.made, later, "typed later") {
            let now = ReviewTexts { current: &typed, ..after(&undo.made) };
            let redo = undo.made.inverse().rebase_onto(now, &keys);
            let text = redo.made.current.new_text();
            prop_assert_eq!(text.matches("typed later\n").count(), 1);
            if redo.left.is_empty() {
                let without = text.replace("typed later\n", "").replace("typed since\n", "");
                prop_assert_eq!(without, landing.current.new_text());
            }
        }
    }

    /// Whatever was done to the text since, an undo takes away nothing that is not its own: each
    /// hunk either goes as a whole or is left as it is.
    #[test]
    fn undo_takes_its_own_only(
        texts in prop_oneof![family(REPETITIVE, 0..20, 3), family(DISTINCT, 0..20, 3)],
        landed in any::<u64>(),
        marks in prop::collection::vec(any::<Index>(), 1..6),
    ) {
        let before = of(&texts);
        let keys = pick(&acceptable(before), landed);
        let landing = VerdictEffect::of_accept(before, &list(&keys)).unwrap();
        let mut typed = landing.current.new_text().to_owned();
        for (mark, at) in (0xE000u32..).zip(marks) {
            let mut at = at.index(typed.len() + 1);
            while !typed.is_char_boundary(at) {
                at -= 1;
            }
            typed.insert(at, char::from_u32(mark).unwrap());
        }
        let now = ReviewTexts { current: &typed, ..after(&landing) };
        let undo = landing.inverse().rebase_onto(now, &keys);
        let marks = |text: &str| -> Vec<char> {
            text.chars().filter(|c| ('\u{E000}'..'\u{F000}').contains(c)).collect()
        };
        prop_assert_eq!(marks(undo.made.current.new_text()), marks(&typed));
        for key in &undo.left {
            prop_assert!(!undo.made.touches_hunk(*key), "left in all three texts");
        }
        // Text that has nothing to do with the landing.
        let other = ReviewTexts { current: &texts.variants[2], ..after(&landing) };
        let undo = landing.inverse().rebase_onto(other, &keys);
        let redo = undo.made.inverse().rebase_onto(after(&undo.made), &keys);
        prop_assert_eq!(redo.made.current.new_text(), other.current);
        prop_assert!(undo.left.iter().all(|key| keys.contains(key)));
    }

    /// A hunk is taken out of a text that is as if it had never landed, whatever else was typed there, and
    /// of no text in which it stands; and it is in the one and not in the other.
    #[test]
    fn what_is_out_of_a_text_is_known_by_its_places(
        (distinct, texts) in prop_oneof![
            (Just(false), family(REPETITIVE, 0..20, 3)),
            (Just(true), family(DISTINCT, 0..20, 3)),
        ],
        landed in any::<u64>(),
        gone in any::<u64>(),
        at in any::<Index>(),
    ) {
        let before = of(&texts);
        let keys = pick(&acceptable(before), landed);
        let landing = VerdictEffect::of_accept(before, &list(&keys)).unwrap();
        let gone = pick(&list(&keys), gone);
        let made = &landing.current;
        let touched = |keys: &BTreeSet<HunkKey>| -> BTreeSet<HunkKey> {
            keys.iter().copied().filter(|key| made.touches_hunk(*key)).collect()
        };
        let out = |now: &str| made.reverted_hunks_in(now).into_keys().collect::<BTreeSet<_>>();
        let there = |now: &str| made.present_hunks_in(now).into_keys().collect::<BTreeSet<_>>();
        prop_assert_eq!(out(made.new_text()), BTreeSet::new());
        prop_assert_eq!(there(made.old_text()), BTreeSet::new());
        // Where lines repeat it may look as if others had gone or come.
        if distinct {
            prop_assert_eq!(there(made.new_text()), touched(&keys));
            prop_assert_eq!(out(made.old_text()), touched(&keys));
        }
        if let Some(typed) = type_apart(&landing, at, "typed") {
            prop_assert_eq!(out(&typed), BTreeSet::new());
            let now = ReviewTexts { current: &typed, ..after(&landing) };
            let undo = landing.inverse().rebase_onto(now, &gone);
            let is = out(undo.made.current.new_text());
            prop_assert!(is.is_subset(&gone), "{:?} of {:?}", is, gone);
            let undone = touched(&gone).difference(&undo.left).copied().collect();
            if distinct {
                prop_assert_eq!(is, undone);
            }
        }
        // Of any text: what counts as out is out, to whoever would take it out.
        let other = ReviewTexts { current: &texts.variants[2], ..after(&landing) };
        let gone = made.reverted_hunks_in(other.current);
        prop_assert!(gone.values().all(|lines| !lines.is_empty()));
        let undo = landing.inverse().rebase_onto(other, &gone.into_keys().collect());
        prop_assert_eq!(undo.made.current.new_text(), other.current);
        prop_assert!(undo.left.is_empty());
    }

    /// A resolved conflict can be taken back and done again.
    #[test]
    fn a_resolution_is_undone_as_a_whole(
        texts in family(DISTINCT, 1..20, 2),
        text in prop_oneof![Just(String::new()), Just("mine\n".to_owned()), Just("a\nb\n".to_owned())],
    ) {
        let before = of(&texts);
        let review = FileReview::new(before.base, before.current, before.proposed);
        for hunk in review.hunks() {
            let Some(made) = VerdictEffect::of_resolve(before, hunk.key, &text) else {
                continue;
            };
            let all = BTreeSet::from([hunk.key]);
            let undo = made.inverse().rebase_onto(after(&made), &all);
            prop_assert_eq!(after(&undo.made), before);
            let redo = undo.made.inverse().rebase_onto(after(&undo.made), &all);
            prop_assert_eq!(after(&redo.made), after(&made));
        }
    }

    /// The lines of a landing are found as long as they stand there.
    #[test]
    fn landed_lines_are_found(
        texts in prop_oneof![family(REPETITIVE, 0..20, 3), family(DISTINCT, 0..20, 3)],
        landed in any::<u64>(),
    ) {
        let before = of(&texts);
        let keys = list(&pick(&acceptable(before), landed));
        let landing = VerdictEffect::of_accept(before, &keys).unwrap().current;
        let lines = |text: &str| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>();
        let (then, now) = (lines(landing.new_text()), lines(&texts.variants[2]));
        for (key, found) in surviving_lines(&landing, &texts.variants[2]) {
            let found = &now[found.start as usize..found.end as usize];
            let own = landing.written_lines().filter(|(own, _)| *own == key);
            let written: Vec<&[String]> =
                own.map(|(_, r)| &then[r.start as usize..r.end as usize]).collect();
            prop_assert!(written.iter().any(|own| own.windows(found.len()).any(|w| w == found)));
        }
        let all: Vec<_> = landing.written_lines().filter(|(_, lines)| !lines.is_empty()).collect();
        prop_assert_eq!(surviving_lines(&landing, landing.new_text()), all);
    }
}

/// A hunk beside which something was typed is left, and the others go.
#[test]
fn what_was_typed_over_is_left() {
    let before = ReviewTexts {
        base: "1\n2\n3\n4\n5\n",
        current: "1\n2\n3\n4\n5\n",
        proposed: "1\nTWO\n3\n4\nFIVE\n",
    };
    let keys = acceptable(before);
    let landing = VerdictEffect::of_accept(before, &keys).unwrap();
    let typed = "1\nTWO and more\n3\n4\nFIVE\n";
    let now = ReviewTexts {
        current: typed,
        ..after(&landing)
    };
    let undo = landing
        .inverse()
        .rebase_onto(now, &keys.iter().copied().collect());
    assert_eq!(undo.made.current.new_text(), "1\nTWO and more\n3\n4\n5\n");
    assert_eq!(undo.made.base.new_text(), "1\nTWO\n3\n4\n5\n");
    assert_eq!(undo.left, BTreeSet::from([keys[0]]));
    assert!(
        merge3(landing.current.new_text(), typed, before.current)
            .clean_text()
            .is_none()
    );
}
