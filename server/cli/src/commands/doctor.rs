//! `claudecluster doctor`

use std::{path::Path, process::Command};

use claudecluster_driver::{
    DriverSettings,
    worker::agent::{AgentInspection, registry},
};
use claudecluster_protocol::{
    api::{ConnectionPurpose, VERSION},
    goal::SandboxKind,
    worker::SandboxChoice,
};
use claudecluster_service::TypedCalls;
use serde::Serialize;

use super::{CommandContext, daemon::describe_status};
use crate::{
    client::{DaemonClient, DaemonLookup},
    config::ConfigSources,
    driver_setup,
    exit::{CommandExit, CommandResult},
    home::Home,
    ui::text::{self, BOLD, DIM, GREEN, PLAIN, RED, StyledLine, YELLOW},
};

/// Sets the free space below which `doctor` warns.
const LITTLE_SPACE: u64 = 512 << 20;

/// Rates the result of one check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum CheckState {
    /// The checked part works.
    Good,
    /// The product works without this part.
    Warning,
    /// Nothing works without this part.
    Missing,
}

/// Holds the result of one check.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SetupCheck {
    name: &'static str,
    state: CheckState,
    found: String,
    /// The command that installs the missing part, or another next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl SetupCheck {
    fn new(name: &'static str, state: CheckState, found: impl Into<String>) -> Self {
        Self {
            name,
            state,
            found: found.into(),
            hint: None,
        }
    }

    fn of_agent(found: AgentInspection) -> Self {
        let state = if found.usable {
            CheckState::Good
        } else {
            CheckState::Warning
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

pub(super) async fn run_doctor(cx: &mut CommandContext) -> CommandResult<CommandExit> {
    let (config, settings) = check_configuration(cx);
    let found = driver_setup::inspect_agents(&settings, Vec::new()).await?;
    let mut checks = vec![check_git(), check_agents(&found, &settings)];
    checks.extend(found.into_iter().map(SetupCheck::of_agent));
    match Home::find() {
        Ok(home) => {
            let state = state_folder(&home);
            let usable = state.state != CheckState::Missing;
            checks.push(state);
            if usable {
                checks.push(check_sandbox(&home, settings.sandbox).await);
                let limits = driver_setup::describe_limits(&settings);
                checks.push(SetupCheck::new("limits", CheckState::Good, limits));
            }
            checks.push(check_daemon(&home).await);
        }
        Err(e) => checks.push(
            SetupCheck::new("state folder", CheckState::Missing, e.message)
                .hint(e.hint.unwrap_or_default()),
        ),
    }
    checks.push(config);
    for check in &checks {
        if cx.ui.json {
            cx.ui.json(check)?;
        } else {
            for line in check_lines(check) {
                cx.ui.line(line.styled())?;
            }
        }
    }
    let missing = checks
        .iter()
        .any(|check| check.state == CheckState::Missing);
    Ok(if missing {
        CommandExit::Failed
    } else {
        CommandExit::Done
    })
}

fn check_lines(check: &SetupCheck) -> Vec<StyledLine> {
    let (mark, style) = match check.state {
        CheckState::Good => ("✓", GREEN),
        CheckState::Warning => ("!", YELLOW),
        CheckState::Missing => ("✗", RED),
    };
    let mut lines = vec![
        StyledLine::new()
            .add(style, format!("{mark} "))
            .add(BOLD, format!("{:<14} ", check.name))
            .add(PLAIN, text::one_line(&check.found)),
    ];
    if let Some(hint) = &check.hint {
        lines.push(StyledLine::new().add(DIM, format!("  {:<14} {}", "", text::one_line(hint))));
    }
    lines
}

/// Checks the configuration and returns its valid settings: all other checks use them.
fn check_configuration(cx: &CommandContext) -> (SetupCheck, DriverSettings) {
    let workspace = cx.workspace().ok();
    let loaded = ConfigSources::of_process().and_then(|sources| {
        let (config, problems) = sources.load_all(workspace.as_deref())?;
        Ok((sources.user_file, config.settings, problems))
    });
    match loaded {
        Ok((file, settings, problems)) => {
            let check = match problems.first() {
                Some(problem) => {
                    SetupCheck::new("configuration", CheckState::Missing, problem.to_string())
                        .hint("list all problems with: claudecluster config check")
                }
                None if file.exists() => SetupCheck::new(
                    "configuration",
                    CheckState::Good,
                    file.display().to_string(),
                ),
                None => SetupCheck::new(
                    "configuration",
                    CheckState::Good,
                    format!("using default settings ({} does not exist)", file.display()),
                ),
            };
            (check, settings)
        }
        Err(e) => {
            let check = SetupCheck::new("configuration", CheckState::Missing, e.message)
                .hint(e.hint.unwrap_or_default());
            (check, DriverSettings::default())
        }
    }
}

fn check_git() -> SetupCheck {
    // Away from every repository: none of them is asked anything.
    let output = Command::new("git")
        .arg("--version")
        .current_dir("/")
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.trim().trim_start_matches("git version ");
            SetupCheck::new("git", CheckState::Good, version)
        }
        Ok(output) => SetupCheck::new(
            "git",
            CheckState::Missing,
            format!("git exited with {}", output.status),
        ),
        Err(_) => SetupCheck::new("git", CheckState::Missing, "not found on PATH")
            .hint("install it: apt-get install git, dnf install git, or brew install git"),
    }
}

/// Checks the agent that goals use by default.
fn check_agents(found: &[AgentInspection], settings: &DriverSettings) -> SetupCheck {
    let usable = |agent| found.iter().any(|one| one.agent == agent && one.usable);
    if let Some(agent) = registry().planners().find(|one| usable(one.name())) {
        return SetupCheck::new("agent", CheckState::Good, agent.name().as_str());
    }
    let settings = settings.agent_settings();
    let remedies = registry()
        .planners()
        .filter_map(|one| one.remedy(&settings));
    let remedies: Vec<String> = remedies.collect();
    SetupCheck::new(
        "agent",
        CheckState::Missing,
        "none available; only plan files whose tasks run commands work",
    )
    .hint(remedies.join(", or "))
}

fn state_folder(home: &Home) -> SetupCheck {
    let shown = home.dir().display().to_string();
    let wrong = |what: String| {
        SetupCheck::new("state folder", CheckState::Missing, what)
            .hint("make it writable, or set CLAUDECLUSTER_HOME to another folder")
    };
    if let Err(e) = home.create() {
        return wrong(e.message);
    }
    if let Err(e) = tempfile::tempfile_in(home.dir()) {
        return wrong(format!("cannot write to {shown}: {e}"));
    }
    match free_space(home.dir()) {
        Some(free) if free < LITTLE_SPACE => {
            let found = format!("{shown}, only {} free", text::size_text(free));
            SetupCheck::new("state folder", CheckState::Warning, found).hint("free some space")
        }
        Some(free) => SetupCheck::new(
            "state folder",
            CheckState::Good,
            format!("{shown}, {} free", text::size_text(free)),
        ),
        None => SetupCheck::new("state folder", CheckState::Good, shown),
    }
}

fn free_space(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

async fn check_sandbox(home: &Home, preference: SandboxChoice) -> SetupCheck {
    let probe = match driver_setup::probe_sandbox(home, preference).await {
        Ok(probe) => probe,
        Err(e) => return SetupCheck::new("sandbox", CheckState::Missing, e.message),
    };
    let landlock = match probe.landlock {
        Some(version) => format!("Landlock {version}"),
        None => "no Landlock".to_owned(),
    };
    let found = |kind: &str| format!("{kind}, {landlock}: {}", probe.why);
    let open = (!probe.open.is_empty()).then(|| format!("open: {}", probe.open.join("; ")));
    match probe.kind {
        Some(SandboxKind::Overlay) => match open {
            None => SetupCheck::new("sandbox", CheckState::Good, found("overlay")),
            Some(open) => {
                SetupCheck::new("sandbox", CheckState::Warning, found("overlay")).hint(open)
            }
        },
        Some(SandboxKind::Copy) => {
            let copies = "works, but copies the workspace for each attempt".to_owned();
            let hint = open.map_or(copies.clone(), |open| format!("{copies}; {open}"));
            SetupCheck::new("sandbox", CheckState::Warning, found("copy")).hint(hint)
        }
        None => SetupCheck::new("sandbox", CheckState::Missing, found("none"))
            .hint(probe.hint.unwrap_or_default()),
    }
}

async fn check_daemon(home: &Home) -> SetupCheck {
    let client = DaemonClient::new(home.clone());
    match client.find(ConnectionPurpose::Requests).await {
        Ok(DaemonLookup::None) => SetupCheck::new(
            "daemon",
            CheckState::Good,
            "not running; starts when needed",
        ),
        Ok(DaemonLookup::Other(link)) => {
            let version = &link.welcome.version;
            let found = format!("version {version} is running; this program is version {VERSION}");
            SetupCheck::new("daemon", CheckState::Warning, found).hint("claudecluster daemon stop")
        }
        Ok(DaemonLookup::Ready(_)) => match client.status().await {
            Ok(status) => SetupCheck::new("daemon", CheckState::Good, describe_status(&status)),
            Err(e) => SetupCheck::new("daemon", CheckState::Warning, e.message),
        },
        Err(e) => {
            let hint = e
                .hint
                .unwrap_or_else(|| "claudecluster daemon stop".to_owned());
            SetupCheck::new("daemon", CheckState::Warning, e.message).hint(hint)
        }
    }
}
