//! The time a goal has taken, which its limit is about: while all that could go on waits for somebody,
//! none of it passes.

use claudecluster_protocol::{GoalState, Span, TaskState, Timestamp};

use super::Goal;
use crate::write_patterns::may_write_same_file;

/// Measures the time a goal has taken. The clock knows only the moments of events, so that
/// replaying them gives the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct GoalClock {
    /// Taken before it stood still the last time.
    taken: Span,
    /// Since when it runs; `None` while it stands still.
    since: Option<Timestamp>,
}

impl GoalClock {
    fn let_run(&mut self, runs: bool, now: Timestamp) {
        match (self.since, runs) {
            (None, true) => self.since = Some(now),
            (Some(since), false) => {
                self.taken = Span(self.taken.0.saturating_add(now.span_since(since).0));
                self.since = None;
            }
            _ => {}
        }
    }

    fn time_left(&self, limit: Span) -> Span {
        Span(limit.0.saturating_sub(self.taken.0))
    }
}

impl Goal {
    /// Returns the moment the goal's time is over, if nothing stops the clock until then. `None`
    /// where it has no limit, or its clock stands still.
    pub fn deadline(&self) -> Option<Timestamp> {
        let left = self.clock.time_left(self.spec.timeout?);
        Some(self.clock.since?.saturating_add(left))
    }

    /// Returns the rest of the goal's time; `None` where the goal has no limit.
    pub fn time_left(&self, now: Timestamp) -> Option<Span> {
        let left = self.clock.time_left(self.spec.timeout?);
        let running = self
            .clock
            .since
            .map_or(Span(0), |since| now.span_since(since));
        Some(Span(left.0.saturating_sub(running.0)))
    }

    /// Lets the clock run or stand still, as the goal is now.
    pub(super) fn set_clock(&mut self, now: Timestamp) {
        if self.spec.timeout.is_some() {
            self.clock.let_run(self.takes_time(), now);
        }
    }

    /// Resets the clock: a goal that is tried again gets its full time.
    pub(super) fn reset_clock(&mut self) {
        self.clock = GoalClock::default();
    }

    /// Returns whether the goal makes progress, and does not only wait for a person.
    fn takes_time(&self) -> bool {
        match self.state {
            GoalState::Submitted | GoalState::Merging | GoalState::Gating => true,
            GoalState::Planning => {
                let mut open = self.permissions.open.iter();
                !open.any(|request| request.task_ids.is_empty())
            }
            GoalState::Running => !self.is_held_up(),
            GoalState::AwaitingApproval
            | GoalState::Proposed
            | GoalState::Landed
            | GoalState::Rejected
            | GoalState::Failed
            | GoalState::Cancelled => false,
        }
    }

    /// Returns whether all work that could continue waits for an approval or an answer: also what
    /// must not start before something that waits has ended, because both are expected to write the
    /// same files.
    fn is_held_up(&self) -> bool {
        let waiting: Vec<_> = self.waiting_attempts().map(|(id, _)| id).collect();
        let behind = |task: &super::GoalTask| {
            let mut ahead = waiting.iter().filter_map(|id| self.tasks.get(*id));
            ahead.any(|ahead| may_write_same_file(&task.spec, &ahead.spec))
        };
        // Those that wait give their places to others, up to a limit.
        let full = self.own_free_places() == 0;
        let mut held_up = false;
        for (id, task) in &self.tasks {
            match task.state {
                TaskState::Paused => held_up = true,
                TaskState::Running if waiting.contains(&id) => held_up = true,
                TaskState::Running => return false,
                TaskState::Ready if !full && !behind(task) => return false,
                _ => {}
            }
        }
        held_up
    }
}
