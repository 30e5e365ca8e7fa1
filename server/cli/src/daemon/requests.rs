//! One request: what is asked of the driver for it, and what is answered.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use claudecluster_driver::Driver;
use claudecluster_protocol::{
    BlobId, ErrorBody,
    api::{Answer, Call, Decision, Reply, Request},
    editor::Submitted,
    event::Verdict,
    path::text_of_bytes,
};
use tokio::sync::mpsc;

use super::Shared;

type Result<T> = std::result::Result<T, ErrorBody>;

/// Answers a request. `limited` is why this client may only look and make the daemon end.
pub(super) async fn answer(
    request: Request,
    shared: Arc<Shared>,
    replies: mpsc::Sender<Reply>,
    limited: Option<ErrorBody>,
) {
    let Request { id, call } = request;
    if let (Some(error), false) = (limited, matches!(call, Call::Status | Call::Stop { .. })) {
        let _ = replies
            .send(Reply {
                id,
                result: Err(error),
            })
            .await;
        return;
    }
    if let Call::Watch { goal_id, after } = call {
        let items = shared.driver.watch(goal_id, after);
        return watch(id, items, &replies, &shared).await;
    }
    let stopping = matches!(call, Call::Stop { .. });
    let driver = shared.driver.clone();
    // In a task of its own, so that a mistake of ours costs one answer and its words stay here.
    let result = tokio::spawn(ask(driver, call)).await.unwrap_or_else(|e| {
        tracing::error!(error = %e, "a request handler panicked");
        Err(
            ErrorBody::internal("the daemon could not answer this request")
                .hint("run `claudecluster doctor` to find its log"),
        )
    });
    let stop = stopping && result.is_ok();
    let _ = replies.send(Reply { id, result }).await;
    if stop {
        shared.stop.cancel();
    }
}

async fn watch(
    id: u64,
    mut items: mpsc::Receiver<claudecluster_protocol::event::StreamItem>,
    replies: &mpsc::Sender<Reply>,
    shared: &Shared,
) {
    while let Some(item) = items.recv().await {
        let result = Ok(Answer::Item { item });
        if replies.send(Reply { id, result }).await.is_err() {
            return;
        }
    }
    if shared.stop.is_cancelled() {
        // The end of the connection says it: whoever follows goes on with the next daemon.
        return;
    }
    let lagged =
        ErrorBody::environment("the daemon closed this watch: the client reads too slowly");
    let result = Err(lagged.hint("watch again from the last event you received"));
    let _ = replies.send(Reply { id, result }).await;
}

async fn ask(driver: Driver, call: Call) -> Result<Answer> {
    Ok(match call {
        Call::Submit { spec, again: true } => Answer::Submitted {
            goal_id: driver.submit(*spec).await?,
            duplicate_of: None,
        },
        Call::Submit { spec, again: false } => {
            let Submitted {
                goal_id,
                duplicate_of,
            } = driver.submit_once(*spec).await?;
            Answer::Submitted {
                goal_id,
                duplicate_of,
            }
        }
        Call::Goals => Answer::Goals {
            goals: driver.goals(),
        },
        Call::Goal { goal_id } => Answer::Goal {
            goal: Box::new(driver.goal(&goal_id)?),
        },
        Call::Hunks { goal_id, path } => Answer::Hunks {
            hunks: driver.hunks(goal_id, path).await?,
        },
        Call::Diff {
            goal_id,
            task_id,
            path,
            hunk_id,
        } => {
            let wanted = Decision {
                task_id,
                path,
                hunk_id,
                ..Decision::new(goal_id, Verdict::Accept)
            };
            let diff = driver.diff(wanted).await?;
            Answer::Diff {
                diff: text_of_bytes(&diff.text),
                omitted: diff.omitted,
            }
        }
        Call::Content {
            goal_id,
            path,
            side,
        } => Answer::Content {
            text: driver.content(&goal_id, &path, side).await?,
        },
        Call::Decide { decision } => Answer::Decided {
            report: driver.decide(decision).await?,
        },
        Call::Cancel { goal_id } => done(driver.cancel(&goal_id).await)?,
        Call::Retry { goal_id, task_id } => done(driver.retry(&goal_id, task_id).await)?,
        Call::Approve {
            goal_id,
            plan,
            shown,
            task_id: None,
        } => {
            let (plan, shown) = (plan.map(|plan| *plan), shown.map(|plan| *plan));
            done(driver.approve(&goal_id, plan, shown).await)?
        }
        Call::Permissions => Answer::Permissions {
            requests: driver.permissions(),
        },
        Call::Permit { answer } => done(
            driver
                .permit(answer, Some("the command line".to_owned()))
                .await,
        )?,
        Call::Approve {
            goal_id,
            task_id: Some(task),
            ..
        } => done(driver.approve_task(&goal_id, &task).await)?,
        Call::Artifacts { goal_id } => {
            let artifacts = blocking(move || driver.artifacts(&goal_id)).await?;
            Answer::Artifacts { artifacts }
        }
        Call::Blob { id } => blob(driver, id).await?,
        Call::Status => Answer::Status {
            status: driver.status()?,
        },
        Call::Stop { force } => stop(&driver, force)?,
        // Answered by many replies, not by one.
        Call::Watch { .. } => {
            return Err(ErrorBody::internal(
                "a watch request needs a streaming connection",
            ));
        }
    })
}

fn done(result: Result<()>) -> Result<Answer> {
    result.map(|()| Answer::Done)
}

async fn blob(driver: Driver, id: BlobId) -> Result<Answer> {
    let bytes = blocking(move || driver.blob(&id)).await?;
    Ok(Answer::Blob {
        base64: STANDARD.encode(bytes),
    })
}

/// Runs what waits for the disk where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(ErrorBody::internal("a background task failed")))
}

fn stop(driver: &Driver, force: bool) -> Result<Answer> {
    let active = driver.status()?.active_goals;
    if active > 0 && !force {
        let goals = if active == 1 {
            "a goal is still running"
        } else {
            "goals are still running"
        };
        return Err(
            ErrorBody::user(format!("{goals}, so the daemon was not stopped")).hint(
                "cancel running goals first, or stop the daemon anyway with --force: \
             the next daemon resumes its goals",
            ),
        );
    }
    Ok(Answer::Done)
}
