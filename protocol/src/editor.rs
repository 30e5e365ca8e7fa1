//! Extensions to the Language Server Protocol: commands and their arguments, and the custom
//! messages for thin clients that want more than plain LSP.
//!
//! Every command takes one object and answers at once.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    GoalId, HunkId, Plan, TaskId, Usd,
    change::HunkView,
    goal::GoalScopeKind,
    plan::{AgentName, Gate},
    resolution::Resolution,
};

/// Command names, as `workspace/executeCommand` takes them.
pub mod command {
    /// Submit a goal: [`super::SubmitArgs`] → [`crate::submitted::SubmittedGoal`].
    pub const GOAL_SUBMIT: &str = "claudecluster.goal.submit";
    /// List goals: `{}` → array of goal summaries.
    pub const GOAL_LIST: &str = "claudecluster.goal.list";
    /// Show one goal: [`super::GoalArgs`] → goal view.
    pub const GOAL_SHOW: &str = "claudecluster.goal.show";
    /// Cancel a goal.
    pub const GOAL_CANCEL: &str = "claudecluster.goal.cancel";
    /// Try failed tasks again.
    pub const GOAL_RETRY: &str = "claudecluster.goal.retry";
    /// Restore what was there before a goal landed.
    pub const GOAL_UNDO: &str = "claudecluster.goal.undo";
    /// Land what is clean of a goal, a task or a file.
    pub const GOAL_ACCEPT: &str = "claudecluster.goal.accept";
    /// Take back a goal, a task or a file.
    pub const GOAL_REJECT: &str = "claudecluster.goal.reject";
    /// Let a plan, or a task that its plan pauses, run: [`super::ApproveArgs`].
    pub const PLAN_APPROVE: &str = "claudecluster.plan.approve";
    /// Show a goal's plan as a document: [`super::PlanArgs`] → [`super::PlanDocument`].
    pub const PLAN_OPEN: &str = "claudecluster.plan.open";
    /// Land one hunk: [`super::HunkArgs`].
    pub const HUNK_ACCEPT: &str = "claudecluster.hunk.accept";
    /// Take back one hunk: [`super::HunkArgs`].
    pub const HUNK_REJECT: &str = "claudecluster.hunk.reject";

    /// Do again what the last undo of a goal, a task or a file took back: [`super::GoalArgs`].
    pub const GOAL_REDO: &str = "claudecluster.goal.redo";
    /// Restore what was there before one hunk landed: [`super::HunkArgs`].
    pub const HUNK_UNDO: &str = "claudecluster.hunk.undo";
    /// Decide a conflict: [`super::ResolveArgs`].
    pub const HUNK_RESOLVE: &str = "claudecluster.hunk.resolve";
    /// Show one hunk as a diff: [`super::HunkArgs`].
    pub const HUNK_DIFF: &str = "claudecluster.hunk.diff";

    /// Allow or deny what a worker asks for: [`crate::permission::PermissionAnswer`].
    pub const PERMISSION_ANSWER: &str = "claudecluster.permission.answer";
    /// The permission requests that wait: `{}` → array of [`crate::permission::PermissionRequest`].
    pub const PERMISSION_LIST: &str = "claudecluster.permission.list";

    /// Every command the server lists.
    pub const ALL: [&str; 18] = [
        GOAL_SUBMIT,
        GOAL_LIST,
        GOAL_SHOW,
        GOAL_CANCEL,
        GOAL_RETRY,
        GOAL_UNDO,
        GOAL_ACCEPT,
        GOAL_REJECT,
        PLAN_APPROVE,
        PLAN_OPEN,
        HUNK_ACCEPT,
        HUNK_REJECT,
        GOAL_REDO,
        HUNK_UNDO,
        HUNK_RESOLVE,
        HUNK_DIFF,
        PERMISSION_ANSWER,
        PERMISSION_LIST,
    ];
}

/// Custom method names.
pub mod method {
    /// Server → client notification with a [`crate::event::StreamItem`].
    pub const EVENT: &str = "claudecluster/event";
    /// Client → server request: [`super::ChangesParams`] → [`super::Changes`].
    pub const CHANGES: &str = "claudecluster/changes";
    /// Client → server request: [`crate::content::PendingContentParams`] → [`crate::content::PendingContent`].
    pub const CONTENT: &str = "claudecluster/content";
    /// Notifies the client of changed pending hunks. Server → client, with
    /// [`super::DocumentChanges`], whenever the pending hunks of an open document have changed or
    /// moved, for clients that set [`super::EditorSettings::pending`].
    pub const PENDING: &str = "claudecluster/pending";
}

/// The section of the client's settings that is ours.
pub const SECTION: &str = "claudecluster";

/// Holds the settings of an editor. They are read under `claudecluster` in `initializationOptions`
/// (or at their top), in `workspace/configuration` and in `workspace/didChangeConfiguration`.
///
/// The first six keys are defaults for goals started from this editor. Values of a goal override them,
/// and the daemon's limits apply to both.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EditorSettings {
    /// The agent for planning and for tasks that do not name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The model for planning and for tasks that do not name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The maximum number of tasks of one goal that run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<NonZeroU32>,
    /// The maximum cost of one goal, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Usd>,
    /// Commands that must succeed on the merged result, for goals that do not name any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<Gate>>,
    /// The default scope of a goal. Default: the open documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<DefaultScope>,
    /// Send `claudecluster/event` notifications: the client tells its user about proposals, failures
    /// and plans itself. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<bool>,
    /// Send `claudecluster/pending` notifications: the client shows pending hunks in its documents.
    /// Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<bool>,
    /// The client has two commands of its own: `claudecluster.client.prompt`, which takes `{uri, range}`
    /// and asks for the text of a goal, and `claudecluster.client.reason`, which takes `{prompt, command,
    /// argument}`, asks for a reason, and runs the command with the answer as the argument's `reason`.
    /// Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts: Option<bool>,
    /// The contexts of the client's `textDocument/codeAction` requests hold all diagnostics of the document,
    /// those of other servers and on other lines too. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<bool>,
    /// The parameters of `workspace/applyEdit` have a key `claudecluster`, an [`EditChecksum`]: the client makes
    /// the edit in no other text. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edits: Option<bool>,
}

impl EditorSettings {
    /// Returns these settings, and those of `lower` for what they leave open.
    #[must_use]
    pub fn with_defaults_from(self, lower: Self) -> Self {
        Self {
            agent: self.agent.or(lower.agent),
            model: self.model.or(lower.model),
            jobs: self.jobs.or(lower.jobs),
            budget_usd: self.budget_usd.or(lower.budget_usd),
            gates: self.gates.or(lower.gates),
            scope: self.scope.or(lower.scope),
            events: self.events.or(lower.events),
            pending: self.pending.or(lower.pending),
            prompts: self.prompts.or(lower.prompts),
            diagnostics: self.diagnostics.or(lower.diagnostics),
            edits: self.edits.or(lower.edits),
        }
    }
}

/// Identifies the text an edit applies to, beside the version: a client that counts anew when it
/// opens a document again does not tell two texts apart by that.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct EditChecksum {
    /// Of the text in UTF-8, without carriage returns and without the line feed at its end: from 0, for each
    /// byte, `sum = (sum * 65599 + byte + 1) % 4294967291`.
    pub checksum: u32,
}

impl EditChecksum {
    /// Computes the checksum of a text in pieces.
    pub fn new<'a>(text: impl IntoIterator<Item = &'a str>) -> Self {
        let mut sum = 0u64;
        let mut add = |byte: u8| sum = (sum * 65_599 + u64::from(byte) + 1) % 4_294_967_291;
        let mut ended = false;
        for byte in text.into_iter().flat_map(str::bytes) {
            if byte == b'\r' {
                continue;
            }
            if ended {
                add(b'\n');
            }
            ended = byte == b'\n';
            if !ended {
                add(byte);
            }
        }
        Self {
            checksum: u32::try_from(sum).unwrap_or_default(),
        }
    }
}

/// Names the scope of a goal that gives none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum DefaultScope {
    /// The documents that are open in the editor.
    #[default]
    Open,
    /// Everything in the workspace.
    Workspace,
}

impl From<DefaultScope> for GoalScopeKind {
    fn from(scope: DefaultScope) -> Self {
        match scope {
            DefaultScope::Open => Self::Open,
            DefaultScope::Workspace => Self::Workspace,
        }
    }
}

/// Argument of `claudecluster.goal.submit`. What is left out is as [`EditorSettings`] say.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SubmitArgs {
    /// The goal in the developer's words.
    pub prompt: String,
    /// The files the goal may change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeArgs>,
    /// A ready plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The agent for planning and for tasks that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The model for planning and for tasks that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The number of tasks that may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<NonZeroU32>,
    /// Commands that must succeed on the merged result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// The most it may cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Usd>,
    /// Start it even where a goal that is not settled does the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Where a goal does the same, ask the user whether to start another: for those who do not look at the
    /// answer. Default: as long as the client does not tell of events itself ([`EditorSettings::events`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask: Option<bool>,
}

/// The scope as editors give it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeArgs {
    /// The way the files are chosen. Default: as the editor's settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<GoalScopeKind>,
    /// Documents, for `files`; the document the range is in, for a selection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<String>,
    /// Globs relative to the workspace, for `files`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub globs: Vec<String>,
    /// The selected range in the first of `uris`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<LineRange>,
    /// The text the range was made for, as the server put it into a code action. The range follows
    /// its lines; a goal whose lines have changed meanwhile is refused as stale. Without it the
    /// range is of the text as it is when the command arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<RangeAnchor>,
}

/// The text that a range was made for. Only the server makes it, and only the server reads it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RangeAnchor {
    /// The document's version, as its client counts.
    pub version: i32,
    /// Tells the lines of the range apart from others.
    pub hash: String,
}

/// Whole lines. They count from 0; the end is exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineRange {
    /// First line.
    pub start_line: u32,
    /// One past the last line.
    pub end_line: u32,
}

/// Argument of the commands that name a goal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GoalArgs {
    /// The goal.
    pub goal_id: GoalId,
    /// Only this task's work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// Only this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Why, for a rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Argument of `claudecluster.plan.approve`. Of `plan`, `uri` and `taskId` at most one is given; without
/// any of them the goal's plan runs as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApproveArgs {
    /// The goal.
    pub goal_id: GoalId,
    /// The plan as edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The document with the plan as edited: its text as it is open, saved or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Only this task, which is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The goal's plan as it was shown: refused as stale where the goal has another one by now. A
    /// document that the server wrote knows it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Plan>,
}

/// Argument of `claudecluster.plan.open`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanArgs {
    /// The goal.
    pub goal_id: GoalId,
}

/// Answer of `claudecluster.plan.open`. The client is also asked to show the document, if it can.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// The document: a JSON file below the state folder.
    pub uri: String,
}

/// Argument of the commands that name a hunk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HunkArgs {
    /// The hunk.
    pub hunk_id: HunkId,
    /// Why, for a rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The client has applied the edit itself (code action): only look whether it is there.
    #[serde(default)]
    pub applied: bool,
}

/// Argument of `claudecluster.hunk.resolve`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveArgs {
    /// The hunk.
    pub hunk_id: HunkId,
    /// The text chosen for the conflict.
    pub resolution: Resolution,
    /// The developer's instructions to the repair task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Parameters of `claudecluster/changes`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ChangesParams {
    /// Only this document; all documents where there is none.
    pub uri: Option<String>,
}

/// Answer of `claudecluster/changes`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// The documents with pending hunks.
    pub documents: Vec<DocumentChanges>,
}

/// Pending hunks of one document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct DocumentChanges {
    /// The document.
    pub uri: String,
    /// The version the positions are for; `None` where no editor has it open.
    pub version: Option<i32>,
    /// The hunks in the order of their lines.
    pub hunks: Vec<HunkView>,
}
