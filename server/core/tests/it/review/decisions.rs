//! What landing promises of decisions, on random texts: that accepting everything is the merge, that
//! rejecting everything is nothing, and that the order does not matter. What it promises of typing
//! meanwhile is in `landing_typing.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use claudecluster_core::{
    merge::merge3,
    review::{FileReview, HunkKey, HunkState, merge_later_result},
};
use proptest::{prelude::*, sample::Index};

use crate::support::{self, DISTINCT, REPETITIVE, config, family};

fn keys(review: &FileReview<'_>, state: HunkState) -> Vec<HunkKey> {
    let hunks = review.hunks().iter();
    hunks.filter(|h| h.state == state).map(|h| h.key).collect()
}

fn all_keys(review: &FileReview<'_>) -> Vec<HunkKey> {
    review.hunks().iter().map(|hunk| hunk.key).collect()
}

proptest! {
    #![proptest_config(config(400))]

    /// Accepting all that is not in conflict gives the merge with the conflicts as they are now.
    #[test]
    fn accepting_everything_is_merging(
        texts in prop_oneof![family(REPETITIVE, 0..20, 2), family(DISTINCT, 0..20, 2)]
    ) {
        let (base, current, proposed) = (&texts.base, &texts.variants[0], &texts.variants[1]);
        let review = support::review(base, current, proposed);
        let accepted = review.accept(&all_keys(&review));
        let merge = merge3(base, current, proposed);
        if let Some(clean) = merge.clean_text() {
            prop_assert_eq!(&accepted.current, &clean);
            prop_assert_eq!(&accepted.base, proposed, "nothing is left to decide");
            prop_assert!(accepted.refused.is_empty());
        }
        let ours = merge.with_conflicts_as(claudecluster_core::merge::MergeSide::Ours);
        prop_assert_eq!(&accepted.current, &ours);
        prop_assert_eq!(accepted.refused.len(), keys(&review, HunkState::Conflict).len());
    }

    /// What an editor put into its text by itself is known from the text alone: exactly where nothing else
    /// has changed and no line is there twice, and else so that an accept would have come to the same.
    #[test]
    fn the_text_before_an_accept_is_told_from_the_one_after(
        (texts, distinct) in prop_oneof![
            family(REPETITIVE, 0..20, 2).prop_map(|texts| (texts, false)),
            family(DISTINCT, 0..20, 2).prop_map(|texts| (texts, true)),
        ]
    ) {
        let (base, proposed) = (&texts.base, &texts.variants[1]);
        // Where lines repeat, more than one text may come to the same.
        for (current, exact) in [(base, distinct), (&texts.variants[0], false)] {
            let review = support::review(base, current, proposed);
            for key in keys(&review, HunkState::Clean) {
                prop_assert_eq!(review.text_before(&[key]), None, "it is not there");
                let after = review.accept(&[key]).current;
                let before = support::review(base, &after, proposed).text_before(&[key]);
                prop_assert!(!exact || before.as_ref() == Some(base), "{before:?}");
                if let Some(before) = before {
                    let again = support::review(base, &before, proposed).accept(&[key]);
                    prop_assert_eq!(again.current, after);
                }
            }
        }
    }

    /// Rejecting everything makes the proposal nothing.
    #[test]
    fn rejecting_everything_is_nothing(
        texts in prop_oneof![family(REPETITIVE, 0..20, 2), family(DISTINCT, 0..20, 2)]
    ) {
        let (base, current, proposed) = (&texts.base, &texts.variants[0], &texts.variants[1]);
        let review = support::review(base, current, proposed);
        let rejected = review.reject(&all_keys(&review));
        prop_assert_eq!(&rejected.proposed, base);
        let review = support::review(base, current, &rejected.proposed);
        prop_assert_eq!(&review.accept(&[]).current, current);
        prop_assert!(review.hunks().is_empty());
    }

    /// Decided one by one, in any order, hunks make the text they make when decided at once; each
    /// decision leaves the other hunks' keys as they were.
    #[test]
    fn order_does_not_matter(
        texts in family(DISTINCT, 0..30, 2),
        order in prop::collection::vec(any::<Index>(), 40),
    ) {
        let (current, proposed) = (&texts.variants[0], &texts.variants[1]);
        let review = support::review(&texts.base, current, proposed);
        let mut left = keys(&review, HunkState::Clean);
        let at_once = review.accept(&left);
        let (mut base, mut current) = (texts.base.clone(), current.clone());
        for index in order {
            if left.is_empty() {
                break;
            }
            let key = left.swap_remove(index.index(left.len()));
            let review = support::review(&base, &current, proposed);
            let before = all_keys(&review);
            let accepted = review.accept(&[key]);
            prop_assert!(accepted.refused.is_empty(), "{:?}", accepted.refused);
            (base, current) = (accepted.base, accepted.current);
            let after = all_keys(&support::review(&base, &current, proposed));
            let expected: Vec<_> = before.into_iter().filter(|k| *k != key).collect();
            prop_assert_eq!(after, expected);
        }
        if left.is_empty() {
            prop_assert_eq!((current, base), (at_once.current, at_once.base));
        }
    }

    /// Accepting some hunks and rejecting the others leaves nothing and puts in what was accepted,
    /// also where equal hunks stand in equal surroundings.
    #[test]
    fn keys_survive_decisions_on_others(
        texts in family(DISTINCT, 0..30, 1),
        copies in 1usize..4,
        decisions in prop::collection::vec(any::<(Index, bool)>(), 60),
    ) {
        // The same text several times: every hunk has twins.
        let (mut base, mut proposed) = (texts.base.repeat(copies), texts.variants[0].repeat(copies));
        if !texts.base.ends_with('\n') || !texts.variants[0].ends_with('\n') {
            (base, proposed) = (texts.base.clone(), texts.variants[0].clone());
        }
        let mut current = base.clone();
        let names = all_keys(&support::review(&base, &current, &proposed));
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        prop_assert_eq!(distinct.len(), names.len());
        let mut left = names;
        for (index, take) in decisions {
            if left.is_empty() {
                break;
            }
            let key = left.remove(index.index(left.len()));
            let review = support::review(&base, &current, &proposed);
            if take {
                let accepted = review.accept(&[key]);
                prop_assert!(accepted.refused.is_empty());
                (base, current) = (accepted.base, accepted.current);
            } else {
                let rejected = review.reject(&[key]);
                prop_assert!(rejected.refused.is_empty());
                proposed = rejected.proposed;
            }
            prop_assert_eq!(all_keys(&support::review(&base, &current, &proposed)), left.clone());
            prop_assert_eq!(&base, &current, "nobody typed");
        }
    }

    /// A hunk's places in the three texts hold what they should, wherever it is shown.
    #[test]
    fn places_hold_their_text(
        texts in prop_oneof![family(REPETITIVE, 0..20, 2), family(DISTINCT, 0..20, 2)]
    ) {
        let (base, current, proposed) = (&texts.base, &texts.variants[0], &texts.variants[1]);
        let review = support::review(base, current, proposed);
        for hunk in review.hunks() {
            let region = review.decided_region(hunk);
            prop_assert!(region.base.start <= hunk.base.start && hunk.base.end <= region.base.end);
            prop_assert_eq!(&current[review.current_bytes(hunk)], review.old_text(hunk));
            match hunk.state {
                HunkState::Clean => prop_assert_eq!(review.old_text(hunk), review.base_text(hunk)),
                HunkState::Present => prop_assert!(review.old_text(hunk).contains(review.new_text(hunk))),
                HunkState::Conflict => {}
            }
        }
        for state in [HunkState::Clean, HunkState::Present, HunkState::Conflict] {
            let asked = keys(&review, state);
            let settled = review.rebase_over_landed(&asked);
            prop_assert_eq!(settled.refused.is_empty(), state == HunkState::Present || asked.is_empty());
        }
    }

    /// Taking some hunks into the base and taking the others out of the proposal is the same.
    #[test]
    fn some_in_is_the_others_out(
        texts in prop_oneof![family(REPETITIVE, 0..20, 2), family(DISTINCT, 0..20, 2)],
        chosen in any::<u64>(),
    ) {
        let (base, current, proposed) = (&texts.base, &texts.variants[0], &texts.variants[1]);
        let review = support::review(base, current, proposed);
        let (mut some, mut others) = (Vec::new(), Vec::new());
        for (at, hunk) in review.hunks().iter().enumerate() {
            let take = hunk.state != HunkState::Conflict && chosen >> (at % 64) & 1 == 1;
            if take { some.push(hunk.key) } else { others.push(hunk.key) }
        }
        let accepted = review.accept(&some);
        prop_assert!(accepted.refused.is_empty());
        prop_assert_eq!(accepted.base, review.reject(&others).proposed);
    }

    /// A resolved conflict is no conflict any more, and the other hunks do not notice.
    #[test]
    fn resolving_leaves_the_rest(
        texts in family(DISTINCT, 1..20, 2),
        text in prop_oneof![Just(String::new()), Just("mine\n".to_owned()), Just("no end".to_owned())],
    ) {
        let (base, current, proposed) = (&texts.base, &texts.variants[0], &texts.variants[1]);
        let review = support::review(base, current, proposed);
        for hunk in review.hunks().iter().filter(|h| h.state == HunkState::Conflict) {
            let resolved = review.resolve(hunk.key, &text).unwrap();
            prop_assert!(resolved.keys.contains(&hunk.key));
            prop_assert!(resolved.current.contains(&text));
            let after = support::review(&resolved.base, &resolved.current, &resolved.proposed);
            let left = after.hunks().len() + resolved.keys.len();
            prop_assert_eq!(left, review.hunks().len());
            let conflicts = |review: &FileReview<'_>| keys(review, HunkState::Conflict).len();
            prop_assert_eq!(conflicts(&after) + resolved.keys.len(), conflicts(&review));
        }
    }

    /// A later result that does not conflict brings in its changes and keeps the earlier ones.
    #[test]
    fn later_results_join(texts in family(DISTINCT, 0..20, 2)) {
        let (base, proposed, new) = (&texts.base, &texts.variants[0], &texts.variants[1]);
        let merged = merge_later_result(base, proposed, new);
        match merged.clean_text() {
            Some(text) => {
                prop_assert_eq!(&merged.taken_ours(), &text);
                prop_assert_eq!(&merged.taken_theirs(), &text);
                // Whichever comes first.
                prop_assert_eq!(merge_later_result(base, new, proposed).clean_text(), Some(text));
            }
            None => {
                prop_assert!(merged.conflicts().count() > 0);
                prop_assert_ne!(merged.taken_ours(), merged.taken_theirs());
            }
        }
        // Nothing new changes nothing, and the same again changes nothing.
        prop_assert_eq!(merge_later_result(base, proposed, base).clean_text(), Some(proposed.clone()));
        prop_assert_eq!(merge_later_result(base, proposed, proposed).clean_text(), Some(proposed.clone()));
    }
}

#[test]
fn hunks_are_shown_where_people_expect_them() {
    let base = "/// One.\nfn one() {}\n\n/// Two.\nfn two() {}\n";
    let added = base.replace("/// Two.", "/// Two.\nfn zero() {}\n\n/// Two.");
    let check = |base: &str, current: &str, proposed: &str, expected: (&str, &str, u32)| {
        let review = support::review(base, current, proposed);
        let hunk = &review.hunks()[0];
        let found = (
            review.old_text(hunk),
            review.new_text(hunk),
            hunk.current.start,
        );
        assert_eq!(found, expected);
        assert_eq!(review.accept(&[hunk.key]).base, proposed);
        assert_eq!(review.reject(&[hunk.key]).proposed, base);
        let resolved = review.resolve(hunk.key, review.new_text(hunk)).unwrap();
        assert_eq!(resolved.current, review.accept(&[hunk.key]).current);
        hunk.key
    };
    let text = "/// Two.\nfn zero() {}\n\n";
    let plain = check(base, base, &added, ("", text, 3));
    check(&added, &added, base, (text, "", 3));
    // What is typed above limits how far it can move up, and changes neither name nor verdict.
    let typed = base.replace("fn one() {}", "fn one() { 1 }");
    assert_eq!(check(base, &typed, &added, ("", text, 3)), plain);
    let typed = base.replace("\n\n", "\n// typed\n");
    let lower = "fn zero() {}\n\n/// Two.\n";
    assert_eq!(check(base, &typed, &added, ("", lower, 4)), plain);
}

/// Keys are written into the journal: another version of the program must find the same ones.
#[test]
fn keys_are_the_same_everywhere() {
    let review = support::review("a\nb\nc\n", "typed\na\nb\nc\n", "a\nB\nc\nd\n");
    let names: Vec<_> = all_keys(&review).iter().map(HunkKey::to_string).collect();
    assert_eq!(names, ["4af1a8aa634679b6", "1368c3ebcf70e7fd"]);
    for name in names {
        assert_eq!(name.parse::<HunkKey>().unwrap().to_string(), name);
    }
}
