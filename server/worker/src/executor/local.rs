//! The executor inside the daemon.

use std::sync::Arc;

use async_trait::async_trait;
use claudecluster_protocol::{GoalId, Span, worker::WorkerJob};
use tracing::Instrument as _;

use super::{AbortOnDrop, DriveLimits, Executor, FinishedJob, JobPorts, run_over};
use crate::{
    link::in_process,
    serve::{WorkerPlace, serve},
};

/// Runs jobs in this process, each with a worker of its own behind a channel.
pub struct LocalExecutor {
    place: Arc<WorkerPlace>,
}

impl LocalExecutor {
    /// Runs jobs in `place`, where no other executor does.
    pub fn new(place: WorkerPlace) -> Self {
        place.remove_leftovers();
        Self {
            place: Arc::new(place),
        }
    }
}

#[async_trait]
impl Executor for LocalExecutor {
    async fn run_job(&self, job: WorkerJob, ports: JobPorts) -> FinishedJob {
        let (daemon, worker) = in_process();
        let place = self.place.clone();
        let serving = async move {
            if let Err(error) = serve(worker, place).await {
                tracing::warn!(%error, "a worker in this process ended early");
            }
        };
        let worker = AbortOnDrop(tokio::spawn(serving.in_current_span()));
        // The end of the task closes the channel, so its silence means nothing. A busy machine must not
        // end an attempt.
        let limits = DriveLimits {
            heartbeat: Span::from_secs(3600),
            silence: None,
            ..DriveLimits::default()
        };
        run_over(daemon, Box::new(worker), job, ports, &limits)
            .await
            .unwrap_or_else(FinishedJob::failed)
    }

    async fn forget_goal(&self, goal: &GoalId) {
        self.place.forget_goal(goal).await;
    }
}
