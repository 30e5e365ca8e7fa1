//! Tasks and their attempts.

use claudecluster_protocol::{
    AttemptId, GoalState, StopReason, TaskId, TaskSpec, TaskState, Timestamp,
    event::AttemptOutcome, repair::RepairSpec,
};

use super::Goal;

/// One task.
#[derive(Clone, Debug)]
pub struct GoalTask {
    /// The task as the plan states it.
    pub spec: TaskSpec,
    /// The current state.
    pub state: TaskState,
    /// Its attempts, oldest first.
    pub attempts: Vec<TaskAttempt>,
    /// The earliest moment of the next start.
    pub not_before: Option<Timestamp>,
    /// The note to the next attempt about the last one.
    pub lesson: Option<String>,
    /// Attempts before this index do not count against the retries: somebody asked to retry.
    pub forgiven: usize,
    /// Says whether the task was approved after its plan had paused the task. It is not paused
    /// again.
    pub approved: bool,
    /// The conflict or refusal to repair, for a task that was added after planning.
    pub repair: Option<RepairSpec>,
    /// Says whether the result was merged into the proposal, for a repair that amends one.
    pub amended: bool,
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct TaskAttempt {
    /// Number within the task, from 1.
    pub id: AttemptId,
    /// The moment of the start.
    pub started_at: Timestamp,
    /// The moment of the end.
    pub ended_at: Option<Timestamp>,
    /// Tasks whose results it builds on.
    pub upstream: Vec<TaskId>,
    /// The outcome; `None` while the attempt runs.
    pub outcome: Option<AttemptOutcome>,
}

impl GoalTask {
    pub(super) fn new(spec: TaskSpec, repair: Option<RepairSpec>) -> Self {
        Self {
            spec,
            state: TaskState::Waiting,
            attempts: Vec::new(),
            not_before: None,
            lesson: None,
            forgiven: 0,
            approved: false,
            repair,
            amended: false,
        }
    }

    /// Returns whether the task repairs a proposal in review. Its result is then amended to the
    /// proposal.
    pub fn amends_proposal(&self) -> bool {
        self.repair
            .as_ref()
            .is_some_and(RepairSpec::amends_proposal)
    }

    /// Returns whether the result is still to be merged into the proposal.
    pub fn awaits_amending(&self) -> bool {
        self.amends_proposal() && self.state == TaskState::Succeeded && !self.amended
    }

    /// Returns the attempt that runs now.
    pub fn running_attempt(&self) -> Option<&TaskAttempt> {
        self.attempts
            .last()
            .filter(|attempt| attempt.outcome.is_none())
    }

    /// Returns the outcome of the last finished attempt.
    pub fn outcome(&self) -> Option<&AttemptOutcome> {
        self.attempts
            .iter()
            .rev()
            .find_map(|attempt| attempt.outcome.as_ref())
    }

    /// Counts the finished attempts that ended for a reason `of` accepts and count against a limit.
    pub fn count_stops(&self, of: impl Fn(StopReason) -> bool) -> u32 {
        let stops = self.attempts[self.forgiven.min(self.attempts.len())..]
            .iter()
            .filter_map(|attempt| attempt.outcome.as_ref()?.stop)
            .filter(|&stop| of(stop));
        u32::try_from(stops.count()).unwrap_or(u32::MAX)
    }
}

impl Goal {
    /// Returns whether all work that could continue waits for an approval.
    pub fn is_paused(&self) -> bool {
        let has = |state| self.tasks.values().any(|task| task.state == state);
        self.state == GoalState::Running
            && has(TaskState::Paused)
            && !has(TaskState::Ready)
            && !has(TaskState::Running)
    }

    /// Returns the number of further attempts that the goal's own limit lets start.
    pub(crate) fn own_free_places(&self) -> usize {
        let plan_limit = self.plan.as_ref().and_then(|plan| plan.max_parallel);
        let own = self.spec.jobs.or(plan_limit).unwrap_or(u32::MAX) as usize;
        free_places(
            own,
            self.running_attempts().count(),
            self.waiting_attempts().count(),
        )
    }
}

/// Returns the number of attempts that may start where `limit` may work at once. Attempts that wait
/// for a person give their places to others, so that nobody's coffee break idles the rest; as they
/// keep their processes and go on at any moment, no more than `limit` of them do.
pub(crate) fn free_places(limit: usize, running: usize, waiting: usize) -> usize {
    let working = running.saturating_sub(waiting.min(limit));
    limit.saturating_sub(working)
}
