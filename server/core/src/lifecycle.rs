//! The state of all goals, and the one place where events change it.
//!
//! [`State::apply`] is a fold: the journal's events, applied in order, give the state, whatever the
//! configuration was when they were made. Decisions are made in [`crate::step`], before an event is
//! written; nothing is decided here.

mod fleet;
mod permissions;
mod task;

use std::sync::Arc;

use claudecluster_protocol::{
    BlobId, ErrorBody, EventBody, EventSeq, GoalId, GoalSpec, GoalState, HunkId, Plan, RelPath,
    TaskId, TaskSpec, TaskState, Timestamp,
    change::{FileVersion, HeldReason},
    event::{Landed, ProposedFile, Repair, Verdict},
    goal::{GateResult, Usage},
};
use indexmap::IndexMap;

pub use self::{
    fleet::Fleet,
    permissions::{Ending, Permissions, Rule},
    task::{Attempt, Task},
};
use crate::graph::TaskGraph;

/// Every goal, oldest first. Cloning is cheap: goals are shared until they change.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The goals.
    pub goals: IndexMap<GoalId, Arc<Goal>>,
    /// The last event applied.
    pub last_seq: EventSeq,
    /// How many attempts the provider lets run at once.
    pub fleet: Fleet,
    /// How many moves all ledgers hold.
    pub moves: u64,
    /// How many permission requests there have been.
    pub permissions: u64,
}

/// One goal.
#[derive(Clone, Debug)]
pub struct Goal {
    /// Identifier.
    pub id: GoalId,
    /// What was asked for.
    pub spec: GoalSpec,
    /// How far it has come.
    pub state: GoalState,
    /// Why it failed.
    pub error: Option<ErrorBody>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// The manifest of what it started from.
    pub snapshot: Option<BlobId>,
    /// Open buffers whose unsaved text the snapshot holds.
    pub unsaved: Vec<RelPath>,
    /// The plan, once there is one.
    pub plan: Option<Plan>,
    /// Whether somebody was asked to approve the plan and has not done so.
    pub unapproved: bool,
    /// The plan's graph.
    pub graph: Option<Arc<TaskGraph>>,
    /// The session that planned.
    pub planner_session: Option<String>,
    /// How often the planner's answer was refused.
    pub plan_refusals: u32,
    /// How often planning was tried again after it stopped.
    pub plan_retries: u32,
    /// What was said in the planning sessions, oldest first.
    pub plan_transcripts: Vec<BlobId>,
    /// What planning cost.
    pub planner_usage: Usage,
    /// The tasks in the plan's order.
    pub tasks: IndexMap<TaskId, Task>,
    /// Tasks in the order in which they succeeded: a topological order.
    pub finished: Vec<TaskId>,
    /// Whether the tasks' changes, as they are now, have been merged into `files`.
    pub merged: bool,
    /// Whether everything clean has been landed, as `apply` asks.
    pub applied: bool,
    /// The proposal's files.
    pub files: Vec<FileEntry>,
    /// What the goal's gates said.
    pub gates: Vec<GateResult>,
    /// What its workers ask for, and what they have been told.
    pub permissions: Permissions,
}

/// One file of a proposal, and what has been decided about it.
#[derive(Clone, Debug)]
pub struct FileEntry {
    /// The file as it was proposed, with `base` and `proposed` as they are now.
    pub file: ProposedFile,
    /// Every verdict that was carried out, oldest first. Never taken away: an undo is a further move.
    pub moves: Vec<Move>,
    /// Landings that were begun and of which nothing has been heard since, in order.
    pub begun: Vec<Begun>,
}

/// The two texts that are in review.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pair {
    /// What is already decided or was there from the start.
    pub base: Option<FileVersion>,
    /// What is proposed.
    pub proposed: Option<FileVersion>,
}

/// One verdict on hunks of one entry, carried out.
#[derive(Clone, Debug)]
pub struct Move {
    /// Its place among all moves of all goals, counting from 0.
    pub order: u64,
    /// What was decided.
    pub verdict: Verdict,
    /// The hunks it was about.
    pub hunks: Vec<HunkId>,
    /// Those of them that later moves have taken back, and none has done again.
    pub undone: Vec<HunkId>,
    /// The content before and after, if it changed the file.
    pub landed: Option<Landed>,
    /// The pair before.
    pub before: Pair,
    /// The pair after.
    pub after: Pair,
    /// For an undo or a redo: which move it takes back.
    pub of: Option<u32>,
    /// When it was observed.
    pub at: Timestamp,
    /// The decision it is a part of; `None` in journals of older versions.
    pub decision: Option<u64>,
}

impl Move {
    /// What is the same for all moves of one decision, and different for those of any other.
    pub fn decided(&self) -> impl PartialEq + use<> {
        // The facts of one decision become durable in one moment.
        (self.decision, self.at)
    }
}

/// A landing under way, see [`EventBody::LandingBegun`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Begun {
    /// What was decided.
    pub verdict: Verdict,
    /// The hunks it is about.
    pub hunks: Vec<HunkId>,
    /// The pair after it.
    pub pair: Pair,
    /// The content that is expected and the content that is to be.
    pub landed: Landed,
    /// For an undo or a redo: which move it takes back.
    pub of: Option<u32>,
    /// Why, in the developer's words.
    pub reason: Option<String>,
    /// The text is an editor's.
    pub open: bool,
}

impl Move {
    /// The hunks that still are as this move decided.
    pub fn standing(&self) -> impl Iterator<Item = &HunkId> {
        self.hunks.iter().filter(|id| !self.undone.contains(id))
    }

    /// Whether it put hunks or a chosen text into the file. Resolving a conflict to what is there is
    /// no landing, but as good as a rejection.
    pub fn is_landing(&self) -> bool {
        self.verdict == Verdict::Accept || self.verdict == Verdict::Resolve && !self.keeps()
    }

    /// Whether it took hunks out of the proposal and left the file as it is.
    pub fn is_rejection(&self) -> bool {
        self.verdict == Verdict::Reject || self.verdict == Verdict::Resolve && self.keeps()
    }

    /// Whether the file is the same before and after it.
    fn keeps(&self) -> bool {
        let landed = self.landed.as_ref();
        landed.is_none_or(|landed| landed.version_before() == landed.version_after())
    }
}

impl FileEntry {
    /// Whether there is nothing left to decide.
    pub fn is_settled(&self) -> bool {
        self.file.base == self.file.proposed
    }

    /// The pair as it is now.
    pub fn pair(&self) -> Pair {
        Pair {
            base: self.file.base.clone(),
            proposed: self.file.proposed.clone(),
        }
    }

    /// How many hunks have landed and are not undone.
    pub fn landed(&self) -> u32 {
        self.count(Move::is_landing)
    }

    /// How many hunks were taken back for good.
    pub fn rejected(&self) -> u32 {
        self.count(Move::is_rejection)
    }

    /// The hunks of a move that stood as it decided before the move at `until` was made.
    pub fn standing_before(&self, index: usize, until: usize) -> Vec<HunkId> {
        let Some(of) = self.moves.get(index) else {
            return Vec::new();
        };
        let mut standing = of.hunks.clone();
        for later in self.moves.iter().take(until).skip(index) {
            match (later.verdict, later.of.map(|of| of as usize)) {
                (Verdict::Undo, Some(of)) if of == index => {
                    standing.retain(|id| !later.hunks.contains(id));
                }
                (Verdict::Redo, Some(of)) if self.takes_back(of) == Some(index) => {
                    standing.extend(later.hunks.iter().cloned());
                }
                _ => {}
            }
        }
        standing
    }

    /// The hunks an undo took back that are still as it left them: neither done again nor decided in
    /// another way since.
    pub fn undone_by(&self, index: usize) -> Vec<HunkId> {
        let Some(undo) = self.moves.get(index) else {
            return Vec::new();
        };
        let later = self.moves.iter().skip(index + 1);
        let decided: Vec<&HunkId> = later
            .filter(|one| one.of.is_none())
            .flat_map(|one| &one.hunks)
            .collect();
        let standing = undo.standing().filter(|id| !decided.contains(id));
        standing.cloned().collect()
    }

    /// Which move an undo takes back.
    pub fn takes_back(&self, undo: usize) -> Option<usize> {
        self.moves.get(undo)?.of.map(|of| of as usize)
    }

    fn count(&self, of: impl Fn(&Move) -> bool) -> u32 {
        let standing = self.moves.iter().filter(|one| of(one));
        u32::try_from(standing.flat_map(Move::standing).count()).unwrap_or(u32::MAX)
    }

    /// Whether it is an alternative to what merged: it never lands by itself.
    pub fn is_alternative(&self) -> bool {
        self.file.entry > 0
    }
}

impl Goal {
    fn new(id: GoalId, spec: GoalSpec, at: Timestamp) -> Self {
        Self {
            id,
            spec,
            state: GoalState::Submitted,
            error: None,
            submitted_at: at,
            updated_at: at,
            snapshot: None,
            unsaved: Vec::new(),
            plan: None,
            unapproved: false,
            graph: None,
            planner_session: None,
            plan_refusals: 0,
            plan_retries: 0,
            plan_transcripts: Vec::new(),
            planner_usage: Usage::default(),
            tasks: IndexMap::new(),
            finished: Vec::new(),
            merged: false,
            applied: false,
            files: Vec::new(),
            gates: Vec::new(),
            permissions: Permissions::default(),
        }
    }

    /// What the goal has cost so far.
    pub fn usage(&self) -> Usage {
        self.tasks
            .values()
            .flat_map(|task| &task.attempts)
            .filter_map(|attempt| attempt.outcome.as_ref())
            .fold(self.planner_usage, |sum, outcome| sum.plus(outcome.usage))
    }

    /// Whether any attempt left changes.
    pub fn has_changes(&self) -> bool {
        self.tasks
            .values()
            .filter_map(Task::outcome)
            .any(|outcome| !outcome.changes.is_empty())
    }

    /// Attempts that run now.
    pub fn running(&self) -> impl Iterator<Item = (&TaskId, &Attempt)> {
        self.tasks
            .iter()
            .filter_map(|(id, task)| Some((id, task.running()?)))
    }

    /// The repairs of its proposal of which something is still to come.
    pub fn repairs_under_way(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.tasks.iter().filter(|(_, task)| {
            let ended = task.state.is_terminal() && task.running().is_none();
            task.amends() && (!ended || task.awaits_amending())
        })
    }

    /// Whether tasks of it run or are to be started.
    pub fn is_working(&self) -> bool {
        match self.state {
            GoalState::Running => true,
            GoalState::Proposed => self.repairs_under_way().next().is_some(),
            _ => false,
        }
    }

    /// The identifier of the `n`th repair task from now, counting from 0.
    pub fn repair_id(&self, n: usize) -> TaskId {
        let name = |i: usize| TaskId::new(format!("repair-{i}"));
        let free = (1..).map(name).filter(|id| !self.tasks.contains_key(id));
        free.into_iter().nth(n).unwrap_or_else(|| name(0))
    }

    /// The entry of a file.
    pub fn entry(&self, path: &RelPath, entry: u32) -> Option<&FileEntry> {
        self.files
            .iter()
            .find(|f| f.file.path == *path && f.file.entry == entry)
    }

    fn set_plan(&mut self, plan: Plan) {
        // A plan is checked before it is journaled; one that no longer passes (an older journal) leaves
        // the goal without a graph, and `step` fails it with the reason.
        self.graph = TaskGraph::new(&plan).ok().map(Arc::new);
        self.tasks = plan
            .tasks
            .iter()
            .map(|spec| (spec.id.clone(), Task::new(spec.clone(), None)))
            .collect();
        self.plan = Some(plan);
    }

    /// Adds a task to the plan that is under way.
    fn add_task(&mut self, spec: &TaskSpec, repair: &Repair) {
        let Some(plan) = &mut self.plan else {
            return;
        };
        plan.tasks.push(spec.clone());
        self.graph = TaskGraph::new(plan).ok().map(Arc::new);
        let task = Task::new(spec.clone(), Some(repair.clone()));
        self.tasks.insert(spec.id.clone(), task);
    }
}

impl State {
    /// One goal.
    pub fn goal(&self, id: &GoalId) -> Option<&Goal> {
        self.goals.get(id).map(Arc::as_ref)
    }

    /// The identifier the next goal gets.
    pub fn next_goal_id(&self) -> GoalId {
        let last = self
            .goals
            .keys()
            .filter_map(|id| id.as_str().strip_prefix('g')?.parse::<u64>().ok())
            .max();
        GoalId::new(format!("g{}", last.unwrap_or(0) + 1))
    }

    /// Applies one fact. Facts about goals that are not known are ignored: they can only come from a
    /// journal that somebody cut.
    pub fn apply(&mut self, goal_id: &GoalId, at: Timestamp, body: &EventBody) {
        if let EventBody::GoalSubmitted { spec } = body {
            let goal = Goal::new(goal_id.clone(), (**spec).clone(), at);
            self.goals.insert(goal_id.clone(), Arc::new(goal));
            return;
        }
        if let EventBody::AttemptEnded { outcome, .. } = body {
            let running = self.goals.values().map(|goal| goal.running().count()).sum();
            self.fleet.observe(outcome, running, at);
        }
        if let EventBody::PermissionAsked { request } = body {
            self.permissions = self.permissions.max(request.id.number().unwrap_or(0));
        }
        if let Some(goal) = self.goals.get_mut(goal_id) {
            Arc::make_mut(goal).apply(at, body, self.moves);
        }
        if matches!(body, EventBody::Reviewed { .. }) {
            self.moves += 1;
        }
    }
}

impl Goal {
    /// `order` is that of the move, should it be one.
    fn apply(&mut self, at: Timestamp, body: &EventBody, order: u64) {
        match body {
            EventBody::GoalSubmitted { .. } => {}
            EventBody::ApprovalRequested => self.unapproved = true,
            EventBody::Applied { .. } => self.applied = true,
            EventBody::SnapshotTaken {
                manifest, unsaved, ..
            } => {
                self.snapshot = Some(manifest.clone());
                self.unsaved.clone_from(unsaved);
            }
            EventBody::PlanRefused { usage, session, .. } => {
                self.planner_session.clone_from(session);
                self.plan_refusals += 1;
                self.planner_usage = self.planner_usage.plus(*usage);
            }
            EventBody::PlannerTranscript { transcript } => {
                self.plan_transcripts.push(transcript.clone());
            }
            EventBody::PlanningStopped { usage, .. } => {
                self.plan_retries += 1;
                self.planner_usage = self.planner_usage.plus(*usage);
            }
            EventBody::Planned {
                plan,
                session,
                usage,
            } => {
                self.planner_session.clone_from(session);
                self.planner_usage = self.planner_usage.plus(*usage);
                self.set_plan(plan.clone());
            }
            EventBody::PlanApproved { plan } => {
                self.unapproved = false;
                if let Some(plan) = plan {
                    self.set_plan(plan.clone());
                }
            }
            EventBody::GoalChanged { state, error } => {
                self.state = *state;
                self.error.clone_from(error);
                self.updated_at = at;
                if *state == GoalState::Running {
                    self.merged = false;
                }
            }
            EventBody::TaskChanged { .. }
            | EventBody::AttemptStarted { .. }
            | EventBody::AttemptEnded { .. }
            | EventBody::RetryScheduled { .. } => self.apply_to_task(at, body),
            EventBody::Proposed { files } => {
                self.files = files.iter().cloned().map(FileEntry::new).collect();
                self.merged = true;
            }
            EventBody::TaskAdded { task, repair } => self.add_task(task, repair),
            EventBody::Amended { task_id, files } => {
                if let Some(task) = self.tasks.get_mut(task_id) {
                    task.amended = true;
                }
                for file in files {
                    self.amend(file);
                }
            }
            EventBody::Gated { results } => {
                self.gates.clone_from(results);
                if results.iter().any(|gate| !gate.passed) {
                    for entry in &mut self.files {
                        hold(&mut entry.file.held, HeldReason::GateFailed);
                    }
                }
            }
            EventBody::PermissionAsked { .. }
            | EventBody::PermissionAnswered { .. }
            | EventBody::PermissionWithdrawn { .. } => self.permissions.apply(body),
            EventBody::Reviewed { .. } => self.apply_review(at, body, order),
            EventBody::LandingBegun { .. } => self.begin_landing(body),
            EventBody::LandingDropped { path, entry } => {
                if let Some(file) = self.entry_mut(path, *entry) {
                    file.begun.clear();
                }
            }
        }
    }

    fn apply_to_task(&mut self, at: Timestamp, body: &EventBody) {
        let (EventBody::TaskChanged { task_id, .. }
        | EventBody::AttemptStarted { task_id, .. }
        | EventBody::AttemptEnded { task_id, .. }
        | EventBody::RetryScheduled { task_id, .. }) = body
        else {
            return;
        };
        let Some(task) = self.tasks.get_mut(task_id) else {
            return;
        };
        match body {
            EventBody::TaskChanged { state, .. } => {
                let again = matches!(state, TaskState::Waiting | TaskState::Ready);
                if again && task.state.is_terminal() {
                    task.forgiven = task.attempts.len();
                    task.not_before = None;
                }
                // Nothing but an approval makes a paused task ready.
                task.approved |= task.state == TaskState::Paused && *state == TaskState::Ready;
                task.state = *state;
            }
            EventBody::AttemptStarted {
                attempt, upstream, ..
            } => {
                task.state = TaskState::Running;
                task.not_before = None;
                task.attempts.push(Attempt {
                    id: *attempt,
                    started_at: at,
                    ended_at: None,
                    upstream: upstream.clone(),
                    outcome: None,
                });
            }
            EventBody::AttemptEnded {
                attempt, outcome, ..
            } => {
                if let Some(ended) = task.attempts.iter_mut().find(|a| a.id == *attempt) {
                    ended.ended_at = Some(at);
                    ended.outcome = Some(outcome.clone());
                }
                if outcome.stop.is_none() {
                    task.state = TaskState::Succeeded;
                    self.finished.push(task_id.clone());
                }
            }
            EventBody::RetryScheduled {
                not_before, lesson, ..
            } => {
                task.state = TaskState::Ready;
                task.not_before = Some(*not_before);
                task.lesson = Some(lesson.clone());
            }
            _ => {}
        }
    }

    fn entry_mut(&mut self, path: &RelPath, entry: u32) -> Option<&mut FileEntry> {
        self.files
            .iter_mut()
            .find(|f| f.file.path == *path && f.file.entry == entry)
    }

    /// Puts an entry as a repair left it into the proposal. What was decided before stays decided.
    fn amend(&mut self, file: &ProposedFile) {
        match self.entry_mut(&file.path, file.entry) {
            Some(entry) => entry.file = file.clone(),
            None => self.files.push(FileEntry::new(file.clone())),
        }
    }

    fn begin_landing(&mut self, body: &EventBody) {
        let EventBody::LandingBegun {
            path,
            entry,
            verdict,
            hunks,
            base,
            proposed,
            landed,
            of,
            reason,
            open,
        } = body
        else {
            return;
        };
        if let Some(file) = self.entry_mut(path, *entry) {
            file.begun.push(Begun {
                verdict: *verdict,
                hunks: hunks.clone(),
                pair: Pair {
                    base: base.clone(),
                    proposed: proposed.clone(),
                },
                landed: landed.clone(),
                of: *of,
                reason: reason.clone(),
                open: *open,
            });
        }
    }

    fn apply_review(&mut self, at: Timestamp, body: &EventBody, order: u64) {
        let EventBody::Reviewed {
            path,
            entry,
            verdict,
            hunks,
            base,
            proposed,
            landed,
            of,
            decision,
            ..
        } = body
        else {
            return;
        };
        if let Some(file) = self.entry_mut(path, *entry) {
            let after = Pair {
                base: base.clone(),
                proposed: proposed.clone(),
            };
            file.record(Move {
                order,
                verdict: *verdict,
                hunks: hunks.clone(),
                undone: Vec::new(),
                landed: landed.clone(),
                before: file.pair(),
                after,
                of: *of,
                at,
                decision: *decision,
            });
        }
    }
}

impl FileEntry {
    fn new(file: ProposedFile) -> Self {
        Self {
            file,
            moves: Vec::new(),
            begun: Vec::new(),
        }
    }

    /// Takes a move in: the pair is what it leaves, and the move it takes back knows of it.
    fn record(&mut self, made: Move) {
        if let Some(of) = made.of {
            self.take_back(of as usize, made.verdict, &made.hunks);
        }
        self.file.base.clone_from(&made.after.base);
        self.file.proposed.clone_from(&made.after.proposed);
        // What was begun is carried out in its order.
        let begun = self.begun.first();
        if begun.is_some_and(|begun| begun.verdict == made.verdict && begun.hunks == made.hunks) {
            self.begun.remove(0);
        }
        self.moves.push(made);
    }

    /// An undo takes hunks of a move back; a redo takes them back from the undo, and so does them
    /// again.
    fn take_back(&mut self, of: usize, verdict: Verdict, hunks: &[HunkId]) {
        let Some(earlier) = self.moves.get_mut(of) else {
            return;
        };
        let news = hunks.iter().filter(|id| !earlier.undone.contains(id));
        let news: Vec<HunkId> = news.cloned().collect();
        earlier.undone.extend(news);
        let original = earlier.of.map(|of| of as usize);
        if verdict == Verdict::Redo
            && let Some(original) = original.and_then(|of| self.moves.get_mut(of))
        {
            original.undone.retain(|id| !hunks.contains(id));
        }
    }
}

fn hold(held: &mut Vec<HeldReason>, reason: HeldReason) {
    if !held.contains(&reason) {
        held.push(reason);
    }
}
