//! What clients ask of the daemon over its local socket, and what it writes beside it.
//!
//! A connection starts with one line of JSON, a [`Hello`]. After the daemon's [`Welcome`] line, a
//! connection for `lsp` carries plain Language Server Protocol frames, and one for `requests` carries
//! one [`Request`] a line from the client and one [`Reply`] a line from the daemon.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BlobId, ErrorBody, EventSeq, GoalId, GoalSpec, GoalState, HunkId, Plan, RelPath, TaskId, Usd,
    change::HunkView,
    content::PendingSide,
    event::StreamItem,
    goal::{EnvVar, GoalSummary, GoalView, HunkCounts},
    permission::{PermissionAnswer, PermissionRequest},
    resolution::Resolution,
};

/// The version of this protocol; client and daemon must agree.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// First line of a connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The client's [`VERSION`].
    pub version: String,
    /// The purpose of the connection.
    pub purpose: ConnectionPurpose,
    /// The daemon's secret, as its [`DaemonFile`] has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SocketSecret>,
}

/// Holds the secret that a client shows to the daemon: 64 hexadecimal digits. The debug form of this
/// type does not contain it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(transparent)]
pub struct SocketSecret(String);

impl SocketSecret {
    /// Wraps the text of a secret.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text of the secret. It belongs into no log and no message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SocketSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SocketSecret(…)")
    }
}

/// Names the purpose of a connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ConnectionPurpose {
    /// Language Server Protocol frames.
    Lsp {
        /// The editor's environment, reduced to what workers may see. The daemon may have been started
        /// from somewhere else, without the editor's keys and search path.
        #[serde(default)]
        env: Vec<EnvVar>,
    },
    /// [`Request`]s and [`Reply`]s.
    Requests,
}

/// The daemon's answer to [`Hello`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// The daemon's [`VERSION`].
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Why the connection is refused, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// A request, with a number that its replies repeat.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Chosen by the client.
    pub id: u64,
    /// The call to answer.
    pub call: Call,
}

/// Lists the calls a client can make.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(
    tag = "method",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Call {
    /// Submit a goal → [`Answer::Submitted`].
    Submit {
        /// The goal.
        spec: Box<GoalSpec>,
        /// Start it even where a goal that is not settled does the same.
        #[serde(default)]
        again: bool,
    },
    /// All goals, oldest first → [`Answer::Goals`].
    Goals,
    /// One goal → [`Answer::Goal`].
    Goal {
        /// The goal.
        goal_id: GoalId,
    },
    /// Events after `after`, then live ones → many [`Answer::Item`] until the connection closes.
    Watch {
        /// Only this goal.
        goal_id: Option<GoalId>,
        /// Start after this event; `None` for live only.
        after: Option<EventSeq>,
        /// Whether somebody looks at the stream who can answer questions. Questions about hosts of the network
        /// wait for an answer only while there is such a person, or an editor.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        attended: bool,
    },
    /// Pending hunks → [`Answer::Hunks`].
    Hunks {
        /// Only this goal.
        goal_id: Option<GoalId>,
        /// Only this file.
        path: Option<RelPath>,
    },
    /// The pending change set as a unified diff → [`Answer::Diff`].
    Diff {
        /// The goal.
        goal_id: GoalId,
        /// Only hunks of this task.
        #[serde(default)]
        task_id: Option<TaskId>,
        /// Only hunks in this file.
        #[serde(default)]
        path: Option<RelPath>,
        /// Only this hunk.
        #[serde(default)]
        hunk_id: Option<HunkId>,
    },
    /// One side of a pending file → [`Answer::Content`].
    Content {
        /// The goal.
        goal_id: GoalId,
        /// The file.
        path: RelPath,
        /// The text to return.
        side: PendingSide,
    },
    /// Decide hunks → [`Answer::Decided`].
    Decide {
        /// The decision to carry out.
        decision: Decision,
    },
    /// Stop a goal → [`Answer::Done`].
    Cancel {
        /// The goal.
        goal_id: GoalId,
    },
    /// Try failed tasks again → [`Answer::Done`].
    Retry {
        /// The goal.
        goal_id: GoalId,
        /// Only this task.
        task_id: Option<TaskId>,
    },
    /// Let a plan, or a task that its plan pauses, run → [`Answer::Done`].
    Approve {
        /// The goal.
        goal_id: GoalId,
        /// The plan as edited.
        plan: Option<Box<Plan>>,
        /// The goal's plan as it was shown: refused where the goal has another one by now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shown: Option<Box<Plan>>,
        /// Only this task, which is paused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task_id: Option<TaskId>,
    },
    /// The permission requests that wait, oldest first → [`Answer::Permissions`].
    Permissions,
    /// Allow or deny what a worker asks for → [`Answer::Done`].
    Permit {
        /// The answer and the request it belongs to.
        answer: PermissionAnswer,
    },
    /// Lists the artifacts of a goal in the store → [`Answer::Artifacts`].
    Artifacts {
        /// The goal.
        goal_id: GoalId,
    },
    /// One artifact's bytes → [`Answer::Blob`].
    Blob {
        /// The identifier of the blob.
        id: BlobId,
    },
    /// The daemon's state → [`Answer::Status`].
    Status,
    /// End the daemon → [`Answer::Done`]. Refused while goals run, unless forced.
    Stop {
        /// End it even while goals run; they are resumed by the next daemon.
        force: bool,
    },
}

/// A reply to the request with the same number. `Watch` gets many.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// The request's number.
    pub id: u64,
    /// The answer, or why there is none.
    pub result: Result<Answer, ErrorBody>,
}

/// Lists the answers to calls.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(
    tag = "answer",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Answer {
    /// The call succeeded and has no result.
    Done,
    /// The goal is durable.
    Submitted {
        /// Its identifier, or that of the goal that does the same already.
        goal_id: GoalId,
        /// There where nothing was started: the goal that does the same already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duplicate_of: Option<GoalId>,
    },
    /// Goals, oldest first.
    Goals {
        /// One line each.
        goals: Vec<GoalSummary>,
        /// The last event they show: a watch after it misses nothing and repeats nothing.
        as_of: EventSeq,
    },
    /// One goal.
    Goal {
        /// All that is known.
        goal: Box<GoalView>,
        /// The last event it shows: a watch after it misses nothing and repeats nothing.
        as_of: EventSeq,
    },
    /// One item of a watch.
    Item {
        /// The item.
        item: StreamItem,
    },
    /// Pending hunks.
    Hunks {
        /// In the order of goals, files, lines.
        hunks: Vec<HunkView>,
    },
    /// A unified diff.
    Diff {
        /// A patch for `git apply`. Encoded as [`RelPath`] encodes bytes where it is not UTF-8.
        diff: String,
        /// Binary and symlink changes it cannot express, one line each.
        omitted: Vec<String>,
    },
    /// The text of one side.
    Content {
        /// `None` where the file does not exist on that side or is not text.
        text: Option<String>,
    },
    /// A decision was carried out.
    Decided {
        /// The result of the decision.
        report: DecisionReport,
    },
    /// Permission requests that wait.
    Permissions {
        /// Oldest first.
        requests: Vec<PermissionRequest>,
    },
    /// Artifacts.
    Artifacts {
        /// The artifacts of the goal.
        artifacts: Vec<GoalArtifact>,
    },
    /// The bytes of an artifact.
    Blob {
        /// Base64, standard alphabet with padding.
        base64: String,
    },
    /// The daemon's state.
    Status {
        /// The daemon's report about itself.
        status: DaemonStatus,
    },
}

/// Hunks to decide, and how.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The goal.
    pub goal_id: GoalId,
    /// Accept, reject or undo.
    pub verdict: crate::event::Verdict,
    /// Only hunks of this task.
    #[serde(default)]
    pub task_id: Option<TaskId>,
    /// Only hunks in this file. Naming a file or a hunk is the explicit look that held changes need.
    #[serde(default)]
    pub path: Option<RelPath>,
    /// Only this hunk.
    #[serde(default)]
    pub hunk_id: Option<HunkId>,
    /// The client has put the edit into the text itself: only look whether it is there.
    #[serde(default)]
    pub applied: bool,
    /// Why, for a rejection.
    #[serde(default)]
    pub reason: Option<String>,
    /// The text chosen for a conflict, for [`Verdict::Resolve`](crate::event::Verdict::Resolve).
    #[serde(default)]
    pub resolution: Option<Resolution>,
    /// Sends a rejection back to the worker as a repair turn. Default: as configured, where there
    /// is a reason.
    #[serde(default)]
    pub repair: Option<bool>,
}

impl Decision {
    /// Makes a decision about everything of a goal.
    pub fn new(goal_id: GoalId, verdict: crate::event::Verdict) -> Self {
        Self {
            goal_id,
            verdict,
            task_id: None,
            path: None,
            hunk_id: None,
            applied: false,
            reason: None,
            resolution: None,
            repair: None,
        }
    }
}

/// Reports the result of a decision.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct DecisionReport {
    /// Hunks decided as asked.
    pub decided: u32,
    /// Hunks left because they conflict.
    pub conflicts: u32,
    /// Hunks left because they need an explicit look.
    pub held: u32,
    /// Files written or edited.
    pub files: Vec<RelPath>,
    /// Files that could not be landed, and why.
    pub failed: Vec<FileFailure>,
    /// Hunks left because the lines they touch are being edited right now.
    #[serde(default)]
    pub waiting: u32,
    /// The task that was added to repair what was rejected or conflicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<TaskId>,
    /// Why none was added, where the reason given would have called for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrepaired: Option<ErrorBody>,
    /// The goal's state after it.
    pub state: Option<GoalState>,
    /// The goal's hunks after it.
    pub hunks: HunkCounts,
}

/// A file that could not be landed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct FileFailure {
    /// The file.
    pub path: RelPath,
    /// Why, and what to do.
    pub error: ErrorBody,
}

/// Something a goal left behind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct GoalArtifact {
    /// The blob with the bytes.
    pub id: BlobId,
    /// A file name for it.
    pub name: String,
    /// The kind of artifact: `transcript`, `file`, `snapshot`.
    pub kind: String,
    /// The task that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// Its size in bytes; `None` where the store no longer has it.
    pub bytes: Option<u64>,
}

/// Reports the state of the daemon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct DaemonStatus {
    /// Its [`VERSION`].
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_secs: u64,
    /// Goals in which work goes on.
    pub active_goals: u32,
    /// Attempts that run now.
    pub running_attempts: u32,
    /// Editors attached.
    pub editors: u32,
    /// The last event in the journal.
    pub last_seq: EventSeq,
    /// Its state folder.
    pub home: String,
}

/// `$CLAUDECLUSTER_HOME/daemon.json`: how to find the daemon. Mode 0600.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct DaemonFile {
    /// Its process id.
    pub pid: u32,
    /// Its [`VERSION`].
    pub version: String,
    /// The local socket, absolute.
    pub socket: String,
    /// What a client shows in its [`Hello`]. Each daemon makes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SocketSecret>,
    /// The HTTP address, once it serves one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// The token HTTP requests carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// The last line of `run --json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(tag = "type", rename = "outcome", rename_all = "camelCase")]
pub struct GoalOutcome {
    /// The goal.
    pub goal_id: GoalId,
    /// The final state of the goal.
    pub state: GoalState,
    /// Its hunks by fate.
    pub hunks: HunkCounts,
    /// The cost of the goal.
    pub cost_usd: Usd,
    /// From submission to now.
    pub duration_ms: u64,
}
