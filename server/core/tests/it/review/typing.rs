//! What landing promises of somebody who types meanwhile, on random texts: that no keystroke is lost,
//! that edits elsewhere leave hunks alone, and that undo is exact.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::collections::BTreeSet;

use claudecluster_core::{
    merge::{MergeRegionKind, MergeSide},
    review::{FileReview, HunkKey, HunkState, ReviewTexts, VerdictEffect, merge_later_result},
};
use proptest::{prelude::*, sample::Index};

use crate::support::{self, DISTINCT, Family, REPETITIVE, config, family};

fn all_keys(review: &FileReview<'_>) -> Vec<HunkKey> {
    review.hunks().iter().map(|hunk| hunk.key).collect()
}

/// Something that happens while a file is in review.
#[derive(Clone, Debug)]
enum Event {
    /// The developer types a mark no proposal has, somewhere.
    Type(Index),
    /// The developer types a mark on a line of its own.
    TypeLine(Index),
    /// The developer deletes a stretch of at most this many characters.
    Delete(Index, usize),
    Accept(Vec<Index>),
    Reject(Vec<Index>),
    Resolve(Index, Choice),
    /// A later result arrives, from the goal's first text or from the one that is there now.
    Result(Vec<(Index, String)>, bool),
    /// One of the moves so far is taken back. An undo counts as one, so this is redo too.
    Undo(Index),
}

/// What a hunk's stretch becomes.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Mine,
    Theirs,
    Both,
}

fn event() -> impl Strategy<Value = Event> {
    let hunks = || prop::collection::vec(any::<Index>(), 0..4);
    let result = prop::collection::vec((any::<Index>(), "([xyz}]{0,2}\n){0,2}"), 1..4);
    let choice = prop::sample::select(vec![Choice::Mine, Choice::Theirs, Choice::Both]);
    prop_oneof![
        6 => any::<Index>().prop_map(Event::Type),
        2 => any::<Index>().prop_map(Event::TypeLine),
        2 => (any::<Index>(), 1usize..12).prop_map(|(at, n)| Event::Delete(at, n)),
        4 => hunks().prop_map(Event::Accept),
        2 => hunks().prop_map(Event::Reject),
        2 => (any::<Index>(), choice).prop_map(|(at, choice)| Event::Resolve(at, choice)),
        2 => (result, any::<bool>()).prop_map(|(lines, fresh)| Event::Result(lines, fresh)),
        2 => any::<Index>().prop_map(Event::Undo),
    ]
}

/// First character of the private use area: the marks the developer types, each another one.
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

/// Replaces lines of a text. A proposal to replace, to move or to repeat what the developer typed is
/// one the developer sees before accepting it, so none is made here: lines that come are unlike all
/// others where the text has something typed in it, for a line moved over its like is the like moved
/// over the line.
fn rewrite(text: &str, lines: &[(Index, String)], unlike: Option<usize>) -> String {
    let mut out: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for (n, (at, line)) in lines.iter().enumerate() {
        if !out.is_empty() {
            let at = at.index(out.len());
            if marks(&out[at]).is_empty() {
                out[at].clone_from(line);
                if let Some(result) = unlike {
                    out[at] = line.replace('\n', &format!("#{result}.{n}\n"));
                }
            }
        }
    }
    out.concat()
}

/// A move, and the hunks it was about.
type Move = (VerdictEffect, BTreeSet<HunkKey>);

/// A file in review with a developer in it.
struct Desk {
    first: String,
    base: String,
    current: String,
    proposed: String,
    moves: Vec<Move>,
    typed: u32,
    results: usize,
}

impl Desk {
    /// Lets an event happen. True where the developer did it, so that marks may change.
    fn happen(&mut self, event: Event) -> bool {
        match event {
            Event::Type(at) => self.type_at(at, ""),
            Event::TypeLine(at) => self.type_at(at, "\n"),
            Event::Delete(at, n) => {
                let start = floor(&self.current, at.index(self.current.len() + 1));
                let end = floor(&self.current, (start + n).min(self.current.len()));
                self.current.replace_range(start..end.max(start), "");
                return true;
            }
            Event::Accept(chosen) => {
                let review = FileReview::new(&self.base, &self.current, &self.proposed);
                let ready = |key: &HunkKey| review.hunk(*key).unwrap().state != HunkState::Conflict;
                let keys: Vec<HunkKey> = self.pick(&chosen).into_iter().filter(ready).collect();
                let made = VerdictEffect::of_accept(self.texts(), &keys);
                self.make(made, keys);
                return false;
            }
            Event::Reject(chosen) => {
                let keys = self.pick(&chosen);
                let made = VerdictEffect::of_reject(self.texts(), &keys);
                self.make(made, keys);
                return false;
            }
            Event::Resolve(at, choice) => {
                self.resolve(at, choice);
                return false;
            }
            Event::Result(lines, fresh) => {
                let from = if fresh { &self.current } else { &self.first };
                self.results += 1;
                let new = rewrite(from, &lines, fresh.then_some(self.results));
                self.proposed = merge_later_result(from, &self.proposed, &new).taken_ours();
                return false;
            }
            Event::Undo(which) => {
                if !self.moves.is_empty() {
                    let (made, keys) = &self.moves[which.index(self.moves.len())];
                    let undone = made.inverse().rebase_onto(self.texts(), keys);
                    let keys = keys.difference(&undone.left).copied().collect();
                    self.make(Some(undone.made), keys);
                }
                return false;
            }
        }
        true
    }

    fn type_at(&mut self, at: Index, around: &str) {
        let at = floor(&self.current, at.index(self.current.len() + 1));
        let mark = char::from_u32(MARK + self.typed).unwrap();
        self.current
            .insert_str(at, &format!("{around}{mark}{around}"));
        self.typed += 1;
    }

    fn texts(&self) -> ReviewTexts<'_> {
        ReviewTexts {
            base: &self.base,
            current: &self.current,
            proposed: &self.proposed,
        }
    }

    /// Makes a move, if it could be computed.
    fn make(&mut self, made: Option<VerdictEffect>, keys: Vec<HunkKey>) {
        let Some(made) = made else { return };
        made.base.new_text().clone_into(&mut self.base);
        made.current.new_text().clone_into(&mut self.current);
        made.proposed.new_text().clone_into(&mut self.proposed);
        self.moves.push((made, keys.into_iter().collect()));
    }

    fn pick(&self, chosen: &[Index]) -> Vec<HunkKey> {
        let names = all_keys(&FileReview::new(&self.base, &self.current, &self.proposed));
        let chosen = chosen.iter().filter(|_| !names.is_empty());
        chosen.map(|i| names[i.index(names.len())]).collect()
    }

    fn resolve(&mut self, at: Index, choice: Choice) {
        let Some(&key) = self.pick(&[at]).first() else {
            return;
        };
        let review = FileReview::new(&self.base, &self.current, &self.proposed);
        let region = review.decided_region(review.hunk(key).unwrap());
        let mine = review.merge().text_of(&region, MergeSide::Ours);
        let theirs = review.merge().text_of(&region, MergeSide::Theirs);
        // Taking theirs is how the developer takes their own text away, and a proposal that was made
        // on top of what was typed has it too. Neither is what is to be shown here.
        let choice = match choice {
            Choice::Theirs if marks(mine).is_empty() && marks(theirs).is_empty() => {
                theirs.to_owned()
            }
            Choice::Both if marks(theirs).is_empty() && mine.ends_with('\n') => {
                format!("{mine}{theirs}")
            }
            _ => mine.to_owned(),
        };
        let made = VerdictEffect::of_resolve(self.texts(), key, &choice);
        self.make(made, vec![key]);
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
            moves: Vec::new(),
            typed: 0,
            results: 0,
        };
        let mut expected = Vec::new();
        for event in events {
            let what = format!("{event:?}");
            if desk.happen(event) {
                expected = marks(&desk.current);
                let different: BTreeSet<_> = expected.iter().collect();
                prop_assert_eq!(different.len(), expected.len(), "no character twice");
            }
            prop_assert_eq!(marks(&desk.current), expected.clone(), "after {}", what);
            let review = FileReview::new(&desk.base, &desk.current, &desk.proposed);
            prop_assert_eq!(review.hunks().is_empty(), desk.base == desk.proposed);
        }
    }

    /// An edit that touches no hunk changes no hunk but for its position: not when lines go, come or
    /// are others, not beside lines that were typed before, and not with hunks that conflict.
    #[test]
    fn edits_elsewhere_change_positions_only(
        texts in family(DISTINCT, 1..30, 2),
        at in any::<Index>(),
        removed in 0u32..4,
        typed in prop::collection::vec("[a-z]{0,3}", 0..4),
    ) {
        let (base, proposed) = (&texts.base, &texts.variants[1]);
        for current in [base, &texts.variants[0]] {
            let review = support::review(base, current, proposed);
            let lines: Vec<&str> = current.split_inclusive('\n').collect();
            let count = u32::try_from(lines.len()).unwrap();
            let start = u32::try_from(at.index(lines.len() + 1)).unwrap();
            let end = (start + removed).min(count);
            // One unchanged line on either side keeps the edit apart from what is proposed.
            let free = review.merge().regions().iter().all(|region| {
                matches!(region.kind, MergeRegionKind::Unchanged | MergeRegionKind::Ours)
                    || region.ours.end < start || end < region.ours.start
            });
            let apart = review.merge().regions().iter().all(|region| {
                region.kind != MergeRegionKind::Ours || region.ours.end < start || end < region.ours.start
            });
            let whole = lines.last().is_none_or(|line| line.ends_with('\n'));
            if !free || !apart || !whole {
                continue;
            }
            let (above, below) = (&lines[..start as usize], &lines[end as usize..]);
            let typed: Vec<String> = typed.iter().map(|word| format!("typed {word}\n")).collect();
            let changed = format!("{}{}{}", above.concat(), typed.concat(), below.concat());
            let shift = i64::try_from(typed.len()).unwrap() - i64::from(end - start);
            let after = support::review(base, &changed, proposed);
            prop_assert_eq!(review.hunks().len(), after.hunks().len());
            for (old, new) in review.hunks().iter().zip(after.hunks()) {
                prop_assert_eq!((old.key, old.state), (new.key, new.state));
                prop_assert_eq!(review.old_text(old), after.old_text(new));
                prop_assert_eq!(review.new_text(old), after.new_text(new));
                let moved = if old.current.start >= end { shift } else { 0 };
                prop_assert_eq!(i64::from(old.current.start) + moved, i64::from(new.current.start));
                prop_assert_eq!(i64::from(old.current.end) + moved, i64::from(new.current.end));
            }
        }
    }

    /// Any landing can be taken back later: the text is what it would be without that landing, with
    /// everything typed and everything landed since. Taking that back is redo, and taking all of them
    /// back leaves what was typed.
    #[test]
    fn undo_is_exact(
        texts in family(DISTINCT, 4..30, 1),
        steps in prop::collection::vec(desk_step(), 1..16),
        order in prop::collection::vec(any::<Index>(), 16),
    ) {
        let (base, proposed) = (&texts.base, distinct(&texts));
        let (now, moves) = replay(base, &proposed, &steps, &BTreeSet::new());
        for (step, (made, keys)) in &moves {
            let (without, _) = replay(base, &proposed, &steps, &BTreeSet::from([*step]));
            let undone = made.inverse().rebase_onto(texts_of(&now, &proposed), keys);
            prop_assert!(undone.left.is_empty());
            prop_assert_eq!(made_of(&undone.made), without.clone());
            let redone = undone.made.inverse().rebase_onto(texts_of(&without, &proposed), keys);
            prop_assert!(redone.left.is_empty());
            prop_assert_eq!(made_of(&redone.made), now.clone());
        }
        let (mut texts, mut left, mut gone) = (now, moves, BTreeSet::new());
        for which in order {
            if left.is_empty() {
                break;
            }
            let (step, (made, keys)) = left.swap_remove(which.index(left.len()));
            texts = made_of(&made.inverse().rebase_onto(texts_of(&texts, &proposed), &keys).made);
            gone.insert(step);
            prop_assert_eq!(&texts, &replay(base, &proposed, &steps, &gone).0);
        }
    }
}

/// The base and the current text.
type BaseAndCurrent = (String, String);

fn texts_of<'a>((base, current): &'a BaseAndCurrent, proposed: &'a str) -> ReviewTexts<'a> {
    ReviewTexts {
        base,
        current,
        proposed,
    }
}

fn made_of(made: &VerdictEffect) -> BaseAndCurrent {
    (
        made.base.new_text().to_owned(),
        made.current.new_text().to_owned(),
    )
}

/// What happens at a desk where landings are to be undone.
#[derive(Clone, Debug)]
enum DeskStep {
    /// Some of the hunks that are left land at once.
    Land(Vec<Index>),
    /// A line is typed where no hunk is near.
    Type(Index),
}

fn desk_step() -> impl Strategy<Value = DeskStep> {
    prop_oneof![
        prop::collection::vec(any::<Index>(), 1..4).prop_map(DeskStep::Land),
        any::<Index>().prop_map(DeskStep::Type),
    ]
}

/// The proposal, with every line it adds another one: of equal lines a diff may take either.
fn distinct(texts: &Family) -> String {
    let lines = texts.variants[0].split_inclusive('\n').enumerate();
    lines
        .map(|(at, line)| line.replace("new ", &format!("new {at}.")))
        .collect()
}

/// The texts after the steps without those in `skip`, and the moves that were made.
fn replay(
    base: &str,
    proposed: &str,
    steps: &[DeskStep],
    skip: &BTreeSet<usize>,
) -> (BaseAndCurrent, Vec<(usize, Move)>) {
    let first = FileReview::new(base, base, proposed);
    let names = all_keys(&first);
    let lines: Vec<&str> = base.split_inclusive('\n').collect();
    let far = |line: u32| {
        let mut hunks = first.hunks().iter();
        hunks.all(|hunk| line + 1 < hunk.base.start || hunk.base.end < line)
    };
    let free: Vec<&str> = (0u32..)
        .zip(&lines)
        .filter(|&(at, line)| far(at) && line.ends_with('\n'))
        .map(|(_, line)| *line)
        .collect();
    let mut texts = (base.to_owned(), base.to_owned());
    let (mut landed, mut moves) = (BTreeSet::new(), Vec::new());
    for (at, step) in steps.iter().enumerate() {
        match step {
            DeskStep::Type(_) if free.is_empty() => {}
            DeskStep::Type(line) => {
                let line = free[line.index(free.len())];
                texts.1 = texts.1.replacen(line, &format!("{line}typed {at}\n"), 1);
            }
            DeskStep::Land(chosen) => {
                let chosen = chosen.iter().filter(|_| !names.is_empty());
                let chosen = chosen.map(|i| names[i.index(names.len())]);
                let new: Vec<HunkKey> = chosen.filter(|key| landed.insert(*key)).collect();
                if skip.contains(&at) || new.is_empty() {
                    continue;
                }
                let made = VerdictEffect::of_accept(texts_of(&texts, proposed), &new).unwrap();
                texts = made_of(&made);
                moves.push((at, (made, new.into_iter().collect())));
            }
        }
    }
    (texts, moves)
}

proptest! {
    #![proptest_config(config(200))]

    /// A file keeps its way of ending lines, whatever is decided.
    #[test]
    fn line_endings_are_kept(
        texts in family(DISTINCT, 1..20, 2),
        chosen in prop::collection::vec(any::<Index>(), 1..6),
        text in prop::sample::select(vec!["", "mine\r\n", "no end", "one\r\nno end"]),
    ) {
        let crlf = |text: &str| text.replace("\r\n", "\n").replace('\n', "\r\n");
        let lone = |text: &str| text.replace("\r\n", "").contains(['\r', '\n']);
        let (base, current, proposed) =
            (crlf(&texts.base), crlf(&texts.variants[0]), crlf(&texts.variants[1]));
        let review = FileReview::new(&base, &current, &proposed);
        let names = all_keys(&review);
        for index in chosen.iter().filter(|_| !names.is_empty()) {
            let key = names[index.index(names.len())];
            let accepted = review.accept(&[key]);
            prop_assert!(!lone(&accepted.current), "{:?}", accepted.current);
            let conflict = review.hunk(key).unwrap().state == HunkState::Conflict;
            if conflict && current.contains('\n') {
                let resolved = review.resolve(key, text).unwrap();
                prop_assert!(!lone(&resolved.current), "{:?}", resolved.current);
            }
        }
    }
}
