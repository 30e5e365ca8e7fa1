//! What is said about a plan while it is written.

use std::ops::Range;

use claudecluster_core::text::{self, PositionEncoding};
use lsp_types::{
    Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, Location, Range as LspRange,
};

use super::{
    look,
    problems::{Problem, Severity},
};
use crate::{documents::Snapshot, edit::position, session::Session};

/// What is to be said about a document; nothing where it is no plan.
pub(crate) async fn of(session: &Session, document: &Snapshot) -> Vec<Diagnostic> {
    let Some(opened) = look(session, document).await else {
        return Vec::new();
    };
    let problems = opened.checked.problems.iter();
    problems
        .map(|problem| diagnostic(document, problem, session.encoding()))
        .collect()
}

pub(super) fn diagnostic(
    document: &Snapshot,
    problem: &Problem,
    encoding: PositionEncoding,
) -> Diagnostic {
    let related = problem
        .related
        .iter()
        .map(|one| DiagnosticRelatedInformation {
            location: Location {
                uri: document.uri.clone(),
                range: range(document, &one.range, encoding),
            },
            message: one.message.clone(),
        });
    let related: Vec<_> = related.collect();
    Diagnostic {
        range: range(document, &problem.range, encoding),
        severity: Some(match problem.what.severity() {
            Severity::Error => DiagnosticSeverity::Error,
            Severity::Warning => DiagnosticSeverity::Warning,
            Severity::Hint => DiagnosticSeverity::Hint,
        }),
        code: Some(problem.what.code().to_owned().into()),
        source: Some("claudecluster".into()),
        message: problem.message.clone().into(),
        related_information: (!related.is_empty()).then_some(related),
        ..Diagnostic::default()
    }
}

/// Bytes of a document as a client counts.
pub(super) fn range(
    document: &Snapshot,
    bytes: &Range<usize>,
    encoding: PositionEncoding,
) -> LspRange {
    LspRange {
        start: position(text::position(&document.text, bytes.start, encoding)),
        end: position(text::position(&document.text, bytes.end, encoding)),
    }
}

/// The other way.
pub(super) fn offset(
    document: &Snapshot,
    at: lsp_types::Position,
    encoding: PositionEncoding,
) -> usize {
    let at = text::TextPosition {
        line: at.line,
        character: at.character,
    };
    text::offset(&document.text, at, encoding)
}
