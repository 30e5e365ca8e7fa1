//! `claudecluster doctor`

use std::{path::Path, process::Command};

use claudecluster_driver::{
    Settings,
    worker::agent::{AgentInspection, registry},
};
use claudecluster_protocol::{
    api::{Purpose, VERSION},
    goal::SandboxKind,
};
use claudecluster_service::TypedCalls;
use serde::Serialize;

use super::{Context, daemon::describe};
use crate::{
    client::{Client, Found},
    config::Sources,
    failure::{Exit, Outcome},
    home::Home,
    parts,
    ui::text::{self, BOLD, DIM, GREEN, Line, PLAIN, RED, YELLOW},
};

/// Less free space than this ends in trouble soon.
const LITTLE_SPACE: u64 = 512 << 20;

/// How one thing was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// As it should be.
    Good,
    /// Work goes on without it.
    Warning,
    /// Nothing works without it.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    /// The command that brings it, or what else to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn new(name: &'static str, state: State, found: impl Into<String>) -> Self {
        Self {
            name,
            state,
            found: found.into(),
            hint: None,
        }
    }

    fn of_agent(found: AgentInspection) -> Self {
        let state = if found.usable {
            State::Good
        } else {
            State::Warning
        };
        let mut check = Self::new(found.title, state, found.found);
        check.hint = found.problem;
        check
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

pub(super) async fn run(cx: &mut Context) -> Outcome<Exit> {
    let (config, settings) = configuration(cx);
    let found = parts::inspect_agents(&settings, Vec::new()).await?;
    let mut checks = vec![git(), usable_agent(&found, &settings)];
    checks.extend(found.into_iter().map(Check::of_agent));
    match Home::find() {
        Ok(home) => {
            let state = state_folder(&home);
            let usable = state.state != State::Missing;
            checks.push(state);
            if usable {
                checks.push(sandbox(&home).await);
            }
            checks.push(daemon(&home).await);
        }
        Err(e) => checks.push(
            Check::new("state folder", State::Missing, e.message).hint(e.hint.unwrap_or_default()),
        ),
    }
    checks.push(config);
    for check in &checks {
        if cx.ui.json {
            cx.ui.json(check)?;
        } else {
            for line in lines(check) {
                cx.ui.line(line.styled())?;
            }
        }
    }
    let missing = checks.iter().any(|check| check.state == State::Missing);
    Ok(if missing { Exit::Failed } else { Exit::Done })
}

fn lines(check: &Check) -> Vec<Line> {
    let (mark, style) = match check.state {
        State::Good => ("✓", GREEN),
        State::Warning => ("!", YELLOW),
        State::Missing => ("✗", RED),
    };
    let mut lines = vec![
        Line::new()
            .add(style, format!("{mark} "))
            .add(BOLD, format!("{:<14} ", check.name))
            .add(PLAIN, text::one_line(&check.found)),
    ];
    if let Some(hint) = &check.hint {
        lines.push(Line::new().add(DIM, format!("  {:<14} {}", "", text::one_line(hint))));
    }
    lines
}

/// The settings as far as they can be read: everything else is looked at with them.
fn configuration(cx: &Context) -> (Check, Settings) {
    let workspace = cx.workspace().ok();
    let loaded = Sources::of_process().and_then(|sources| {
        let (config, problems) = sources.load_all(workspace.as_deref())?;
        Ok((sources.user_file, config.settings, problems))
    });
    match loaded {
        Ok((file, settings, problems)) => {
            let check = match problems.first() {
                Some(problem) => Check::new("configuration", State::Missing, problem.to_string())
                    .hint("claudecluster config check lists every mistake"),
                None if file.exists() => {
                    Check::new("configuration", State::Good, file.display().to_string())
                }
                None => Check::new(
                    "configuration",
                    State::Good,
                    format!("defaults; there is no {}", file.display()),
                ),
            };
            (check, settings)
        }
        Err(e) => {
            let check = Check::new("configuration", State::Missing, e.message)
                .hint(e.hint.unwrap_or_default());
            (check, Settings::default())
        }
    }
}

fn git() -> Check {
    // Away from every repository: none of them is asked anything.
    let output = Command::new("git")
        .arg("--version")
        .current_dir("/")
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.trim().trim_start_matches("git version ");
            Check::new("git", State::Good, version)
        }
        Ok(output) => Check::new(
            "git",
            State::Missing,
            format!("it ends with {}", output.status),
        ),
        Err(_) => Check::new("git", State::Missing, "not found on PATH")
            .hint("apt-get install git, dnf install git, brew install git"),
    }
}

/// The agent that goals use unless they name one.
fn usable_agent(found: &[AgentInspection], settings: &Settings) -> Check {
    let usable = |agent| found.iter().any(|one| one.agent == agent && one.usable);
    if let Some(agent) = registry().planners().find(|one| usable(one.name())) {
        return Check::new("agent", State::Good, agent.name().as_str());
    }
    let settings = settings.agent_settings();
    let remedies = registry()
        .planners()
        .filter_map(|one| one.remedy(&settings));
    let remedies: Vec<String> = remedies.collect();
    Check::new(
        "agent",
        State::Missing,
        "none: plan files with `run` work, goals do not",
    )
    .hint(remedies.join(", or "))
}

fn state_folder(home: &Home) -> Check {
    let shown = home.dir().display().to_string();
    let wrong = |what: String| {
        Check::new("state folder", State::Missing, what)
            .hint("make it writable, or set CLAUDECLUSTER_HOME to another folder")
    };
    if let Err(e) = home.create() {
        return wrong(e.message);
    }
    if let Err(e) = tempfile::tempfile_in(home.dir()) {
        return wrong(format!("cannot write in {shown}: {e}"));
    }
    match free_space(home.dir()) {
        Some(free) if free < LITTLE_SPACE => {
            let found = format!("{shown}, only {} free", text::bytes(free));
            Check::new("state folder", State::Warning, found).hint("free some space")
        }
        Some(free) => Check::new(
            "state folder",
            State::Good,
            format!("{shown}, {} free", text::bytes(free)),
        ),
        None => Check::new("state folder", State::Good, shown),
    }
}

fn free_space(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

async fn sandbox(home: &Home) -> Check {
    match parts::probe_sandbox(home).await {
        Ok(probe) => {
            let landlock = match probe.landlock {
                Some(version) => format!("Landlock {version}"),
                None => "no Landlock".to_owned(),
            };
            match probe.kind {
                Some(SandboxKind::Overlay) => Check::new(
                    "sandbox",
                    State::Good,
                    format!("overlay, {landlock}: {}", probe.why),
                ),
                Some(SandboxKind::Copy) => Check::new(
                    "sandbox",
                    State::Warning,
                    format!("copy, {landlock}: {}", probe.why),
                )
                .hint("it works, and costs a copy of the workspace for each attempt"),
                None => Check::new(
                    "sandbox",
                    State::Missing,
                    format!("none, {landlock}: {}", probe.why),
                )
                .hint(
                    "allow unprivileged user namespaces: sysctl kernel.unprivileged_userns_clone=1",
                ),
            }
        }
        Err(e) => Check::new("sandbox", State::Missing, e.message),
    }
}

async fn daemon(home: &Home) -> Check {
    let client = Client::new(home.clone());
    match client.find(Purpose::Requests).await {
        Ok(Found::None) => Check::new("daemon", State::Good, "not running; started when needed"),
        Ok(Found::Other(link)) => {
            let version = &link.welcome.version;
            let found = format!("version {version} is running, this program is {VERSION}");
            Check::new("daemon", State::Warning, found).hint("claudecluster daemon stop")
        }
        Ok(Found::Ready(_)) => match client.status().await {
            Ok(status) => Check::new("daemon", State::Good, describe(&status)),
            Err(e) => Check::new("daemon", State::Warning, e.message),
        },
        Err(e) => {
            let hint = e
                .hint
                .unwrap_or_else(|| "claudecluster daemon stop".to_owned());
            Check::new("daemon", State::Warning, e.message).hint(hint)
        }
    }
}
