//! Plans: what a planner answers and what a plan file holds.
//!
//! One type serves both. Every omitted key has a documented default; unknown keys are errors.

use indexmap::IndexMap;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Span, TaskId, Usd};

/// Returns the JSON Schema of plan files, which is also what a planner has to answer.
pub fn plan_schema() -> Value {
    SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<Plan>()
        .to_value()
}

/// A task graph with its gates and limits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    default,
    expecting = "a plan"
)]
pub struct Plan {
    /// The purpose of the plan, as plain text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub goal: String,
    /// Commands that must succeed on the merged result of all tasks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// The maximum number of tasks that run at once. Default: the daemon's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// The maximum cost of the whole goal, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Usd>,
    /// The tasks, in the order they were written.
    pub tasks: Vec<TaskSpec>,
}

/// One unit of work for one worker session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a task")]
pub struct TaskSpec {
    /// The id, unique in the plan: at most 64 letters, digits, `.`, `_` and `-`, starting with a letter or
    /// digit.
    pub id: TaskId,
    /// A short title for lists and trees. Default: the id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The instructions for the agent. Required unless `run` is set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// Tasks on which this task depends. It starts after *all* of them have succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// Paths or globs, relative to the workspace, that the task is expected to write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<String>,
    /// The agent: `claude-code`, `native` or `command`. Default: `command` if `run` is set, otherwise the
    /// goal's agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The model of the agent. Default: the goal's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The command that the agent `command` runs inside the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Command>,
    /// Commands that must succeed in the task's own sandbox before it counts as done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// The time limit for one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The number of retries of a failed attempt. Default: the setting `retries`; a command that
    /// exits with an error is not retried by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The number of parallel attempts of which the best is kept. Only `1` is supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<u32>,
    /// Whether the task needs an approval before it starts, after all its dependencies have succeeded.
    /// Default: `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pause: bool,
    /// Environment variables for the `command` agent and the task's gates.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    #[cfg_attr(feature = "codegen", ts(type = "Record<string, string>"))]
    pub env: IndexMap<String, String>,
}

impl TaskSpec {
    /// Returns a task with an id and instructions and the defaults for everything else.
    pub fn new(id: impl Into<TaskId>, instructions: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            title: String::new(),
            instructions: instructions.into(),
            depends_on: Vec::new(),
            writes: Vec::new(),
            agent: None,
            model: None,
            run: None,
            gates: Vec::new(),
            timeout: None,
            retries: None,
            candidates: None,
            pause: false,
            env: IndexMap::new(),
        }
    }

    /// Returns the title, or the id where there is none.
    pub fn title_or_id(&self) -> &str {
        if self.title.is_empty() {
            self.id.as_str()
        } else {
            &self.title
        }
    }

    /// Returns the agent that runs this task when the goal's is `default`.
    pub fn agent_or(&self, default: AgentName) -> AgentName {
        match (self.agent, &self.run) {
            (Some(agent), _) => agent,
            (None, Some(_)) => AgentName::Command,
            (None, None) => default,
        }
    }
}

/// A program with its arguments, or one string for the sandbox's shell.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(
    untagged,
    expecting = "a command is a list of strings, or one string for the shell"
)]
pub enum Command {
    /// Given to `sh -c` inside the sandbox.
    Shell(String),
    /// Run as it is, without a shell.
    Argv(Vec<String>),
}

impl Command {
    /// Returns the argument vector to run inside the sandbox.
    pub fn to_argv(&self) -> Vec<String> {
        match self {
            Command::Shell(script) => vec!["sh".into(), "-c".into(), script.clone()],
            Command::Argv(argv) => argv.clone(),
        }
    }

    /// Returns whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        match self {
            Command::Shell(script) => script.trim().is_empty(),
            Command::Argv(argv) => argv.first().is_none_or(String::is_empty),
        }
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Command::Shell(script) => f.write_str(script),
            Command::Argv(argv) => f.write_str(&argv.join(" ")),
        }
    }
}

/// A command whose success is required. It runs in a sandbox, never in the workspace.
pub type Gate = Command;

/// The agents a task can be run by.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum AgentName {
    /// Claude Code, driven over its stdio control protocol.
    ClaudeCode,
    /// The built-in loop over the Messages API.
    Native,
    /// A command, run in the sandbox.
    Command,
}

impl AgentName {
    /// Every agent, in the order they are declared and preferred.
    ///
    /// The names are a closed list, so that schemas and editors can offer them. A new agent costs here:
    /// a variant, its place in this list, and its text in [`AgentName::as_str`]. The compiler then asks for
    /// its line in the worker's registry; everything else is in the agent's own folder there. A name that a
    /// journal may hold is never removed. What differs between agents is read from
    /// [`AgentCapabilities`](crate::agent::AgentCapabilities), never from the name.
    pub const ALL: [AgentName; 3] = [AgentName::ClaudeCode, AgentName::Native, AgentName::Command];

    /// The agent of goals that were recorded without one.
    pub const FALLBACK: AgentName = AgentName::ClaudeCode;

    /// Returns the name as it is written in plans and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            AgentName::ClaudeCode => "claude-code",
            AgentName::Native => "native",
            AgentName::Command => "command",
        }
    }
}

impl std::fmt::Display for AgentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for AgentName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == s)
            .ok_or_else(|| {
                let [first @ .., last] = Self::ALL.map(|name| format!("`{name}`"));
                format!("unknown agent {s:?}; use {} or {last}", first.join(", "))
            })
    }
}
