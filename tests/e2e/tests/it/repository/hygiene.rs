//! Habits of the source that no compiler checks.

use std::{fs, path::PathBuf, process::Command};

use super::workspace::root;

/// Longer files are taken apart.
const MAX_LINES: usize = 700;

/// Every file of the project that git knows or would take, with its text; generated ones left out.
fn sources(extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let sources: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(|path| !path.starts_with("protocol/generated") && !path.ends_with("Cargo.lock"))
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extensions.is_empty() || extension.is_some_and(|e| extensions.contains(&e))
        })
        // Not there: removed, but not committed yet. Not text: pictures and the like.
        .filter_map(|path| Some((path.clone(), fs::read_to_string(root().join(&path)).ok()?)))
        .collect();
    assert!(sources.len() > 10, "{sources:?}");
    sources
}

/// The lines that hold one of `words`, as `path:line: text`.
fn lines_with(sources: &[(PathBuf, String)], words: &[String]) -> Vec<String> {
    sources
        .iter()
        .flat_map(|(path, text)| {
            text.lines()
                .enumerate()
                .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
                .map(move |(number, line)| format!("{}:{}: {line}", path.display(), number + 1))
        })
        .collect()
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<String> = sources(&["rs", "ts", "lua"])
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:#?}");
}

#[test]
fn nothing_is_left_undone() {
    // Put together here, so that this file does not find itself.
    let words = [
        ["todo", "!("],
        ["unimplemented", "!("],
        ["dbg", "!("],
        ["#[ign", "ore"],
        ["#[should", "_panic"],
    ];
    let found = lines_with(&sources(&["rs"]), &words.map(|parts| parts.concat()));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    let words = [["/ro", "ot/"], ["/wo", "rk/"]];
    let found = lines_with(&sources(&[]), &words.map(|parts| parts.concat()));
    assert!(found.is_empty(), "{found:#?}");
}
