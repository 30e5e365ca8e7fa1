//! The state of a goal behind the live view, from the goal's event stream. Pure.

use claudecluster_protocol::{
    ErrorBody, EventBody, GoalId, GoalState, Plan, StopReason, TaskId, TaskState, Timestamp, Usd,
    event::{AgentActivity, AgentEvent, StreamItem},
    goal::{AgentUsage, GateResult},
    network::host_and_port,
    permission::PermissionRequest,
};

/// Holds the state of a goal, as far as its stream has come.
#[derive(Clone, Debug)]
pub(crate) struct GoalBoard {
    pub(crate) goal: GoalId,
    pub(crate) prompt: String,
    pub(crate) state: GoalState,
    pub(crate) error: Option<ErrorBody>,
    pub(crate) submitted: Option<Timestamp>,
    /// When the goal ended or began to wait. The elapsed time stops then.
    pub(crate) settled: Option<Timestamp>,
    /// The number of files in the proposal.
    pub(crate) files: usize,
    pub(crate) rows: Vec<TaskRow>,
    pub(crate) gates: Vec<GateResult>,
    /// The open permission requests of the goal's workers.
    pub(crate) permissions: Vec<PermissionRequest>,
    /// Whether all clean changes land without asking.
    pub(crate) apply: bool,
    /// The errors of clean changes that could not land.
    pub(crate) not_landed: Vec<ErrorBody>,
    /// The current action of the planner or of the goal's gates.
    pub(crate) doing: String,
    spent: AgentUsage,
    /// The usage of the planner's current session.
    running: AgentUsage,
    /// Whether a planning session stopped because of a limit.
    limited: bool,
}

/// Holds the state of one task.
#[derive(Clone, Debug)]
pub(crate) struct TaskRow {
    pub(crate) id: TaskId,
    pub(crate) title: String,
    pub(crate) depends_on: Vec<TaskId>,
    /// The tasks that this task repairs, if it is a repair.
    pub(crate) repairs: Vec<TaskId>,
    pub(crate) state: TaskState,
    pub(crate) attempts: u32,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) stop: Option<StopReason>,
    /// When the next attempt may start.
    pub(crate) not_before: Option<Timestamp>,
    /// The number of files that the last attempt changed.
    pub(crate) changed: usize,
    pub(crate) doing: String,
    pub(crate) spent: AgentUsage,
    pub(crate) running: AgentUsage,
}

impl TaskRow {
    fn new(task: &claudecluster_protocol::TaskSpec) -> Self {
        Self {
            id: task.id.clone(),
            title: task.title_or_id().to_owned(),
            depends_on: task.depends_on.clone(),
            repairs: Vec::new(),
            state: TaskState::Waiting,
            attempts: 0,
            started: None,
            ended: None,
            stop: None,
            not_before: None,
            changed: 0,
            doing: String::new(),
            spent: AgentUsage::default(),
            running: AgentUsage::default(),
        }
    }
}

impl GoalBoard {
    pub(crate) fn new(goal: GoalId) -> Self {
        Self {
            goal,
            prompt: String::new(),
            state: GoalState::Submitted,
            error: None,
            submitted: None,
            settled: None,
            files: 0,
            rows: Vec::new(),
            gates: Vec::new(),
            permissions: Vec::new(),
            apply: false,
            not_landed: Vec::new(),
            doing: String::new(),
            spent: AgentUsage::default(),
            running: AgentUsage::default(),
            limited: false,
        }
    }

    /// Returns the cost of all sessions so far.
    pub(crate) fn cost(&self) -> Usd {
        let tasks = self
            .rows
            .iter()
            .map(|row| row.spent.cost_usd.saturating_add(row.running.cost_usd));
        tasks.fold(
            self.spent.cost_usd.saturating_add(self.running.cost_usd),
            |sum, cost| sum.saturating_add(cost),
        )
    }

    /// Returns whether a limit on cost or time has stopped a session.
    pub(crate) fn limited(&self) -> bool {
        self.limited || self.rows.iter().any(|row| row.stop.is_some_and(is_limit))
    }

    /// Applies the next item of the stream. Items of other goals are ignored.
    pub(crate) fn apply(&mut self, item: &StreamItem) {
        match item {
            StreamItem::Event(event) if event.goal_id == self.goal => {
                self.event(event.at, &event.body);
            }
            StreamItem::Activity(activity) if activity.goal_id == self.goal => {
                self.activity(activity);
            }
            _ => {}
        }
    }

    fn event(&mut self, at: Timestamp, body: &EventBody) {
        match body {
            EventBody::GoalSubmitted { spec } => {
                self.prompt.clone_from(&spec.prompt);
                self.submitted = Some(at);
                self.apply = spec.apply;
            }
            EventBody::PlanRefused { usage, errors, .. } => {
                self.end_session(*usage);
                self.doing = format!("repairing the plan: {}", errors.join("; "));
            }
            EventBody::PlanningStopped { usage, stop, .. } => {
                self.end_session(*usage);
                self.limited |= is_limit(*stop);
            }
            EventBody::Planned { plan, usage, .. } => {
                self.end_session(*usage);
                self.set_plan(plan);
            }
            EventBody::PlanApproved { plan: Some(plan) } => self.set_plan(plan),
            EventBody::TaskAdded { task, repair } => self.rows.push(TaskRow {
                repairs: repair.of.clone(),
                ..TaskRow::new(task)
            }),
            EventBody::Proposed { files } => self.files = files.len(),
            EventBody::Gated { results } => self.gates.clone_from(results),
            EventBody::Applied { failed, .. } => self.not_landed.clone_from(failed),
            EventBody::GoalChanged { state, error } => {
                self.state = *state;
                self.error.clone_from(error);
                self.doing.clear();
                self.settled = (!state.is_active()).then_some(at);
            }
            EventBody::TaskChanged { .. }
            | EventBody::AttemptStarted { .. }
            | EventBody::AttemptEnded { .. }
            | EventBody::RetryScheduled { .. } => self.task_event(at, body),
            EventBody::PermissionAsked { request } => {
                let known = self
                    .permissions
                    .iter_mut()
                    .find(|open| open.id == request.id);
                match known {
                    Some(known) => known.clone_from(request),
                    None => self.permissions.push((**request).clone()),
                }
            }
            EventBody::PermissionAnswered { request_id, .. }
            | EventBody::PermissionWithdrawn { request_id } => {
                self.permissions.retain(|open| open.id != *request_id);
            }
            EventBody::SnapshotTaken { .. }
            | EventBody::Interrupted { .. }
            | EventBody::NetworkUsed { .. }
            | EventBody::ApprovalRequested
            | EventBody::PlannerTranscript { .. }
            | EventBody::PlanApproved { plan: None }
            | EventBody::LandingBegun { .. }
            | EventBody::LandingDropped { .. }
            | EventBody::Amended { .. }
            | EventBody::Reviewed { .. } => {}
        }
    }

    fn end_session(&mut self, usage: AgentUsage) {
        self.spent = self.spent.saturating_add(usage);
        self.running = AgentUsage::default();
        self.doing.clear();
    }

    fn set_plan(&mut self, plan: &Plan) {
        if self.prompt.is_empty() {
            self.prompt.clone_from(&plan.goal);
        }
        self.rows = plan.tasks.iter().map(TaskRow::new).collect();
    }

    fn task_event(&mut self, at: Timestamp, body: &EventBody) {
        let (EventBody::TaskChanged { task_id, .. }
        | EventBody::AttemptStarted { task_id, .. }
        | EventBody::AttemptEnded { task_id, .. }
        | EventBody::RetryScheduled { task_id, .. }) = body
        else {
            return;
        };
        let Some(row) = self.rows.iter_mut().find(|row| row.id == *task_id) else {
            return;
        };
        match body {
            EventBody::TaskChanged { state, .. } => row.state = *state,
            EventBody::AttemptStarted { attempt, .. } => {
                row.state = TaskState::Running;
                row.attempts = attempt.0;
                row.started = row.started.or(Some(at));
                row.ended = None;
                row.stop = None;
                row.not_before = None;
                row.doing.clear();
            }
            EventBody::AttemptEnded { outcome, .. } => {
                row.state = match outcome.stop {
                    None => TaskState::Succeeded,
                    Some(_) => TaskState::Failed,
                };
                row.stop = outcome.stop;
                row.ended = Some(at);
                row.changed = outcome.changes.len();
                row.spent = row.spent.saturating_add(outcome.usage);
                row.running = AgentUsage::default();
                row.doing.clear();
            }
            EventBody::RetryScheduled { not_before, .. } => {
                row.state = TaskState::Ready;
                row.not_before = Some(*not_before);
            }
            _ => {}
        }
    }

    fn activity(&mut self, activity: &AgentActivity) {
        let (doing, running) = match &activity.task_id {
            None => (&mut self.doing, &mut self.running),
            Some(id) => match self.rows.iter_mut().find(|row| row.id == *id) {
                Some(row) => (&mut row.doing, &mut row.running),
                None => return,
            },
        };
        match &activity.what {
            AgentEvent::Spent { usage } => *running = *usage,
            what => {
                if let Some(text) = doing_of(what) {
                    *doing = text;
                }
            }
        }
    }
}

fn is_limit(stop: StopReason) -> bool {
    matches!(stop, StopReason::Budget | StopReason::Timeout)
}

/// Describes an agent's activity in a few words, or returns `None` if there is nothing to show.
pub(crate) fn doing_of(what: &AgentEvent) -> Option<String> {
    let last_line = |text: &str| {
        text.lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map(str::to_owned)
    };
    match what {
        AgentEvent::Started { model, .. } => Some(match model {
            Some(model) => format!("started, {model}"),
            None => "started".to_owned(),
        }),
        AgentEvent::Text { text } | AgentEvent::Output { text } => last_line(text),
        AgentEvent::Tool { name, detail } if detail.is_empty() => Some(name.clone()),
        AgentEvent::Tool { name, detail } => Some(format!("{name} {detail}")),
        AgentEvent::Denied { what } => Some(format!("denied: {what}")),
        AgentEvent::Connection {
            host,
            port,
            allowed,
            ..
        } => {
            let address = host_and_port(host, *port);
            Some(if *allowed {
                format!("connected to {address}")
            } else {
                format!("denied: {address} (network)")
            })
        }
        AgentEvent::RateLimited { wait: Some(wait) } => {
            Some(format!("waiting {wait} (rate limit)"))
        }
        AgentEvent::RateLimited { wait: None } => Some("slowed by a rate limit".to_owned()),
        AgentEvent::Spent { .. } => None,
    }
}
