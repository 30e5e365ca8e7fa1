//! The state of all goals, and the one place where events change it.
//!
//! [`ClusterState::apply_event`](crate::state::ClusterState::apply_event) is a fold: the journal's events, applied in order, give the state, whatever the
//! configuration was when they were made. Decisions are made in [`crate::step`], before an event is
//! written; nothing is decided here.

mod clock;
mod ledger;
mod network;
mod permissions;
mod provider_limit;
mod task;

use std::sync::Arc;

use claudecluster_protocol::{
    BlobId, ErrorBody, EventBody, EventSeq, GoalId, GoalSpec, GoalState, Plan, RelPath, StopReason,
    TaskId, TaskSpec, TaskState, Timestamp,
    change::HeldReason,
    event::ProposedFile,
    goal::{AgentUsage, GateResult},
    repair::RepairSpec,
};
use indexmap::IndexMap;

use self::clock::GoalClock;
pub(crate) use self::task::free_places;
pub use self::{
    ledger::{FileEntry, LedgerRecord, PendingLanding, ReviewPair},
    network::GoalNetwork,
    permissions::{GoalPermissions, PermissionEnding, PermissionRule},
    provider_limit::ProviderLimit,
    task::{GoalTask, TaskAttempt},
};
use crate::graph::TaskGraph;

/// Every goal, oldest first. Cloning is cheap: goals are shared until they change.
#[derive(Clone, Debug, Default)]
pub struct ClusterState {
    /// The goals.
    pub goals: IndexMap<GoalId, Arc<Goal>>,
    /// The last event applied.
    pub last_seq: EventSeq,
    /// The number of attempts the provider lets run at once.
    pub provider_limit: ProviderLimit,
    /// The number of records in all ledgers.
    pub ledger_records: u64,
    /// The number of permission requests made so far.
    pub permissions: u64,
}

/// One goal.
#[derive(Clone, Debug)]
pub struct Goal {
    /// Identifier.
    pub id: GoalId,
    /// The goal as the developer stated it.
    pub spec: GoalSpec,
    /// The current state.
    pub state: GoalState,
    /// Why it failed.
    pub error: Option<ErrorBody>,
    /// The moment the goal was submitted.
    pub submitted_at: Timestamp,
    /// The moment the state last changed.
    pub updated_at: Timestamp,
    /// The manifest of what it started from.
    pub snapshot: Option<BlobId>,
    /// Open buffers whose unsaved text the snapshot holds.
    pub unsaved: Vec<RelPath>,
    /// The plan, once there is one.
    pub plan: Option<Plan>,
    /// Says whether the plan waits for an approval.
    pub unapproved: bool,
    /// The plan's graph.
    pub graph: Option<Arc<TaskGraph>>,
    /// The session that planned.
    pub planner_session: Option<String>,
    /// The number of refused answers of the planner.
    pub plan_refusals: u32,
    /// The number of times planning was tried again after a stop.
    pub plan_retries: u32,
    /// The number of times the daemon ended unexpectedly during the goal's own work, since that began.
    pub daemon_crashes: u32,
    /// The transcripts of the planning sessions, oldest first.
    pub plan_transcripts: Vec<BlobId>,
    /// The tokens and the cost of planning.
    pub planner_usage: AgentUsage,
    /// The tasks in the plan's order.
    pub tasks: IndexMap<TaskId, GoalTask>,
    /// Tasks in the order in which they succeeded: a topological order.
    pub finished: Vec<TaskId>,
    /// Says whether the current changes of the tasks have been merged into `files`.
    pub merged: bool,
    /// Says whether everything clean has been landed, as `apply` asks.
    pub applied: bool,
    /// The proposal's files.
    pub files: Vec<FileEntry>,
    /// The results of the goal's gates.
    pub gates: Vec<GateResult>,
    /// The permission requests of the goal's workers, and the answers.
    pub permissions: GoalPermissions,
    /// The hosts of the network that the goal's programs asked for.
    pub network: GoalNetwork,
    /// The clock that measures the goal's time.
    clock: GoalClock,
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
            daemon_crashes: 0,
            plan_transcripts: Vec::new(),
            planner_usage: AgentUsage::default(),
            tasks: IndexMap::new(),
            finished: Vec::new(),
            merged: false,
            applied: false,
            files: Vec::new(),
            gates: Vec::new(),
            permissions: GoalPermissions::default(),
            network: GoalNetwork::default(),
            clock: GoalClock::default(),
        }
    }

    /// Returns the tokens and the cost of the goal so far.
    pub fn usage(&self) -> AgentUsage {
        self.tasks
            .values()
            .flat_map(|task| &task.attempts)
            .filter_map(|attempt| attempt.outcome.as_ref())
            .fold(self.planner_usage, |sum, outcome| {
                sum.saturating_add(outcome.usage)
            })
    }

    /// Returns whether any attempt left changes.
    pub fn has_changes(&self) -> bool {
        self.tasks
            .values()
            .filter_map(GoalTask::outcome)
            .any(|outcome| !outcome.changes.is_empty())
    }

    /// Returns the attempts that run now.
    pub fn running_attempts(&self) -> impl Iterator<Item = (&TaskId, &TaskAttempt)> {
        self.tasks
            .iter()
            .filter_map(|(id, task)| Some((id, task.running_attempt()?)))
    }

    /// Returns whether work of its attempts, all of which have ended, has not been merged.
    pub(crate) fn has_unmerged_leftovers(&self) -> bool {
        !self.merged && self.running_attempts().next().is_none() && self.has_changes()
    }

    /// Returns the repairs of the goal's proposal that are not finished.
    pub fn repairs_under_way(&self) -> impl Iterator<Item = (&TaskId, &GoalTask)> {
        self.tasks.iter().filter(|(_, task)| {
            let ended = task.state.is_terminal() && task.running_attempt().is_none();
            task.amends_proposal() && (!ended || task.awaits_amending())
        })
    }

    /// Returns whether tasks of the goal run or are to be started.
    pub fn is_working(&self) -> bool {
        match self.state {
            GoalState::Running => true,
            GoalState::Proposed => self.repairs_under_way().next().is_some(),
            _ => false,
        }
    }

    /// Returns the identifier of the `n`th repair task from now, counting from 0.
    pub fn repair_id(&self, n: usize) -> TaskId {
        let name = |i: usize| TaskId::new(format!("repair-{i}"));
        let free = (1..).map(name).filter(|id| !self.tasks.contains_key(id));
        free.into_iter().nth(n).unwrap_or_else(|| name(0))
    }

    /// Returns the entry of a file.
    pub fn file_entry(&self, path: &RelPath, entry: u32) -> Option<&FileEntry> {
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
            .map(|spec| (spec.id.clone(), GoalTask::new(spec.clone(), None)))
            .collect();
        self.plan = Some(plan);
    }

    /// Adds a task to the plan that is under way.
    fn add_task(&mut self, spec: &TaskSpec, repair: &RepairSpec) {
        let Some(plan) = &mut self.plan else {
            return;
        };
        plan.tasks.push(spec.clone());
        self.graph = TaskGraph::new(plan).ok().map(Arc::new);
        let task = GoalTask::new(spec.clone(), Some(repair.clone()));
        self.tasks.insert(spec.id.clone(), task);
    }
}

impl ClusterState {
    /// Returns one goal.
    pub fn goal(&self, id: &GoalId) -> Option<&Goal> {
        self.goals.get(id).map(Arc::as_ref)
    }

    /// Returns the identifier the next goal gets.
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
    pub fn apply_event(&mut self, goal_id: &GoalId, at: Timestamp, body: &EventBody) {
        if let EventBody::GoalSubmitted { spec } = body {
            let mut goal = Goal::new(goal_id.clone(), (**spec).clone(), at);
            goal.set_clock(at);
            self.goals.insert(goal_id.clone(), Arc::new(goal));
            return;
        }
        if let EventBody::AttemptEnded { outcome, .. } = body {
            let running = self
                .goals
                .values()
                .map(|goal| goal.running_attempts().count())
                .sum();
            self.provider_limit.observe_outcome(outcome, running, at);
        }
        if let EventBody::PermissionAsked { request } = body {
            self.permissions = self.permissions.max(request.id.number().unwrap_or(0));
        }
        if let Some(goal) = self.goals.get_mut(goal_id) {
            let goal = Arc::make_mut(goal);
            goal.apply_event(at, body, self.ledger_records);
            goal.set_clock(at);
        }
        if matches!(body, EventBody::Reviewed { .. }) {
            self.ledger_records += 1;
        }
    }
}

impl Goal {
    /// Applies one event. `order` numbers the record that the event makes in the ledger, if any.
    fn apply_event(&mut self, at: Timestamp, body: &EventBody, order: u64) {
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
                self.planner_usage = self.planner_usage.saturating_add(*usage);
            }
            EventBody::PlannerTranscript { transcript } => {
                self.plan_transcripts.push(transcript.clone());
            }
            EventBody::PlanningStopped { usage, .. } => {
                self.plan_retries += 1;
                self.planner_usage = self.planner_usage.saturating_add(*usage);
            }
            EventBody::Planned {
                plan,
                session,
                usage,
            } => {
                self.planner_session.clone_from(session);
                self.planner_usage = self.planner_usage.saturating_add(*usage);
                self.set_plan(plan.clone());
            }
            EventBody::PlanApproved { plan } => {
                self.unapproved = false;
                if let Some(plan) = plan {
                    self.set_plan(plan.clone());
                }
            }
            EventBody::GoalChanged { state, error } => {
                if self.state.is_terminal() && !state.is_terminal() {
                    self.reset_clock();
                }
                self.state = *state;
                self.error.clone_from(error);
                self.updated_at = at;
                if !state.is_terminal() {
                    self.daemon_crashes = 0;
                }
                if *state == GoalState::Running {
                    self.merged = false;
                }
            }
            EventBody::TaskChanged { .. }
            | EventBody::AttemptStarted { .. }
            | EventBody::AttemptEnded { .. }
            | EventBody::RetryScheduled { .. } => self.apply_to_task(at, body),
            EventBody::Interrupted { stop } => {
                self.daemon_crashes += u32::from(*stop == StopReason::DaemonCrash);
            }
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
                    self.amend_file(file);
                }
            }
            EventBody::Gated { results } => {
                self.gates.clone_from(results);
                if results.iter().any(|gate| !gate.passed) {
                    for entry in &mut self.files {
                        add_held_reason(&mut entry.file.held, HeldReason::GateFailed);
                    }
                }
            }
            EventBody::PermissionAsked { .. }
            | EventBody::PermissionAnswered { .. }
            | EventBody::PermissionWithdrawn { .. } => self.permissions.apply_event(body),
            EventBody::NetworkUsed { task_id, hosts, .. } => {
                self.network.add(task_id.as_ref(), hosts);
            }
            EventBody::Reviewed { .. } => self.apply_review(at, body, order),
            EventBody::LandingBegun { .. } => self.begin_landing(body),
            EventBody::LandingDropped { path, entry } => {
                if let Some(file) = self.entry_mut(path, *entry) {
                    file.pending_landings.clear();
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
                task.attempts.push(TaskAttempt {
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
    fn amend_file(&mut self, file: &ProposedFile) {
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
            file.pending_landings.push(PendingLanding {
                verdict: *verdict,
                hunks: hunks.clone(),
                pair: ReviewPair {
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
            let after = ReviewPair {
                base: base.clone(),
                proposed: proposed.clone(),
            };
            file.add_record(LedgerRecord {
                order,
                verdict: *verdict,
                hunks: hunks.clone(),
                undone: Vec::new(),
                landed: landed.clone(),
                before: file.review_pair(),
                after,
                of: *of,
                at,
                decision: *decision,
            });
        }
    }
}

fn add_held_reason(held: &mut Vec<HeldReason>, reason: HeldReason) {
    if !held.contains(&reason) {
        held.push(reason);
    }
}
