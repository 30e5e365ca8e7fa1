//! Implements the service with the driver.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use claudecluster_driver::{Driver, Editor, TextSource};
use claudecluster_protocol::{
    ErrorBody, EventSeq, GoalId, HunkId,
    api::{Answer, Call, Decision},
    change::{HunkOrigin, HunkView},
    event::Verdict,
    path::text_of_bytes,
    submitted::SubmittedGoal,
};

use crate::{
    live_texts::{EditorAttachment, LiveTexts},
    permit::Permit,
    service::{EventReceiver, Service},
};

type Result<T> = std::result::Result<T, ErrorBody>;

/// Answers every call but two with a driver. [`Call::Watch`] is [`Service::events`], and
/// [`Call::Stop`] belongs to the owner of the process.
#[async_trait]
impl Service for Driver {
    async fn answer(&self, permit: Permit<'_>, call: Call) -> Result<Answer> {
        let driver = self.clone();
        Ok(match call {
            Call::Submit { spec, again: true } => Answer::Submitted {
                goal_id: driver.submit(*spec).await?,
                duplicate_of: None,
            },
            Call::Submit { spec, again: false } => {
                let SubmittedGoal {
                    goal_id,
                    duplicate_of,
                } = driver.submit_once(*spec).await?;
                Answer::Submitted {
                    goal_id,
                    duplicate_of,
                }
            }
            Call::Goals => {
                let (goals, as_of) = run_blocking(move || Ok(driver.goals_as_of())).await?;
                Answer::Goals { goals, as_of }
            }
            Call::Goal { goal_id } => {
                let (goal, as_of) = run_blocking(move || driver.goal_as_of(&goal_id)).await?;
                let goal = Box::new(goal);
                Answer::Goal { goal, as_of }
            }
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
            Call::Approve {
                goal_id,
                task_id: Some(task),
                ..
            } => done(driver.approve_task(&goal_id, &task).await)?,
            Call::Permissions => Answer::Permissions {
                requests: driver.permissions(),
            },
            Call::Permit { answer } => {
                let by = permit.caller_name().to_string();
                done(driver.permit(answer, Some(by)).await)?
            }
            Call::Artifacts { goal_id } => Answer::Artifacts {
                artifacts: run_blocking(move || driver.artifacts(&goal_id)).await?,
            },
            Call::Blob { id } => {
                let bytes = run_blocking(move || driver.blob(&id)).await?;
                Answer::Blob {
                    base64: STANDARD.encode(bytes),
                }
            }
            Call::Status => Answer::Status {
                status: driver.status()?,
            },
            Call::Stop { .. } => {
                return Err(ErrorBody::internal("the driver cannot stop the daemon")
                    .with_hint("stop it with: claudecluster daemon stop"));
            }
            // Answered by many items, not by one.
            Call::Watch { .. } => {
                return Err(ErrorBody::internal(
                    "a watch request needs a streaming connection",
                ));
            }
        })
    }

    fn stream(
        &self,
        _: Permit<'_>,
        goal: Option<GoalId>,
        after: Option<EventSeq>,
    ) -> EventReceiver {
        self.watch(goal, after)
    }
}

#[async_trait]
impl LiveTexts for Driver {
    fn hunks_in(&self, path: &Path, text: TextSource<'_>) -> Vec<HunkView> {
        Self::hunks_in(self, path, text)
    }

    fn origins(&self, path: &Path, text: &str) -> Vec<HunkOrigin> {
        Self::origins(self, path, text)
    }

    fn preview(&self, hunk: &HunkId, text: &str) -> Result<String> {
        Self::preview(self, hunk, text)
    }

    async fn text_settled(&self, path: &Path) {
        self.settled(path).await;
    }

    fn attach(&self, editor: Arc<dyn Editor>) -> EditorAttachment {
        Box::new(Self::attach(self, editor))
    }
}

fn done(result: Result<()>) -> Result<Answer> {
    result.map(|()| Answer::Done)
}

/// Runs work that blocks on the disk on a thread for such work.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(ErrorBody::internal("a background task failed")
            .with_hint("run `claudecluster doctor` to find its log"))
    })
}
