//! Permission requests in `step`: asked once, answered for all, taken back with those who asked.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the tests of the pure crate may use the machine"
)]

use claudecluster_core::{
    policy::SchedulingPolicy,
    state::ClusterState,
    step::{Effect, Input, RequestedToolUse, step},
};
use claudecluster_protocol::{
    AttemptId, BlobId, ErrorKind, EventBody, GoalId, GoalSpec, PermissionId, Plan, StopReason,
    TaskId, TaskSpec, TaskState, Timestamp,
    event::AttemptOutcome,
    goal::AgentUsage,
    permission::{
        NETWORK_TOOL, PermissionAnswer, PermissionDecision, PermissionKind, PermissionScope,
    },
};
use serde_json::json;

use PermissionDecision::{Allow, Deny};
use PermissionScope::{Always, Goal, Once, Task};

/// A goal of four independent tasks, and everything that was journaled.
struct World {
    state: ClusterState,
    policy: SchedulingPolicy,
    journal: Vec<EventBody>,
}

fn goal() -> GoalId {
    GoalId::new("g1")
}

impl World {
    fn new(max_parallel: u32) -> Self {
        let mut world = Self {
            state: ClusterState::default(),
            policy: SchedulingPolicy {
                max_parallel,
                ..SchedulingPolicy::default()
            },
            journal: Vec::new(),
        };
        let tasks = ["a", "b", "c", "d"].map(|id| TaskSpec::new(id, "do it"));
        let mut spec = GoalSpec::new("/w", "do it");
        spec.plan = Some(Plan {
            tasks: tasks.to_vec(),
            ..Plan::default()
        });
        world.give(Input::Submit {
            goal: goal(),
            spec: Box::new(spec),
        });
        world.give(Input::Snapshot {
            goal: goal(),
            result: Ok((BlobId::new("s"), 0, Vec::new())),
        });
        world
    }

    /// Returns what follows, in short words.
    fn give(&mut self, input: Input) -> Vec<String> {
        let effects = step(&mut self.state, input, Timestamp(5), &self.policy).unwrap();
        let said = effects.iter().filter_map(in_short).collect();
        for effect in effects {
            if let Effect::Record(_, body) = effect {
                self.journal.push(body);
            }
        }
        said
    }

    fn asked(&mut self, task: Option<&str>, attempt: u32, input: &str) -> Vec<String> {
        self.give(Input::PermissionAsked {
            goal: goal(),
            asker: task.map(|task| (TaskId::new(task), AttemptId(attempt))),
            wanted: RequestedToolUse {
                tool: "Fetch".into(),
                detail: format!("the {input}"),
                kind: None,
                input: BlobId::new(input),
            },
        })
    }

    fn answer(
        &mut self,
        id: &str,
        decision: PermissionDecision,
        scope: PermissionScope,
    ) -> Vec<String> {
        let answer = PermissionAnswer {
            request_id: PermissionId::new(id),
            decision,
            scope,
            reason: Some("so it is".into()),
        };
        self.give(Input::PermissionAnswered { answer, by: None })
    }

    fn end(&mut self, task: &str, attempt: u32, stop: Option<StopReason>) -> Vec<String> {
        self.give(Input::Attempt {
            goal: goal(),
            task: TaskId::new(task),
            attempt: AttemptId(attempt),
            outcome: Box::new(AttemptOutcome::new(stop, "")),
        })
    }

    /// The daemon is killed; the next one replays the journal.
    fn restart(&mut self) -> Vec<String> {
        let mut state = ClusterState::default();
        for body in &self.journal {
            state.apply_event(&goal(), Timestamp(5), body);
        }
        self.state = state;
        self.give(Input::Recover {
            ended: StopReason::DaemonRestart,
        })
    }
}

/// What is about permissions or attempts.
fn in_short(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Record(_, EventBody::PermissionAsked { request }) => {
            let tasks: Vec<&str> = request.task_ids.iter().map(AsRef::as_ref).collect();
            format!("{} of {}", request.id, tasks.join("+"))
        }
        Effect::Record(_, EventBody::PermissionAnswered { request_id, .. }) => {
            format!("{request_id} answered")
        }
        Effect::Record(_, EventBody::PermissionWithdrawn { request_id }) => {
            format!("{request_id} withdrawn")
        }
        Effect::Permit {
            task,
            input,
            decision,
            reason,
            ..
        } => {
            let task = task.as_ref().map_or("planner", AsRef::as_ref);
            assert_eq!(reason.as_deref(), Some("so it is"));
            format!("tell {task} {decision:?} {input}")
        }
        Effect::Start { task, attempt, .. } => format!("start {task} {attempt}"),
        _ => return None,
    })
}

#[test]
fn the_same_is_asked_once_and_answered_for_all() {
    let mut world = World::new(4);
    assert_eq!(world.asked(Some("a"), 1, "x"), ["p1 of a"]);
    assert_eq!(world.asked(Some("b"), 1, "x"), ["p1 of a+b"]);
    // The same task asks the same once more: its desk knows that it waits already.
    assert!(world.asked(Some("b"), 1, "x").is_empty());
    assert_eq!(world.asked(Some("a"), 1, "y"), ["p2 of a"]);
    // An attempt that is not the one that runs has nobody to hear the answer.
    assert!(world.asked(Some("c"), 7, "y").is_empty());
    assert!(world.asked(None, 0, "y").is_empty());
    assert_eq!(
        world.answer("p1", Allow, Once),
        ["p1 answered", "tell a Allow x", "tell b Allow x"]
    );
    assert_eq!(world.asked(Some("b"), 1, "x"), ["p3 of b"]);
}

/// What the same task, another one, and one that wants something else hear after an answer.
#[track_caller]
fn check(scope: PermissionScope, same: &str, other: &str) {
    let mut world = World::new(4);
    world.asked(Some("a"), 1, "x");
    world.answer("p1", Deny, scope);
    assert_eq!(world.asked(Some("a"), 1, "x"), [same], "{scope:?}");
    assert_eq!(world.asked(Some("b"), 1, "x"), [other], "{scope:?}");
    // An answer is about exactly what was asked.
    assert!(world.asked(Some("a"), 1, "y")[0].ends_with("of a"));
}

#[test]
fn an_answer_reaches_as_far_as_it_says() {
    check(Once, "p2 of a", "p2 of a+b");
    check(Task, "tell a Deny x", "p2 of b");
    check(Goal, "tell a Deny x", "tell b Deny x");
}

#[test]
fn an_answer_for_the_goal_survives_the_daemon() {
    let mut world = World::new(4);
    world.asked(Some("a"), 1, "x");
    world.asked(Some("b"), 1, "y");
    world.answer("p1", Allow, Goal);
    // What waited is withdrawn with its attempt, and asked again by the next one.
    let said = world.restart();
    assert_eq!(said[0], "p2 withdrawn");
    assert!(said.contains(&"start b 2".to_owned()), "{said:?}");
    assert_eq!(world.asked(Some("b"), 2, "x"), ["tell b Allow x"]);
    assert_eq!(world.asked(Some("b"), 2, "y"), ["p3 of b"]);
}

#[test]
fn a_request_goes_with_the_last_who_waits() {
    let mut world = World::new(4);
    world.asked(Some("a"), 1, "x");
    world.asked(Some("b"), 1, "x");
    assert_eq!(world.end("a", 1, None), ["p1 of b"]);
    let left = Input::PermissionLeft {
        goal: goal(),
        asker: Some((TaskId::new("b"), AttemptId(1))),
        tool: "Fetch".into(),
        input: BlobId::new("x"),
    };
    assert_eq!(world.give(left.clone()), ["p1 withdrawn"]);
    assert!(world.give(left).is_empty());
    let refused = |world: &mut World, id: &str| {
        let answer = PermissionAnswer::new(PermissionId::new(id), Allow);
        let input = Input::PermissionAnswered { answer, by: None };
        let refused = step(&mut world.state, input, Timestamp(5), &world.policy);
        refused.unwrap_err().kind
    };
    assert_eq!(refused(&mut world, "p1"), ErrorKind::Stale);
    assert_eq!(refused(&mut world, "p2"), ErrorKind::User);
    assert_eq!(refused(&mut world, "x"), ErrorKind::User);

    world.asked(Some("b"), 1, "z");
    world.asked(Some("c"), 1, "z");
    let said = world.give(Input::Cancel { goal: goal() });
    assert_eq!(said, ["p2 withdrawn"]);
    assert!(world.asked(Some("d"), 1, "z").is_empty());
}

#[test]
fn whoever_answers_too_late_hears_what_became_of_it() {
    let mut world = World::new(4);
    for input in ["x", "y", "z"] {
        world.asked(Some("a"), 1, input);
    }
    for (id, decision, by) in [("p1", Deny, Some("Neovim 0.11.4")), ("p2", Allow, None)] {
        let answer = PermissionAnswer {
            reason: Some("so it is".into()),
            ..PermissionAnswer::new(PermissionId::new(id), decision)
        };
        let by = by.map(str::to_owned);
        world.give(Input::PermissionAnswered { answer, by });
    }
    let gone = "is no longer open: the worker has ended or continued without an answer";
    // The next daemon knows as much, and has nobody who waits.
    for _ in 0..2 {
        for (id, expected) in [
            ("p1", "p1 was already denied by Neovim 0.11.4"),
            ("p2", "p2 was already granted"),
        ] {
            assert_eq!(too_late(&mut world, id), expected);
        }
        world.restart();
    }
    assert_eq!(too_late(&mut world, "p3"), format!("p3 {gone}"));
}

fn too_late(world: &mut World, id: &str) -> String {
    let answer = PermissionAnswer::new(PermissionId::new(id), Allow);
    let input = Input::PermissionAnswered { answer, by: None };
    let refused = step(&mut world.state, input, Timestamp(5), &world.policy);
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Stale);
    refused.message
}

#[test]
fn who_waits_for_a_person_gives_its_place_to_others() {
    let mut world = World::new(1);
    let states = |world: &World| {
        let goal = world.state.goal(&goal()).unwrap();
        let of = |task: &str| goal.tasks[&TaskId::new(task)].state;
        ["a", "b", "c", "d"].map(of)
    };
    use TaskState::{Ready, Running, Succeeded};
    assert_eq!(states(&world), [Running, Ready, Ready, Ready]);
    assert_eq!(world.asked(Some("a"), 1, "x"), ["p1 of a", "start b 1"]);
    // Two processes are the most for a limit of one, however many wait.
    assert_eq!(world.asked(Some("b"), 1, "y"), ["p2 of b"]);
    assert_eq!(states(&world), [Running, Running, Ready, Ready]);
    // Whoever goes on may be one too many until somebody ends; nothing else starts.
    world.answer("p1", Allow, Once);
    world.answer("p2", Allow, Once);
    assert!(world.end("a", 1, None).is_empty());
    assert_eq!(world.end("b", 1, None), ["start c 1"]);
    assert_eq!(states(&world), [Succeeded, Succeeded, Running, Ready]);
}

#[test]
fn a_planner_asks_too() {
    let mut state = ClusterState::default();
    let policy = SchedulingPolicy::default();
    let mut give = |input| -> Vec<String> {
        let effects = step(&mut state, input, Timestamp(5), &policy).unwrap();
        effects.iter().filter_map(in_short).collect()
    };
    let spec = json!({"workspace": "/w", "prompt": "do it"});
    give(Input::Submit {
        goal: goal(),
        spec: Box::new(serde_json::from_value(spec).unwrap()),
    });
    give(Input::Snapshot {
        goal: goal(),
        result: Ok((BlobId::new("s"), 0, Vec::new())),
    });
    let ask = |input: &str| Input::PermissionAsked {
        goal: goal(),
        asker: None,
        wanted: RequestedToolUse {
            tool: "Fetch".into(),
            detail: String::new(),
            kind: None,
            input: BlobId::new(input),
        },
    };
    assert_eq!(give(ask("x")), ["p1 of "]);
    let answer = PermissionAnswer {
        scope: Task,
        reason: Some("so it is".into()),
        ..PermissionAnswer::new(PermissionId::new("p1"), Allow)
    };
    let said = give(Input::PermissionAnswered { answer, by: None });
    assert_eq!(said, ["p1 answered", "tell planner Allow x"]);
    assert_eq!(give(ask("x")), ["tell planner Allow x"]);
    assert_eq!(give(ask("y")), ["p2 of "]);
    let plan = Plan {
        tasks: vec![TaskSpec::new("a", "do it")],
        ..Plan::default()
    };
    let said = give(Input::PlanAnswer {
        goal: goal(),
        answer: Ok(Box::new(plan)),
        session: None,
        usage: AgentUsage::default(),
    });
    assert_eq!(said, ["p2 withdrawn", "start a 1"]);
    // What the planner was told was for the planner.
    let mut by_task = ask("x");
    if let Input::PermissionAsked { asker, .. } = &mut by_task {
        *asker = Some((TaskId::new("a"), AttemptId(1)));
    }
    assert_eq!(give(by_task), ["p3 of a"]);
}

#[test]
fn only_hosts_are_allowed_for_always() {
    let mut world = World::new(4);
    let ask = |world: &mut World, task: &str, tool: &str| {
        world.give(Input::PermissionAsked {
            goal: goal(),
            asker: Some((TaskId::new(task), AttemptId(1))),
            wanted: RequestedToolUse {
                tool: tool.into(),
                detail: "a.example:443".into(),
                kind: Some(PermissionKind::Network),
                input: BlobId::new("x"),
            },
        })
    };
    ask(&mut world, "a", "WebFetch");
    ask(&mut world, "a", NETWORK_TOOL);
    let refused = |world: &mut World, id: &str, decision| {
        let answer = PermissionAnswer {
            scope: Always,
            ..PermissionAnswer::new(PermissionId::new(id), decision)
        };
        let input = Input::PermissionAnswered { answer, by: None };
        let error = step(&mut world.state, input, Timestamp(5), &world.policy).unwrap_err();
        format!("{} ({})", error.message, error.hint.unwrap_or_default())
    };
    assert_eq!(
        refused(&mut world, "p1", Allow),
        "p1 is not about a host of the network, so it cannot be allowed for always (allow it for the goal \
         with: claudecluster allow p1 --goal)"
    );
    assert_eq!(
        refused(&mut world, "p2", Deny),
        "p2 cannot be denied for always: hosts are denied unless they are allowed (deny it for the goal \
         with: claudecluster deny p2 --goal)"
    );
    let said = world.answer("p2", Allow, Always);
    assert_eq!(said, ["p2 answered", "tell a Allow x"]);
    // Other tasks of the goal need no answer of their own.
    assert_eq!(ask(&mut world, "b", NETWORK_TOOL), ["tell b Allow x"]);
}
