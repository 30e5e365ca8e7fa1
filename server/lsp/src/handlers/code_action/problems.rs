//! Goals from the diagnostics of other servers, as the client passes them on.

use claudecluster_protocol::{
    editor::{LineRange, SECTION},
    goal::GoalScopeKind,
};
use lsp_types::{Code, Diagnostic, DiagnosticSeverity, Message};

use super::from_here::{Here, Offer, overlap, whole_lines};
use crate::words;

/// So many problems of one place are offered one by one.
const OFFERED: usize = 5;
/// So many different messages of problems that are alike are told to whoever fixes them.
const TOLD: usize = 20;
/// How much of one message is passed on.
const MESSAGE: (usize, usize) = (20, 300);

struct Problem<'a> {
    told: &'a Diagnostic,
    lines: LineRange,
    /// Its message, line by line.
    message: Vec<String>,
    /// Who reports it, and its code.
    by: String,
    /// What it has in common with others that are like it.
    likeness: (Option<&'a str>, String),
}

/// The problems on the lines asked about, each alone and with all that are like it.
pub(super) fn offers(here: &Here<'_>, told: &[Diagnostic]) -> Vec<Offer> {
    let problems: Vec<_> = told.iter().filter_map(problem).collect();
    let mut shown: Vec<&Problem<'_>> = Vec::new();
    for problem in &problems {
        let known =
            |one: &&Problem<'_>| one.message == problem.message && one.lines == problem.lines;
        if overlap(problem.lines, here.lines)
            && !(here.automatic && is_hint(problem))
            && !shown.iter().any(known)
        {
            shown.push(problem);
        }
    }
    shown.truncate(OFFERED);
    let mut offers: Vec<_> = shown.iter().map(|problem| one(here, problem)).collect();
    let mut kinds: Vec<&Problem<'_>> = Vec::new();
    for problem in shown {
        if !kinds.iter().any(|kind| kind.likeness == problem.likeness) {
            kinds.push(problem);
        }
    }
    for kind in kinds {
        offers.extend(all_in_file(here, kind, &problems));
        // What cannot be counted is only offered to those who ask.
        if !here.automatic {
            offers.push(all_in_workspace(here, kind));
        }
    }
    offers
}

fn problem(told: &Diagnostic) -> Option<Problem<'_>> {
    // Conflicts have actions of their own.
    if told.source.as_deref() == Some(SECTION) {
        return None;
    }
    let text = match &told.message {
        Message::String(text) => text,
        Message::MarkupContent(content) => &content.value,
    };
    let message = words::block(text, MESSAGE.0, MESSAGE.1);
    let first = message.first()?;
    let source = told.source.as_deref();
    let code = match &told.code {
        None => None,
        Some(Code::String(code)) => Some(code.clone()),
        Some(Code::Int(code)) => Some(code.to_string()),
    };
    let likeness = (source, code.clone().unwrap_or_else(|| shape(first)));
    let by = [source, code.as_deref()];
    let by: Vec<_> = by.into_iter().flatten().collect();
    Some(Problem {
        told,
        lines: whole_lines(told.range),
        by: words::line(&by.join(" "), 60),
        message,
        likeness,
    })
}

fn is_hint(problem: &Problem<'_>) -> bool {
    problem.told.severity == Some(DiagnosticSeverity::Hint)
}

impl Problem<'_> {
    /// The first line of its message and who says so.
    fn sentence(&self) -> String {
        let first = self.message.first().map(String::as_str).unwrap_or_default();
        if self.by.is_empty() {
            first.to_owned()
        } else {
            format!("{first} ({})", self.by)
        }
    }
}

/// The lines are told by the range, which follows them while the user types.
fn one(here: &Here<'_>, problem: &Problem<'_>) -> Offer {
    let mut prompt = format!("Fix in {}: {}", here.file(), problem.sentence());
    for line in problem.message.iter().skip(1) {
        prompt.push('\n');
        prompt.push_str(line);
    }
    Offer {
        verb: "Fix with ClaudeCluster".into(),
        about: problem.message.join(" "),
        prompt,
        kind: GoalScopeKind::Files,
        range: Some(problem.lines),
        solves: Some(problem.told.clone()),
    }
}

/// All problems of the file that are like this one. Their number is told where the client passes all on, and
/// there is no such offer where it is the only one.
fn all_in_file(here: &Here<'_>, kind: &Problem<'_>, problems: &[Problem<'_>]) -> Option<Offer> {
    let alike: Vec<_> = problems
        .iter()
        .filter(|problem| problem.likeness == kind.likeness)
        .collect();
    let counted = here.settings.diagnostics == Some(true);
    let all = match alike.len() {
        1 if counted || here.automatic => return None,
        n if counted => format!("all {n}"),
        _ if here.automatic => return None,
        _ => "all".to_owned(),
    };
    let mut prompt = format!(
        "Fix {all} like this in {}: {}",
        here.file(),
        kind.sentence()
    );
    prompt.push_str(&others(&alike));
    Some(Offer {
        verb: format!("Fix {all} like this in this file with ClaudeCluster"),
        about: kind.message.join(" "),
        prompt,
        kind: GoalScopeKind::Files,
        range: None,
        solves: Some(kind.told.clone()),
    })
}

/// All problems of the workspace that are like this one: how many there are nobody has told the server.
fn all_in_workspace(here: &Here<'_>, kind: &Problem<'_>) -> Offer {
    let (file, sentence) = (here.file(), kind.sentence());
    Offer {
        verb: "Fix all like this in the workspace with ClaudeCluster".into(),
        about: kind.message.join(" "),
        prompt: format!(
            "Fix all like this in the workspace, wherever they are: {sentence}\n\
             One of them is in {file}; find the others as the project's own tools do."
        ),
        kind: GoalScopeKind::Workspace,
        range: None,
        solves: Some(kind.told.clone()),
    }
}

/// The messages, where they differ.
fn others(alike: &[&Problem<'_>]) -> String {
    let mut messages: Vec<_> = alike.iter().filter_map(|one| one.message.first()).collect();
    messages.sort();
    messages.dedup();
    if messages.len() < 2 {
        return String::new();
    }
    let more = messages.len().saturating_sub(TOLD);
    let mut text = String::from("\nThe editor shows:");
    for message in messages.into_iter().take(TOLD) {
        text.push_str("\n- ");
        text.push_str(message);
    }
    if more > 0 {
        text.push_str(&format!("\n- and {more} more"));
    }
    text
}

/// A message without what differs between problems of one kind: what it quotes, and numbers.
fn shape(message: &str) -> String {
    let mut shape = String::new();
    let mut chars = message.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let closing = match c {
            '`' | '"' => Some(c),
            // Not the one in "can't".
            '\'' if !before.is_alphanumeric() => Some('\''),
            '“' => Some('”'),
            '‘' => Some('’'),
            '«' => Some('»'),
            _ => None,
        };
        before = c;
        if let Some(closing) = closing
            && chars.clone().any(|c| c == closing)
        {
            chars.by_ref().find(|&c| c == closing);
            shape.push('§');
        } else if c.is_numeric() {
            while chars.next_if(|c| c.is_numeric()).is_some() {}
            shape.push('0');
        } else {
            shape.push(c);
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_kind_have_one_shape() {
        let check = |one: &str, other: &str, alike: bool| {
            assert_eq!(shape(one) == shape(other), alike, "{one:?} {other:?}");
        };
        check("unused variable: `x`", "unused variable: `long_name`", true);
        check("unused variable: `x`", "unused import: `x`", false);
        check("line has 120 columns", "line has 99 columns", true);
        check("'a' can't be 'b'", "'c d' can't be 'e'", true);
        check("don't `a`", "don't `b` here", false);
        check("\"a\" is “b”", "\"x\" is “y”", true);
        // A quote that nothing closes is a character like others.
        check("5` and", "6` and", true);
        check("a ` b", "a ` c", false);
    }
}
