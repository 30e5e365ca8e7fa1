//! Goals from comments that name work to do.
//!
//! There is no parser: a marker counts if it is the first word of a comment, in the comment styles of
//! most languages.

use claudecluster_core::display_text::line as plain_text;
use claudecluster_protocol::{
    editor::{DefaultScope, LineRange},
    goal::GoalScopeKind,
};

use super::goal_offer::{GoalOffer, OfferContext};
use crate::documents::lines::{ClientLines, lines_overlap};

/// The words that mark work to do.
const MARKERS: [&str; 4] = ["TODO", "FIXME", "HACK", "XXX"];

/// The starts of comments, on a line of their own or after code. A longer one comes before its prefix.
const LEADERS: [&str; 6] = ["<!--", "/*", "//", "--", "(*", "#"];
/// The starts of comments that are operators or text after code, so they count at a line's start only.
const LINE_START_LEADERS: [&str; 4] = ["*", ";", "%", "{-"];
/// The ends of comments that have one.
const CLOSERS: [&str; 4] = ["-->", "*/", "*)", "-}"];

/// The extensions of files in which comments are ordinary text.
const PROSE: [&str; 9] = [
    "adoc", "csv", "json", "log", "markdown", "md", "org", "rst", "txt",
];

/// The most lines of one comment.
const LONGEST_COMMENT: usize = 30;
/// The most comments that are offered one by one.
const MOST_OFFERED: usize = 3;
/// The most comments that the prompt for a file lists.
const MOST_LISTED: usize = 50;

/// A comment that names work to do.
struct TodoComment {
    lines: LineRange,
    /// The text without comment signs and marker, line by line.
    text: Vec<String>,
}

/// Offers to do each comment on the lines of the request, and all comments of the file.
pub(super) fn offer_todos(context: &OfferContext<'_>) -> Vec<GoalOffer> {
    if PROSE.contains(&context.extension().as_str()) {
        return Vec::new();
    }
    let text = context.text();
    let first = (context.lines.start_line as usize).saturating_sub(LONGEST_COMMENT);
    let end = (context.lines.end_line as usize).min(text.len());
    let mut found = find_todos(text, first, end);
    found.retain(|todo| lines_overlap(todo.lines, context.lines));
    let file = context.file_name();
    let any = !found.is_empty();
    let mut offers: Vec<_> = found
        .into_iter()
        .take(MOST_OFFERED)
        .map(|todo| GoalOffer {
            verb: "Do this with ClaudeCluster".into(),
            about: todo.text.join(" "),
            prompt: format!(
                "Do what this comment in {file} asks for, and take the comment away: {}",
                todo.text.join("\n")
            ),
            kind: default_scope(context),
            range: Some(todo.lines),
            fixes: None,
        })
        .collect();
    if any && !context.automatic {
        offers.extend(offer_whole_file(context, &file));
    }
    offers
}

/// Returns the scope of the settings: a comment does not name one.
fn default_scope(context: &OfferContext<'_>) -> GoalScopeKind {
    let scope: DefaultScope = context.settings.scope.unwrap_or_default();
    scope.into()
}

/// Offers to do all comments of a file, if there are several.
fn offer_whole_file(context: &OfferContext<'_>, file: &str) -> Option<GoalOffer> {
    let found = find_todos(context.text(), 0, context.text().len());
    let count = found.len();
    if count < 2 {
        return None;
    }
    let list: String = found
        .iter()
        .take(MOST_LISTED)
        .map(|todo| format!("\n- {}", plain_text::to_line(&todo.text.join(" "), 300)))
        .collect();
    let more = match count.saturating_sub(MOST_LISTED) {
        0 => String::new(),
        more => format!("\n- and {more} more"),
    };
    Some(GoalOffer {
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
        kind: default_scope(context),
        range: None,
        fixes: None,
    })
}

/// Finds the comments that begin on the lines from `first` up to `end`.
fn find_todos(text: ClientLines<'_>, first: usize, end: usize) -> Vec<TodoComment> {
    let mut found = Vec::new();
    let mut at = first;
    while at < end {
        match read_todo(text, at) {
            Some(todo) => {
                at = todo.lines.end_line as usize;
                found.push(todo);
            }
            None => at += 1,
        }
    }
    found
}

/// Reads the comment that begins on a line, with its further lines.
fn read_todo(text: ClientLines<'_>, at: usize) -> Option<TodoComment> {
    let line = text.get(at);
    let comment = find_marker(&line)?;
    let (words, closed) = cut_closer(comment.text);
    let mut parts = vec![plain_text::to_line(words, 300)];
    let mut end = at + 1;
    while comment.alone && !closed && end < text.len() && end - at < LONGEST_COMMENT {
        let next = text.get(end);
        if find_marker(&next).is_some() {
            break;
        }
        let Some(rest) = continued_text(&next, &comment) else {
            break;
        };
        let (words, closed) = cut_closer(rest);
        let words = plain_text::to_line(words, 300);
        // An empty line ends the work that the comment names. A closer on a line of its own belongs to
        // the comment.
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
    (!parts.is_empty()).then(|| TodoComment {
        lines: text.range(at, end),
        text: parts,
    })
}

/// A line with a comment that begins with a marker.
struct MarkedCommentLine<'a> {
    leader: &'static str,
    /// Whether there is no code before the comment.
    alone: bool,
    /// The text after the marker.
    text: &'a str,
}

fn find_marker(line: &str) -> Option<MarkedCommentLine<'_>> {
    MARKERS.iter().find_map(|marker| {
        line.match_indices(marker).find_map(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + marker.len()..]);
            let ends = |c: char| c.is_alphanumeric() || c == '_';
            if after.starts_with(ends) {
                return None;
            }
            let (leader, alone) = find_leader(before)?;
            Some(MarkedCommentLine {
                leader,
                alone,
                text: skip_assignee(after),
            })
        })
    })
}

/// Returns the leader at the end of a text, and whether only space is before it.
fn find_leader(before: &str) -> Option<(&'static str, bool)> {
    let before = before.trim_end().trim_end_matches('@').trim_end();
    // A leader may be longer than its sign: `/// `, `//! `, `/** `, `;; `, `## `.
    let more = ['/', '!', '*', '#', '-', ';', '%', '<', '(', '{'];
    let code = before.trim_end_matches(more);
    let written = &before[code.len()..];
    let alone = code.trim().is_empty();
    let begins = |leader: &&&str| written.starts_with(**leader);
    if let Some(leader) = LEADERS.iter().find(begins) {
        let apart = alone || code.ends_with(char::is_whitespace) && !in_string(code);
        return apart.then_some((*leader, alone));
    }
    let leader = LINE_START_LEADERS.iter().find(begins)?;
    alone.then_some((*leader, true))
}

/// Whether a text ends within a string, judged by its unpaired quotes.
fn in_string(code: &str) -> bool {
    ['"', '`']
        .iter()
        .any(|&quote| code.matches(quote).count() % 2 == 1)
}

/// Removes the assignee, as in `TODO(ann): `, and the punctuation after a marker.
fn skip_assignee(text: &str) -> &str {
    let text = text.trim_start();
    let named = [('(', ')'), ('[', ']')].iter().find_map(|&(open, close)| {
        text.strip_prefix(open)?
            .split_once(close)
            .map(|(_, rest)| rest)
    });
    let text = named.unwrap_or(text).trim_start();
    text.trim_start_matches([':', '-', '!', '.']).trim()
}

/// Returns the text of a line that continues a comment; `None` if the line does not continue it.
fn continued_text<'a>(line: &'a str, comment: &MarkedCommentLine<'_>) -> Option<&'a str> {
    let line = line.trim();
    match comment.leader {
        // The lines of a block comment need no sign.
        "/*" | "(*" | "{-" | "<!--" => {
            let rest = line.strip_prefix('*');
            let rest = rest.filter(|rest| !rest.starts_with(['/', ')']));
            Some(rest.unwrap_or(line).trim_start())
        }
        "*" => {
            let rest = line.strip_prefix('*')?;
            // This line ends the block comment.
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

/// Returns the text before the end of a comment, and whether the comment ends on this line.
fn cut_closer(text: &str) -> (&str, bool) {
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
    fn marked_comments_are_found_with_all_their_lines() {
        let check = |text: &str, expected: &[(u32, u32, &str)]| {
            let rope = Rope::from_str(text);
            let found = find_todos(ClientLines(&rope), 0, rope.len_lines());
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
        // A marker without words is no goal.
        check("// TODO", &[]);
        check("// TODO:\n// two\n", &[(0, 2, "two")]);
        // The marker is not the first word of a comment.
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
    fn an_unclosed_comment_is_cut() {
        let rope = Rope::from_str(&format!("/* TODO: one\n{}", "more\n".repeat(100)));
        let found = find_todos(ClientLines(&rope), 0, 1);
        assert_eq!(found[0].lines.end_line as usize, LONGEST_COMMENT);
    }
}
