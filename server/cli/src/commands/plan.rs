//! `claudecluster plan`

use std::{fs, io::Write as _};

use claudecluster_protocol::{ErrorBody, GoalState, Plan, api::Call};
use claudecluster_service::TypedCalls;
use tempfile::TempPath;

use super::{Context, editor, steer};
use crate::{
    cli::PlanArgs,
    failure::{Context as _, Exit, Failure, Outcome},
    plan_file,
};

pub(super) async fn run(cx: &mut Context, args: PlanArgs) -> Outcome<Exit> {
    let view = cx.client()?.goal(&args.goal).await?.value;
    let Some(plan) = view.plan else {
        let state = view.summary.state.as_str();
        let error = ErrorBody::user(format!("goal {} is {state}: it has no plan", args.goal));
        return Err(error.hint("it has one once it is planned").into());
    };
    let text = pretty(&plan);
    if !args.edit {
        cx.ui.bytes(text.as_bytes())?;
        return Ok(Exit::Done);
    }
    if view.summary.state != GoalState::AwaitingApproval {
        let state = view.summary.state.as_str();
        let error = ErrorBody::user(format!(
            "goal {} is {state}: its plan does not wait for approval",
            args.goal
        ));
        return Err(error
            .hint("a plan can be changed before it runs: claudecluster run --plan-only")
            .into());
    }
    let file = write(&text)?;
    editor::edit(&file)?;
    let now = fs::read_to_string(&file).context("cannot read what was edited")?;
    if now == text {
        if !cx.ui.quiet && !cx.ui.json {
            let id = &args.goal;
            cx.ui.line(format!(
                "nothing was changed, and nothing runs; run it: claudecluster approve {id}"
            ))?;
        }
        return Ok(Exit::Waiting);
    }
    match approve(cx, &args, plan, &file).await {
        Ok(exit) => Ok(exit),
        Err(failure) => Err(keep(failure, &args, file)),
    }
}

/// A plan as people read and write it.
fn pretty(plan: &Plan) -> String {
    let mut text = serde_json::to_string_pretty(plan).unwrap_or_default();
    text.push('\n');
    text
}

/// A private file to edit.
fn write(text: &str) -> Result<TempPath, ErrorBody> {
    let cannot = "cannot write a file to edit";
    let mut file = tempfile::Builder::new()
        .prefix("claudecluster-")
        .suffix(".plan.json")
        .tempfile()
        .context(cannot)?;
    file.write_all(text.as_bytes()).context(cannot)?;
    Ok(file.into_temp_path())
}

/// Lets the plan run that was written, in place of the one that was shown.
async fn approve(cx: &mut Context, args: &PlanArgs, shown: Plan, file: &TempPath) -> Outcome<Exit> {
    let edited = plan_file::read(file)?;
    let call = Call::Approve {
        goal_id: args.goal.clone(),
        plan: Some(Box::new(edited)),
        shown: Some(Box::new(shown)),
        task_id: None,
    };
    steer::steer(cx, call, &steer::runs(&args.goal)).await
}

/// What somebody has written is not lost because it has a mistake.
fn keep(failure: Failure, args: &PlanArgs, file: TempPath) -> Failure {
    let goal = &args.goal;
    match (failure, file.keep()) {
        (Failure::Error(error), Ok(path)) => {
            let kept = path.display();
            let hint = format!(
                "nothing runs; correct it in {kept}, then: claudecluster approve {goal} --plan {kept}"
            );
            error.hint(hint).into()
        }
        (failure, _) => failure,
    }
}
