//! What a real Neovim makes of small edits.

use claudecluster_core::text::{EditShape, PositionEncoding, TextEdit, TextPosition, text_edits};
use claudecluster_e2e::World;
use serde_json::{Value, json};

/// What is put in the place of lines, each line without its ending.
const ADDED: [&[&str]; 7] = [
    &[],
    &["x"],
    &["x", "y"],
    &[""],
    &["", ""],
    &["x", ""],
    &["", "x"],
];

#[test]
fn every_small_edit_makes_the_text_that_was_computed() {
    let cases = serde_json::to_string(&all_cases()).unwrap();
    let mut world = World::new(&[("cases.json", &cases)]);
    let said = world.neovim("edits.lua", &["cases.json"]);
    assert_eq!(said.status, 0, "{said:#?}");
}

/// Every change of the lines of a text of up to three, with each kind of line ending, with and without one at the end.
fn all_cases() -> Vec<Value> {
    let mut cases = Vec::new();
    for (ending, at_end) in [("\n", true), ("\r\n", true), ("\n", false), ("\r\n", false)] {
        let join = |lines: &[&str]| match lines {
            [] => String::new(),
            lines if at_end => lines.join(ending) + ending,
            lines => lines.join(ending),
        };
        for old in [&["a", "b", "c"][..], &["a"], &["", "a", ""], &["", ""]] {
            let starts = 0..=old.len();
            let ranges = starts.flat_map(|start| (start..=old.len()).map(move |end| (start, end)));
            for (start, end) in ranges {
                for added in ADDED {
                    let new = join(&[&old[..start], added, &old[end..]].concat());
                    let old = join(old);
                    // A text has its first line ending from the first line that is read.
                    let has_ending = ending == "\n" || old.contains(ending);
                    // Neovim does not tell a text without lines from one with an empty line.
                    if has_ending && !new.is_empty() && old.ends_with('\n') == new.ends_with('\n') {
                        cases.extend(case(&old, &new));
                    }
                }
            }
        }
    }
    cases
}

fn case(old: &str, new: &str) -> Option<Value> {
    let edits = text_edits(old, new, PositionEncoding::Utf16, EditShape::InLines);
    let edits: Vec<Value> = edits.iter().map(describe_edit).collect();
    (!edits.is_empty()).then(|| json!({"old": old, "new": new, "edits": edits}))
}

fn describe_edit(edit: &TextEdit) -> Value {
    let at = |at: TextPosition| json!({"line": at.line, "character": at.character});
    let range = json!({"start": at(edit.range.start), "end": at(edit.range.end)});
    json!({"range": range, "newText": edit.new_text})
}
