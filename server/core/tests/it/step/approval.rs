//! What waits for an approval: plans, and the tasks that plans pause.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the tests of the pure crate may use the machine"
)]

use claudecluster_core::{
    policy::SchedulingPolicy,
    state::ClusterState,
    step::{Effect, Input, step},
};
use claudecluster_protocol::{
    AttemptId, BlobId, ErrorBody, ErrorKind, EventBody, GoalId, GoalSpec, GoalState, Plan,
    StopReason, TaskId, TaskSpec, TaskState, Timestamp, event::AttemptOutcome,
};
use expect_test::expect;

struct World {
    state: ClusterState,
    journal: Vec<(GoalId, EventBody)>,
    policy: SchedulingPolicy,
}

const NOW: Timestamp = Timestamp(1_000);

impl World {
    /// A goal with this plan, which has just been planned.
    fn new(tasks: Vec<TaskSpec>, plan_only: bool) -> Self {
        let mut world = World {
            state: ClusterState::default(),
            journal: Vec::new(),
            policy: SchedulingPolicy::default(),
        };
        let plan = Plan {
            tasks,
            ..Plan::default()
        };
        let spec = GoalSpec {
            plan: Some(plan),
            plan_only,
            ..GoalSpec::new("/w", "")
        };
        let (goal, spec) = (goal(), Box::new(spec));
        world.give(Input::Submit { goal, spec }).unwrap();
        let result = Ok((BlobId::new("snapshot"), 0, Vec::new()));
        let goal = self::goal();
        world.give(Input::Snapshot { goal, result }).unwrap();
        world
    }

    fn give(&mut self, input: Input) -> Result<(), ErrorBody> {
        for effect in step(&mut self.state, input, NOW, &self.policy)? {
            if let Effect::Record(goal, body) = effect {
                self.journal.push((goal, body));
            }
        }
        Ok(())
    }

    /// The next daemon: all that is left is the journal.
    fn restart(&mut self) {
        self.state = ClusterState::default();
        for (goal, body) in &self.journal {
            self.state.apply_event(goal, NOW, body);
        }
        self.give(Input::Recover {
            ended: StopReason::DaemonRestart,
        })
        .unwrap();
    }

    fn succeed(&mut self, task: &str) {
        self.end(task, 1, None);
    }

    fn end(&mut self, task: &str, attempt: u32, stop: Option<StopReason>) {
        let attempt = Input::Attempt {
            goal: goal(),
            task: TaskId::new(task),
            attempt: AttemptId(attempt),
            outcome: Box::new(AttemptOutcome::new(stop, "")),
        };
        self.give(attempt).unwrap();
    }

    fn approve(&mut self, task: &str) -> Result<(), ErrorBody> {
        self.give(Input::ApproveTask {
            goal: goal(),
            task: TaskId::new(task),
        })
    }

    /// The goal's state, its tasks' states, and whether all of it waits for somebody.
    fn now(&self) -> String {
        let goal = self.state.goal(&goal()).unwrap();
        let tasks = goal.tasks.values().map(|task| task.state.as_str());
        let waits = if goal.is_paused() { ", waits" } else { "" };
        let tasks: Vec<_> = tasks.collect();
        format!("{}: {}{waits}", goal.state.as_str(), tasks.join(" "))
    }
}

fn goal() -> GoalId {
    GoalId::new("g1")
}

fn task(id: &str, parents: &[&str], pause: bool) -> TaskSpec {
    TaskSpec {
        depends_on: parents.iter().map(|&p| p.into()).collect(),
        pause,
        ..TaskSpec::new(id, "do it")
    }
}

#[test]
fn a_paused_task_waits_for_its_approval_over_restarts() {
    let mut world = World::new(
        vec![
            task("a", &[], false),
            task("b", &["a"], true),
            task("c", &["b"], false),
        ],
        false,
    );
    assert_eq!(world.now(), "running: running waiting waiting");
    let early = world.approve("b").unwrap_err();
    expect!["task b of goal g1 is not paused; its state is waiting (approve it once its dependencies have succeeded)"]
        .assert_eq(&format!("{} ({})", early.message, early.hint.unwrap()));
    world.succeed("a");
    assert_eq!(world.now(), "running: succeeded paused waiting, waits");
    world.restart();
    assert_eq!(world.now(), "running: succeeded paused waiting, waits");
    for (wrong, message) in [
        (
            "a",
            "task a of goal g1 is not paused; its state is succeeded",
        ),
        ("x", "goal g1 has no task x"),
    ] {
        assert_eq!(world.approve(wrong).unwrap_err().message, message);
    }
    world.approve("b").unwrap();
    assert_eq!(world.now(), "running: succeeded running waiting");
    world.succeed("b");
    assert_eq!(world.now(), "running: succeeded succeeded running");
    world.succeed("c");
    assert_eq!(world.state.goal(&goal()).unwrap().state, GoalState::Merging);
}

#[test]
fn an_approval_holds_when_the_task_is_tried_again() {
    let mut world = World::new(vec![task("a", &[], true)], false);
    assert_eq!(world.now(), "running: paused, waits");
    world.approve("a").unwrap();
    world.give(Input::Cancel { goal: goal() }).unwrap();
    let outcome = world.state.goal(&goal()).unwrap().tasks[&TaskId::new("a")].state;
    assert_eq!(outcome, TaskState::Cancelled);
    let retry = Input::Retry {
        goal: goal(),
        task: None,
    };
    world.give(retry).unwrap();
    assert_eq!(world.now(), "running: running");
}

/// A process takes a while to end. What was tried again meanwhile does not fail with it.
#[test]
fn a_cancelled_attempt_ends_after_its_task_was_tried_again() {
    let mut world = World::new(vec![task("a", &[], false)], false);
    world.policy.max_parallel = 1;
    world.give(Input::Cancel { goal: goal() }).unwrap();
    let retry = Input::Retry {
        goal: goal(),
        task: None,
    };
    world.give(retry).unwrap();
    assert_eq!(world.now(), "running: ready");
    world.end("a", 1, Some(StopReason::Cancelled));
    assert_eq!(world.now(), "running: running");
    world.end("a", 2, None);
    assert_eq!(world.now(), "merging: succeeded");
}

#[test]
fn a_cancelled_goal_with_a_paused_task_ends() {
    let mut world = World::new(vec![task("a", &[], true)], false);
    world.give(Input::Cancel { goal: goal() }).unwrap();
    assert_eq!(world.now(), "cancelled: cancelled");
}

#[test]
fn an_approval_is_for_the_plan_that_was_shown() {
    let mut world = World::new(vec![task("a", &[], false)], true);
    assert_eq!(world.now(), "awaitingApproval: waiting");
    let approve = |shown: Vec<TaskSpec>| Input::Approve {
        goal: goal(),
        plan: None,
        shown: Some(Box::new(Plan {
            tasks: shown,
            ..Plan::default()
        })),
    };
    let other = world.give(approve(vec![task("b", &[], false)]));
    assert_eq!(other.unwrap_err().kind, ErrorKind::Stale);
    assert_eq!(world.now(), "awaitingApproval: waiting");
    world.give(approve(vec![task("a", &[], false)])).unwrap();
    assert_eq!(world.now(), "running: running");
}

#[test]
fn a_plan_that_nobody_approved_waits_again_when_its_goal_is_tried_again() {
    let mut world = World::new(vec![task("a", &[], false)], true);
    world.give(Input::Cancel { goal: goal() }).unwrap();
    assert_eq!(world.now(), "cancelled: cancelled");
    let retry = Input::Retry {
        goal: goal(),
        task: None,
    };
    world.give(retry).unwrap();
    assert_eq!(world.now(), "awaitingApproval: waiting");
    let approve = Input::Approve {
        goal: goal(),
        plan: None,
        shown: None,
    };
    world.give(approve).unwrap();
    assert_eq!(world.now(), "running: running");
}
