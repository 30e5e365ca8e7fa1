//! Which agents there are, what they are started with, and what they may see.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use claudecluster_core::{policy::SchedulingPolicy, state::Goal};
use claudecluster_protocol::{
    ErrorBody, GoalSpec, Span, Usd,
    goal::EnvVar,
    plan::{AgentName, TaskSpec},
};
use claudecluster_worker::agent::{AgentLimits, claude_code};

use crate::{config::DriverConfig, run::running_goals::RunningGoals, settings::Settings};

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
    if spec.agent == Some(AgentName::Command) && spec.plan.is_none() {
        return Err(ErrorBody::user("the agent `command` cannot plan a goal")
            .hint("give a plan file with --plan, or use the agent `claude-code` or `native`"));
    }
    if needs_default && spec.agent.is_none() {
        spec.agent = Some(default_agent(&settings, &spec.env)?);
    }
    let default = spec.agent.unwrap_or(AgentName::Command);
    let mut wanted: Vec<AgentName> = tasks.iter().map(|task| task.agent_or(default)).collect();
    wanted.extend(spec.agent);
    wanted.sort_unstable();
    wanted.dedup();
    for agent in wanted {
        check(&settings, agent, &spec.env)?;
    }
    Ok(())
}

/// Claude Code where it is installed, else the built-in agent where there is a key.
fn default_agent(settings: &Settings, env: &[EnvVar]) -> Result<AgentName, ErrorBody> {
    if let Some(agent) = settings.agent {
        return Ok(agent);
    }
    let usable = |agent| check(settings, agent, env).is_ok();
    [AgentName::ClaudeCode, AgentName::Native]
        .into_iter()
        .find(|&agent| usable(agent))
        .ok_or_else(|| {
            ErrorBody::environment("no agent found: Claude Code is not installed and no key is set")
                .hint(
                    "install it with `npm install -g @anthropic-ai/claude-code`, or set \
                     ANTHROPIC_API_KEY for the built-in agent",
                )
        })
}

/// Whether an agent may and can run.
fn check(settings: &Settings, agent: AgentName, env: &[EnvVar]) -> Result<(), ErrorBody> {
    if settings.deny_agents.contains(&agent) {
        return Err(
            ErrorBody::config(format!("the agent `{agent}` is denied by configuration"))
                .hint("`claudecluster config list` shows where `denyAgents` is set"),
        );
    }
    match agent {
        AgentName::Command => Ok(()),
        AgentName::ClaudeCode => claude(settings, env).map(|_| ()),
        AgentName::Native => native_key(settings, env).map(|_| ()).ok_or_else(|| {
            ErrorBody::environment(format!(
                "the built-in agent has no key: {} is not set",
                settings.native.key_env
            ))
            .hint("set it where you run claudecluster, or use another agent with --agent")
        }),
    }
}

/// The Claude Code program, as whoever submitted the goal would find it.
fn claude(settings: &Settings, env: &[EnvVar]) -> Result<PathBuf, ErrorBody> {
    let path = env
        .iter()
        .find(|var| var.name == "PATH")
        .map(|var| OsStr::new(&var.value));
    claude_code::find(settings.claude.program.as_deref(), path).ok_or_else(|| {
        match &settings.claude.program {
            Some(program) => ErrorBody::config(format!(
                "`claude.program` is {}, which is not a program",
                program.display()
            ))
            .hint("correct it with `claudecluster config set claude.program PATH`"),
            None => ErrorBody::environment("Claude Code is not installed: `claude` is not on PATH")
                .hint("npm install -g @anthropic-ai/claude-code"),
        }
    })
}

fn native_key(settings: &Settings, env: &[EnvVar]) -> Option<String> {
    let named = |name: &str| {
        env.iter()
            .find(|var| var.name == name)
            .map(|var| var.value.clone())
            .or_else(|| std::env::var(name).ok())
    };
    named(&settings.native.key_env).or_else(|| named("ANTHROPIC_AUTH_TOKEN"))
}

/// The program of an agent.
pub(crate) fn program(
    launcher: &Path,
    running: &RunningGoals,
    settings: &Settings,
    goal: &Goal,
    agent: AgentName,
) -> Result<PathBuf, ErrorBody> {
    match agent {
        AgentName::ClaudeCode => claude(settings, &client_env(running, settings, goal)),
        AgentName::Native | AgentName::Command => Ok(launcher.to_owned()),
    }
}

/// The environment an agent gets beside what every sandbox has.
///
/// Keys go to agents only: a plan's commands and gates have no use for them.
pub(crate) fn env(
    running: &RunningGoals,
    settings: &Settings,
    goal: &Goal,
    agent: AgentName,
) -> Vec<(OsString, OsString)> {
    let mut client = client_env(running, settings, goal);
    if agent == AgentName::Native {
        let key = native_key(settings, &client);
        let has_url = client.iter().any(|var| var.name == "ANTHROPIC_BASE_URL");
        if let Some(value) = key {
            client.retain(|var| var.name != "ANTHROPIC_API_KEY");
            client.push(EnvVar {
                name: "ANTHROPIC_API_KEY".into(),
                value,
            });
        }
        if !has_url {
            let value = settings.native.base_url.clone();
            client.push(EnvVar {
                name: "ANTHROPIC_BASE_URL".into(),
                value,
            });
        }
    }
    client
        .into_iter()
        .filter(|var| agent != AgentName::Command || !is_secret(&var.name))
        .map(|var| (var.name.into(), var.value.into()))
        .collect()
}

/// What the client had set when it submitted the goal; after a restart, what the daemon has.
fn client_env(running: &RunningGoals, settings: &Settings, goal: &Goal) -> Vec<EnvVar> {
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

fn is_secret(name: &str) -> bool {
    ["ANTHROPIC_", "CLAUDE", "AWS_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Deadlines and limits of a session.
pub(crate) fn limits(
    settings: &Settings,
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

/// What is left of a goal's budget.
pub(crate) fn budget_left(policy: &SchedulingPolicy, goal: &Goal) -> Option<Usd> {
    claudecluster_core::step::goal_budget(goal, policy).map(|all| all.minus(goal.usage().cost_usd))
}
