//! The worker protocol: how a daemon has a job run by a worker, wherever that worker is.
//!
//! A connection carries [`MessageToWorker`] in one direction and [`MessageFromWorker`] in the other. Inside
//! the daemon the messages are values in a channel; over a pipe each is one line of JSON of at most
//! [`LINE_BYTES`]. `docs/protocol.md` says in which order they come.
//!
//! A [`WorkerJob`] is data that can be sent: it names contents by the hash of their bytes, and no path but
//! that of the workspace. Folders, programs and agents' homes are the worker's own business.

mod content_part;

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AttemptId, BlobId, ErrorBody, GoalId, RelPath, Span, StopReason, TaskId, Usd,
    change::FileVersion,
    event::AgentEvent,
    goal::{AgentUsage, EnvVar, GateResult, SandboxKind},
    ids::number_id,
    network::{HostTraffic, NetworkPolicy},
    permission::{PermissionDecision, PermissionKind},
    plan::{AgentName, Command, Gate},
};

pub use content_part::{ContentBytes, ContentPart};

/// The version of the worker protocol. Both sides must have the same one.
pub const WORKER_PROTOCOL: u32 = 1;
/// The longest line on a pipe, in bytes, its end included.
pub const LINE_BYTES: usize = 64 << 20;
/// The most content that one line carries, in bytes before they are encoded.
pub const PART_BYTES: usize = 512 << 10;
/// Limits the events a worker may send before it is given more credit.
pub const EVENT_WINDOW: u32 = 256;
/// Limits the questions of one job that may be open at once.
pub const OPEN_QUESTIONS: usize = 64;

/// A message from the daemon to a worker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum MessageToWorker {
    /// Opens the connection.
    Hello {
        /// The version of the protocol that the daemon speaks.
        version: u32,
        /// The longest time between two messages of the worker, at least
        /// [`MessageFromWorker::Alive`].
        heartbeat: Span,
    },
    /// Runs a job. A connection runs one at a time.
    Start {
        /// The job.
        job: Box<WorkerJob>,
        /// The number of events the worker may send.
        credit: u32,
    },
    /// Lets the worker send more events.
    Credit {
        /// The job.
        epoch: EpochNumber,
        /// The number of further events allowed.
        events: u32,
    },
    /// Answers a question of the job.
    Answer {
        /// The job.
        epoch: EpochNumber,
        /// The number the worker gave the question.
        question: u64,
        /// The answer; `None` if there is nobody to ask, which counts as a denial.
        reply: Option<QuestionReply>,
    },
    /// Ends the job early. Its report still comes, with what it has changed until then.
    Cancel {
        /// The job.
        epoch: EpochNumber,
    },
    /// Asks for a content that the job's report names.
    Fetch {
        /// The content.
        id: BlobId,
    },
    /// A content that the worker asked for, or a part of it.
    Content(ContentPart),
    /// The daemon has everything it wants of the job's report.
    Release {
        /// The job.
        epoch: EpochNumber,
        /// Says whether later jobs may build on the job's layer. If not, the worker may delete the
        /// files of the job.
        keep_layer: bool,
    },
}

/// A message from a worker to the daemon.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum MessageFromWorker {
    /// Answers the daemon's hello.
    Hello {
        /// The version of the protocol that the worker speaks.
        version: u32,
        /// The version of the worker's program, for people.
        program: String,
        /// The agents it can run.
        agents: Vec<AgentName>,
    },
    /// The worker has taken the job.
    Accepted {
        /// The job.
        epoch: EpochNumber,
    },
    /// The worker is there and has nothing else to say.
    Alive,
    /// Reports an activity of the job's agent. Costs one credit. Without credit events wait, and
    /// are dropped once more than [`EVENT_WINDOW`] of them wait.
    Event {
        /// The job.
        epoch: EpochNumber,
        /// The activity.
        event: AgentEvent,
    },
    /// The job's agent waits for somebody to allow a use of a tool.
    Question {
        /// The job.
        epoch: EpochNumber,
        /// A number that no other question of the job has.
        question: u64,
        /// The use.
        request: ToolRequest,
    },
    /// The job's agent no longer waits for an answer.
    Withdrawn {
        /// The job.
        epoch: EpochNumber,
        /// The question.
        question: u64,
    },
    /// Asks for a layer's manifest or a file's content.
    Fetch {
        /// The content.
        id: BlobId,
    },
    /// A content that the daemon asked for, or a part of it.
    Content(ContentPart),
    /// The end of the job. The worker keeps the contents it names until they are released.
    Report {
        /// The job.
        epoch: EpochNumber,
        /// The report of the job.
        report: Box<JobReport>,
    },
    /// The job's files are kept or deleted, as the release said. The worker can take another job.
    Released {
        /// The job.
        epoch: EpochNumber,
    },
    /// The worker does not do what it was asked.
    Refused {
        /// The job it refuses; `None` if it refuses the connection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<EpochNumber>,
        /// Why, and what to do.
        error: ErrorBody,
    },
}

number_id! {
    /// A number that no other job of any daemon on the same state folder has. Later jobs have higher ones.
    ///
    /// It is the fence against late results: what a worker says of any other job than the one that its
    /// connection runs now is dropped.
    #[derive(Default)]
    EpochNumber(u64)
}

/// Identifies the attempt of a job, and the try at running it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct AttemptEpoch {
    /// The goal.
    pub goal: GoalId,
    /// The part of the goal to run.
    pub work: JobWork,
    /// The attempt at it, counting from 1.
    pub attempt: AttemptId,
    /// Tells this try from every other one, of this daemon and of those before it.
    pub number: EpochNumber,
}

/// Names the part of a goal that a job runs.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum JobWork {
    /// The planner's session. Nothing it changes is wanted.
    Planner,
    /// A task.
    Task {
        /// The task.
        task: TaskId,
    },
    /// The gates of the goal on its merged result.
    Gates,
}

/// Everything a worker has to know to run one attempt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct WorkerJob {
    /// The attempt and its epoch.
    pub epoch: AttemptEpoch,
    /// The root of the workspace, absolute, as the agent sees it.
    pub workspace: String,
    /// The snapshot that the attempt's changes are compared with, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BlobId>,
    /// The layers over the workspace, the one that wins first.
    pub layers: Vec<LayerRef>,
    /// The isolation to use for the attempt.
    pub sandbox: SandboxChoice,
    /// What its programs may reach of the network.
    #[serde(default)]
    pub network: NetworkPolicy,
    /// The agent's session; `None` for a job that only runs gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<AgentTask>,
    /// Variables added to the environment of the session. They hold keys.
    #[serde(default)]
    pub session_env: JobEnv,
    /// Commands that must succeed afterwards.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Variables added to the environment of the gates.
    #[serde(default)]
    pub gate_env: JobEnv,
    /// Deadlines beside those of the session.
    pub deadlines: JobDeadlines,
    /// Limits of what the attempt may change.
    pub change_limits: ChangeLimits,
    /// The fences around the attempt's programs.
    #[serde(default)]
    pub fences: SandboxFences,
    /// Paths that version control knows although an ignore rule names them.
    #[serde(default)]
    pub tracked: Vec<RelPath>,
}

/// Deadlines of a job beside those of its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct JobDeadlines {
    /// For making the view of the workspace, and again for reading what changed in it.
    pub view: Span,
    /// For each gate.
    pub gate: Span,
}

/// Variables of a job. Written to logs without their values.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(transparent)]
pub struct JobEnv(pub Vec<EnvVar>);

impl JobEnv {
    /// Returns the value of a variable, the last one of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = self.0.iter().rev().find(|var| var.name == name);
        named.map(|var| var.value.as_str())
    }
}

impl fmt::Debug for JobEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|var| &var.name))
            .finish()
    }
}

/// Chooses the isolation of workers from the workspace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum SandboxChoice {
    /// Use an overlay if the kernel allows it, and a copy otherwise.
    #[default]
    Auto,
    /// Require an overlay.
    Overlay,
    /// Use a private copy.
    Copy,
}

/// A layer of a job.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct LayerRef {
    /// The layer's manifest: the hash of [`LayerManifest::to_bytes`].
    pub manifest: BlobId,
    /// The attempt that left the layer, if one did. A worker that still has that attempt's own folder uses
    /// it: it holds what version control ignores as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<LayerMaker>,
}

/// An attempt of the same goal that left a layer.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct LayerMaker {
    /// The task.
    pub task: TaskId,
    /// The attempt at it.
    pub attempt: AttemptId,
}

/// Lists the files of a layer, each with its version or as deleted.
///
/// Its bytes are canonical, so that equal layers have equal identifiers: JSON without space, paths in the
/// order of their bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(transparent)]
pub struct LayerManifest(pub BTreeMap<RelPath, Option<FileVersion>>);

/// Why bytes are no layer manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are no manifest.
    #[error("the layer's manifest cannot be read: {0}")]
    Unreadable(String),
    /// The bytes are a manifest in another than the canonical form.
    #[error("the layer's manifest is not in canonical form")]
    NotCanonical,
}

impl LayerManifest {
    /// Returns the canonical bytes, whose hash names the layer.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and maps with string keys can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Unreadable(error.to_string()))?;
        if manifest.to_bytes() == bytes {
            Ok(manifest)
        } else {
            Err(ManifestError::NotCanonical)
        }
    }

    /// Returns the layer's identifier.
    pub fn layer_id(&self) -> BlobId {
        BlobId::of_bytes(&self.to_bytes())
    }
}

/// The task of one agent session, as data without paths or handles.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentTask {
    /// The agent that runs the session.
    pub agent: AgentName,
    /// The first user turn.
    pub prompt: String,
    /// Text added to the agent's system prompt. Identical for a planner and its forks.
    pub system: Option<String>,
    /// The JSON Schema the closing answer must satisfy. Identical for a planner and its forks.
    #[cfg_attr(feature = "codegen", ts(type = "unknown"))]
    pub schema: Option<Value>,
    /// The model. Default: the agent's own.
    pub model: Option<String>,
    /// The id of the session to make, a UUID.
    pub session: String,
    /// The session to start from: a planner's, or that of an interrupted attempt. A worker that has no
    /// session of the goal starts a new one.
    pub fork_of: Option<String>,
    /// The first user turn where there is no session to start from; the same as with one if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unforked_prompt: Option<String>,
    /// The command to run, for agents that run a command instead of following a prompt.
    pub run: Option<Command>,
    /// Deadlines and limits.
    pub limits: AgentLimits,
    /// The tools the agent may use. Identical for a planner and its forks.
    pub permissions: ToolPermissions,
}

/// Deadlines and limits of one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentLimits {
    /// From spawn to the first sign of life.
    pub start: Span,
    /// The longest silence while the agent works.
    pub silence: Span,
    /// From the agent's result to the end of its process, and from SIGTERM to SIGKILL.
    pub exit: Span,
    /// For the whole session.
    pub timeout: Span,
    /// Model turns.
    pub max_turns: u32,
    /// Cost; `None` for no limit.
    pub budget: Option<Usd>,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self {
            start: Span::from_secs(60),
            silence: Span::from_secs(600),
            exit: Span::from_secs(10),
            timeout: Span::from_secs(3600),
            max_turns: 200,
            budget: None,
        }
    }
}

impl AgentLimits {
    /// Returns how long one command of an agent may take: less than the silence that ends its session,
    /// because the agent is silent meanwhile.
    pub fn longest_command(&self) -> Span {
        Span(self.silence.0 / 10 * 9)
    }
}

/// Lists the tools a session may use, as configured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolPermissions {
    /// Tools that may be used though they are denied by default.
    pub allow: Vec<String>,
    /// Tools that are asked about each time.
    pub ask: Vec<String>,
    /// Tools that may not be used.
    pub deny: Vec<String>,
    /// The longest wait for an answer. Then the tool is denied, and the session goes on.
    pub timeout: Span,
}

impl Default for ToolPermissions {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            ask: Vec::new(),
            deny: Vec::new(),
            timeout: Span::from_secs(1800),
        }
    }
}

/// Limits of a change set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ChangeLimits {
    /// Bytes of one file, before or after.
    pub file_bytes: u64,
    /// Bytes of all changed files together; of each, the larger of before and after counts.
    pub total_bytes: u64,
    /// Changed files.
    pub files: usize,
    /// Files that are named as left out.
    pub refusals: usize,
}

impl Default for ChangeLimits {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            total_bytes: 256 << 20,
            files: 20_000,
            refusals: 1_000,
        }
    }
}

/// Fences around the programs of an attempt.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct SandboxFences {
    /// Files that programs cannot read.
    pub secrets: SecretRules,
    /// What programs may take of the machine.
    #[serde(default)]
    pub limits: ResourceLimits,
}

/// Changes to the built-in list of files that programs cannot read. A path may start with `~/`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SecretRules {
    /// Further files and folders that workers cannot read.
    pub hide: Vec<String>,
    /// Files and folders of the list that workers can read.
    pub show: Vec<String>,
}

/// What the programs of an attempt may take of the machine, all together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ResourceLimits {
    /// Processes and threads at once.
    pub processes: u32,
    /// Bytes of memory; `None` stands for three quarters of the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Open files, those of each process counted.
    pub open_files: u64,
    /// Bytes of disk space for what the programs write; `None` sets no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
}

impl Default for ResourceLimits {
    fn default() -> Self {
        Self {
            processes: 4096,
            memory_bytes: None,
            open_files: 65_536,
            disk_bytes: Some(64 << 30),
        }
    }
}

/// A use of a tool that somebody has to allow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ToolRequest {
    /// The tool, as its agent names it.
    pub tool: String,
    /// A description of the use, for people.
    pub detail: String,
    /// The kind of access the tool wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PermissionKind>,
    /// Its whole input as canonical JSON: the same for the same input, whoever asks.
    pub input: String,
}

/// The answer to a [`ToolRequest`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct QuestionReply {
    /// Allows or denies the tool.
    pub decision: PermissionDecision,
    /// Why, for a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Reports the end of a job.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct JobReport {
    /// Why it failed; `None` for success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopReason>,
    /// The agent's closing words, or what went wrong.
    pub summary: String,
    /// The agent's structured answer, where the session has a schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "codegen", ts(type = "unknown"))]
    pub answer: Option<Value>,
    /// The tokens and the cost of the session.
    pub usage: AgentUsage,
    /// The agent's session, for resuming and forking it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The wait until the provider answers again, where the provider named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Span>,
    /// The changes of the attempt, in the order of paths; collected for failed attempts too.
    #[serde(default)]
    pub changes: Vec<ReportedChange>,
    /// Changed files that are not among the changes, the first of them by name.
    #[serde(default)]
    pub left_out: Vec<LeftOutFile>,
    /// The number of files left out beyond those listed.
    #[serde(default)]
    pub left_out_more: u64,
    /// The layer that the attempt left: the identifier of [`Self::layer_manifest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<BlobId>,
    /// The results of its gates, in their order. Fewer than gates if it was cancelled.
    #[serde(default)]
    pub gates: Vec<GateResult>,
    /// The isolation used; `None` where the attempt ended before a sandbox was set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxKind>,
    /// Why in that way, and what was different in it; empty where it never came to that.
    pub isolation: String,
    /// The hosts its programs asked for, at most [`NAMED_HOSTS`](crate::network::NAMED_HOSTS).
    #[serde(default)]
    pub hosts: Vec<HostTraffic>,
    /// The number of connections to hosts beyond those listed.
    #[serde(default)]
    pub hosts_more: u64,
    /// Everything the agent wrote, line by line; `None` if it wrote nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<BlobId>,
}

impl JobReport {
    /// Returns the report of a job that never came to run.
    pub fn failed_with(stop: StopReason, summary: impl Into<String>) -> Self {
        Self {
            stop: Some(stop),
            summary: summary.into(),
            ..Self::default()
        }
    }

    /// Returns what the attempt changed, as a layer.
    pub fn layer_manifest(&self) -> LayerManifest {
        let mut files = BTreeMap::new();
        let moved = self.changes.iter().filter_map(|change| change.from.clone());
        files.extend(moved.map(|from| (from, None)));
        for change in &self.changes {
            files.insert(change.path.clone(), change.version.clone());
        }
        LayerManifest(files)
    }
}

/// Reports the change a job made to one file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ReportedChange {
    /// The file.
    pub path: RelPath,
    /// For a rename: where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RelPath>,
    /// The version the job left; `None` where the job deleted the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<FileVersion>,
}

/// A file that a job changed and that is not among its changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct LeftOutFile {
    /// The file.
    pub path: RelPath,
    /// Why, in words.
    pub reason: String,
}

#[cfg(test)]
mod tests;
