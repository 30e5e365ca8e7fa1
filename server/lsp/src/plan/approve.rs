//! `claudecluster.plan.approve`: what somebody saw runs, or nothing does.

use claudecluster_protocol::{ErrorBody, GoalId, Plan, editor::ApproveArgs};

use super::{
    Of, files, of,
    problems::{Checked, Severity},
};
use crate::{documents::Snapshot, progress::count, session::Session, uri};

/// More mistakes than these are not told in one message.
const TOLD: usize = 5;

pub(crate) async fn approve(session: &Session, args: ApproveArgs) -> Result<(), ErrorBody> {
    let goal = args.goal_id;
    match (args.plan, args.uri, args.task_id) {
        (None, None, Some(task)) => session.backend.approve_task(&goal, &task).await,
        (None, Some(uri), None) => {
            // Before the first wait: the text as the client has it at this point of the wire.
            let path = uri::parse(&uri)?;
            let document = session.documents.at(&path).ok_or_else(|| {
                ErrorBody::user(format!("uri: {} is not open", path.display()))
                    .hint("open the plan document first")
            })?;
            let (plan, shown) = written(session, &goal, &document).await?;
            let shown = args.shown.or(shown);
            session.backend.approve(&goal, Some(plan), shown).await
        }
        (plan, None, None) => session.backend.approve(&goal, plan, args.shown).await,
        _ => Err(ErrorBody::user(
            "pass only one of `plan`, `uri` and `taskId`",
        )),
    }
}

/// The plan that a document says, and the one it was written from where the server wrote it.
async fn written(
    session: &Session,
    goal: &GoalId,
    document: &Snapshot,
) -> Result<(Plan, Option<Plan>), ErrorBody> {
    let whose = of(session, document).ok_or_else(|| {
        ErrorBody::user(format!("uri: {} is not a plan", document.uri)).hint(
            "plans are documents opened by claudecluster.plan.open, and *.claudecluster.json files",
        )
    })?;
    if let Of::Goal(other) = &whose
        && other != goal
    {
        return Err(ErrorBody::user(format!(
            "uri: this is a plan of goal {other}, not of {goal}"
        )));
    }
    let shown = match (&whose, document.path.clone()) {
        (Of::Goal(_), Some(path)) => Some(session.ask(move |_| files::shown(&path)).await?),
        _ => None,
    };
    let text = String::from(&document.text);
    // Paths that are not there are no mistakes, so that the workspace need not be known.
    let checked = session
        .ask(move |_| {
            Ok(super::problems::check(
                text,
                &super::Surroundings::default(),
            ))
        })
        .await?;
    if !checked.is_valid() {
        return Err(refused(&checked));
    }
    match checked.plan {
        Some(plan) => Ok((plan, shown)),
        None => Err(refused(&checked)),
    }
}

fn refused(checked: &Checked) -> ErrorBody {
    let errors = || {
        let all = checked.problems.iter();
        all.filter(|problem| problem.what.severity() == Severity::Error)
    };
    let told: Vec<_> = errors()
        .take(TOLD)
        .map(|problem| {
            let before = &checked.text.text[..problem.range.start];
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {}", problem.message)
        })
        .collect();
    let more = match errors().count().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    ErrorBody::user(format!(
        "the plan has {}: {}{more}",
        count(errors().count(), "error"),
        told.join("; ")
    ))
    .hint("fix the plan, then approve it again")
}
