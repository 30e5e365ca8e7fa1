//! Goals from comments that say what is to be done. There is no parser here: a marker counts where it is the
//! first word of a comment as most languages write one.

use claudecluster_protocol::{
    editor::{DefaultScope, LineRange},
    goal::GoalScopeKind,
};

use super::from_here::{Here, Offer, overlap};
use crate::{anchor::Lines, words};

const MARKERS: [&str; 4] = ["TODO", "FIXME", "HACK", "XXX"];

/// What begins a comment, on a line of its own or behind code; longer ones before those they begin with.
const ANYWHERE: [&str; 6] = ["<!--", "/*", "//", "--", "(*", "#"];
/// What begins one only where nothing but space stands before it: elsewhere it is something else.
const ALONE: [&str; 4] = ["*", ";", "%", "{-"];
/// What ends a comment that takes an end.
const CLOSERS: [&str; 4] = ["-->", "*/", "*)", "-}"];

/// Files in which all of that is text.
const PROSE: [&str; 9] = [
    "adoc", "csv", "json", "log", "markdown", "md", "org", "rst", "txt",
];

/// So many lines of a comment are one thing to do.
const LONGEST: usize = 30;
/// So many of them are offered for one place, or listed for a file.
const SHOWN: usize = 3;
const LISTED: usize = 50;

/// A comment that says what is to be done.
struct Todo {
    lines: LineRange,
    text: Vec<String>,
}

/// The comments on the lines asked about, and all of the file where somebody asks.
pub(super) fn offers(here: &Here<'_>) -> Vec<Offer> {
    if PROSE.contains(&here.extension().as_str()) {
        return Vec::new();
    }
    let text = here.text();
    let first = (here.lines.start_line as usize).saturating_sub(LONGEST);
    let end = (here.lines.end_line as usize).min(text.len());
    let mut found = todos(text, first, end);
    found.retain(|todo| overlap(todo.lines, here.lines));
    let file = here.file();
    let any = !found.is_empty();
    let mut offers: Vec<_> = found
        .into_iter()
        .take(SHOWN)
        .map(|todo| Offer {
            verb: "Do this with ClaudeCluster".into(),
            about: todo.text.join(" "),
            prompt: format!(
                "Do what this comment in {file} asks for, and take the comment away: {}",
                todo.text.join("\n")
            ),
            kind: scope(here),
            range: Some(todo.lines),
            solves: None,
        })
        .collect();
    if any && !here.automatic {
        offers.extend(all(here, &file));
    }
    offers
}

/// What such a goal may be about is for the settings to say: the comment does not.
fn scope(here: &Here<'_>) -> GoalScopeKind {
    let scope: DefaultScope = here.settings.scope.unwrap_or_default();
    scope.into()
}

/// All of a file, where that is more than one.
fn all(here: &Here<'_>, file: &str) -> Option<Offer> {
    let found = todos(here.text(), 0, here.text().len());
    let count = found.len();
    if count < 2 {
        return None;
    }
    let list: String = found
        .iter()
        .take(LISTED)
        .map(|todo| format!("\n- {}", words::line(&todo.text.join(" "), 300)))
        .collect();
    let more = match count.saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("\n- and {more} more"),
    };
    Some(Offer {
        verb: format!("Do all {count} of this file with ClaudeCluster"),
        about: found
            .iter()
            .flat_map(|todo| todo.text.first())
            .cloned()
            .collect::<Vec<_>>()
            .join("; "),
        prompt: format!(
            "Do what the {count} comments in {file} ask for that are marked as to do, and take them \
             away:{list}{more}"
        ),
        kind: scope(here),
        range: None,
        solves: None,
    })
}

/// Those that begin on lines `first` up to before `end`.
fn todos(text: Lines<'_>, first: usize, end: usize) -> Vec<Todo> {
    let mut found = Vec::new();
    let mut at = first;
    while at < end {
        match todo(text, at) {
            Some(todo) => {
                at = todo.lines.end_line as usize;
                found.push(todo);
            }
            None => at += 1,
        }
    }
    found
}

/// The one that begins on this line, with the lines that belong to it.
fn todo(text: Lines<'_>, at: usize) -> Option<Todo> {
    let line = text.get(at);
    let comment = marked(&line)?;
    let (words, closed) = without_closer(comment.text);
    let mut parts = vec![words::line(words, 300)];
    let mut end = at + 1;
    while comment.alone && !closed && end < text.len() && end - at < LONGEST {
        let next = text.get(end);
        if marked(&next).is_some() {
            break;
        }
        let Some(rest) = continues(&next, &comment) else {
            break;
        };
        let (words, closed) = without_closer(rest);
        let words = words::line(words, 300);
        // An empty line of a comment ends what it said; so does an end on a line of its own, which is not
        // part of what is to be done but of the comment.
        if words.is_empty() && !closed {
            break;
        }
        end += 1;
        parts.push(words);
        if closed {
            break;
        }
    }
    parts.retain(|part| !part.is_empty());
    (!parts.is_empty()).then(|| Todo {
        lines: text.range(at, end),
        text: parts,
    })
}

/// A line's comment that begins with a marker.
struct Marked<'a> {
    leader: &'static str,
    /// Nothing stands before it.
    alone: bool,
    /// What follows the marker.
    text: &'a str,
}

fn marked(line: &str) -> Option<Marked<'_>> {
    MARKERS.iter().find_map(|marker| {
        line.match_indices(marker).find_map(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + marker.len()..]);
            let ends = |c: char| c.is_alphanumeric() || c == '_';
            if after.starts_with(ends) {
                return None;
            }
            let (leader, alone) = leader(before)?;
            Some(Marked {
                leader,
                alone,
                text: behind_marker(after),
            })
        })
    })
}

/// The leader that a text ends with, and whether nothing but space stands before it.
fn leader(before: &str) -> Option<(&'static str, bool)> {
    let before = before.trim_end().trim_end_matches('@').trim_end();
    // `/// `, `//! `, `/** `, `;; `, `## `: the leader and more of its kind.
    let more = ['/', '!', '*', '#', '-', ';', '%', '<', '(', '{'];
    let code = before.trim_end_matches(more);
    let written = &before[code.len()..];
    let alone = code.trim().is_empty();
    let begins = |leader: &&&str| written.starts_with(**leader);
    if let Some(leader) = ANYWHERE.iter().find(begins) {
        let apart = alone || code.ends_with(char::is_whitespace) && !in_string(code);
        return apart.then_some((*leader, alone));
    }
    let leader = ALONE.iter().find(begins)?;
    alone.then_some((*leader, true))
}

/// As far as that can be told without a parser: quotes come in pairs.
fn in_string(code: &str) -> bool {
    ['"', '`']
        .iter()
        .any(|&quote| code.matches(quote).count() % 2 == 1)
}

/// What is said, without who said it.
fn behind_marker(text: &str) -> &str {
    let text = text.trim_start();
    let named = [('(', ')'), ('[', ']')].iter().find_map(|&(open, close)| {
        text.strip_prefix(open)?
            .split_once(close)
            .map(|(_, rest)| rest)
    });
    let text = named.unwrap_or(text).trim_start();
    text.trim_start_matches([':', '-', '!', '.']).trim()
}

/// What a further line of the same comment says.
fn continues<'a>(line: &'a str, comment: &Marked<'_>) -> Option<&'a str> {
    let line = line.trim();
    match comment.leader {
        // Their lines need not be marked.
        "/*" | "(*" | "{-" | "<!--" => {
            let rest = line.strip_prefix('*');
            let rest = rest.filter(|rest| !rest.starts_with(['/', ')']));
            Some(rest.unwrap_or(line).trim_start())
        }
        "*" => {
            let rest = line.strip_prefix('*')?;
            // The end of all of it.
            (!rest.starts_with('/')).then(|| rest.trim())
        }
        leader => {
            let rest = line.strip_prefix(leader)?;
            Some(
                rest.trim_start_matches(['/', '!', '#', '-', ';', '%'])
                    .trim(),
            )
        }
    }
}

/// The text before the end of the comment, and whether it ends there.
fn without_closer(text: &str) -> (&str, bool) {
    let closer = CLOSERS.iter().filter_map(|closer| text.find(closer)).min();
    match closer {
        Some(at) => (text[..at].trim_end_matches('*').trim(), true),
        None => (text.trim(), false),
    }
}

#[cfg(test)]
mod tests {
    use ropey::Rope;

    use super::*;

    #[test]
    fn what_is_to_be_done_is_found_in_comments_and_taken_whole() {
        let check = |text: &str, expected: &[(u32, u32, &str)]| {
            let rope = Rope::from_str(text);
            let found = todos(Lines(&rope), 0, rope.len_lines());
            let found: Vec<_> = found
                .iter()
                .map(|todo| {
                    (
                        todo.lines.start_line,
                        todo.lines.end_line,
                        todo.text.join("|"),
                    )
                })
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|&(first, end, text)| (first, end, text.to_owned()))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("// TODO: one\n// two\ncode\n", &[(0, 2, "one|two")]);
        check(
            "  /// FIXME(ann): one\r\n  /// two\r\n  ///\r\n  /// three",
            &[(0, 2, "one|two")],
        );
        check("x = 1  # TODO one\n# two\n", &[(0, 1, "one")]);
        check("# TODO one\n# XXX two\n", &[(0, 1, "one"), (1, 2, "two")]);
        check("/* HACK - one\n   two */\ncode", &[(0, 2, "one|two")]);
        check(
            "/**\n * Words.\n * TODO: one\n *   two\n */\n",
            &[(2, 4, "one|two")],
        );
        check("/* TODO: one\n */\ncode", &[(0, 2, "one")]);
        check("<!-- TODO: one -->\ntext", &[(0, 1, "one")]);
        check("-- TODO: one\n--\n", &[(0, 1, "one")]);
        check(";; TODO: one\n", &[(0, 1, "one")]);
        check("% TODO: one\n", &[(0, 1, "one")]);
        check("(* TODO: one *) let x = 1", &[(0, 1, "one")]);
        check("let s = \"http://x\"; // TODO: one", &[(0, 1, "one")]);
        check("// @TODO one", &[(0, 1, "one")]);
        check(
            "// TODO(ann) [x]: \u{202e}one\u{1b}[2J",
            &[(0, 1, "[x]: one [2J")],
        );
        // No words, no goal.
        check("// TODO", &[]);
        check("// TODO:\n// two\n", &[(0, 2, "two")]);
        // Not the first word of a comment, or no comment.
        check("// a TODO: one", &[]);
        check("// TODOS: one", &[]);
        check("let TODO = 1;", &[]);
        check("let s = \"// TODO: one\";", &[]);
        check("let s = \"a // TODO: one\";", &[]);
        check("a % TODO", &[]);
        check("https://TODO", &[]);
        check("", &[]);
    }

    #[test]
    fn a_comment_without_end_is_cut() {
        let rope = Rope::from_str(&format!("/* TODO: one\n{}", "more\n".repeat(100)));
        let found = todos(Lines(&rope), 0, 1);
        assert_eq!(found[0].lines.end_line as usize, LONGEST);
    }
}
