//! One session of Claude Code: its command line, its environment, and its transcript.

use std::{ffi::OsString, path::Path};

use claudecluster_protocol::{
    Span, StopReason, event::AgentEvent, goal::AgentUsage, plan::AgentName,
};
use serde_json::json;
use tokio::io::AsyncWrite;

use super::{detect::ClaudeFeatures, home, policy::ToolPolicy, protocol::ClaudeProtocol};
use crate::{
    agent::{
        AgentLimits, AgentReport, AgentSpec, AgentTask, ForkInheritance, SessionChannels,
        ToolPermissions, line_session,
    },
    launch::ProgramLauncher,
};

/// Variables by which a Claude Code tells its children that they are inside it.
const INHERITED: &str = "CLAUDE";

/// The time a shell command may take if the model names none.
const USUAL_COMMAND: Span = Span::from_secs(120);

/// Reads a transcript back as events.
pub(super) fn replay_transcript(transcript: &[u8]) -> Vec<AgentEvent> {
    // Nothing is started and nothing is sent, so most of this has no use here.
    let task = AgentTask {
        agent: AgentName::ClaudeCode,
        prompt: String::new(),
        system: None,
        schema: None,
        model: None,
        session: String::new(),
        fork_of: None,
        unforked_prompt: None,
        run: None,
        limits: AgentLimits::default(),
        permissions: ToolPermissions::default(),
    };
    let (root, policy) = (Path::new("/"), ToolPolicy::of_transcripts());
    let mut protocol = ClaudeProtocol::new(&task, root, policy, AgentUsage::default());
    let lines = transcript.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .flat_map(|line| line_session::LineProtocol::receive_line(&mut protocol, line).events)
        .collect()
}

/// Runs one session.
pub(super) async fn run_session(
    spec: &AgentSpec,
    launch: &dyn ProgramLauncher,
    transcript: &mut (dyn AsyncWrite + Unpin + Send),
    channels: &SessionChannels,
) -> AgentReport {
    let features = ClaudeFeatures::of(&spec.place.program).await;
    if let Some(problem) = features.find_problem() {
        let summary = format!("cannot use Claude Code: {problem}");
        return AgentReport::failed(StopReason::SpawnFailed, summary);
    }
    let policy = ToolPolicy::new(&spec.task.permissions);
    let ForkInheritance { totals, model } = spec.place.inherited.clone();
    let command = launch.command(
        &command_line(spec, &features, &policy, model),
        &session_env(spec, launch),
    );
    let mut protocol = ClaudeProtocol::new(&spec.task, launch.root(), policy, totals);
    let ended = line_session::drive_session(
        command,
        &mut protocol,
        &spec.task.limits,
        spec.task.permissions.timeout,
        transcript,
        channels,
    )
    .await;
    protocol.into_report(&ended)
}

/// The command line. A planner and its forks differ in nothing but their session ids: tools, schema,
/// system prompt and model all stand in the prefix they share in the provider's prompt cache.
fn command_line(
    spec: &AgentSpec,
    features: &ClaudeFeatures,
    policy: &ToolPolicy,
    parents_model: Option<String>,
) -> Vec<OsString> {
    let mut argv = vec![spec.place.program.clone().into_os_string()];
    argv.extend(
        [
            "-p",
            "--input-format=stream-json",
            "--output-format=stream-json",
            "--verbose",
            "--permission-prompt-tool=stdio",
            "--permission-mode=acceptEdits",
            "--strict-mcp-config",
            "--setting-sources=user",
        ]
        .map(OsString::from),
    );
    argv.push(format!("--max-turns={}", spec.task.limits.max_turns).into());
    if let Some(parent) = &spec.task.fork_of {
        argv.push(format!("--resume={parent}").into());
        argv.push("--fork-session".into());
    }
    argv.push(format!("--session-id={}", spec.task.session).into());
    let mut optional = |flag: &str, value: Option<String>| {
        if let Some(value) = value.filter(|_| features.has(flag)) {
            argv.push(format!("{flag}={value}").into());
        }
    };
    let offered: Vec<&str> = policy.offered().collect();
    optional("--tools", Some(offered.join(",")));
    // A second time, for tools that do not come from the built-in set.
    optional("--disallowed-tools", Some(policy.denied().join(",")));
    // By itself it asks only about what its own rules do not allow, and not, say, about `ls`.
    let ask = (!policy.asked().is_empty())
        .then(|| json!({"permissions": {"ask": policy.asked()}}).to_string());
    optional("--settings", ask);
    optional("--append-system-prompt", spec.task.system.clone());
    optional(
        "--json-schema",
        spec.task.schema.as_ref().map(ToString::to_string),
    );
    optional("--model", spec.task.model.clone().or(parents_model));
    let budget = spec
        .task
        .limits
        .budget
        .map(|usd| usd.as_dollars().to_string());
    optional("--max-budget-usd", budget);
    if features.has("--include-partial-messages") {
        argv.push("--include-partial-messages".into());
    }
    argv
}

/// The allow-list, our own settings, and what the daemon adds (keys, base URL), later ones winning.
fn session_env(spec: &AgentSpec, launch: &dyn ProgramLauncher) -> Vec<(OsString, OsString)> {
    let mut env = launch.base_env();
    env.retain(|(name, _)| !name.to_string_lossy().starts_with(INHERITED));
    let home = launch.path_inside(&spec.place.home);
    let config = home::config_dir(&home).into_os_string();
    let longest = spec.task.limits.longest_command();
    let ours = [
        ("CLAUDE_CONFIG_DIR", config),
        ("BASH_MAX_TIMEOUT_MS", longest.0.to_string().into()),
        (
            "BASH_DEFAULT_TIMEOUT_MS",
            longest.min(USUAL_COMMAND).0.to_string().into(),
        ),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".into()),
        // A result while something still runs in the background would not be the end.
        ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1".into()),
        // Memory is kept per project and outlives the session; ours has no later one.
        ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1".into()),
        ("DISABLE_AUTOUPDATER", "1".into()),
        ("IS_SANDBOX", "1".into()),
    ];
    env.extend(ours.map(|(name, value)| (OsString::from(name), value)));
    let added = spec
        .place
        .env
        .iter()
        .filter(|(name, _)| name != "CLAUDECODE");
    for (name, value) in added {
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), value.clone()));
    }
    env
}
