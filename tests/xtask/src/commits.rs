//! Commit messages: Conventional Commits, checked when they are written and again in CI.

use std::fs;

use crate::run::{Result, output, program};

/// What a commit may be about.
const TYPES: [&str; 11] = [
    "build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "revert", "style", "test",
];
/// The longest subject that every tool shows in one line: for messages being written.
const MAX_NEW: usize = 72;
/// The longest subject in history, where it can no longer be shortened.
const MAX_OLD: usize = 100;
/// How many commits are checked where no range is given.
const NEWEST: &str = "--max-count=30";

/// Checks the messages of a range of commits, merges left out.
pub(crate) fn check_range(range: Option<&str>) -> Result {
    let selection = range.map_or(vec![NEWEST, "HEAD"], |range| vec![range]);
    let mut log = program("git", &["log", "--no-merges", "-z", "--format=%h%n%B"]);
    let log = output(log.args(selection).arg("--"))?;
    let mut checked = 0;
    let mut wrong = Vec::new();
    for entry in log.split('\0').filter(|entry| !entry.is_empty()) {
        let (commit, message) = entry.split_once('\n').unwrap_or((entry, ""));
        checked += 1;
        if let Err(why) = check(message, MAX_OLD) {
            let subject = message.lines().next().unwrap_or_default();
            wrong.push(format!("{commit} {subject:?}: {why}"));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n").into());
    }
    eprintln!("{checked} commit messages are fine");
    Ok(())
}

/// Checks the message that is about to be committed.
pub(crate) fn check_file(file: Option<&str>) -> Result {
    let file = file.ok_or("commit-msg needs the file with the message")?;
    let message = fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let subject = message.lines().next().unwrap_or_default();
    // `git commit --fixup` and `git merge` write these; the first is squashed away before it lands.
    if ["fixup! ", "squash! ", "amend! ", "Merge "]
        .iter()
        .any(|prefix| subject.starts_with(prefix))
    {
        return Ok(());
    }
    check(&message, MAX_NEW).map_err(|why| {
        format!(
            "the commit message is not in this project's form: {why}\n\
             Write `type(scope): what changes`, for example `fix(store): sync the folder`; \
             CONTRIBUTING.md has more."
        )
        .into()
    })
}

/// Checks one message, whose subject may have `max` characters.
fn check(message: &str, max: usize) -> std::result::Result<(), String> {
    // Git removes these lines after the hook has run.
    let mut lines = message.lines().filter(|line| !line.starts_with('#'));
    let subject = lines.next().unwrap_or_default();
    if subject.starts_with("Revert \"") {
        return Ok(());
    }
    let (head, text) = subject
        .split_once(": ")
        .ok_or("the subject has no `type: ` in front")?;
    let head = head.strip_suffix('!').unwrap_or(head);
    let (kind, scope) = match head.split_once('(') {
        Some((kind, rest)) => {
            let scope = rest.strip_suffix(')').ok_or("the scope is not closed")?;
            (kind, Some(scope))
        }
        None => (head, None),
    };
    if !TYPES.contains(&kind) {
        return Err(format!("{kind:?} is not one of {}", TYPES.join(", ")));
    }
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_/,.".contains(c);
    if scope.is_some_and(|scope| scope.is_empty() || !scope.chars().all(is_word)) {
        return Err("the scope is not a lower-case word".to_owned());
    }
    if text.trim() != text || text.is_empty() {
        return Err("the text after the type is empty or has spaces around it".to_owned());
    }
    if text.ends_with('.') {
        return Err("the subject ends with a full stop".to_owned());
    }
    let length = subject.chars().count();
    if length > max {
        return Err(format!(
            "the subject has {length} characters, more than {max}"
        ));
    }
    if lines.next().is_some_and(|line| !line.trim().is_empty()) {
        return Err("the line after the subject is not empty".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MAX_NEW, check};

    #[test]
    fn messages_are_told_apart() {
        let long = format!("feat: {}", "x".repeat(67));
        let cases: [(&str, Option<&str>); 15] = [
            ("feat(store): group commit", None),
            ("fix!: refuse a newer journal\n\nBecause.", None),
            ("docs(protocol)!: rename a key\n", None),
            (
                "Revert \"feat(store): group commit\"\n\nThis reverts …",
                None,
            ),
            ("fix: a\n# a comment of git's\n\nbody", None),
            ("", Some("no `type: `")),
            ("fix the store", Some("no `type: `")),
            ("fix:the store", Some("no `type: `")),
            ("feature: x", Some("\"feature\" is not one of")),
            ("feat(): x", Some("scope")),
            ("feat(Store): x", Some("scope")),
            ("feat(store: x", Some("not closed")),
            ("feat: done.", Some("full stop")),
            (&long, Some("73 characters")),
            ("feat: x\nbody", Some("not empty")),
        ];
        for (message, expected) in cases {
            match (check(message, MAX_NEW), expected) {
                (Ok(()), None) => {}
                (Err(why), Some(part)) if why.contains(part) => {}
                (result, _) => panic!("{message:?} gave {result:?}"),
            }
        }
    }
}
