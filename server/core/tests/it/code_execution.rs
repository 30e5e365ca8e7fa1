//! The table of files that run by themselves, against the page that shows it.

#![expect(clippy::disallowed_methods, reason = "the page is a file")]

use std::{fmt::Write as _, path::Path};

use claudecluster_core::code_execution_paths::{CODE_EXECUTION_RULES, CodeExecutionVerdict};

/// Writes the table as the page has it.
fn table() -> String {
    let mut out = String::from("| | Runs | Files |\n| --- | --- | --- |\n");
    for rule in CODE_EXECUTION_RULES {
        let verdict = match rule.verdict {
            CodeExecutionVerdict::Held => "Held",
            CodeExecutionVerdict::Marked => "Marked",
        };
        let files: Vec<String> = rule
            .files
            .split_whitespace()
            .map(|pattern| format!("`{pattern}`"))
            .collect();
        let _ = writeln!(out, "| {verdict} | {} | {} |", rule.runs, files.join(" "));
    }
    out
}

#[test]
fn the_page_shows_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/self-arming.md");
    let page = std::fs::read_to_string(page).unwrap();
    let shown = page.split_once("## The table\n\n").map(|(_, shown)| shown);
    assert_eq!(
        shown,
        Some(table().as_str()),
        "put this at the end of docs/self-arming.md:\n{}",
        table()
    );
}
