//! Stating a goal from where the user is: from problems that other servers report, from comments that say
//! what is to be done, from tests. The words are ready, so every client can do it.

use std::path::Path;

use claudecluster_protocol::{
    RelPath,
    editor::{EditorSettings, LineRange, ScopeArgs, SubmitArgs, command},
    goal::GoalScopeKind,
};
use lsp_types::{CodeAction, CodeActionParams, CodeActionTriggerKind, Diagnostic, Range};

use super::{
    super::{code_lens, submit},
    comments, problems, quick_fix, test_functions,
};
use crate::{
    anchor::{self, Lines},
    documents::Snapshot,
    session::Session,
    uri, words,
};

/// So many characters of others' words fit into the title of an action.
const TITLE: usize = 60;

/// Where the user is.
pub(super) struct Here<'a> {
    pub(super) document: &'a Snapshot,
    /// The document's file, relative to its workspace.
    path: RelPath,
    /// The lines asked about.
    pub(super) lines: LineRange,
    /// The client asks by itself, to see whether there is anything.
    pub(super) automatic: bool,
    pub(super) settings: EditorSettings,
}

/// A goal on offer.
pub(super) struct Offer {
    /// What comes before the words in the title.
    pub(super) verb: String,
    /// The words of others that it is about.
    pub(super) about: String,
    pub(super) prompt: String,
    pub(super) kind: GoalScopeKind,
    pub(super) range: Option<LineRange>,
    /// The problem it would solve.
    pub(super) solves: Option<Diagnostic>,
}

/// The goals that can be stated from a place of an open document.
pub(super) fn actions(
    session: &Session,
    document: &Snapshot,
    params: &CodeActionParams,
) -> Vec<CodeAction> {
    let Some(path) = document
        .path
        .as_deref()
        .and_then(|path| uri::relative(&submit::root_of(session, path)?, path))
    else {
        return Vec::new();
    };
    let here = Here {
        document,
        path,
        lines: whole_lines(params.range),
        automatic: params.context.trigger_kind == Some(CodeActionTriggerKind::Automatic),
        settings: session.settings.now(),
    };
    let mut offers = problems::offers(&here, &params.context.diagnostics);
    offers.extend(comments::offers(&here));
    offers.extend(test_functions::offer(&here));
    offers.into_iter().map(|offer| here.action(offer)).collect()
}

impl Here<'_> {
    pub(super) fn text(&self) -> Lines<'_> {
        Lines(&self.document.text)
    }

    /// The file's name as it may stand in a sentence.
    pub(super) fn file(&self) -> String {
        words::line(&self.path.display(), 300)
    }

    /// What the file's name ends with, in lower case.
    pub(super) fn extension(&self) -> String {
        let path = Path::new(self.path.as_str());
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.unwrap_or_default().to_ascii_lowercase()
    }

    fn action(&self, offer: Offer) -> CodeAction {
        // A problem may be told for a text that had more lines.
        let range = offer.range.map(|range| {
            let last = self.text().len();
            let first = (range.start_line as usize).min(last.saturating_sub(1));
            let end = (range.end_line as usize).max(first + 1);
            self.text().range(first, end)
        });
        let argument = SubmitArgs {
            prompt: offer.prompt,
            scope: Some(ScopeArgs {
                kind: Some(offer.kind),
                uris: vec![self.document.uri.to_string()],
                globs: Vec::new(),
                range,
                anchor: range.map(|range| anchor::of(self.document, range)),
            }),
            // Nobody looks at what the command of an action answers.
            ask: Some(true),
            ..SubmitArgs::default()
        };
        let title = format!("{}: {}", offer.verb, words::line(&offer.about, TITLE));
        let argument = serde_json::to_value(argument).unwrap_or_default();
        CodeAction {
            diagnostics: offer.solves.map(|problem| vec![problem]),
            ..quick_fix(code_lens::command(command::GOAL_SUBMIT, title, argument))
        }
    }
}

/// The lines a range is on. One that ends before the first character of a line does not take that line in.
pub(super) fn whole_lines(range: Range) -> LineRange {
    let past = range.end.line.saturating_add(u32::from(
        range.end.character > 0 || range.end == range.start,
    ));
    LineRange {
        start_line: range.start.line,
        end_line: past.max(range.start.line.saturating_add(1)),
    }
}

/// Whether two ranges have a line in common.
pub(super) fn overlap(one: LineRange, other: LineRange) -> bool {
    one.start_line < other.end_line && other.start_line < one.end_line
}
