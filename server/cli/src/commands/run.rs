//! `claudecluster run`

use std::path::Path;

use claudecluster_driver::Settings;
use claudecluster_protocol::{
    ErrorBody, GoalId, GoalSpec, GoalState, Span, Usd,
    api::Outcome as RunOutcome,
    goal::{EnvVar, GoalView},
    plan::Gate,
};
use claudecluster_service::TypedCalls;

use super::{Context, show, summary};
use crate::{
    cli::RunArgs,
    client::Client,
    config::{Config, Origin, Sources, keys},
    failure::{Exit, Outcome},
    follow::{self, End, Manner},
    plan_file,
    ui::{
        self,
        board::Board,
        render::goal_now,
        text::{self, BOLD, DIM, Line, PLAIN, RED},
    },
    workspace,
};

pub(super) async fn run(cx: &mut Context, args: RunArgs) -> Outcome<Exit> {
    let root = cx.workspace()?;
    let config = Sources::of_process()?.load(Some(&root))?;
    let manner = Manner {
        cancel: true,
        approve: args.yes,
        ..Manner::default()
    };
    let again = args.again;
    let spec = spec(&root, args, &config)?;
    let client = cx.client()?;
    let goal = start(cx, &client, spec, again).await?;
    if !cx.ui.json && !cx.ui.quiet {
        let words = "goes on if this terminal closes; Ctrl-C cancels it";
        cx.ui.line(
            Line::new()
                .add(BOLD, goal.as_str())
                .add(DIM, format!(" {words}"))
                .styled(),
        )?;
    }
    let (board, end) = follow::goal(&client, &mut cx.ui, &goal, manner).await?;
    if end == End::Left {
        return Ok(Exit::Cancelled);
    }
    finish(cx, &client, &goal, &board).await
}

/// Starts a goal. A command is an order: where another goal does the same, this one is started all the
/// same, and its user is told of the other.
async fn start(cx: &Context, client: &Client, spec: GoalSpec, again: bool) -> Outcome<GoalId> {
    if again {
        return Ok(client.submit_again(spec).await?);
    }
    let submitted = client.submit_once(spec.clone()).await?;
    let Some(same) = submitted.duplicate_of else {
        return Ok(submitted.goal_id);
    };
    if !cx.ui.quiet {
        let note = ErrorBody::user(format!(
            "{same} does the same already; this is another goal"
        ))
        .hint(format!(
            "follow the first: claudecluster watch {same}; say nothing of it: --again"
        ));
        ui::complain(&note, false);
    }
    Ok(client.submit_again(spec).await?)
}

/// What is asked for.
fn spec(root: &Path, args: RunArgs, config: &Config) -> Result<GoalSpec, ErrorBody> {
    let plan = args.plan.as_deref().map(plan_file::read).transpose()?;
    let prompt = args.goal.join(" ").trim().to_owned();
    if prompt.is_empty() && plan.is_none() {
        return Err(ErrorBody::user("the goal is empty").hint(
            "say what you want: claudecluster run \"add tests for the parser\", or give --plan FILE",
        ));
    }
    let workspace = root.to_str().ok_or_else(|| {
        ErrorBody::user(format!("the path {} is not UTF-8", root.display()))
            .hint("work in a folder whose path is")
    })?;
    let settings = &config.settings;
    // The daemon has read the same files, but its environment is that of whoever started it.
    let here = |path: &str| {
        keys::find(path).is_some_and(|key| matches!(config.origin(key), Origin::Environment(_)))
    };
    Ok(GoalSpec {
        workspace: workspace.to_owned(),
        scope: workspace::scope(root, &args.files)?,
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
        env: environment(settings),
    })
}

/// What workers may see of this process's environment.
pub(super) fn environment(settings: &Settings) -> Vec<EnvVar> {
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

/// Says how a goal that has settled came out, and what to do next.
pub(super) async fn finish(
    cx: &mut Context,
    client: &Client,
    goal: &GoalId,
    board: &Board,
) -> Outcome<Exit> {
    let view = client.goal(goal).await?.value;
    let exit = if board.not_landed.is_empty() {
        status(&view, board.limited())
    } else {
        Exit::Failed
    };
    if cx.ui.json {
        cx.ui.json(&outcome(&view))?;
        return Ok(exit);
    }
    report(cx, client, &view, &board.not_landed).await?;
    Ok(exit)
}

fn outcome(view: &GoalView) -> RunOutcome {
    let goal = &view.summary;
    RunOutcome {
        goal_id: goal.id.clone(),
        state: goal.state,
        hunks: goal.hunks,
        cost_usd: goal.cost_usd,
        duration_ms: goal.updated_at.since(goal.submitted_at).0,
    }
}

async fn report(
    cx: &mut Context,
    client: &Client,
    view: &GoalView,
    not_landed: &[ErrorBody],
) -> Outcome<()> {
    let goal = &view.summary;
    let took = text::span(goal.updated_at.since(goal.submitted_at));
    let (style, words) = goal_now(view);
    let mut line = Line::new()
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
            format!(": {} to decide", text::count(open as usize, "hunk")),
        );
    }
    cx.ui.line(line.styled())?;
    for error in goal.error.iter().chain(not_landed) {
        cx.ui.line(
            Line::new()
                .add(RED, text::one_line(&error.message))
                .styled(),
        )?;
        if let Some(hint) = &error.hint {
            cx.ui
                .line(Line::new().add(DIM, text::one_line(hint)).styled())?;
        }
    }
    if goal.state == GoalState::AwaitingApproval || view.is_paused() {
        for line in show::tasks(view) {
            cx.ui.line(line.styled())?;
        }
    }
    summary::pending(&mut cx.ui, client, view).await?;
    if !cx.ui.quiet
        && let Some(next) = next(view)
    {
        cx.ui.line(Line::new().add(DIM, next).styled())?;
    }
    Ok(())
}

/// What to do next, if anything.
fn next(view: &GoalView) -> Option<String> {
    let goal = &view.summary;
    let id = &goal.id;
    let open = goal.hunks.pending + goal.hunks.conflicts;
    match goal.state {
        GoalState::AwaitingApproval => Some(format!(
            "run it: claudecluster approve {id}   change it: claudecluster plan {id} --edit   \
             stop it: claudecluster cancel {id}"
        )),
        GoalState::Running => show::approvals(view),
        _ if open > 0 => {
            let conflicts = match goal.hunks.conflicts {
                0 => String::new(),
                _ => format!("   conflicts: claudecluster diff {id} --conflicts"),
            };
            Some(format!(
                "look: claudecluster diff {id}   land: claudecluster accept {id}   \
                 take back: claudecluster reject {id}{conflicts}"
            ))
        }
        GoalState::Landed if goal.hunks.landed > 0 => {
            Some(format!("take it back: claudecluster undo {id}"))
        }
        _ => None,
    }
}

/// The exit status for a goal.
fn status(view: &GoalView, limited: bool) -> Exit {
    let goal = &view.summary;
    match goal.state {
        GoalState::Landed | GoalState::Rejected => Exit::Done,
        // With `apply` everything clean has landed: what is pending needs an explicit look.
        GoalState::Proposed if goal.hunks.conflicts > 0 || view.spec.apply => Exit::Waiting,
        GoalState::Proposed => Exit::Done,
        GoalState::AwaitingApproval => Exit::Waiting,
        GoalState::Running if view.is_paused() => Exit::Waiting,
        GoalState::Cancelled => Exit::Cancelled,
        _ if limited || over_limit(view) => Exit::Limit,
        _ => Exit::Failed,
    }
}

/// Whether a goal that failed had used up its money or its time.
fn over_limit(view: &GoalView) -> bool {
    let goal = &view.summary;
    let budget = view
        .spec
        .budget_usd
        .or(view.plan.as_ref().and_then(|plan| plan.budget_usd));
    budget.is_some_and(|budget| goal.cost_usd >= budget) || view.time_left == Some(Span(0))
}
