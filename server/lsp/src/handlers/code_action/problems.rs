//! Goals that fix the diagnostics of other servers, as the client passes them on.

use claudecluster_core::display_text::line as plain_text;
use claudecluster_protocol::{
    editor::{LineRange, SECTION},
    goal::GoalScopeKind,
};
use lsp_types::{Code, Diagnostic, DiagnosticSeverity, Message};

use super::goal_offer::{GoalOffer, OfferContext};
use crate::documents::lines::{covered_lines, lines_overlap};

/// The most problems of one place that are offered one by one.
const MOST_OFFERED: usize = 5;
/// The most messages of similar problems in one prompt.
const MOST_MESSAGES: usize = 20;
/// The most lines of one message, and the most characters of each line.
const MESSAGE_SIZE: (usize, usize) = (20, 300);

/// A diagnostic of another server.
struct ReportedProblem<'a> {
    diagnostic: &'a Diagnostic,
    lines: LineRange,
    /// The message, line by line.
    message: Vec<String>,
    /// The reporting server and the code of the diagnostic.
    origin: String,
    /// The source with the code, or with the shape of the message. Equal for similar problems.
    likeness: (Option<&'a str>, String),
}

/// Offers to fix each problem on the lines of the request, alone and with all similar problems.
pub(super) fn offer_fixes(
    context: &OfferContext<'_>,
    diagnostics: &[Diagnostic],
) -> Vec<GoalOffer> {
    let problems: Vec<_> = diagnostics.iter().filter_map(to_problem).collect();
    let mut shown: Vec<&ReportedProblem<'_>> = Vec::new();
    for problem in &problems {
        let known = |one: &&ReportedProblem<'_>| {
            one.message == problem.message && one.lines == problem.lines
        };
        if lines_overlap(problem.lines, context.lines)
            && !(context.automatic && is_hint(problem))
            && !shown.iter().any(known)
        {
            shown.push(problem);
        }
    }
    shown.truncate(MOST_OFFERED);
    let mut offers: Vec<_> = shown
        .iter()
        .map(|problem| offer_one(context, problem))
        .collect();
    let mut kinds: Vec<&ReportedProblem<'_>> = Vec::new();
    for problem in shown {
        if !kinds.iter().any(|kind| kind.likeness == problem.likeness) {
            kinds.push(problem);
        }
    }
    for kind in kinds {
        offers.extend(offer_all_in_file(context, kind, &problems));
        // The problems of the workspace cannot be counted, so they show no light bulb.
        if !context.automatic {
            offers.push(offer_all_in_workspace(context, kind));
        }
    }
    offers
}

/// Reads a diagnostic; `None` for diagnostics of this server, which have other actions.
fn to_problem(diagnostic: &Diagnostic) -> Option<ReportedProblem<'_>> {
    if diagnostic.source.as_deref() == Some(SECTION) {
        return None;
    }
    let text = match &diagnostic.message {
        Message::String(text) => text,
        Message::MarkupContent(content) => &content.value,
    };
    let message = plain_text::to_lines(text, MESSAGE_SIZE.0, MESSAGE_SIZE.1);
    let first = message.first()?;
    let source = diagnostic.source.as_deref();
    let code = match &diagnostic.code {
        None => None,
        Some(Code::String(code)) => Some(code.clone()),
        Some(Code::Int(code)) => Some(code.to_string()),
    };
    let likeness = (source, code.clone().unwrap_or_else(|| message_shape(first)));
    let origin = [source, code.as_deref()];
    let origin: Vec<_> = origin.into_iter().flatten().collect();
    Some(ReportedProblem {
        diagnostic,
        lines: covered_lines(diagnostic.range),
        origin: plain_text::to_line(&origin.join(" "), 60),
        message,
        likeness,
    })
}

fn is_hint(problem: &ReportedProblem<'_>) -> bool {
    problem.diagnostic.severity == Some(DiagnosticSeverity::Hint)
}

impl ReportedProblem<'_> {
    /// Returns the first line of the message with its origin.
    fn first_line(&self) -> String {
        let first = self.message.first().map(String::as_str).unwrap_or_default();
        if self.origin.is_empty() {
            first.to_owned()
        } else {
            format!("{first} ({})", self.origin)
        }
    }
}

/// Offers to fix one problem.
///
/// The prompt names no lines: the range of the offer does, and follows them while the user types.
fn offer_one(context: &OfferContext<'_>, problem: &ReportedProblem<'_>) -> GoalOffer {
    let mut prompt = format!("Fix in {}: {}", context.file_name(), problem.first_line());
    for line in problem.message.iter().skip(1) {
        prompt.push('\n');
        prompt.push_str(line);
    }
    GoalOffer {
        verb: "Fix with ClaudeCluster".into(),
        about: problem.message.join(" "),
        prompt,
        kind: GoalScopeKind::Files,
        range: Some(problem.lines),
        fixes: Some(problem.diagnostic.clone()),
    }
}

/// Offers to fix all similar problems of the file.
///
/// The title has their number if the client passes all diagnostics on. There is no offer for the only
/// problem of its kind.
fn offer_all_in_file(
    context: &OfferContext<'_>,
    kind: &ReportedProblem<'_>,
    problems: &[ReportedProblem<'_>],
) -> Option<GoalOffer> {
    let alike: Vec<_> = problems
        .iter()
        .filter(|problem| problem.likeness == kind.likeness)
        .collect();
    let counted = context.settings.diagnostics == Some(true);
    let all = match alike.len() {
        1 if counted || context.automatic => return None,
        n if counted => format!("all {n}"),
        _ if context.automatic => return None,
        _ => "all".to_owned(),
    };
    let mut prompt = format!(
        "Fix {all} like this in {}: {}",
        context.file_name(),
        kind.first_line()
    );
    prompt.push_str(&list_messages(&alike));
    Some(GoalOffer {
        verb: format!("Fix {all} like this in this file with ClaudeCluster"),
        about: kind.message.join(" "),
        prompt,
        kind: GoalScopeKind::Files,
        range: None,
        fixes: Some(kind.diagnostic.clone()),
    })
}

/// Offers to fix all similar problems of the workspace, whose number is unknown.
fn offer_all_in_workspace(context: &OfferContext<'_>, kind: &ReportedProblem<'_>) -> GoalOffer {
    let (file, sentence) = (context.file_name(), kind.first_line());
    GoalOffer {
        verb: "Fix all like this in the workspace with ClaudeCluster".into(),
        about: kind.message.join(" "),
        prompt: format!(
            "Fix all like this in the workspace, wherever they are: {sentence}\n\
             One of them is in {file}; find the others as the project's own tools do."
        ),
        kind: GoalScopeKind::Workspace,
        range: None,
        fixes: Some(kind.diagnostic.clone()),
    }
}

/// Lists the messages of similar problems for a prompt; empty if all messages are equal.
fn list_messages(alike: &[&ReportedProblem<'_>]) -> String {
    let mut messages: Vec<_> = alike.iter().filter_map(|one| one.message.first()).collect();
    messages.sort();
    messages.dedup();
    if messages.len() < 2 {
        return String::new();
    }
    let more = messages.len().saturating_sub(MOST_MESSAGES);
    let mut text = String::from("\nThe editor shows:");
    for message in messages.into_iter().take(MOST_MESSAGES) {
        text.push_str("\n- ");
        text.push_str(message);
    }
    if more > 0 {
        text.push_str(&format!("\n- and {more} more"));
    }
    text
}

/// Returns a message without quoted text and numbers, which differ between similar problems.
fn message_shape(message: &str) -> String {
    let mut shape = String::new();
    let mut chars = message.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let closing = match c {
            '`' | '"' => Some(c),
            // An apostrophe within a word, as in "can't", is no quote.
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
            let equal = message_shape(one) == message_shape(other);
            assert_eq!(equal, alike, "{one:?} {other:?}");
        };
        check("unused variable: `x`", "unused variable: `long_name`", true);
        check("unused variable: `x`", "unused import: `x`", false);
        check("line has 120 columns", "line has 99 columns", true);
        check("'a' can't be 'b'", "'c d' can't be 'e'", true);
        check("don't `a`", "don't `b` here", false);
        check("\"a\" is “b”", "\"x\" is “y”", true);
        // A quote without a partner is an ordinary character.
        check("5` and", "6` and", true);
        check("a ` b", "a ` c", false);
    }
}
