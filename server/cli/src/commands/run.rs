//! `claudecluster run`

use std::path::Path;

use claudecluster_driver::DriverSettings;
use claudecluster_protocol::{
    ErrorBody, GoalId, GoalSpec, GoalState, Span, Usd,
    api::GoalOutcome as RunOutcome,
    goal::{EnvVar, GoalView},
    plan::Gate,
};
use claudecluster_service::TypedCalls;

use super::{CommandContext, show, summary};
use crate::{
    cli::RunArgs,
    client::DaemonClient,
    config::{Config, ConfigOrigin, ConfigSources, keys},
    exit::{CommandExit, CommandResult},
    plan_file,
    ui::{
        self,
        board::GoalBoard,
        render::goal_now,
        text::{self, BOLD, DIM, PLAIN, RED, StyledLine},
    },
    watch::{self, WatchEnd, WatchOptions},
    workspace,
};

pub(super) async fn run_goal(cx: &mut CommandContext, args: RunArgs) -> CommandResult<CommandExit> {
    let root = cx.workspace()?;
    let config = ConfigSources::of_process()?.load(Some(&root))?;
    let manner = WatchOptions {
        cancel: true,
        approve: args.yes,
        ..WatchOptions::default()
    };
    let again = args.again;
    let spec = goal_spec(&root, args, &config)?;
    let client = cx.client()?;
    let goal = start_goal(cx, &client, spec, again).await?;
    if !cx.ui.json && !cx.ui.quiet {
        let words = "keeps running if you close this terminal; Ctrl-C cancels it";
        cx.ui.line(
            StyledLine::new()
                .add(BOLD, goal.as_str())
                .add(DIM, format!(" {words}"))
                .styled(),
        )?;
    }
    let (board, end) = watch::watch_goal(&client, &mut cx.ui, &goal, manner).await?;
    if end == WatchEnd::Left {
        return Ok(CommandExit::Cancelled);
    }
    report_outcome(cx, &client, &goal, &board).await
}

/// Starts a goal, even if an equal goal is open: a command is an order. The user is told of the
/// other goal.
async fn start_goal(
    cx: &CommandContext,
    client: &DaemonClient,
    spec: GoalSpec,
    again: bool,
) -> CommandResult<GoalId> {
    if again {
        return Ok(client.submit_again(spec).await?);
    }
    let submitted = client.submit_once(spec.clone()).await?;
    let Some(same) = submitted.duplicate_of else {
        return Ok(submitted.goal_id);
    };
    let goal = client.submit_again(spec).await?;
    if !cx.ui.quiet {
        let note = ErrorBody::user(format!(
            "{same} already has this goal and is still open; starting {goal} anyway"
        ))
        .with_hint(format!(
            "watch {same} instead: claudecluster watch {same}; disable this warning: --again"
        ));
        ui::print_error(&note, false);
    }
    Ok(goal)
}

/// Builds the goal from the arguments and the settings.
fn goal_spec(root: &Path, args: RunArgs, config: &Config) -> Result<GoalSpec, ErrorBody> {
    let plan = args.plan.as_deref().map(plan_file::read_plan).transpose()?;
    let prompt = args.goal.join(" ").trim().to_owned();
    if prompt.is_empty() && plan.is_none() {
        return Err(ErrorBody::user("the goal is empty").with_hint(
            "describe the change, as in: claudecluster run \"add tests for the parser\", or pass --plan FILE",
        ));
    }
    let workspace = root.to_str().ok_or_else(|| {
        ErrorBody::user(format!("the path {} is not UTF-8", root.display()))
            .with_hint("move the project to a folder whose path is valid UTF-8")
    })?;
    let settings = &config.settings;
    // The daemon has read the same files, but its environment is that of whoever started it.
    let here = |path: &str| {
        keys::find_key(path)
            .is_some_and(|key| matches!(config.origin(key), ConfigOrigin::Environment(_)))
    };
    Ok(GoalSpec {
        workspace: workspace.to_owned(),
        scope: workspace::goal_scope(root, &args.files)?,
        prompt,
        plan,
        agent: args.agent.or(settings.agent.filter(|_| here("agent"))),
        model: args
            .model
            .or(settings.model.clone().filter(|_| here("model"))),
        jobs: args
            .jobs
            .or(here("maxParallel").then_some(settings.max_parallel)),
        budget_usd: args
            .budget
            .or(settings.budget_usd.filter(|_| here("budgetUsd"))),
        timeout: args.timeout,
        gates: args.gates.into_iter().map(Gate::Shell).collect(),
        plan_only: args.plan_only,
        apply: args.apply,
        unattended: args.yes,
        env: worker_environment(settings),
    })
}

/// Returns the part of this process's environment that workers may see.
pub(super) fn worker_environment(settings: &DriverSettings) -> Vec<EnvVar> {
    let mut env: Vec<EnvVar> = std::env::vars_os()
        .filter_map(|(name, value)| {
            Some(EnvVar {
                name: name.into_string().ok()?,
                value: value.into_string().ok()?,
            })
        })
        .filter(|var| settings.env.passes(&var.name) || var.name == settings.native.key_env)
        .collect();
    env.sort_by(|a, b| a.name.cmp(&b.name));
    env
}

/// Reports how a goal ended, and what to do next.
pub(super) async fn report_outcome(
    cx: &mut CommandContext,
    client: &DaemonClient,
    goal: &GoalId,
    board: &GoalBoard,
) -> CommandResult<CommandExit> {
    let view = client.goal(goal).await?.value;
    let exit = if board.not_landed.is_empty() {
        goal_exit(&view, board.limited())
    } else {
        CommandExit::Failed
    };
    if cx.ui.json {
        cx.ui.json(&run_outcome(&view))?;
        return Ok(exit);
    }
    print_report(cx, client, &view, &board.not_landed).await?;
    Ok(exit)
}

fn run_outcome(view: &GoalView) -> RunOutcome {
    let goal = &view.summary;
    RunOutcome {
        goal_id: goal.id.clone(),
        state: goal.state,
        hunks: goal.hunks,
        cost_usd: goal.cost_usd,
        duration_ms: goal.updated_at.span_since(goal.submitted_at).0,
    }
}

async fn print_report(
    cx: &mut CommandContext,
    client: &DaemonClient,
    view: &GoalView,
    not_landed: &[ErrorBody],
) -> CommandResult<()> {
    let goal = &view.summary;
    let took = text::duration_text(goal.updated_at.span_since(goal.submitted_at));
    let (style, words) = goal_now(view);
    let mut line = StyledLine::new()
        .add(BOLD, format!("{} ", goal.id))
        .add(style, words)
        .add(DIM, format!(" after {took}"));
    if goal.cost_usd > Usd::ZERO {
        line.push(DIM, format!(" for {}", goal.cost_usd));
    }
    let open = goal.hunks.pending + goal.hunks.conflicts;
    if open > 0 {
        line.push(
            PLAIN,
            format!(": {} to review", text::counted(open as usize, "hunk")),
        );
    }
    cx.ui.line(line.styled())?;
    for error in goal.error.iter().chain(not_landed) {
        cx.ui.line(
            StyledLine::new()
                .add(RED, text::one_line(&error.message))
                .styled(),
        )?;
        if let Some(hint) = &error.hint {
            cx.ui
                .line(StyledLine::new().add(DIM, text::one_line(hint)).styled())?;
        }
    }
    if goal.state == GoalState::AwaitingApproval || view.is_paused() {
        for line in show::task_lines(view) {
            cx.ui.line(line.styled())?;
        }
    }
    summary::print_pending(&mut cx.ui, client, view).await?;
    if !cx.ui.quiet
        && let Some(next) = next_steps(view)
    {
        cx.ui.line(StyledLine::new().add(DIM, next).styled())?;
    }
    Ok(())
}

/// Returns the commands that continue from a goal's state, if there are any.
fn next_steps(view: &GoalView) -> Option<String> {
    let goal = &view.summary;
    let id = &goal.id;
    let open = goal.hunks.pending + goal.hunks.conflicts;
    match goal.state {
        GoalState::AwaitingApproval => Some(format!(
            "Approve: claudecluster approve {id}   Edit: claudecluster plan {id} --edit   \
             Cancel: claudecluster cancel {id}"
        )),
        GoalState::Running => show::approval_commands(view),
        _ if open > 0 => {
            let conflicts = match goal.hunks.conflicts {
                0 => String::new(),
                _ => format!("   Conflicts: claudecluster diff {id} --conflicts"),
            };
            Some(format!(
                "Review: claudecluster diff {id}   Apply: claudecluster accept {id}   \
                 Discard: claudecluster reject {id}{conflicts}"
            ))
        }
        GoalState::Landed if goal.hunks.landed > 0 => {
            Some(format!("Undo: claudecluster undo {id}"))
        }
        _ => None,
    }
}

/// Returns the exit status for a goal.
fn goal_exit(view: &GoalView, limited: bool) -> CommandExit {
    let goal = &view.summary;
    match goal.state {
        GoalState::Landed | GoalState::Rejected => CommandExit::Done,
        // With `apply` everything clean has landed: what is pending needs an explicit look.
        GoalState::Proposed if goal.hunks.conflicts > 0 || view.spec.apply => CommandExit::Waiting,
        GoalState::Proposed => CommandExit::Done,
        GoalState::AwaitingApproval => CommandExit::Waiting,
        GoalState::Running if view.is_paused() => CommandExit::Waiting,
        GoalState::Cancelled => CommandExit::Cancelled,
        _ if limited || over_limit(view) => CommandExit::Limit,
        _ => CommandExit::Failed,
    }
}

/// Returns whether a failed goal had reached its limit on cost or time.
fn over_limit(view: &GoalView) -> bool {
    let goal = &view.summary;
    let budget = view
        .spec
        .budget_usd
        .or(view.plan.as_ref().and_then(|plan| plan.budget_usd));
    budget.is_some_and(|budget| goal.cost_usd >= budget) || view.time_left == Some(Span(0))
}
