//! `claudecluster plan`

use std::{fs, io::Write as _};

use claudecluster_driver::display_text::json;
use claudecluster_protocol::{ErrorBody, GoalState, Plan, api::Call};
use claudecluster_service::TypedCalls;
use tempfile::TempPath;

use super::{CommandContext, editor, steer};
use crate::{
    cli::PlanOptions,
    exit::{CommandExit, CommandFailure, CommandResult, ErrorContext as _},
    plan_file,
    ui::text,
};

pub(super) async fn show_or_edit_plan(
    cx: &mut CommandContext,
    args: PlanOptions,
) -> CommandResult<CommandExit> {
    let view = cx.client()?.goal(&args.goal).await?.value;
    let Some(plan) = view.plan else {
        let state = view.summary.state.status_phrase();
        let error = ErrorBody::user(format!("goal {} {state}; it has no plan", args.goal));
        return Err(error.with_hint("wait until planning has finished").into());
    };
    let text = plan_text(&plan);
    if !args.edit {
        cx.ui.document(&text)?;
        return Ok(CommandExit::Done);
    }
    if view.summary.state != GoalState::AwaitingApproval {
        let state = view.summary.state.status_phrase();
        let error = ErrorBody::user(format!(
            "goal {} {state}; its plan is not waiting for approval",
            args.goal
        ));
        return Err(error
            .with_hint(
                "to edit a plan before it runs, start the goal with: claudecluster run --plan-only \"…\"",
            )
            .into());
    }
    let file = write_plan(&text)?;
    editor::open_in_editor(&file)?;
    let now = fs::read_to_string(&file).context("cannot read the edited plan")?;
    if now == text {
        if !cx.ui.quiet && !cx.ui.json {
            let id = &args.goal;
            cx.ui.line(format!(
                "The plan is unchanged and was not started. Start it with: claudecluster approve {id}"
            ))?;
        }
        return Ok(CommandExit::Waiting);
    }
    match approve_edited(cx, &args, plan, &file).await {
        Ok(exit) => Ok(exit),
        Err(failure) => Err(keep_edited_file(failure, &args, file)),
    }
}

/// Formats a plan as people read and write it.
fn plan_text(plan: &Plan) -> String {
    let text = serde_json::to_string_pretty(plan).unwrap_or_default();
    let mut text = json::escape_hidden(&text);
    text.push('\n');
    text
}

/// Writes a plan to a private file, for editing.
fn write_plan(text: &str) -> Result<TempPath, ErrorBody> {
    let cannot = "cannot write a file to edit";
    let mut file = tempfile::Builder::new()
        .prefix("claudecluster-")
        .suffix(".plan.json")
        .tempfile()
        .context(cannot)?;
    file.write_all(text.as_bytes()).context(cannot)?;
    Ok(file.into_temp_path())
}

/// Approves the edited plan in place of the plan that was shown.
async fn approve_edited(
    cx: &mut CommandContext,
    args: &PlanOptions,
    shown: Plan,
    file: &TempPath,
) -> CommandResult<CommandExit> {
    let edited = plan_file::read_plan(file)?;
    let call = Call::Approve {
        goal_id: args.goal.clone(),
        plan: Some(Box::new(edited)),
        shown: Some(Box::new(shown)),
        task_id: None,
    };
    steer::send_and_report(cx, call, &steer::goal_started(&args.goal)).await
}

/// Keeps the edited file after a failure, so that a mistake does not lose the user's text.
fn keep_edited_file(failure: CommandFailure, args: &PlanOptions, file: TempPath) -> CommandFailure {
    let goal = &args.goal;
    match (failure, file.keep()) {
        (CommandFailure::Error(error), Ok(path)) => {
            let kept = text::shell_word(&path.display().to_string());
            let hint = format!(
                "the plan was not started; fix {kept}, then run: claudecluster approve {goal} --plan {kept}"
            );
            error.with_hint(hint).into()
        }
        (failure, _) => failure,
    }
}
