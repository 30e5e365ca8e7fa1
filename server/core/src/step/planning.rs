//! From submission to an approved plan.

use claudecluster_protocol::{
    BlobId, ErrorBody, EventBody, GoalId, GoalSpec, GoalState, Plan, RelPath, Span, StopReason,
    TaskId, TaskState, goal::AgentUsage,
};

use super::{Effect, StepTurn, wrong_state};
use crate::{
    plan,
    policy::{self, StopCounts, StopFollowUp},
};

impl StepTurn<'_> {
    pub(super) fn submit_goal(
        &mut self,
        goal: GoalId,
        spec: Box<GoalSpec>,
    ) -> Result<(), ErrorBody> {
        if spec.prompt.trim().is_empty() && spec.plan.is_none() {
            return Err(ErrorBody::user("the goal is empty").with_hint(
                "describe the change, as in: claudecluster run \"add tests for the parser\"",
            ));
        }
        if let Some(given) = &spec.plan {
            plan::check_plan(given, &self.policy.agents).map_err(|problems| {
                let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
                ErrorBody::user(format!("the plan is not valid: {}", list.join("; ")))
                    .with_hint("fix the plan and start the goal again")
            })?;
        }
        if spec.jobs == Some(0) {
            return Err(ErrorBody::user("the number of jobs must be at least 1"));
        }
        self.record_event(&goal, EventBody::GoalSubmitted { spec });
        self.effects.push(Effect::Snapshot(goal));
        Ok(())
    }

    pub(super) fn snapshot_done(
        &mut self,
        id: &GoalId,
        result: Result<(BlobId, u32, Vec<RelPath>), ErrorBody>,
    ) {
        let Some(goal) = self.goal_in(id, GoalState::Submitted) else {
            return;
        };
        let given = goal.spec.plan.clone();
        match result {
            Err(error) => self.change_state(id, GoalState::Failed, Some(error)),
            Ok((manifest, files, unsaved)) => {
                self.record_event(
                    id,
                    EventBody::SnapshotTaken {
                        manifest,
                        files,
                        unsaved,
                    },
                );
                self.change_state(id, GoalState::Planning, None);
                match given {
                    Some(plan) => self.record_plan(id, plan, None, AgentUsage::default()),
                    None => self.start_planning(id, Vec::new(), Span(0)),
                }
            }
        }
    }

    pub(super) fn start_planning(&mut self, goal: &GoalId, repair: Vec<String>, delay: Span) {
        self.effects.push(Effect::Plan {
            goal: goal.clone(),
            repair,
            delay,
        });
    }

    pub(super) fn plan_answer(
        &mut self,
        id: &GoalId,
        answer: Result<Box<Plan>, String>,
        session: Option<String>,
        usage: AgentUsage,
    ) {
        let Some(goal) = self.goal_in(id, GoalState::Planning) else {
            return;
        };
        let refusals = goal.plan_refusals;
        self.leave_all(id, None);
        let errors = match answer {
            Err(error) => vec![error],
            Ok(plan) => match plan::check_plan(&plan, &self.policy.agents) {
                Ok(_) => return self.record_plan(id, *plan, session, usage),
                Err(problems) => problems.iter().map(ToString::to_string).collect(),
            },
        };
        self.record_event(
            id,
            EventBody::PlanRefused {
                errors: errors.clone(),
                session,
                usage,
            },
        );
        if refusals < self.policy.plan_repairs {
            self.start_planning(id, errors, Span(0));
        } else {
            let error = ErrorBody::user(format!(
                "the planner gave no valid plan in {} attempts; the last problem: {}",
                refusals + 1,
                errors.join("; ")
            ))
            .with_hint("describe the goal more precisely, or write a plan file and run it with: claudecluster run --plan FILE");
            self.change_state(id, GoalState::Failed, Some(error));
        }
    }

    pub(super) fn plan_stopped(
        &mut self,
        id: &GoalId,
        stop: StopReason,
        summary: String,
        usage: AgentUsage,
    ) {
        let Some(goal) = self.goal_in(id, GoalState::Planning) else {
            return;
        };
        let tries = goal.plan_retries + 1;
        self.leave_all(id, None);
        let text = format!("planning failed: {summary}");
        self.record_event(
            id,
            EventBody::PlanningStopped {
                stop,
                summary,
                usage,
            },
        );
        // Planning is a task like any other to the retry policies.
        let as_task = claudecluster_protocol::TaskSpec::new("plan", "plan");
        let counts = StopCounts {
            failures: tries,
            overloads: tries,
            daemon_crashes: 0,
        };
        match policy::follow_up(stop, &as_task, self.policy, counts, None) {
            StopFollowUp::Retry(delay) => self.start_planning(id, Vec::new(), delay),
            StopFollowUp::FailTask | StopFollowUp::FailGoal => {
                let error = ErrorBody::environment(text).with_hint(policy::stop_hint(stop, id));
                self.change_state(id, GoalState::Failed, Some(error));
            }
        }
    }

    pub(super) fn record_plan(
        &mut self,
        id: &GoalId,
        plan: Plan,
        session: Option<String>,
        usage: AgentUsage,
    ) {
        self.record_event(
            id,
            EventBody::Planned {
                plan,
                session,
                usage,
            },
        );
        let plan_only = self.state.goal(id).is_some_and(|goal| goal.spec.plan_only);
        if plan_only || self.policy.approve_plans {
            self.record_event(id, EventBody::ApprovalRequested);
            self.change_state(id, GoalState::AwaitingApproval, None);
        } else {
            self.change_state(id, GoalState::Running, None);
            self.advance_goal(id);
        }
    }

    pub(super) fn approve_plan(
        &mut self,
        id: &GoalId,
        plan: Option<Box<Plan>>,
        shown: Option<&Plan>,
    ) -> Result<(), ErrorBody> {
        let goal = self.goal(id)?;
        if goal.state != GoalState::AwaitingApproval {
            return Err(wrong_state(goal, "it has no plan waiting for approval"));
        }
        // What is approved is what somebody saw, and not whatever has taken its place since.
        if shown.is_some() && shown != goal.plan.as_ref() {
            return Err(ErrorBody::stale(format!(
                "the plan of goal {id} has changed since it was shown"
            ))
            .with_hint("review the new plan, then approve it"));
        }
        if let Some(plan) = &plan {
            plan::check_plan(plan, &self.policy.agents).map_err(|problems| {
                let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
                ErrorBody::user(format!("the plan is not valid: {}", list.join("; ")))
            })?;
        }
        self.record_event(
            id,
            EventBody::PlanApproved {
                plan: plan.map(|plan| *plan),
            },
        );
        self.change_state(id, GoalState::Running, None);
        self.advance_goal(id);
        Ok(())
    }

    /// Lets a task start that its plan pauses.
    pub(super) fn approve_task(&mut self, id: &GoalId, task: &TaskId) -> Result<(), ErrorBody> {
        let goal = self.goal(id)?;
        let Some(found) = goal.tasks.get(task) else {
            return Err(super::steer::unknown_task(id, task));
        };
        if goal.state != GoalState::Running || found.state != TaskState::Paused {
            let hint = match found.state {
                TaskState::Waiting if found.spec.pause => {
                    "approve it once its dependencies have succeeded"
                }
                _ => "only paused tasks need approval",
            };
            return Err(ErrorBody::user(format!(
                "task {task} of goal {id} is not paused; its state is {}",
                found.state.as_str()
            ))
            .with_hint(hint));
        }
        self.set_task(id, task, TaskState::Ready);
        Ok(())
    }
}
