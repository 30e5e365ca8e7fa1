//! Carries out decisions of the user, one after the other.

use std::sync::Arc;

use claudecluster_protocol::{
    api::{Decision, DecisionReport},
    event::Verdict,
};
use claudecluster_service::TypedCalls;
use tokio::sync::mpsc;
use tracing::{Instrument, error_span};

use crate::{failure, phrases::count_noun, session::EditorSession};

/// Applies decisions in the order in which they arrived.
///
/// Decisions that have arrived when the connection ends are still applied, so this is not one of the
/// tasks that end with the connection.
pub(crate) async fn run(
    session: Arc<EditorSession>,
    mut decisions: mpsc::UnboundedReceiver<Decision>,
) {
    loop {
        let decision = tokio::select! {
            biased;
            decision = decisions.recv() => decision,
            () = session.tasks.wait_closed() => None,
        };
        let Some(decision) = decision else { return };
        let span = error_span!(
            "decision",
            goal = %decision.goal_id,
            hunk = decision.hunk_id.as_ref().map(tracing::field::display),
            verdict = ?decision.verdict,
        );
        apply_decision(&session, decision).instrument(span).await;
    }
}

/// Applies a decision and reports results that the user would not see in the text.
async fn apply_decision(session: &EditorSession, decision: Decision) {
    let verdict = decision.verdict;
    let goal = decision.goal_id.clone();
    let whole = decision.hunk_id.is_none();
    match session.service().decide(decision).await {
        Ok(report) => {
            let (message, trouble) = summarize_report(verdict, &report);
            let repairs = report.repair.is_some();
            if trouble {
                session.show_warning(format!("{goal}: {message}")).await;
            } else if whole || repairs {
                session.show_info(format!("{goal}: {message}")).await;
            }
        }
        Err(error) => {
            let what = format!("{goal}: nothing was {}", past_tense(verdict));
            session.show_error(&what, &error).await;
        }
    }
}

fn past_tense(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accepted",
        Verdict::Reject => "rejected",
        Verdict::Undo => "undone",
        Verdict::Redo => "redone",
        Verdict::Resolve => "resolved",
    }
}

/// Summarizes a report. Returns the message, and whether the user should look at what is left.
fn summarize_report(verdict: Verdict, report: &DecisionReport) -> (String, bool) {
    let n = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let decided = format!(
        "{} {}",
        count_noun(n(report.decided), "change"),
        past_tense(verdict)
    );
    let mut parts = vec![decided];
    if report.conflicts > 0 {
        parts.push(format!("{} in conflict", report.conflicts));
    }
    if report.held > 0 {
        parts.push(format!("{} held for review", report.held));
    }
    if report.waiting > 0 {
        let waiting = count_noun(n(report.waiting), "change");
        parts.push(format!(
            "{waiting} waiting until you stop editing these lines"
        ));
    }
    let trouble = parts.len() > 1 || !report.failed.is_empty();
    for failed in &report.failed {
        let (path, why) = (failed.path.display(), failure::to_sentence(&failed.error));
        // Some messages name the file already.
        parts.push(if why.starts_with(&path) {
            why
        } else {
            format!("{path}: {why}")
        });
    }
    if let Some(task) = &report.repair {
        parts.push(format!("started {task} to address this"));
        // A conflict that is repaired is not decided yet.
        if report.decided == 0 {
            parts.remove(0);
        }
    }
    (parts.join("; "), trouble)
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{ErrorBody, api::FileFailure};

    use super::*;

    #[test]
    fn a_file_that_failed_is_named_once() {
        let check = |why: &str, expected: &str| {
            let failed = FileFailure {
                path: claudecluster_protocol::RelPath::new("a.rs").unwrap(),
                error: ErrorBody::environment(why),
            };
            let report = DecisionReport {
                failed: vec![failed],
                ..DecisionReport::default()
            };
            assert_eq!(summarize_report(Verdict::Accept, &report).0, expected);
        };
        check("no space", "0 changes accepted; a.rs: no space");
        check("a.rs: no answer", "0 changes accepted; a.rs: no answer");
    }
}
