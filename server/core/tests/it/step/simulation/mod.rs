//! `step` under a simulated executor: random graphs, random outcomes, cancels and crashes of the
//! daemon at any moment. Time is virtual; a seed gives the same run.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "the tests of the pure crate may use the machine"
)]

mod checks;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use claudecluster_core::{
    policy::SchedulingPolicy,
    state::{ClusterState, Goal},
    step::{Effect, Input, MergedProposal, NewRepairTask, RequestedToolUse, step},
};
use claudecluster_protocol::{
    AttemptId, BlobId, EventBody, GoalId, GoalSpec, GoalState, Plan, RelPath, Span, StopReason,
    TaskId, TaskSpec, TaskState, Timestamp,
    change::{FileChange, FileMode, FileVersion},
    event::{AttemptOutcome, ProposedFile, Verdict},
    permission::{PermissionAnswer, PermissionDecision, PermissionScope},
    repair::{RepairCause, RepairSpec},
};
use proptest::prelude::*;

/// One world: the state, the journal it came from, and the work in flight.
struct World {
    state: ClusterState,
    journal: Vec<(GoalId, Timestamp, EventBody)>,
    now: Timestamp,
    policy: SchedulingPolicy,
    running: HashSet<(GoalId, TaskId, AttemptId)>,
    pending: Vec<Input>,
    wakes: Vec<Timestamp>,
    dice: Vec<u8>,
    rolled: usize,
    /// Verdicts that are still to come.
    verdicts: u32,
    /// What attempts that run wait for, and questions that are still to come.
    waiting: BTreeSet<(GoalId, TaskId, AttemptId, BlobId)>,
    questions: u32,
    /// The paused tasks that somebody has approved.
    approved: HashSet<TaskId>,
}

const STOPS: [StopReason; 8] = [
    StopReason::Crashed,
    StopReason::Overloaded,
    StopReason::GateFailed,
    StopReason::Refused,
    StopReason::Silent,
    StopReason::TurnLimit,
    StopReason::Timeout,
    StopReason::Auth,
];

impl World {
    fn new(plan: Plan, timeout: Option<Span>, jobs: u32, dice: Vec<u8>) -> Self {
        let mut world = World {
            state: ClusterState::default(),
            journal: Vec::new(),
            now: Timestamp(1_000),
            policy: SchedulingPolicy {
                max_parallel: jobs,
                ..SchedulingPolicy::default()
            },
            running: HashSet::new(),
            pending: Vec::new(),
            wakes: Vec::new(),
            dice,
            rolled: 0,
            verdicts: 6,
            waiting: BTreeSet::new(),
            questions: 12,
            approved: HashSet::new(),
        };
        let goal = world.state.next_goal_id();
        world.give(Input::Submit {
            goal,
            spec: Box::new(spec(plan, timeout)),
        });
        world
    }

    /// The dice in a circle, shifted at every round.
    fn roll(&mut self) -> u8 {
        let value = self.dice[self.rolled % self.dice.len()];
        let round = self.rolled / self.dice.len();
        self.rolled += 1;
        value.wrapping_add((round * 37 % 256) as u8)
    }

    fn give(&mut self, input: Input) {
        let Ok(effects) = step(&mut self.state, input, self.now, &self.policy) else {
            return;
        };
        for effect in effects {
            self.carry_out(effect);
        }
        self.check();
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Record(goal, body) => self.journal.push((goal, self.now, body)),
            Effect::Snapshot(goal) => {
                let result = Ok((BlobId::new("snapshot"), 3, Vec::new()));
                self.pending.push(Input::Snapshot { goal, result });
            }
            Effect::Plan { .. } => unreachable!("the plan is given"),
            Effect::Start {
                goal,
                task,
                attempt,
            } => {
                let tasks = &self.state.goal(&goal).unwrap().tasks;
                for parent in &tasks[&task].spec.depends_on {
                    let state = tasks[parent].state;
                    assert_eq!(
                        state,
                        TaskState::Succeeded,
                        "{task} started before {parent}"
                    );
                }
                assert!(
                    !tasks[&task].spec.pause || self.approved.contains(&task),
                    "{task} started without an approval"
                );
                assert!(
                    self.running.insert((goal, task, attempt)),
                    "an attempt started twice"
                );
                self.check_places();
            }
            Effect::Permit {
                goal, task, input, ..
            } => {
                let task = task.unwrap();
                let before = self.waiting.len();
                self.waiting
                    .retain(|one| (&one.0, &one.1, &one.3) != (&goal, &task, &input));
                assert!(
                    before > self.waiting.len(),
                    "{task} was told what it did not ask"
                );
            }
            Effect::Stop(goal) => {
                let killed: Vec<_> = self
                    .running
                    .iter()
                    .filter(|r| r.0 == goal)
                    .cloned()
                    .collect();
                for (goal, task, attempt) in killed {
                    self.stop_waiting(&task);
                    let outcome = Box::new(outcome(Some(StopReason::Cancelled), &task));
                    self.pending.push(Input::Attempt {
                        goal,
                        task,
                        attempt,
                        outcome,
                    });
                }
            }
            Effect::Merge(goal) => {
                let tasks = &self.state.goal(&goal).unwrap().tasks;
                let outcomes = tasks.values().filter_map(|task| task.outcome());
                let files = outcomes
                    .flat_map(|outcome| &outcome.changes)
                    .map(proposed)
                    .collect();
                let repairs = self.disagreement(&goal);
                self.pending.push(Input::Merged {
                    goal,
                    result: Ok(MergedProposal { files, repairs }),
                });
            }
            Effect::Amend { goal, task } => {
                let made = self.state.goal(&goal).unwrap().tasks[&task]
                    .outcome()
                    .unwrap();
                let files = made.changes.iter().map(proposed).collect();
                let result = Ok(files);
                self.pending.push(Input::Amended { goal, task, result });
            }
            Effect::Gates(goal) => self.pending.push(Input::Gates {
                goal,
                results: Vec::new(),
            }),
            Effect::Land(_) | Effect::Settle(_) | Effect::Tidy(_) => {}
            Effect::WakeAt(at) => self.wakes.push(at),
        }
    }

    /// How the last two tasks that finished could be made to agree, where the dice say they do not.
    fn disagreement(&mut self, goal: &GoalId) -> Vec<NewRepairTask> {
        if self.roll() < 100 {
            return Vec::new();
        }
        let goal = self.state.goal(goal).unwrap();
        let [.., a, b] = goal.finished.as_slice() else {
            return Vec::new();
        };
        vec![repair(goal, RepairCause::TaskConflict, &[a, b])]
    }

    /// The developer looks at a proposal: rejects a file, with or without a reason, or changes their mind
    /// about repairs.
    fn decide(&mut self, id: &GoalId) {
        let roll = self.roll();
        let goal = self.state.goal(id).unwrap();
        let under_way = goal.repairs_under_way().next().is_some();
        if under_way && roll < 60 {
            return self.give(Input::Cancel { goal: id.clone() });
        }
        let Some(entry) = goal.files.iter().find(|entry| !entry.is_fully_decided()) else {
            return self.give(Input::Retry {
                goal: id.clone(),
                task: None,
            });
        };
        let facts = vec![EventBody::Reviewed {
            path: entry.file.path.clone(),
            entry: entry.file.entry,
            verdict: Verdict::Reject,
            hunks: Vec::new(),
            base: entry.file.base.clone(),
            proposed: entry.file.base.clone(),
            landed: None,
            reason: None,
            of: None,
            decision: None,
        }];
        let goal_id = id.clone();
        self.give(if roll < 120 {
            Input::Reviewed {
                goal: goal_id,
                facts,
            }
        } else {
            let author = &goal.finished[0];
            let repairs = vec![repair(goal, RepairCause::Rejected, &[author])];
            Input::Repair {
                goal: goal_id,
                facts,
                repairs,
            }
        });
    }

    /// The developer lets a paused task start. Returns whether there was one.
    fn approve(&mut self) -> bool {
        let paused = self.state.goals.values().find_map(|goal| {
            let mut tasks = goal.tasks.iter();
            let (task, _) = tasks.find(|(_, task)| task.state == TaskState::Paused)?;
            Some((goal.id.clone(), task.clone()))
        });
        let Some((goal, task)) = paused else {
            return false;
        };
        self.approved.insert(task.clone());
        self.give(Input::ApproveTask { goal, task });
        true
    }

    fn stop_waiting(&mut self, task: &TaskId) {
        self.waiting.retain(|one| one.1 != *task);
    }

    /// An attempt asks for something, takes its question back, or goes on. Returns whether it goes on.
    fn question(&mut self, (goal, task, attempt): &(GoalId, TaskId, AttemptId)) -> bool {
        if self.state.goal(goal).unwrap().tasks[task]
            .state
            .is_terminal()
        {
            // It is being ended.
            return true;
        }
        let waits = self.waiting.iter().find(|one| one.1 == *task).cloned();
        let roll = self.roll();
        let asker = Some((task.clone(), *attempt));
        if let Some((_, _, _, input)) = waits {
            if roll < 50 {
                self.stop_waiting(task);
                let tool = "Fetch".to_owned();
                self.give(Input::PermissionLeft {
                    goal: goal.clone(),
                    asker,
                    tool,
                    input,
                });
            }
            return false;
        }
        if self.questions == 0 || roll < 120 {
            return true;
        }
        self.questions -= 1;
        let input = BlobId::new(format!("input{}", roll % 2));
        self.waiting
            .insert((goal.clone(), task.clone(), *attempt, input.clone()));
        self.give(Input::PermissionAsked {
            goal: goal.clone(),
            asker,
            wanted: RequestedToolUse {
                tool: "Fetch".to_owned(),
                detail: "it".to_owned(),
                kind: None,
                input,
            },
        });
        false
    }

    /// Somebody answers the oldest request. Returns whether there was one.
    fn answer(&mut self) -> bool {
        let mut open = self.state.goals.values().flat_map(|g| &g.permissions.open);
        let Some(id) = open.next().map(|request| request.id.clone()) else {
            return false;
        };
        let roll = self.roll();
        let decision = match roll % 2 {
            0 => PermissionDecision::Allow,
            _ => PermissionDecision::Deny,
        };
        let scope = match roll % 3 {
            0 => PermissionScope::Once,
            1 => PermissionScope::Task,
            _ => PermissionScope::Goal,
        };
        let answer = PermissionAnswer {
            scope,
            ..PermissionAnswer::new(id, decision)
        };
        self.give(Input::PermissionAnswered { answer, by: None });
        true
    }

    fn replay(&self) -> ClusterState {
        let mut state = ClusterState::default();
        for (goal, at, body) in &self.journal {
            state.apply_event(goal, *at, body);
        }
        state
    }

    /// The daemon is killed and the next one starts: all that is left is the journal.
    fn crash(&mut self) {
        self.state = self.replay();
        self.running.clear();
        self.waiting.clear();
        self.pending.clear();
        self.wakes.clear();
        let unexpected = self.now.0.is_multiple_of(2);
        let ended = if unexpected {
            StopReason::DaemonCrash
        } else {
            StopReason::DaemonRestart
        };
        self.give(Input::Recover { ended });
    }

    /// Lets something happen. Returns whether anything was left to happen.
    fn turn(&mut self) -> bool {
        self.now = self.now.saturating_add(Span(1));
        let due = self.wakes.len();
        self.wakes.retain(|&at| at > self.now);
        if self.wakes.len() < due {
            self.give(Input::Tick);
        }
        let roll = self.roll();
        if roll < 6 {
            self.crash();
            return true;
        }
        if roll < 60 && self.answer() {
            return true;
        }
        if !self.pending.is_empty() {
            let input = self.pending.remove(usize::from(roll) % self.pending.len());
            if let Input::Attempt {
                goal,
                task,
                attempt,
                ..
            } = &input
            {
                self.running.remove(&(goal.clone(), task.clone(), *attempt));
                let task = task.clone();
                self.stop_waiting(&task);
            }
            self.give(input);
            return true;
        }
        let mut running: Vec<_> = self.running.iter().cloned().collect();
        running.sort();
        // Whoever is asked answers at some time: at once, or when there is nothing else to see.
        if (running.is_empty() || roll < 40) && self.approve() {
            return true;
        }
        if !running.is_empty() {
            let one = running[usize::from(roll) % running.len()].clone();
            if !self.question(&one) {
                return true;
            }
            let (goal, task, attempt) = one;
            self.running.remove(&(goal.clone(), task.clone(), attempt));
            let fate = self.roll();
            let stop = (fate < 100).then(|| STOPS[usize::from(fate) % STOPS.len()]);
            let outcome = Box::new(outcome(stop, &task));
            self.give(Input::Attempt {
                goal,
                task,
                attempt,
                outcome,
            });
            return true;
        }
        let reviewed = self
            .state
            .goals
            .values()
            .find(|g| g.state == GoalState::Proposed);
        if let Some(goal) = reviewed.map(|goal| goal.id.clone())
            && self.verdicts > 0
        {
            self.verdicts -= 1;
            self.decide(&goal);
            return true;
        }
        if self.wakes.is_empty() {
            return false;
        }
        self.wakes.sort();
        self.now = self.now.max(self.wakes.remove(0));
        self.give(Input::Tick);
        true
    }
}

fn spec(plan: Plan, timeout: Option<Span>) -> GoalSpec {
    GoalSpec {
        plan: Some(plan),
        timeout,
        ..GoalSpec::new("/w", "")
    }
}

fn outcome(stop: Option<StopReason>, task: &TaskId) -> AttemptOutcome {
    AttemptOutcome {
        changes: vec![FileChange {
            path: RelPath::new(task.as_str()).unwrap(),
            from: None,
            base: None,
            proposed: Some(FileVersion {
                blob: BlobId::new("b"),
                mode: FileMode::Regular,
            }),
        }],
        ..AttemptOutcome::new(stop, "it ended")
    }
}

fn repair(goal: &Goal, cause: RepairCause, of: &[&TaskId]) -> NewRepairTask {
    let of: Vec<TaskId> = of.iter().map(|&id| id.clone()).collect();
    NewRepairTask {
        task: TaskSpec {
            depends_on: of.clone(),
            writes: vec!["shared".into()],
            ..TaskSpec::new(goal.repair_id(0), "repair it")
        },
        repair: RepairSpec {
            cause,
            hunks: Vec::new(),
            files: vec![RelPath::new("shared").unwrap()],
            of,
            reason: None,
        },
    }
}

fn proposed(change: &FileChange) -> ProposedFile {
    ProposedFile {
        path: change.path.clone(),
        from: None,
        entry: 0,
        base: change.base.clone(),
        proposed: change.proposed.clone(),
        held: Vec::new(),
        versions: Vec::new(),
    }
}

/// Everything that matters of a state, comparable.
fn describe(state: &ClusterState) -> BTreeMap<String, String> {
    let goal = |goal: &Goal| {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            goal.state,
            goal.error,
            goal.tasks,
            goal.finished,
            goal.files,
            goal.merged,
            goal.permissions,
            goal.deadline(),
            goal.time_left(Timestamp(0))
        )
    };
    let mut all: BTreeMap<String, String> = state
        .goals
        .iter()
        .map(|(id, g)| (id.to_string(), goal(g)))
        .collect();
    all.insert("permissions".into(), state.permissions.to_string());
    all
}

fn plans() -> impl Strategy<Value = Plan> {
    (
        1usize..9,
        proptest::collection::vec((0usize..9, 0usize..9), 0..14),
        any::<u16>(),
        any::<u16>(),
    )
        .prop_map(|(n, edges, some, of_them)| {
            let paused = some & of_them;
            let task = |i: usize| {
                let parents = edges.iter().filter(|(a, b)| a.max(b) == &i && a != b);
                let parents: std::collections::BTreeSet<usize> =
                    parents.map(|(a, b)| *a.min(b)).collect();
                TaskSpec {
                    depends_on: parents
                        .iter()
                        .map(|p| TaskId::new(format!("t{p}")))
                        .collect(),
                    writes: vec![format!("dir{}/", i % 3)],
                    pause: paused & (1 << i) != 0,
                    ..TaskSpec::new(format!("t{i}").as_str(), "do it")
                }
            };
            Plan {
                tasks: (0..n).map(task).collect(),
                ..Plan::default()
            }
        })
}

proptest! {
    /// Whatever happens: no attempt starts twice, before everything it depends on has succeeded, or
    /// before somebody has approved it where its plan asks for that; the limit on attempts holds, replaying the journal gives the state, and every goal comes to
    /// an end in which its work is a proposal and each task has a terminal state. Repairs, before the
    /// proposal and beside it, never take it away. A goal whose time is over ends, and none before.
    #[test]
    fn every_goal_ends_and_every_replay_agrees(
        plan in plans(),
        timeout in proptest::option::of(5u64..200),
        jobs in 1u32..5,
        dice in proptest::collection::vec(any::<u8>(), 40..120),
        cancel_at in proptest::option::of(0usize..60),
    ) {
        let goal = GoalId::new("g1");
        let mut world = World::new(plan, timeout.map(Span), jobs, dice);
        let mut turns = 0;
        while world.turn() {
            turns += 1;
            prop_assert!(turns < 20_000, "the goal does not come to an end");
            if cancel_at == Some(turns) {
                world.give(Input::Cancel { goal: goal.clone() });
            }
        }
        let end = world.state.goal(&goal).unwrap();
        prop_assert!(
            matches!(end.state, GoalState::Proposed | GoalState::Rejected | GoalState::Failed | GoalState::Cancelled),
            "{:?}", end.state
        );
        prop_assert!(end.running_attempts().next().is_none());
        prop_assert!(end.permissions.open.is_empty());
        for (id, task) in &end.tasks {
            prop_assert!(task.state.is_terminal(), "{} is {:?}", id, task.state);
        }
        prop_assert!(end.merged || !end.has_changes(), "what was made is proposed");
        prop_assert!(end.repairs_under_way().next().is_none());
        if matches!(end.state, GoalState::Proposed | GoalState::Rejected) {
            for task in end.tasks.values() {
                prop_assert!(task.state == TaskState::Succeeded || task.repair.is_some());
                prop_assert_eq!(task.amended, task.amends_proposal() && task.state == TaskState::Succeeded);
            }
        } else {
            prop_assert!(end.error.is_some() || end.state == GoalState::Cancelled);
        }
    }
}

/// An overloaded provider halves the fleet and pauses it; success lets it grow again.
#[test]
fn overload_slows_the_fleet_down() {
    let tasks = (0..8).map(|i| TaskSpec::new(format!("t{i}").as_str(), "do it"));
    let plan = Plan {
        tasks: tasks.collect(),
        ..Plan::default()
    };
    let mut world = World::new(plan, None, 4, vec![0]);
    while !world.pending.is_empty() {
        let input = world.pending.remove(0);
        world.give(input);
    }
    assert_eq!(world.running.len(), 4);
    let end = |world: &mut World, stop: Option<StopReason>| {
        let mut running: Vec<_> = world.running.iter().cloned().collect();
        running.sort();
        let (goal, task, attempt) = running.remove(0);
        world.running.remove(&(goal.clone(), task.clone(), attempt));
        let outcome = Box::new(outcome(stop, &task));
        world.give(Input::Attempt {
            goal,
            task,
            attempt,
            outcome,
        });
    };
    end(&mut world, Some(StopReason::Overloaded));
    assert_eq!(world.state.provider_limit.cap, Some(2));
    end(&mut world, None);
    assert_eq!(world.running.len(), 2, "nothing starts during the pause");
    world.now = world.now.saturating_add(Span::from_secs(60));
    world.give(Input::Tick);
    assert_eq!(world.running.len(), 3, "the cap has grown by the success");
}
