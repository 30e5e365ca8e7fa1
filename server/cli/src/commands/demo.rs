//! `claudecluster demo`: runs a real goal on a small project, with a model that follows a script.
//!
//! Everything is in one private folder, and everything runs in this process or below it, so nothing
//! is left when the demo ends. Only the model is not real: it answers on loopback, from a script.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use claudecluster_driver::{
    DriverSettings,
    worker::agent::{AgentInspection, CodingAgent, registry},
};
use claudecluster_model::{Script, Server};
use claudecluster_protocol::{
    ErrorBody, GoalId, GoalSpec, GoalState, Span,
    event::Verdict,
    goal::{EnvVar, GoalView, SandboxKind},
    plan::AgentName,
};
use claudecluster_service::TypedCalls;

use super::{CommandContext, decide, diff, run, selection::HunkSelection, show, summary};
use crate::{
    cli::DemoArgs,
    client::DaemonClient,
    config::ConfigSources,
    daemon::Daemon,
    driver_setup,
    exit::{CommandExit, CommandResult, ErrorContext as _},
    home::{Home, private_tempdir},
    ui::{
        Ui,
        text::{self, BOLD, DIM, GREEN, PLAIN, RED, StyledLine},
    },
    watch::{self, WatchEnd, WatchOptions},
};

const SCRIPT: &str = include_str!("../../assets/demo/model.yaml");

/// Lists the files of the sample project.
const PROJECT: [(&str, &str); 6] = [
    ("README.md", include_str!("../../assets/demo/README.md")),
    ("lib/sum.sh", include_str!("../../assets/demo/sum.sh")),
    ("lib/table.sh", include_str!("../../assets/demo/table.sh")),
    ("report.sh", include_str!("../../assets/demo/report.sh")),
    ("sales.csv", include_str!("../../assets/demo/sales.csv")),
    ("test.sh", include_str!("../../assets/demo/test.sh")),
];

const GOAL: &str = "Show a bar for every row of the report, and the average below the total";

/// The key for the scripted model. It is no secret and opens nothing.
const KEY: &str = "demo";

pub(super) async fn run_demo(
    cx: &mut CommandContext,
    args: DemoArgs,
) -> CommandResult<CommandExit> {
    let folder =
        private_tempdir(&std::env::temp_dir()).context("cannot create a temporary folder")?;
    let project = folder.path().join("project");
    make_project(&project)?;
    let script = Script::parse(SCRIPT).map_err(|e| ErrorBody::internal(e.to_string()))?;
    let model = Server::start(script).context("cannot start the scripted model")?;
    let env = provider_env(&model.url());
    let found = driver_setup::inspect_agents(&DriverSettings::default(), env).await?;
    let agent = choose_agent(args.agent, &found)?;
    print_introduction(&mut cx.ui, &project, agent, &found)?;
    let home = Home::at(folder.path().join("home"));
    let daemon = Daemon::start(home.clone(), demo_sources(&model.url())).await?;
    let spec = demo_goal(&project, agent, &model.url())?;
    let played = play_demo(cx, &DaemonClient::new(home), spec, &project).await;
    daemon.end().await;

    let kept = args.keep.then(|| folder.keep());
    let exit = played?;
    if exit == CommandExit::Done && !cx.ui.json {
        print_farewell(&mut cx.ui, kept.as_deref())?;
    }
    Ok(exit)
}

/// Returns settings without the user's files and environment, and with the model's address.
fn demo_sources(url: &str) -> ConfigSources {
    let variables = [
        ("CLAUDECLUSTER_NATIVE_BASE_URL", url),
        ("CLAUDECLUSTER_NATIVE_KEY_ENV", "ANTHROPIC_API_KEY"),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    ConfigSources::only(variables.map(owned).to_vec())
}

fn demo_goal(project: &Path, agent: AgentName, url: &str) -> Result<GoalSpec, ErrorBody> {
    let workspace = project
        .canonicalize()
        .context("cannot find the project's folder")?
        .into_os_string()
        .into_string()
        .map_err(|_| ErrorBody::environment("the temporary folder's path is not UTF-8"))?;
    let mut env = run::worker_environment(&DriverSettings::default());
    // The user's own key, endpoint and proxy have no part in this.
    env.retain(|var| {
        let name = var.name.to_lowercase();
        !name.starts_with("anthropic_") && !name.starts_with("claude_") && !name.ends_with("_proxy")
    });
    env.extend(provider_env(url));
    // The planner finds the project's own test and makes it the gate.
    Ok(GoalSpec {
        agent: Some(agent),
        timeout: Some(Span::from_secs(120)),
        env,
        ..GoalSpec::new(workspace, GOAL)
    })
}

/// Returns the variables by which agents find the scripted model.
fn provider_env(url: &str) -> Vec<EnvVar> {
    let variable = |(name, value): (&str, &str)| EnvVar {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    [("ANTHROPIC_BASE_URL", url), ("ANTHROPIC_API_KEY", KEY)]
        .map(variable)
        .to_vec()
}

/// Returns the agent that the user asked for, else the first usable agent that can plan.
fn choose_agent(
    asked: Option<AgentName>,
    found: &[AgentInspection],
) -> Result<AgentName, ErrorBody> {
    let problem = |agent: AgentName| {
        let found = found.iter().find(|one| one.agent == agent);
        found
            .filter(|one| !one.usable)
            .map(|one| one.problem.clone().unwrap_or_default())
    };
    let usable = registry()
        .planners()
        .find(|one| problem(one.name()).is_none());
    let usable = usable.map(CodingAgent::name);
    let error = match asked.or(usable).map(|agent| registry().get(agent)) {
        None => ErrorBody::environment("no agent can be used"),
        Some(agent) if !agent.capabilities().plans => {
            ErrorBody::user(format!("the agent `{}` cannot plan a goal", agent.name()))
        }
        Some(agent) => match problem(agent.name()) {
            None => return Ok(agent.name()),
            Some(why) => ErrorBody::environment(format!("{} cannot be used: {why}", agent.label())),
        },
    };
    Err(match usable {
        Some(agent) => error.with_hint(format!("claudecluster demo --agent {agent}")),
        None => error.with_hint("claudecluster doctor"),
    })
}

/// Describes an agent with its version, and the missing agents that come before it.
fn describe_agent(agent: AgentName, found: &[AgentInspection]) -> String {
    let label = registry().get(agent).label();
    let own = found.iter().find(|one| one.agent == agent);
    let missing = found.iter().take_while(|one| one.agent != agent);
    let missing: Vec<&str> = missing
        .filter(|one| !one.usable)
        .map(|one| one.title)
        .collect();
    match own.and_then(|one| one.version.as_ref()) {
        Some(version) => format!("{label} {version}"),
        None if missing.is_empty() => label.to_owned(),
        None => format!("{label} ({} is not installed)", missing.join(" and ")),
    }
}

fn print_introduction(
    ui: &mut Ui,
    project: &Path,
    agent: AgentName,
    found: &[AgentInspection],
) -> CommandResult<()> {
    if ui.json || ui.quiet {
        return Ok(());
    }
    let agent = describe_agent(agent, found);
    for (name, value) in [
        ("goal", GOAL.to_owned()),
        ("project", project.display().to_string()),
        ("agent", agent),
        (
            "model",
            "scripted, on loopback (no API key, account or network)".to_owned(),
        ),
    ] {
        ui.line(
            StyledLine::new()
                .add(DIM, format!("{name:<8} "))
                .add(PLAIN, value)
                .styled(),
        )?;
    }
    ui.line("")?;
    Ok(())
}

/// Runs the goal from its start to its landing.
async fn play_demo(
    cx: &mut CommandContext,
    client: &DaemonClient,
    spec: GoalSpec,
    project: &Path,
) -> CommandResult<CommandExit> {
    let goal = client.submit_again(spec).await?;
    let manner = WatchOptions {
        cancel: true,
        ..WatchOptions::default()
    };
    let (board, end) = watch::watch_goal(client, &mut cx.ui, &goal, manner).await?;
    if end == WatchEnd::Left {
        return Ok(CommandExit::Cancelled);
    }
    let view = client.goal(&goal).await?.value;
    if view.summary.state != GoalState::Proposed || cx.ui.json {
        return run::report_outcome(cx, client, &goal, &board).await;
    }
    print_proposal(&mut cx.ui, client, &view).await?;
    apply_proposal(&mut cx.ui, client, &goal, project).await
}

/// Prints the plan with its attempts, and the merged diff with the task of each hunk.
async fn print_proposal(ui: &mut Ui, client: &DaemonClient, view: &GoalView) -> CommandResult<()> {
    print_heading(ui, "What each session did")?;
    for line in show::task_lines(view) {
        ui.line(line.styled())?;
    }
    let kind = view
        .tasks_detail
        .iter()
        .flat_map(|task| &task.attempts)
        .find_map(|attempt| attempt.sandbox);
    let isolated = match kind {
        Some(SandboxKind::Overlay) => "each session ran in its own overlay, at the project's path",
        Some(SandboxKind::Copy) => {
            "each session ran in its own copy (overlays are not available here)"
        }
        None => "each session ran in its own isolated view",
    };
    ui.line(StyledLine::new().add(DIM, isolated).styled())?;

    print_heading(ui, "The merged proposal")?;
    summary::print_pending(ui, client, view).await?;
    ui.line("")?;
    let all = HunkSelection::all(view.summary.id.clone());
    let diff = all.diff(client).await?;
    let hunks = all.hunks(client).await?;
    diff::print_diff(ui, &diff.text, &hunks)
}

/// Accepts all changes, then runs the project's own test in the project itself.
async fn apply_proposal(
    ui: &mut Ui,
    client: &DaemonClient,
    goal: &GoalId,
    project: &Path,
) -> CommandResult<CommandExit> {
    print_heading(ui, "Applying the changes")?;
    let everything = HunkSelection::all(goal.clone()).decision(Verdict::Accept);
    let report = client.decide(everything.clone()).await?;
    let left = decide::undecided_hunks(client, &report, &everything).await?;
    for line in decide::report_lines(&report, &everything, &left) {
        ui.line(line.styled())?;
    }
    let exit = decide::report_exit(&report);
    if exit != CommandExit::Done {
        return Ok(exit);
    }
    let output = Command::new("sh")
        .arg("test.sh")
        .current_dir(project)
        .output()
        .context("cannot run the project's test")?;
    let said = if output.status.success() {
        &output.stdout
    } else {
        &output.stderr
    };
    let said = text::one_line(&String::from_utf8_lossy(said));
    let (mark, style) = if output.status.success() {
        ("✓", GREEN)
    } else {
        ("✗", RED)
    };
    let line = StyledLine::new()
        .add(style, format!("{mark} "))
        .add(PLAIN, "sh test.sh");
    ui.line(line.add(DIM, format!("  {said}")).styled())?;
    if !output.status.success() {
        return Ok(CommandExit::Failed);
    }
    let report = Command::new("sh")
        .args(["report.sh", "sales.csv"])
        .current_dir(project)
        .output();
    if let Ok(report) = report {
        for line in String::from_utf8_lossy(&report.stdout).lines() {
            ui.line(format!("    {}", text::escape_controls(line)))?;
        }
    }
    Ok(CommandExit::Done)
}

fn print_heading(ui: &mut Ui, words: &str) -> CommandResult<()> {
    ui.line("")?;
    ui.line(StyledLine::new().add(BOLD, words).styled())?;
    Ok(())
}

fn print_farewell(ui: &mut Ui, kept: Option<&Path>) -> CommandResult<()> {
    if ui.quiet {
        return Ok(());
    }
    print_heading(ui, "Next, with a real model")?;
    ui.line("  claudecluster doctor                  check your setup")?;
    ui.line("  export ANTHROPIC_API_KEY=…            or log in once with: claude")?;
    ui.line("  cd YOUR-PROJECT && claudecluster run \"describe the change you want\"")?;
    if let Some(dir) = kept {
        ui.line(format!(
            "The project is in {}",
            dir.join("project").display()
        ))?;
    }
    Ok(())
}

/// Creates the project as a git repository with one commit.
fn make_project(dir: &Path) -> Result<(), ErrorBody> {
    for (name, content) in PROJECT {
        let path: PathBuf = dir.join(name);
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, content))
            .context(format!("cannot write {}", path.display()))?;
    }
    run_git(dir, &["init", "--quiet"])?;
    run_git(dir, &["add", "."])?;
    run_git(
        dir,
        &[
            "commit",
            "--quiet",
            "--no-gpg-sign",
            "--message",
            "Sales report",
        ],
    )
}

fn run_git(dir: &Path, args: &[&str]) -> Result<(), ErrorBody> {
    let output = Command::new("git")
        .args(["-c", "user.name=demo", "-c", "user.email=demo@localhost"])
        .args(["-c", "core.hooksPath=/dev/null"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .output()
        .map_err(|e| {
            ErrorBody::environment(format!("cannot run git: {e}"))
                .with_hint("install it: apt-get install git, dnf install git, or brew install git")
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(ErrorBody::environment(format!(
        "git {} failed: {}",
        args[0],
        said.trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_one_and_edits_what_is_there() {
        Script::parse(SCRIPT).unwrap();
        let script: serde_json::Value = serde_saphyr::from_str(SCRIPT).unwrap();
        let mut edits = 0;
        for rule in script["rules"].as_array().unwrap() {
            for block in rule["turns"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|t| t.as_array().unwrap())
            {
                if let Some(edit) = block.get("edit") {
                    let name = edit["path"].as_str().unwrap();
                    let (_, content) = PROJECT.iter().find(|(file, _)| *file == name).unwrap();
                    assert_eq!(
                        content.matches(edit["old"].as_str().unwrap()).count(),
                        1,
                        "{name}"
                    );
                    edits += 1;
                }
            }
        }
        assert_eq!(edits, 5);
    }
}
