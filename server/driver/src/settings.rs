//! What can be configured, with its defaults. The command line reads the layers (files,
//! environment, options) and hands the driver the result; the driver and the workers obey it.

pub use claudecluster_protocol::worker::{SandboxChoice, SecretRules};
use claudecluster_protocol::{
    Span, Usd,
    network::{NetworkMode, NetworkPolicy},
    plan::AgentName,
    worker::{ResourceLimits, SandboxFences},
};
use claudecluster_worker::{
    agent::{
        AgentSettings, NativeSettings, ToolPermissions,
        claude_code::{ClaudeSettings, ToolPolicy, ToolRule},
        registry,
    },
    network::default_registries,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All settings. Keys are camelCase; durations have the form `"90s"`, `"10m"` or `"1h 30m"`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "Settings")]
pub struct DriverSettings {
    /// The agent for planning and for tasks that do not name one. Default: Claude Code if installed,
    /// otherwise the built-in agent.
    pub agent: Option<AgentName>,
    /// Agents that must not run.
    pub deny_agents: Vec<AgentName>,
    /// The model for tasks that do not name one. Default: chosen by the agent.
    pub model: Option<String>,
    /// Settings of the planning session.
    pub planner: PlannerSettings,
    /// The maximum number of tasks that run at once, over all goals.
    pub max_parallel: u32,
    /// How often a failed attempt is retried. A command that exits with an error is not retried unless
    /// its plan sets `retries`.
    pub retries: u32,
    /// The maximum cost of one goal, in US dollars. Default: no limit.
    pub budget_usd: Option<Usd>,
    /// Ask before a plan runs.
    pub approve_plans: bool,
    /// Tools that workers may use, and tools that need your permission.
    pub permissions: PermissionSettings,
    /// Work that is sent to a repair task automatically.
    pub repair: RepairSettings,
    /// Settings of the review.
    pub review: ReviewSettings,
    /// Time limits.
    pub timeouts: AttemptTimeouts,
    /// How workers are isolated from the workspace.
    pub sandbox: SandboxChoice,
    /// What workers may reach of the network.
    pub network: NetworkSettings,
    /// Limits for one attempt.
    pub limits: AttemptLimits,
    /// Files of yours that workers cannot read, beside or against the built-in list.
    pub secrets: SecretRules,
    /// Settings of Claude Code.
    pub claude: ClaudeSettings,
    /// Settings of the built-in agent.
    pub native: NativeSettings,
    /// The environment variables of workers.
    pub env: EnvSettings,
    /// Settings of the daemon.
    pub daemon: DaemonSettings,
    /// The log level or filter of the daemon, such as `info,claudecluster_driver=debug`.
    pub log: String,
}

impl Default for DriverSettings {
    fn default() -> Self {
        Self {
            agent: None,
            deny_agents: Vec::new(),
            model: None,
            planner: PlannerSettings::default(),
            max_parallel: 4,
            retries: 2,
            budget_usd: None,
            approve_plans: false,
            permissions: PermissionSettings::default(),
            repair: RepairSettings::default(),
            review: ReviewSettings::default(),
            timeouts: AttemptTimeouts::default(),
            sandbox: SandboxChoice::default(),
            network: NetworkSettings::default(),
            limits: AttemptLimits::default(),
            secrets: SecretRules::default(),
            claude: ClaudeSettings::default(),
            native: NativeSettings::default(),
            env: EnvSettings::default(),
            daemon: DaemonSettings::default(),
            log: "info".to_owned(),
        }
    }
}

/// Settings of the planning session.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PlannerSettings {
    /// The model for planning. Default: the setting `model`.
    pub model: Option<String>,
}

/// Tools that workers may use, by Claude Code's names. `deny` overrides `ask`, and `ask` overrides `allow`.
/// By default, `WebFetch` and `WebSearch` are denied, and tools that stay in the sandbox are allowed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PermissionSettings {
    /// Tools that workers may use although they are denied by default.
    pub allow: Vec<String>,
    /// Tools that need your permission each time.
    pub ask: Vec<String>,
    /// Tools that workers may not use.
    pub deny: Vec<String>,
    /// How long a worker waits for an answer. After that the request is denied, and the worker continues
    /// without the tool.
    pub timeout: Span,
}

impl Default for PermissionSettings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            ask: Vec::new(),
            deny: Vec::new(),
            timeout: Span::from_secs(1800),
        }
    }
}

impl PermissionSettings {
    /// Returns the tool permissions that a session is started with.
    pub(crate) fn of_session(&self) -> ToolPermissions {
        ToolPermissions {
            allow: self.allow.clone(),
            ask: self.ask.clone(),
            deny: self.deny.clone(),
            timeout: self.timeout,
        }
    }

    /// Adds the restrictions of a workspace. Only allowed tools can become asked about: a denied
    /// tool must not be opened.
    fn restrict_tools(&mut self, workspace: &WorkspacePermissions) {
        let policy = ToolPolicy::new(&self.of_session());
        for tool in &workspace.ask {
            if policy.rule(tool) == ToolRule::Allow && !self.ask.contains(tool) {
                self.ask.push(tool.clone());
            }
        }
        for tool in &workspace.deny {
            if !self.deny.contains(tool) {
                self.deny.push(tool.clone());
            }
        }
    }
}

/// Work that is sent to a repair task automatically. A repair that the developer requests always starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RepairSettings {
    /// Send conflicts between tasks of one goal to a repair task before the developer sees them.
    pub conflicts: bool,
    /// Send hunks that are rejected with a reason to a repair task.
    pub rejections: bool,
}

impl Default for RepairSettings {
    fn default() -> Self {
        Self {
            conflicts: true,
            rejections: true,
        }
    }
}

/// Settings of the review.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReviewSettings {
    /// Files whose changes are held for review, beside those that can make tools run code. Patterns as in a
    /// `.gitignore`.
    pub hold: Vec<String>,
    /// How long after the last keystroke the lines around it are protected. Changes that were not accepted
    /// by naming the hunk or the file wait until then. `"0s"` disables the protection.
    pub typing_pause: Span,
    /// Whether to merge lines word by word if the developer and a task, or two tasks, changed different
    /// words.
    pub merge_words: MergeWords,
}

/// Whether to merge lines word by word if both sides changed different words. Past decisions do not change
/// with the setting: the journal has the texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MergeWords {
    /// Report a conflict, as git does.
    Off,
    /// Report a conflict, and offer the merged lines as one resolution.
    #[default]
    Suggest,
    /// Merge the lines, and treat them as a clean change.
    On,
}

impl ReviewSettings {
    /// Adds the patterns of a workspace. An exception among them (`!`) would take away from what the user holds.
    fn hold_also(&mut self, patterns: &[String]) {
        let adds = |pattern: &&String| !pattern.trim_start().starts_with('!');
        self.hold.extend(patterns.iter().filter(adds).cloned());
    }
}

impl Default for ReviewSettings {
    fn default() -> Self {
        Self {
            hold: Vec::new(),
            typing_pause: Span::from_secs(2),
            merge_words: MergeWords::default(),
        }
    }
}

/// Time limits. Each ends an attempt with its own reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "Timeouts")]
pub struct AttemptTimeouts {
    /// The time from an agent's start to its first output.
    pub start: Span,
    /// The longest time without output from an agent. Does not apply to command tasks.
    pub silence: Span,
    /// The time from an agent's result to the exit of its process.
    pub exit: Span,
    /// The time for one attempt at a task that does not set its own timeout.
    pub attempt: Span,
    /// The time for one gate command.
    pub gate: Span,
}

impl Default for AttemptTimeouts {
    fn default() -> Self {
        Self {
            start: Span::from_secs(60),
            silence: Span::from_secs(600),
            exit: Span::from_secs(10),
            attempt: Span::from_secs(3600),
            gate: Span::from_secs(900),
        }
    }
}

/// What workers may reach of the network. Their agent's provider is always allowed to a session.
///
/// A host is a name (`example.org`), all names below one (`*.example.org`), or an address, with or without a
/// port. Without one, it is allowed on ports 80 and 443.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// What happens to hosts on no list: deny them, ask, or leave the whole network to workers.
    pub mode: NetworkMode,
    /// Hosts that workers may reach.
    pub allow: Vec<String>,
    /// Ports of this machine's loopback address, such as a database's, that workers reach at the same port.
    pub loopback: Vec<u16>,
    /// Package registries that workers may reach. Default: those of the common languages.
    pub registries: Vec<String>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            mode: NetworkMode::default(),
            allow: Vec::new(),
            loopback: Vec::new(),
            registries: default_registries(),
        }
    }
}

/// Limits for one attempt, all its programs together. Exceeding a limit ends the attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "Limits")]
pub struct AttemptLimits {
    /// The maximum size of one changed file, in bytes.
    pub file_bytes: u64,
    /// The maximum size of all changed files, in bytes.
    pub total_bytes: u64,
    /// The maximum number of changed files.
    pub files: u32,
    /// The maximum number of model turns.
    pub turns: u32,
    /// The maximum number of processes and threads that run at once.
    pub processes: u32,
    /// The maximum memory, in bytes. Default: three quarters of the machine's memory.
    pub memory_bytes: Option<u64>,
    /// The maximum number of open files.
    pub open_files: u64,
    /// The maximum disk space for what the attempt writes, in bytes.
    pub disk_bytes: Option<u64>,
}

impl Default for AttemptLimits {
    fn default() -> Self {
        let fences = ResourceLimits::default();
        Self {
            file_bytes: 16 << 20,
            total_bytes: 256 << 20,
            files: 10_000,
            turns: 200,
            processes: fences.processes,
            memory_bytes: fences.memory_bytes,
            open_files: fences.open_files,
            disk_bytes: fences.disk_bytes,
        }
    }
}

impl AttemptLimits {
    /// Returns the limits of what programs may take of the machine.
    pub fn resources(&self) -> ResourceLimits {
        ResourceLimits {
            processes: self.processes,
            memory_bytes: self.memory_bytes,
            open_files: self.open_files,
            disk_bytes: self.disk_bytes,
        }
    }
}

/// Environment variables of the developer that workers get.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EnvSettings {
    /// Variables in addition to the built-in list. A name can end with `*`.
    pub pass: Vec<String>,
}

/// The variables every worker may see of the developer's environment, beside those of its agent.
/// `NAME*` stands for a prefix.
const PASSED: [&str; 32] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "COLORTERM",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPATH",
    "GOROOT",
    "JAVA_HOME",
    "VIRTUAL_ENV",
    "PYENV_ROOT",
    "NVM_DIR",
    "CONDA_PREFIX",
];

impl EnvSettings {
    /// Returns whether workers may see the variable `name`.
    pub fn passes(&self, name: &str) -> bool {
        let matches = |rule: &str| match rule.strip_suffix('*') {
            Some(prefix) => !prefix.is_empty() && name.starts_with(prefix),
            None => name == rule,
        };
        PASSED.into_iter().any(matches)
            || registry().passed_variables().any(matches)
            || self.pass.iter().any(|rule| matches(rule))
    }
}

/// Settings of the daemon itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DaemonSettings {
    /// How long the daemon keeps running without clients and goals.
    pub idle_timeout: Span,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self {
            idle_timeout: Span::from_secs(1800),
        }
    }
}

/// Settings of a workspace file. A workspace file is not trusted: it can only lower limits, deny agents and
/// tools, and require confirmation.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkspaceSettings {
    /// Agents that must not run in this workspace.
    pub deny_agents: Vec<AgentName>,
    /// Lowers `maxParallel`.
    pub max_parallel: Option<u32>,
    /// Lowers `retries`.
    pub retries: Option<u32>,
    /// Lowers `budgetUsd`.
    pub budget_usd: Option<Usd>,
    /// Adds tools that are denied or need permission.
    pub permissions: WorkspacePermissions,
    /// Adds files that are held for review.
    pub review: WorkspaceReview,
    /// Lowers time limits.
    pub timeouts: WorkspaceTimeouts,
    /// Narrows the network.
    pub network: WorkspaceNetwork,
    /// Lowers limits.
    pub limits: WorkspaceLimits,
    /// Hides further files.
    pub secrets: WorkspaceSecrets,
}

/// The network as a workspace narrows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkspaceNetwork {
    /// Narrows `network.mode`: `closed` is narrower than `ask`, and `ask` is narrower than `open`.
    pub mode: Option<NetworkMode>,
}

/// Tools that a workspace restricts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkspacePermissions {
    /// Adds allowed tools to `permissions.ask`; denied tools stay denied.
    pub ask: Vec<String>,
    /// Adds to `permissions.deny`.
    pub deny: Vec<String>,
}

/// Files that a workspace has held for review.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkspaceReview {
    /// Adds to `review.hold`.
    pub hold: Vec<String>,
}

/// Time limits that a workspace lowers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkspaceTimeouts {
    /// Lowers `timeouts.attempt`.
    pub attempt: Option<Span>,
    /// Lowers `timeouts.gate`.
    pub gate: Option<Span>,
}

/// Limits that a workspace lowers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkspaceLimits {
    /// Lowers `limits.fileBytes`.
    pub file_bytes: Option<u64>,
    /// Lowers `limits.totalBytes`.
    pub total_bytes: Option<u64>,
    /// Lowers `limits.files`.
    pub files: Option<u32>,
    /// Lowers `limits.turns`.
    pub turns: Option<u32>,
    /// Lowers `limits.processes`.
    pub processes: Option<u32>,
    /// Lowers `limits.memoryBytes`.
    pub memory_bytes: Option<u64>,
    /// Lowers `limits.openFiles`.
    pub open_files: Option<u64>,
    /// Lowers `limits.diskBytes`.
    pub disk_bytes: Option<u64>,
}

/// Files that a workspace hides from workers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkspaceSecrets {
    /// Adds to `secrets.hide`.
    pub hide: Vec<String>,
}

impl DriverSettings {
    /// Returns the settings of the agents.
    pub fn agent_settings(&self) -> AgentSettings {
        AgentSettings {
            claude: self.claude.clone(),
            native: self.native.clone(),
        }
    }

    /// Returns the policy of a job. `added` are hosts that have been allowed for always since the settings were
    /// read.
    pub(crate) fn network_policy(&self, added: Vec<String>) -> NetworkPolicy {
        let NetworkSettings {
            mode,
            allow,
            loopback,
            registries,
        } = self.network.clone();
        NetworkPolicy {
            mode,
            allow: allow.into_iter().chain(added).collect(),
            registries,
            loopback,
            answer_timeout: self.permissions.timeout,
        }
    }

    /// Returns the fences around the programs of an attempt.
    pub(crate) fn fences(&self) -> SandboxFences {
        SandboxFences {
            secrets: self.secrets.clone(),
            limits: self.limits.resources(),
        }
    }

    /// Returns these settings, restricted by those of a workspace. The result allows nothing that
    /// `self` does not.
    #[must_use]
    pub fn restrict(mut self, workspace: &WorkspaceSettings) -> DriverSettings {
        for agent in &workspace.deny_agents {
            if !self.deny_agents.contains(agent) {
                self.deny_agents.push(*agent);
            }
        }
        self.permissions.restrict_tools(&workspace.permissions);
        lower_limit(&mut self.network.mode, workspace.network.mode);
        self.review.hold_also(&workspace.review.hold);
        lower_limit(&mut self.max_parallel, workspace.max_parallel);
        lower_limit(&mut self.retries, workspace.retries);
        lower_limit(&mut self.timeouts.attempt, workspace.timeouts.attempt);
        lower_limit(&mut self.timeouts.gate, workspace.timeouts.gate);
        lower_limit(&mut self.limits.file_bytes, workspace.limits.file_bytes);
        lower_limit(&mut self.limits.total_bytes, workspace.limits.total_bytes);
        lower_limit(&mut self.limits.files, workspace.limits.files);
        lower_limit(&mut self.limits.turns, workspace.limits.turns);
        lower_limit(&mut self.limits.processes, workspace.limits.processes);
        lower_limit(&mut self.limits.open_files, workspace.limits.open_files);
        lower_optional(&mut self.limits.memory_bytes, workspace.limits.memory_bytes);
        lower_optional(&mut self.limits.disk_bytes, workspace.limits.disk_bytes);
        let hidden = workspace.secrets.hide.iter();
        self.secrets.hide.extend(hidden.cloned());
        lower_optional(&mut self.budget_usd, workspace.budget_usd);
        self
    }
}

fn lower_optional<T: Ord + Copy>(value: &mut Option<T>, limit: Option<T>) {
    *value = match (*value, limit) {
        (Some(own), Some(lower)) => Some(own.min(lower)),
        (own, lower) => own.or(lower),
    };
}

fn lower_limit<T: Ord + Copy>(value: &mut T, limit: Option<T>) {
    if let Some(limit) = limit {
        *value = (*value).min(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_lowers_and_never_raises() {
        let own = DriverSettings {
            budget_usd: Some(Usd::from_dollars(2.0)),
            ..DriverSettings::default()
        };
        let greedy = WorkspaceSettings {
            max_parallel: Some(1000),
            retries: Some(1000),
            budget_usd: Some(Usd::from_dollars(1000.0)),
            timeouts: WorkspaceTimeouts {
                attempt: Some(Span::from_secs(1_000_000)),
                gate: Some(Span::from_secs(1_000_000)),
            },
            limits: WorkspaceLimits {
                file_bytes: Some(u64::MAX),
                total_bytes: Some(u64::MAX),
                files: Some(u32::MAX),
                turns: Some(u32::MAX),
                processes: Some(u32::MAX),
                memory_bytes: None,
                open_files: Some(u64::MAX),
                disk_bytes: Some(u64::MAX),
            },
            secrets: WorkspaceSecrets::default(),
            // What is denied by default cannot be opened by asking about it.
            permissions: WorkspacePermissions {
                ask: vec!["WebFetch".into(), "Skill".into()],
                deny: Vec::new(),
            },
            network: WorkspaceNetwork {
                mode: Some(NetworkMode::Open),
            },
            review: WorkspaceReview {
                hold: vec!["!*.sql".into()],
            },
            deny_agents: Vec::new(),
        };
        assert_eq!(own.clone().restrict(&greedy), own);

        let modest = WorkspaceSettings {
            deny_agents: vec![AgentName::Native],
            max_parallel: Some(1),
            budget_usd: Some(Usd::from_dollars(0.5)),
            network: WorkspaceNetwork {
                mode: Some(NetworkMode::Closed),
            },
            review: WorkspaceReview {
                hold: vec!["*.sql".into()],
            },
            permissions: WorkspacePermissions {
                ask: vec!["Bash".into()],
                deny: vec!["WebSearch".into()],
            },
            limits: WorkspaceLimits {
                processes: Some(7),
                memory_bytes: Some(1),
                ..WorkspaceLimits::default()
            },
            secrets: WorkspaceSecrets {
                hide: vec!["~/x".into()],
            },
            ..WorkspaceSettings::default()
        };
        let narrowed = own.restrict(&modest);
        assert_eq!(narrowed.network.mode, NetworkMode::Closed);
        assert_eq!(narrowed.max_parallel, 1);
        assert_eq!(narrowed.deny_agents, [AgentName::Native]);
        assert_eq!(narrowed.budget_usd, Some(Usd::from_dollars(0.5)));
        assert_eq!(narrowed.review.hold, ["*.sql"]);
        let fences = narrowed.fences();
        assert_eq!(
            (fences.limits.processes, fences.limits.memory_bytes),
            (7, Some(1))
        );
        assert_eq!(fences.secrets.hide, ["~/x"]);
        let policy = ToolPolicy::new(&narrowed.permissions.of_session());
        assert_eq!(policy.rule("Bash"), ToolRule::Ask);
        assert_eq!(policy.rule("WebSearch"), ToolRule::Deny);
    }

    #[test]
    fn workers_see_listed_variables_only() {
        let env = EnvSettings {
            pass: vec!["MY_*".into(), "*".into()],
        };
        for (name, passes) in [
            ("PATH", true),
            ("LC_ALL", true),
            ("ANTHROPIC_API_KEY", true),
            ("MY_TOKEN", true),
            ("LD_PRELOAD", false),
            ("NODE_OPTIONS", false),
            ("GIT_DIR", false),
            ("CLAUDECODE", false),
            ("PATHS", false),
        ] {
            assert_eq!(env.passes(name), passes, "{name}");
        }
    }
}
