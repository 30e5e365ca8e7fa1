//! What the language server asks of the driver. A seam for tests, with one real implementation.

use std::{any::Any, path::Path, sync::Arc};

use async_trait::async_trait;
use claudecluster_driver::{Driver, Editor, TextSource};
use claudecluster_protocol::{
    ErrorBody, EventSeq, GoalId, GoalSpec, HunkId, Plan, RelPath, TaskId,
    api::{Decision, DecisionReport},
    change::{HunkView, Origin},
    editor::{Side, Submitted},
    event::StreamItem,
    goal::{GoalSummary, GoalView},
    permission::{PermissionAnswer, PermissionRequest},
};
use tokio::sync::mpsc;

type Result<T> = std::result::Result<T, ErrorBody>;

/// What the language server asks of the driver. The methods are those of [`Driver`].
#[async_trait]
#[allow(missing_docs, reason = "documented on `Driver`")]
pub trait Backend: Send + Sync + 'static {
    async fn submit(&self, spec: GoalSpec) -> Result<GoalId>;
    async fn submit_once(&self, spec: GoalSpec) -> Result<Submitted>;
    fn goals(&self) -> Vec<GoalSummary>;
    fn goal(&self, goal: &GoalId) -> Result<GoalView>;
    fn watch(&self, goal: Option<GoalId>, after: Option<EventSeq>) -> mpsc::Receiver<StreamItem>;
    async fn hunks(&self, goal: Option<GoalId>, path: Option<RelPath>) -> Result<Vec<HunkView>>;
    fn hunks_in(&self, path: &Path, current: TextSource<'_>) -> Vec<HunkView>;
    fn origins(&self, path: &Path, current: &str) -> Vec<Origin>;
    async fn settled(&self, path: &Path);
    fn preview(&self, hunk: &HunkId, current: &str) -> Result<String>;
    async fn content(&self, goal: &GoalId, path: &RelPath, side: Side) -> Result<Option<String>>;
    async fn decide(&self, decision: Decision) -> Result<DecisionReport>;
    async fn cancel(&self, goal: &GoalId) -> Result<()>;
    async fn retry(&self, goal: &GoalId, task: Option<TaskId>) -> Result<()>;
    fn permissions(&self) -> Vec<PermissionRequest>;
    async fn permit(&self, answer: PermissionAnswer, by: Option<String>) -> Result<()>;
    async fn approve(&self, goal: &GoalId, plan: Option<Plan>, shown: Option<Plan>) -> Result<()>;
    async fn approve_task(&self, goal: &GoalId, task: &TaskId) -> Result<()>;
    /// The editor is detached when the returned value is dropped.
    fn attach(&self, editor: Arc<dyn Editor>) -> Box<dyn Any + Send + Sync>;
}

#[async_trait]
impl Backend for Driver {
    async fn submit(&self, spec: GoalSpec) -> Result<GoalId> {
        Driver::submit(self, spec).await
    }

    async fn submit_once(&self, spec: GoalSpec) -> Result<Submitted> {
        Driver::submit_once(self, spec).await
    }

    fn goals(&self) -> Vec<GoalSummary> {
        Driver::goals(self)
    }

    fn goal(&self, goal: &GoalId) -> Result<GoalView> {
        Driver::goal(self, goal)
    }

    fn watch(&self, goal: Option<GoalId>, after: Option<EventSeq>) -> mpsc::Receiver<StreamItem> {
        Driver::watch(self, goal, after)
    }

    async fn hunks(&self, goal: Option<GoalId>, path: Option<RelPath>) -> Result<Vec<HunkView>> {
        Driver::hunks(self, goal, path).await
    }

    fn hunks_in(&self, path: &Path, current: TextSource<'_>) -> Vec<HunkView> {
        Driver::hunks_in(self, path, current)
    }

    fn origins(&self, path: &Path, current: &str) -> Vec<Origin> {
        Driver::origins(self, path, current)
    }

    async fn settled(&self, path: &Path) {
        Driver::settled(self, path).await;
    }

    fn preview(&self, hunk: &HunkId, current: &str) -> Result<String> {
        Driver::preview(self, hunk, current)
    }

    async fn content(&self, goal: &GoalId, path: &RelPath, side: Side) -> Result<Option<String>> {
        Driver::content(self, goal, path, side).await
    }

    async fn decide(&self, decision: Decision) -> Result<DecisionReport> {
        Driver::decide(self, decision).await
    }

    async fn cancel(&self, goal: &GoalId) -> Result<()> {
        Driver::cancel(self, goal).await
    }

    async fn retry(&self, goal: &GoalId, task: Option<TaskId>) -> Result<()> {
        Driver::retry(self, goal, task).await
    }

    async fn approve(&self, goal: &GoalId, plan: Option<Plan>, shown: Option<Plan>) -> Result<()> {
        Driver::approve(self, goal, plan, shown).await
    }

    async fn approve_task(&self, goal: &GoalId, task: &TaskId) -> Result<()> {
        Driver::approve_task(self, goal, task).await
    }

    fn permissions(&self) -> Vec<PermissionRequest> {
        Driver::permissions(self)
    }

    async fn permit(&self, answer: PermissionAnswer, by: Option<String>) -> Result<()> {
        Driver::permit(self, answer, by).await
    }

    fn attach(&self, editor: Arc<dyn Editor>) -> Box<dyn Any + Send + Sync> {
        Box::new(Driver::attach(self, editor))
    }
}
