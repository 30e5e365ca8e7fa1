//! Diagnostics of a plan document.

use claudecluster_core::display_text::line as plain_text;
use claudecluster_core::text::PositionEncoding;
use lsp_types::{Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, Location};

use super::{
    check::{FindingSeverity, PlanFinding},
    document::check_document,
};
use crate::{
    documents::{DocumentSnapshot, lines::to_lsp_range},
    session::EditorSession,
};

/// Returns the diagnostics of a document; none if the document is not a plan.
pub(crate) async fn plan_diagnostics(
    session: &EditorSession,
    document: &DocumentSnapshot,
) -> Vec<Diagnostic> {
    let Some(open) = check_document(session, document).await else {
        return Vec::new();
    };
    let findings = open.checked.findings.iter();
    findings
        .map(|finding| to_diagnostic(document, finding, session.encoding()))
        .collect()
}

/// Converts a finding to a diagnostic.
pub(super) fn to_diagnostic(
    document: &DocumentSnapshot,
    finding: &PlanFinding,
    encoding: PositionEncoding,
) -> Diagnostic {
    let related = finding
        .related
        .iter()
        .map(|one| DiagnosticRelatedInformation {
            location: Location {
                uri: document.uri.clone(),
                range: to_lsp_range(&document.text, &one.range, encoding),
            },
            message: plain_text::to_message(&one.message),
        });
    let related: Vec<_> = related.collect();
    Diagnostic {
        range: to_lsp_range(&document.text, &finding.range, encoding),
        severity: Some(match finding.kind.severity() {
            FindingSeverity::Error => DiagnosticSeverity::Error,
            FindingSeverity::Warning => DiagnosticSeverity::Warning,
            FindingSeverity::Hint => DiagnosticSeverity::Hint,
        }),
        code: Some(finding.kind.code().to_owned().into()),
        source: Some("claudecluster".into()),
        message: plain_text::to_message(&finding.message).into(),
        related_information: (!related.is_empty()).then_some(related),
        ..Diagnostic::default()
    }
}
