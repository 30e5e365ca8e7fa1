//! The one function that decides: [`step`] takes what happened and says what to do about it.
//!
//! The order of what it returns is the order in which the driver carries it out. Facts
//! ([`Effect::Record`]) are applied to the state as they are decided, and the driver makes them
//! durable before it does anything that stands after them.

mod permission;
mod planning;
mod recover;
mod repair;
mod result;
mod running;
mod steer;

use claudecluster_protocol::{
    AttemptId, BlobId, ErrorBody, EventBody, GoalId, GoalSpec, GoalState, Plan, RelPath, Span,
    StopReason, TaskId, Timestamp, Usd,
    event::{AttemptOutcome, ProposedFile},
    goal::{AgentUsage, GateResult},
    network::HostTraffic,
    permission::{PermissionAnswer, PermissionDecision},
};

pub use permission::{PermissionAsker, RequestedToolUse};
pub use repair::{MergedProposal, NewRepairTask, budget_error};

use crate::{
    policy::SchedulingPolicy,
    state::{ClusterState, Goal},
};

/// Lists the inputs of a step.
#[derive(Clone, Debug)]
pub enum Input {
    /// A developer submits a goal. The identifier is [`ClusterState::next_goal_id`]'s.
    Submit {
        /// The new goal's identifier.
        goal: GoalId,
        /// The goal to submit.
        spec: Box<GoalSpec>,
    },
    /// The workspace was captured, or could not be.
    Snapshot {
        /// The goal.
        goal: GoalId,
        /// The manifest, the number of files, the unsaved buffers.
        result: Result<(BlobId, u32, Vec<RelPath>), ErrorBody>,
    },
    /// A planning session left its transcript.
    PlannerTranscript {
        /// The goal.
        goal: GoalId,
        /// The transcript.
        transcript: BlobId,
    },
    /// A planning session answered.
    PlanAnswer {
        /// The goal.
        goal: GoalId,
        /// The plan, or why the answer is not even one.
        answer: Result<Box<Plan>, String>,
        /// The session, for forking.
        session: Option<String>,
        /// The tokens and the cost of the session.
        usage: AgentUsage,
    },
    /// A planning session stopped short.
    PlanStopped {
        /// The goal.
        goal: GoalId,
        /// Why.
        stop: StopReason,
        /// The reason in words.
        summary: String,
        /// The tokens and the cost of the session.
        usage: AgentUsage,
    },
    /// Somebody approves the plan, edited or as it is.
    Approve {
        /// The goal.
        goal: GoalId,
        /// The plan as edited.
        plan: Option<Box<Plan>>,
        /// The goal's plan as they saw it.
        shown: Option<Box<Plan>>,
    },
    /// Somebody approves a task that is paused.
    ApproveTask {
        /// The goal.
        goal: GoalId,
        /// The task.
        task: TaskId,
    },
    /// An attempt ended.
    Attempt {
        /// The goal.
        goal: GoalId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: AttemptId,
        /// The outcome of the attempt.
        outcome: Box<AttemptOutcome>,
    },
    /// The tasks' changes were merged, or could not be.
    Merged {
        /// The goal.
        goal: GoalId,
        /// The proposal, and how what conflicts in it could be repaired.
        result: Result<MergedProposal, ErrorBody>,
    },
    /// The goal's gates ran.
    Gates {
        /// The goal.
        goal: GoalId,
        /// The result of each gate.
        results: Vec<GateResult>,
    },
    /// Verdicts are about to be carried out.
    Landing {
        /// The goal.
        goal: GoalId,
        /// The intents, all of them [`EventBody::LandingBegun`], after [`EventBody::LandingDropped`] where
        /// one is tried again.
        intents: Vec<EventBody>,
    },
    /// Verdicts were carried out and observed, or seen not to be.
    Reviewed {
        /// The goal.
        goal: GoalId,
        /// The facts, all of them [`EventBody::Reviewed`] or [`EventBody::LandingDropped`].
        facts: Vec<EventBody>,
    },
    /// A verdict is to be repaired.
    Repair {
        /// The goal.
        goal: GoalId,
        /// The facts that were carried out, all of them [`EventBody::Reviewed`].
        facts: Vec<EventBody>,
        /// The tasks that repair it.
        repairs: Vec<NewRepairTask>,
    },
    /// The result of a repair was merged into the proposal, or could not be.
    Amended {
        /// The goal.
        goal: GoalId,
        /// The task that made it.
        task: TaskId,
        /// The entries as they are to be.
        result: Result<Vec<ProposedFile>, ErrorBody>,
    },
    /// Everything clean was landed, as `apply` asks.
    Applied {
        /// The goal.
        goal: GoalId,
        /// [`EventBody::Applied`].
        fact: EventBody,
    },
    /// A worker asks for permission, and waits.
    PermissionAsked {
        /// The goal.
        goal: GoalId,
        /// The task and attempt that ask, or the planner.
        asker: PermissionAsker,
        /// The use of a tool to allow.
        wanted: RequestedToolUse,
    },
    /// A worker that asked goes on without an answer.
    PermissionLeft {
        /// The goal.
        goal: GoalId,
        /// The task and attempt that asked, or the planner.
        asker: PermissionAsker,
        /// The tool it asked about.
        tool: String,
        /// The tool's input.
        input: BlobId,
    },
    /// A job has ended whose programs asked for hosts of the network.
    NetworkUsed {
        /// The goal.
        goal: GoalId,
        /// The task; `None` for the planner and the goal's gates.
        task: Option<TaskId>,
        /// The hosts.
        hosts: Vec<HostTraffic>,
        /// Connections to further hosts.
        more: u64,
    },
    /// Somebody answers a permission request.
    PermissionAnswered {
        /// The answer and the request it belongs to.
        answer: PermissionAnswer,
        /// The client that answers.
        by: Option<String>,
    },
    /// Somebody cancels a goal.
    Cancel {
        /// The goal.
        goal: GoalId,
    },
    /// Somebody wants failed tasks tried again.
    Retry {
        /// The goal.
        goal: GoalId,
        /// Only this task.
        task: Option<TaskId>,
    },
    /// A moment asked for with [`Effect::WakeAt`] has come.
    Tick,
    /// The daemon has started and the journal is replayed.
    Recover {
        /// How the last daemon ended: [`StopReason::DaemonRestart`] if it was stopped, and
        /// [`StopReason::DaemonCrash`] if not.
        ended: StopReason,
    },
}

/// Names work for the caller to carry out.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Make this fact durable, then tell everybody.
    Record(GoalId, EventBody),
    /// Capture the workspace.
    Snapshot(GoalId),
    /// Start a planning session.
    Plan {
        /// The goal.
        goal: GoalId,
        /// The problems of the planner's last answer.
        repair: Vec<String>,
        /// The wait before planning starts.
        delay: Span,
    },
    /// Start an attempt.
    Start {
        /// The goal.
        goal: GoalId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: AttemptId,
    },
    /// Tell a worker what was said to its permission request.
    Permit {
        /// The goal.
        goal: GoalId,
        /// The task whose attempt waits; the planner where there is none.
        task: Option<TaskId>,
        /// The tool it asked about.
        tool: String,
        /// The tool's input.
        input: BlobId,
        /// The answer.
        decision: PermissionDecision,
        /// Why.
        reason: Option<String>,
    },
    /// End every process of the goal.
    Stop(GoalId),
    /// Merge the tasks' changes into one proposal.
    Merge(GoalId),
    /// Merge what a repair made into the proposal.
    Amend {
        /// The goal.
        goal: GoalId,
        /// The task that made it.
        task: TaskId,
    },
    /// Run the goal's gates on the merged result.
    Gates(GoalId),
    /// Land everything clean: the goal was submitted with `apply`.
    Land(GoalId),
    /// Look what became of the landings that the last daemon had begun.
    Settle(GoalId),
    /// Delete what the goal no longer needs: its layers and its agents' homes.
    Tidy(GoalId),
    /// Come back with [`Input::Tick`] at this moment.
    WakeAt(Timestamp),
}

/// Applies an input to the state and returns the effects that follow.
///
/// # Errors
///
/// What was asked for cannot be done in the state the goal is in. The state is unchanged.
pub fn step(
    state: &mut ClusterState,
    input: Input,
    now: Timestamp,
    policy: &SchedulingPolicy,
) -> Result<Vec<Effect>, ErrorBody> {
    let mut turn = StepTurn {
        state,
        now,
        policy,
        effects: Vec::new(),
    };
    turn.handle_input(input)?;
    Ok(turn.effects)
}

/// One turn of the loop.
struct StepTurn<'a> {
    state: &'a mut ClusterState,
    now: Timestamp,
    policy: &'a SchedulingPolicy,
    effects: Vec<Effect>,
}

impl StepTurn<'_> {
    fn handle_input(&mut self, input: Input) -> Result<(), ErrorBody> {
        let deadlines = self.deadlines();
        match input {
            Input::Submit { goal, spec } => self.submit_goal(goal, spec)?,
            Input::Snapshot { goal, result } => self.snapshot_done(&goal, result),
            Input::PlannerTranscript { goal, transcript } => {
                self.record_event(&goal, EventBody::PlannerTranscript { transcript });
            }
            Input::PlanAnswer {
                goal,
                answer,
                session,
                usage,
            } => {
                self.plan_answer(&goal, answer, session, usage);
            }
            Input::PlanStopped {
                goal,
                stop,
                summary,
                usage,
            } => {
                self.plan_stopped(&goal, stop, summary, usage);
            }
            Input::Approve { goal, plan, shown } => {
                self.approve_plan(&goal, plan, shown.as_deref())?;
            }
            Input::ApproveTask { goal, task } => self.approve_task(&goal, &task)?,
            Input::Attempt {
                goal,
                task,
                attempt,
                outcome,
            } => {
                self.attempt_ended(&goal, &task, attempt, *outcome);
            }
            Input::Merged { goal, result } => self.record_merge(&goal, result),
            Input::Gates { goal, results } => self.record_gates(&goal, results),
            Input::Landing { goal, intents } => self.record_landing(&goal, intents)?,
            Input::Reviewed { goal, facts } => self.record_review(&goal, facts)?,
            Input::Repair {
                goal,
                facts,
                repairs,
            } => self.start_repairs(&goal, facts, repairs)?,
            Input::Amended { goal, task, result } => self.record_amendment(&goal, &task, result),
            Input::Applied { goal, fact } => self.record_event(&goal, fact),
            Input::PermissionAsked {
                goal,
                asker,
                wanted,
            } => self.permission_asked(&goal, &asker, wanted),
            Input::PermissionLeft {
                goal,
                asker,
                tool,
                input,
            } => self.permission_left(&goal, &asker, &tool, &input),
            Input::NetworkUsed {
                goal,
                task,
                hosts,
                more,
            } => {
                let task_id = task;
                let used = EventBody::NetworkUsed {
                    task_id,
                    hosts,
                    more,
                };
                self.record_event(&goal, used);
            }
            Input::PermissionAnswered { answer, by } => self.permission_answered(answer, by)?,
            Input::Cancel { goal } => self.cancel_goal(&goal)?,
            Input::Retry { goal, task } => self.retry_goal(&goal, task.as_ref())?,
            Input::Tick => self.check_deadlines(),
            Input::Recover { ended } => self.recover_goals(ended),
        }
        self.schedule_tasks();
        self.watch_deadlines(&deadlines);
        Ok(())
    }

    fn record_event(&mut self, goal: &GoalId, body: EventBody) {
        self.state.apply_event(goal, self.now, &body);
        self.effects.push(Effect::Record(goal.clone(), body));
    }

    fn goal(&self, id: &GoalId) -> Result<&Goal, ErrorBody> {
        self.state.goal(id).ok_or_else(|| unknown_goal(id))
    }

    /// Returns the goal if it is in this state: answers of work that was cancelled meanwhile are
    /// dropped.
    fn goal_in(&self, id: &GoalId, state: GoalState) -> Option<&Goal> {
        self.state.goal(id).filter(|goal| goal.state == state)
    }

    fn change_state(&mut self, goal: &GoalId, state: GoalState, error: Option<ErrorBody>) {
        self.record_event(goal, EventBody::GoalChanged { state, error });
        // A failed or cancelled goal can be tried again and keeps what it built.
        if matches!(state, GoalState::Landed | GoalState::Rejected) {
            self.effects.push(Effect::Tidy(goal.clone()));
        }
    }
}

/// Returns the cost limit of a goal.
pub fn goal_budget(goal: &Goal, policy: &SchedulingPolicy) -> Option<Usd> {
    goal.spec
        .budget_usd
        .or_else(|| goal.plan.as_ref().and_then(|plan| plan.budget_usd))
        .or(policy.budget)
}

/// Makes the error for an unknown goal.
pub fn unknown_goal(id: &GoalId) -> ErrorBody {
    ErrorBody::user(format!("there is no goal {:?}", id.as_str()))
        .with_hint("list goals with: claudecluster goals")
}

fn wrong_state(goal: &Goal, why: &str) -> ErrorBody {
    ErrorBody::user(format!(
        "goal {} {}; {why}",
        goal.id,
        goal.state.status_phrase()
    ))
}
