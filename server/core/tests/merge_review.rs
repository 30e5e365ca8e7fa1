//! What landing promises, on random texts: properties 1 to 6.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod merge_support;

use claudecluster_core::{
    merge::{RegionKind, merge3},
    review::{HunkKey, HunkState, Review, later, undo},
};
use merge_support as support;
use merge_support::{DISTINCT, REPETITIVE, config, family};
use proptest::{prelude::*, sample::Index};

fn keys(review: &Review<'_>, state: HunkState) -> Vec<HunkKey> {
    let hunks = review.hunks().iter();
    hunks.filter(|h| h.state == state).map(|h| h.key).collect()
}

fn all_keys(review: &Review<'_>) -> Vec<HunkKey> {
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
        if let Some(clean) = merge.clean() {
            prop_assert_eq!(&accepted.current, &clean);
            prop_assert_eq!(&accepted.base, proposed, "nothing is left to decide");
            prop_assert!(accepted.refused.is_empty());
        }
        let ours = merge.with_conflicts_as(claudecluster_core::merge::Side::Ours);
        prop_assert_eq!(&accepted.current, &ours);
        prop_assert_eq!(accepted.refused.len(), keys(&review, HunkState::Conflict).len());
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

    /// Typing in lines that no hunk touches changes no hunk but for its position.
    #[test]
    fn typing_elsewhere_changes_positions_only(
        texts in family(DISTINCT, 1..30, 2),
        at in any::<Index>(),
        typed in prop::collection::vec("[a-z]{0,3}", 1..4),
    ) {
        let (base, proposed) = (&texts.base, &texts.variants[1]);
        for current in [base, &texts.variants[0]] {
            let review = support::review(base, current, proposed);
            let mut lines: Vec<String> =
                current.split_inclusive('\n').map(str::to_owned).collect();
            let Some(last) = lines.len().checked_sub(1) else { continue };
            let at = at.index(last + 1);
            let line = u32::try_from(at).unwrap();
            let free = review.merge().regions().iter().all(|region| {
                let near = region.ours.start <= line + 1 && line <= region.ours.end;
                region.kind == RegionKind::Unchanged || !near
            });
            if !free || !lines[at].ends_with('\n') {
                continue;
            }
            lines[at] = typed.iter().map(|word| format!("typed {word}\n")).collect();
            let changed = lines.concat();
            let shift = i64::try_from(typed.len()).unwrap() - 1;
            let after = support::review(base, &changed, proposed);
            prop_assert_eq!(review.hunks().len(), after.hunks().len());
            for (old, new) in review.hunks().iter().zip(after.hunks()) {
                prop_assert_eq!((old.key, old.state), (new.key, new.state));
                prop_assert_eq!(review.old_text(old), after.old_text(new));
                prop_assert_eq!(review.new_text(old), after.new_text(new));
                let moved = if old.current.start > line { shift } else { 0 };
                prop_assert_eq!(i64::from(old.current.start) + moved, i64::from(new.current.start));
                prop_assert_eq!(i64::from(old.current.end) + moved, i64::from(new.current.end));
            }
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
            let region = review.region(hunk);
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
            let settled = review.settle(&asked);
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
            let conflicts = |review: &Review<'_>| keys(review, HunkState::Conflict).len();
            prop_assert_eq!(conflicts(&after) + resolved.keys.len(), conflicts(&review));
        }
    }

    /// Undo takes back what landed and keeps what was typed since; undoing that is redo.
    #[test]
    fn undo_is_exact(
        texts in family(DISTINCT, 0..20, 3),
        typing in any::<Index>(),
    ) {
        // `before` has earlier typing in it; the landing is what accepting everything makes of it.
        let (base, before, proposed) = (&texts.base, &texts.variants[0], &texts.variants[1]);
        let review = support::review(base, before, proposed);
        let after = review.accept(&all_keys(&review)).current;
        let plain = undo(before, &after, &after);
        prop_assert_eq!((&plain.text, plain.conflicts), (before, 0));
        // Typing since: one line of the landed text that did not come with it and is not beside it.
        let mut lines: Vec<&str> = after.split_inclusive('\n').collect();
        if lines.is_empty() {
            return Ok(());
        }
        let at = typing.index(lines.len());
        let line = u32::try_from(at).unwrap();
        let landing = merge3(&after, before, &after);
        let free = landing.regions().iter().all(|region| {
            region.kind == RegionKind::Unchanged
                || line + 1 < region.base.start || line > region.base.end
        });
        if !free || !lines[at].ends_with('\n') {
            return Ok(());
        }
        let kept = lines[at];
        let typed = format!("typed since\n{kept}");
        lines[at] = &typed;
        let now = lines.concat();
        let undone = undo(before, &after, &now);
        prop_assert_eq!(undone.conflicts, 0);
        prop_assert_eq!(undone.text.replace("typed since\n", ""), before.clone());
        prop_assert_eq!(undone.text.matches("typed since\n").count(), 1);
        let redone = undo(&now, &undone.text, &undone.text);
        prop_assert_eq!(redone.text, now);
    }

    /// A later result that does not conflict brings in its changes and keeps the earlier ones.
    #[test]
    fn later_results_join(texts in family(DISTINCT, 0..20, 2)) {
        let (base, proposed, new) = (&texts.base, &texts.variants[0], &texts.variants[1]);
        let merged = later(base, proposed, new);
        match merged.clean() {
            Some(text) => {
                prop_assert_eq!(&merged.taken_ours(), &text);
                prop_assert_eq!(&merged.taken_theirs(), &text);
                // Whichever comes first.
                prop_assert_eq!(later(base, new, proposed).clean(), Some(text));
            }
            None => {
                prop_assert!(merged.conflicts().count() > 0);
                prop_assert_ne!(merged.taken_ours(), merged.taken_theirs());
            }
        }
        // Nothing new changes nothing, and the same again changes nothing.
        prop_assert_eq!(later(base, proposed, base).clean(), Some(proposed.clone()));
        prop_assert_eq!(later(base, proposed, proposed).clean(), Some(proposed.clone()));
    }
}

/// Something that happens while a file is in review.
#[derive(Clone, Debug)]
enum Event {
    /// The developer types a mark no proposal has, somewhere.
    Type(Index),
    /// The developer deletes a stretch of at most this many characters.
    Delete(Index, usize),
    Accept(Vec<Index>),
    Reject(Vec<Index>),
    /// A hunk's stretch is resolved to what the developer's text has there.
    KeepMine(Index),
    /// A later result arrives, from the goal's first text or from the one that is there now.
    Result(Vec<(Index, String)>, bool),
    UndoLast,
}

fn event() -> impl Strategy<Value = Event> {
    let hunks = || prop::collection::vec(any::<Index>(), 0..4);
    let result = prop::collection::vec((any::<Index>(), "[xyz}]{0,2}\n"), 1..4);
    prop_oneof![
        6 => any::<Index>().prop_map(Event::Type),
        2 => (any::<Index>(), 1usize..12).prop_map(|(at, n)| Event::Delete(at, n)),
        4 => hunks().prop_map(Event::Accept),
        2 => hunks().prop_map(Event::Reject),
        1 => any::<Index>().prop_map(Event::KeepMine),
        2 => (result, any::<bool>()).prop_map(|(lines, fresh)| Event::Result(lines, fresh)),
        1 => Just(Event::UndoLast),
    ]
}

/// First character of the private use area: the marks the developer types.
const MARK: u32 = 0xE000;

fn marks(text: &str) -> Vec<char> {
    text.chars()
        .filter(|c| (MARK..0xF8FF).contains(&(*c as u32)))
        .collect()
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Replaces lines of a text. A proposal to replace what the developer typed is one the developer
/// sees before accepting it, so none is made here.
fn rewrite(text: &str, lines: &[(Index, String)]) -> String {
    let mut out: Vec<&str> = text.split_inclusive('\n').collect();
    for (at, line) in lines {
        if !out.is_empty() {
            let at = at.index(out.len());
            if marks(out[at]).is_empty() {
                out[at] = line;
            }
        }
    }
    out.concat()
}

/// A file in review with a developer in it.
struct Desk {
    first: String,
    base: String,
    current: String,
    proposed: String,
    /// What the last landing turned into what, and the base beside it.
    landing: Option<[String; 4]>,
    typed: u32,
}

impl Desk {
    /// Lets an event happen. True where the developer did it, so that marks may change.
    fn happen(&mut self, event: Event) -> bool {
        let review = support::review(&self.base, &self.current, &self.proposed);
        let names = all_keys(&review);
        let pick = |chosen: &[Index]| -> Vec<HunkKey> {
            let chosen = chosen.iter().filter(|_| !names.is_empty());
            chosen.map(|i| names[i.index(names.len())]).collect()
        };
        match event {
            Event::Type(at) => {
                let at = floor(&self.current, at.index(self.current.len() + 1));
                let mark = char::from_u32(MARK + self.typed).unwrap();
                self.current.insert(at, mark);
                self.typed += 1;
                return true;
            }
            Event::Delete(at, n) => {
                let start = floor(&self.current, at.index(self.current.len() + 1));
                let end = floor(&self.current, (start + n).min(self.current.len()));
                self.current.replace_range(start..end.max(start), "");
                return true;
            }
            Event::Accept(chosen) => {
                let accepted = review.accept(&pick(&chosen));
                let before = [self.current.clone(), accepted.current.clone()];
                let bases = [self.base.clone(), accepted.base.clone()];
                let ([a, b], [c, d]) = (before, bases);
                self.landing = Some([a, b, c, d]);
                (self.current, self.base) = (accepted.current, accepted.base);
            }
            Event::Reject(chosen) => self.proposed = review.reject(&pick(&chosen)).proposed,
            Event::KeepMine(at) => {
                let Some(&key) = pick(&[at]).first() else {
                    return false;
                };
                let hunk = review.hunk(key).unwrap();
                let resolved = review.resolve(key, review.old_text(hunk)).unwrap();
                (self.base, self.current, self.proposed) =
                    (resolved.base, resolved.current, resolved.proposed);
            }
            Event::Result(lines, fresh) => {
                let from = if fresh {
                    self.current.clone()
                } else {
                    self.first.clone()
                };
                let new = rewrite(&from, &lines);
                self.proposed = later(&from, &self.proposed, &new).taken_ours();
            }
            Event::UndoLast => {
                let Some([a, b, c, d]) = self.landing.take() else {
                    return false;
                };
                self.current = undo(&a, &b, &self.current).text;
                self.base = undo(&c, &d, &self.base).text;
            }
        }
        false
    }
}

proptest! {
    #![proptest_config(config(400))]

    /// Whatever happens, every character the developer typed and did not delete is there, in order.
    #[test]
    fn no_keystroke_is_lost(
        texts in prop_oneof![family(REPETITIVE, 0..12, 2), family(DISTINCT, 0..12, 2)],
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut desk = Desk {
            first: texts.base.clone(),
            base: texts.base,
            current: texts.variants[0].clone(),
            proposed: texts.variants[1].clone(),
            landing: None,
            typed: 0,
        };
        let mut expected = Vec::new();
        for event in events {
            let what = format!("{event:?}");
            if desk.happen(event) {
                expected = marks(&desk.current);
            }
            prop_assert_eq!(marks(&desk.current), expected.clone(), "after {}", what);
        }
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
