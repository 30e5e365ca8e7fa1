//! What has to hold after every step.

use super::*;

impl World {
    /// What must hold after every turn.
    pub(super) fn check(&self) {
        let running: usize = self
            .state
            .goals
            .values()
            .map(|g| g.running_attempts().count())
            .sum();
        assert!(
            running <= 2 * self.policy.max_parallel as usize,
            "{running} attempts run"
        );
        self.check_repairs();
        self.check_permissions();
        self.check_time();
        assert_eq!(
            describe(&self.replay()),
            describe(&self.state),
            "replay gives the same state"
        );
    }

    /// Nothing starts beyond the limit but in the place of what waits for a person.
    pub(super) fn check_places(&self) {
        let count = |of: fn(&Goal) -> usize| -> usize {
            self.state.goals.values().map(|goal| of(goal)).sum()
        };
        let running = count(|goal| goal.running_attempts().count());
        let waiting = count(|goal| goal.waiting_attempts().count());
        let limit = self.policy.max_parallel as usize;
        assert!(
            running <= limit + waiting.min(limit),
            "{running} attempts run and {waiting} of them wait"
        );
    }

    /// Somebody looks when a goal's time is over; and it is over no sooner than that has passed.
    fn check_time(&self) {
        for goal in self.state.goals.values() {
            let Some(limit) = goal.spec.timeout else {
                continue;
            };
            if let Some(deadline) = goal.deadline() {
                assert!(
                    self.wakes.contains(&deadline),
                    "nobody looks at {deadline:?}"
                );
                assert!(deadline >= goal.submitted_at.saturating_add(limit));
            }
            let late = goal
                .error
                .as_ref()
                .is_some_and(|error| error.message.contains("time limit"));
            if late && goal.state == GoalState::Failed {
                assert_eq!(goal.time_left(self.now), Some(Span(0)));
                assert!(self.now >= goal.submitted_at.saturating_add(limit));
            }
        }
    }

    /// Exactly what somebody waits for is open, each thing once.
    pub(super) fn check_permissions(&self) {
        let mut open = BTreeSet::new();
        let mut about = HashSet::new();
        for goal in self.state.goals.values() {
            for request in &goal.permissions.open {
                assert!(about.insert((&goal.id, &request.input)), "asked twice");
                assert!(
                    !request.task_ids.is_empty(),
                    "nobody waits for {}",
                    request.id
                );
                for task in &request.task_ids {
                    let attempt = goal.tasks[task].running_attempt().unwrap().id;
                    let input = request.input.clone();
                    open.insert((goal.id.clone(), task.clone(), attempt, input));
                }
            }
        }
        assert_eq!(open, self.asked());
    }

    /// What attempts wait for, as far as the state has been told.
    pub(super) fn asked(&self) -> BTreeSet<(GoalId, TaskId, AttemptId, BlobId)> {
        let told = |one: &&(GoalId, TaskId, AttemptId, BlobId)| {
            self.running
                .contains(&(one.0.clone(), one.1.clone(), one.2))
        };
        self.waiting.iter().filter(told).cloned().collect()
    }

    /// A goal that has a proposal keeps it whatever becomes of its repairs; and what a repair made comes
    /// in once.
    pub(super) fn check_repairs(&self) {
        let mut proposed = false;
        let mut amended = HashSet::new();
        for (_, _, body) in &self.journal {
            match body {
                EventBody::GoalChanged { state, .. } => {
                    let open = matches!(state, GoalState::Proposed | GoalState::Rejected);
                    assert!(open || !proposed, "a proposal became {state:?}");
                    proposed |= *state == GoalState::Proposed;
                }
                EventBody::Amended { task_id, .. } => {
                    assert!(amended.insert(task_id.clone()), "{task_id} came in twice");
                }
                _ => {}
            }
        }
    }
}
