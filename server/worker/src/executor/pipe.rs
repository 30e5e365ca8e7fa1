//! The executor that starts a worker for each job and speaks with it over its standard streams.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use claudecluster_protocol::{GoalId, StopReason, worker::WorkerJob};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    task::JoinHandle,
};

use super::{AbortOnDrop, DriveLimits, Executor, FinishedJob, JobFailure, JobPorts, run_over};
use crate::{
    link::{DaemonLinkEnd, LinkTasks, over_lines},
    serve::WorkerPlace,
};

/// How much of the end of a worker's standard error is kept for messages.
const LAST_WORDS: usize = 8 << 10;

/// Runs each job in a process of its own.
pub struct PipeExecutor {
    /// The program, which has the hidden subcommand `worker`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The place that the arguments describe, for deleting what is kept for goals.
    pub place: WorkerPlace,
    /// What workers are allowed.
    pub limits: DriveLimits,
}

/// A process that serves one link. Dropping it kills the process with everything it started.
struct PipeWorker {
    _child: Child,
    _tasks: LinkTasks,
    _stderr: AbortOnDrop,
}

#[async_trait]
impl Executor for PipeExecutor {
    async fn run_job(&self, job: WorkerJob, ports: JobPorts) -> FinishedJob {
        let words = Arc::new(Mutex::new(Vec::new()));
        let (link, worker) = match self.start(&words) {
            Ok(started) => started,
            Err(error) => {
                return FinishedJob::failed(JobFailure {
                    stop: StopReason::SpawnFailed,
                    words: format!("{} could not be started: {error}", self.program.display()),
                });
            }
        };
        run_over(link, Box::new(worker), job, ports, &self.limits)
            .await
            .unwrap_or_else(|failure| FinishedJob::failed(with_last_words(failure, &words)))
    }

    async fn forget_goal(&self, goal: &GoalId) {
        self.place.forget_goal(goal).await;
    }
}

impl PipeExecutor {
    fn start(&self, words: &Arc<Mutex<Vec<u8>>>) -> std::io::Result<(DaemonLinkEnd, PipeWorker)> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(std::io::Error::other("its standard streams are missing"));
        };
        let (link, tasks) = over_lines(stdout, stdin);
        let worker = PipeWorker {
            _child: child,
            _tasks: tasks,
            _stderr: AbortOnDrop(keep_end(stderr, words.clone())),
        };
        Ok((link, worker))
    }
}

/// Reads a stream to its end and keeps its last bytes.
fn keep_end(
    mut stream: impl AsyncRead + Send + Unpin + 'static,
    words: Arc<Mutex<Vec<u8>>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut chunk = [0; 4 << 10];
        while let Ok(length @ 1..) = stream.read(&mut chunk).await {
            let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
            words.extend_from_slice(&chunk[..length]);
            let over = words.len().saturating_sub(LAST_WORDS);
            words.drain(..over);
        }
    })
}

/// Adds the last line that the worker wrote to its standard error.
fn with_last_words(mut failure: JobFailure, words: &Mutex<Vec<u8>>) -> JobFailure {
    let words = words.lock().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8_lossy(&words);
    if let Some(last) = text.lines().rev().find(|line| !line.trim().is_empty()) {
        failure.words.push_str(": ");
        failure.words.push_str(last.trim());
    }
    failure
}
