//! The seam between whoever wants an attempt run and whoever runs it.
//!
//! An [`Executor`] runs a [`WorkerJob`], which is data, and gives a [`JobReport`], which is data. Every
//! executor speaks the worker protocol (`claudecluster_protocol::worker`) with the same loop, [`serve`]:
//! [`LocalExecutor`] over a channel in this process, [`PipeExecutor`] over the standard streams of another.
//!
//! Architecture invariant: what comes over a link is input. It is checked here, whichever executor it is,
//! and nothing behind an executor is told paths of the daemon's.
//!
//! [`serve`]: crate::serve::serve

mod check;
mod drive;
mod local;
mod pipe;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use claudecluster_protocol::{
    BlobId, ErrorBody, GoalId, StopReason,
    worker::{EpochNumber, JobReport, MessageFromWorker, MessageToWorker, WorkerJob},
};

pub use self::{
    drive::{DriveLimits, JobFailure, drive_job},
    local::LocalExecutor,
    pipe::PipeExecutor,
};
use crate::{agent::SessionChannels, link::DaemonLinkEnd};

/// How long a worker may take to keep or delete a job's files.
const RELEASE_DEADLINE: Duration = Duration::from_secs(300);

/// Runs jobs.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Runs a job to its classified end. Never fails and never outlasts the job's deadlines.
    async fn run_job(&self, job: WorkerJob, ports: JobPorts) -> FinishedJob;

    /// Deletes everything that is kept for the jobs of a goal.
    async fn forget_goal(&self, goal: &GoalId);
}

/// What a job is connected with while it runs.
#[derive(Clone)]
pub struct JobPorts {
    /// Events, questions and the way to cancel.
    pub channels: SessionChannels,
    /// The contents that the job names.
    pub contents: Arc<dyn ContentSource>,
}

/// Gives contents by their identifier.
pub trait ContentSource: Send + Sync {
    /// Reads a content; `None` if there is none of that name. Blocks.
    ///
    /// # Errors
    /// Whatever the store says. The job fails with it.
    fn read(&self, id: &BlobId) -> Result<Option<Bytes>, ErrorBody>;
}

impl ContentSource for HashMap<BlobId, Bytes> {
    fn read(&self, id: &BlobId) -> Result<Option<Bytes>, ErrorBody> {
        Ok(self.get(id).cloned())
    }
}

/// A job that has ended. Its worker keeps the job's files until it is released.
#[must_use = "the worker keeps the files of a job until it is released"]
pub struct FinishedJob {
    /// How it ended. Checked.
    pub report: JobReport,
    /// Every content that the report names.
    pub contents: HashMap<BlobId, Bytes>,
    held: Option<HeldJob>,
}

/// The worker of a job that has ended and is not released.
struct HeldJob {
    epoch: EpochNumber,
    link: DaemonLinkEnd,
    /// Ends the worker when it is dropped.
    worker: Box<dyn Send + Sync>,
}

impl FinishedJob {
    /// Returns a job that ended without a report of its worker.
    fn failed(failure: JobFailure) -> Self {
        let mut report = JobReport::failed_with(failure.stop, failure.words);
        report.isolation.clear();
        Self {
            report,
            contents: HashMap::new(),
            held: None,
        }
    }

    /// Has the worker keep the job's layer for later jobs, or delete the job's files, and waits for it.
    pub async fn release(self, keep_layer: bool) {
        let Some(HeldJob {
            epoch,
            mut link,
            worker,
        }) = self.held
        else {
            return;
        };
        let released = async {
            let release = MessageToWorker::Release { epoch, keep_layer };
            if link.sender.send(Ok(release)).await.is_err() {
                return false;
            }
            while let Some(Ok(message)) = link.receiver.recv().await {
                if matches!(&message, MessageFromWorker::Released { epoch: released } if *released == epoch)
                {
                    return true;
                }
            }
            false
        };
        match tokio::time::timeout(RELEASE_DEADLINE, released).await {
            Ok(true) => {}
            _ => tracing::warn!(
                epoch = epoch.0,
                "a worker did not say that it released a job"
            ),
        }
        drop(worker);
    }
}

/// Gives epochs their numbers. They start from the time, so that those of a later daemon are higher. Only
/// equality decides whether a result counts, so a clock that goes back makes no late result valid.
#[derive(Debug)]
pub struct EpochNumbers(AtomicU64);

impl Default for EpochNumbers {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        Self(AtomicU64::new(u64::try_from(micros).unwrap_or(0)))
    }
}

impl EpochNumbers {
    /// Returns a number that no other job of this daemon has.
    pub fn next(&self) -> EpochNumber {
        EpochNumber(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Ends a task when it is dropped.
pub(crate) struct AbortOnDrop(pub(crate) tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a job over a link whose worker ends when `worker` is dropped.
async fn run_over(
    mut link: DaemonLinkEnd,
    worker: Box<dyn Send + Sync>,
    job: WorkerJob,
    ports: JobPorts,
    limits: &DriveLimits,
) -> Result<FinishedJob, JobFailure> {
    let epoch = job.epoch.number;
    let (report, contents) = drive_job(&mut link, job, ports, limits).await?;
    Ok(FinishedJob {
        report,
        contents,
        held: Some(HeldJob {
            epoch,
            link,
            worker,
        }),
    })
}

impl From<&ErrorBody> for JobFailure {
    fn from(error: &ErrorBody) -> Self {
        Self {
            stop: StopReason::SpawnFailed,
            words: error.message.clone(),
        }
    }
}
