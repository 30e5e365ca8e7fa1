//! Which agent a goal or a task uses, by its settings, and what that agent is started with.

use std::collections::BTreeSet;

use claudecluster_core::{policy::SchedulingPolicy, state::Goal};
use claudecluster_protocol::{
    ErrorBody, ErrorKind, GoalSpec, Span, Usd,
    goal::EnvVar,
    plan::{AgentName, TaskSpec},
};
use claudecluster_worker::agent::{AgentLimits, AgentSetup, registry};

use crate::{
    config::{DriverConfig, agent_catalog},
    run::running_goals::RunningGoals,
    settings::DriverSettings,
};

/// Fills in what the goal leaves to configuration, and refuses what cannot run here. So a goal that
/// is accepted says which agent it uses, and does not change with the configuration.
pub(crate) fn resolve_defaults(
    config: &DriverConfig,
    spec: &mut GoalSpec,
) -> Result<(), ErrorBody> {
    let settings = config.workspace_settings(&spec.workspace)?;
    let limit = settings.max_parallel.max(1);
    // What a ready plan asks for counts as asked.
    let plan = spec.plan.as_ref();
    let jobs = spec.jobs.or(plan.and_then(|plan| plan.max_parallel));
    let budget = spec.budget_usd.or(plan.and_then(|plan| plan.budget_usd));
    spec.jobs = Some(jobs.map_or(limit, |jobs| jobs.min(limit)));
    spec.budget_usd = match (budget, settings.budget_usd) {
        (Some(asked), Some(limit)) => Some(asked.min(limit)),
        (asked, limit) => asked.or(limit),
    };
    if spec.model.is_none() {
        spec.model.clone_from(&settings.model);
    }
    let tasks: &[TaskSpec] = spec.plan.as_ref().map_or(&[], |plan| &plan.tasks);
    let needs_default = spec.plan.is_none()
        || tasks
            .iter()
            .any(|task| task.agent.is_none() && task.run.is_none());
    if let Some(agent) = spec.agent
        && spec.plan.is_none()
        && !registry().get(agent).capabilities().plans
    {
        let planners = agent_catalog().list_names(|one| one.plans);
        return Err(
            ErrorBody::user(format!("the agent `{agent}` cannot plan a goal")).with_hint(format!(
                "pass a plan file with --plan, or use the agent {planners}"
            )),
        );
    }
    let agents = settings.agent_settings();
    let setup = AgentSetup {
        settings: &agents,
        launcher: &config.launcher,
        env: &spec.env,
    };
    if needs_default && spec.agent.is_none() {
        spec.agent = Some(default_agent(&settings, &setup)?);
    }
    let of_tasks = tasks.iter().map(|task| spec.agent_for(task));
    let used: BTreeSet<AgentName> = of_tasks.chain(spec.agent).collect();
    for agent in used {
        check(&settings, agent, &setup)?;
    }
    Ok(())
}

/// Returns the configured agent, else the first that can plan and is usable here.
fn default_agent(
    settings: &DriverSettings,
    setup: &AgentSetup<'_>,
) -> Result<AgentName, ErrorBody> {
    if let Some(agent) = settings.agent {
        return Ok(agent);
    }
    let (mut missing, mut remedies) = (Vec::new(), Vec::new());
    for agent in registry().planners() {
        let Err(error) = check(settings, agent.name(), setup) else {
            return Ok(agent.name());
        };
        missing.push(error.message);
        remedies.extend(match error.kind {
            ErrorKind::Environment => agent.remedy(setup.settings),
            _ => error.hint,
        });
    }
    let error = ErrorBody::environment(format!("no agent available: {}", missing.join("; ")));
    Err(error.with_hint(remedies.join(", or ")))
}

/// Checks that an agent may run and can.
fn check(
    settings: &DriverSettings,
    agent: AgentName,
    setup: &AgentSetup<'_>,
) -> Result<(), ErrorBody> {
    if settings.deny_agents.contains(&agent) {
        return Err(ErrorBody::config(format!(
            "the setting `denyAgents` denies the agent `{agent}`"
        ))
        .with_hint("see where it is set with: claudecluster config list"));
    }
    registry().get(agent).check_usable(setup)
}

/// Returns the variables an agent gets, beside those of every sandbox.
pub(crate) fn env(
    running: &RunningGoals,
    settings: &DriverSettings,
    goal: &Goal,
    agent: AgentName,
) -> Vec<EnvVar> {
    let client = client_env(running, settings, goal);
    registry().environment(agent, &settings.agent_settings(), client)
}

/// Returns the variables a plan's gates get, beside those of every sandbox.
pub(crate) fn command_env(
    running: &RunningGoals,
    settings: &DriverSettings,
    goal: &Goal,
) -> Vec<EnvVar> {
    let client = client_env(running, settings, goal);
    registry().without_secrets(&settings.agent_settings(), client)
}

/// What the client had set when it submitted the goal; after a restart, what the daemon has.
fn client_env(running: &RunningGoals, settings: &DriverSettings, goal: &Goal) -> Vec<EnvVar> {
    let mut vars = match running.client_env(&goal.id) {
        vars if !vars.is_empty() => vars,
        _ => std::env::vars_os()
            .filter_map(|(name, value)| {
                Some(EnvVar {
                    name: name.into_string().ok()?,
                    value: value.into_string().ok()?,
                })
            })
            .collect(),
    };
    // The sandbox decides where home and temporary files are.
    vars.retain(|var| settings.env.passes(&var.name) && var.name != "HOME");
    vars
}

/// Deadlines and limits of a session.
pub(crate) fn limits(
    settings: &DriverSettings,
    timeout: Option<Span>,
    budget: Option<Usd>,
) -> AgentLimits {
    AgentLimits {
        start: settings.timeouts.start,
        silence: settings.timeouts.silence,
        exit: settings.timeouts.exit,
        timeout: timeout.unwrap_or(settings.timeouts.attempt),
        max_turns: settings.limits.turns,
        budget,
    }
}

/// Returns what is left of a goal's budget; `None` for an agent that cannot keep to one.
pub(crate) fn budget_left(policy: &SchedulingPolicy, goal: &Goal, agent: AgentName) -> Option<Usd> {
    if !registry().get(agent).capabilities().reports_cost {
        return None;
    }
    claudecluster_core::step::goal_budget(goal, policy)
        .map(|all| all.saturating_sub(goal.usage().cost_usd))
}
