//! Selects the hunks of a goal that a command is about.

use std::path::Path;

use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId, RelPath, TaskId, api::Decision, change::HunkView, event::Verdict,
};
use claudecluster_service::{TypedCalls, UnifiedDiff};

use crate::{cli, client::DaemonClient, exit::CommandResult, workspace};

/// Selects hunks of one goal, with the file as the workspace names it.
#[derive(Clone, Debug)]
pub(super) struct HunkSelection {
    pub(super) goal: GoalId,
    pub(super) task: Option<TaskId>,
    pub(super) path: Option<RelPath>,
    pub(super) hunk: Option<HunkId>,
}

impl HunkSelection {
    /// Selects all hunks of a goal.
    pub(super) fn all(goal: GoalId) -> Self {
        Self {
            goal,
            task: None,
            path: None,
            hunk: None,
        }
    }

    /// Selects the hunks of a decision.
    pub(super) fn of_decision(decision: &Decision) -> Self {
        Self {
            goal: decision.goal_id.clone(),
            task: decision.task_id.clone(),
            path: decision.path.clone(),
            hunk: decision.hunk_id.clone(),
        }
    }

    /// Selects the hunks that the arguments name.
    pub(super) async fn of(client: &DaemonClient, args: cli::SelectionArgs) -> CommandResult<Self> {
        let hunk = match (args.target.hunk, args.hunk) {
            (Some(one), Some(other)) if one != other => {
                let error = ErrorBody::user(format!(
                    "cannot select two hunks at once: {one} and {other}"
                ));
                return Err(error
                    .with_hint("name one hunk, or select a whole file with --file")
                    .into());
            }
            (one, other) => one.or(other),
        };
        let path = match &args.file {
            Some(file) => {
                let goal = client.goal(&args.target.goal).await?.value;
                let root = Path::new(&goal.summary.workspace);
                Some(workspace::listed_or_relative(root, file)?)
            }
            None => None,
        };
        Ok(Self {
            goal: args.target.goal,
            task: args.task,
            path,
            hunk,
        })
    }

    /// Returns the selected pending hunks, in the order of files and lines.
    pub(super) async fn hunks(&self, client: &DaemonClient) -> CommandResult<Vec<HunkView>> {
        let mut hunks = client.hunks(Some(self.goal.clone()), None).await?;
        hunks.retain(|hunk| self.has(hunk));
        Ok(hunks)
    }

    fn has(&self, hunk: &HunkView) -> bool {
        let makes = |task: &TaskId| hunk.provenance.iter().any(|by| by.task == *task);
        let is_at = |path: &RelPath| hunk.path == *path || hunk.from.as_ref() == Some(path);
        self.task.as_ref().is_none_or(makes)
            && self.path.as_ref().is_none_or(is_at)
            && self.hunk.as_ref().is_none_or(|id| *id == hunk.id)
    }

    /// Returns the changes that accepting this selection would make.
    pub(super) async fn diff(&self, client: &DaemonClient) -> Result<UnifiedDiff, ErrorBody> {
        let (goal, task) = (self.goal.clone(), self.task.clone());
        client
            .diff(goal, task, self.path.clone(), self.hunk.clone())
            .await
    }

    /// Returns a decision about this selection.
    pub(super) fn decision(&self, verdict: Verdict) -> Decision {
        Decision {
            task_id: self.task.clone(),
            path: self.path.clone(),
            hunk_id: self.hunk.clone(),
            ..Decision::new(self.goal.clone(), verdict)
        }
    }
}
