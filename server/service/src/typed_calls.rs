//! Turns calls into methods, so that no front matches on [`Answer`] by hand.

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use claudecluster_protocol::{
    BlobId, ErrorBody, EventSeq, GoalId, GoalSpec, HunkId, Plan, RelPath, TaskId,
    api::{Answer, Call, DaemonStatus, Decision, DecisionReport, GoalArtifact},
    change::HunkView,
    content::PendingSide,
    goal::{GoalSummary, GoalView},
    permission::{PermissionAnswer, PermissionRequest},
    submitted::SubmittedGoal,
};

use crate::{
    caller::Caller,
    service::{EventReceiver, Service},
};

type Result<T> = std::result::Result<T, ErrorBody>;

/// Holds a snapshot and the last event it shows. A watch that starts after this event misses
/// nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dated<T> {
    /// The snapshot.
    pub value: T,
    /// The last event it shows.
    pub as_of: EventSeq,
}

/// Holds a unified diff, and the changes that a unified diff cannot express.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnifiedDiff {
    /// The text that `git apply` reads. Encoded as [`RelPath`] encodes bytes if the text is not
    /// UTF-8.
    pub text: String,
    /// Binary and symlink changes, one line each.
    pub omitted: Vec<String>,
}

/// Joins a service and the caller who uses it. Cheap to clone.
#[derive(Clone)]
pub struct ServiceClient<S: ?Sized = dyn Service> {
    service: Arc<S>,
    caller: Caller,
}

impl<S: Service + ?Sized> ServiceClient<S> {
    /// Returns a client of `service` that calls as `caller`.
    pub fn new(service: Arc<S>, caller: Caller) -> Self {
        Self { service, caller }
    }

    /// Streams events, as [`Service::events`] does.
    ///
    /// # Errors
    ///
    /// The caller lacks [`Right::Look`](crate::Right::Look).
    pub fn events(&self, goal: Option<GoalId>, after: Option<EventSeq>) -> Result<EventReceiver> {
        self.service.events(&self.caller, goal, after)
    }
}

#[async_trait]
impl<S: Service + ?Sized> TypedCalls for ServiceClient<S> {
    async fn send_call(&self, call: Call) -> Result<Answer> {
        self.service.call(&self.caller, call).await
    }
}

/// Unwraps the one answer that a call has, or reports another answer as an internal error.
macro_rules! expect_answer {
    ($answer:expr, $pattern:pat => $value:expr) => {
        match $answer {
            $pattern => Ok($value),
            other => Err(unexpected_answer(&other)),
        }
    };
}

/// Offers each call as a method with its own result, over anything that can send a [`Call`]. That
/// is a [`ServiceClient`], or a client at the other end of a wire. The errors are those of
/// [`Service::call`].
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "the errors of each are those of `Service::call`"
)]
pub trait TypedCalls: Sync {
    /// Sends one call and returns its answer.
    async fn send_call(&self, call: Call) -> Result<Answer>;

    /// Starts a goal, unless an equal goal is still open: then the answer names the open goal.
    async fn submit_once(&self, spec: GoalSpec) -> Result<SubmittedGoal> {
        let (spec, again) = (Box::new(spec), false);
        submitted(self.send_call(Call::Submit { spec, again }).await?)
    }

    /// Starts a goal even if an equal one is still open.
    async fn submit_again(&self, spec: GoalSpec) -> Result<GoalId> {
        let (spec, again) = (Box::new(spec), true);
        let answer = self.send_call(Call::Submit { spec, again }).await?;
        Ok(submitted(answer)?.goal_id)
    }

    /// Returns all goals, oldest first.
    async fn goals(&self) -> Result<Dated<Vec<GoalSummary>>> {
        let answer = self.send_call(Call::Goals).await?;
        expect_answer!(answer, Answer::Goals { goals, as_of } => Dated { value: goals, as_of })
    }

    /// Returns one goal.
    async fn goal(&self, goal_id: &GoalId) -> Result<Dated<GoalView>> {
        let goal_id = goal_id.clone();
        let answer = self.send_call(Call::Goal { goal_id }).await?;
        expect_answer!(answer, Answer::Goal { goal, as_of } => Dated { value: *goal, as_of })
    }

    /// Returns the pending hunks of one goal or all, of one file or all.
    async fn hunks(&self, goal_id: Option<GoalId>, path: Option<RelPath>) -> Result<Vec<HunkView>> {
        let answer = self.send_call(Call::Hunks { goal_id, path }).await?;
        expect_answer!(answer, Answer::Hunks { hunks } => hunks)
    }

    /// Returns the changes that accepting would make, as a unified diff: of a whole goal, or
    /// of one task, file or hunk of the goal.
    async fn diff(
        &self,
        goal_id: GoalId,
        task_id: Option<TaskId>,
        path: Option<RelPath>,
        hunk_id: Option<HunkId>,
    ) -> Result<UnifiedDiff> {
        let call = Call::Diff {
            goal_id,
            task_id,
            path,
            hunk_id,
        };
        let answer = self.send_call(call).await?;
        expect_answer!(answer, Answer::Diff { diff, omitted } => UnifiedDiff { text: diff, omitted })
    }

    /// Returns one side of a pending file; `None` where the file does not exist on that side or is not text.
    async fn content(
        &self,
        goal_id: &GoalId,
        path: &RelPath,
        side: PendingSide,
    ) -> Result<Option<String>> {
        let call = Call::Content {
            goal_id: goal_id.clone(),
            path: path.clone(),
            side,
        };
        expect_answer!(self.send_call(call).await?, Answer::Content { text } => text)
    }

    /// Decides hunks. The decision is carried out even if the caller drops this future.
    async fn decide(&self, decision: Decision) -> Result<DecisionReport> {
        let answer = self.send_call(Call::Decide { decision }).await?;
        expect_answer!(answer, Answer::Decided { report } => report)
    }

    /// Cancels a goal. Its processes are gone when this method returns.
    async fn cancel(&self, goal_id: &GoalId) -> Result<()> {
        let goal_id = goal_id.clone();
        self.send_for_done(Call::Cancel { goal_id }).await
    }

    /// Tries the failed tasks of a goal again, or one of them.
    async fn retry(&self, goal_id: &GoalId, task_id: Option<TaskId>) -> Result<()> {
        let goal_id = goal_id.clone();
        self.send_for_done(Call::Retry { goal_id, task_id }).await
    }

    /// Approves a goal's plan, edited or as it is. `shown` is the plan as the person saw it.
    async fn approve_plan(
        &self,
        goal_id: &GoalId,
        plan: Option<Plan>,
        shown: Option<Plan>,
    ) -> Result<()> {
        let call = Call::Approve {
            goal_id: goal_id.clone(),
            plan: plan.map(Box::new),
            shown: shown.map(Box::new),
            task_id: None,
        };
        self.send_for_done(call).await
    }

    /// Approves a task that the plan pauses.
    async fn approve_task(&self, goal_id: &GoalId, task_id: &TaskId) -> Result<()> {
        let call = Call::Approve {
            goal_id: goal_id.clone(),
            plan: None,
            shown: None,
            task_id: Some(task_id.clone()),
        };
        self.send_for_done(call).await
    }

    /// Returns the permission requests that wait for an answer, oldest first.
    async fn permissions(&self) -> Result<Vec<PermissionRequest>> {
        let answer = self.send_call(Call::Permissions).await?;
        expect_answer!(answer, Answer::Permissions { requests } => requests)
    }

    /// Answers a permission request. The journal records the caller's name with it.
    async fn permit(&self, answer: PermissionAnswer) -> Result<()> {
        self.send_for_done(Call::Permit { answer }).await
    }

    /// Returns the artifacts of a goal.
    async fn artifacts(&self, goal_id: &GoalId) -> Result<Vec<GoalArtifact>> {
        let goal_id = goal_id.clone();
        let answer = self.send_call(Call::Artifacts { goal_id }).await?;
        expect_answer!(answer, Answer::Artifacts { artifacts } => artifacts)
    }

    /// Returns the bytes of one artifact.
    async fn blob(&self, id: &BlobId) -> Result<Vec<u8>> {
        let answer = self.send_call(Call::Blob { id: id.clone() }).await?;
        let base64 = expect_answer!(answer, Answer::Blob { base64 } => base64)?;
        STANDARD.decode(base64).map_err(|error| {
            ErrorBody::internal(format!(
                "cannot decode the artifact sent by the daemon: {error}"
            ))
        })
    }

    /// Returns the daemon's state.
    async fn status(&self) -> Result<DaemonStatus> {
        let answer = self.send_call(Call::Status).await?;
        expect_answer!(answer, Answer::Status { status } => status)
    }

    /// Sends a call that is answered by [`Answer::Done`].
    async fn send_for_done(&self, call: Call) -> Result<()> {
        expect_answer!(self.send_call(call).await?, Answer::Done => ())
    }
}

fn submitted(answer: Answer) -> Result<SubmittedGoal> {
    expect_answer!(answer, Answer::Submitted { goal_id, duplicate_of } => SubmittedGoal { goal_id, duplicate_of })
}

/// Returns the error for an answer that does not fit the call.
pub fn unexpected_answer(answer: &Answer) -> ErrorBody {
    let name = serde_json::to_value(answer)
        .ok()
        .and_then(|value| value.get("answer")?.as_str().map(str::to_owned))
        .unwrap_or_default();
    ErrorBody::internal(format!("unexpected reply from the daemon: `{name}`"))
        .with_hint("restart it with: claudecluster daemon stop")
}
