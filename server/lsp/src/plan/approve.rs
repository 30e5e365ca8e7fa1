//! `claudecluster.plan.approve`: approval of a plan or a paused task.
//!
//! An approval names the plan that was shown, so either that plan runs or none.

use claudecluster_protocol::{ErrorBody, GoalId, Plan, editor::ApproveArgs};
use claudecluster_service::TypedCalls;

use super::{
    check::{CheckedPlan, FindingSeverity, PlanContext, check_plan},
    document::{PlanOwner, plan_owner},
    files,
};
use crate::{
    blocking::run_blocking, documents::DocumentSnapshot, phrases::count_noun,
    session::EditorSession, uri,
};

/// The most mistakes in one message.
const MOST_MISTAKES: usize = 5;

/// Approves a plan, a plan document or a paused task.
pub(crate) async fn approve_plan(
    session: &EditorSession,
    args: ApproveArgs,
) -> Result<(), ErrorBody> {
    let goal = args.goal_id;
    match (args.plan, args.uri, args.task_id) {
        (None, None, Some(task)) => session.service().approve_task(&goal, &task).await,
        (None, Some(uri), None) => {
            // Before the first await: the text as the client has it at this point of the wire.
            let path = uri::parse_file(&uri)?;
            let document = session.documents.get_by_path(&path).ok_or_else(|| {
                ErrorBody::user(format!("uri: {} is not open", path.display()))
                    .with_hint("open the plan document first")
            })?;
            let (plan, shown) = read_document(session, &goal, &document).await?;
            let shown = args.shown.or(shown);
            session
                .service()
                .approve_plan(&goal, Some(plan), shown)
                .await
        }
        (plan, None, None) => {
            session
                .service()
                .approve_plan(&goal, plan, args.shown)
                .await
        }
        _ => Err(ErrorBody::user(
            "pass only one of `plan`, `uri` and `taskId`",
        )),
    }
}

/// Reads the plan of a document, and the plan that the document was written from.
///
/// The latter is `None` for documents that the server has not written.
async fn read_document(
    session: &EditorSession,
    goal: &GoalId,
    document: &DocumentSnapshot,
) -> Result<(Plan, Option<Plan>), ErrorBody> {
    let owner = plan_owner(session, document).ok_or_else(|| {
        ErrorBody::user(format!("uri: {} is not a plan", document.uri)).with_hint(
            "plans are documents opened by claudecluster.plan.open, and *.claudecluster.json files",
        )
    })?;
    if let PlanOwner::Goal(other) = &owner
        && other != goal
    {
        return Err(ErrorBody::user(format!(
            "uri: this is a plan of goal {other}, not of {goal}"
        )));
    }
    let shown = match (&owner, document.path.clone()) {
        (PlanOwner::Goal(_), Some(path)) => {
            Some(run_blocking(move || files::read_shown(&path)).await?)
        }
        _ => None,
    };
    let text = String::from(&document.text);
    // The workspace need not be known: a path that does not exist is not a mistake.
    let checked = run_blocking(move || Ok(check_plan(text, &PlanContext::default()))).await?;
    if !checked.is_valid() {
        return Err(mistakes_error(&checked));
    }
    match checked.plan {
        Some(plan) => Ok((plan, shown)),
        None => Err(mistakes_error(&checked)),
    }
}

/// Creates the error that lists the mistakes of a plan.
fn mistakes_error(checked: &CheckedPlan) -> ErrorBody {
    let errors = || {
        let all = checked.findings.iter();
        all.filter(|finding| finding.kind.severity() == FindingSeverity::Error)
    };
    let told: Vec<_> = errors()
        .take(MOST_MISTAKES)
        .map(|finding| {
            let before = &checked.text.text[..finding.range.start];
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {}", finding.message)
        })
        .collect();
    let more = match errors().count().saturating_sub(MOST_MISTAKES) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    ErrorBody::user(format!(
        "the plan has {}: {}{more}",
        count_noun(errors().count(), "error"),
        told.join("; ")
    ))
    .with_hint("fix the plan, then approve it again")
}
