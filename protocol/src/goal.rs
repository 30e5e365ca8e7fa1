//! Goals, tasks and attempts: what was asked for and how far it has come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AttemptId, BlobId, ErrorBody, GoalId, HunkId, Plan, RelPath, Span, TaskId, Timestamp, Usd,
    network::HostTraffic,
    permission::PermissionRequest,
    plan::{AgentName, Gate, TaskSpec},
    repair::RepairSpec,
};

/// Describes a goal as the developer stated it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GoalSpec {
    /// The workspace root, absolute, as the client names it.
    pub workspace: String,
    /// The goal in the developer's words. May be empty where a plan is given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// The files the goal may change.
    #[serde(default)]
    pub scope: GoalScope,
    /// A ready plan: no planner runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The agent for planning and for tasks that name none. Default: configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The model for planning and for tasks that name none. Default: configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The number of tasks that may run at once. Default: the plan's, then configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// The most the goal may cost. Default: the plan's, then configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Usd>,
    /// The longest time from submission to proposal. While all that could go on waits for
    /// somebody, an approval of its plan or of a task or an answer to a worker, none of it passes; whoever
    /// tries a goal again gives it all of it anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Commands that must succeed on the merged result, beside the plan's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// Stop once there is a valid plan and wait for approval.
    #[serde(default, skip_serializing_if = "is_false")]
    pub plan_only: bool,
    /// Land everything clean without asking.
    #[serde(default, skip_serializing_if = "is_false")]
    pub apply: bool,
    /// Nobody is to be asked: what would wait for an answer about a host of the network is denied at once.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unattended: bool,
    /// Environment of the client that submitted the goal, reduced to what workers may see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
}

impl GoalSpec {
    /// Returns a goal in words that leaves everything else to configuration.
    pub fn new(workspace: impl Into<String>, prompt: impl Into<String>) -> Self {
        Self {
            workspace: workspace.into(),
            prompt: prompt.into(),
            scope: GoalScope::default(),
            plan: None,
            agent: None,
            model: None,
            jobs: None,
            budget_usd: None,
            timeout: None,
            gates: Vec::new(),
            plan_only: false,
            apply: false,
            unattended: false,
            env: Vec::new(),
        }
    }

    /// Returns the agent that plans the goal and runs tasks that name none.
    pub fn main_agent(&self) -> AgentName {
        self.agent.unwrap_or(AgentName::FALLBACK)
    }

    /// Returns the agent that runs `task`.
    pub fn agent_for(&self, task: &TaskSpec) -> AgentName {
        task.agent_or(self.main_agent())
    }
}

fn is_false(b: &bool) -> bool {
    !b
}

/// One environment variable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Selects the files a goal may change. Changes elsewhere are kept apart and never land by an
/// accept of everything.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GoalScope {
    /// The way the files are chosen.
    #[serde(default)]
    pub kind: GoalScopeKind,
    /// For `open` (filled in by the daemon) and `files`: paths relative to the workspace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<RelPath>,
    /// For `files`: globs relative to the workspace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub globs: Vec<String>,
    /// The part of one file the developer pointed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<GoalSelection>,
}

/// Names the way the files of a goal are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum GoalScopeKind {
    /// The documents that are open in the editor, with their unsaved text.
    Open,
    /// Everything in the workspace.
    #[default]
    Workspace,
    /// The files named.
    Files,
}

/// A range of lines in one file. Lines count from 0; the end is exclusive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct GoalSelection {
    /// The file.
    pub path: RelPath,
    /// First line.
    pub start_line: u32,
    /// One past the last line.
    pub end_line: u32,
    /// The selected text, which finds the place again once lines have moved. The daemon fills the
    /// field in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<SelectedText>,
}

/// The text of a selection, as it was when the goal was submitted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct SelectedText {
    /// The hash of its lines, as artifacts are named.
    pub hash: BlobId,
    /// The number of equal stretches above this one in the file.
    pub above: u32,
}

/// Names the state of a goal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum GoalState {
    /// Accepted and journaled; the workspace is being captured.
    Submitted,
    /// A planner session works out the task graph.
    Planning,
    /// There is a plan; somebody has to approve it.
    AwaitingApproval,
    /// Tasks run.
    Running,
    /// The tasks' changes are being merged into one proposal.
    Merging,
    /// The goal's gates run on the merged result.
    Gating,
    /// There is a proposal to decide.
    Proposed,
    /// Every hunk has been decided and at least one has landed, or there was nothing to change.
    Landed,
    /// Every hunk has been decided and none has landed.
    Rejected,
    /// The goal stopped without a complete result. Partial work may still be pending.
    Failed,
    /// Somebody cancelled it. Partial work may still be pending.
    Cancelled,
}

impl GoalState {
    /// Returns whether work continues without a decision.
    pub fn is_active(self) -> bool {
        matches!(
            self,
            Self::Submitted | Self::Planning | Self::Running | Self::Merging | Self::Gating
        )
    }

    /// Returns whether the goal has ended for good, apart from partial work that may be pending.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Landed | Self::Rejected | Self::Failed | Self::Cancelled
        )
    }

    /// Returns the state as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Planning => "planning",
            Self::AwaitingApproval => "awaitingApproval",
            Self::Running => "running",
            Self::Merging => "merging",
            Self::Gating => "gating",
            Self::Proposed => "proposed",
            Self::Landed => "landed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the state as the predicate of a sentence about the goal: "goal g1 has failed".
    pub fn status_phrase(self) -> &'static str {
        match self {
            Self::Submitted => "is capturing the workspace",
            Self::Planning => "is still being planned",
            Self::AwaitingApproval => "is waiting for plan approval",
            Self::Running => "is running",
            Self::Merging => "is merging its results",
            Self::Gating => "is running its gates",
            Self::Proposed => "has proposed its changes",
            Self::Landed => "has already been applied",
            Self::Rejected => "has been rejected",
            Self::Failed => "has failed",
            Self::Cancelled => "has been cancelled",
        }
    }
}

/// Names the state of a task.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum TaskState {
    /// Some task it depends on has not succeeded yet.
    Waiting,
    /// The task can run and waits for a free place, or for a retry's delay.
    Ready,
    /// Everything it depends on has succeeded, and its plan says that somebody has to approve it first.
    Paused,
    /// An attempt runs.
    Running,
    /// An attempt succeeded.
    Succeeded,
    /// Its last attempt failed and no retry is left.
    Failed,
    /// A task it depends on did not succeed, so it never ran.
    Skipped,
    /// The goal was cancelled before it succeeded.
    Cancelled,
}

impl TaskState {
    /// Returns whether the task has ended and nothing restarts it.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled
        )
    }

    /// Returns the state as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why an attempt, or a planning session, ended without success. Each has its own retry policy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum StopReason {
    /// The sandbox or the agent's process could not be started.
    SpawnFailed,
    /// The agent's process ended without reporting a result.
    Crashed,
    /// The agent did not become ready within its start deadline.
    StartTimeout,
    /// The agent said nothing for longer than its silence deadline.
    Silent,
    /// The attempt took longer than its timeout.
    Timeout,
    /// The agent's output broke off or was not what its format promises.
    BrokenStream,
    /// The provider is overloaded or its rate limit is reached.
    Overloaded,
    /// The provider refused the key or the account.
    Auth,
    /// The cost limit was reached.
    Budget,
    /// The agent's limit on turns was reached.
    TurnLimit,
    /// The agent reported that it cannot or will not do the task.
    Refused,
    /// The agent's program exited with an error status.
    ExitStatus,
    /// The agent reported success but permission for something it tried was denied.
    PermissionDenied,
    /// A gate of the task failed.
    GateFailed,
    /// The answer was not what the schema or the plan's rules demand.
    InvalidAnswer,
    /// The change set broke a limit: outside the workspace, too many files, too large.
    ChangesRefused,
    /// The daemon was stopped while the attempt ran.
    DaemonRestart,
    /// The daemon ended unexpectedly while the attempt ran.
    DaemonCrash,
    /// Somebody cancelled it.
    Cancelled,
    /// The machine refused: disk full, no memory, no permission.
    Resources,
    /// The attempt's programs took more of the machine than a setting of `limits` allows, and were ended.
    ResourceLimit,
}

/// Counts the tokens and the cost of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct AgentUsage {
    /// Tokens sent that no cache held.
    pub input_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// Tokens sent that the provider's prompt cache held.
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's prompt cache.
    pub cache_write_tokens: u64,
    /// The cost as the agent reports it.
    pub cost_usd: Usd,
    /// Model turns.
    pub turns: u32,
}

impl AgentUsage {
    /// Returns the sum of both.
    #[must_use]
    pub fn saturating_add(self, other: AgentUsage) -> AgentUsage {
        AgentUsage {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cache_read_tokens: self
                .cache_read_tokens
                .saturating_add(other.cache_read_tokens),
            cache_write_tokens: self
                .cache_write_tokens
                .saturating_add(other.cache_write_tokens),
            cost_usd: self.cost_usd.saturating_add(other.cost_usd),
            turns: self.turns.saturating_add(other.turns),
        }
    }
}

/// Names the isolation of an attempt from the workspace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum SandboxKind {
    /// A copy-on-write overlay at the workspace's own path, in namespaces of its own.
    Overlay,
    /// A private copy in another place.
    Copy,
}

/// A hunk count by fate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct HunkCounts {
    /// Clean and waiting for a decision.
    pub pending: u32,
    /// In the user's text.
    pub landed: u32,
    /// Taken back.
    pub rejected: u32,
    /// Waiting, and in the way of something else.
    pub conflicts: u32,
    /// Landed once and taken back since. They wait again, so `pending` or `conflicts` has them too.
    #[serde(default)]
    pub undone: u32,
}

/// A goal in one line, for lists.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct GoalSummary {
    /// Identifier.
    pub id: GoalId,
    /// The workspace root.
    pub workspace: String,
    /// The goal in the developer's words, or the plan's.
    pub prompt: String,
    /// The current state.
    pub state: GoalState,
    /// Tasks in all.
    pub tasks: u32,
    /// Tasks that succeeded.
    pub succeeded: u32,
    /// Tasks that run now.
    pub running: u32,
    /// Permission requests that wait for an answer.
    #[serde(default)]
    pub permissions_waiting: u32,
    /// Tasks that wait for somebody's approval.
    #[serde(default)]
    pub paused: u32,
    /// Hunks by fate.
    pub hunks: HunkCounts,
    /// The cost of the goal so far.
    pub cost_usd: Usd,
    /// The moment the goal was submitted.
    pub submitted_at: Timestamp,
    /// The moment of the last change of state.
    pub updated_at: Timestamp,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// A goal with everything known about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct GoalView {
    /// The line for lists.
    #[serde(flatten)]
    pub summary: GoalSummary,
    /// The goal as the developer stated it.
    pub spec: GoalSpec,
    /// The plan, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The tasks in the plan's order.
    pub tasks_detail: Vec<TaskView>,
    /// The goal's gates and their results.
    pub gates: Vec<GateResult>,
    /// The permission requests that wait for an answer, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<PermissionRequest>,
    /// The hunks that were decided, in the order of files, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<DecidedHunk>,
    /// The rest of the goal's time, where the goal has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_left: Option<Span>,
    /// The hosts of the network that the goal's programs asked for, in the order of names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<HostTraffic>,
}

/// A hunk that was decided, with the last decision about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct DecidedHunk {
    /// The hunk.
    pub id: HunkId,
    /// The file.
    pub path: RelPath,
    /// The fate of the hunk.
    pub fate: HunkFate,
    /// The tasks that made it.
    pub tasks: Vec<TaskId>,
    /// The moment of the decision.
    pub at: Timestamp,
}

/// Names the fate of a hunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum HunkFate {
    /// The hunk is in the text.
    Landed,
    /// A chosen text is in its place.
    Resolved,
    /// The hunk was rejected before it landed.
    Rejected,
    /// The hunk had landed and was undone.
    Undone,
}

/// A task with its attempts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// Identifier within the plan.
    pub id: TaskId,
    /// Title for people.
    pub title: String,
    /// The current state.
    pub state: TaskState,
    /// The tasks this one depends on.
    pub depends_on: Vec<TaskId>,
    /// The agent that runs the task.
    pub agent: AgentName,
    /// The attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// Files the last attempt changed.
    pub changed: Vec<RelPath>,
    /// The conflict or refusal to repair, for a task added as a repair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairSpec>,
    /// The hosts of the network that its programs asked for, in the order of names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<HostTraffic>,
}

impl GoalView {
    /// Returns the repairs of the goal's proposal that have not ended.
    pub fn repairs_under_way(&self) -> impl Iterator<Item = &TaskView> {
        self.tasks_detail
            .iter()
            .filter(|task| !task.state.is_terminal())
            .filter(|task| {
                task.repair
                    .as_ref()
                    .is_some_and(RepairSpec::amends_proposal)
            })
    }

    /// Returns the tasks that wait for somebody's approval.
    pub fn paused_tasks(&self) -> impl Iterator<Item = &TaskView> {
        let tasks = self.tasks_detail.iter();
        tasks.filter(|task| task.state == TaskState::Paused)
    }

    /// Returns whether all work that could continue waits for an approval.
    pub fn is_paused(&self) -> bool {
        let goes_on = |task: &TaskView| matches!(task.state, TaskState::Ready | TaskState::Running);
        self.summary.state == GoalState::Running
            && self.paused_tasks().next().is_some()
            && !self.tasks_detail.iter().any(goes_on)
    }

    /// Returns whether work continues without a decision.
    pub fn is_working(&self) -> bool {
        let active = self.summary.state.is_active() && !self.is_paused();
        active || self.repairs_under_way().next().is_some()
    }
}

/// One try at a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    /// Number within the task.
    pub id: AttemptId,
    /// The moment of the start.
    pub started_at: Timestamp,
    /// The moment of the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it stopped short, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopReason>,
    /// The agent's closing words, or the reason in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The tokens and the cost of the attempt.
    pub usage: AgentUsage,
    /// The isolation used; unknown until the attempt has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxKind>,
    /// What that isolation is, and what it leaves open, as text for the user.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub isolation: String,
}

/// Records the result of a gate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    /// The command.
    pub command: Gate,
    /// Says whether the gate exited with status 0 within its time.
    pub passed: bool,
    /// Its exit status; `None` where a signal or a timeout ended it.
    pub status: Option<i32>,
    /// The end of its output.
    pub output: String,
    /// The duration in milliseconds.
    pub duration_ms: u64,
}
