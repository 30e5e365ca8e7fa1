//! A live review is the review of the texts that are there now, whatever has been typed.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use claudecluster_core::review::{FileReview, LiveReview};
use proptest::{prelude::*, sample::Index};
use ropey::Rope;

use crate::support::{DISTINCT, REPETITIVE, assert_same, config, family};

/// Something that happens to the text.
#[derive(Clone, Debug)]
enum Edit {
    /// A stretch of characters is replaced.
    Replace(Index, usize, String),
    /// A stretch of lines goes elsewhere.
    Move(Index, Index, Index),
    /// The last line loses or gets its terminator.
    End,
    /// All line endings change.
    Endings,
    /// The text is another one.
    Whole(String),
    /// The text is the base, or the proposal.
    Side(bool),
}

fn edit() -> impl Strategy<Value = Edit> {
    let text = || "[a-c\\n\\r}\u{e9}\u{1f600}]{0,6}";
    let at = any::<Index>;
    prop_oneof![
        8 => (at(), 0usize..8, text()).prop_map(|(at, n, text)| Edit::Replace(at, n, text)),
        2 => (at(), at(), at()).prop_map(|(a, b, c)| Edit::Move(a, b, c)),
        1 => Just(Edit::End),
        1 => Just(Edit::Endings),
        1 => text().prop_map(Edit::Whole),
        1 => any::<bool>().prop_map(Edit::Side),
    ]
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn edited(text: &str, edit: &Edit, base: &str, proposed: &str) -> String {
    match edit {
        Edit::Replace(at, n, new) => {
            let start = floor(text, at.index(text.len() + 1));
            let end = floor(text, (start + n).min(text.len())).max(start);
            format!("{}{new}{}", &text[..start], &text[end..])
        }
        Edit::Move(a, b, to) => {
            let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
            let (a, b) = (a.index(lines.len() + 1), b.index(lines.len() + 1));
            let moved: Vec<&str> = lines.drain(a.min(b)..a.max(b)).collect();
            let to = to.index(lines.len() + 1);
            lines.splice(to..to, moved);
            lines.concat()
        }
        Edit::End => match text.strip_suffix('\n') {
            Some(text) => text.to_owned(),
            None => format!("{text}\n"),
        },
        Edit::Endings if text.contains("\r\n") => text.replace("\r\n", "\n"),
        Edit::Endings => text.replace('\n', "\r\n"),
        Edit::Whole(text) => text.clone(),
        Edit::Side(false) => base.to_owned(),
        Edit::Side(true) => proposed.to_owned(),
    }
}

proptest! {
    #![proptest_config(config(400))]

    /// After every edit, taken from a string or from a rope, it is what a new review would be.
    #[test]
    fn live_is_fresh(
        texts in prop_oneof![family(REPETITIVE, 0..20, 2), family(DISTINCT, 0..20, 2)],
        edits in prop::collection::vec((edit(), any::<bool>()), 1..24),
    ) {
        let (base, proposed) = (&texts.base, &texts.variants[1]);
        let mut live = LiveReview::new(base.as_str(), proposed.as_str());
        assert_same(&live.review(), &FileReview::new(base, base, proposed));
        let mut current = texts.variants[0].clone();
        for (edit, as_rope) in edits {
            current = edited(&current, &edit, base, proposed);
            let review = if as_rope {
                live.update_rope(&Rope::from_str(&current))
            } else {
                live.update(&current)
            };
            assert_same(&review, &FileReview::new(base, &current, proposed));
        }
    }
}

/// Lines that were typed over are forgotten, and what is left stays right.
#[test]
fn memory_is_bounded() {
    let base: String = (0..200).map(|n| format!("line {n}\n")).collect();
    let proposed = base.replace("line 50\n", "fifty\n");
    let mut live = LiveReview::new(base.as_str(), proposed.as_str());
    let mut current = base.clone();
    let before = live.memory_size();
    let long = "x".repeat(1000);
    for n in 0..12_000 {
        let text = if n % 2 == 0 { "" } else { &long };
        current = base.replace("line 100\n", &format!("typed {n} {text}\n"));
        live.update(&current);
    }
    assert!(
        live.memory_size() < before + (2 << 20),
        "{before} -> {}",
        live.memory_size()
    );
    assert_same(&live.review(), &FileReview::new(&base, &current, &proposed));
}

/// A file of many chunks, edited at both ends and in the middle of characters' bytes.
#[test]
fn long_texts_in_ropes() {
    let base: String = (0..3_000)
        .map(|n| format!("\u{1f600} line {n} \u{e9}\r\n"))
        .collect();
    let proposed = base.replace("line 1500 ", "line proposed ");
    let mut live = LiveReview::new(base.as_str(), proposed.as_str());
    let mut rope = Rope::from_str(&base);
    for n in 0..60 {
        let chars = rope.len_chars();
        let at = [0, chars, chars / 2, chars / 3][n % 4];
        rope.insert(at, ["\u{1f601}", "\u{ea}\n", "x", "\r\n"][n / 4 % 4]);
        if n % 7 == 0 {
            rope.remove(at.min(rope.len_chars() - 9)..at.min(rope.len_chars() - 9) + 9);
        }
        let current = rope.to_string();
        assert_same(
            &live.update_rope(&rope),
            &FileReview::new(&base, &current, &proposed),
        );
    }
}
