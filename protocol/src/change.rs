//! Changes to files, as workers make them and as developers review them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AttemptId, BlobId, GoalId, HunkId, RelPath, TaskId, Timestamp};

/// Unix permission bits that survive landing: executable or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum FileMode {
    /// An ordinary file.
    #[default]
    Regular,
    /// A file with its executable bits set.
    Executable,
    /// A symbolic link; the content is its target.
    Symlink,
}

impl FileMode {
    /// Returns whether the mode is that of an ordinary file.
    pub fn is_regular(&self) -> bool {
        *self == Self::Regular
    }
}

/// Describes a file at one moment: its bytes and its mode.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct FileVersion {
    /// The content; for a symbolic link its target.
    pub blob: BlobId,
    /// Kind and permission.
    pub mode: FileMode,
}

/// Names the change to one file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// The file did not exist.
    Create,
    /// The content changes.
    Modify,
    /// The file goes away.
    Delete,
    /// The file moves, possibly with changes to its content.
    Rename,
    /// Only the mode changes.
    Mode,
}

/// Why a change is kept apart and never lands without being named.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum HeldReason {
    /// The file is outside the goal's scope.
    OutOfScope,
    /// The file can make tools run code: editor settings, hooks, agent instructions.
    SelfArming,
    /// The task that made the change did not succeed.
    Partial,
    /// A gate failed on the result that holds this change.
    GateFailed,
    /// The setting `review.hold` names the file.
    Listed,
    /// The change adds what looks like a key, a token or another secret.
    Secret,
}

/// One file's change, as one attempt left it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct FileChange {
    /// The file.
    pub path: RelPath,
    /// For a rename: where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RelPath>,
    /// The version the attempt started from; `None` where the file did not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<FileVersion>,
    /// The version the attempt left; `None` where the attempt deleted the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<FileVersion>,
}

/// Compares a pending hunk with the current text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum HunkStatus {
    /// The hunk can land as it is.
    Clean,
    /// The text it replaces has changed, or another task proposes something else there.
    Conflict,
}

/// Names the task and agent that made a hunk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The task.
    pub task: TaskId,
    /// The task's title.
    pub title: String,
    /// The attempt of that task.
    pub attempt: AttemptId,
    /// Why, in the task's own closing words; filled in for views, not journaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Both sides of a conflict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ConflictView {
    /// The text both sides started from.
    pub base: String,
    /// The current text; where the hunk's `minePending` says so, what another task proposes for the
    /// same lines.
    pub mine: String,
    /// The proposed version.
    pub theirs: String,
}

/// Part of a hunk refined to words. The parts that are not added make up the old text, those that
/// are not removed the new one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct HunkWord {
    /// The change to this part.
    pub kind: HunkWordKind,
    /// The text.
    pub text: String,
}

/// Names the change to a part of a hunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum HunkWordKind {
    /// The part is in both texts.
    Same,
    /// The part is removed.
    Removed,
    /// The part is added.
    Added,
}

/// Records the origin of lines of a text, or the change proposed to them. Lines count from 0;
/// ranges are half-open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct HunkOrigin {
    /// The goal.
    pub goal_id: GoalId,
    /// The goal in the developer's words.
    pub prompt: String,
    /// The hunk.
    pub hunk_id: HunkId,
    /// Says whether the hunk is in the text.
    pub state: HunkOriginState,
    /// First line in the current text.
    pub start_line: u32,
    /// One past the last line in the current text.
    pub end_line: u32,
    /// The tasks that made it, first the one that decided its final text.
    pub provenance: Vec<Provenance>,
    /// The moment the hunk landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landed_at: Option<Timestamp>,
}

/// Says whether a hunk is in the text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum HunkOriginState {
    /// The hunk can land.
    Pending,
    /// The hunk conflicts with the text.
    Conflict,
    /// The hunk has landed.
    Landed,
}

/// A reviewable change with its place in the current text. Lines count from 0; ranges are
/// half-open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct HunkView {
    /// Stable identifier.
    pub id: HunkId,
    /// The file.
    pub path: RelPath,
    /// The change to the file; `modify` for a hunk of text.
    pub kind: ChangeKind,
    /// For a rename: where the file was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RelPath>,
    /// Says that the hunk is decided together with its file and has no lines of its own: a file
    /// that is created, deleted, renamed, no text, or gets another mode.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// Says whether the hunk can land as it is.
    pub status: HunkStatus,
    /// Why it is kept apart, if it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldReason>,
    /// Which program runs the file and when, if one does so of its own accord. Clients show it as a mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
    /// First line it replaces in the current text.
    pub start_line: u32,
    /// One past the last line it replaces in the current text.
    pub end_line: u32,
    /// The lines it removes, as they stand in the current text.
    pub old_text: String,
    /// The lines it puts there.
    pub new_text: String,
    /// The change refined to words, where that says more than the lines; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<HunkWord>,
    /// Both sides, where it conflicts and is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<ConflictView>,
    /// For a conflict: who made the other side, as far as tasks did; empty where the developer did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mine_by: Vec<Provenance>,
    /// The other side is not there: it is what another task of the goal proposes, and no more decided than
    /// this one. What is there nobody has changed since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mine_pending: bool,
    /// The current text with the proposed words merged into it, where both changed different words
    /// of the same lines. A conflict can be resolved with this text. A clean hunk with this field
    /// lands as this text, and only the daemon can land it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<String>,
    /// The tasks that made it, first the one that decided its final text.
    pub provenance: Vec<Provenance>,
}
