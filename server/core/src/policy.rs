//! What to do after an attempt or a planning session stopped short: one policy for each reason.

use claudecluster_protocol::{GoalId, Span, StopReason, TaskSpec, agent::AgentCatalog};

/// Limits and defaults that configuration decides. They steer new decisions only; replaying a
/// journal does not ask them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SchedulingPolicy {
    /// The number of attempts that may run at once, over all goals.
    pub max_parallel: u32,
    /// The number of retries of a task after failures that count.
    pub retries: u32,
    /// The number of times the planner may repair its answer.
    pub plan_repairs: u32,
    /// Says whether plans wait for approval.
    pub approve_plans: bool,
    /// Says whether conflicts between tasks go to a repair task before the developer sees them.
    pub repair_conflicts: bool,
    /// The cost limit for goals that name none.
    pub budget: Option<claudecluster_protocol::Usd>,
    /// The capabilities of the agents.
    pub agents: AgentCatalog,
}

impl Default for SchedulingPolicy {
    fn default() -> Self {
        Self {
            max_parallel: 4,
            retries: 2,
            plan_repairs: 2,
            approve_plans: false,
            repair_conflicts: true,
            budget: None,
            agents: AgentCatalog::default(),
        }
    }
}

/// Limits the overloads a task waits out before it gives up. With the longest wait this is about
/// half an hour.
const MAX_OVERLOADS: u32 = 20;

/// The number of unexpected ends of the daemon after which the work that it ran each time is not tried again.
/// Work that can end the daemon could otherwise do so for ever.
pub const MAX_DAEMON_CRASHES: u32 = 3;

/// Counts the stops of a task that limits are about, the last one included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StopCounts {
    /// Failures that count against the retries.
    pub failures: u32,
    /// Overloads of the provider.
    pub overloads: u32,
    /// Attempts during which the daemon ended unexpectedly.
    pub daemon_crashes: u32,
}

/// Names the follow-up of a stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopFollowUp {
    /// Try again after this long.
    Retry(Span),
    /// The task has failed; others go on.
    FailTask,
    /// Nothing else of the goal can succeed either.
    FailGoal,
}

/// Why a stop happened, coarsely: what the retry policies are made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum StopClass {
    /// The machinery failed; the task itself may be fine. Counts.
    Infrastructure,
    /// The provider is busy. Does not count.
    Overload,
    /// Our own restart. Does not count.
    Restart,
    /// Our own unexpected end. Counts by itself: most ends are no fault of the task, but the task may cause them.
    DaemonCrash,
    /// The result is wrong; another try with the lesson may be right. Counts.
    Wrong,
    /// Another try would end the same way.
    Final,
    /// No other task would fare better.
    Fatal,
}

fn stop_class(stop: StopReason) -> StopClass {
    match stop {
        StopReason::SpawnFailed
        | StopReason::Crashed
        | StopReason::StartTimeout
        | StopReason::Silent
        | StopReason::Timeout
        | StopReason::BrokenStream => StopClass::Infrastructure,
        StopReason::Overloaded => StopClass::Overload,
        StopReason::DaemonRestart => StopClass::Restart,
        StopReason::DaemonCrash => StopClass::DaemonCrash,
        StopReason::GateFailed | StopReason::InvalidAnswer | StopReason::ExitStatus => {
            StopClass::Wrong
        }
        StopReason::TurnLimit
        | StopReason::Refused
        | StopReason::PermissionDenied
        | StopReason::ChangesRefused
        | StopReason::Cancelled
        | StopReason::Resources
        // Nothing but a setting or another task changes what it takes.
        | StopReason::ResourceLimit => StopClass::Final,
        StopReason::Auth | StopReason::Budget => StopClass::Fatal,
    }
}

/// Returns whether a stop counts against the retries of its task.
pub fn counts_as_failure(stop: StopReason) -> bool {
    matches!(
        stop_class(stop),
        StopClass::Infrastructure | StopClass::Wrong
    )
}

/// Returns the follow-up of a stopped attempt.
pub fn follow_up(
    stop: StopReason,
    task: &TaskSpec,
    policy: &SchedulingPolicy,
    counts: StopCounts,
    retry_after: Option<Span>,
) -> StopFollowUp {
    let is_command = task.run.is_some();
    let StopCounts {
        failures,
        overloads,
        daemon_crashes,
    } = counts;
    match stop_class(stop) {
        StopClass::Restart => StopFollowUp::Retry(Span(0)),
        // A failed task says why and can be retried. A paused one would keep an unattended goal open for ever.
        StopClass::DaemonCrash if daemon_crashes >= MAX_DAEMON_CRASHES => StopFollowUp::FailTask,
        StopClass::DaemonCrash => StopFollowUp::Retry(Span(0)),
        StopClass::Overload if overloads > MAX_OVERLOADS => StopFollowUp::FailTask,
        StopClass::Overload => {
            StopFollowUp::Retry(retry_after.unwrap_or(backoff_delay(overloads, Span::from_secs(2))))
        }
        StopClass::Infrastructure | StopClass::Wrong => {
            // A program gives the same answer to the same input, so it is run again only where the
            // plan asks for it.
            let default = if is_command && stop_class(stop) == StopClass::Wrong {
                0
            } else {
                policy.retries
            };
            if failures > task.retries.unwrap_or(default) {
                StopFollowUp::FailTask
            } else if stop_class(stop) == StopClass::Wrong {
                StopFollowUp::Retry(Span(0))
            } else {
                StopFollowUp::Retry(backoff_delay(failures, Span(500)))
            }
        }
        StopClass::Final => StopFollowUp::FailTask,
        StopClass::Fatal => StopFollowUp::FailGoal,
    }
}

/// `first`, doubled for every time it did not help, at most two minutes.
pub fn backoff_delay(times: u32, first: Span) -> Span {
    let factor = 1u64 << times.saturating_sub(1).min(16);
    Span(first.0.saturating_mul(factor).min(Span::from_secs(120).0))
}

/// Tells the user what to do about a stop that ended `goal` or one of its tasks.
pub fn stop_hint(stop: StopReason, goal: &GoalId) -> String {
    match stop {
        StopReason::Auth => format!(
            "set ANTHROPIC_API_KEY or log in with `claude`, then run: claudecluster retry {goal}"
        ),
        StopReason::Budget => format!(
            "partial work is kept: claudecluster diff {goal}; start a new goal with a higher --budget for the rest"
        ),
        StopReason::TurnLimit => {
            "start a new goal with smaller tasks, or raise `limits.turns`".to_owned()
        }
        StopReason::SpawnFailed => "check the setup with: claudecluster doctor".to_owned(),
        StopReason::Resources => {
            format!("provide what is missing, then run: claudecluster retry {goal}")
        }
        StopReason::ResourceLimit => format!(
            "see what it ran with: claudecluster logs {goal}; \
             raise the limit that it names if the task needs more, then run: claudecluster retry {goal}"
        ),
        StopReason::Overloaded => {
            format!("the provider is overloaded; try again later: claudecluster retry {goal}")
        }
        StopReason::Timeout | StopReason::Silent | StopReason::StartTimeout => format!(
            "see how far it got with: claudecluster logs {goal}; \
             raise `timeouts` if needed, then run: claudecluster retry {goal}"
        ),
        StopReason::GateFailed | StopReason::ExitStatus => format!(
            "see the output with: claudecluster logs {goal}; \
             partial work is kept: claudecluster diff {goal}"
        ),
        StopReason::DaemonCrash => format!(
            "the daemon's log, in `logs` of the state folder, may say why; then run: claudecluster retry {goal}"
        ),
        StopReason::Crashed
        | StopReason::BrokenStream
        | StopReason::Refused
        | StopReason::PermissionDenied
        | StopReason::InvalidAnswer
        | StopReason::ChangesRefused
        | StopReason::DaemonRestart
        | StopReason::Cancelled => format!("see what happened with: claudecluster logs {goal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stop: StopReason, failures: u32, overloads: u32, expected: StopFollowUp) {
        let task = TaskSpec::new("t", "do it");
        let counts = StopCounts {
            failures,
            overloads,
            daemon_crashes: 0,
        };
        let next = follow_up(stop, &task, &SchedulingPolicy::default(), counts, None);
        assert_eq!(
            next, expected,
            "{stop:?} after {failures} failures, {overloads} overloads"
        );
    }

    #[test]
    fn each_reason_has_its_policy() {
        check(StopReason::Crashed, 1, 0, StopFollowUp::Retry(Span(500)));
        check(StopReason::Crashed, 2, 0, StopFollowUp::Retry(Span(1000)));
        check(StopReason::Crashed, 3, 0, StopFollowUp::FailTask);
        check(StopReason::GateFailed, 1, 0, StopFollowUp::Retry(Span(0)));
        check(StopReason::GateFailed, 3, 0, StopFollowUp::FailTask);
        check(
            StopReason::DaemonRestart,
            9,
            0,
            StopFollowUp::Retry(Span(0)),
        );
        check(
            StopReason::Overloaded,
            9,
            3,
            StopFollowUp::Retry(Span::from_secs(8)),
        );
        check(StopReason::Overloaded, 0, 21, StopFollowUp::FailTask);
        check(StopReason::Refused, 1, 0, StopFollowUp::FailTask);
        check(StopReason::ResourceLimit, 1, 0, StopFollowUp::FailTask);
        check(StopReason::Auth, 1, 0, StopFollowUp::FailGoal);
    }

    #[test]
    fn programs_are_run_again_only_where_the_plan_asks() {
        let mut task = TaskSpec::new("t", "");
        task.run = Some(claudecluster_protocol::plan::Command::Shell("make".into()));
        let policy = SchedulingPolicy::default();
        let stop = StopReason::ExitStatus;
        let after = |task: &TaskSpec, failures| {
            let counts = StopCounts {
                failures,
                ..StopCounts::default()
            };
            follow_up(stop, task, &policy, counts, None)
        };
        assert_eq!(after(&task, 1), StopFollowUp::FailTask);
        task.retries = Some(1);
        assert_eq!(after(&task, 1), StopFollowUp::Retry(Span(0)));
        assert_eq!(after(&task, 2), StopFollowUp::FailTask);
    }

    #[test]
    fn work_that_ends_the_daemon_is_held_the_third_time() {
        let mut task = TaskSpec::new("t", "do it");
        // Retries that the plan grants are for failures of the task itself.
        task.retries = Some(100);
        for (daemon_crashes, expected) in [
            (1, StopFollowUp::Retry(Span(0))),
            (2, StopFollowUp::Retry(Span(0))),
            (3, StopFollowUp::FailTask),
        ] {
            let counts = StopCounts {
                daemon_crashes,
                ..StopCounts::default()
            };
            let policy = SchedulingPolicy::default();
            let next = follow_up(StopReason::DaemonCrash, &task, &policy, counts, None);
            assert_eq!(next, expected, "after {daemon_crashes}");
        }
    }

    #[test]
    fn the_provider_decides_how_long_to_wait() {
        let task = TaskSpec::new("t", "do it");
        let next = follow_up(
            StopReason::Overloaded,
            &task,
            &SchedulingPolicy::default(),
            StopCounts {
                overloads: 1,
                ..StopCounts::default()
            },
            Some(Span::from_secs(300)),
        );
        assert_eq!(next, StopFollowUp::Retry(Span::from_secs(300)));
    }
}
