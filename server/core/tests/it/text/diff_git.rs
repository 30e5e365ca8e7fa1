//! The line diff: what holds of every diff, and agreement with the real `git diff`.

use claudecluster_core::diff::{DiffPurpose, IndexedText, LineChange, diff_indexed};
use proptest::prelude::*;

use crate::support::{Dice, batched, config, git_diff_all};

/// Cases that go through one git process.
const BATCH: usize = 32;

fn changes(old: &str, new: &str, purpose: DiffPurpose) -> Vec<LineChange> {
    diff_indexed(&IndexedText::new(old), &IndexedText::new(new), purpose)
}

/// How many lines come and go.
fn cost(changes: &[LineChange]) -> usize {
    changes.iter().map(|c| c.old.len() + c.new.len()).sum()
}

/// What a diff makes of the old text; proof that changes are in order and apart.
fn applied(old: &str, new: &str, changes: &[LineChange]) -> String {
    let (old, new) = (IndexedText::new(old), IndexedText::new(new));
    let (mut out, mut done) = (String::new(), (0, 0));
    for (at, change) in changes.iter().enumerate() {
        let unchanged = done.0..change.old.start;
        assert!(at == 0 || !unchanged.is_empty(), "change {at} is apart");
        assert!(
            !change.old.is_empty() || !change.new.is_empty(),
            "{at} does something"
        );
        assert_eq!(
            done.1 + unchanged.len() as u32,
            change.new.start,
            "change {at}"
        );
        out.push_str(old.slice_lines(&unchanged));
        out.push_str(new.slice_lines(&change.new));
        done = (change.old.end, change.new.end);
    }
    out.push_str(old.slice_lines(&(done.0..old.len())));
    out
}

/// How many lines come and go at the least.
fn least_cost(old: &[&str], new: &[&str]) -> usize {
    let mut row: Vec<usize> = (0..=new.len()).collect();
    for (i, a) in old.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in new.iter().enumerate() {
            let best = if a == b {
                corner
            } else {
                1 + row[j].min(row[j + 1])
            };
            corner = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[new.len()]
}

/// A text of lines from a small alphabet.
fn text(alphabet: u8, lines: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(0..alphabet, lines).prop_map(|lines| {
        lines
            .iter()
            .map(|&n| format!("{}\n", line(n.into())))
            .collect()
    })
}

/// Lines like those of code: blank, braces, and more or less indented words.
fn line(n: u32) -> String {
    match n {
        0 => "}".to_owned(),
        1 => String::new(),
        2 => "    }".to_owned(),
        3 => "\treturn".to_owned(),
        _ => format!("{}word {n}", " ".repeat(n as usize % 4 * 2)),
    }
}

fn pair() -> impl Strategy<Value = (String, String)> {
    (1u8..8).prop_flat_map(|alphabet| (text(alphabet, 0..30), text(alphabet, 0..30)))
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn every_diff_is_right_and_short((old, new) in pair()) {
        let (a, b): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
        for purpose in [DiffPurpose::Merging, DiffPurpose::Reading] {
            let found = changes(&old, &new, purpose);
            prop_assert_eq!(&applied(&old, &new, &found), &new);
            prop_assert_eq!(&changes(&old, &new, purpose), &found, "the same again");
        }
        // Frequent lines among many that the other text does not have are left out.
        let absent = |a: &[&str], b: &[&str]| a.iter().filter(|line| !b.contains(line)).count();
        let found = cost(&changes(&old, &new, DiffPurpose::Merging));
        let least = least_cost(&a, &b);
        prop_assert!(found >= least);
        if absent(&a, &b) < 7 && absent(&b, &a) < 7 {
            prop_assert_eq!(found, least);
            prop_assert_eq!(cost(&changes(&new, &old, DiffPurpose::Merging)), least, "the other way");
        }
    }
}

proptest! {
    #![proptest_config(batched(40, BATCH as u32))]

    #[test]
    fn small_diffs_are_gits(pairs in prop::collection::vec(pair(), BATCH)) {
        check(&pairs, DiffPurpose::Merging, "--no-indent-heuristic");
    }

    /// One group of lines that is only added or only removed: there is no choice of what changed,
    /// only of where it is shown.
    #[test]
    fn groups_stand_where_git_shows_them(
        pairs in prop::collection::vec(
            (1u8..12).prop_flat_map(|n| (text(n, 0..40), text(n, 0..40), text(n, 1..8), any::<bool>())),
            BATCH,
        )
    ) {
        let pair = |(above, below, group, removed): (String, String, String, bool)| {
            let texts = (format!("{above}{below}"), format!("{above}{group}{below}"));
            if removed { (texts.1, texts.0) } else { texts }
        };
        let pairs: Vec<_> = pairs.into_iter().map(pair).collect();
        check(&pairs, DiffPurpose::Reading, "--indent-heuristic");
    }
}

proptest! {
    #![proptest_config(batched(24, 4))]

    /// Long enough for the search to be cut off.
    #[test]
    fn long_diffs_are_gits(seeds in prop::collection::vec(any::<u64>(), 4)) {
        let pairs: Vec<_> = seeds.into_iter().map(|seed| long_pair(seed, &LONG)).collect();
        check(&pairs, DiffPurpose::Merging, "--no-indent-heuristic");
    }
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn very_long_diffs_are_gits(seed: u64) {
        let pair = long_pair(seed, &VERY_LONG);
        check(&[pair], DiffPurpose::Merging, "--no-indent-heuristic");
    }
}

/// One case for two hundred that there would be of short ones.
fn few() -> ProptestConfig {
    let config = config(400);
    ProptestConfig {
        cases: config.cases.div_ceil(200),
        ..config
    }
}

fn check(pairs: &[(String, String)], purpose: DiffPurpose, option: &str) {
    for ((old, new), git) in pairs.iter().zip(git_diff_all(pairs, &[option])) {
        let found = changes(old, new, purpose);
        assert!(applied(old, new, &found) == *new, "leads elsewhere");
        let texts = if old.len() < 2000 {
            format!("\nfrom {old:?}\nto {new:?}")
        } else {
            String::new()
        };
        assert!(found == git, "{found:?}\n{git:?}{texts}");
    }
}

/// How two long texts are made.
struct Shape {
    /// How many lines they have at least.
    lines: usize,
    /// The longest stretch that both have.
    same: u32,
    /// The longest stretch in which they differ.
    different: u32,
}

/// Some thousand lines.
const LONG: Shape = Shape {
    lines: 1200,
    same: 60,
    different: 500,
};
/// Enough lines for the search to go on until it finds a good place, rather than to be cut off.
const VERY_LONG: Shape = Shape {
    lines: 40_000,
    same: 1500,
    different: 400,
};

/// Two texts, stretch by stretch: the same in both, chance in each, lines that the other does not have
/// with a few that it has often, or what was there before already.
fn long_pair(seed: u64, shape: &Shape) -> (String, String) {
    let mut dice = Dice::new(seed);
    let alphabet = [2, 3, 5, 10, 40, 200, 1000][dice.roll(7) as usize];
    let words = |dice: &mut Dice, most: u32| -> Vec<u32> {
        (0..dice.roll(most)).map(|_| dice.roll(alphabet)).collect()
    };
    let (mut old, mut new) = (Vec::new(), Vec::new());
    while old.len() < shape.lines || new.len() < shape.lines {
        match dice.roll(6) {
            0..3 => {
                // Some only just long enough to go by.
                let most = [shape.same, 60][dice.roll(2) as usize];
                let words = words(&mut dice, most);
                old.extend_from_slice(&words);
                new.extend(words);
            }
            3 => {
                old.extend(words(&mut dice, shape.different));
                new.extend(words(&mut dice, shape.different));
            }
            4 => {
                let common = 5 + dice.roll(25);
                for (own, text) in [(2000, &mut old), (3000, &mut new)] {
                    for word in words(&mut dice, shape.different) {
                        let is_common = dice.roll(100) < common;
                        text.push(if is_common { word } else { own + dice.roll(50) });
                    }
                }
            }
            _ => {
                let start = dice.roll(old.len() as u32 + 1) as usize;
                let end = (start + dice.roll(shape.same) as usize).min(old.len());
                new.extend_from_slice(&old[start..end]);
            }
        }
    }
    let text = |words: Vec<u32>| words.into_iter().map(|n| line(n) + "\n").collect();
    (text(old), text(new))
}

/// Texts for which the search must be bounded. A test that compared every line with every other
/// would not end here.
#[test]
fn no_text_takes_long() {
    let each =
        |lines: u32, line: fn(u32) -> String| -> Vec<String> { (0..lines).map(line).collect() };
    let same = each(100_000, |_| "same\n".to_owned());
    let mut inserted = same.clone();
    for at in (0..1000).rev() {
        inserted.insert(at * 97 + 13, format!("new {}\n", at % 3));
    }
    let numbers = each(20_000, |n| format!("{n}\n"));
    let others = each(20_000, |n| format!("other {n}\n"));
    let every_other = each(20_000, |n| {
        if n % 2 == 0 {
            format!("{n}\n")
        } else {
            "x\n".to_owned()
        }
    });
    let mut dice = Dice::new(1);
    let mut words = |alphabet| -> Vec<String> {
        (0..4000)
            .map(|_| format!("{}\n", dice.roll(alphabet)))
            .collect()
    };
    let cases = [
        (same.concat(), inserted.concat()),
        (same.concat(), same[..60_000].concat()),
        (numbers.concat(), others.concat()),
        (numbers.concat(), every_other.concat()),
        (words(2).concat(), words(2).concat()),
        (words(300).concat(), words(300).concat()),
        (words(4000).concat(), words(4000).concat()),
    ];
    for (at, (old, new)) in cases.iter().enumerate() {
        for purpose in [DiffPurpose::Merging, DiffPurpose::Reading] {
            for (old, new) in [(old, new), (new, old)] {
                let found = changes(old, new, purpose);
                assert!(applied(old, new, &found) == *new, "case {at}, {purpose:?}");
            }
        }
    }
}
