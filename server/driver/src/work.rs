//! Effects as running work. Each gets what it needs as its own, and answers with one input.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use claudecluster_core::{lifecycle::Goal, step::Input};
use claudecluster_protocol::{
    AttemptId, ErrorBody, GoalId, Span, StopReason, TaskId, event::AttemptOutcome, goal::Usage,
};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::{
    amend, attempts, dispatcher::Message, gates, landing, planner, proposal, shared::Shared,
    snapshot,
};

/// Runs work of a goal. A panic in it is answered like any other failure.
fn spawn<F>(shared: &Arc<Shared>, goal: &GoalId, panicked: Input, work: F)
where
    F: Future<Output = Input> + Send + 'static,
{
    let tracker = shared.work.entry(goal.clone()).or_default().tracker.clone();
    let shared = shared.clone();
    tracker.spawn(async move {
        let input = AssertUnwindSafe(work)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                tracing::error!("a background task panicked");
                panicked
            });
        shared.send(Message::Input(input));
    });
}

fn token(shared: &Shared, goal: &GoalId) -> CancellationToken {
    shared
        .work
        .entry(goal.clone())
        .or_default()
        .cancel
        .child_token()
}

/// The goal an effect is about. Effects are carried out after the state that names it is public.
fn goal_of(shared: &Shared, id: &GoalId) -> Option<Arc<Goal>> {
    let goal = shared.goal(id);
    if let Err(error) = &goal {
        tracing::error!(%error, "ignored an effect for an unknown goal");
    }
    goal.ok()
}

fn bug(what: &str) -> ErrorBody {
    ErrorBody::internal(format!("{what} failed because of an internal error"))
        .hint("see the daemon's log; `claudecluster daemon status` shows the state folder")
}

/// Runs blocking work where it blocks nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, ErrorBody> + Send + 'static,
) -> Result<T, ErrorBody> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(bug(what)))
}

pub(crate) fn snapshot(shared: &Arc<Shared>, id: &GoalId) {
    let Some(goal) = goal_of(shared, id) else {
        return;
    };
    let panicked = Input::Snapshot {
        goal: id.clone(),
        result: Err(bug("capturing the workspace")),
    };
    let owned = shared.clone();
    spawn(shared, id, panicked, async move {
        let id = goal.id.clone();
        let result = blocking("capturing the workspace", move || {
            let root = std::path::Path::new(&goal.spec.workspace);
            let open = owned.documents(root);
            let (manifest, blob) = snapshot::take(&owned.store, root, &open)?;
            Ok((blob, manifest.len(), manifest.unsaved))
        })
        .await;
        Input::Snapshot { goal: id, result }
    });
}

pub(crate) fn plan(shared: &Arc<Shared>, id: &GoalId, repair: Vec<String>, delay: Span) {
    let Some(goal) = goal_of(shared, id) else {
        return;
    };
    let panicked = Input::PlanStopped {
        goal: id.clone(),
        stop: StopReason::Crashed,
        summary: bug("planning").message,
        usage: Usage::default(),
    };
    let cancel = token(shared, id);
    let owned = shared.clone();
    spawn(shared, id, panicked, async move {
        tokio::select! {
            () = tokio::time::sleep(delay.to_duration()) => {}
            () = cancel.cancelled() => {}
        }
        planner::run(&owned, &goal, &repair, cancel).await
    });
}

pub(crate) fn attempt(shared: &Arc<Shared>, id: &GoalId, task: &TaskId, attempt: AttemptId) {
    let Some(goal) = goal_of(shared, id) else {
        return;
    };
    let (task, id) = (task.clone(), id.clone());
    let ended = |outcome: AttemptOutcome| Input::Attempt {
        goal: id.clone(),
        task: task.clone(),
        attempt,
        outcome: Box::new(outcome),
    };
    let panicked = ended(attempts::failed(
        StopReason::Crashed,
        bug("the attempt").message,
    ));
    let cancel = token(shared, &id);
    let owned = shared.clone();
    let task_id = task.clone();
    spawn(shared, &id.clone(), panicked, async move {
        let outcome = attempts::run(&owned, &goal, &task_id, attempt, cancel).await;
        Input::Attempt {
            goal: goal.id.clone(),
            task: task_id,
            attempt,
            outcome: Box::new(outcome),
        }
    });
}

pub(crate) fn merge(shared: &Arc<Shared>, id: &GoalId) {
    let Some(goal) = goal_of(shared, id) else {
        return;
    };
    let panicked = Input::Merged {
        goal: id.clone(),
        result: Err(bug("merging")),
    };
    let owned = shared.clone();
    spawn(shared, id, panicked, async move {
        let id = goal.id.clone();
        let result = blocking("merging", move || proposal::build(&owned, &goal)).await;
        Input::Merged { goal: id, result }
    });
}

pub(crate) fn gates(shared: &Arc<Shared>, id: &GoalId) {
    let Some(goal) = goal_of(shared, id) else {
        return;
    };
    let results = gates::refused(&goal, &bug("running the gates").message);
    let panicked = Input::Gates {
        goal: id.clone(),
        results,
    };
    let cancel = token(shared, id);
    let owned = shared.clone();
    spawn(shared, id, panicked, async move {
        let results = gates::run(&owned, &goal, cancel).await;
        Input::Gates {
            goal: goal.id.clone(),
            results,
        }
    });
}

/// Merges what a repair made into the proposal.
pub(crate) fn amend(shared: &Arc<Shared>, id: &GoalId, task: &TaskId) {
    let tracker = shared.work.entry(id.clone()).or_default().tracker.clone();
    let (shared, id, task) = (shared.clone(), id.clone(), task.clone());
    tracker.spawn(async move { amend::run(&shared, &id, &task).await });
}

/// Lands what is clean of a goal that was submitted with `apply`.
pub(crate) fn land(shared: &Arc<Shared>, id: &GoalId) {
    let panicked = landing::applied(id, Err(bug("landing")));
    let (owned, goal) = (shared.clone(), id.clone());
    spawn(shared, id, panicked, async move {
        let report = landing::decide(&owned, landing::everything(&goal)).await;
        landing::applied(&goal, report)
    });
}

/// Looks what became of the landings that the last daemon had begun.
pub(crate) fn settle(shared: &Arc<Shared>, id: GoalId) {
    let recoveries = shared.recoveries.clone();
    let shared = shared.clone();
    recoveries.spawn(async move {
        if let Err(error) = landing::recover(&shared, &id).await {
            // It is tried again before anything else lands in that workspace.
            tracing::warn!(goal = %id, %error, "cannot recover earlier changes");
        }
    });
}

/// Deletes the private files of a goal whose work is done. Its journal and artifacts stay.
pub(crate) fn tidy(shared: &Arc<Shared>, id: GoalId) {
    let shared = shared.clone();
    tokio::spawn(async move {
        // Whatever still runs ends first: the landing that settled the goal, at the least.
        if let Some((_, work)) = shared.work.remove(&id) {
            work.tracker.close();
            work.tracker.wait().await;
        }
        shared.forget(&id);
        attempts::discard(&shared.goal_dir(&id), &[]).await;
    });
}
