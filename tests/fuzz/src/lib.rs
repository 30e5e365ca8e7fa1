//! What the fuzzer runs, each a function of bytes that panics where something is wrong.
//!
//! The same functions run over `seeds/` in an ordinary test of `claudecluster-core`, so that they stay
//! right between two runs of the fuzzer.

use std::collections::BTreeSet;

use arbitrary::{Result, Unstructured};
use claudecluster_core::{
    display_text::{is_hidden, json, line, markdown, terminal},
    merge::{MergeSide, merge3},
    plan::check_plan,
    review::{FileReview, HunkKey, HunkState, ReviewTexts, VerdictEffect, words},
    text::{
        ContentChange, EditShape, LineIndex, PositionEncoding, apply_change, apply_edits,
        text_edits,
    },
};
use claudecluster_protocol::Plan;
use ropey::Rope;

const ENCODINGS: [PositionEncoding; 3] = [
    PositionEncoding::Utf8,
    PositionEncoding::Utf16,
    PositionEncoding::Utf32,
];

/// Three texts, merged and reviewed.
pub fn merge(data: &[u8]) {
    let mut data = Unstructured::new(data);
    // Bytes that run out give shorter texts, never an error worth looking at.
    let _ = three(&mut data).map(|[base, current, proposed]| {
        merges(&base, &current, &proposed);
        words_merge(&base, &current, &proposed);
        reviews(&base, &current, &proposed);
    });
}

/// A text and two that were made from it.
fn three(data: &mut Unstructured<'_>) -> Result<[String; 3]> {
    let ending = *data.choose(&["\n", "\n", "\r\n", "\r"])?;
    let base = lines(data)?;
    let (ours, theirs) = (variant(&base, data)?, variant(&base, data)?);
    let mut text = |lines: &[String]| {
        let text = lines.join(ending);
        let end = if data.ratio(5, 6).unwrap_or(true) {
            ending
        } else {
            ""
        };
        text + end
    };
    Ok([text(&base), text(&ours), text(&theirs)])
}

fn line(data: &mut Unstructured<'_>) -> Result<String> {
    let common = [
        "",
        "}",
        "    return;",
        "a",
        "b",
        "\u{e9}\u{1f600}",
        "\u{2028}",
    ];
    match data.int_in_range(0..=9u8)? {
        at @ 0..=6 => Ok(common[usize::from(at)].to_owned()),
        7 => Ok(data.arbitrary::<String>()?.chars().take(6).collect()),
        _ => Ok(format!("line {}", data.arbitrary::<u8>()?)),
    }
}

fn lines(data: &mut Unstructured<'_>) -> Result<Vec<String>> {
    let count = data.int_in_range(0..=24usize)?;
    (0..count).map(|_| line(data)).collect()
}

fn variant(base: &[String], data: &mut Unstructured<'_>) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for old in base {
        match data.int_in_range(0..=15u8)? {
            0 => {}
            1 => out.push(line(data)?),
            2 => out.extend([line(data)?, old.clone()]),
            _ => out.push(old.clone()),
        }
    }
    out.extend(lines(data).into_iter().flatten().take(2));
    Ok(out)
}

fn merges(base: &str, ours: &str, theirs: &str) {
    let merge = merge3(base, ours, theirs);
    for (side, text) in [
        (MergeSide::Base, base),
        (MergeSide::Ours, ours),
        (MergeSide::Theirs, theirs),
    ] {
        let parts = merge
            .regions()
            .iter()
            .map(|region| merge.text_of(region, side));
        assert_eq!(parts.collect::<String>(), text, "the regions are the text");
    }
    let turned = merge3(base, theirs, ours);
    assert_eq!(
        merge.clean_text(),
        turned.clean_text(),
        "a merge has no direction"
    );
    assert_eq!(
        merge.with_conflicts_as(MergeSide::Ours),
        turned.with_conflicts_as(MergeSide::Theirs)
    );
    assert_eq!(
        merge3(base, base, theirs).clean_text().as_deref(),
        Some(theirs)
    );
    assert_eq!(
        merge3(base, theirs, theirs).clean_text().as_deref(),
        Some(theirs)
    );
}

fn words_merge(base: &str, ours: &str, theirs: &str) {
    let merged = words::merge_words(base, ours, theirs);
    assert_eq!(
        merged,
        words::merge_words(base, theirs, ours),
        "a merge has no direction"
    );
    assert_eq!(
        words::merge_words(base, base, theirs).as_deref(),
        Some(theirs)
    );
    if let Some(merged) = merged.filter(|_| ours != base && theirs != base && ours != theirs) {
        assert_eq!(merged.lines().count(), base.lines().count());
    }
}

fn reviews(base: &str, current: &str, proposed: &str) {
    let review = FileReview::new(base, current, proposed);
    let names = |of: &dyn Fn(HunkState) -> bool| -> Vec<HunkKey> {
        let hunks = review.hunks().iter().filter(|hunk| of(hunk.state));
        hunks.map(|hunk| hunk.key).collect()
    };
    let all = names(&|_| true);
    let ready = names(&|state| state != HunkState::Conflict);
    assert_eq!(
        all.iter().collect::<BTreeSet<_>>().len(),
        all.len(),
        "names differ"
    );
    assert_eq!(all.is_empty(), base == proposed);
    let merged = merge3(base, current, proposed).with_conflicts_as(MergeSide::Ours);
    assert_eq!(
        review.accept(&all).current,
        merged,
        "accepting all is merging"
    );
    assert_eq!(
        review.reject(&all).proposed,
        base,
        "rejecting all is nothing"
    );
    let before = ReviewTexts {
        base,
        current,
        proposed,
    };
    if let Some(made) = VerdictEffect::of_accept(before, &ready) {
        let now = ReviewTexts {
            base: made.base.new_text(),
            current: made.current.new_text(),
            proposed: made.proposed.new_text(),
        };
        let undone = made
            .inverse()
            .rebase_onto(now, &ready.into_iter().collect());
        assert!(undone.left.is_empty());
        assert_eq!(undone.made.current.new_text(), current, "undo is exact");
        assert_eq!(undone.made.base.new_text(), base, "undo is exact");
    }
}

/// Two texts, as positions and as edits from the one to the other.
pub fn positions(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let _ = two(&mut data).map(|(old, new)| {
        for encoding in ENCODINGS {
            places(&old, encoding);
            for shape in [EditShape::Plain, EditShape::InLines] {
                let list = text_edits(&old, &new, encoding, shape);
                assert_eq!(apply_edits(&old, &list, encoding), new);
                // As a client applies them: one after the other, the last first.
                let mut rope = Rope::from_str(&old);
                for edit in list.iter().rev() {
                    let change = ContentChange {
                        range: Some(edit.range.clone()),
                        text: edit.new_text.clone(),
                    };
                    apply_change(&mut rope, &change, encoding);
                }
                assert_eq!(rope, new);
            }
        }
    });
}

fn two(data: &mut Unstructured<'_>) -> Result<(String, String)> {
    Ok((text(data)?, text(data)?))
}

fn text(data: &mut Unstructured<'_>) -> Result<String> {
    let pieces = [
        "\n",
        "\r\n",
        "\r",
        "\u{2028}",
        "\u{1f600}",
        "e\u{301}",
        "\u{feff}",
        "a",
        "xy",
    ];
    let count = data.int_in_range(0..=24usize)?;
    let mut out = String::new();
    for _ in 0..count {
        match data.int_in_range(0..=11usize)? {
            at if at < pieces.len() => out.push_str(pieces[at]),
            _ => out.push(data.arbitrary()?),
        }
    }
    Ok(out)
}

fn places(text: &str, encoding: PositionEncoding) {
    let index = LineIndex::new(text);
    let bytes = text.as_bytes();
    for at in 0..=text.len() {
        let inside = at > 0 && bytes.get(at - 1..=at) == Some(b"\r\n");
        let back = index.offset(index.position(at, encoding), encoding);
        if text.is_char_boundary(at) && !inside {
            assert_eq!(back, at);
        } else {
            assert!(back < at);
        }
    }
}

/// A plan as a planner may write it.
pub fn plan(data: &[u8]) {
    let Ok(plan) = serde_json::from_slice::<Plan>(data) else {
        return;
    };
    // Both answers are right; only an end of the process would not be.
    let _ = check_plan(&plan, &Default::default());
    let again = serde_json::to_vec(&plan).expect("a plan is JSON");
    let again: Plan = serde_json::from_slice(&again).expect("what is written can be read");
    assert_eq!(again, plan);
}

/// A foreign text in every medium.
pub fn display(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let shown = terminal::escape_controls(&text);
    assert!(
        shown
            .chars()
            .all(|c| matches!(c, '\n' | '\t') || !is_hidden(c))
    );
    assert_eq!(shown, terminal::escape_controls(&shown));
    let styled = terminal::escape_all_but_styles(&text);
    assert!(
        styled
            .chars()
            .all(|c| matches!(c, '\n' | '\t' | '\u{1b}') || !is_hidden(c))
    );
    let value = serde_json::Value::from(text.as_ref());
    let written = json::escape_hidden(&value.to_string());
    assert!(!written.chars().any(is_hidden));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&written).ok(),
        Some(value)
    );
    let one = line::to_line(&text, 60);
    assert!(one.chars().count() <= 60 && !one.contains(['\n', '\r', '\u{1b}', '\u{202e}']));
    assert!(!line::to_message(&text).contains(['\r', '\u{1b}', '\u{202e}']));
    let rendered = markdown::escape_text(&text);
    assert!(rendered.chars().all(|c| c == '\n' || !is_hidden(c)));
}
