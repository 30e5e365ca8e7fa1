//! How long a goal may take: none of its time passes while all that could go on waits for somebody.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the tests of the pure crate may use the machine"
)]

use claudecluster_core::{
    policy::SchedulingPolicy,
    state::ClusterState,
    step::{Effect, Input, RequestedToolUse, step},
};
use claudecluster_protocol::{
    AttemptId, BlobId, EventBody, GoalId, GoalSpec, GoalState, PermissionId, Plan, Span,
    StopReason, TaskId, TaskSpec, Timestamp,
    event::AttemptOutcome,
    permission::{PermissionAnswer, PermissionDecision},
};

/// The time a goal has here, in the unit of all moments here.
const LIMIT: u64 = 100;

/// A goal, the journal, and the moments that somebody looks at.
struct World {
    state: ClusterState,
    journal: Vec<(Timestamp, EventBody)>,
    policy: SchedulingPolicy,
    wakes: Vec<Timestamp>,
    now: Timestamp,
}

/// What happens.
enum Happens {
    /// The plan, or a task, is approved.
    Approval(Option<&'static str>),
    /// The only attempt at a task succeeds.
    Success(&'static str),
    /// A task's attempt, or the planner, asks for something.
    Asks(Option<&'static str>),
    /// The oldest request is answered.
    Answer,
    /// Whoever asked goes on without an answer.
    Leaves(Option<&'static str>),
    Restart,
    Cancel,
    Retry,
    /// Nothing, but the goal is looked at.
    Nothing,
}

use Happens::*;

fn goal() -> GoalId {
    GoalId::new("g1")
}

fn asker(task: Option<&str>) -> Option<(TaskId, AttemptId)> {
    task.map(|task| (TaskId::new(task), AttemptId(1)))
}

impl World {
    /// A goal with this plan, or one that is being planned.
    fn new(tasks: Option<Vec<TaskSpec>>, plan_only: bool, jobs: Option<u32>) -> Self {
        let mut world = Self {
            state: ClusterState::default(),
            journal: Vec::new(),
            policy: SchedulingPolicy::default(),
            wakes: Vec::new(),
            now: Timestamp(0),
        };
        let plan = tasks.map(|tasks| Plan {
            tasks,
            ..Plan::default()
        });
        let spec = Box::new(GoalSpec {
            plan,
            plan_only,
            jobs,
            timeout: Some(Span(LIMIT)),
            ..GoalSpec::new("/w", "do it")
        });
        world.give(Input::Submit { goal: goal(), spec });
        world.give(Input::Snapshot {
            goal: goal(),
            result: Ok((BlobId::new("s"), 0, Vec::new())),
        });
        world
    }

    fn give(&mut self, input: Input) {
        for effect in step(&mut self.state, input, self.now, &self.policy).unwrap() {
            match effect {
                Effect::Record(_, body) => self.journal.push((self.now, body)),
                Effect::WakeAt(at) => self.wakes.push(at),
                _ => {}
            }
        }
        let replayed = self.replayed();
        let of = |state: &ClusterState| {
            let goal = state.goal(&goal()).unwrap();
            (goal.deadline(), goal.time_left(self.now))
        };
        assert_eq!(of(&replayed), of(&self.state), "the journal has all of it");
    }

    fn replayed(&self) -> ClusterState {
        let mut state = ClusterState::default();
        for (at, body) in &self.journal {
            state.apply_event(&goal(), *at, body);
        }
        state
    }

    fn happen(&mut self, what: &Happens) {
        let goal = goal();
        match what {
            Approval(None) => self.give(Input::Approve {
                goal,
                plan: None,
                shown: None,
            }),
            Approval(Some(task)) => self.give(Input::ApproveTask {
                goal,
                task: TaskId::new(*task),
            }),
            Success(task) => self.give(Input::Attempt {
                goal,
                task: TaskId::new(*task),
                attempt: AttemptId(1),
                outcome: Box::new(AttemptOutcome::new(None, "")),
            }),
            Asks(task) => self.give(Input::PermissionAsked {
                goal,
                asker: asker(*task),
                wanted: RequestedToolUse {
                    tool: "Fetch".into(),
                    detail: "it".into(),
                    kind: None,
                    input: BlobId::new(task.unwrap_or("planner")),
                },
            }),
            Answer => {
                let open = &self.state.goal(&goal).unwrap().permissions.open;
                let id: PermissionId = open[0].id.clone();
                let answer = PermissionAnswer::new(id, PermissionDecision::Allow);
                self.give(Input::PermissionAnswered { answer, by: None });
            }
            Leaves(task) => self.give(Input::PermissionLeft {
                goal,
                asker: asker(*task),
                tool: "Fetch".into(),
                input: BlobId::new(task.unwrap_or("planner")),
            }),
            Restart => {
                self.state = self.replayed();
                self.wakes.clear();
                self.give(Input::Recover {
                    ended: StopReason::DaemonRestart,
                });
            }
            Cancel => {
                self.give(Input::Cancel { goal });
                self.end_running();
            }
            Retry => self.give(Input::Retry { goal, task: None }),
            Nothing => {}
        }
    }

    /// The processes of a goal that is stopped have ended.
    fn end_running(&mut self) {
        let stopped = self.state.goal(&goal()).unwrap();
        let running: Vec<_> = stopped
            .running_attempts()
            .map(|(t, a)| (t.clone(), a.id))
            .collect();
        for (task, attempt) in running {
            self.give(Input::Attempt {
                goal: goal(),
                task,
                attempt,
                outcome: Box::new(AttemptOutcome::new(Some(StopReason::Cancelled), "")),
            });
        }
    }

    /// Looks at the clock, as somebody does who was asked to at this moment.
    fn look(&mut self, at: u64) -> GoalState {
        self.now = Timestamp(at);
        self.give(Input::Tick);
        self.state.goal(&goal()).unwrap().state
    }
}

/// Lets things happen at their moments, and looks whether the goal's time is over at `end` and not before.
fn check(mut world: World, happens: &[(u64, Happens)], end: u64) {
    for (at, what) in happens {
        assert_ne!(world.look(*at), GoalState::Failed, "at {at}");
        world.happen(what);
    }
    let at = Timestamp(end);
    assert!(world.wakes.contains(&at), "{:?} and not {end}", world.wakes);
    let left = |world: &World| {
        let goal = world.state.goal(&goal()).unwrap();
        goal.time_left(world.now)
    };
    assert_ne!(world.look(end - 1), GoalState::Failed);
    assert_eq!(left(&world), Some(Span(1)));
    assert_eq!(world.look(end), GoalState::Failed);
    let failed = world.state.goal(&goal()).unwrap();
    let error = failed.error.as_ref().unwrap();
    assert_eq!(error.message, "the goal reached its time limit");
    // However late it is looked at again.
    world.look(end + 1000);
    assert_eq!(left(&world), Some(Span(0)));
}

fn task(id: &str, parents: &[&str]) -> TaskSpec {
    TaskSpec {
        depends_on: parents.iter().map(|&p| p.into()).collect(),
        ..TaskSpec::new(id, "do it")
    }
}

fn paused(id: &str, parents: &[&str]) -> TaskSpec {
    TaskSpec {
        pause: true,
        ..task(id, parents)
    }
}

fn writes(id: &str, path: &str) -> TaskSpec {
    TaskSpec {
        writes: vec![path.into()],
        ..task(id, &[])
    }
}

fn planned(tasks: Vec<TaskSpec>) -> World {
    World::new(Some(tasks), false, None)
}

#[test]
fn work_takes_time() {
    let one = || planned(vec![task("a", &[])]);
    check(one(), &[], LIMIT);
    check(World::new(None, false, None), &[], LIMIT);
    check(one(), &[(50, Restart)], LIMIT);
    // Also merging what was made.
    check(one(), &[(50, Success("a"))], LIMIT);
    // Two attempts one after the other.
    check(
        planned(vec![task("a", &[]), task("b", &["a"])]),
        &[(50, Success("a"))],
        LIMIT,
    );
}

#[test]
fn a_plan_that_waits_for_its_approval_takes_none() {
    let plan = || World::new(Some(vec![task("a", &[])]), true, None);
    check(plan(), &[(1000, Approval(None))], 1100);
    check(
        plan(),
        &[(500, Nothing), (600, Restart), (1000, Approval(None))],
        1100,
    );
}

#[test]
fn a_task_that_waits_for_its_approval_takes_none_where_nothing_else_goes_on() {
    let chain = || planned(vec![task("a", &[]), paused("b", &["a"])]);
    check(
        chain(),
        &[(10, Success("a")), (1000, Approval(Some("b")))],
        1090,
    );
    check(
        chain(),
        &[
            (10, Success("a")),
            (700, Restart),
            (1000, Approval(Some("b"))),
        ],
        1090,
    );
    // Beside one that runs it does.
    let beside = || planned(vec![task("a", &[]), paused("b", &[])]);
    check(beside(), &[], LIMIT);
    check(
        beside(),
        &[(40, Success("a")), (1000, Approval(Some("b")))],
        1060,
    );
}

#[test]
fn an_open_question_takes_none_where_nothing_else_goes_on() {
    let one = || planned(vec![task("a", &[])]);
    check(one(), &[(10, Asks(Some("a"))), (1000, Answer)], 1090);
    check(
        one(),
        &[(10, Asks(Some("a"))), (1000, Leaves(Some("a")))],
        1090,
    );
    // The next daemon asks again; until it does, the goal works.
    check(one(), &[(10, Asks(Some("a"))), (1000, Restart)], 1090);
    // The planner's, too.
    let planning = || World::new(None, false, None);
    check(planning(), &[(10, Asks(None)), (1000, Answer)], 1090);
    check(planning(), &[(10, Asks(None)), (1000, Restart)], 1090);
    // Beside one that runs it does.
    let two = || planned(vec![task("a", &[]), task("b", &[])]);
    check(two(), &[(10, Asks(Some("a")))], LIMIT);
    check(
        two(),
        &[(10, Asks(Some("a"))), (20, Asks(Some("b"))), (1000, Answer)],
        1080,
    );
    // What is paused and what is asked together.
    check(
        planned(vec![task("a", &[]), paused("b", &[])]),
        &[(10, Asks(Some("a"))), (1000, Answer)],
        1090,
    );
}

#[test]
fn what_must_wait_behind_an_open_question_takes_none() {
    let asks = || [(10, Asks(Some("a"))), (1000, Answer)];
    let same = planned(vec![writes("a", "x"), writes("b", "x")]);
    check(same, &asks(), 1090);
    // Another one starts in its place, as long as no more than the limit wait.
    let with_limit = |jobs| {
        let tasks = ["a", "b", "c"].map(|id| task(id, &[])).to_vec();
        World::new(Some(tasks), false, Some(jobs))
    };
    check(with_limit(1), &[(10, Asks(Some("a")))], LIMIT);
    check(
        with_limit(1),
        &[(10, Asks(Some("a"))), (20, Asks(Some("b"))), (1000, Answer)],
        1080,
    );
}

#[test]
fn whoever_tries_a_goal_again_gives_it_its_time_anew() {
    let one = || planned(vec![task("a", &[])]);
    check(one(), &[(90, Cancel), (1000, Retry)], 1100);
    let mut late = one();
    assert_eq!(late.look(LIMIT), GoalState::Failed);
    late.end_running();
    late.now = Timestamp(1000);
    late.happen(&Retry);
    check(late, &[(1050, Nothing)], 1100);
}
