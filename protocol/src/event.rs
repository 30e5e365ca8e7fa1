//! Events: everything that happened to a goal, in order.
//!
//! The journal holds [`Event`]s, each durable before anyone can observe what it caused. An
//! [`AgentActivity`] is what a worker is doing right now: it is streamed beside the events, not
//! journaled, and may be missed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AttemptId, BlobId, ErrorBody, EventSeq, GoalId, GoalState, HunkId, PermissionId, Plan, RelPath,
    Span, StopReason, TaskId, TaskSpec, TaskState, Timestamp,
    change::{FileChange, FileVersion, HeldReason, Provenance},
    goal::{AgentUsage, GateResult, GoalSpec, SandboxKind},
    landed::LandedContent,
    network::HostTraffic,
    permission::{PermissionDecision, PermissionRequest, PermissionScope},
    repair::RepairSpec,
};

/// One journaled fact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Position in the journal.
    pub seq: EventSeq,
    /// The moment of the event.
    pub at: Timestamp,
    /// The goal it happened to.
    pub goal_id: GoalId,
    /// The event itself.
    #[serde(flatten)]
    pub body: EventBody,
}

/// Lists the events of the journal. Written to disk: variants and keys are added, never renamed or removed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum EventBody {
    /// Somebody asked for something.
    GoalSubmitted {
        /// The goal as the developer stated it.
        spec: Box<GoalSpec>,
    },
    /// The workspace was captured: what every proposal is a change to.
    SnapshotTaken {
        /// The snapshot's manifest in the artifact store.
        manifest: BlobId,
        /// The number of files stored with their content: open, changed, and small untracked ones.
        /// What every other file was is known without its content.
        files: u32,
        /// Open buffers whose unsaved text it holds.
        unsaved: Vec<RelPath>,
    },
    /// The planner's answer broke the rules and it is asked to repair it.
    PlanRefused {
        /// The problems, one line each.
        errors: Vec<String>,
        /// The session that gave it, which the repair goes on from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// The tokens and the cost of the session.
        usage: AgentUsage,
    },
    /// A planning session ended and left what was said in it.
    PlannerTranscript {
        /// The transcript in the artifact store.
        transcript: BlobId,
    },
    /// A planning session ended without an answer.
    PlanningStopped {
        /// Why.
        stop: StopReason,
        /// The reason in words.
        summary: String,
        /// The tokens and the cost of the session.
        usage: AgentUsage,
    },
    /// There is a valid plan.
    Planned {
        /// The plan.
        plan: Plan,
        /// The session that made it, which workers may fork.
        session: Option<String>,
        /// The tokens and the cost of the session.
        usage: AgentUsage,
    },
    /// Somebody has to approve the plan before it runs.
    ApprovalRequested,
    /// The plan may run.
    PlanApproved {
        /// The plan as approved, where it was edited.
        plan: Option<Plan>,
    },
    /// A task changed state without an attempt being involved.
    TaskChanged {
        /// The task.
        task_id: TaskId,
        /// Its state now.
        state: TaskState,
    },
    /// An attempt is about to start.
    AttemptStarted {
        /// The task.
        task_id: TaskId,
        /// The attempt.
        attempt: AttemptId,
        /// The finished tasks whose results it builds on, in the order they finished: everything it
        /// depends on, and whatever else wrote where it is expected to write.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        upstream: Vec<TaskId>,
    },
    /// An attempt ended.
    AttemptEnded {
        /// The task.
        task_id: TaskId,
        /// The attempt.
        attempt: AttemptId,
        /// The outcome of the attempt.
        outcome: AttemptOutcome,
    },
    /// A task waits before it is tried again.
    RetryScheduled {
        /// The task.
        task_id: TaskId,
        /// The earliest moment of the next start.
        not_before: Timestamp,
        /// The note to the next attempt about the last one.
        lesson: String,
    },
    /// The daemon ended while the goal's own work ran: while the workspace was captured, or the goal was planned,
    /// merged, gated or applied. The next daemon takes the work up again.
    Interrupted {
        /// Whether the daemon was stopped or ended unexpectedly.
        stop: StopReason,
    },
    /// All finished tasks' changes were merged into one proposal.
    Proposed {
        /// The files of the proposal.
        files: Vec<ProposedFile>,
    },
    /// The goal's gates ran on the merged result.
    Gated {
        /// The result of each gate.
        results: Vec<GateResult>,
    },
    /// One file of the proposal moved: a verdict was carried out, or a later result came in.
    Reviewed {
        /// The file.
        path: RelPath,
        /// The index of the entry among those of the file.
        entry: u32,
        /// The verdict.
        verdict: Verdict,
        /// The hunks it was about.
        hunks: Vec<HunkId>,
        /// The pair of texts after it.
        base: Option<FileVersion>,
        /// The pair of texts after it.
        proposed: Option<FileVersion>,
        /// For a landing: the text that was expected and the text that was observed.
        landed: Option<LandedContent>,
        /// Why, in the developer's words.
        reason: Option<String>,
        /// For an undo or a redo: which of the entry's moves it takes back, counting from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<u32>,
        /// The decision it is a part of: the same number for all facts of one decision, another one for
        /// those of any other. Journals of older versions lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<u64>,
    },
    /// A landing is about to be carried out: a [`Reviewed`](Self::Reviewed) or a
    /// [`LandingDropped`](Self::LandingDropped) follows. Where neither does, the daemon ended in
    /// between, and the next one looks which of the two texts is there. Several of one file in a row
    /// are one landing: each goes on from the text the one before it leaves.
    LandingBegun {
        /// The file.
        path: RelPath,
        /// The index of the entry among those of the file.
        entry: u32,
        /// The verdict.
        verdict: Verdict,
        /// The hunks it is about.
        hunks: Vec<HunkId>,
        /// The pair of texts after it.
        base: Option<FileVersion>,
        /// The pair of texts after it.
        proposed: Option<FileVersion>,
        /// The text that is expected and the text that is to be.
        landed: LandedContent,
        /// For an undo or a redo: which of the entry's moves it takes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<u32>,
        /// Why, in the developer's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The text is an editor's: what the disk holds says nothing about it until it is saved.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        open: bool,
    },
    /// The landings of an entry that were begun did not happen.
    LandingDropped {
        /// The file.
        path: RelPath,
        /// The index of the entry among those of the file.
        entry: u32,
    },
    /// A task was added to the plan: work that was found wanting is to be repaired.
    TaskAdded {
        /// The task.
        task: Box<TaskSpec>,
        /// The conflict or refusal to repair.
        repair: RepairSpec,
    },
    /// The result of a repair was merged into the proposal.
    Amended {
        /// The task that made it.
        task_id: TaskId,
        /// The entries as they are now, new ones included.
        files: Vec<ProposedFile>,
    },
    /// Everything clean was landed, for a goal that was submitted with `apply`.
    Applied {
        /// Hunks that landed.
        landed: u32,
        /// Hunks left because they conflict.
        conflicts: u32,
        /// Hunks left because they need an explicit look.
        held: u32,
        /// Files that could not be landed, and why; or why nothing could.
        failed: Vec<ErrorBody>,
    },
    /// A worker asks for permission, or other tasks wait for the same answer than before. A request that
    /// is known already takes the place of what was known of it.
    PermissionAsked {
        /// The request as it is now.
        request: Box<PermissionRequest>,
    },
    /// Somebody answered a permission request.
    PermissionAnswered {
        /// The request.
        request_id: PermissionId,
        /// The answer.
        decision: PermissionDecision,
        /// The tasks the answer covers.
        scope: PermissionScope,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The client that answered: an editor or the command line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Nobody waits for an answer to a permission request any more: what asked has ended, or has waited
    /// as long as it may and was denied.
    PermissionWithdrawn {
        /// The request.
        request_id: PermissionId,
    },
    /// A job of the goal has ended whose programs asked for hosts of the network.
    NetworkUsed {
        /// The task; `None` for the planner and the goal's gates.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task_id: Option<TaskId>,
        /// The hosts, at most [`NAMED_HOSTS`](crate::network::NAMED_HOSTS).
        hosts: Vec<HostTraffic>,
        /// The number of connections to hosts beyond those listed.
        #[serde(default)]
        more: u64,
    },
    /// The goal changed state.
    GoalChanged {
        /// Its state now.
        state: GoalState,
        /// Why it failed, if it did.
        error: Option<ErrorBody>,
    },
}

/// Names a decision about hunks, by a developer or by `--apply`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Land them.
    Accept,
    /// Take them back.
    Reject,
    /// Restore what was there before they landed.
    Undo,
    /// Do again what was undone.
    Redo,
    /// Put a chosen text into a conflict's place.
    Resolve,
}

/// One file of a proposal: a pair of versions, with who made it.
///
/// A file on which tasks disagree has several entries. The first holds everything that merged; each
/// further one is an alternative that conflicts with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ProposedFile {
    /// The file.
    pub path: RelPath,
    /// For a rename: where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RelPath>,
    /// 0 for the merged entry, then counting up.
    pub entry: u32,
    /// The version with everything already decided, or the original one.
    pub base: Option<FileVersion>,
    /// The proposed version.
    pub proposed: Option<FileVersion>,
    /// Why the file needs an explicit look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldReason>,
    /// Each contributing task's own version, for provenance per hunk.
    pub versions: Vec<TaskVersion>,
}

/// A file as one task left it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct TaskVersion {
    /// The task and agent that made the change.
    #[serde(flatten)]
    pub by: Provenance,
    /// The version the task started from.
    pub base: Option<FileVersion>,
    /// The version the task left.
    pub proposed: Option<FileVersion>,
}

/// Records the end of an attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct AttemptOutcome {
    /// `None` for success.
    pub stop: Option<StopReason>,
    /// The agent's closing words, or the reason in words.
    pub summary: String,
    /// The wait until the provider answers again, where the provider named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Span>,
    /// The changes of the attempt. Kept for failed attempts too.
    pub changes: Vec<FileChange>,
    /// The tokens and the cost of the attempt.
    pub usage: AgentUsage,
    /// Results of the task's own gates.
    pub gates: Vec<GateResult>,
    /// The agent's session, for resuming.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The isolation used; `None` where the attempt ended before a sandbox was set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxKind>,
    /// What that isolation is, and what it leaves open, as text for the user.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub isolation: String,
    /// The transcript in the artifact store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<BlobId>,
}

impl AttemptOutcome {
    /// Makes an outcome without changes or cost, for an attempt that never ran.
    pub fn new(stop: Option<StopReason>, summary: impl Into<String>) -> Self {
        Self {
            stop,
            summary: summary.into(),
            retry_after: None,
            changes: Vec::new(),
            usage: AgentUsage::default(),
            gates: Vec::new(),
            session: None,
            sandbox: None,
            isolation: String::new(),
            transcript: None,
        }
    }
}

/// Reports the current activity of a worker or the planner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct AgentActivity {
    /// The goal.
    pub goal_id: GoalId,
    /// The task; `None` for the planner and the goal's gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The activity.
    #[serde(flatten)]
    pub what: AgentEvent,
}

/// Lists the reports of an agent at work. Every agent's own format is converted to this at its
/// edge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum AgentEvent {
    /// The agent is up.
    Started {
        /// Its session.
        session: Option<String>,
        /// The model it says it uses.
        model: Option<String>,
    },
    /// The agent wrote a message.
    Text {
        /// The words, or a part of them.
        text: String,
    },
    /// The agent uses a tool.
    Tool {
        /// The tool's name.
        name: String,
        /// The one argument people want to see: a path, a command.
        detail: String,
    },
    /// A program it ran wrote something.
    Output {
        /// The text of the agent.
        text: String,
    },
    /// The agent asked for a use that the policy denied.
    Denied {
        /// The denied use.
        what: String,
    },
    /// A program reached a host of the network, or was kept from it. Comes for the first connections to
    /// a host, and from then on each time their number has doubled.
    Connection {
        /// The host: a name in lower case, or an address.
        host: String,
        /// The port.
        port: u16,
        /// Whether the last connection was allowed.
        allowed: bool,
        /// The connections of this attempt to this port of the host so far.
        connections: u64,
        /// Bytes sent to it so far.
        sent: u64,
        /// Bytes received from it so far.
        received: u64,
    },
    /// The provider asks to slow down.
    RateLimited {
        /// The wait before the agent's next try.
        wait: Option<Span>,
    },
    /// The cost of the session so far.
    Spent {
        /// Running total of this attempt.
        usage: AgentUsage,
    },
}

/// One item of the stream that watchers get.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(untagged)]
pub enum StreamItem {
    /// A journaled fact.
    Event(Box<Event>),
    /// The current activity of a worker or the planner.
    Activity(Box<AgentActivity>),
}
