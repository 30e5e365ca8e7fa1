//! Work that was under way when the daemon ended, and work that ends the daemon each time.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the tests of the pure crate may use the machine"
)]

use claudecluster_core::{
    policy::SchedulingPolicy,
    state::ClusterState,
    step::{Effect, Input, MergedProposal, step},
};
use claudecluster_protocol::{
    AttemptId, BlobId, EventBody, GoalId, GoalSpec, Plan, RelPath, StopReason, TaskSpec, Timestamp,
    change::{FileMode, FileVersion},
    event::{AttemptOutcome, ProposedFile},
    plan::Command,
};

struct World {
    state: ClusterState,
    journal: Vec<EventBody>,
    /// The effects of the last input, apart from facts.
    effects: Vec<Effect>,
}

const NOW: Timestamp = Timestamp(1_000);

impl World {
    fn new(spec: GoalSpec) -> Self {
        let mut world = World {
            state: ClusterState::default(),
            journal: Vec::new(),
            effects: Vec::new(),
        };
        world.give(Input::Submit {
            goal: goal(),
            spec: Box::new(spec),
        });
        world
    }

    /// A goal whose tasks `a` and `b` run side by side.
    fn with_tasks() -> Self {
        let plan = Plan {
            tasks: vec![TaskSpec::new("a", "do it"), TaskSpec::new("b", "do it")],
            ..Plan::default()
        };
        let mut world = Self::new(GoalSpec {
            plan: Some(plan),
            gates: vec![Command::Shell("make test".into())],
            ..GoalSpec::new("/w", "")
        });
        world.capture();
        world
    }

    fn give(&mut self, input: Input) {
        self.effects.clear();
        let policy = SchedulingPolicy::default();
        for effect in step(&mut self.state, input, NOW, &policy).unwrap() {
            match effect {
                Effect::Record(_, body) => self.journal.push(body),
                effect => self.effects.push(effect),
            }
        }
    }

    fn capture(&mut self) {
        let result = Ok((BlobId::new("snapshot"), 0, Vec::new()));
        self.give(Input::Snapshot {
            goal: goal(),
            result,
        });
    }

    fn end(&mut self, task: &str, attempt: u32, stop: Option<StopReason>) {
        self.give(Input::Attempt {
            goal: goal(),
            task: task.into(),
            attempt: AttemptId(attempt),
            outcome: Box::new(AttemptOutcome::new(stop, "")),
        });
    }

    /// The next daemon: all that is left is the journal.
    fn restart(&mut self, ended: StopReason) {
        self.state = ClusterState::default();
        for body in &self.journal {
            self.state.apply_event(&goal(), NOW, body);
        }
        self.give(Input::Recover { ended });
    }

    fn crash(&mut self) {
        self.restart(StopReason::DaemonCrash);
    }

    fn stop(&mut self) {
        self.restart(StopReason::DaemonRestart);
    }

    /// The goal's state and its tasks' states, with the number of attempts.
    fn now(&self) -> String {
        let goal = self.state.goal(&goal()).unwrap();
        let mut text = goal.state.as_str().to_owned();
        for (id, task) in &goal.tasks {
            text.push_str(&format!(
                " {id}:{}{}",
                task.state.as_str(),
                task.attempts.len()
            ));
        }
        text
    }

    fn hint(&self) -> String {
        let error = self.state.goal(&goal()).unwrap().error.clone().unwrap();
        format!("{}; {}", error.message, error.hint.unwrap_or_default())
    }
}

fn goal() -> GoalId {
    GoalId::new("g1")
}

#[test]
fn a_task_is_held_after_the_third_unexpected_end() {
    let mut world = World::with_tasks();
    world.end("b", 1, None);
    assert_eq!(world.now(), "running a:running1 b:succeeded1");
    world.crash();
    assert_eq!(world.now(), "running a:running2 b:succeeded1");
    world.crash();
    assert_eq!(world.now(), "running a:running3 b:succeeded1");
    world.crash();
    assert_eq!(world.now(), "merging a:failed3 b:succeeded1");
    world.give(Input::Merged {
        goal: goal(),
        result: Ok(MergedProposal::default()),
    });
    let hint = world.hint();
    assert!(
        hint.contains("task a failed: the daemon ended unexpectedly during 3 attempts"),
        "{hint}"
    );
    assert!(hint.contains("claudecluster retry g1"), "{hint}");
    // Whoever retries it has looked into it: it has three tries again.
    world.give(Input::Retry {
        goal: goal(),
        task: Some("a".into()),
    });
    assert_eq!(world.now(), "running a:running4 b:succeeded1");
    world.crash();
    world.crash();
    assert_eq!(world.now(), "running a:running6 b:succeeded1");
    world.crash();
    assert_eq!(world.now(), "merging a:failed6 b:succeeded1");
}

#[test]
fn a_stopped_daemon_counts_against_nothing() {
    let mut world = World::with_tasks();
    for _ in 0..10 {
        world.stop();
    }
    assert_eq!(world.now(), "running a:running11 b:running11");
    // Nor do stops in between start the count anew.
    for _ in 0..2 {
        world.crash();
        world.stop();
    }
    world.crash();
    assert_eq!(world.now(), "merging a:failed15 b:failed15");
}

#[test]
fn planning_that_ends_the_daemon_is_not_tried_for_ever() {
    let mut world = World::new(GoalSpec::new("/w", "do it"));
    world.capture();
    for _ in 0..2 {
        world.stop();
        world.crash();
        assert_eq!(world.now(), "planning");
        assert!(
            matches!(world.effects[..], [Effect::Plan { .. }]),
            "{:?}",
            world.effects
        );
    }
    world.crash();
    assert_eq!(world.now(), "failed");
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    let hint = world.hint();
    assert!(hint.contains("3 times while it planned the goal"), "{hint}");
    assert!(hint.contains("claudecluster retry g1"), "{hint}");
    // It stays as it is, and a retry begins anew.
    world.crash();
    assert_eq!(world.now(), "failed");
    world.give(Input::Retry {
        goal: goal(),
        task: None,
    });
    world.crash();
    assert_eq!(world.now(), "submitted");
}

#[test]
fn gates_that_end_the_daemon_are_not_run_for_ever() {
    let mut world = World::with_tasks();
    world.end("a", 1, None);
    // What the tasks went through does not count against the gates.
    world.crash();
    world.end("b", 2, None);
    world.give(Input::Merged {
        goal: goal(),
        result: Ok(MergedProposal::default()),
    });
    for _ in 0..2 {
        world.crash();
        assert_eq!(world.effects, [Effect::Gates(goal())]);
    }
    world.crash();
    assert_eq!(world.now(), "failed a:succeeded1 b:succeeded2");
    assert!(
        world.hint().contains("while it ran the gates"),
        "{}",
        world.hint()
    );
}

#[test]
fn a_merge_that_ends_the_daemon_is_not_made_for_ever() {
    let mut world = World::with_tasks();
    world.end("a", 1, None);
    world.end("b", 1, None);
    for _ in 0..2 {
        world.crash();
        assert_eq!(world.effects, [Effect::Merge(goal())]);
    }
    // Neither by the goal nor as what a failed goal has left.
    for _ in 0..3 {
        world.crash();
        assert_eq!(world.now(), "failed a:succeeded1 b:succeeded1");
        assert!(world.effects.is_empty(), "{:?}", world.effects);
    }
}

#[test]
fn changes_that_end_the_daemon_when_applied_wait_for_somebody() {
    let plan = Plan {
        tasks: vec![TaskSpec::new("a", "do it")],
        ..Plan::default()
    };
    let mut world = World::new(GoalSpec {
        plan: Some(plan),
        apply: true,
        ..GoalSpec::new("/w", "")
    });
    world.capture();
    world.end("a", 1, None);
    let new = FileVersion {
        blob: BlobId::new("new"),
        mode: FileMode::Regular,
    };
    let file = ProposedFile {
        path: RelPath::new("new").unwrap(),
        from: None,
        entry: 0,
        base: None,
        proposed: Some(new),
        held: Vec::new(),
        versions: Vec::new(),
    };
    world.give(Input::Merged {
        goal: goal(),
        result: Ok(MergedProposal {
            files: vec![file],
            ..MergedProposal::default()
        }),
    });
    for _ in 0..2 {
        world.stop();
        world.crash();
        assert_eq!(world.now(), "proposed a:succeeded1");
        assert_eq!(world.effects, [Effect::Land(goal())]);
    }
    world.crash();
    assert_eq!(world.now(), "proposed a:succeeded1");
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    let Some(EventBody::Applied { failed, .. }) = world.journal.last() else {
        panic!("nothing says why: {:?}", world.journal.last());
    };
    let why = format!("{failed:?}");
    assert!(
        why.contains("3 times while it applied the changes"),
        "{why}"
    );
    assert!(why.contains("claudecluster accept g1"), "{why}");
    let told = world.journal.len();
    world.crash();
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    assert_eq!(world.journal.len(), told);
}
